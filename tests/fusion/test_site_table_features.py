"""Counts of a ticker's sites as features: each against a slow count of what was known, decision by decision."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from site_rows import FACTS, SCHEMA, day, row, slow_sites_at, table
from small_market import CONFIGS

from fusion import features
from fusion.config import RunConfig, load
from fusion.features import choice, site_table
from fusion.features.site_table import SiteList, compute
from fusion.invariance import truncate
from gpu_kernels.errors import ConfigError
from sources.schema import TIME

TIMES = [day(number / 2) for number in range(-1, 50)]
GRID = pl.DataFrame(
    {"entity": [name for name in ("AAA", "BBB", "CCC") for _ in TIMES], "decision_time": TIMES * 3},
    schema_overrides={"decision_time": TIME},
)
WANTED = ["site_count", "site_openings_3d", "site_closings_3d", "site_net_growth_3d"]
SPAN = timedelta(days=3)


def slow(rows: pl.DataFrame, entity: str, time: datetime, *, closings: bool) -> list[float]:
    """The four features of one ticker at one time, by looking at every row."""
    known = [one for one in rows.iter_rows(named=True) if one["known_time"] <= time and one["entity"] == entity]
    if not known:
        return [np.nan] * 4
    latest: dict[Any, dict[str, Any]] = {}
    for one in sorted(known, key=lambda one: one["known_time"]):
        latest[one["site"], one["event_time"]] = one
    facts = [one for one in latest.values() if one["valid_to"] is None or one["valid_to"] > one["event_time"]]
    count = float(sum(name == entity for name, _ in slow_sites_at(rows, time)))
    if time - SPAN < min(one["known_time"] for one in known):
        return [count, np.nan, np.nan, np.nan]
    opened = float(sum(time - SPAN < one["event_time"] <= time for one in facts))
    closed = float(sum(one["valid_to"] is not None and time - SPAN < one["valid_to"] <= time for one in facts))
    if not closings:
        return [count, opened, np.nan, np.nan]
    before = count - opened + closed
    return [count, opened, closed, (opened - closed) / before if before > 0 else np.nan]


@settings(max_examples=80, deadline=None)
@given(st.lists(FACTS, max_size=14), st.booleans())
def test_each_equals_the_slow_count(drawn: list[dict[str, Any]], closings: bool) -> None:
    rows = table(*drawn)
    found = compute([SiteList(rows, closings)], GRID, WANTED)
    wanted = np.array([slow(rows, entity, time, closings=closings) for entity, time in GRID.iter_rows()])
    np.testing.assert_array_equal(np.stack([found[name] for name in WANTED], axis=1), wanted)


@settings(max_examples=60, deadline=None)
@given(st.lists(FACTS, max_size=14), st.integers(0, 24))
def test_nothing_changes_when_rows_that_are_known_later_come(drawn: list[dict[str, Any]], cut: int) -> None:
    rows, until = table(*drawn), GRID["decision_time"] <= day(cut)
    full, part = (compute([SiteList(one, True)], GRID, WANTED) for one in (rows, truncate(rows, "site", day(cut))))
    for name in WANTED:
        np.testing.assert_array_equal(full[name][until.to_numpy()], part[name][until.to_numpy()])


def test_two_lists_of_one_ticker_add_up() -> None:
    trees = table(row("1", 0, 0), row("2", 8, 8))
    families = table(row("1", 0, 4), row("9", 0, 4), row("9", 0, 9, ends=9))
    found = compute([SiteList(trees, True), SiteList(families, True)], GRID, ["site_count"])["site_count"]
    at = {time: found[GRID.with_row_index().filter(entity="AAA", decision_time=time)["index"].item()] for time in TIMES}
    assert [at[day(number)] for number in (0, 3.5, 4, 8, 9)] == [1, 1, 3, 4, 3]


def test_a_list_that_cannot_tell_closings_leaves_the_sum_unknown() -> None:
    blind, seeing = table(row("1", 0, 6)), table(row("2", 0, 0))
    wanted = ["site_closings_3d"]
    found = compute([SiteList(blind, False), SiteList(seeing, True)], GRID.filter(entity="AAA"), wanted)[wanted[0]]
    of_time = dict(zip(TIMES, found, strict=True))
    assert of_time[day(5.5)] == 0
    assert np.isnan(of_time[day(6)])


def test_a_ticker_without_rows_is_missing_and_not_zero() -> None:
    found = compute([SiteList(pl.DataFrame(schema=SCHEMA), True)], GRID, WANTED)
    assert all(np.isnan(values).all() for values in found.values())


def test_the_first_list_is_no_opening() -> None:
    rows = table(*(row(str(number), 10, 10) for number in range(50)), row("new", 15, 15))
    found = compute([SiteList(rows, True)], GRID.filter(entity="AAA"), ["site_count", "site_openings_3d"])
    of_time = {time: (a, b) for time, a, b in zip(TIMES, *found.values(), strict=True)}
    assert np.isnan(of_time[day(12)][1])
    assert of_time[day(13)] == (50, 0)
    assert of_time[day(15)] == (51, 1)


# --- in a run ---------------------------------------------------------------------------------------------------------


def config(tmp_path: Path, stores: dict[str, dict[str, Any]], wanted: Any = "all") -> RunConfig:
    """The embedded market's config with lists of sites added."""
    found = load(CONFIGS / "demo.yaml")
    entry = {"kind": "site_file", "timezone": "UTC", "files": str(tmp_path / "*.csv"), "entity": "AAA"}
    content = found.model_dump(mode="json", exclude_none=True)
    content["sources"] |= {name: entry | told for name, told in stores.items()}
    content["features"] |= dict.fromkeys(stores, wanted)
    return RunConfig.model_validate(content)


LAG = {"lag": "1d", "columns": {"opened": "opened"}}
SNAPSHOTS = {"snapshot": "file_name"}


def test_all_leaves_out_what_a_list_cannot_tell(tmp_path: Path) -> None:
    found = config(tmp_path, {"stores": LAG})
    assert choice.chosen(found, "stores") == ["site_count", "site_openings_90d", "site_openings_365d"]
    assert any("site_closings, site_net_growth" in line for line in choice.left_out(found))
    snapshots = config(tmp_path, {"stores": SNAPSHOTS})
    assert "site_net_growth_90d" in choice.chosen(snapshots, "stores")
    assert not any("site_closings" in line for line in choice.left_out(snapshots))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["site_closings_90d"], "can tell that a site closed"),
        (["site_closings"], "site_closings"),
        (["site_openings_90"], "site_openings_90"),
        (["site_openings_0d"], "site_openings_0d"),
        (["site_openings_99999d"], "site_openings_99999d"),
    ],
)
def test_wrong_names_are_one_line(tmp_path: Path, names: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        choice.check(config(tmp_path, {"stores": LAG}, names))


def test_a_matrix_has_the_columns_of_all_lists_once(tmp_path: Path) -> None:
    found = config(tmp_path, {"one": LAG, "two": SNAPSHOTS}, ["site_count", "site_openings_3d"])
    only = found.model_copy(update={"features": {name: found.features[name] for name in ("one", "two")}})
    rows = table(row("1", 0, 0))
    grid = GRID.with_columns(session=pl.col("decision_time").dt.date())
    matrix = features.build(only, {"one": rows, "two": rows}, grid)
    assert matrix.families == {"site_count": "one", "site_openings_3d": "one"}
    assert matrix.frame.filter(entity="AAA")["site_count"].to_list()[-1] == 2
    assert {spec.name for spec in site_table.FEATURES} <= {spec.name for spec in features.REGISTRY}
