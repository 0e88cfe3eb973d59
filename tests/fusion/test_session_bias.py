"""Random walks: a mean taken inside a session finds reversals that are not there, the pooled IC does not."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from planted import MINUTE, PRIMARY, decisions, session_table
from scipy import stats

from fusion.correlation import rank_moments
from fusion.evaluation import EvaluationConfig, evaluate, session_ic
from fusion.regime import RegimePath
from fusion.regime.hmm import HiddenMarkovModel
from fusion.selection import SelectionConfig, select
from fusion.walk_forward import Refit

STEP, AHEAD, WARM = 5, 15, 60
RUNS = 50


@dataclass(frozen=True)
class Walk:
    """Log prices of random-walk sessions each minute (sessions, entities, minutes) and decisions every five."""

    price: np.ndarray
    at: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, seed: int, *, sessions: int = 300, entities: int = 2, decisions: int = 75) -> "Walk":
        """The entities' steps correlate by a half; volatility differs from session to session."""
        rng = np.random.default_rng(seed)
        minutes = WARM + decisions * STEP + AHEAD
        steps = rng.standard_normal((sessions, entities, minutes)) + rng.standard_normal((sessions, 1, minutes))
        steps *= np.exp(0.3 * rng.standard_normal((sessions, 1, 1)))
        rows = entities * decisions
        return cls(steps.cumsum(axis=2), WARM + STEP * np.arange(decisions), np.arange(0, sessions * rows + 1, rows))

    def forward(self) -> np.ndarray:
        return (self.price[:, :, self.at + AHEAD] - self.price[:, :, self.at]).ravel()

    def past(self, minutes: int) -> np.ndarray:
        return (self.price[:, :, self.at] - self.price[:, :, self.at - minutes]).ravel()

    def since_open(self) -> np.ndarray:
        return (self.price[:, :, self.at] - self.price[:, :, :1]).ravel()

    def within_session_t(self, x: np.ndarray) -> tuple[float, float]:
        """The flawed measure: the mean over sessions of the correlation of ranks inside each, and its t."""
        u, v = (stats.rankdata(z.reshape(len(self.price), -1), axis=1) for z in (x, self.forward()))
        u, v = (z - z.mean(axis=1, keepdims=True) for z in (u, v))
        ics = (u * v).sum(axis=1) / np.sqrt((u * u).sum(axis=1) * (v * v).sum(axis=1))
        return ics.mean(), stats.ttest_1samp(ics, 0.0).statistic


FEATURES = {
    "return of the last 30 minutes": lambda walk: walk.past(30),
    "return since the open, which persists all day": Walk.since_open,
}


@pytest.mark.parametrize("name", FEATURES)
def test_pooling_takes_the_reversal_away(name):
    ics, ts, old = [], [], []
    for seed in range(RUNS):
        walk = Walk.of(seed)
        x = FEATURES[name](walk)
        found = rank_moments(x, walk.forward(), walk.offsets).pooled(np.ones(300))
        ics.append(float(found.ic))
        ts.append(float(found.t))
        if seed < 5:
            old.append(walk.within_session_t(x))
    # what it was before: a strong reversal in every single market
    assert all(ic < -0.03 and t < -4 for ic, t in old)
    error = np.std(ics, ddof=1) / np.sqrt(RUNS)
    assert abs(np.mean(ics)) < 3 * error
    assert error < 0.002
    assert np.mean(np.abs(ts) > 1.96) <= 0.12
    # the clustered error is the spread over markets
    assert 0.75 < np.std(ts, ddof=1) < 1.3


def test_the_size_of_the_bias_is_the_docstring_s():
    """Samples of few decisions, so that the bias is large enough to be measured: -sqrt(P H) / (d N)."""
    for sessions, count in ((1, 75), (2, 75), (1, 150), (4, 75)):
        ics = []
        for seed in range(400):
            walk = Walk.of(seed, sessions=sessions, entities=1, decisions=count)
            ics.append(rank_moments(walk.past(30), walk.forward(), walk.offsets).correlation(np.ones(sessions)))
        expected = -np.sqrt(30 * 15) / (5 * sessions * count)
        assert np.mean(ics) == pytest.approx(expected, abs=3 * np.std(ics) / np.sqrt(400))
        assert sessions > 1 or np.mean(ics) < -3 * np.std(ics) / np.sqrt(400)


# --- through selection and evaluation ------------------------------------------------------------------------------


def market(
    seed: int, *, sessions: int, effect: float = 0.0
) -> tuple[pl.DataFrame, pl.DataFrame, np.ndarray, pl.DataFrame]:
    """30 momentum-like features of a random walk, its labels, each session's regime and the session table.

    With an effect, sessions of regime 1 revert: a share of the last 15 minutes' return is taken back."""
    table = session_table(sessions, minutes=30 + 40 * STEP)
    grid = decisions(table, ["E0", "E1"]).sort("session", "entity", "decision_time")
    count = grid.height // (2 * sessions)
    walk = Walk.of(seed, sessions=sessions, decisions=count)
    regime = (np.arange(sessions) // 10) % 2
    spans = [3, 5, 7, 10, 12, 15, 20, 25, 30, 45, 60]
    columns = {f"return_{span}": walk.past(span) for span in spans}
    columns |= {f"up_{span}": np.sign(walk.past(span)) for span in spans}
    columns |= {f"curve_{span}": walk.past(span) - walk.past(span // 2) for span in (10, 20, 30, 45, 60)}
    columns |= {"open": walk.since_open(), "open_2": np.abs(walk.since_open()), "range": np.abs(walk.past(30))}
    y = walk.forward() - effect * walk.past(15) * np.repeat(regime, grid.height // sessions)
    features = grid.with_columns(pl.Series(name, values) for name, values in columns.items())
    end = pl.col("decision_time") + pl.duration(nanoseconds=PRIMARY)
    labels = grid.with_columns(pl.Series("return_15min", 1e-4 * y), end.alias("label_end_15min"))
    return features, labels, regime, table


def ledger_of(seed: int, sessions: int = 60, **changes: float) -> pl.DataFrame:
    features, labels, regime, table = market(seed, sessions=sessions, **changes)
    first, last, close = table["session"][0], table["session"][-1], table["close"][-1]
    after = datetime(2100, 1, 1, tzinfo=UTC)
    refit = Refit(0, last, close, after, (first, last), (last, last))
    observed = table.select("session", pl.col("open").alias("time")).with_columns(pl.Series("stress", 4.0 * regime - 2))
    stay, means, ones = np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([[-2.0], [2.0]]), np.ones((2, 1, 1))
    model = HiddenMarkovModel(
        refit_session=last,
        refit_time=close,
        inputs=("stress",),
        start=np.array([0.5, 0.5]),
        transition=stay,
        mean=means,
        covariance=ones,
    )
    regimes = RegimePath(observed, (model,), 2)
    return select(features, labels, regimes, [refit], SelectionConfig(), PRIMARY)


def test_false_discoveries_among_momentum_features():
    """Two regimes, 30 features that overlap each other and the label: under the null any discovery is a false one."""
    found = [ledger_of(seed)["significant"].any() for seed in range(RUNS)]
    # at level 0.1, with the noise of 50 markets; a mean inside the session finds something in nearly all
    assert np.mean(found) <= 0.1 + 2.5 * np.sqrt(0.1 * 0.9 / RUNS)


def test_a_planted_reversal_is_found_in_its_regime():
    beside = []
    for seed in range(8):
        ledger = ledger_of(seed, effect=0.2).filter(pl.col("feature") == "return_15").sort("regime")
        assert ledger["significant"][1]
        assert ledger["ic"][1] == pytest.approx(-0.19, abs=0.08)
        beside.append(ledger["t_stat"][0])
    # the other regime's share of t statistics is that of nothing
    assert abs(np.mean(beside)) < 3 / np.sqrt(8)
    assert np.std(beside) < 1.8


def test_evaluation_of_a_momentum_score_shows_nothing():
    config = EvaluationConfig(bootstrap=200, lags=1)
    covered, spread = [], []
    for seed in range(20):
        features, labels, _, table = market(seed, sessions=60)
        predictions = features.select("entity", "session", "decision_time", pl.col("return_30").alias("score"))
        probabilities = table.select("session", pl.col("open").alias("time"), pl.lit(1.0).alias("probability_0"))
        found = evaluate(predictions, labels, probabilities, config, horizons=[15 * MINUTE], primary=PRIMARY)
        rows = found.filter(pl.col("metric").is_in(["rank_ic", "ic", "top_minus_bottom"]), pl.col("low").is_not_null())
        covered += rows.select(pl.lit(0.0).is_between("low", "high")).to_series().to_list()
        spread.append(found.filter(pl.col("metric") == "t_stat")["value"][0])
        series = session_ic(predictions, labels, horizons=[PRIMARY])
        assert (series["rank_ic"] * series["rows"]).sum() / series["rows"].sum() == pytest.approx(
            found.filter(pl.col("metric") == "rank_ic", pl.col("group_kind") == "all")["value"][0], abs=1e-14
        )
    assert np.mean(covered) > 0.88
    assert abs(np.mean(spread)) < 3 / np.sqrt(20)
