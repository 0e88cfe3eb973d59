"""`trifuse link`: from a file of texts to a file of links."""

import json
from pathlib import Path

import polars as pl
import pytest
from test_cli import complaint, trifuse

TEXTS = ["Target beats estimates, Walmart does not", "$FB falls", "an apple pie", "Rain", "$META rises", None]
TIMES = ["2019-06-03", "2019-06-03T15:00:00Z", "2019-06-03", "2019-06-03", "2023-01-03", "2023-01-03"]


@pytest.fixture
def news(tmp_path: Path) -> Path:
    frame = pl.DataFrame({"id": list("abcdef"), "date": TIMES, "headline": TEXTS})
    frame.write_csv(tmp_path / "news.csv")
    frame.write_parquet(tmp_path / "news.parquet")
    frame.write_ndjson(tmp_path / "news.jsonl")
    return tmp_path / "news.csv"


def test_a_file_becomes_files(news: Path, tmp_path: Path) -> None:
    out, rejected = tmp_path / "links.parquet", tmp_path / "rejected.csv"
    arguments = [
        "--column",
        "headline",
        "--time",
        "date",
        "--item",
        "id",
        "--out",
        str(out),
        "--rejected",
        str(rejected),
    ]
    expected = [("a", "TGT"), ("a", "WMT"), ("b", "FB"), ("e", "META")]
    for kind in ("csv", "parquet", "jsonl"):
        result = trifuse("link", str(news.with_suffix(f".{kind}")), *arguments)
        assert result.exit_code == 0, result.output
        assert pl.read_parquet(out).select("item", "entity").rows() == expected
        assert pl.read_csv(rejected).select("item", "entity", "reason").rows() == [("c", "AAPL", "never")]
        told = "6 texts: 3 linked (4 links), 2 name nobody, 1 without text, 0 left out; 1 candidates turned down"
        assert told in result.stderr


def test_lines_of_one_day_as_json() -> None:
    result = trifuse("link", "-", "--day", "2019-06-03", "--json", text="Apple sues Microsoft. It won\nRain\n")
    answer = json.loads(result.stdout)
    assert [(row["item"], row["entity"]) for row in answer["links"]] == [(0, "AAPL"), (0, "MSFT")]
    assert answer["counts"]["unnamed"] == 1


def test_passages_and_masks_are_shown() -> None:
    result = trifuse("link", "-", "--day", "2019-06-03", "--passages", "--mask", text="Apple sues Microsoft. It won.\n")
    assert "company sues another company. It won." in result.stdout
    assert "another company sues company." in result.stdout


def test_own_names_and_what_is_wrong_with_them(tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text("entity,name,kind\nX,Xylo,name\nY,,name\n")
    result = trifuse("link", "-", "--day", "2019-06-03", "--names", str(tmp_path / "names.csv"), text="xylo wins")
    assert result.exit_code == 0
    assert "1 rows set aside" in result.stderr
    assert "row 2: no_name (entity 'Y', name '', kind 'name'); allowed: a name with a letter" in result.stderr
    assert "Xylo" in result.stdout


def test_of_many_bad_rows_ten_are_told(tmp_path: Path) -> None:
    bad = "".join(f"Y{row},Ylo{row},nick\n" for row in range(12))
    (tmp_path / "names.csv").write_text(f"entity,name,kind\nX,Xylo,name\n{bad}")
    result = trifuse("link", "-", "--day", "2019-06-03", "--names", str(tmp_path / "names.csv"), text="xylo wins")
    lines = [line for line in result.stderr.splitlines() if "unknown_kind" in line]
    assert len(lines) == 10
    assert "row 11: unknown_kind (entity 'Y9', name 'Ylo9', kind 'nick'); allowed: name, alias, ticker" in lines[-1]
    assert "and 2 more" in result.stderr


def test_a_file_without_a_header(tmp_path: Path) -> None:
    path = tmp_path / "news.csv"
    path.write_text("2019-06-03,Apple sues Microsoft today\n")
    arguments = ["link", str(path), "--no-header", "--column", "2", "--json"]
    found = json.loads(trifuse(*arguments, "--time", "1").stdout)
    assert [row["entity"] for row in found["links"]] == ["AAPL", "MSFT"]
    assert "has no column 'date'; allowed: 1, 2; name it with --time" in complaint(
        trifuse(*arguments, "--time", "date")
    )


def test_a_day_without_a_time_is_that_day_in_any_time_zone(tmp_path: Path) -> None:
    (tmp_path / "news.csv").write_text("date,text\n2022-06-09,Facebook\n2022-06-09T05:00:00,Facebook\n")
    arguments = ["link", str(tmp_path / "news.csv"), "--time", "date", "--timezone", "Asia/Tokyo", "--json"]
    answer = json.loads(trifuse(*arguments).stdout)
    assert [row["entity"] for row in answer["links"]] == ["META", "FB"]


def test_undated_texts_stop_it_or_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "news.csv").write_text("date,text\n2019-06-03,Apple\nsoon,Apple\n,Apple\n")
    arguments = ["link", str(tmp_path / "news.csv"), "--time", "date"]
    assert "text 1 (from 0) has no time" in complaint(trifuse(*arguments))
    assert "2 left out" in trifuse(*arguments, "--skip-bad").stderr


def test_half_a_character_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "news.jsonl"
    path.write_text('{"text": "\\ud800 Apple rises", "date": "2019-06-03"}\n')
    answer = json.loads(trifuse("link", str(path), "--time", "date", "--mask", "--json").stdout)
    assert [(row["entity"], row["text"]) for row in answer["links"]] == [("AAPL", "? company rises")]


def test_files_do_not_overwrite_each_other(news: Path, tmp_path: Path) -> None:
    before, arguments = news.read_bytes(), ["link", str(news), "--column", "headline", "--time", "date", "--out"]
    assert "is the file" in complaint(trifuse(*arguments, str(news)))
    links = str(tmp_path / "links.csv")
    assert "--rejected" in complaint(trifuse(*arguments, links, "--rejected", links))
    assert not Path(links).exists()
    assert news.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["-"], 2, "neither --time nor --day"),
        (["-", "--day", "2019-06-03", "--time", "t"], 2, "both --time and --day"),
        (["-", "--day", "June"], 2, "--day 'June'"),
        (["-", "--time", "date", "--timezone", "Mars"], 2, "--timezone 'Mars'"),
        (["-", "--day", "2019-06-03", "--out", "links.xls"], 2, "tells no format"),
        (["-", "--day", "2019-06-03", "--names", "no.csv"], 3, "no.csv cannot be read"),
        (["no.csv", "--day", "2019-06-03"], 3, "no.csv"),
        (["-", "--time", "date"], 3, "no column 'date'"),
    ],
)
def test_what_it_cannot_do_is_one_line(arguments: list[str], code: int, told: str) -> None:
    result = trifuse("link", *arguments, text="Apple\n")
    assert result.exit_code == code
    assert told in complaint(result)


def test_a_key_that_no_object_has_is_a_missing_column(tmp_path: Path) -> None:
    file = tmp_path / "news.jsonl"
    file.write_text('{"text": "Apple rises", "date": "2019-06-03"}\n{"text": "Apple falls"}\n')
    assert "has no column 'x'; allowed: text, date" in complaint(trifuse("link", str(file), "--time", "x"))
    # a key that one of them lacks is a row without a time
    assert "text 1 (from 0) has no time" in complaint(trifuse("link", str(file), "--time", "date"))
