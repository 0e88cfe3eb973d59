"""The screen of metrics: what the past of a series calls impossible, and nothing that came later."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sources.config import parse_source
from sources.lake import ingest, read
from sources.metric_screen import IMPLAUSIBLE_DROP, IMPLAUSIBLE_RISE, MONTH_OUT, Screen, screened
from sources.schema import TIME

START = datetime(2019, 1, 1, tzinfo=UTC)
DROP = Screen(drop=0.5, window=6, minimum=3)


def series(values: list[float | None], known: list[int] | None = None, event: list[int] | None = None) -> pl.DataFrame:
    """Values of one site, a day each, known a day after unless told."""
    days = event or list(range(len(values)))
    after = known or [day + 1 for day in days]
    return pl.DataFrame(
        {
            "entity": [""] * len(values),
            "site": ["a"] * len(values),
            "metric": ["lights"] * len(values),
            "event_time": pl.Series([START + timedelta(days=day) for day in days]).cast(TIME),
            "known_time": pl.Series([START + timedelta(days=day) for day in after]).cast(TIME),
            "value": pl.Series(values, dtype=pl.Float64),
        }
    )


def reasons(rows: pl.DataFrame, screen: Screen = DROP) -> list[str | None]:
    return screened(rows, screen, "UTC", pl.lit(True)).to_list()


class TestDrop:
    def test_a_dip_is_set_aside_and_what_follows_is_not(self) -> None:
        assert reasons(series([10, 10, 10, 4.9, 5.1, 10])) == [None, None, None, IMPLAUSIBLE_DROP, None, None]

    def test_a_change_that_lasts_is_let_through(self) -> None:
        found = reasons(series([10] * 6 + [1] * 6))
        assert found == [None] * 6 + [IMPLAUSIBLE_DROP] * 4 + [None] * 2

    def test_a_rise(self) -> None:
        screen = Screen(rise=3, window=6, minimum=3)
        assert reasons(series([1, 1, 1, 3.1, 2.9]), screen) == [None, None, None, IMPLAUSIBLE_RISE, None]

    def test_too_few_values_judge_nothing(self) -> None:
        assert reasons(series([10, 10, 0.1, 10])) == [None] * 4

    def test_a_median_that_is_not_above_zero_judges_nothing(self) -> None:
        assert reasons(series([0, 0, 0, -5, 0])) == [None] * 5

    def test_a_withdrawn_value_is_no_value(self) -> None:
        assert reasons(series([10, None, 10, 10, 1, None])) == [None, None, None, None, IMPLAUSIBLE_DROP, None]

    def test_the_window_holds_so_many_values_and_no_more(self) -> None:
        # the last three have a median of 1; with the fourth it would be 50.5
        screen = Screen(rise=5, window=3, minimum=3)
        assert reasons(series([100, 1, 1, 100, 20]), Screen(rise=5, window=4, minimum=4)) == [None] * 5
        assert reasons(series([100, 100, 1, 1, 100, 20]), screen)[-1] == IMPLAUSIBLE_RISE

    def test_each_place_has_its_own_past(self) -> None:
        rows = series([10, 10, 10, 1])
        other = rows.with_columns(site=pl.lit("b"), value=pl.lit(1.0))
        assert reasons(pl.concat([rows, other])) == [None, None, None, IMPLAUSIBLE_DROP, *[None] * 4]


class TestClocks:
    def test_a_value_is_judged_by_what_was_known_and_not_by_what_came_late(self) -> None:
        # the values of days 1 and 2 came after that of day 3, which therefore has one value before it
        assert reasons(series([10, 10, 10, 1], known=[1, 9, 9, 4])) == [None] * 4

    def test_neither_its_own_first_print_nor_a_later_day_judges_a_value(self) -> None:
        screen = Screen(rise=5, window=6, minimum=3)
        assert reasons(series([10, 10, 10, 1000], event=[0, 1, 2, 2], known=[1, 2, 3, 4]), screen) == [None] * 4
        assert reasons(series([10, 10, 10, 1000], event=[0, 1, 3, 2], known=[1, 2, 4, 5]), screen) == [None] * 4

    def test_a_revision_counts_from_when_it_is_known(self) -> None:
        rows = series([2, 2, 2, 1.5, 10, 10, 10, 1.5], event=[0, 1, 2, 3, 0, 1, 2, 4], known=[1, 2, 3, 4, 5, 5, 5, 6])
        assert reasons(rows) == [*[None] * 7, IMPLAUSIBLE_DROP]

    def test_no_later_row_moves_a_verdict(self) -> None:
        import random

        drawn = random.Random(3)
        values = [drawn.choice([10, 9, 11, 1, 30, None]) for _ in range(120)]
        event = [drawn.randrange(40) for _ in values]
        known = [day + drawn.randrange(1, 15) for day in event]
        rows = series(values, known, event)
        screen = Screen(drop=0.5, rise=2, window=6, minimum=3, months_out=[2])
        whole = reasons(rows, screen)
        assert {IMPLAUSIBLE_DROP, IMPLAUSIBLE_RISE, MONTH_OUT} <= set(whole)
        for cut in range(1, 55, 3):
            kept = [place for place, day in enumerate(known) if day <= cut]
            part = rows[kept]
            assert reasons(part, screen) == [whole[place] for place in kept]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "screens nothing"),
        ({"drop": 1.5}, "less than 1"),
        ({"months_out": [13]}, "less than or equal to 12"),
        ({"drop": 0.5, "minimum": 20}, "more than window"),
    ],
)
def test_screens_that_are_none(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Screen.model_validate(options)


@pytest.mark.data
class TestMonsoon:
    """Night lights of India's districts: Greater Mumbai falls from 25 to below 2 in September, under clouds."""

    def ingested(self, data_root: Path, tmp_path: Path, **screen: Any) -> tuple[Any, pl.DataFrame]:
        entry = {
            "kind": "table_file",
            "table": "metric",
            "files": str(data_root / "alt/series/viirs_india_districts_monthly_tidy.csv"),
            "timezone": "Asia/Kolkata",
            "max_age": "62d",
            "columns": {"event_time": "month", "site": ["state", "district"], "value": "radiance_mean"},
            "constants": {"metric": "night_lights", "unit": "nW/cm2/sr", "sensor": "VIIRS"},
            "period": "month",
            "known": {"days": 30, "time": "00:00"},
            "quarantine_limit": 0.5,
            "screen": screen,
        }
        result = ingest("lights", parse_source("lights", entry), calendar="XNYS", lake=tmp_path)
        return result, read(result.folder)

    def test_the_monsoon_dips_of_mumbai_are_set_aside(self, data_root: Path, tmp_path: Path) -> None:
        result, rows = self.ingested(data_root, tmp_path, drop=0.5)
        mumbai = rows.filter(pl.col("site") == "Maharashtra Mumbai")
        months = set(mumbai["event_time"].dt.convert_time_zone("Asia/Kolkata").dt.strftime("%Y-%m"))
        every = {f"{year}-{month:02d}" for year in (2019, 2020) for month in range(1, 13)}
        assert every - months == {"2019-07", "2019-09", "2020-07", "2020-09"}
        assert mumbai["value"].min() > 15  # type: ignore[operator]
        aside = pl.read_parquet(result.quarantine)
        dropped = aside.filter(pl.col("reason") == IMPLAUSIBLE_DROP)
        # most of what is set aside is of the months of the monsoon, though no month was told
        monsoon = dropped["raw"].str.contains(r"-0[6789]-01,").mean()
        assert isinstance(monsoon, float)
        assert monsoon > 0.6

    def test_or_the_months_are_left_out_that_are_known_ahead(self, data_root: Path, tmp_path: Path) -> None:
        result, rows = self.ingested(data_root, tmp_path, months_out=[7, 8, 9])
        assert result.counts["quarantined"] == {MONTH_OUT: 3 * 2 * 641}
        local = rows["event_time"].dt.convert_time_zone("Asia/Kolkata").dt.month()
        assert not local.is_in([7, 8, 9]).any()
