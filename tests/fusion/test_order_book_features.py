"""Features of order books against a replay of their messages in dictionaries; snapshots, lost messages, messages of
several rows; and that nothing not known yet changes one of them."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from fusion.features import book
from fusion.features.book_rows import BookSettings, in_lots, in_ticks
from fusion.features.ticks import Array, defaults, half_life_of
from gpu_kernels.book import flow_fit, micro_price_fit
from gpu_kernels.errors import DataError
from sources.schema import GAP, SET, SNAPSHOT, TIME
from sources.stream import in_order

MIDNIGHT = datetime(2024, 8, 9, tzinfo=UTC)
START = int((MIDNIGHT - timedelta(seconds=60)).timestamp()) * 10**9
SECOND = 10**9
MAX_AGE = 5 * SECOND
TICK = 0.5
SETTINGS = BookSettings(
    tick=TICK,
    lot=0.01,
    depth_bps=200.0,
    cost_size=12.0,
    drought_warm_up=20 * SECOND,
    spoofing_warm_up=5 * SECOND,
    fit_every=20 * SECOND,
    fit_window=40 * SECOND,
)
LOST_FROM, LOST_TO = 70_000, 76_000
"""Milliseconds after START at which messages were lost, and at which the next snapshot came."""
SCHEMA = {
    "entity": pl.String(), "session": pl.Date(), "event_time": TIME, "known_time": TIME, "sequence": pl.Int64(),
    "action": pl.Int8(), "side": pl.Int8(), "price": pl.Float64(), "size": pl.Float64(), "last": pl.Boolean(),
}  # fmt: skip
Feed = tuple[pl.DataFrame, pl.DataFrame]


def make_updates() -> pl.DataFrame:
    """Two minutes around midnight: a snapshot, messages of some rows around a mid that walks, a loss, a snapshot."""
    rng = np.random.default_rng(12)
    rows: list[tuple[object, ...]] = []
    held: dict[int, dict[int, float]] = {1: {}, -1: {}}
    mid, number, is_lost = 200, 0, False

    def send(ms: int, changes: list[tuple[int, int, float]], action: int) -> None:
        nonlocal number
        moment = [datetime.fromtimestamp((START + delay * 1_000_000) / 1e9, UTC) for delay in (ms, ms + 30)]
        for k, (side, price, size) in enumerate(changes):
            number += 1
            first = action if k == 0 else SET
            is_last = k == len(changes) - 1
            rows.append(("A", moment[0].date(), *moment, number, first, side, price * TICK, size, is_last))

    def snapshot(ms: int) -> None:
        for side in (1, -1):
            held[side] = {mid - side * (1 + k): float(rng.integers(1, 20)) for k in range(14)}
        send(ms, [(side, price, size) for side in (1, -1) for price, size in held[side].items()], SNAPSHOT)

    snapshot(100)
    for ms in np.sort(rng.integers(200, 120_000, 2500)):
        if LOST_FROM <= ms < LOST_TO and not is_lost:
            is_lost = True
            send(LOST_FROM, [(1, mid - 1, 5.0)], GAP)
        elif ms >= LOST_TO and is_lost:
            is_lost = False
            snapshot(LOST_TO)
        changes = []
        step = int(rng.choice([-1, 0, 0, 0, 0, 0, 1]))
        mid += step
        for side in (1, -1):
            # what the walking mid has reached is gone
            for price in [p for p in held[side] if (p - mid) * side >= 0]:
                changes.append((side, price, 0.0))
                del held[side][price]
        for _ in range(int(rng.integers(1, 4))):
            side = int(rng.choice([1, -1]))
            price = mid - side * int(1 + abs(rng.normal(0, 5)))
            size = float(rng.integers(0, 20)) if len(held[side]) > 12 else float(rng.integers(1, 20))
            held[side] = held[side] | {price: size}
            if size == 0:
                del held[side][price]
            changes.append((side, price, size))
        send(int(ms), changes, SET)
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def make_trades() -> pl.DataFrame:
    """Trades around the prices at which updates of the book take size away."""
    updates = make_updates().filter(pl.col("action") == SET)[::7]
    rng = np.random.default_rng(2)
    return updates.select(
        *("entity", "session", "event_time", "known_time", "price"),
        pl.Series("size", rng.integers(1, 9, updates.height).astype(float)),
        (-pl.col("side")).alias("side"),
    )


@pytest.fixture(scope="module")
def feed() -> Feed:
    times = pl.Series(START + np.arange(-1000, 120_000, 900) * 1_000_000).cast(TIME)
    grid = pl.DataFrame({"entity": ["A"] * len(times), "session": times.dt.date(), "decision_time": times})
    return in_order(make_updates(), "book_update")[0], grid


def computed(feed: Feed, names: list[str], *, continuous: bool = True, **changes: object) -> dict[str, Array]:
    settings = BookSettings(**(vars(SETTINGS) | changes))  # type: ignore[arg-type]
    end = feed[1]["decision_time"].max()
    trades = make_trades().filter(pl.col("known_time") <= end)
    return book.compute(*feed, names, MAX_AGE, settings, continuous=continuous, trades=trades)


@dataclass
class Shown:
    """The best levels after a message: (price, size) from the best on; None while nobody knows them."""

    known: int
    bids: list[tuple[float, float]] | None
    asks: list[tuple[float, float]] | None

    @property
    def is_whole(self) -> bool:
        return bool(self.bids and self.asks)


def replay(updates: pl.DataFrame, levels: int = 10) -> list[Shown]:
    """The book after each message."""
    held: dict[int, dict[float, float]] | None = None
    found = []
    for row in updates.with_columns(pl.col("known_time").dt.epoch("ns")).iter_rows(named=True):
        if row["action"] == GAP:
            held = None
            found.append(Shown(row["known_time"], None, None))
            continue
        if row["action"] == SNAPSHOT:
            held = {1: {}, -1: {}}
        if held is not None:
            held[row["side"]][row["price"]] = row["size"]
            if row["size"] == 0:
                del held[row["side"]][row["price"]]
        if row["last"]:
            if held is None:
                found.append(Shown(row["known_time"], None, None))
            else:
                bids, asks = sorted(held[1].items(), reverse=True), sorted(held[-1].items())
                found.append(Shown(row["known_time"], bids[:levels], asks[:levels]))
    return found


def change(now: Shown, before: Shown, level: int) -> float:
    """Order-flow imbalance of one level; a level that is not there lies beyond all prices."""
    total = 0.0
    for sign, here, was in ((1, now.bids, before.bids), (-1, now.asks, before.asks)):
        assert here is not None
        assert was is not None
        price, size = here[level] if level < len(here) else (-sign * math.inf, 0.0)
        old, had = was[level] if level < len(was) else (-sign * math.inf, 0.0)
        total += sign * ((size if sign * price >= sign * old else 0) - (had if sign * price <= sign * old else 0))
    return total


def state_of(shown: Shown) -> dict[str, float]:
    assert shown.bids is not None
    assert shown.asks is not None
    bids, asks = shown.bids, shown.asks
    (bid, b), (ask, a) = bids[0], asks[0]
    mid = (bid + ask) / 2

    def size(side: list[tuple[float, float]], levels: int) -> float:
        return sum(each for _, each in side[:levels])

    def balance(x: float, y: float) -> float:
        return (x - y) / (x + y) if x + y else math.nan

    def cost(side: list[tuple[float, float]]) -> float:
        left, paid = 12.0, 0.0
        for price, held in side:
            paid += min(left, held) * price
            left -= min(left, held)
        return math.nan if left > 0 else abs(paid / 12 - mid) / mid * 1e4

    near = [sum(held for price, held in side if abs(price - mid) <= mid * 0.02) for side in (bids, asks)]
    close = [sum(held / abs(price - mid) for price, held in side) for side in (bids, asks)]
    rest = [*bids, *asks]
    fading = [sum(held * math.exp(-0.5 * k) for k, (_, held) in enumerate(side)) for side in (bids, asks)]
    return {
        "book_spread": (ask - bid) / mid * 1e4,
        "book_imbalance_1": balance(b, a),
        "book_imbalance_5": balance(size(bids, 5), size(asks, 5)),
        "book_imbalance_10": balance(size(bids, 10), size(asks, 10)),
        "book_imbalance_weighted": balance(*fading),
        "book_microprice_gap": ((bid * a + ask * b) / (a + b) / mid - 1) * 1e4,
        "book_depth_5": math.log1p(size(bids, 5) + size(asks, 5)),
        "book_depth_near": math.log1p(sum(near)),
        "book_imbalance_near": balance(*near),
        "book_pressure": balance(*close),
        "book_distance": sum(held * abs(price - mid) for price, held in rest) / size(rest, 20) / mid * 1e4,
        "book_cost_buy": cost(asks),
        "book_cost_sell": cost(bids),
    }


def test_features_equal_a_replay_and_are_missing_from_a_loss_to_the_next_snapshot(feed: Feed) -> None:
    updates, grid = feed
    stems = ["book_ofi", "book_ofi_levels", "book_rate"]
    names = [*state_of(next(shown for shown in replay(updates) if shown.is_whole)), *(f"{stem}_3s" for stem in stems)]
    columns = computed(feed, names)
    messages = replay(updates)
    known = np.array([each.known for each in messages])
    lost, told = 0, 0
    for i, at in enumerate(grid["decision_time"].dt.epoch("ns")):
        last = int(np.searchsorted(known, at, side="right")) - 1
        if last < 0 or not messages[last].is_whole:
            assert all(math.isnan(columns[name][i]) for name in names), at
            lost += last >= 0
            continue
        wanted = state_of(messages[last])
        past = messages[: last + 1]
        weight = [2.0 ** (-(at - each.known) / (3 * SECOND)) for each in past]
        pairs = list(zip(past[1:], past, weight[1:], strict=False))
        pairs = [(now, was, w) for now, was, w in pairs if now.is_whole and was.is_whole]
        whole = [(each, w) for each, w in zip(past, weight, strict=True) if each.is_whole]
        total = sum(w for _, w in whole)
        touch = sum(w * (each.bids[0][1] + each.asks[0][1]) / 2 for each, w in whole) / total  # type: ignore[index]
        of_level = sum(w * sum(held for _, held in (*each.bids, *each.asks)) / 20 for each, w in whole) / total  # type: ignore[misc]
        wanted["book_ofi_3s"] = sum(w * change(now, was, 0) for now, was, w in pairs) / touch
        flows = [sum(w * change(now, was, k) for now, was, w in pairs) for k in range(10)]
        wanted["book_ofi_levels_3s"] = sum(flows) / 10 / of_level
        wanted["book_rate_3s"] = math.log1p(sum(weight) / (3 / math.log(2)))
        for name, value in wanted.items():
            assert columns[name][i] == pytest.approx(value, rel=1e-6, abs=1e-9, nan_ok=True), (name, at)
        told += 1
    assert lost >= (LOST_TO - LOST_FROM) // 900 - 1
    assert told > 100


def test_a_message_is_seen_whole_or_not_at_all(feed: Feed) -> None:
    updates, grid = feed
    several = updates.filter(~pl.col("last"))["known_time"]
    assert len(several) > 500
    wrong = computed((updates.with_columns(last=True), grid), ["book_imbalance_10"])["book_imbalance_10"]
    right = computed(feed, ["book_imbalance_10"])["book_imbalance_10"]
    # all rows of a message are known at once, so that what a decision sees is its end in both
    np.testing.assert_array_equal(right, wrong)
    torn = updates.with_columns(
        pl.when(pl.col("last")).then(pl.col("known_time") + pl.duration(seconds=2)).otherwise("known_time")
    )
    # here the message's end comes later: until then the book is what it was before
    late = computed((in_order(torn, "book_update")[0], grid), ["book_spread"])["book_spread"]
    assert np.isfinite(late).any()


def test_a_book_of_sessions_begins_empty_and_one_that_goes_on_is_unknown(feed: Feed) -> None:
    updates, grid = feed
    plain = updates.filter(pl.col("action") == SET)
    begun = computed((plain, grid), ["book_spread"], continuous=False)["book_spread"]
    assert np.isfinite(begun).sum() > 50
    assert np.isnan(computed((plain, grid), ["book_spread"])["book_spread"]).all()
    # midnight ends the one and not the other
    first = int((grid["session"] < MIDNIGHT.date()).sum())
    whole = computed(feed, ["book_rate_1min"])["book_rate_1min"]
    parts = computed(feed, ["book_rate_1min"], continuous=False)["book_rate_1min"]
    np.testing.assert_array_equal(whole[:first][~np.isnan(parts[:first])], parts[:first][~np.isnan(parts[:first])])
    assert np.isnan(parts[first:]).all() or (parts[first + 2] < whole[first + 2])


def test_a_row_that_comes_weeks_late_stops_no_session(feed: Feed) -> None:
    updates, grid = feed
    weeks = pl.col("known_time") + pl.duration(weeks=3)
    late = updates.tail(1).with_columns(known_time=weeks, sequence=pl.lit(10**6, pl.Int64)).cast(SCHEMA)  # type: ignore[arg-type]
    names = ["book_spread", "book_drought"]
    wanted = computed(feed, names, continuous=False)
    found = computed((pl.concat([updates, late]), grid), names, continuous=False)
    for name in names:
        np.testing.assert_array_equal(found[name], wanted[name])


class TestModels:
    def past(self, feed: Feed, at: int) -> list[Shown]:
        moment = at // SETTINGS.fit_every * SETTINGS.fit_every
        return [each for each in replay(feed[0]) if moment - SETTINGS.fit_window <= each.known < moment]

    def arrays(self, past: list[Shown]) -> tuple[np.ndarray, ...]:
        sides = [
            [(side[0] if side else (-TICK, math.nan if side is None else 0.0)) for side in (each.bids, each.asks)]
            for each in past
        ]
        columns = np.array(sides).reshape(len(past), 4).T
        return tuple(column if k % 2 else np.round(column / TICK).astype(np.int64) for k, column in enumerate(columns))

    def test_the_micro_price_is_that_of_the_fit_before_it(self, feed: Feed) -> None:
        got = computed(feed, ["book_stoikov_gap", "book_imbalance_1"])
        at = feed[1]["decision_time"].dt.epoch("ns").to_numpy()
        messages = replay(feed[0])
        known = np.array([each.known for each in messages])
        checked = 0
        for i in range(30, len(at), 11):
            past = self.past(feed, int(at[i]))
            now = messages[int(np.searchsorted(known, at[i], side="right")) - 1]
            if not now.is_whole or not past:
                continue
            arrays = self.arrays(past)
            model = micro_price_fit.fit(*arrays, np.array([0, len(past)]))
            (bid, _), (ask, _) = now.bids[0], now.asks[0]  # type: ignore[index]
            wide = min(round((ask - bid) / TICK), 4)
            bucket = 5 + min(max(round(got["book_imbalance_1"][i] * 5.5), -5), 5)
            wanted = model.adjustment[wide - 1, bucket] * TICK / ((bid + ask) / 2) * 1e4
            assert got["book_stoikov_gap"][i] == pytest.approx(wanted, rel=1e-6, abs=1e-6, nan_ok=True)
            checked += not math.isnan(wanted)
        assert checked > 3
        assert np.isnan(got["book_stoikov_gap"][at < START + 20 * SECOND]).all()

    def test_the_integrated_flow_weighs_the_levels_as_the_past_says(
        self, feed: Feed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        equal = computed(feed, ["book_ofi_levels_3s"])["book_ofi_levels_3s"]
        fits: list[np.ndarray] = []

        def spied(flows: np.ndarray) -> flow_fit.IntegratedFlow:
            fits.append(flows)
            return flow_fit.IntegratedFlow(np.full(len(flows), 1 / len(flows)), 1.0, flows.shape[1])

        monkeypatch.setattr("fusion.features.book_flow.flow_fit.fit", spied)
        got = computed(feed, ["book_ofi_integrated_3s"])["book_ofi_integrated_3s"]
        served = np.isfinite(got)
        assert served.sum() > 80
        np.testing.assert_allclose(got[served], equal[served], rtol=1e-9, atol=1e-12)
        # of the fit at midnight: one-second sums of the forty seconds before it
        past = [each for each in replay(feed[0]) if START + 20 * SECOND <= each.known < START + 60 * SECOND]
        sums = fits[2]
        second = START + 31 * SECOND
        inside = [change(now, was, 0) for was, now in pairwise(past) if second <= now.known < second + SECOND]
        assert any(np.isclose(sums[0], sum(inside)))


def first_difference(feed: Feed, names: list[str], cut: datetime) -> str | None:
    """The first column that changes before a cut when all rows not known by it are taken away."""
    moment = pl.lit(cut, dtype=TIME)
    full = computed(feed, names)
    part = computed(
        (feed[0].filter(pl.col("known_time") <= moment), feed[1].filter(pl.col("decision_time") <= moment)), names
    )
    for name in names:
        if not np.array_equal(full[name][: len(part[name])], part[name], equal_nan=True):
            return name
    return None


class TestWhatIsNotKnownYet:
    @pytest.mark.parametrize("second", [-20, 13, 41])
    def test_changes_nothing(self, feed: Feed, second: int) -> None:
        assert first_difference(feed, defaults(book.FEATURES), MIDNIGHT + timedelta(seconds=second)) is None

    @pytest.mark.parametrize("name", ["book_stoikov_gap", "book_ofi_integrated_3s"])
    def test_a_model_fitted_to_the_whole_sample_is_found(
        self, feed: Feed, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from fusion.feature_fit import Fit, fits

        def whole(time: Array, at: Array, every: int, window: int) -> list[Fit]:
            return [Fit(f.moment, 0, len(time), f.last, f.begin, f.end) for f in fits(time, at, every, window)]

        monkeypatch.setattr("fusion.features.book_rows.fits", whole)
        assert first_difference(feed, [name], MIDNIGHT) == name


@pytest.mark.parametrize("tick", [1.0, 0.5, 0.25, 0.1, 0.05, 0.01, 0.0025, 1e-4])
def test_prices_are_whole_ticks(tick: float) -> None:
    whole = np.random.default_rng(0).integers(1, 100_000, 500)
    assert in_ticks(whole * tick, tick).tolist() == whole.tolist()


def test_a_price_between_ticks_is_refused() -> None:
    with pytest.raises(DataError, match=r"1 book prices are no multiple of tick 0\.01, first 100\.005"):
        in_ticks(np.array([99.99, 100.005]), 0.01)


def test_what_cannot_be_counted_exactly_is_refused() -> None:
    with pytest.raises(DataError, match=r"a price of 1e\+17 is 1e\+19 steps of tick 0\.01; allowed: up to 9\.01e\+15"):
        in_ticks(np.array([10.0, 1e17]), 0.01)
    with pytest.raises(DataError, match=r"a size of 1e\+300 is inf steps of lot 1e-09"):
        in_lots(np.array([1.0, np.nan, 1e300]), 1e-9)
    assert in_lots(np.array([3e9, np.nan]), 1e-6).tolist() == [3 * 10**15, 0]


def test_all_names_are_windows_or_none() -> None:
    names = defaults(book.FEATURES)
    assert "book_ofi_integrated_10s" in names
    assert half_life_of("book_ofi_99999999999h", ["book_ofi"]) is None
    assert half_life_of("book_ofi_5min", ["book_ofi"]) == ("book_ofi", 300 * SECOND)
