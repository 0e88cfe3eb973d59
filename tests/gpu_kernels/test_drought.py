"""Liquidity droughts: near the touch by hand, event by event, cut short, and what each of the three dimensions adds."""

import numpy as np
import pytest
from naive.book_liquidity import near_touch as naive_near_touch

from benchmarks.works.data import Data
from benchmarks.works.drought import watched, works
from gpu_kernels.book import drought, drought_state, episodes, liquidity
from gpu_kernels.errors import ArgumentError

SECOND = 10**9
PARAMETERS = works(Data(30, 3, "float64", 0))[-1].parameters


def offsets_of(*ends: int) -> np.ndarray:
    return np.array(ends, np.int64)


class TestNearTouch:
    # bids of 100 and 99.5 (the third is too far), asks of 101 and 101.5; then a bid grows, an ask goes and one comes
    BID = np.array([[100.0, 100.0, 100.0], [99.5, 99.5, 99.5], [90.0, 90.0, 90.0]])
    BID_SIZE = np.array([[5.0, 7.0, 7.0], [3.0, 3.0, 0.0], [9.0, 9.0, 9.0]])
    ASK = np.array([[101.0, 101.5, 101.2], [101.5, 101.9, 101.5], [101.9, -1.0, 101.9]])
    ASK_SIZE = np.array([[2.0, 6.0, 1.0], [6.0, 4.0, 6.0], [4.0, 0.0, 8.0]])

    def test_by_hand(self) -> None:
        bids, asks, spread, came, come = liquidity.near_touch(
            self.BID, self.BID_SIZE, self.ASK, self.ASK_SIZE, offsets_of(0, 3), bps=60.0
        )
        np.testing.assert_array_equal(bids, [8, 10, 7])
        np.testing.assert_array_equal(asks, [8, 10, 7])
        np.testing.assert_allclose(spread, [1, 1.5, 1.2])
        np.testing.assert_array_equal(came, [np.nan, 2, 0])
        np.testing.assert_array_equal(come, [np.nan, 0, 1])

    def test_what_lay_behind_the_last_level_has_not_arrived(self) -> None:
        bid, size = np.array([[10.0, 9.9], [9.9, 9.8]]), np.ones((2, 2))
        # the best bid went, so the book shows a level deeper than before
        _, _, _, came, _ = liquidity.near_touch(bid, size, bid + 1, size, offsets_of(0, 2), bps=500.0)
        assert came[1] == 0
        # the row before shows that there was nothing
        size[1, 0] = 0.0
        _, _, _, came, _ = liquidity.near_touch(bid, size, bid + 1, size, offsets_of(0, 2), bps=500.0)
        assert came[1] == 2

    def test_rows_of_several_tiles_are_those_of_the_definition(self) -> None:
        # prices stay for a few rows and then move, some levels go, some are unknown
        rng, rows, levels = np.random.default_rng(5), 1300, 6
        middle = 1000.0 + np.cumsum(np.where(rng.random(rows) < 0.2, rng.integers(-2, 3, rows), 0))
        deep = np.arange(levels)[:, None] * 2.0
        sizes = rng.integers(0, 4, (2, levels, rows)).astype(float)
        sizes[:, 0] += 1
        sizes[rng.random(sizes.shape) < 0.002] = np.nan
        books = middle - 1 - deep, sizes[0], middle + 1 + deep, sizes[1]
        offsets = offsets_of(0, 700, 700, 1300)
        ours = liquidity.near_touch(*books, offsets, bps=50.0)
        for one, other in zip(ours, naive_near_touch(*books, offsets, bps=50.0), strict=True):
            np.testing.assert_array_equal(one, other)

    def test_bad_arguments_are_named(self) -> None:
        with pytest.raises(ArgumentError, match="bps is 0; allowed: a finite number above 0"):
            liquidity.near_touch(self.BID, self.BID_SIZE, self.ASK, self.ASK_SIZE, offsets_of(0, 3), bps=0)


def market(seconds: int = 1200, seed: int = 0) -> dict[str, np.ndarray]:
    """A row every 100 ms: 10 lots on either side, a spread of 1, a tenth of a lot arriving on either side."""
    rng, rows = np.random.default_rng(seed), 10 * seconds
    noise = np.exp(rng.normal(scale=0.05, size=(5, rows)))
    usual = np.array([10.0, 10.0, 1.0, 0.1, 0.1])[:, None]
    names = ("bid_depth", "ask_depth", "spread", "bid_arrived", "ask_arrived")
    columns = dict(zip(names, usual * noise, strict=True))
    return {"time": np.arange(rows) * (SECOND // 10), **columns}


def change(columns: dict[str, np.ndarray], first: float, last: float, **factors: float) -> None:
    for name, factor in factors.items():
        columns[name][int(10 * first) : int(10 * last)] *= factor


def found(columns: dict[str, np.ndarray], **parameters: object) -> tuple[np.ndarray, ...]:
    rows = offsets_of(0, len(columns["time"]))
    return drought.drought(*columns.values(), rows, np.array([0]), offsets_of(0, 1), **parameters)


THIN = {"bid_depth": 0.3, "ask_depth": 0.3}
WIDE = {"spread": 3.0}
SLOW = {"bid_arrived": 0.3, "ask_arrived": 0.3}


class TestDrought:
    def test_one_that_is_thin_wide_and_slow(self) -> None:
        columns = market()
        change(columns, 700, 760, **THIN, **WIDE, **SLOW)
        flag, depth, age, _ = found(columns)
        start, end, _, _ = episodes.episodes(columns["time"], flag, flag, offsets_of(0, 12_000))
        assert len(start) == 1
        assert 702 * SECOND <= start[0] <= 708 * SECOND
        assert 763 * SECOND <= end[0] <= 775 * SECOND
        assert depth[7550] == pytest.approx(0.7, abs=0.05)
        # the onset is the first tick of those that made it sure
        assert age[7550] == pytest.approx((columns["time"][7550] - start[0]) / SECOND + 3.0, abs=0.6)
        assert np.isnan(flag[:3000]).all()
        assert (flag[3300:6990] == 0).all()

    @pytest.mark.parametrize(
        "factors",
        [
            {**THIN, **WIDE},
            {**THIN, **SLOW},
            {**WIDE, **SLOW},
            {**WIDE, **SLOW, "bid_depth": 0.1},
            {**THIN, **WIDE, "ask_arrived": 0.1},
        ],
    )
    def test_two_of_three_or_one_side_are_none(self, factors: dict[str, float]) -> None:
        columns = market()
        change(columns, 700, 760, **factors)
        assert np.nansum(found(columns)[0]) == 0

    def test_a_short_gap_is_none(self) -> None:
        columns = market()
        change(columns, 700, 700.8, bid_depth=0.05, ask_depth=0.05, spread=8.0, bid_arrived=0.05, ask_arrived=0.05)
        assert np.nansum(found(columns)[0]) == 0

    def test_what_is_usual_at_this_hour_is_none(self) -> None:
        days = [market(seed=day) for day in range(4)]
        for day in days:
            change(day, 600, 780, **THIN, **WIDE, **SLOW)
        columns = [np.concatenate([day[name] for day in days]) for name in days[0]]
        rows = offsets_of(*(12_000 * day for day in range(5)))
        parameters = {"bucket_seconds": 60.0, "adapt_seconds": 600.0, "shrinkage": 0.0}
        flag, _, _, _ = drought.drought(*columns, rows, np.zeros(4, np.int64), offsets_of(0, 4), **parameters)
        a_day = [np.nansum(flag[first : first + 12_000]) for first in rows[:-1]]
        assert a_day[0] > 1000
        assert a_day[3] == 0
        # each day an entity of its own: nobody knows what is usual
        flag, _, _, _ = drought.drought(*columns, rows, np.zeros(4, np.int64), np.arange(5), **parameters)
        assert np.nansum(flag[rows[3] :]) > 1000

    def test_an_unknown_book_is_missing_and_ends_a_drought(self) -> None:
        columns = market()
        change(columns, 700, 760, **THIN, **WIDE, **SLOW)
        columns["bid_depth"][7300:7310] = np.nan
        outputs = found(columns)
        assert outputs[0][7299] == 1
        for output in outputs:
            # until twice the longer time constant after it is known again
            assert np.isnan(output[7300:7409]).all()
            assert not np.isnan(output[7411:]).any()

    def test_one_event_after_the_other_gives_the_bits_of_the_batch(self) -> None:
        data = Data(300, 3, "float64", 4)
        time, *measures, offsets, opens, _ = watched(data)
        batch = drought.drought(time, *measures, offsets, opens, offsets_of(0, 3), **PARAMETERS)
        assert np.nansum(batch[0]) > 0
        settings = drought_state.settings_of(**PARAMETERS)
        numbers, marks = np.empty(drought_state.NUMBERS), np.empty(drought_state.MARKS, np.int64)
        profile, stepped = np.empty((1000, drought_state.MEASURES + 1)), []
        drought_state.start(numbers, marks, profile)
        for session in range(3):
            drought_state.open_session(numbers, marks, profile, settings)
            for row in range(offsets[session], offsets[session + 1]):
                event = (opens[session], time[row], *(column[row] for column in measures))
                stepped.append(drought_state.step(numbers, marks, profile, settings, *event))
        for one, other in zip(batch, np.array(stepped).T, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_later_rows_change_nothing(self) -> None:
        data = Data(400, 3, "float64", 9)
        time, *measures, offsets, opens, entities = watched(data)
        whole = drought.drought(time, *measures, offsets, opens, entities, **PARAMETERS)
        for rows in (50, 233, 399):
            cut = drought.drought(
                time[:rows],
                *(column[:rows] for column in measures),
                np.minimum(offsets, rows),
                opens,
                entities,
                **PARAMETERS,
            )
            for one, other in zip(whole, cut, strict=True):
                np.testing.assert_array_equal(one[:rows], other)

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"enter": np.nan}, "enter is nan; allowed: a number from 0"),
            ({"leave": 3.0}, r"leave is 3.0; allowed: a number from 0 to 2"),
            ({"gate": 2.0}, "gate is 2.0"),
            ({"weights": (0.0, 0.0, 0.0)}, "weights are .* allowed: three finite numbers"),
            ({"weights": (1.0,)}, "three finite numbers"),
            ({"memory": 0}, "memory is 0"),
            ({"clock_seconds": 0}, "clock_seconds is 0"),
            ({"smoothing_seconds": 0.1}, "smoothing_seconds is 0.1"),
        ],
    )
    def test_bad_parameters_are_named(self, parameters: dict[str, object], message: str) -> None:
        with pytest.raises(ArgumentError, match=message):
            found(market(10), **parameters)

    def test_bad_tables_are_named(self) -> None:
        columns, rows = market(10), offsets_of(0, 100)
        for opens, entities, message in (
            ([1], [0, 1], "session 0 has a row before it opens"),
            ([0, 0], [0, 2], "opens has 2 times for 1 sessions"),
            ([-(10**18)], [0, 1], "session 0 lasts .* days; allowed: 7 days or less"),
        ):
            with pytest.raises(ArgumentError, match=message):
                drought.drought(*columns.values(), rows, np.array(opens), np.array(entities))


def test_episodes_by_hand() -> None:
    time = np.array([0, 1, 2, 3, 4, 9, 10, 11])
    flag = np.array([1, 1, 0, 1, np.nan, 1, 0, 1])
    score = np.array([1, 5, 9, np.nan, 2, 3, 8, 4.0])
    start, end, peak, segment = episodes.episodes(time, flag, score, offsets_of(0, 5, 8))
    np.testing.assert_array_equal(start, [0, 3, 9, 11])
    np.testing.assert_array_equal(end, [2, 4, 10, 11])
    np.testing.assert_array_equal(peak, [5, np.nan, 3, 4])
    np.testing.assert_array_equal(segment, [0, 0, 1, 1])
    start, end, peak, _ = episodes.episodes(time, flag, score, offsets_of(0, 5, 8), gap_ns=1)
    np.testing.assert_array_equal(start, [0, 9])
    np.testing.assert_array_equal(end, [4, 11])
    # what lies between two runs is not one of them
    np.testing.assert_array_equal(peak, [5, 4])
    assert [len(array) for array in episodes.episodes(time[:0], flag[:0], score[:0], offsets_of(0))] == [0] * 4
