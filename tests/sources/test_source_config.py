"""The models of the `sources:` section: every mistake is one line that names the entry and what is allowed."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from gpu_kernels.errors import ConfigError
from sources.config import LeanZip, parse_source
from sources.table_options import TableFile

ROOT = Path(__file__).resolve().parents[2]
NEWS = {"kind": "news_file", "files": "x.csv", "timezone": "UTC", "max_age": "1d"}
SERIES = {"kind": "series_file", "files": "x.csv", "timezone": "UTC", "max_age": "1d", "metrics": {"vix": "CLOSE"}}
CALENDAR = {"kind": "calendar_file", "files": "x.csv", "timezone": "UTC", "kinds": {"nfp": ["Nonfarm Payrolls"]}}
TABLE = {"kind": "table_file", "table": "bar", "files": "x.csv", "timezone": "UTC", "max_age": "1d"}
BOOK = {**TABLE, "table": "book_update"}
SITES = {"kind": "site_file", "files": "x.csv", "timezone": "UTC", "lag": "1d"}
DAILY = {"kind": "daily_file", "files": "x.csv", "timezone": "UTC", "max_age": "1d", "delay": "1s"}
ALFRED = {"kind": "alfred", "files": "x.csv", "max_age": "90d", "metrics": {"gdp": "GDPC1"}}
LEAN = {"kind": "lean_zip", "files": "x.zip", "timezone": "UTC", "max_age": "1d", "delay": "1s", "security": "equity"}


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_configs_of_the_repository_parse(path: Path) -> None:
    for name, entry in yaml.safe_load(path.read_text())["sources"].items():
        assert parse_source(name, entry).table


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({**BOOK, "tick": float("inf")}, "tick: Input should be a finite number"),
        ({**BOOK, "lot": float("inf")}, "lot: Input should be a finite number"),
        ({**BOOK, "cost_size": float("inf")}, "cost_size: Input should be a finite number"),
        ({**BOOK, "depth_bps": float("inf")}, "depth_bps: Input should be a finite number"),
        ({**TABLE, "files": "{entity}.csv", "entity": "A"}, "{entity} in `files` tells the entity"),
        ({**TABLE, "files": {"A": "{entity}.csv"}}, "{entity} in `files` tells the entity"),
        ({**NEWS}, "no known_time"),
        ({**CALENDAR}, "no known_time"),
        ({**SERIES}, "exactly one of columns.known_time, known"),
        ({**SERIES, "known": {"days": 1, "time": "24:00"}}, "known.time"),
        ({**SERIES, "known": {"days": -1, "time": "09:00"}}, "known.days"),
        ({**NEWS, "delay": "5"}, "delay"),
        ({**NEWS, "delay": 5}, "has no unit"),
        ({**NEWS, "delay": "1s", "timezone": "US/Mars"}, "not an IANA time zone"),
        ({**NEWS, "delay": "1s", "encoding": "utf-16"}, "keeps ASCII"),
        ({**NEWS, "delay": "1s", "encoding": "no-such"}, "keeps ASCII"),
        ({**NEWS, "delay": "1s", "tikcers": "x"}, "tikcers"),
        ({**NEWS, "delay": "1s", "quarantine_limit": 1.5}, "quarantine_limit"),
        ({**NEWS, "kind": "newsfile"}, "newsfile"),
        ({**TABLE, "table": "bars"}, "table"),
        ({**TABLE, "table": "trade", "bar": "1min"}, "`bar` is for table: bar"),
        ({**TABLE, "max_jump": 0}, "max_jump"),
        ({**TABLE, "columns": {"vlaue": "v"}}, "columns.vlaue is read by nothing; allowed: entity, event_time"),
        ({**SERIES, "delay": "1d", "columns": {"value": "v"}}, "columns.value is read by nothing; allowed: entity"),
        ({**SITES, "columns": {"opened": "o", "clsoed": "c"}}, "columns.clsoed is read by nothing; allowed: site"),
        ({**DAILY, "columns": {"event_time": "d", "adjusted": "a"}}, "columns.adjusted is read by nothing"),
        ({**ALFRED, "columns": {"realtime": "r"}}, "columns.realtime is read by nothing; allowed: event_time"),
        ({**CALENDAR, "announced": "1d", "kinds": {"a": ["X"], "b": ["X"]}}, "listed twice"),
        ({"kind": "thinkorswim_csv", "files": {"A": "x"}, "timezone": "UTC", "max_age": "1d", "delay": "1s"}, "bar"),
        ("text", "sources.mine"),
    ],
)
def test_mistake_is_one_line(entry: Any, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_source("mine", entry)
    assert words in str(error.value)
    assert "sources.mine" in str(error.value)
    assert "\n" not in str(error.value)


def test_table_by_kind() -> None:
    assert parse_source("x", TABLE).table == "bar"
    tables = {
        (resolution, data): parse_source("x", {**LEAN, "resolution": resolution, "data": data}).table
        for resolution in ("tick", "minute")
        for data in ("trade", "quote")
    }
    assert tables == {
        ("tick", "trade"): "trade",
        ("tick", "quote"): "quote",
        ("minute", "trade"): "bar",
        ("minute", "quote"): "quote",
    }


def test_patterns_by_entity() -> None:
    assert TableFile(**TABLE).patterns == {None: ["x.csv"]}
    assert TableFile(**{**TABLE, "entity": "US", "files": ["a", "b"]}).patterns == {"US": ["a", "b"]}
    assert LeanZip(
        **{**LEAN, "resolution": "tick", "data": "trade", "files": {"A": "x", "B": ["y", "z"]}}
    ).patterns == {
        "A": ["x"],
        "B": ["y", "z"],
    }
