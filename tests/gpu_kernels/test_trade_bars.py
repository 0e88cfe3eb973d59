"""Who began a trade, and bars: by hand, event by event, and cut short."""

import numpy as np
import pytest

from benchmarks.works.data import MINUTE, Data
from benchmarks.works.trade import Trades
from gpu_kernels.errors import ArgumentError
from gpu_kernels.trade import aggressor, bars


def offsets_of(*rows: int) -> np.ndarray:
    return np.array(rows, np.int64)


@pytest.fixture(scope="module")
def trades() -> Trades:
    return Trades(Data(3000, 3, "float64", 11))


class TestAggressor:
    def test_every_rule_by_hand(self) -> None:
        time = np.array([0, 10, 20, 30, 40, 50, 60])
        price = np.array([100, 103, 99, 101, 101, 101, 102])
        side = np.array([0, 0, 0, 0, 0, -1, 0], np.int8)
        quotes = (np.array([0, 10, 50]), np.array([98, 100, 103]), np.array([102, 102, 101]), offsets_of(0, 3))
        got, rule = aggressor.lee_ready(time, price, side, offsets_of(0, 7), *quotes)
        # no quote strictly before the first trade; the mids are 100, then 101; the last quote is crossed
        assert got.tolist() == [0, 1, -1, 1, 1, -1, 1]
        assert [aggressor.RULES[code] for code in rule] == [
            "unknown",
            "quote rule",
            "quote rule",
            "tick rule",
            "tick rule",
            "feed",
            "tick rule",
        ]

    def test_a_quote_of_the_trades_own_time_is_not_before_it(self) -> None:
        quotes = (np.array([5, 10]), np.array([98, 104]), np.array([102, 106]), offsets_of(0, 2))
        arrays = (np.array([10]), np.array([103]), np.zeros(1, np.int8), offsets_of(0, 1))
        assert aggressor.lee_ready(*arrays, *quotes)[0].tolist() == [1]
        later = (np.array([11]), *arrays[1:])
        assert aggressor.lee_ready(*later, *quotes)[0].tolist() == [-1]
        assert aggressor.lee_ready(*later, *quotes, lag_ns=1)[0].tolist() == [1]

    def test_no_quotes_at_all(self) -> None:
        empty = np.empty(0)
        quotes = (np.empty(0, np.int64), empty, empty, offsets_of(0, 0))
        arrays = (np.array([1, 2, 3]), np.array([5.0, 5.0, 6.0]), np.zeros(3, np.int8), offsets_of(0, 3))
        got, rule = aggressor.lee_ready(*arrays, *quotes)
        assert (got.tolist(), rule.tolist()) == ([0, 0, 1], [3, 3, 2])

    def test_later_rows_change_nothing(self, trades: Trades) -> None:
        whole = aggressor.lee_ready(trades.time, trades.price, trades.side, trades.offsets, *trades.quotes)
        keep = int(trades.offsets[-1]) - 400
        last = int(trades.time[keep - 1])
        quotes = int(trades.quote_offsets[-2]) + int(
            np.searchsorted(trades.quote_time[trades.quote_offsets[-2] :], last)
        )
        cut, quote_cut = trades.offsets.clip(max=keep), trades.quote_offsets.clip(max=quotes)
        part = aggressor.lee_ready(
            trades.time[:keep],
            trades.price[:keep],
            trades.side[:keep],
            cut,
            trades.quote_time[:quotes],
            trades.bid[:quotes],
            trades.ask[:quotes],
            quote_cut,
        )
        for full, short in zip(whole, part, strict=True):
            np.testing.assert_array_equal(full[:keep], short)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"side": np.zeros(2, np.int8)}, "side 2, rows 3"),
            ({"side": np.zeros(3)}, "side is float64; allowed: int8 or int64"),
            ({"lag_ns": -1}, "lag_ns is -1"),
            ({"quote_time": np.array([2, 1])}, "time falls from 2 to 1"),
            ({"time": np.array([3, 2, 1])}, "at falls from 3 to 2"),
            ({"quote_offsets": offsets_of(0, 1, 2)}, "2 segments of rows for 1"),
        ],
    )
    def test_mistakes_are_named(self, change: dict, message: str) -> None:
        call = {
            "time": np.arange(3),
            "price": np.arange(3.0),
            "side": np.zeros(3, np.int8),
            "offsets": offsets_of(0, 3),
            "quote_time": np.arange(2),
            "bid_price": np.ones(2),
            "ask_price": np.ones(2),
            "quote_offsets": offsets_of(0, 2),
        }
        with pytest.raises(ArgumentError, match=message):
            aggressor.lee_ready(**{**call, **change})


def every_end(trades: Trades, keep: int, until: int) -> dict[str, bars.Ends]:
    """All kinds of bars over the first `keep` trades, known up to `until`."""
    offsets = trades.offsets.clip(max=keep)
    size, price, signed = trades.size[:keep], trades.price[:keep], (trades.side * trades.lots)[:keep]
    expected = {"expected_trades": 9.0, "expected_imbalance": 2.0, "span": 5, "maximum_trades": 60}
    return {
        "tick": bars.tick_ends(offsets, 11),
        "volume": bars.volume_ends(size, offsets, 200),
        "dollar": bars.dollar_ends(price, size, offsets, 90_000.0),
        "imbalance": bars.imbalance_ends(signed, offsets, **expected),
        "time": bars.time_ends(trades.time[:keep], offsets, np.array([2**60, 2**60, until]), 5 * MINUTE),
    }


def aggregated(trades: Trades, keep: int, ends: bars.Ends, interval_ns: int) -> bars.Bars:
    columns = (trades.price, trades.size, trades.side, trades.time, trades.known_time)
    offsets = trades.offsets.clip(max=keep)
    return bars.aggregate(*(column[:keep] for column in columns), offsets, *ends, interval_ns=interval_ns)


class TestBars:
    @pytest.mark.parametrize("keep", [2500, 2503, 2999])
    def test_later_trades_change_no_bar(self, trades: Trades, keep: int) -> None:
        now = int(trades.time[keep - 1])
        whole, part = (every_end(trades, *args) for args in ((3000, 2**60), (keep, now)))
        for kind, ends in part.items():
            interval = 5 * MINUTE if kind == "time" else 0
            full, short = (aggregated(trades, *args, interval) for args in ((3000, whole[kind]), (keep, ends)))
            count = len(ends.ends)
            # every bar that was complete by then is there, and none else
            complete = full.end_time <= now if kind == "time" else whole[kind].ends < keep
            assert count == int((complete | (whole[kind].ends < trades.offsets[2])).sum()) > 50, kind
            for one, other in zip(full, short, strict=True):
                np.testing.assert_array_equal(one[:count], other, err_msg=kind)

    def test_event_by_event(self, trades: Trades) -> None:
        """The bodies, stepped trade by trade, give the bars of the batch bit for bit."""
        ends = every_end(trades, 3000, 0)
        first, last = trades.offsets[:2]
        held, volume, state, imbalance = 0.0, [], (0.0, 0.0, 9.0, 2.0), []
        for row in range(first, last):
            held, closed = bars._sum_step(held, float(trades.size[row]), 200.0)
            volume += [row] * closed
            signed = float(trades.side[row] * trades.lots[row])
            state, closed = bars._imbalance_step(state, signed, 2.0 / 6.0, 1.0, 60.0)
            imbalance += [row] * closed
        assert volume == ends["volume"].ends[: len(volume)].tolist()
        assert imbalance == ends["imbalance"].ends[: len(imbalance)].tolist()
        assert len(imbalance) > 20
        whole = aggregated(trades, 3000, ends["volume"], 0)
        begin = first
        for number, end in enumerate(volume):
            bar = (np.nan, np.nan, np.nan, np.nan, 0.0, 0.0, 0.0, 0)
            for row in range(begin, end + 1):
                bar = bars._bar_step(bar, trades.price[row], trades.size[row], float(trades.side[row]))
            wanted = [*(column[number] for column in whole[:4]), whole.volume[number], whole.signed_volume[number]]
            np.testing.assert_array_equal([*bar[:4], bar[5], bar[6]], wanted)
            assert whole.vwap[number] == bar[4] / bar[5]
            begin = end + 1

    def test_a_trade_larger_than_a_bar_is_one_bar(self) -> None:
        size = np.array([5, 500, 40, 60, 99])
        ends, bar_offsets = bars.volume_ends(size, offsets_of(0, 5), 100)
        assert (ends.tolist(), bar_offsets.tolist()) == ([1, 3], [0, 2])

    def test_a_bar_of_time_is_known_at_its_end(self) -> None:
        time, one, side = np.array([3, 8, 21, 29]), np.ones(4), np.ones(4, np.int8)
        for until, wanted in ((29, [1]), (30, [1, 3])):
            ends = bars.time_ends(time, offsets_of(0, 4), until, 10)
            assert ends.ends.tolist() == wanted
            made = bars.aggregate(one, one, side, time, time + 4, offsets_of(0, 4), *ends, interval_ns=10)
            assert made.start_time.tolist() == [0, 20][: len(wanted)]
            assert made.end_time.tolist() == [10, 30][: len(wanted)]
            assert made.known_time.tolist() == [12, 33][: len(wanted)]

    def test_limits_hold_bars_that_run_away(self) -> None:
        balanced = np.random.default_rng(4).choice([-1, 1], 5000)
        limits = {"expected_trades": 10, "expected_imbalance": 0.1, "span": 3}
        free = bars.imbalance_ends(balanced, offsets_of(0, 5000), **limits)
        bound = bars.imbalance_ends(balanced, offsets_of(0, 5000), **limits, minimum_trades=10, maximum_trades=50)
        assert np.diff(free.ends).min() < 10
        assert np.diff(free.ends).max() > 600
        assert np.diff(bound.ends).min() >= 10
        assert np.diff(bound.ends).max() <= 50

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: bars.tick_ends(offsets_of(0, 4), 0), "trades is 0"),
            (lambda: bars.tick_ends(offsets_of(0, 4, 3), 2), "offsets falls"),
            (lambda: bars.volume_ends(np.ones(4), offsets_of(0, 4), 0.0), "threshold is 0.0; allowed: numbers above 0"),
            (lambda: bars.volume_ends(np.ones(4), offsets_of(0, 4), np.nan), "threshold holds NaN"),
            (lambda: bars.volume_ends(np.ones(4), offsets_of(0, 4), "1"), "threshold is '1'"),
            (lambda: bars.volume_ends(np.ones(4), offsets_of(0, 4), np.ones(2)), "2 of threshold for 1 segments"),
            (lambda: bars.time_ends(np.array([2, 1]), offsets_of(0, 2), 5, 1), "time falls from 2 to 1"),
            (lambda: bars.time_ends(np.array([1, 2]), offsets_of(0, 2), 5.5, 1), "until is 5.5; allowed: a whole"),
            (
                lambda: bars.imbalance_ends(
                    np.ones(4), offsets_of(0, 4), expected_trades=5, expected_imbalance=0.0, span=2
                ),
                "expected_imbalance is 0",
            ),
            (
                lambda: bars.imbalance_ends(
                    np.ones(4), offsets_of(0, 4), expected_trades=np.nan, expected_imbalance=1, span=2
                ),
                "expected_trades is nan",
            ),
            (
                lambda: bars.aggregate(
                    *[np.ones(4)] * 2,
                    np.ones(4, np.int8),
                    *[np.arange(4)] * 2,
                    offsets_of(0, 2, 4),
                    np.array([3, 1]),
                    offsets_of(0, 1, 2),
                ),
                "ends fall, or lie outside",
            ),
        ],
    )
    def test_mistakes_are_named(self, call: object, message: str) -> None:
        with pytest.raises(ArgumentError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
