"""Features of trades that need quotes, intervals, the clock of volume or a model, against their definitions; and that
nothing not known yet changes one of them."""

import math
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from fusion.feature_fit import fits
from fusion.features import choice, trade, trade_cost
from fusion.features.ticks import Array, defaults
from fusion.features.trade_rows import TradeSettings
from gpu_kernels.durations import parse_duration
from gpu_kernels.errors import ConfigError, DataError
from gpu_kernels.trade import pin_fit
from sources.config import parse_source
from sources.schema import TIME
from sources.source_options import HawkesModel, StreamSource

MIDNIGHT = datetime(2024, 8, 9, tzinfo=UTC)
SECOND = 10**9
MAX_AGE = 3 * SECOND
HAWKES = HawkesModel(baseline=(2.0, 3.0), branching=((0.4, 0.1), (0.2, 0.3)), decay=1.5)
SETTINGS = TradeSettings(
    quote_lag=20_000_000,
    quotes_max_age=MAX_AGE,
    tick=0.5,
    bands=(1, 3, 6),
    fit_every=20 * SECOND,
    fit_window=30 * SECOND,
    pin_days=6,
)


def times_of(ms: np.ndarray) -> pl.Series:
    start = int((MIDNIGHT - timedelta(seconds=60)).timestamp()) * SECOND
    return pl.Series(start + ms * 1_000_000).cast(pl.Int64).cast(TIME)


@pytest.fixture(scope="module")
def market() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """(trades, quotes, grid): two minutes around midnight, every trade some ms after a quote; the feed is late by
    40 ms, at times by 900; the last third of the sides is not told."""
    rng = np.random.default_rng(8)
    at = np.sort(rng.integers(0, 120_000, 1800))
    bid = 100 + np.cumsum(rng.integers(-1, 2, len(at))) * 0.5
    late = np.where((at // 1000) % 17 == 3, 900, 40)
    known = np.maximum.accumulate(at + late)
    event = times_of(at)
    rows = {"entity": ["A"] * len(at), "session": event.dt.date(), "event_time": event, "known_time": times_of(known)}
    sizes = {name: rng.integers(1, 9, len(at)).astype(float) for name in ("bid_size", "ask_size")}
    spread = 0.5 * rng.integers(1, 4, len(at))
    quotes = pl.DataFrame(rows | sizes | {"bid_price": bid, "ask_price": bid + spread})
    delay = rng.integers(0, 60, len(at))
    side = np.where(np.arange(len(at)) < 1200, rng.choice([-1, 1], len(at)), 0)
    price = np.where(rng.random(len(at)) < 0.5, bid, bid + spread) + rng.choice([0, 0, 0, 0.5, -0.5], len(at))
    trades = pl.DataFrame(
        rows
        | {
            "known_time": times_of(np.maximum.accumulate(known + delay)),
            "price": price,
            "size": np.round(rng.lognormal(0, 1, len(at)), 4) + 0.0001,
            "side": pl.Series(side, dtype=pl.Int8),
        }
    )
    times = times_of(np.arange(2000, 120_000, 700))
    grid = pl.DataFrame({"entity": ["A"] * len(times), "session": times.dt.date(), "decision_time": times})
    return trades, quotes, grid


def computed(
    market: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame], names: list[str], **changes: object
) -> dict[str, Array]:
    trades, quotes, grid = market
    settings = TradeSettings(**(vars(SETTINGS) | changes))  # type: ignore[arg-type]
    return trade.compute(trades, grid, names, MAX_AGE, continuous=True, quotes=quotes, settings=settings)


def clock(frame: pl.DataFrame, column: str = "known_time") -> np.ndarray:
    return frame[column].dt.epoch("ns").to_numpy()


def sides_and_mids(trades: pl.DataFrame, quotes: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Each trade's side and the mid of the last quote known more than the lag before it."""
    quoted, mids = clock(quotes), ((quotes["bid_price"] + quotes["ask_price"]) / 2).to_numpy()
    found = np.searchsorted(quoted, clock(trades) - SETTINGS.quote_lag, side="left") - 1
    mid = np.where(found >= 0, mids[found], np.nan)
    side, price = trades["side"].to_numpy().astype(float), trades["price"].to_numpy()
    moves = np.sign(np.diff(price, prepend=price[0]))
    tick = [0.0]
    for move in moves[1:]:
        tick.append(move or tick[-1])
    by_quote = np.where(np.isnan(mid), 0.0, np.sign(price - mid))
    return np.where(side != 0, side, np.where(by_quote != 0, by_quote, tick)), mid


class TestSpreads:
    @pytest.mark.parametrize("time", ["1s", "2500ms"])
    def test_they_equal_their_definitions_and_wait_for_the_later_mid(self, market, time: str) -> None:
        trades, quotes, grid = market
        half_life = parse_duration(time)
        names = [f"trade_{stem}_{time}" for stem in ("effective_spread", "realised_spread", "price_impact")]
        columns = computed(market, names)
        side, mid = sides_and_mids(trades, quotes)
        quoted, mids = clock(quotes), ((quotes["bid_price"] + quotes["ask_price"]) / 2).to_numpy()
        known, price, size = clock(trades), trades["price"].to_numpy(), trades["size"].to_numpy()
        later = mids[np.searchsorted(quoted, known + half_life, side="right") - 1]
        effective, realised = 2e4 * side * (price - mid) / mid, 2e4 * side * (price - later) / mid
        good = ~np.isnan(mid) & (side != 0)
        seen = 0
        for i, at in enumerate(clock(grid, "decision_time")):
            for name, value, delay in zip(
                names, (effective, realised, effective - realised), (0, half_life, half_life), strict=True
            ):
                rows = good & (known + delay <= at)
                got = columns[name][i]
                if math.isnan(columns["trade_age"][i]) or not rows.any():
                    assert math.isnan(got)
                    continue
                weight = size[rows] * 2.0 ** (-(at - known[rows] - delay) / half_life)
                assert got == pytest.approx(float(weight @ value[rows] / weight.sum()), abs=1e-4)
                seen += 1
        assert seen > 300

    def test_large_trades_are_judged_by_sizes_before_them(self, market, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(trade_cost, "LARGE_OF", 100)
        trades, quotes, grid = market
        got = computed(market, ["trade_large_gap_5s"])["trade_large_gap_5s"]
        _, mid = sides_and_mids(trades, quotes)
        known, price, size = clock(trades), trades["price"].to_numpy(), trades["size"].to_numpy()
        large = np.array([i >= 100 and size[i] >= np.quantile(size[i - 100 : i], 0.95) for i in range(len(size))])
        for i, at in enumerate(clock(grid, "decision_time")):
            last = np.searchsorted(known, at, side="right") - 1
            rows = large & (known <= known[last]) & (known > known[last] - 5 * SECOND)
            gap = 1e4 * (price - mid) / mid
            wanted = float(size[rows] @ gap[rows] / size[rows].sum()) if rows.any() else math.nan
            assert got[i] == pytest.approx(wanted, abs=1e-6, nan_ok=True)
        assert np.isfinite(got).sum() > 100


def test_measures_of_intervals_equal_their_definitions(market) -> None:
    trades, quotes, grid = market
    names = [f"trade_{stem}_2s" for stem in ("kyle_lambda", "amihud", "roll_spread")]
    columns = computed(market, names)
    side, _ = sides_and_mids(trades, quotes)
    known, price, size = clock(trades), trades["price"].to_numpy(), trades["size"].to_numpy()
    quoted, mids = clock(quotes), ((quotes["bid_price"] + quotes["ask_price"]) / 2).to_numpy()
    first = -(-int(known[0]) // (2 * SECOND))
    told = 0
    for i, at in enumerate(clock(grid, "decision_time")):
        ends = np.arange(first, int(at) // (2 * SECOND) + 1) * 2 * SECOND
        if len(ends) == 0 or math.isnan(columns["trade_age"][i]):
            continue
        close = np.array([price[np.searchsorted(known, end, side="right") - 1] for end in ends])
        mid = np.array([mids[np.searchsorted(quoted, end, side="right") - 1] for end in ends])
        inside = [(known > end - 2 * SECOND) & (known <= end) for end in ends]
        signed = np.array([(side * size)[rows].sum() for rows in inside])
        value = np.array([(price * size)[rows].sum() / 1e6 for rows in inside])
        # the first interval is a part, and has no change
        y, x = np.diff(np.log(mid))[-30:] * 1e4, signed[1:][-30:]
        moved = np.abs(close[1:] / close[:-1] - 1)[-30:]
        traded = value[1:][-30:] > 0
        changes = np.diff(np.log(close)) * 1e4
        pairs = np.array(list(pairwise(changes)))[-30:]
        wanted = dict.fromkeys(names, math.nan)
        if len(y) >= 10:
            wanted[names[0]] = float(np.polyfit(x, y, 1)[0])
        if traded.sum() >= 10:
            wanted[names[1]] = 1e4 * float(np.mean(moved[traded] / value[1:][-30:][traded]))
        if len(pairs) >= 10 and (covariance := np.cov(pairs.T)[0, 1]) <= 0:
            wanted[names[2]] = 2 * math.sqrt(-covariance)
        for name, number in wanted.items():
            assert columns[name][i] == pytest.approx(number, rel=1e-7, abs=1e-9, nan_ok=True), (name, i)
            told += not math.isnan(number)
    assert told > 250


class TestVolumeClock:
    def naive(self, lots: np.ndarray, side: np.ndarray, size: int) -> list[float]:
        """VPIN after each trade, lot by lot."""
        out, full, filled, signed = [], [], 0, 0
        for many, way in zip(lots, side, strict=True):
            for _ in range(int(many)):
                filled, signed = filled + 1, signed + int(way)
                if filled == size:
                    full.append(abs(signed))
                    filled, signed = 0, 0
            out.append(sum(full[-50:]) / (50 * size) if len(full) >= 50 else math.nan)
        return out

    def test_the_first_session_takes_its_own_first_trades_and_the_next_the_day_before(self, market) -> None:
        trades, quotes, grid = market
        trades = trades.with_columns(pl.col("size").mul(10).round().add(1))
        got = computed((trades, quotes, grid), ["trade_vpin"], lot=1.0)["trade_vpin"]
        side, _ = sides_and_mids(trades, quotes)
        lots, day = trades["size"].to_numpy().astype(int), trades["session"].to_numpy()
        is_first = day == day[0]
        assert is_first.sum() < 1000, "the first session is too short for its own clock"
        # what was known at the next session's first decision
        opened = clock(grid.filter(pl.col("session") == MIDNIGHT.date()), "decision_time")[0]
        volume = lots[is_first & (clock(trades) <= opened)].sum()
        second = self.naive(lots[~is_first], side[~is_first], int(volume / 250))
        known = clock(trades.filter(pl.col("session") == MIDNIGHT.date()))
        for i, (_, session, _) in enumerate(grid.iter_rows()):
            at = clock(grid, "decision_time")[i]
            last = np.searchsorted(known, at, side="right") - 1
            wanted = math.nan if session != MIDNIGHT.date() or last < 0 else second[last]
            assert got[i] == pytest.approx(wanted, nan_ok=True)
        assert np.isfinite(got).sum() > 50

    def test_a_session_without_a_day_before_begins_after_its_first_trades(
        self, market, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("fusion.features.trade_flow.FIRST_TRADES", 300)
        trades, quotes, grid = market
        trades = trades.with_columns(pl.col("size").mul(10).round().add(1))
        got = computed((trades, quotes, grid), ["trade_vpin"], lot=1.0)["trade_vpin"]
        side, _ = sides_and_mids(trades, quotes)
        own = trades["session"].to_numpy() < np.datetime64(MIDNIGHT.date())
        lots, known = trades["size"].to_numpy().astype(int)[own], clock(trades)[own]
        size = lots[:300].sum() // 50
        after = self.naive(np.where(np.arange(len(lots)) < 300, 0, lots), side[own], int(size))
        rows = np.flatnonzero((grid["session"] < MIDNIGHT.date()).to_numpy())
        for i in rows:
            last = np.searchsorted(known, clock(grid, "decision_time")[i], side="right") - 1
            assert got[i] == pytest.approx(after[last], nan_ok=True)
        assert np.isfinite(got[rows]).any()

    def test_lots_that_overflow_are_an_error(self, market) -> None:
        trades, quotes, grid = market
        with pytest.raises(DataError, match="write a larger `lot`"):
            computed((trades.with_columns(pl.col("size") * 1e12), quotes, grid), ["trade_vpin"])


def test_arrivals_are_told_apart_by_the_distance_of_their_level_from_the_mid(market) -> None:
    trades, quotes, grid = market
    stems = ("arrivals_near", "arrivals_middle", "arrivals_far", "arrivals")
    columns = computed(market, [f"trade_{stem}_5s" for stem in stems])
    side, _ = sides_and_mids(trades, quotes)
    known, level = clock(trades), np.round(trades["price"].to_numpy() / 0.5)
    told = 0
    for i, at in enumerate(clock(grid, "decision_time")):
        last = np.searchsorted(clock(quotes), at, side="right") - 1
        if math.isnan(columns["trade_age"][i]) or last < 0:
            continue
        mid = (quotes["bid_price"][int(last)] + quotes["ask_price"][int(last)]) / 2 / 0.5
        distance = np.abs(level - mid)
        for stem, (low, high) in zip(stems, ((-1, 1), (1, 3), (3, 6), (-1, 6)), strict=True):
            rows = (known <= at) & (distance > low) & (distance <= high)
            weight = 2.0 ** (-(at - known[rows]) / (5 * SECOND))
            wanted = float(weight @ side[rows] / weight[side[rows] != 0].sum()) if rows.any() else math.nan
            assert columns[f"trade_{stem}_5s"][i] == pytest.approx(wanted, nan_ok=True), (stem, i)
            told += not math.isnan(wanted)
    assert told > 300


class TestHawkes:
    def test_a_given_model_reads_the_orders_strictly_before(self, market) -> None:
        trades, quotes, grid = market
        names = ["trade_hawkes_buys", "trade_hawkes_sells", "trade_hawkes_imbalance"]
        columns = computed(market, names, hawkes=HAWKES)
        side, _ = sides_and_mids(trades, quotes)
        event, known = clock(trades, "event_time"), clock(trades)
        kept = side != 0
        side, event, known = side[kept], event[kept], known[kept]
        # one order that met several counts once
        first = np.append(True, (event[1:] != event[:-1]) | (side[1:] != side[:-1]))
        assert not first.all()
        for i, at in enumerate(clock(grid, "decision_time")):
            if math.isnan(columns["trade_age"][i]):
                continue
            begin = int(at) // SETTINGS.fit_every * SETTINGS.fit_every - SETTINGS.fit_window
            rates = []
            for target in (0, 1):
                rate = HAWKES.baseline[target]
                for source, way in ((0, 1), (1, -1)):
                    rows = first & (side == way) & (known < at) & (known >= begin)
                    ages = (at - known[rows]) / 1e9
                    rate += HAWKES.branching[target][source] * 1.5 * np.exp(-1.5 * ages).sum()
                rates.append(rate)
            assert columns[names[0]][i] == pytest.approx(math.log1p(rates[0]))
            assert columns[names[1]][i] == pytest.approx(math.log1p(rates[1]))
            assert columns[names[2]][i] == pytest.approx((rates[0] - rates[1]) / sum(rates))

    def test_it_is_missing_until_a_past_could_be_fitted(self, market) -> None:
        got = computed(market, ["trade_hawkes_buys"])["trade_hawkes_buys"]
        at = clock(market[2], "decision_time")
        start = clock(market[0])[0]
        first_fit = -(-int(start) // SETTINGS.fit_every) * SETTINGS.fit_every
        assert np.isnan(got[at < first_fit]).all()
        assert np.isfinite(got).sum() > 50

    def test_the_schedule_of_fits(self) -> None:
        found = list(fits(np.array([1, 4, 5, 9, 10, 12]), np.array([9, 10, 11, 25]), 5, 5))
        assert [(fit.moment, fit.first, fit.stop, fit.last, fit.begin, fit.end) for fit in found] == [
            (5, 0, 2, 4, 0, 1),
            (10, 2, 4, 5, 1, 3),
            (25, 6, 6, 6, 3, 4),
        ]


def daily(days: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Trades of two entities on many days, one of which is known only in the next session; a decision a day at noon."""
    rng = np.random.default_rng(3)
    rows, grid = [], []
    for entity in ("A", "B"):
        for day in range(days):
            opened = datetime(2024, 3, 1, 10, tzinfo=UTC) + timedelta(days=day)
            for k in range(int(rng.integers(20, 60))):
                at = opened + timedelta(seconds=k)
                known = at + timedelta(days=1, hours=5) if k == 7 else at
                rows.append((entity, at.date(), at, known, 10.0, 1.0, int(rng.choice([-1, 1], p=[0.3, 0.7]))))
            grid.append((entity, opened.date(), opened + timedelta(hours=2)))
    names = ["entity", "session", "event_time", "known_time", "price", "size", "side"]
    kinds = [pl.String(), pl.Date(), TIME, TIME, pl.Float64(), pl.Float64(), pl.Int8()]
    trades = pl.DataFrame(rows, schema=dict(zip(names, kinds, strict=True)), orient="row")
    clocks = {"entity": pl.String(), "session": pl.Date(), "decision_time": TIME}
    return trades.sort("entity", "known_time"), pl.DataFrame(grid, schema=clocks, orient="row")


def test_pin_is_estimated_from_the_sessions_before_as_known_when_the_session_begins() -> None:
    trades, grid = daily(9)
    settings = TradeSettings(pin_days=7)
    columns = trade.compute(trades, grid, ["trade_pin", "trade_psos"], 10**15, continuous=False, settings=settings)
    # a trade that came after the next session's decision counts nowhere
    counted = trades.filter(pl.col("known_time") - pl.col("event_time") < timedelta(days=1))
    for i, (entity, day, _) in enumerate(grid.iter_rows()):
        own = counted.filter((pl.col("entity") == entity) & (pl.col("session") < day))
        days: list[date] = own["session"].unique().sort().to_list()[-7:]
        if len(days) < 7:
            assert math.isnan(columns["trade_pin"][i])
            continue
        counts = [[own.filter((pl.col("session") == d) & (pl.col("side") == s)).height for d in days] for s in (1, -1)]
        fitted = pin_fit.fit(*(np.array(c, float) for c in counts), np.array([0, 7]), starts=3)
        assert columns["trade_pin"][i] == fitted.pin[0]
    assert np.isfinite(columns["trade_pin"]).sum() == 4


def first_difference(market, names: list[str], cut: datetime) -> str | None:
    """The first column that changes before a cut when all rows not known by it are taken away."""
    trades, quotes, grid = market
    moment = pl.lit(cut, dtype=TIME)
    full = computed(market, names)
    known = tuple(frame.filter(pl.col("known_time") <= moment) for frame in (trades, quotes))
    part = computed((*known, grid.filter(pl.col("decision_time") <= moment)), names)
    for name in names:
        if not np.array_equal(full[name][: len(part[name])], part[name], equal_nan=True):
            return name
    return None


class TestWhatIsNotKnownYet:
    @pytest.mark.parametrize("second", [-17, 3, 38])
    def test_changes_nothing(self, market, second: int) -> None:
        names = defaults(trade.FEATURES)
        assert first_difference(market, names, MIDNIGHT + timedelta(seconds=second, milliseconds=100)) is None

    def test_pin_of_days(self) -> None:
        trades, grid = daily(9)
        settings, names = TradeSettings(pin_days=6), ["trade_pin", "trade_pin_adjusted"]
        full = trade.compute(trades, grid, names, 10**15, continuous=False, settings=settings)
        cut = pl.lit(datetime(2024, 3, 8, 12, 30, tzinfo=UTC), dtype=TIME)
        left, asked = trades.filter(pl.col("known_time") <= cut), grid.filter(pl.col("decision_time") <= cut)
        part = trade.compute(left, asked, names, 10**15, continuous=False, settings=settings)
        known = grid.select(pl.col("decision_time") <= cut).to_series().to_numpy()
        for name in names:
            np.testing.assert_array_equal(full[name][known], part[name])

    def test_a_realised_spread_counted_from_its_trade_on_is_found(
        self, market, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        honest = trade.Ticks.decayed

        def early(self: trade.Ticks, values: Array, half_life: int, delay: int = 0) -> Array:
            return honest(self, values, half_life)

        monkeypatch.setattr(trade.Ticks, "decayed", early)
        names = ["trade_effective_spread_1s", "trade_realised_spread_1s"]
        assert first_difference(market, names, MIDNIGHT) == "trade_realised_spread_1s"

    def test_a_hawkes_process_fitted_to_the_whole_sample_is_found(
        self, market, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def whole(time: np.ndarray, at: np.ndarray, every: int, window: int) -> list[object]:
            return [
                type(fit)(int(time[-1]) + 1, 0, len(time), fit.last, fit.begin, fit.end)
                for fit in fits(time, at, every, window)
            ]

        monkeypatch.setattr("fusion.features.trade_models.fits", whole)
        assert first_difference(market, ["trade_hawkes_buys"], MIDNIGHT) == "trade_hawkes_buys"

    def test_buckets_as_large_as_the_days_own_volume_are_found(self, market, monkeypatch: pytest.MonkeyPatch) -> None:
        def own(daily_lots: Array, buckets: int, days: int) -> Array:
            return (daily_lots / buckets).astype(np.int64)

        monkeypatch.setattr("fusion.features.trade_flow.bucket_sizes", own)
        assert first_difference(market, ["trade_vpin"], MIDNIGHT + timedelta(seconds=30)) == "trade_vpin"


def possible(names: list[str] | None, source: StreamSource) -> list[str]:
    return choice.possible("trades", names, source, trade.FEATURES, trade.needs)


class TestOptions:
    def source(self, **options: object) -> StreamSource:
        entry = {"kind": "binance_raw", "market": "spot", "data": "trade", "files": {"A": "x"}, "max_age": "5s"}
        found = parse_source("trades", entry | options)
        assert isinstance(found, StreamSource)
        return found

    def test_all_is_what_the_options_are_enough_for(self) -> None:
        bare = possible(None, self.source())
        assert "trade_vpin" in bare
        assert not [name for name in bare if ("spread_" in name and "roll" not in name) or "arrivals" in name]
        quoted = possible(None, self.source(quotes="q"))
        assert "trade_effective_spread_10s" in quoted
        assert possible(None, self.source(quotes="q", tick=0.01)) == defaults(trade.FEATURES)

    @pytest.mark.parametrize(
        ("name", "option"), [("trade_price_impact_3s", "quotes"), ("trade_arrivals_near_3s", "tick")]
    )
    def test_a_feature_without_what_it_needs_is_refused(self, name: str, option: str) -> None:
        options = {} if option == "quotes" else {"quotes": "q"}
        with pytest.raises(ConfigError, match=f"needs `{option}`"):
            possible([name], self.source(**options))

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ({"data": "quote", "lot": 1.0}, "`lot` is for tables trade"),
            ({"data": "quote", "tick": 1.0}, "`tick` is for tables trade"),
            ({"bands": [3, 3, 9]}, "three rising numbers of ticks"),
            ({"hawkes": {"baseline": [1, 0], "branching": [[0, 0], [0, 0]], "decay": 1}}, "greater than 0"),
        ],
    )
    def test_options_that_fit_no_trades_are_refused(self, option: dict[str, object], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            self.source(**option)
