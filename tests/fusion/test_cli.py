"""The command line: answers on stdout, complaints on stderr in one line, exit codes that scripts can rely on."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from fusion.cli import app
from fusion.console import Commands, option_bytes
from fusion.table_files import encode, newest, write_table
from gpu_kernels.errors import (
    ArgumentError,
    ConfigError,
    DataError,
    DeviceError,
    LeakError,
    ModelError,
    QuarantineError,
    TrifuseError,
)

CONFIGS = Path(__file__).resolve().parent.parent.parent / "configs"
DEMO = str(CONFIGS / "demo.yaml")
COMMANDS = (
    "run",
    "ingest",
    "features",
    "signals",
    "describe",
    "schema",
    "config",
    "score",
    "evaluate",
    "link",
    "vintages",
    "simulate",
    "verify",
)


def trifuse(*arguments: str, text: str | None = None, terminal_width: int = 200) -> Result:
    return CliRunner().invoke(app, list(arguments), input=text, env={"COLUMNS": str(terminal_width), "NO_COLOR": "1"})


def complaint(result: Result) -> str:
    """The one line on stderr."""
    assert "Traceback" not in result.stderr
    # on a slow machine a stage that lasts is told too
    lines = [line for line in result.stderr.strip().splitlines() if not line.endswith(" ...")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def process(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fusion.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | more, check=False, timeout=300)


class TestHelp:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_shows_an_example(self, command: str) -> None:
        result = trifuse(command, "--help")
        assert result.exit_code == 0
        assert re.search(rf"Examples:\s.*trifuse {command}|trifuse {command} ", result.stdout)

    def test_commands_and_exit_codes_are_listed(self) -> None:
        shown = trifuse("--help").stdout
        for command in COMMANDS:
            assert re.search(rf"\b{command} ", shown)
        for code in ("130", "70"):
            assert code in shown

    def test_no_arguments_is_help(self) -> None:
        assert "Usage" in trifuse().output

    def test_version(self) -> None:
        assert re.fullmatch(r"trifuse \d+\.\d+\.\d+\S*\n", trifuse("--version").stdout)

    def test_help_loads_nothing_heavy(self) -> None:
        heavy = ("numpy", "polars", "numba", "pandas", "lightgbm", "pyarrow", "plotly", "torch", "sources", "sentiment")
        code = f"import sys, fusion.cli; print([name for name in {heavy!r} if name in sys.modules])"
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == "[]"


def failing(error: BaseException) -> typer.Typer:
    """A command line that raises."""
    broken = typer.Typer(cls=Commands, pretty_exceptions_enable=False)

    @broken.callback()
    def options(debug: bool = False) -> None:
        pass

    @broken.command()
    def fail() -> None:
        raise error

    return broken


@pytest.mark.parametrize(
    ("text", "expected"), [("512MB", 512 * 2**20), ("4GB", 2**32), ("1.5 GiB", 3 * 2**29), ("8k", 8192), ("1T", 2**40)]
)
def test_amounts_of_memory(text: str, expected: int) -> None:
    assert option_bytes("--memory", text) == expected


@pytest.mark.parametrize("text", ["", "4", "GB", "-1GB", "0GB", "4 GB or so"])
def test_what_is_no_amount_of_memory(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--memory is .*allowed: an amount such as 512MB or 4GB"):
        option_bytes("--memory", text)


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (TrifuseError("x"), 1),
            (ArgumentError("x"), 2),
            (ConfigError("x"), 2),
            (DataError("x"), 3),
            (QuarantineError("x"), 3),
            (ModelError("x"), 4),
            (DeviceError("x"), 5),
            (LeakError("x"), 6),
            (PermissionError(13, "Permission denied", "/some/file"), 1),
            (OSError(28, "No space left on device"), 1),
            (MemoryError(), 1),
            (KeyError("x"), 70),
            (RuntimeError("two\nlines"), 70),
            (KeyboardInterrupt(), 130),
        ],
    )
    def test_one_line_and_its_exit_code(self, error: BaseException, code: int) -> None:
        result = CliRunner().invoke(failing(error), ["fail"])
        assert result.exit_code == code
        complaint(result)
        assert result.stdout == ""

    def test_markup_in_a_message_is_left_alone(self) -> None:
        result = CliRunner().invoke(failing(DataError("columns [bold]open[/] and [close]")), ["fail"])
        assert complaint(result) == "error: columns [bold]open[/] and [close]"

    def test_long_messages_stay_one_line(self) -> None:
        result = CliRunner().invoke(failing(DataError("word " * 400)), ["fail"], env={"COLUMNS": "60"})
        assert len(complaint(result)) > 1500

    def test_debug_shows_where(self) -> None:
        result = CliRunner().invoke(failing(DataError("x")), ["--debug", "fail"])
        assert isinstance(result.exception, DataError)

    def test_unknown_command_and_option(self) -> None:
        assert trifuse("frobnicate").exit_code == 2
        assert trifuse("run", DEMO, "--frobnicate").exit_code == 2
        assert trifuse("run").exit_code == 2

    def test_interrupt_of_a_real_process(self) -> None:
        code = (
            "import time, typer\nfrom fusion.console import Commands\napp = typer.Typer(cls=Commands)\n"
            "@app.callback()\ndef options() -> None: ...\n"
            "@app.command()\ndef wait() -> None:\n    print('ready', flush=True)\n    time.sleep(60)\napp(['wait'])"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            child.send_signal(signal.SIGINT)
            _, err = child.communicate(timeout=30)
        assert child.returncode == 130
        assert err.strip() == "error: interrupted"

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (("config", "--check", "no/such.yaml"), 2),
            (("describe", "no/such.csv"), 3),
            (("signals", "no/such/run"), 3),
            (("schema", "no_such_table"), 2),
            (("score", "no/such.txt"), 3),
        ],
    )
    def test_real_processes_exit_with_the_code(self, arguments: tuple[str, ...], code: int) -> None:
        done = process(*arguments)
        assert done.returncode == code
        assert done.stdout == ""
        assert re.fullmatch(r"error: .*\n", done.stderr)

    def test_reader_that_closes_early_sees_no_traceback(self) -> None:
        command = f"{sys.executable} -m fusion.cli schema --json | head -n 1"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        assert done.stdout == "{\n"
        assert "Traceback" not in done.stderr


class TestConfig:
    def test_check(self) -> None:
        result = trifuse("config", "--check", DEMO)
        assert result.exit_code == 0
        assert "is right" in result.stdout

    def test_check_as_json(self) -> None:
        found = json.loads(trifuse("config", "--check", "--json", DEMO).stdout)
        assert found["ok"] is True
        assert found["name"] == "demo"
        assert set(found["files"].values()) == {"simulated"}

    def test_printed_config_is_a_config(self, tmp_path: Path) -> None:
        first = trifuse("config", DEMO, "--set", "model.trees=7")
        copy = tmp_path / "copy.yaml"
        copy.write_text(first.stdout)
        assert yaml.safe_load(first.stdout)["model"]["trees"] == 7
        assert trifuse("config", str(copy)).stdout == first.stdout

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ("model.trees=many", "model.trees"),
            ("nonsense=1", "nonsense"),
            ("start", "key=value"),
            ("targets.primary=7min", "7min"),
        ],
    )
    def test_wrong_keys_are_named(self, change: str, named: str) -> None:
        result = trifuse("config", "--check", DEMO, "--set", change)
        assert result.exit_code == 2
        assert named in complaint(result)

    def test_features_that_cannot_be_made_are_all_named_by_check(self) -> None:
        wanted = "features.book=[book_cost_buy, book_nonsense, book_spoofing, book_ofi_30s]"
        result = trifuse("config", "--check", DEMO, "--set", wanted)
        assert result.exit_code == 2
        said = complaint(result)
        assert "'book_cost_buy', which needs `cost_size`" in said
        assert "'book_spoofing', which needs `trades`" in said
        assert "features.book names 'book_nonsense'" in said
        assert "names 'book_ofi_30s'" not in said

    def test_features_that_all_leaves_out_are_told_by_check(self) -> None:
        wanted = ("--set", "features.book=all")
        (said,) = json.loads(trifuse("config", "--check", "--json", DEMO, *wanted).stdout)["warnings"]
        assert said.startswith("features.book is all, but not made: ")
        assert "book_spoofing" in said
        assert "(for want of sources.book.trades)" in said
        assert f"warning: {said}" in trifuse("config", "--check", DEMO, *wanted).stdout

    def test_missing_files_are_found_by_check(self, tmp_path: Path) -> None:
        tree = yaml.safe_load((CONFIGS / "demo.yaml").read_text())
        tree["sources"]["bars"]["files"] = str(tmp_path / "bars-*.csv")
        mine = tmp_path / "mine.yaml"
        mine.write_text(yaml.safe_dump(tree))
        result = trifuse("config", "--check", str(mine))
        assert result.exit_code == 3
        assert "bars-*.csv" in complaint(result)

    def test_the_example_of_the_help_is_right(self, tmp_path: Path) -> None:
        shown = trifuse("config", "--help", terminal_width=120).stdout
        text = shown[shown.index("name: mine") : shown.index("features: {bars: all}") + len("features: {bars: all}")]
        lines = [line.rstrip(" │") for line in text.splitlines()]
        margin = min(len(line) - len(line.lstrip()) for line in lines[1:])
        mine = tmp_path / "mine.yaml"
        mine.write_text("\n".join([lines[0], *[line[margin:] for line in lines[1:]]]))
        result = trifuse("config", str(mine))
        assert result.exit_code == 0, result.output


class TestSchema:
    def test_json_lists_every_table_and_feature(self) -> None:
        from fusion.features import REGISTRY
        from sources.schema import TABLES

        found = json.loads(trifuse("schema", "--json").stdout)
        assert [table["name"] for table in found["tables"]] == list(TABLES)
        assert [feature["name"] for feature in found["features"]] == [spec.name for spec in REGISTRY]
        for feature in found["features"]:
            assert feature["unit"], feature
            assert feature["missing"], feature

    def test_one_table_with_its_features(self) -> None:
        found = json.loads(trifuse("schema", "bar", "--json").stdout)
        assert [table["name"] for table in found["tables"]] == ["bar"]
        assert {feature["family"] for feature in found["features"]} == {"bar"}

    @pytest.mark.parametrize(
        ("name", "specs"),
        [
            ("book_ofi_30s", {"book_ofi_<time>"}),
            ("book_ofi", {"book_ofi_<time>", "book_ofi_levels_<time>"}),
            ("trade_hawkes", {"trade_hawkes_imbalance"}),
        ],
    )
    def test_a_half_life_and_the_first_words_find_their_features(self, name: str, specs: set[str]) -> None:
        found = json.loads(trifuse("schema", name, "--json").stdout)
        assert specs <= {feature["name"] for feature in found["features"]}
        assert all(feature["name"].startswith(name.removesuffix("_30s")) for feature in found["features"])

    @pytest.mark.parametrize(
        ("name", "spec"),
        [
            ("bar_rsi_21", "bar_rsi_<bars>"),
            ("bar_macd_5_13_6", "bar_macd_<fast>_<slow>_<signal>"),
            ("bar_forecast_30min", "bar_forecast_<time>"),
            ("event_minutes_to_fomc", "event_minutes_to_<kind>"),
        ],
    )
    def test_a_name_with_parameters_finds_its_feature(self, name: str, spec: str) -> None:
        found = json.loads(trifuse("schema", name, "--json").stdout)
        assert [feature["name"] for feature in found["features"]] == [spec]

    @pytest.mark.parametrize(
        ("name", "specs"),
        [
            ("ADX", {"bar_adx_<bars>"}),
            ("rsi", {"bar_rsi_<bars>"}),
            ("natr", {"bar_atr_<bars>"}),
            ("BBANDS", {"bar_bollinger_position_<bars>", "bar_bollinger_width_<bars>"}),
            ("market", {"bar_market_correlation_<time>", "bar_market_beta_<time>"}),
            ("Chaikin", {"bar_chaikin_<fast>_<slow>"}),
        ],
    )
    def test_groups_talib_and_words_of_the_meaning(self, name: str, specs: set[str]) -> None:
        found = json.loads(trifuse("schema", name, "--json").stdout)
        # a group of one name may be of bars and of news
        assert {f["name"] for f in found["features"] if f["name"].startswith("bar_")} == specs

    def test_the_groups_of_volatility_and_technical(self) -> None:
        from fusion.features import bar

        for group in ("volatility", "technical"):
            found = json.loads(trifuse("schema", group, "--json").stdout)
            assert [f["name"] for f in found["features"]] == [f.spec.name for f in bar.features_of(group)]

    def test_every_function_of_talib_has_features_or_is_told_to_have_none(self) -> None:
        from fusion.features import REGISTRY
        from fusion.features.lookup import FEATURES_OF_TA_LIB, specs_of
        from gpu_kernels.errors import ConfigError
        from gpu_kernels.technical.names import TA_LIB

        assert set(FEATURES_OF_TA_LIB) <= set(TA_LIB)
        for name in TA_LIB:
            if name in FEATURES_OF_TA_LIB:
                assert 0 < len(specs_of(name)) < 5 < len(REGISTRY)
            else:
                with pytest.raises(ConfigError, match="is no feature; in Python it is gpu_kernels"):
                    specs_of(name)

    def test_none_found_tells_what_is_near(self) -> None:
        said = complaint(trifuse("schema", "volatlity"))
        assert "did you mean volatility or" in said
        assert len(said) < 500

    def test_many_are_a_short_table_and_one_is_told_whole(self) -> None:
        lines = trifuse("schema", "bar").stdout.splitlines()
        assert not [line for line in lines if line != line.rstrip()]
        assert "Wilder 1978" not in "".join(lines)
        assert max(map(len, lines)) < 400
        whole = trifuse("schema", "bar_rsi_21").stdout
        assert {"name", "unit", "clock", "meaning", "missing", "source"} <= {
            line.split(":")[0] for line in whole.splitlines()
        }

    def test_words(self) -> None:
        shown = trifuse("schema", "book_update").stdout
        assert "Level-2 update" in shown
        assert "sequence" in shown

    def test_durations_of_a_news_feature_are_in_its_meaning(self) -> None:
        (found,) = json.loads(trifuse("schema", "news_surprise_6h_10d", "--json").stdout)["features"]
        assert found["name"] == "news_surprise_6h_10d"
        assert "(news_tone of 6h - usual)" in found["meaning"]
        assert "of 10d, as they stood 6h ago" in found["meaning"]
        assert "items in 10d up to then" in found["missing"]

    def test_news_tell_their_groups_and_the_weight_once(self) -> None:
        shown = trifuse("schema", "news").stdout
        assert shown.count("w relevance times what a repeat counts") == 1
        assert shown.count("w as above") > 5
        assert re.search(r"news_statement_days +statement", shown)
        assert re.search(r"news_market_tone_<time> +market", shown)


def test_a_long_stage_is_told_once_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fusion import console

    monkeypatch.setattr(console, "PATIENCE", 0.01)
    for quiet, told in ((False, ["loading ..."]), (True, [])):
        with console.progress(quiet) as advance:
            advance("loading", None)
            for thread in threading.enumerate():
                if isinstance(thread, threading.Timer):
                    thread.join()
            advance("loading: half", 0.5)
            monkeypatch.setattr(console, "PATIENCE", 3600.0)
            advance("features", None)
        monkeypatch.setattr(console, "PATIENCE", 0.01)
        said = capsys.readouterr()
        assert (said.out, said.err.splitlines()) == ("", told)


class TestFiles:
    def test_describe(self, tmp_path: Path) -> None:
        file = tmp_path / "values.csv"
        file.write_text("ticker,end_time,close\nACME,2024-01-02T15:00:00Z,10\nACME,2024-01-02T15:01:00Z,11\n")
        assert json.loads(trifuse("describe", str(file), "--json").stdout)["rows"] == 2
        words = trifuse("describe", str(file))
        assert words.exit_code == 0
        assert "ticker" in words.stdout

    def test_simulate(self, tmp_path: Path) -> None:
        target = tmp_path / "market"
        found = json.loads(trifuse("simulate", str(target), "--sessions", "2", "--seed", "3", "--json").stdout)
        assert {item["file"] for item in found["files"]} == {path.name for path in target.iterdir()}
        again = trifuse("simulate", str(target))
        assert again.exit_code == 2
        assert "not empty" in complaint(again)

    def test_simulate_with_a_wrong_number(self, tmp_path: Path) -> None:
        result = trifuse("simulate", str(tmp_path / "market"), "--sessions", "-5")
        assert result.exit_code == 2
        assert "sessions" in complaint(result)
        assert not (tmp_path / "market").exists()


class TestTableFiles:
    SIGNALS = pl.DataFrame(
        {"entity": ["B", "A", "A", "B"], "decision_time": [1, 1, 3, 2], "score": [0.1, 0.2, float("nan"), 0.4]}
    )

    def test_newest_is_the_last_row_of_each_entity(self) -> None:
        assert newest(self.SIGNALS).rows()[1] == ("B", 2, 0.4)
        assert newest(self.SIGNALS)["decision_time"].to_list() == [3, 2]
        assert newest(self.SIGNALS.clear()).is_empty()

    def test_formats_write_missing_values_as_missing(self) -> None:
        assert encode(self.SIGNALS, "csv").splitlines()[3] == b"A,3,"
        assert json.loads(encode(self.SIGNALS, "jsonl").splitlines()[2])["score"] is None
        with pytest.raises(ConfigError, match=r"format 'xml' is not known; allowed: parquet, csv, jsonl"):
            encode(self.SIGNALS, "xml")

    def test_a_failed_write_leaves_the_old_file(self, tmp_path: Path) -> None:
        target = tmp_path / "out.csv"
        write_table(self.SIGNALS, target)
        before = target.read_bytes()
        with pytest.raises(pl.exceptions.PolarsError):
            write_table(pl.DataFrame({"nested": [[1, 2]]}), target)
        assert target.read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]

    def test_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"nowhere does not exist"):
            write_table(self.SIGNALS, tmp_path / "nowhere" / "out.csv")
