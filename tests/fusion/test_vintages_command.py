"""`trifuse vintages`: what was known of metrics when, from files and from the lake."""

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import Result
from typer.testing import CliRunner

from fusion.cli import app
from gpu_kernels.errors import ConfigError, DataError
from sources.config import parse_source
from sources.lake import ingest

HEAD = "entity,metric,event_time,known_time,value\n"
ROWS = ["A,m,2020-01-01,2020-01-02,1", "A,m,2020-01-02,2020-01-03,2", "A,m,2020-01-01,2020-01-05,1.5"]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(HEAD + "\n".join(ROWS) + "\n")
    return path


def vintages(*arguments: object) -> Result:
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(app, ["vintages", *words], env={"COLUMNS": "200", "NO_COLOR": "1"})


def values(*arguments: object) -> list[float]:
    return [row["value"] for row in json.loads(vintages(*arguments, "--json").stdout)]


def test_the_series_as_known_at_a_time(log: Path) -> None:
    # a day as known time counts as its end
    assert values(log, "--at", "2020-01-04") == [1.0, 2.0]
    assert values(log, "--at", "2020-01-03T23:59:59Z") == [1.0]
    assert values(log, "--latest") == [1.5, 2.0]
    assert values(log, "--first") == [1.0, 2.0]
    assert values(log, "--at", "2020-01-01") == []


def test_a_summary_and_revisions(log: Path) -> None:
    (row,) = json.loads(vintages(log, "--json").stdout)
    assert (row["facts"], row["vintages"], row["revised"], row["mean_size"]) == (2, 3, 0.5, 0.25)
    assert [row["revision"] for row in json.loads(vintages(log, "--revisions", "--json").stdout)] == [0.5, 0.0]
    assert "facts" in vintages(log).stdout


def test_all_rows_in_a_file(log: Path, tmp_path: Path) -> None:
    done = vintages(log, "--at", "2020-01-06", "--out", tmp_path / "known.csv")
    assert done.exit_code == 0, done.output
    assert pl.read_csv(tmp_path / "known.csv")["value"].to_list() == [1.5, 2.0]
    # what no row tells is left out
    assert pl.read_csv(tmp_path / "known.csv").columns == [
        "entity",
        "site",
        "metric",
        "event_time",
        "known_time",
        "value",
    ]


def test_what_a_later_delivery_tells_otherwise(log: Path, tmp_path: Path) -> None:
    later = tmp_path / "later.csv"
    later.write_text(HEAD + "\n".join([ROWS[0].replace(",1", ",1") + "0", *ROWS[1:2]]) + "\n")
    found = json.loads(vintages(later, "--since", log, "--json").stdout)
    assert [(row["what"], row["before"], row["after"]) for row in found] == [
        ("changed", [1.0], [10.0]),
        ("gone", [1.5], None),
    ]
    assert "changed" in vintages(later, "--since", log).stdout
    assert vintages(later, "--since", log, "--out", tmp_path / "changes.csv").exit_code == 0


def test_a_file_of_other_columns(tmp_path: Path) -> None:
    path = tmp_path / "cars.csv"
    path.write_text("day,cars\n2020-01-01,7\nsoon,8\n")
    done = vintages(
        path, "--column", "event_time=day", "--column", "value=cars", "--constant", "metric=cars", "--entity", "A",
        "--delay", "2d", "--at", "2020-01-04", "--json",
    )  # fmt: skip
    assert [row["value"] for row in json.loads(done.stdout)] == [7.0]
    assert "1 rows were set aside: unparsable_time 1" in done.stderr


def test_an_ingest_of_the_lake(log: Path, tmp_path: Path) -> None:
    entry = {"kind": "table_file", "table": "metric", "files": str(log), "timezone": "UTC", "max_age": "1d"}
    folder = ingest("log", parse_source("log", entry), calendar="XNYS", lake=tmp_path / "lake").folder
    assert values(folder, "--at", "2020-01-04") == [1.0, 2.0]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("--at", "2020-01-01", "--first"), ConfigError, "--at and --first; allowed: one of them"),
        (("--at", "yesterday"), ConfigError, "--at 'yesterday' is no time"),
        (("--column", "event_time"), ConfigError, "--column event_time"),
        (("--out", "x.txt"), ConfigError, "tells no format"),
        (("--delay", "soon", "--column", "known_time=none"), ConfigError, "soon"),
        (("--column", "value=nothing"), DataError, "no column 'nothing'"),
    ],
)
def test_mistakes_are_one_line(log: Path, arguments: tuple[str, ...], error: type, words: str) -> None:
    done = vintages(log, *arguments)
    assert done.exit_code == error.exit_code  # type: ignore[attr-defined]
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_ingest_of_another_table_or_none(tmp_path: Path) -> None:
    assert "holds no finished ingest" in vintages(tmp_path).stderr
    (tmp_path / "empty.csv").write_text(HEAD)
    assert "holds no rows that can be used" in vintages(tmp_path / "empty.csv").stderr
