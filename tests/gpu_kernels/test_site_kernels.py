"""What is known of places at matched weekday and hour, and the medians over them, by definition and by property."""

import math
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import sites_cross_section as naive_medians
from naive import sites_matching as naive_states

from gpu_kernels.errors import ArgumentError
from gpu_kernels.sites.cross_section import medians_of_places
from gpu_kernels.sites.matching import known_states
from gpu_kernels.sites.weighted_median import weighted_median

HOUR = 3600 * 10**9
DAY = 24 * HOUR
YEAR = np.array([364 * DAY]), np.array([-1])
RULES = {"days": 7, "hours_ns": 2 * HOUR, "weekday": "same"}


def ns(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * 10**9  # type: ignore[misc]


def states(rows: list[tuple[int, int, float]], lags: tuple[np.ndarray, np.ndarray] = YEAR, **rules: object) -> tuple:
    """`rows` are (known, event, value) of one place whose clock is UTC."""
    known, event, value = (np.array(column) for column in zip(*rows, strict=True))
    return known_states(known, event, event, value.astype(float), np.array([0, len(rows)]), *lags, **(RULES | rules))


def random_rows(seed: int, rows: int = 70) -> tuple[np.ndarray, ...]:
    """Three places over some 40 days: late rows, revisions, values taken back, rows that arrive together."""
    rng = np.random.default_rng(seed)
    offsets = np.array([0, *sorted(rng.integers(0, rows + 1, 2)), rows])
    known = np.concatenate([np.sort(rng.integers(0, 60, n)) for n in np.diff(offsets)]) * 16 * HOUR + 19_000 * DAY
    event = known - rng.choice([0, 1, 2, 5], rows) * 16 * HOUR
    local = event - rng.choice([5, 6], rows) * HOUR
    values = np.where(rng.random(rows) < 0.15, np.nan, rng.normal(size=rows).round(1))
    return known, event, local, values, offsets


class TestKnownStates:
    @settings(max_examples=150, deadline=None)
    @given(st.integers(0, 10**6), st.sampled_from(["any", "kind", "same"]), st.integers(0, 8), st.integers(0, 12))
    def test_equals_its_definition(self, seed: int, weekday: str, days: int, hours: int) -> None:
        lags = np.array([7 * DAY, 14 * DAY, 14 * DAY]), np.array([-1, -1, 0])
        rules = {"days": days, "hours_ns": hours * HOUR, "weekday": weekday, "season_days": 12.0}
        rows = random_rows(seed)
        got, wanted = known_states(*rows, *lags, **rules), naive_states.known_states(*rows, *lags, **rules)
        for mine, other in zip(got, wanted, strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-12, atol=1e-12)

    @settings(max_examples=100, deadline=None)
    @given(st.integers(0, 10**6), st.integers(0, 60))
    def test_rows_known_later_change_no_bit(self, seed: int, cut: int) -> None:
        known, event, local, values, offsets = random_rows(seed)
        kept = known <= 19_000 * DAY + cut * 16 * HOUR
        left = np.concatenate([[0], np.cumsum([kept[a:b].sum() for a, b in pairwise(offsets)])])
        rules = {"days": 2, "hours_ns": 9 * HOUR, "weekday": "kind", "season_days": 20.0}
        lags = np.array([7 * DAY]), np.array([-1])
        full = known_states(known, event, local, values, offsets, *lags, **rules)
        part = known_states(known[kept], event[kept], local[kept], values[kept], left.astype(np.int64), *lags, **rules)
        place = np.where(kept, np.cumsum(kept) - 1, -1)
        for all_rows, mine in zip(full, part, strict=True):
            there = all_rows[..., kept]
            if all_rows.dtype == np.int64:
                there = np.where(there < 0, -1, place[there])
            assert mine.tobytes() == there.tobytes()

    def test_fifty_two_weeks_before_is_the_same_day_of_the_week(self) -> None:
        now = ns(2023, 11, 24, 15)  # a Friday; the one of 2022 was on the 25th
        days = [ns(2022, 11, day, 15) for day in (23, 24, 25, 26)]
        *_, matched, _ = states([(t, t, 1.0) for t in (*days, now)])
        assert matched[0, -1] == 2

    def test_the_neighbouring_week_stands_in_for_a_clouded_one(self) -> None:
        now = ns(2023, 11, 24, 15)
        before, clouded, after = ns(2022, 11, 18, 15), ns(2022, 11, 25, 15), ns(2022, 12, 2, 15)
        rows = [(before, before, 1.0), (clouded, clouded, math.nan), (after, after, 1.0), (now, now, 1.0)]
        assert states(rows)[2][0, -1] == 0  # of two equally near the earlier
        assert states(rows, days=6)[2][0, -1] == -1
        assert states(rows[1:])[2][0, -1] == 1

    def test_hours_are_compared_around_midnight(self) -> None:
        now, before = ns(2023, 6, 15, 0, 30), ns(2022, 6, 15, 23, 30)
        rows = [(before, before, 1.0), (now, now, 1.0)]
        assert states(rows, weekday="any", hours_ns=HOUR)[2][0, -1] == 0
        assert states(rows, weekday="any", hours_ns=HOUR - 1)[2][0, -1] == -1
        assert states(rows, hours_ns=HOUR)[2][0, -1] == -1  # a Wednesday is no Thursday

    def test_summer_time_moves_the_hour_of_shoppers(self) -> None:
        # 15:00 UTC is 10:00 in New York on 2022-03-11, and 11:00 one year and summer time later
        before, now = ns(2022, 3, 18, 15), ns(2023, 3, 17, 15)
        event = np.array([before, now])
        for shift, found in ((0, 0), (-1, -1)):
            local = event + np.array([-4 + shift, -4]) * HOUR
            arrays = (event, event, local, np.ones(2), np.array([0, 2]))
            assert known_states(*arrays, *YEAR, days=7, hours_ns=HOUR // 2, weekday="same")[2][0, 1] == found

    def test_a_value_taken_back_leaves_the_one_before(self) -> None:
        rows = [(1 * DAY, 1 * DAY, 5.0), (2 * DAY, 2 * DAY, 6.0), (3 * DAY, 2 * DAY, math.nan), (4 * DAY, 2 * DAY, 7.0)]
        latest, first, _, _ = states(rows)
        assert latest.tolist() == [0, 1, 0, 3]
        assert first.tolist() == [0, 1, 0, 1]

    def test_what_arrives_together_is_seen_together(self) -> None:
        rows = [(9 * DAY, day * DAY, float(day)) for day in (1, 3, 2)]
        assert states(rows)[0].tolist() == [-1, -1, 1]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"weekday": "monday"}, "weekday is 'monday'; allowed: any, kind, same"),
            ({"days": -1}, "days is -1"),
            ({"hours_ns": 25 * HOUR}, "hours_ns is"),
            ({"season_days": 0.0}, "season_days is 0.0"),
            ({"lags": (np.array([0]), np.array([-1]))}, "lags_ns spans 0 to 0"),
            ({"lags": (np.array([DAY]), np.array([0]))}, r"bases is \[0\]"),
            ({"lags": (np.array([DAY]), np.array([], np.int64))}, "1 lags_ns, 0 bases"),
        ],
    )
    def test_mistakes_are_named(self, change: dict, message: str) -> None:
        with pytest.raises(ArgumentError, match=message):
            states([(DAY, DAY, 1.0)], **change)


class TestWeightedMedian:
    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.tuples(st.integers(-9, 9), st.sampled_from([0.1, 0.3, 1.0, 7.0])), min_size=1, max_size=40))
    def test_makes_the_weighted_distance_least(self, drawn: list[tuple[int, float]]) -> None:
        values, weights = (np.array(column, float) for column in zip(*drawn, strict=True))
        got = weighted_median(values.copy(), weights.copy(), 0, len(values))
        distance = [(weights * abs(values - m)).sum() for m in (got, *values)]
        assert distance[0] <= min(distance) * (1 + 1e-9)
        assert got == naive_medians.weighted_median(values.tolist(), weights.tolist())

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.sampled_from([0.1, 1 / 3, 1.0]))
    def test_equal_weights_give_the_median(self, values: list[float], weight: float) -> None:
        got = weighted_median(np.array(values), np.full(len(values), weight), 0, len(values))
        assert got == pytest.approx(np.median(values), rel=1e-15)


class TestMedians:
    @staticmethod
    def drawn(seed: int, rows: int = 60) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng(seed)
        known, event, _, _, offsets = random_rows(seed, rows)
        values = np.where(rng.random((2, rows)) < 0.1, np.nan, rng.normal(size=(2, rows)).round(1))
        variances = rng.choice([0.0, 0.01, 0.2, 3.0, np.nan], (2, rows))
        oldest = event - rng.integers(0, 20, (2, rows)) * DAY
        stays = 30
        start = 19_000 * DAY + rng.integers(-10, 40, stays) * DAY
        stop = np.where(rng.random(stays) < 0.6, 2**62, start + rng.integers(0, 20, stays) * DAY)
        since = start - rng.integers(0, 3, stays) * 9 * DAY
        at = np.sort(rng.integers(0, 45, 40)) * DAY + 19_000 * DAY
        return (
            *(values, variances, oldest, known, event, offsets),
            *(rng.integers(0, 3, stays), since, start, stop, np.array([0, 9, stays])),
            *(np.concatenate([at[:17], at[17:]]), np.array([0, 17, 40])),
        )

    @settings(max_examples=80, deadline=None)
    @given(st.integers(0, 10**6), st.sampled_from([2 * DAY, 9 * DAY, 2**63 - 1]))
    def test_equals_its_definition(self, seed: int, max_age: int) -> None:
        arrays = self.drawn(seed)
        got = medians_of_places(*arrays, max_age_ns=max_age)
        wanted = naive_medians.medians_of_places(*arrays, max_age_ns=max_age)
        for mine, other in zip(got, wanted, strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-12, atol=1e-12)

    def test_one_place_gone_wrong_moves_little(self) -> None:
        values = np.array([[0.04, 0.05, 0.06, 0.05, 900.0]])
        one = (np.zeros((1, 5)) + 1e-4, np.zeros((1, 5), np.int64), np.zeros(5, np.int64), np.zeros(5, np.int64))
        stays = (np.arange(5), *(np.full(5, t) for t in (-1, 0, 10)), np.array([0, 5]))
        arrays = (values, *one, np.arange(6), *stays, np.array([1]), np.array([0, 1]))
        assert medians_of_places(*arrays, max_age_ns=5)[0][0, 0] == pytest.approx(0.05, abs=0.006)

    def test_a_place_that_is_none_is_refused(self) -> None:
        arrays = list(self.drawn(1))
        for wrong in (3, -1):
            arrays[6] = np.full(30, wrong)
            with pytest.raises(ArgumentError, match="place"):
                medians_of_places(*arrays, max_age_ns=DAY)
        with pytest.raises(ArgumentError, match=r"values \(2, 60\), variances \(2, 59\)"):
            medians_of_places(arrays[0], np.ones((2, 59)), *arrays[2:], max_age_ns=DAY)
