"""Scheduled events: planted profiles come back, drawn to 1 while they are few; what is not known yet changes no bit."""

import numpy as np
import pytest

from gpu_kernels.errors import ArgumentError
from gpu_kernels.volatility import event_profile, event_times

MINUTE = 60 * 10**9
DAY = 24 * 60 * MINUTE
EDGES = tuple(MINUTE * edge for edge in (-30, -10, 0, 5, 15, 60))
TRUTH = np.array([1.0, 0.6, 6.0, 3.0, 1.5])
BARS = 78


class Market:
    """Days of `BARS` five-minute bars, every second one with an event at its bar 40: variance is what is expected times
    the truth of the bin, which a surprise of the day's scales after the event, times the mean of `returns` squared
    normals."""

    def __init__(
        self, seed: int, days: int, truth: np.ndarray = TRUTH, surprise: np.ndarray | None = None, returns: int = 1
    ) -> None:
        rng = np.random.default_rng(seed)
        day = np.repeat(np.arange(days), BARS)
        bar = np.tile(np.arange(BARS), days)
        self.start = day * DAY + bar * 5 * MINUTE
        self.time = self.start + 5 * MINUTE
        self.expected = rng.uniform(0.5, 2.0, days * BARS)
        self.offsets = np.array([0, days * BARS])
        self.event_time = np.arange(0, days, 2) * DAY + 40 * 5 * MINUTE
        self.event_type = np.zeros(len(self.event_time), np.int64)
        self.known_time = self.event_time - 7 * DAY
        place = np.searchsorted(EDGES, (bar - 40) * 5 * MINUTE, side="right") - 1
        near = (day % 2 == 0) & (place >= 0) & (place < len(truth))
        self.factor = np.where(near, truth[np.clip(place, 0, len(truth) - 1)], 1.0)
        if surprise is not None:
            scale = np.where(near & (place >= 2) & (self.factor > 1.0), surprise[day // 2], 1.0)
            self.factor = 1.0 + (self.factor - 1.0) * scale
        self.realised = self.expected * self.factor * rng.chisquare(returns, size=len(day)) / returns

    def arrays(self) -> list[np.ndarray]:
        schedule = [self.event_type, self.event_time, self.known_time, np.array([0, len(self.event_time)])]
        return [self.start, self.time, self.realised, self.expected, self.offsets, *schedule]

    def cut(self, rows: int) -> list[np.ndarray]:
        """The bars up to a row, and what was known of events at its end."""
        arrays = self.arrays()
        known = self.known_time <= self.time[rows - 1]
        return [
            *(array[:rows] for array in arrays[:4]),
            np.array([0, rows]),
            *(array[known] for array in arrays[5:8]),
            np.array([0, known.sum()]),
        ]


SETTINGS = {"types": 1, "edges_ns": EDGES}


def horizons(*minutes: int) -> dict:
    return {**SETTINGS, "horizons_ns": tuple(MINUTE * length for length in minutes)}


class TestProfile:
    def test_a_planted_profile_comes_back(self) -> None:
        market = Market(1, 800)
        found, count, _ = event_profile.profile(*market.arrays(), **SETTINGS, memory=1000, surprise=False)
        assert count.min() == 400
        np.testing.assert_allclose(found[0, 0], TRUTH, rtol=0.2)
        own, _, by_type = event_profile.multiplier(*market.arrays(), **SETTINGS, surprise=False)
        late = np.arange(len(own)) > 400 * BARS
        np.testing.assert_array_equal(own, by_type[0])
        for value in np.unique(TRUTH[TRUTH != 1.0]):
            assert own[late & (market.factor == value)].mean() == pytest.approx(value, rel=0.2)
        assert (own[market.factor == 1.0] == 1.0).mean() > 0.9

    def test_few_occurrences_are_drawn_to_one(self) -> None:
        truth = np.array([1.0, 1.0, 7.0, 1.0, 1.0])
        market = Market(2, 12, truth)
        market.realised = market.expected * market.factor
        own, _, _ = event_profile.multiplier(*market.arrays(), **SETTINGS, shrinkage=2.0, surprise=False)
        seen = own.reshape(12, BARS)[::2, 40]
        np.testing.assert_allclose(seen, [1 + n / (n + 2) * 6 for n in range(6)], rtol=1e-12)
        # on a day without an event nothing is expected
        np.testing.assert_array_equal(own.reshape(12, BARS)[1::2], 1.0)

    def test_one_wild_occurrence_counts_for_clip_times_the_usual(self) -> None:
        market = Market(3, 40)
        market.realised = market.expected * market.factor
        market.realised.reshape(40, BARS)[30, 40] *= 1e6
        kept = {**SETTINGS, "surprise": False, "shrinkage": 1.0, "clip": 8.0}
        before = event_profile.profile(*market.cut(30 * BARS), **kept)[0][0, 0, 2]
        after = event_profile.profile(*market.cut(31 * BARS), **kept)[0][0, 0, 2]
        # fifteen of 6 and one of eight times what was expected of it
        assert after - 1.0 == pytest.approx(16 / 17 * ((15 * 6.0 + 8 * before) / 16 - 1.0))

    def test_rows_that_are_missing_teach_nothing(self) -> None:
        market = Market(4, 60)
        holed = Market(4, 60)
        holed.realised[::7], holed.expected[3::7], holed.expected[4::7] = np.nan, 0.0, np.nan
        holed.realised[5::7] = -1.0
        found, count, _ = event_profile.profile(*holed.arrays(), **SETTINGS)
        assert np.isfinite(found).all()
        assert (count <= event_profile.profile(*market.arrays(), **SETTINGS)[1]).all()
        assert np.isfinite(event_profile.multiplier(*holed.arrays(), **horizons(30))[1]).all()

    def test_a_type_that_never_came_gives_one(self) -> None:
        market = Market(5, 60)
        market.event_type = np.ones_like(market.event_type)
        market.event_type[-1] = 0
        own, ahead, by_type = event_profile.multiplier(*market.arrays(), **{**horizons(30), "types": 3})
        np.testing.assert_array_equal(by_type[[0, 2]], 1.0)
        np.testing.assert_array_equal(own[58 * BARS :], 1.0)
        np.testing.assert_array_equal(ahead[0, 58 * BARS :], 1.0)
        assert by_type[1].max() > 2.0


class TestAhead:
    def test_by_hand(self) -> None:
        """After five exact occurrences without shrinking: minutes of each bin over the horizon."""
        market = Market(6, 12)
        market.realised = market.expected * market.factor
        exact = {**horizons(5, 15, 60), "shrinkage": 0.0, "surprise": False}
        own, ahead, _ = event_profile.multiplier(*market.arrays(), **exact)
        day = slice(10 * BARS, 11 * BARS)
        np.testing.assert_allclose(own[day][34:57], market.factor[day][34:57], rtol=1e-12)
        # at the end of bar 39 the event begins; bar 37 ends 10 minutes before it
        np.testing.assert_allclose(ahead[:, day][:, 39], [6.0, (5 * 6 + 10 * 3) / 15, (30 + 30 + 45 * 1.5) / 60])
        np.testing.assert_allclose(ahead[:, day][:, 37], [0.6, (6 + 5 * 6) / 15, (6 + 30 + 30 + 35 * 1.5) / 60])
        # the last bin ends 60 minutes after the event
        assert ahead[2, day][50] == pytest.approx((5 * 1.5 + 55) / 60)

    def test_a_schedule_counts_from_when_it_is_known(self) -> None:
        market = Market(7, 30)
        market.known_time[10] = market.event_time[10] - 12 * MINUTE
        market.known_time[11] = market.event_time[11] + 3 * MINUTE
        own, ahead, _ = event_profile.multiplier(*market.arrays(), **horizons(60))
        late = slice(20 * BARS, 21 * BARS)
        # bar 36 ends 15 minutes before the event, bar 37 ten minutes
        np.testing.assert_array_equal(ahead[0, late][:37], 1.0)
        assert (ahead[0, late][37:40] > 1.1).all()
        surprise = slice(22 * BARS, 23 * BARS)
        np.testing.assert_array_equal(own[surprise][:41], 1.0)
        np.testing.assert_array_equal(ahead[0, surprise][:40], 1.0)
        assert own[surprise][41] > 1.1
        assert ahead[0, surprise][40] > 1.1

    def test_bins_longer_than_the_row_mix(self) -> None:
        """A bar that an edge cuts has the mean of both bins, by time."""
        market = Market(8, 12)
        market.realised = market.expected * market.factor
        arrays = market.arrays()
        exact = {**SETTINGS, "shrinkage": 0.0, "surprise": False}
        arrays[6] = arrays[6].copy()
        arrays[6][5] += 2 * MINUTE
        own, _, _ = event_profile.multiplier(*arrays, **exact)
        assert own.reshape(12, BARS)[10, 40] == pytest.approx((2 * 0.6 + 3 * 6.0) / 5)


class TestOverlap:
    def events(self, seed: int) -> list[np.ndarray]:
        """Type 0 as before; type 1 at the same bar of every day, which does nothing by itself."""
        market = Market(seed, 200, returns=10)
        daily = np.arange(200) * DAY + 40 * 5 * MINUTE
        time = np.concatenate([market.event_time, daily])
        kind = np.concatenate([market.event_type, np.ones(200, np.int64)])
        order = np.argsort(time, kind="stable")
        arrays = market.arrays()
        arrays[5:9] = [kind[order], time[order], time[order] - 7 * DAY, np.array([0, len(time)])]
        return arrays

    def test_types_multiply_and_share_what_they_do_together(self) -> None:
        arrays = self.events(9)
        both = {**SETTINGS, "types": 2, "surprise": False}
        own, _, by_type = event_profile.multiplier(*arrays, **both)
        np.testing.assert_allclose(own, by_type[0] * by_type[1], rtol=1e-12)
        found, _, _ = event_profile.profile(*arrays, **both)
        assert found[0, 0, 2] * found[0, 1, 2] == pytest.approx(6.0, rel=0.15)
        # what comes every day at that time is near 1 by itself, though half of its days were wild
        assert found[0, 1, 2] < 1.5
        alone = event_profile.profile(*arrays[:5], arrays[5] * 0, *arrays[6:], **SETTINGS, surprise=False)[0]
        assert alone[0, 0, 2] > 2.0

    def test_types_that_always_come_together_have_one_effect(self) -> None:
        market = Market(10, 400, returns=10)
        arrays = market.arrays()
        kind, time = np.tile([1, 0], 200), np.repeat(market.event_time, 2)
        arrays[5:9] = [kind, time, time - 7 * DAY, np.array([0, 400])]
        found = event_profile.profile(*arrays, **{**SETTINGS, "types": 2}, surprise=False)[0]
        np.testing.assert_allclose(found[0, 0] * found[0, 1], TRUTH, rtol=0.15)

    def test_of_one_type_the_highest_counts(self) -> None:
        market = Market(10, 60)
        arrays = market.arrays()
        arrays[5:9] = [np.zeros(60, np.int64), np.repeat(market.event_time, 2), np.full(60, -DAY), np.array([0, 60])]
        twice, once = (event_profile.multiplier(*a, **SETTINGS, surprise=False)[0] for a in (arrays, market.arrays()))
        # seen twice as often, so less drawn to 1, but not squared
        np.testing.assert_allclose(twice[50 * BARS :], once[50 * BARS :], rtol=0.15)


class TestSurprise:
    def test_a_large_first_bin_foretells_large_later_ones(self) -> None:
        rng = np.random.default_rng(11)
        surprise = np.where(rng.random(300) < 0.3, 2.5, 0.3)
        market = Market(11, 600, np.array([1.0, 1.0, 6.0, 5.0, 3.0]), surprise)
        arrays = market.arrays()
        # the first bin shows the surprise nearly exactly: many trades make its variance known
        first = market.factor * market.expected
        place = np.arange(len(first)) % BARS == 40
        arrays[2] = np.where(place, first, market.realised)
        scaled, _, _ = event_profile.multiplier(*arrays, **SETTINGS)
        plain, _, _ = event_profile.multiplier(*arrays, **SETTINGS, surprise=False)
        slope = event_profile.profile(*arrays, **SETTINGS)[2]
        assert slope[0, 0] > 0.5
        assert event_profile.profile(*Market(12, 600).arrays(), **SETTINGS)[2][0, 0] < 0.2
        later = (np.arange(len(first)) % BARS > 40) & (market.factor != 1.0) & (np.arange(len(first)) > 200 * BARS)
        true = market.factor[later]
        errors = [np.mean((np.log(found[later]) - np.log(true)) ** 2) for found in (scaled, plain)]
        assert errors[0] < 0.5 * errors[1]
        # before the first bin is known both say the same of the event itself
        own = np.arange(len(first)) % BARS == 40
        np.testing.assert_array_equal(scaled[own], plain[own])

    def test_a_calm_bin_stays_above_zero(self) -> None:
        rng = np.random.default_rng(15)
        market = Market(15, 300, np.array([1.0, 1.0, 6.0, 0.05, 4.0]), np.where(rng.random(150) < 0.3, 5.0, 0.2))
        own, ahead, _ = event_profile.multiplier(*market.arrays(), **horizons(10), shrinkage=0.5)
        late = np.arange(len(own)) > 60 * BARS
        assert 0.0 < own.min() < 0.2
        assert ahead.min() > 0.0
        calm = late & (np.arange(len(own)) % BARS == 42) & (own != 1.0)
        assert calm.sum() > 100
        np.testing.assert_allclose(own[calm], 0.05, atol=0.1)


class TestCausality:
    @pytest.mark.parametrize("rows", [30 * BARS + 5, 40 * BARS + 41, 40 * BARS + 42, 43 * BARS, 51 * BARS + 3])
    def test_later_rows_and_later_schedules_change_no_bit(self, rows: int) -> None:
        market, rng = Market(13, 60), np.random.default_rng(0)
        # more of them at any minute, so that they overlap; some are known late, some after they came
        more = rng.integers(0, 60, 90) * DAY + rng.integers(-30, 400, 90) * MINUTE + 7 * 10**9
        market.event_time = np.sort(np.concatenate([market.event_time, more]))
        market.event_type = rng.integers(0, 3, 120)
        market.known_time = market.event_time - 7 * DAY
        late = rng.random(120) < 0.4
        market.known_time[late] = market.event_time[late] + rng.integers(-30, 20, late.sum()) * MINUTE
        keywords = {**horizons(15, 60), "types": 3}
        whole = event_profile.multiplier(*market.arrays(), **keywords)
        part = event_profile.multiplier(*market.cut(rows), **keywords)
        around = event_times.around(*[market.arrays()[1], *market.arrays()[4:]], types=3)
        near = event_times.around(*[market.cut(rows)[1], *market.cut(rows)[4:]], types=3)
        for one, other in zip((*whole, *around), (*part, *near), strict=True):
            np.testing.assert_array_equal(one[..., :rows], other)

    def test_what_an_event_brings_changes_nothing_before_its_bin_has_ended(self) -> None:
        market, other = Market(14, 60), Market(14, 60)
        after = 50 * BARS + 42
        other.realised[after:] = other.realised[after:][::-1] * 9.0
        one, two = (event_profile.multiplier(*m.arrays(), **horizons(30)) for m in (market, other))
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a[..., :after], b[..., :after])
        # the bin of bars 41 and 42 is known with the end of bar 42: nothing says so one row earlier
        assert one[0][52 * BARS + 41] != two[0][52 * BARS + 41]


class TestAround:
    def test_by_hand(self) -> None:
        time = np.array([0, 5, 10, 11, 30]) * MINUTE
        events = np.array([0, 1, 0]), np.array([5, 10, 20]) * MINUTE, np.array([-9, 11, 7]) * MINUTE, np.array([0, 3])
        until, since = event_times.around(time, np.array([0, 5]), *events, types=2)
        nan = np.nan
        np.testing.assert_allclose(until, [[5, nan, 10, 9, nan], [nan] * 5])
        np.testing.assert_allclose(since, [[nan, 0, 5, 6, 10], [nan, nan, nan, 1, 20]])

    def test_nothing_crosses_a_segment(self) -> None:
        time, offsets = np.array([0, 1, 0, 1]) * MINUTE, np.array([0, 2, 4])
        events = np.array([0]), np.array([MINUTE]), np.array([-MINUTE]), np.array([0, 0, 1])
        until, since = event_times.around(time, offsets, *events, types=1)
        np.testing.assert_allclose(until[0], [np.nan, np.nan, 1.0, np.nan])
        np.testing.assert_allclose(since[0], [np.nan, np.nan, np.nan, 0.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"types": 0}, "types is 0"),
        ({"edges_ns": (0, 5, 5)}, r"edges_ns are \[0, 5, 5\]; allowed: whole numbers that rise, one of them 0"),
        ({"edges_ns": (-5, 5)}, "edges_ns are .*one of them 0"),
        ({"edges_ns": (0,)}, "allowed: 2 whole numbers of nanoseconds or more"),
        ({"edges_ns": (0.0, 1.0)}, "edges_ns are"),
        ({"horizons_ns": (0,)}, "horizons_ns are .*above 0"),
        ({"shrinkage": -1.0}, "shrinkage is -1.0"),
        ({"memory": 0}, "memory is 0"),
        ({"clip": 0.5}, "clip is 0.5"),
    ],
)
def test_mistakes_are_named(change: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        event_profile.multiplier(*Market(1, 2).arrays(), **{**SETTINGS, **change})
    assert "\n" not in str(caught.value)


def test_mistakes_of_arrays_are_named() -> None:
    arrays = Market(1, 4).arrays()
    for place, array, message in (
        (5, np.array([0, 1]), "event_type spans 0 to 1; allowed: 0 to types - 1, which is 0"),
        (6, arrays[6][::-1].copy(), "event_time falls"),
        (8, np.array([0, 1, 2]), "1 segments of rows for 2"),
        (0, arrays[0][::-1].copy(), "start falls"),
        (3, arrays[3][:5], "arrays of unequal length"),
    ):
        wrong = list(arrays)
        wrong[place] = array
        with pytest.raises(ArgumentError, match=message):
            event_profile.multiplier(*wrong, **SETTINGS)
