"""`trifuse score`: every kind of file in and out, other columns kept, kills and going on, bounded memory, bad input."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from fusion.cli import app
from fusion.table_files import appending
from fusion.text_files import TextFile

TEXTS = ["net profit rises", "", "loss, and outlook cut", "drei – ü 🚀", "net profit rises"]
NEW = ("negative", "neutral", "positive", "score", "truncated")
SENTIMENT_TESTS = str(Path(__file__).resolve().parent.parent / "sentiment")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of a few thousand random weights."""
    sys.path.append(SENTIMENT_TESTS)
    try:
        from tiny_models import save_classifier
    finally:
        sys.path.remove(SENTIMENT_TESTS)
    return save_classifier(tmp_path_factory.mktemp("models") / "tiny", ["negative", "neutral", "positive"])


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder is one of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.delenv("TRIFUSE_CACHE", raising=False)
    return tmp_path / "caches" / "trifuse" / "texts.sqlite"


def trifuse(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(
        app, ["score", *map(str, arguments)], input=stdin, env={"COLUMNS": "200", "NO_COLOR": "1"}
    )


def done(*arguments: object, stdin: bytes | None = None) -> Result:
    result = trifuse(*arguments, stdin=stdin)
    assert result.exit_code == 0, result.output
    return result


def complaint(result: Result, code: int) -> str:
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.stderr
    # on a slow machine a stage that lasts is told too
    lines = [line for line in result.stderr.strip().splitlines() if not line.endswith(" ...")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def write(path: Path, table: pl.DataFrame) -> Path:
    """A table in the format of the path's name; a text file holds its texts."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        table.write_parquet(path)
        return path
    if name.endswith(".jsonl"):
        content = table.write_ndjson().encode()
    elif name.endswith(".csv"):
        content = table.write_csv(quote_style="non_numeric").encode()
    else:
        content = "\n".join(table["text"]).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def read(path: Path) -> pl.DataFrame:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        return pl.read_parquet(content)
    if name.endswith(".jsonl"):
        return pl.read_ndjson(content)
    return pl.read_csv(content).with_columns(pl.col(pl.String).fill_null(""))


@pytest.fixture(scope="module")
def expected(folder: Path) -> pl.DataFrame:
    from sentiment.score import score

    return score(TEXTS, folder)


def assert_scored(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    assert (found["text"] == pl.Series(TEXTS)).all()
    for name in ("negative", "neutral", "positive", "score"):
        assert found[name].to_list() == pytest.approx(expected[name].to_list(), abs=1e-9, nan_ok=True)
    assert found["truncated"].to_list() == expected["truncated"].to_list()


class TestFormats:
    @pytest.mark.parametrize(
        "name", ["t.csv", "t.csv.gz", "t.jsonl", "t.jsonl.gz", "t.parquet", "t.txt", "t", "t.txt.gz"]
    )
    def test_into_parquet(self, tmp_path: Path, folder: Path, expected: pl.DataFrame, name: str) -> None:
        source, target = write(tmp_path / name, pl.DataFrame({"text": TEXTS})), tmp_path / "out.parquet"
        result = done(source, "--model", folder, "--out", target)
        assert "5 texts scored in" in result.stderr
        assert result.stdout == ""
        assert_scored(read(target), expected)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["caches", "out.parquet", name])

    @pytest.mark.parametrize("name", ["o.csv", "o.csv.gz", "o.jsonl", "o.jsonl.gz"])
    @pytest.mark.parametrize("given", ["t.jsonl", "t.parquet"])
    def test_out_of_tables_and_objects(
        self, tmp_path: Path, folder: Path, expected: pl.DataFrame, name: str, given: str
    ) -> None:
        source, target = write(tmp_path / given, pl.DataFrame({"text": TEXTS})), tmp_path / name
        done(source, "--model", folder, "--out", target)
        assert_scored(read(target), expected)

    def test_stdin_to_json_lines(self, folder: Path, expected: pl.DataFrame) -> None:
        result = done("-", "--model", folder, "--out", "-", stdin="\r\n".join(TEXTS).encode())
        assert_scored(pl.read_ndjson(result.stdout.encode()), expected)

    def test_stdin_to_json_and_to_a_table(self, folder: Path, expected: pl.DataFrame) -> None:
        text = ("\n".join(TEXTS) + "\n").encode()
        rows = json.loads(done("-", "--model", folder, "--json", stdin=text).stdout)
        assert_scored(pl.DataFrame(rows), expected)
        shown = done("-", "--model", folder, stdin=text).stdout.splitlines()
        assert shown[0].split() == ["text", *expected.columns[:-2]]
        assert len(shown) == 6

    def test_other_columns_stay_as_they_are(self, tmp_path: Path, folder: Path) -> None:
        table = pl.DataFrame(
            {
                "id": ["007", "8"],
                "when": pl.Series(["2020-01-02", "2020-01-03"]).str.to_date(),
                "headline": ["net profit", None],
                "tags": [["a", "b"], []],
                "size": [1.5, None],
            }
        )
        for name in ("t.parquet", "t.jsonl"):
            source = write(tmp_path / name, table)
            target = tmp_path / f"out{source.suffix}"
            done(source, "--column", "headline", "--model", folder, "--out", target)
            assert read(target).drop(NEW, strict=False)[:, :5].equals(read(source))
            assert read(target)["score"].is_null().to_list() == [False, True]
        flat = table.drop("tags")
        done(write(tmp_path / "t.csv", flat), "--column", "headline", "--model", folder, "--out", tmp_path / "c.csv")
        assert (tmp_path / "c.csv").read_text().splitlines()[1].startswith("007,2020-01-02,net profit,1.5,")

    def test_json_values_of_mixed_types(self, tmp_path: Path, folder: Path) -> None:
        source = tmp_path / "t.jsonl"
        lines = [
            '{"text": "a", "x": 1}',
            '{"x": {"y": [2]}, "text": "net \\ud800"}',
            '{"z": null}',
            "",
            '{"text": null}',
        ]
        source.write_text("\n".join(lines))
        done(source, "--model", folder, "--out", tmp_path / "o.jsonl")
        found = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
        assert [{k: row[k] for k in row if k in ("text", "x", "z")} for row in found] == [
            json.loads(line) for line in lines if line
        ]
        assert [row["score"] is None for row in found] == [False, False, True, True]
        done(source, "--model", folder, "--out", tmp_path / "o.csv")
        assert read(tmp_path / "o.csv")["x"].to_list() == ["1", '{"y": [2]}', "", ""]

    def test_a_prefix(self, tmp_path: Path, folder: Path) -> None:
        source = write(tmp_path / "t.csv", pl.DataFrame({"text": ["net"], "score": [1.0]}))
        line = complaint(trifuse(source, "--model", folder, "--out", tmp_path / "o.csv"), 2)
        assert "has a column 'score' already; call ours: --prefix" in line
        done(source, "--model", folder, "--out", tmp_path / "o.csv", "--prefix", "our_")
        assert read(tmp_path / "o.csv").columns[:4] == ["text", "score", "our_negative", "our_neutral"]


class TestSummary:
    def test_as_a_line_and_as_json(self, tmp_path: Path, folder: Path, expected: pl.DataFrame) -> None:
        texts = [*TEXTS, "net " * 5000, "profit\0 up"]
        source = tmp_path / "t.txt"
        source.write_text("\n".join(texts))
        facts = json.loads(done(source, "--model", folder, "--out", tmp_path / "o.csv", "--json").stdout)
        shown = read(tmp_path / "o.csv").drop_nulls("negative")
        best = [max(("negative", "neutral", "positive"), key=row.__getitem__) for row in shown.to_dicts()]
        assert {tone: round(best.count(tone) / 6, 4) for tone in ("negative", "neutral", "positive")} == facts["share"]
        assert facts["mean_score"] == pytest.approx(shown["score"].mean(), abs=1e-4)
        counted = ("texts", "missing", "truncated", "skipped", "with_nul", "from_cache")
        assert [facts[name] for name in counted] == [7, 1, 1, 0, 1, 0]
        assert (facts["model"], facts["trained_through"]) == ("tiny", None)
        assert re.fullmatch("[0-9a-f]{64}", facts["model_sha256"])
        again = done(source, "--model", folder, "--out", tmp_path / "o.csv", "--summary").stderr
        assert "(1 missing, 1 truncated, 1 with NUL bytes, 6 from the cache)" in again
        assert f"7 texts scored in {tmp_path / 'o.csv'} (1 missing" in again
        entropy = shown["entropy"].mean()
        assert facts["mean_entropy"] == pytest.approx(entropy, abs=1e-4)
        assert f"mean entropy {entropy:.2f} of 1.10" in again
        assert "up to a day that its card does not tell (it can: trained_through in trifuse_card.yaml" in again

    def test_embedded_says_how_far_it_has_read(self) -> None:
        text = b"Profit doubles and the outlook is raised\nShares collapse after fraud is revealed\n"
        found = json.loads(done("-", "--summary", "--json", stdin=text).stdout)
        assert found["rows"][0]["score"] > 0 > found["rows"][1]["score"]
        assert found["summary"]["trained_through"] > "2020"


class TestCache:
    def test_the_users_own_by_default(self, folder: Path, own_cache: Path) -> None:
        for wanted in (0, 4):
            text = ("\n".join(TEXTS) + "\n").encode()
            found = json.loads(done("-", "--model", folder, "--json", "--summary", stdin=text).stdout)
            assert found["summary"]["from_cache"] == wanted
        assert own_cache.is_file()

    def test_tells_what_is_done_with_long_texts(self, tmp_path: Path, folder: Path) -> None:
        text = tmp_path / "t.txt"
        text.write_text("Net profit rises. " * 10 + "Loss and outlook cut. " * 30)
        rows = {}
        for long in ("mean", "truncate", "mean"):
            done(text, "--model", folder, "--long", long, "--out", tmp_path / "o.jsonl")
            found = read(tmp_path / "o.jsonl").row(0, named=True)
            assert rows.setdefault(long, found) == found
        assert [rows[long]["truncated"] for long in ("mean", "truncate")] == [False, True]
        assert rows["mean"]["model_sha256"] != rows["truncate"]["model_sha256"]
        assert rows["mean"]["score"] != rows["truncate"]["score"]

    def test_none(self, folder: Path, own_cache: Path) -> None:
        done("-", "--model", folder, "--no-cache", stdin=b"net")
        assert not own_cache.exists()

    def test_a_bad_one(self, tmp_path: Path, folder: Path, own_cache: Path) -> None:
        (tmp_path / "file").touch()
        line = complaint(trifuse("-", "--model", folder, "--cache", tmp_path / "file" / "c", stdin=b"net"), 3)
        assert "cache" in line
        own_cache.parent.parent.write_text("not a folder")
        result = done("-", "--model", folder, stdin=b"net")
        assert "scores are not remembered" in result.stderr
        assert len(result.stdout.splitlines()) == 2

    def test_a_damaged_one_is_one_line(self, folder: Path, own_cache: Path) -> None:
        own_cache.parent.mkdir(parents=True)
        own_cache.write_bytes(b"damaged" * 1000)
        lines = done("-", "--model", folder, stdin=b"net").stderr.splitlines()
        assert [line.split()[0] for line in lines if not line.endswith(" ...")] == ["warning:", "model"]
        assert lines[0].startswith("warning: text cache") or lines[0].endswith(" ...")


KILLED = """
import os, signal, sys
from sentiment.cache import TextCache
from fusion.cli import app
put, puts = TextCache.put, []
def counted(self, *rows):
    put(self, *rows)
    puts.append(rows)
    if len(puts) == 5:
        os.kill(os.getpid(), signal.{signal})
TextCache.put = counted
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
app(sys.argv[1:])
"""


@pytest.mark.parametrize(("name", "code"), [("SIGKILL", -9), ("SIGINT", 130), ("SIGTERM", 143)])
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, folder: Path, name: str, code: int) -> None:
    texts = [f"{i} " + "net profit " * (i % 9) for i in range(200)]
    source, target = write(tmp_path / "t.jsonl", pl.DataFrame({"text": texts})), tmp_path / "out.csv"
    target.write_bytes(b"of yesterday")
    arguments = ["score", str(source), "--model", str(folder), "--out", str(target), "--batch-tokens", "128"]
    command = [sys.executable, "-c", KILLED.format(signal=name), *arguments]
    assert subprocess.run(command, check=False, capture_output=True, timeout=300).returncode == code
    assert target.read_bytes() == b"of yesterday"
    left = {path.name for path in tmp_path.iterdir()} - {"caches", "t.jsonl", "out.csv"}
    assert len(left) == (name == "SIGKILL")
    facts = json.loads(done(*arguments[1:], "--json").stdout)
    assert 0 < facts["from_cache"] < 200
    assert read(target)["text"].to_list() == texts
    assert {path.name for path in tmp_path.iterdir()} == {"caches", "t.jsonl", "out.csv"}
    again = json.loads(done(*arguments[1:], "--json").stdout)
    assert again["from_cache"] == 200


class TestPieces:
    @pytest.mark.parametrize("name", ["t.csv", "t.txt", "t.jsonl", "t.parquet"])
    def test_of_a_large_file_are_its_rows(self, tmp_path: Path, name: str) -> None:
        table = pl.DataFrame({"text": [f"text {i}" + " x" * (i % 7) for i in range(40_000)]})
        file = TextFile(write(tmp_path / name, table))
        pieces = list(file.pieces())
        assert max(len(piece.texts) for piece in pieces) <= 16_384
        assert [text for piece in pieces for text in piece.texts] == table["text"].to_list()
        assert pl.concat([piece.frame(["text"]) for piece in pieces]).equals(table)
        survey = file.survey()
        assert survey is not None
        assert survey.rows == 40_000

    @pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell a process's peak")
    def test_memory_does_not_grow_with_the_file(self, tmp_path: Path) -> None:
        # not ru_maxrss, which a process takes over from the one that started it
        code = (
            "import re, sys, pathlib, fusion.text_files as t\n"
            "rows = t.TextFile(pathlib.Path(sys.argv[1])).survey().rows\n"
            "print(rows, int(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1]) // 1024)"
        )
        held = []
        for count in (200_000, 800_000):
            path = tmp_path / f"{count}.txt.gz"
            with gzip.open(path, "wb", compresslevel=1) as stream:
                stream.writelines(b"%d %s\n" % (i, b"word " * 20) for i in range(count))
            found = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
            rows, mebibytes = map(int, found.stdout.split())
            assert rows == count
            held.append(mebibytes)
        assert held[1] - held[0] < 30, held  # MiB; the larger file has 60 MB more of text

    def test_appended_pieces_are_one_table(self, tmp_path: Path) -> None:
        whole = pl.DataFrame({"a": range(10), "b": [None, *"abcdefghi"], "c": [1.5] * 10})
        for name in ("o.parquet", "o.csv", "o.jsonl", "o.csv.gz"):
            with appending(tmp_path / name) as append:
                for start in range(0, 10, 3):
                    append(whole[start : start + 3])
                assert not (tmp_path / name).exists()
            assert read(tmp_path / name).select("a", "c").equals(whole.select("a", "c"))

    @pytest.mark.parametrize("name", ["o.csv", "o.csv.gz"])
    def test_an_error_leaves_nothing(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(pl.exceptions.PolarsError), appending(tmp_path / name) as append:
            append(pl.DataFrame({"a": [[1]]}))
        assert not list(tmp_path.iterdir())

    def test_what_a_living_process_writes_is_left(self, tmp_path: Path) -> None:
        (tmp_path / ".o.csv.1").touch()
        (tmp_path / f".o.csv.{2**30}").touch()
        with appending(tmp_path / "o.csv") as append:
            append(pl.DataFrame({"a": [1]}))
        assert sorted(path.name for path in tmp_path.iterdir()) == [".o.csv.1", "o.csv"]


class TestBadInput:
    @pytest.mark.parametrize(
        ("name", "content", "problem"),
        [
            ("t.txt", b"", "t.txt is empty (0 bytes)"),
            ("t.csv", b"", "is empty"),
            ("t.jsonl", b"", "is empty"),
            ("t.parquet", b"", "is empty"),
            ("t.csv", b"a,b\n1,2\n", "has no column 'text'; allowed: a, b; name it with --column"),
            ("t.jsonl", b'{"a": 1, "b": 2}\n', "has no column 'text'; allowed: a, b"),
            ("t.jsonl", b'{"text": "a"}\n{"text": 5}\n', "line 2: the value of 'text' is no text"),
            ("t.jsonl", b'{"text": "a"}\n\n[1]\n', "line 3: not a JSON object"),
            ("t.json", b'[{"text": "a"}]\n', "line 1: not a JSON object"),
            ("t.csv", b"text,b\nx,1\ny, z,2\n", "line 3: not as many fields as the header has names"),
            ("t.csv", b'text,b\n"x,1\n', "a quote is not closed; if quotes mean nothing: --no-quotes"),
            ("t.csv", b"text,text\nx,1\n", "the first line is not a header"),
            ("t.csv", b"text,text\nx,1\n", "if it is data: --header name,name,... or --no-header"),
            ("t.csv", b"day;text\n1;a, b\n", "allowed: day;text; try --delimiter ';'"),
            ("t.csv", b"day\ttext\n1\ta\n", "try --delimiter $'\\t'"),
            ("t.tsv", b"day,text\n1,a\n", "try --delimiter ','"),
            (
                "t.csv",
                b"Jul 18 2020,Profit rises at the bank again\n",
                "looks like data: if it is, --header",
            ),
            ("t.csv", b"2020-07-18,Profit\n", "the first line looks like data"),
            ("t.csv.gz", b"\x1f\x8b\x08truncated", "truncated or damaged"),
            ("t.parquet", b"PAR1", "is a damaged Parquet file"),
            ("t.parquet", b"text\nx\n", "is not a Parquet file"),
            ("t.txt", b"good\nb\xe9d\n", "line 2: byte 0xe9 is not utf-8; say its encoding, e.g. --encoding latin-1"),
            ("t.csv", b"text\nb\xe9d\n", "line 2: byte 0xe9 is not utf-8"),
            ("t.txt", "text\nmore".encode("utf-16"), "byte 0xff is not utf-8"),
            ("t.txt", "text\nmore".encode("utf-16-le"), "is full of NUL bytes"),
        ],
    )
    def test_files(self, tmp_path: Path, name: str, content: bytes, problem: str) -> None:
        path, target = tmp_path / name, tmp_path / "out.csv"
        path.write_bytes(content)
        assert problem in complaint(trifuse(path, "--out", target), 3)
        assert not target.exists()

    def test_stdin(self) -> None:
        assert "stdin is empty" in complaint(trifuse("-", "--no-cache", stdin=b""), 3)
        assert "stdin, line 2: byte 0xff" in complaint(trifuse("-", "--no-cache", stdin=b"a\n\xff\n"), 3)

    def test_columns_of_other_types(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.parquet", pl.DataFrame({"text": [1], "lists": [[1]]}))
        assert "column 'text' of" in complaint(trifuse(path), 3)
        path = write(tmp_path / "t.parquet", pl.DataFrame({"text": ["a"], "lists": [[1]]}))
        line = complaint(trifuse(path, "--out", tmp_path / "o.csv"), 2)
        assert "column 'lists' of" in line
        assert "o.csv cannot; allowed: --out .parquet" in line

    def test_bad_rows_are_left_out_when_told(self, tmp_path: Path, folder: Path) -> None:
        path = tmp_path / "t.csv"
        path.write_text("text,b\nnet,1\nprofit, up,2\nloss\nfalls,4\n")
        found = json.loads(
            done(path, "--model", folder, "--skip-bad", "--json", "--out", tmp_path / "o.csv", "--no-cache").stdout
        )
        assert (found["texts"], found["skipped"]) == (2, 2)
        assert read(tmp_path / "o.csv")["text"].to_list() == ["net", "falls"]

    def test_another_encoding_and_delimiter(self, tmp_path: Path, folder: Path) -> None:
        path = tmp_path / "t.csv"
        path.write_bytes("text;b\ncafé net;1\n".encode("latin-1"))
        options = ("--model", folder, "--encoding", "latin-1", "--delimiter", ";", "--json")
        assert json.loads(done(path, *options).stdout)[0]["text"] == "café net"

    @pytest.mark.parametrize(
        ("options", "columns"),
        [(["--column", "2", "--no-header"], ["1", "2", "3"]), (["--header", "day, text,b"], ["day", "text", "b"])],
    )
    def test_a_file_without_a_header(
        self, tmp_path: Path, folder: Path, options: list[str], columns: list[str]
    ) -> None:
        path = tmp_path / "t.csv"
        path.write_text('Jul 18,"net, profit",x\nJul 19,"loss\nfalls",y\n')
        rows = json.loads(done(path, "--model", folder, *options, "--json").stdout)
        assert list(rows[0])[:3] == columns
        assert [row[columns[1]] for row in rows] == ["net, profit", "loss\nfalls"]
        assert "has no column '4'; allowed: 1, 2, 3" in complaint(trifuse(path, "--no-header", "--column", "4"), 3)

    def test_quotes_that_mean_nothing(self, tmp_path: Path, folder: Path) -> None:
        path = tmp_path / "t.csv"
        path.write_text('text\n"net\n')
        assert json.loads(done(path, "--model", folder, "--no-quotes", "--json").stdout)[0]["text"] == '"net'

    def test_a_model_whose_labels_say_nothing_tells_the_option(self, tmp_path: Path, folder: Path) -> None:
        import shutil

        copy = shutil.copytree(folder, tmp_path / "unnamed")
        settings = json.loads((copy / "config.json").read_text())
        settings["id2label"] = {str(place): f"LABEL_{place}" for place in range(3)}
        settings["label2id"] = {f"LABEL_{place}": place for place in range(3)}
        (copy / "config.json").write_text(json.dumps(settings))
        line = complaint(trifuse("-", "--model", copy, stdin=b"net"), 4)
        option = "LABEL_0=negative,LABEL_1=neutral,LABEL_2=positive"
        assert f"--label {option}" in line
        assert json.loads(done("-", "--model", copy, "--label", option, "--json", stdin=b"net").stdout)

    def test_a_long_text_and_odd_characters(self, tmp_path: Path, folder: Path) -> None:
        texts = ["net profit " * 20_000, "a\0b", "\x07\x1b[31m", "😀" * 50, "利润 上升", "\u202e\u200b"]
        path = write(tmp_path / "t.csv", pl.DataFrame({"text": texts}))
        rows = json.loads(done(path, "--model", folder, "--json").stdout)
        assert [row["text"] for row in rows] == texts
        assert rows[0]["truncated"]

    @pytest.mark.parametrize(
        ("options", "problem", "code"),
        [
            (["--label", "LABEL_0=good"], "--label 'LABEL_0=good'; allowed: NAME=TONE", 2),
            (["--label", "a=negative,a=positive"], "names 'a' twice", 2),
            (["--label", "nothing=negative"], "--label names ['nothing']; allowed: the model's labels", 4),
            (["--out", "nowhere/o.csv"], "folder nowhere does not exist", 2),
            (["--out", "o.xlsx"], "tells no format; allowed: .parquet, .csv, .jsonl", 2),
            (["--encoding", "utf-99"], "--encoding 'utf-99'", 2),
            (["--delimiter", "ab"], "--delimiter 'ab'", 2),
            (["--max-length", "100000"], "--max-length 100000; allowed: 8 to", 2),
            (["--batch-tokens", "0"], "--batch-tokens 0; allowed", 2),
            (["--long", "short"], "--long 'short'; allowed: mean, first, max, truncate", 2),
            (["--precision", "float8"], "--precision 'float8'; allowed: auto, float32", 2),
            (["--device", "abacus"], "--device 'abacus'", 2),
            (["--no-header"], "--no-header, but", 2),
            (["--header", "a,b"], "--header, but", 2),
            (["--json", "--out", "-"], "both are for stdout", 2),
        ],
    )
    def test_options(self, tmp_path: Path, folder: Path, options: list[str], problem: str, code: int) -> None:
        source = write(tmp_path / "t.txt", pl.DataFrame({"text": TEXTS}))
        assert problem in complaint(trifuse(source, "--model", folder, *options), code)

    def test_the_file_itself_is_not_overwritten(self, tmp_path: Path) -> None:
        source = write(tmp_path / "t.csv", pl.DataFrame({"text": TEXTS}))
        assert f"--out {source} is the file {source}" in complaint(trifuse(source, "--out", source), 2)
        before = source.read_bytes()
        assert f"--cache {source} is the file" in complaint(trifuse(source, "--cache", source), 2)
        assert source.read_bytes() == before
        assert "is a folder" in complaint(trifuse(tmp_path), 3)
        assert "no/such.csv cannot be read" in complaint(trifuse("no/such.csv"), 3)

    def test_too_many_to_show(self, tmp_path: Path, folder: Path) -> None:
        source = write(tmp_path / "t.txt", pl.DataFrame({"text": ["net"] * 1001}))
        for result in (trifuse(source), trifuse("-", "--model", folder, stdin=source.read_bytes())):
            assert "more than 1,000 texts to show; write them: --out" in complaint(result, 2)

    def test_models_that_cannot_be(self, tmp_path: Path, folder: Path) -> None:
        import shutil

        source = write(tmp_path / "t.txt", pl.DataFrame({"text": TEXTS}))
        for missing, problem in (("tokenizer.json", "has no tokenizer"), ("model.safetensors", "pytorch_model.bin")):
            copy = tmp_path / f"without {missing}"
            shutil.copytree(folder, copy)
            for path in [copy / missing, *(copy.glob("vocab*") if missing == "tokenizer.json" else [])]:
                path.unlink(missing_ok=True)
            (copy / "pytorch_model.bin").write_bytes(b"\x80\x04.")
            assert problem in complaint(trifuse(source, "--model", copy), 4)
        assert "no model folder './nothing'" in complaint(trifuse(source, "--model", "./nothing"), 4)
