"""The oracle: planted effects can be measured where they are planted, nowhere else, and not when switched off."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr
from test_simulate import replay

from sources.simulate import Quality, SimulationConfig, simulate
from sources.simulate.macro import HISTORY, regimes
from sources.simulate.market import SimulatedMarket
from sources.simulate.measure import mean_and_t, spearman

CLEAN = Quality(late=0, revised=0, bad=0)
DRIVER = {"book_pressure": "pressure", "headline_tone": "tone", "lot_surprise": "surprise"}
# what docs/simulated_market.md promises of the 15-minute rank IC of the true driver
PLANTED = {
    ("book_pressure", "calm"): (0.06, 0.13),
    ("headline_tone", "stress"): (0.05, 0.13),
    ("lot_surprise", "calm"): (0.03, 0.13),
}


@pytest.fixture(scope="module")
def on() -> SimulatedMarket:
    return simulate(SimulationConfig(quality=CLEAN))


@pytest.fixture(scope="module")
def off() -> SimulatedMarket:
    return simulate(SimulationConfig(quality=CLEAN, effects=False))


def naive_ics(market: SimulatedMarket, driver: str, regime: str, minutes: int) -> list[float]:
    """Session rank ICs from what was delivered: closes of bars, and the drivers of the truth, joined by the clock."""
    days = market.truth["regimes"].filter(pl.col("regime") == regime)["session"].to_list()
    bars = market.bars.select("ticker", "end_time", "close").sort("ticker", "end_time")
    rows = bars.join(market.truth["drivers"], on=["ticker", "end_time"]).sort("ticker", "end_time")
    if driver == "surprise":
        rows = rows.filter(pl.col("ticker").is_in(market.truth["lots"]["ticker"].unique().implode()))
    found = []
    for session in market.sessions.filter(pl.col("session").is_in(days)).iter_rows(named=True):
        x, y = [], []
        inside = rows.filter(pl.col("end_time").is_between(session["open"], session["close"]))
        for (_,), part in inside.group_by("ticker", maintain_order=True):
            close, value = part["close"].to_numpy(), part[driver].to_numpy()
            for minute in range(15, len(close) - minutes + 1, 5):
                x.append(value[minute - 1])
                y.append(np.log(close[minute - 1 + minutes] / close[minute - 1]))
        found.append(spearmanr(x, y).statistic)
    return found


def cell(market: SimulatedMarket, effect: str, regime: str, minutes: int) -> tuple[float, float]:
    row = market.truth["measured"].row(
        by_predicate=(pl.col("effect") == effect)
        & (pl.col("regime") == regime)
        & (pl.col("horizon_minutes") == minutes),
        named=True,
    )
    return row["ic"], row["t_stat"]


class TestPlantedEffects:
    @pytest.mark.parametrize(("effect", "regime"), PLANTED)
    def test_found_where_planted(self, on: SimulatedMarket, effect: str, regime: str) -> None:
        ics = naive_ics(on, DRIVER[effect], regime, 15)
        mean, t_stat = mean_and_t(ics)
        low, high = PLANTED[effect, regime]
        assert low < mean < high
        assert t_stat > 3
        # the truth says the same, from the paths themselves
        assert cell(on, effect, regime, 15) == pytest.approx((mean, t_stat), rel=1e-4)  # a logarithm splits ties

    def test_stronger_in_its_regime(self, on: SimulatedMarket) -> None:
        assert cell(on, "book_pressure", "calm", 15)[0] > 0.05 + cell(on, "book_pressure", "stress", 15)[0]
        assert cell(on, "headline_tone", "stress", 15)[0] > 0.02 + cell(on, "headline_tone", "calm", 15)[0]
        for effect in ("book_pressure", "lot_surprise"):
            assert abs(cell(on, effect, "stress", 15)[1]) < 3

    @pytest.mark.parametrize(("effect", "regime"), PLANTED)
    def test_gone_when_off(self, off: SimulatedMarket, effect: str, regime: str) -> None:
        assert abs(mean_and_t(naive_ics(off, DRIVER[effect], regime, 15))[1]) < 3

    @pytest.mark.parametrize("seed", [11, 12])
    def test_nothing_of_any_horizon_when_off(self, seed: int) -> None:
        measured = simulate(SimulationConfig(seed=seed, effects=False, quality=CLEAN)).truth["measured"]
        assert measured.height == 18
        # two-sided at 18 cells: |t| above 3.5 has a chance of about one in a hundred
        assert measured["t_stat"].abs().max() < 3.5

    def test_off_is_the_same_market_without_drift(self, on: SimulatedMarket, off: SimulatedMarket) -> None:
        assert on.headlines.equals(off.headlines)
        assert on.lots.equals(off.lots)
        assert on.macro.equals(off.macro)
        same = ["ticker", "end_time", "pressure", "tone", "surprise"]
        assert on.truth["drivers"].select(same).equals(off.truth["drivers"].select(same))
        assert (off.truth["drivers"]["drift_bps"] == 0).all()
        assert (on.truth["drivers"]["drift_bps"] != 0).any()
        assert (off.truth["effects"]["drift_sigma_per_minute"] == 0).all()

    def test_mid_is_a_martingale_when_off(self, off: SimulatedMarket) -> None:
        """A rule that bets on or against the last five minutes earns nothing: its mean product with the next five is 0.
        (A rank IC inside each session would be biased below 0 here, because it subtracts the session's own mean.)"""
        closes = off.bars.sort("ticker", "end_time").with_columns(
            session=pl.col("end_time").dt.date(),
            change=pl.col("close").diff(5).over("ticker", pl.col("end_time").dt.date()),
        )
        pairs = closes.with_columns(later=pl.col("change").shift(-5).over("ticker", "session")).drop_nulls()
        bets = pairs.group_by("session").agg(gain=(pl.col("change").sign() * pl.col("later")).mean())["gain"].to_list()
        assert abs(mean_and_t(bets)[1]) < 3

    def test_policy_decisions_shake_prices_only_when_on(self, on: SimulatedMarket, off: SimulatedMarket) -> None:
        def ratio(market: SimulatedMarket) -> float:
            closes = market.bars.sort("ticker", "end_time").with_columns(
                move=pl.col("close").diff().abs().over("ticker")
            )
            after, before = [], []
            for time in market.truth["policy"]["time"]:
                minutes = (pl.col("end_time") - time).dt.total_minutes()
                after.append(closes.filter(minutes.is_between(1, 10))["move"].mean())
                before.append(closes.filter(minutes.is_between(-60, 0))["move"].mean())
            return sum(after) / sum(before)

        assert on.truth["policy"].height >= 3
        assert ratio(on) > 1.8
        assert 0.7 < ratio(off) < 1.4


class TestObservables:
    def test_the_book_shows_the_pressure(self, on: SimulatedMarket) -> None:
        seen, hidden = [], []
        for ticker in on.config.tickers()[:2]:
            session = on.sessions.row(0, named=True)
            updates = on.book_updates.filter((pl.col("entity") == ticker) & (pl.col("event_time") <= session["close"]))
            states = {time // (60 * 10**9): (bids[max(bids)], asks[min(asks)]) for time, bids, asks in replay(updates)}
            drivers = on.truth["drivers"].filter(
                (pl.col("ticker") == ticker) & (pl.col("end_time") <= session["close"])
            )
            for end, value in zip(drivers["end_time"].to_physical(), drivers["pressure"], strict=True):
                bid, ask = states[end // (60 * 10**9) - 1]
                seen.append((bid - ask) / (bid + ask))
                hidden.append(value)
        assert spearman(np.array(seen), np.array(hidden)) > 0.5

    def test_lots_show_the_surprise(self, on: SimulatedMarket) -> None:
        yoy = on.lots.filter(pl.col("metric") == "lot_fill_yoy").join(
            on.truth["lots"].drop_nulls("surprise"), on=["ticker", "captured"]
        )
        assert yoy.height > 50
        assert spearmanr(yoy["value"], yoy["surprise"]).statistic > 0.7

    def test_stress_series_shows_the_regime(self, on: SimulatedMarket) -> None:
        series = on.macro.filter(pl.col("metric") == "stress").unique(
            "reference_date", keep="first", maintain_order=True
        )
        upcoming = on.truth["regimes"]["regime"].to_numpy()[1:]
        values = series["value"].to_numpy()[HISTORY:-1]
        assert values[upcoming == "stress"].mean() - values[upcoming == "calm"].mean() == pytest.approx(10, abs=3)


class TestEpisodes:
    def test_spoofing_leans_the_book_and_vanishes_unfilled(self, on: SimulatedMarket) -> None:
        attempts = on.truth["spoofing"]
        assert 50 < attempts.height < 150
        assert set(attempts["side"]) == {-1, 1}
        assert (attempts["cancelled"] > attempts["placed"]).all()
        for attempt in attempts.head(12).iter_rows(named=True):
            bounds = on.sessions.filter((pl.col("open") <= attempt["placed"]) & (pl.col("close") >= attempt["placed"]))
            inside = pl.col("event_time").is_between(bounds["open"][0], bounds["close"][0])
            updates = on.book_updates.filter((pl.col("entity") == attempt["ticker"]) & inside)
            near, side = round(attempt["nearest_price"] * 100), attempt["side"]
            levels = [near - side * step for step in range(attempt["levels"])]
            placed, cancelled = (
                pl.Series([attempt[name]], dtype=pl.Datetime("ns", "UTC")).to_physical()[0]
                for name in ("placed", "cancelled")
            )
            before, during, after = [], [], []
            for time, bids, asks in replay(updates):
                book, best = (bids, max(bids)) if side > 0 else (asks, min(asks))
                resting = [book.get(level, 0.0) for level in levels]
                if placed - 120 * 10**9 <= time < placed:
                    before.append(sum(resting))
                elif placed <= time < cancelled:
                    during.append(sum(resting))
                    assert (best - levels[0]) * side >= 2  # away from the touch
                elif cancelled <= time < cancelled + 120 * 10**9:
                    after.append(sum(resting))
            assert min(during) > 5 * max(before)
            assert max(after) < min(during) / 5
            trades = on.trades.filter(
                (pl.col("ticker") == attempt["ticker"])
                & pl.col("time").is_between(attempt["placed"], attempt["cancelled"])
            )
            assert not set((trades["price"] * 100).round().cast(int)) & set(levels)
            # the other side of the book is what trades, a sweep of the near best level aside
            assert (trades["aggressor"] == side).mean() > 0.7

    def test_drought_empties_the_book_and_widens_it(self, on: SimulatedMarket) -> None:
        droughts = on.truth["droughts"]
        assert 25 < droughts.height < 90
        minutes = (droughts["end"] - droughts["start"]).dt.total_minutes()
        assert minutes.is_between(10, 30).all()
        for drought in droughts.head(8).iter_rows(named=True):
            bounds = on.sessions.filter((pl.col("open") <= drought["start"]) & (pl.col("close") >= drought["end"]))
            inside = pl.col("event_time").is_between(bounds["open"][0], bounds["close"][0])
            start, end = (
                pl.Series([drought[name]], dtype=pl.Datetime("ns", "UTC")).to_physical()[0] for name in ("start", "end")
            )
            depth: dict[bool, list[float]] = {True: [], False: []}
            spread: dict[bool, list[int]] = {True: [], False: []}
            for time, bids, asks in replay(on.book_updates.filter((pl.col("entity") == drought["ticker"]) & inside)):
                now = start + 20 * 10**9 <= time < end
                if now or time < start:
                    best = sorted(bids, reverse=True)[:5], sorted(asks)[:5]
                    depth[now].append(sum(bids[price] for price in best[0]) + sum(asks[price] for price in best[1]))
                    spread[now].append(best[1][0] - best[0][0])
            assert np.mean(depth[True]) < 0.35 * np.mean(depth[False])
            assert min(spread[True]) == 7 > max(spread[False])


class TestRegimes:
    def test_stays_are_sixteen_to_thirty_two_sessions(self) -> None:
        stays: dict[int, list[int]] = {0: [], 1: []}
        for seed in range(40):
            path = regimes(SimulationConfig(seed=seed))
            assert len(path) == HISTORY + 80
            assert len(set(path[HISTORY:].tolist())) == 2
            runs = pl.Series(path).rle().struct.unnest()
            for length, state in runs.head(-1).iter_rows():
                stays[state].append(length)
        assert min(stays[0]) == 20
        assert max(stays[0]) == 32
        assert min(stays[1]) == 16
        assert max(stays[1]) == 26
        assert np.mean(stays[0]) == pytest.approx(26, abs=1)
        assert np.mean(stays[1]) == pytest.approx(21, abs=1)

    def test_stress_is_more_volatile(self, on: SimulatedMarket) -> None:
        moves = (
            on.bars.sort("ticker", "end_time")
            .with_columns(session=pl.col("end_time").dt.date(), move=pl.col("close").pct_change().over("ticker"))
            .join(on.truth["regimes"], on="session")
            .filter(pl.col("move").abs() < 0.01)
        )
        spread = dict(moves.group_by("regime").agg(pl.col("move").std()).iter_rows())
        assert spread["stress"] / spread["calm"] == pytest.approx(1.5, abs=0.25)


class TestRankCorrelation:
    def test_equals_scipy_with_ties(self) -> None:
        generator = np.random.default_rng(0)
        for _ in range(50):
            left = generator.integers(0, 5, 30).astype(float)
            right = left + generator.integers(0, 9, 30)
            assert spearman(left, right) == pytest.approx(spearmanr(left, right).statistic, abs=1e-12)

    def test_constant_has_none(self) -> None:
        assert spearman(np.ones(5), np.arange(5.0)) is None
        assert mean_and_t([0.1, 0.2])[1] is None
