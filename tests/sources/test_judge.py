"""The judge of detected intervals, on cases made by hand."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from gpu_kernels.errors import ArgumentError
from sources.schema import TIME
from sources.simulate.orders import OrderSimulation
from sources.simulate.orders.judge import chance_recall, judge, session_bounds

CONFIG = OrderSimulation(sessions=2, duration=3600)
BOUNDS = session_bounds(CONFIG)
DAY = date(2024, 9, 2)
OPEN = datetime(2024, 9, 2, 8, tzinfo=UTC)


def at(seconds: float, day: date = DAY) -> datetime:
    return OPEN + (day - DAY) + timedelta(seconds=seconds)


def truth(*rows: tuple[str, float, float, float]) -> pl.DataFrame:
    """Rows of (kind, start, end, strength), in seconds after the open of the first session."""
    return pl.DataFrame(
        [
            {
                "entity": "SIMBTC",
                "session": DAY,
                "kind": kind,
                "is_decoy": kind.startswith("large"),
                "start": at(start),
                "end": at(end),
                "strength": strength,
            }
            for kind, start, end, strength in rows
        ],
        schema_overrides={"start": TIME, "end": TIME},
    )


def detected(*rows: tuple[float, float, float], day: date = DAY) -> pl.DataFrame:
    """Rows of (start, end, score)."""
    return pl.DataFrame(
        [("SIMBTC", day, at(start, day), at(end, day), score) for start, end, score in rows],
        schema={"entity": pl.String, "session": pl.Date, "start": TIME, "end": TIME, "score": pl.Float64},
        orient="row",
    )


TRUTH = truth(
    ("spoof", 100, 110, 1.5),
    ("spoof", 200, 210, 8.0),
    ("layering", 300, 310, 8.0),
    ("large_stays", 400, 500, 8.0),
    ("drought", 600, 700, 0.6),
)
KINDS = ("spoof", "layering")


class TestJudge:
    def test_perfect_detections(self) -> None:
        found = judge(TRUTH, detected((100, 110, 3), (200, 210, 2), (300, 310, 1)), BOUNDS, KINDS)
        assert (found.precision, found.recall, found.average_precision) == (1, 1, 1)
        assert found.false_alarms_per_hour == 0
        assert found.detected_share == pytest.approx(30 / 7200)
        assert found.decoys.rows() == [("large_stays", 1, 0, 0.0)]

    def test_half_right(self) -> None:
        # best score right, next wrong (a decoy), then right: AP = 1/3 x 1 + 1/3 x 2/3
        found = judge(TRUTH, detected((101, 102, 9), (450, 451, 8), (310.5, 310.6, 7)), BOUNDS, KINDS)
        assert found.precision == pytest.approx(2 / 3)
        assert found.recall == pytest.approx(2 / 3)
        assert found.average_precision == pytest.approx(1 / 3 + 2 / 9)
        assert found.false_alarms_per_hour == pytest.approx(0.5)
        assert found.decoys.rows() == [("large_stays", 1, 1, 1.0)]
        assert found.by_strength.rows() == [
            ("layering", 5.0, 10.0, 1, 1, 1.0),
            ("spoof", 1.0, 2.0, 1, 1, 1.0),
            ("spoof", 5.0, 10.0, 1, 0, 0.0),
        ]

    def test_repeated_alarms_of_one_episode_gain_nothing(self) -> None:
        found = judge(TRUTH, detected((101, 102, 9), (103, 104, 8), (105, 106, 7), (900, 901, 6)), BOUNDS, KINDS)
        assert found.average_precision == pytest.approx(1 / 3)
        assert found.curve["precision"].to_list() == [1, 1, 1, 0.5]
        assert found.precision == pytest.approx(3 / 4)

    def test_an_alarm_that_never_ends_hits_nothing(self) -> None:
        found = judge(TRUTH, detected((0, 3600, 1)), BOUNDS, KINDS)
        assert (found.recall, found.precision) == (0, 0)

    def test_slack_reaches_after_the_end_and_not_before_the_start(self) -> None:
        after, before = detected((110.9, 110.9, 1)), detected((99.9, 99.9, 1))
        assert judge(TRUTH, after, BOUNDS, KINDS).recall == pytest.approx(1 / 3)
        assert judge(TRUTH, after, BOUNDS, KINDS, slack=timedelta(0)).recall == 0
        assert judge(TRUTH, before, BOUNDS, KINDS).recall == 0

    def test_another_session_is_another_time(self) -> None:
        assert judge(TRUTH, detected((100, 110, 1), day=date(2024, 9, 3)), BOUNDS, KINDS).recall == 0

    def test_ties_in_score_are_one_step(self) -> None:
        one = judge(TRUTH, detected((101, 102, 1), (900, 901, 1)), BOUNDS, KINDS)
        two = judge(TRUTH, detected((900, 901, 1), (101, 102, 1)), BOUNDS, KINDS)
        assert one.average_precision == two.average_precision == pytest.approx(1 / 6)
        assert one.curve.rows() == [(1.0, 0.5, pytest.approx(1 / 3))]

    def test_nothing_detected_and_nothing_planted(self) -> None:
        none = judge(TRUTH, detected(), BOUNDS, KINDS)
        assert none.recall == 0
        assert np.isnan(none.precision)
        assert (none.average_precision, none.detected_share, none.own_chance_recall) == (0, 0, 0)
        empty = judge(TRUTH.head(0), detected((1, 2, 1)), BOUNDS, KINDS)
        assert np.isnan(empty.recall)
        assert np.isnan(empty.chance_recall)
        assert empty.precision == 0

    @pytest.mark.parametrize(
        ("found", "message"),
        [
            (detected((1, 2, 1)).drop("score"), "no column score"),
            (detected((1, 2, float("nan"))), "a score is NaN"),
            (detected((2, 1, 1)), "ends before it starts"),
            (detected((1, 2, 1), day=date(2025, 1, 1)), "which bounds lacks"),
            (detected((1, 2, 1)).with_columns(end=pl.lit(None, dtype=TIME)), "nulls in end"),
        ],
    )
    def test_bad_tables_are_refused(self, found: pl.DataFrame, message: str) -> None:
        with pytest.raises(ArgumentError, match=message):
            judge(TRUTH, found, BOUNDS, KINDS)


class TestChance:
    def test_matches_the_share_of_time_for_moments(self) -> None:
        # 360 s of 3600 s are episodes: a moment lies in one with chance 0.1
        episode = truth(("spoof", 1000, 1360, 1.0))
        chance = chance_recall(episode, detected((50, 50, 1)), BOUNDS, slack=timedelta(0), draws=1000)
        assert chance.mean() == pytest.approx(0.1, abs=0.03)

    def test_perfect_intervals_shifted_at_random(self) -> None:
        # the one episode is hit where it is shifted by at most half its length, either way: 360 s of 3600 s
        episode = truth(("spoof", 1000, 1360, 1.0))
        chance = chance_recall(episode, episode, BOUNDS, slack=timedelta(0), draws=1000)
        assert chance.mean() == pytest.approx(0.1, abs=0.03)

    def test_shifts_go_round(self) -> None:
        episode = truth(("spoof", 0, 10, 1.0))
        assert chance_recall(episode, detected((3500, 3600, 1)), BOUNDS, draws=500).mean() > 0

    def test_an_alarm_that_lasts_all_day_has_no_chance(self) -> None:
        assert chance_recall(TRUTH, detected((0, 3600, 1)), BOUNDS, draws=50).max() == 0

    def test_draws_are_the_same_each_time(self) -> None:
        args: tuple[Any, ...] = (TRUTH, TRUTH, BOUNDS)
        assert np.array_equal(chance_recall(*args, draws=20), chance_recall(*args, draws=20))
        assert not np.array_equal(chance_recall(*args, draws=200), chance_recall(*args, draws=200, seed=1))
        assert len(chance_recall(TRUTH.head(0), TRUTH, BOUNDS)) == 0
