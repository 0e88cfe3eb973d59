"""What portfolios earned after costs, with intervals, and how much of it may be luck: rows of the evaluation's table.

metric                  what it is, of the top group less the bottom one unless it says otherwise
gross_top_minus_bottom  mean return of a session before costs, bps of the capital
net_top_minus_bottom    the same after costs
net_quantile_return     the same of each group, held alone (group_kind quantile)
portfolio_turnover      mean of a session, both ways, as a share of the capital of one side
cost_bps                mean cost of a unit of turnover
break_even_bps          the cost of a unit of turnover at which nothing is left: gross over turnover, each summed
sharpe                  mean over deviation of a session's net return; times the root of 252 the annual one
probabilistic_sharpe    the confidence that the true one is above 0
trials                  how many were tried: the config's word, or as many as are compared here where that is more
expected_maximum_sharpe what the best of so many without skill shows
deflated_sharpe         the confidence that the true one is above that
minimum_track_record    sessions that it takes to tell it from 0 at `confidence`; null: none does
pbo, pbo_slope, pbo_loss  of the choice among the trials: probability of overfitting, slope of its Sharpe ratio
                        out-of-sample on that in-sample, chance of a loss (fusion.evaluation.overfitting)
"""

import math
from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.evaluation.config import EvaluationConfig
from fusion.evaluation.overfitting import (
    SharpeRatio,
    expected_maximum_sharpe,
    minimum_track_record,
    probability_of_overfitting,
    sharpe_ratio,
    variance_of_trials,
)
from fusion.evaluation.portfolio import SPREAD
from fusion.evaluation.sample import MIN_SESSIONS
from fusion.evaluation.table import EVALUATION
from fusion.horizon import Horizon, horizon_name, overlap
from fusion.overlap import resamples, stretched

Floats = NDArray[np.float64]
Row = tuple[str, str, str, float, float, float, int]

METRICS = (
    *("gross_top_minus_bottom", "net_top_minus_bottom", "net_quantile_return", "portfolio_turnover", "cost_bps"),
    *("break_even_bps", "sharpe", "probabilistic_sharpe", "trials", "expected_maximum_sharpe", "deflated_sharpe"),
    *("minimum_track_record", "pbo", "pbo_slope", "pbo_loss"),
)
_FEWEST_BLOCKS = 4


def judged(
    table: pl.DataFrame, config: EvaluationConfig, horizon: Horizon, *, others: pl.DataFrame | None = None
) -> pl.DataFrame:
    """The rows above, as `EVALUATION`, of each score of a `PORTFOLIO` table; pbo of the first one, which the run uses.

    others   `PORTFOLIO` of further models that were compared: trials besides those of the table. Models that earned the
             same in each session are one trial

    Missing values: values are null where returns are missing (a cost that is not known), constant, or too few: 3 for a
    Sharpe ratio, 4 blocks of 2 sessions (and of 2 labels, where these span sessions) for pbo; count is 0 then.
    """
    both = table if others is None else pl.concat([table, others.select(table.columns)])
    spread = both.filter(pl.col("quantile") == SPREAD)
    returns, names = trial_returns(spread), [str(name) for name in spread["score"].unique(maintain_order=True)]
    distinct = [k for k in range(len(names)) if not any(np.array_equal(returns[:, k], returns[:, j]) for j in range(k))]
    trials = [_ratio(_net(spread, names[k]), horizon).value for k in distinct]
    name_of = horizon_name(horizon)
    found: list[tuple[object, ...]] = []
    for number, score in enumerate(table["score"].unique(maintain_order=True)):
        own = table.filter(pl.col("score") == score)
        ratio = _ratio(_net(spread, str(score)), horizon)
        rows = [*_earned(own, config, horizon), *_luck(ratio, trials, config)]
        if number == 0:
            rows += _overfitting(returns[:, distinct], config, horizon)
        found += [(metric, score, name_of, *rest) for metric, *rest in rows]
    return pl.DataFrame(found, schema=EVALUATION, orient="row").with_columns(
        pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name) for name in ("value", "low", "high")
    )


def trial_returns(spread: pl.DataFrame) -> Floats:
    """(sessions, trials) net returns of a table's scores, in its order, over all its sessions; 0 where one had no
    position."""
    wide = spread.with_columns(pl.col("net").fill_null(np.nan)).pivot(on="score", index="session", values="net")
    return wide.sort("session").drop("session").fill_null(0.0).to_numpy()


def _net(spread: pl.DataFrame, score: str) -> Floats:
    return spread.filter(pl.col("score") == score).sort("session")["net"].fill_null(np.nan).to_numpy()


def _ratio(values: Floats, horizon: Horizon) -> SharpeRatio:
    return sharpe_ratio(values if np.isfinite(values).all() else values[:0], overlap=overlap(horizon))


def _earned(own: pl.DataFrame, config: EvaluationConfig, horizon: Horizon) -> Iterator[Row]:
    spread = own.filter(pl.col("quantile") == SPREAD).sort("session")
    gross, cost, turnover, net = (
        spread[name].fill_null(np.nan).to_numpy() for name in ("gross", "cost", "turnover", "net")
    )
    drawn = _Drawn(len(gross), config, horizon)
    ones = np.ones(len(gross))
    yield ("gross_top_minus_bottom", "all", "all", *drawn.ratio(gross, ones))
    yield ("net_top_minus_bottom", "all", "all", *drawn.ratio(net, ones))
    for (group,), part in own.filter(pl.col("quantile") != SPREAD).group_by("quantile", maintain_order=True):
        values = part.sort("session")["net"].fill_null(np.nan).to_numpy()
        yield ("net_quantile_return", "quantile", str(group), *drawn.ratio(values, ones))
    yield ("portfolio_turnover", "all", "all", *drawn.ratio(turnover, ones))
    yield ("cost_bps", "all", "all", *drawn.ratio(cost, turnover))
    yield ("break_even_bps", "all", "all", *drawn.ratio(gross, turnover))
    yield ("sharpe", "all", "all", *drawn.sharpe(net))


def _luck(ratio: SharpeRatio, known: list[float], config: EvaluationConfig) -> Iterator[Row]:
    count, none = (ratio.sessions if math.isfinite(ratio.value) else 0), (math.nan, math.nan)
    trials = max(config.trials or 1, len(known))
    variance = variance_of_trials(known, trials=trials, single=ratio.error**2)
    best = expected_maximum_sharpe(variance, trials) if math.isfinite(variance) else math.nan
    record = minimum_track_record(ratio.value, 0.0, ratio.skewness, ratio.kurtosis, config.confidence)
    yield ("probabilistic_sharpe", "all", "all", ratio.above(0.0), *none, count)
    yield ("trials", "all", "all", float(trials), *none, count)
    yield ("expected_maximum_sharpe", "all", "all", best, *none, count)
    yield ("deflated_sharpe", "all", "all", ratio.above(best), *none, count)
    yield ("minimum_track_record", "all", "all", record, *none, count)


def _overfitting(returns: Floats, config: EvaluationConfig, horizon: Horizon) -> Iterator[Row]:
    sessions, trials = returns.shape
    blocks = min(config.blocks, sessions // (2 * overlap(horizon))) // 2 * 2
    told: tuple[float, ...] = (math.nan,) * 3
    if trials > 1 and blocks >= _FEWEST_BLOCKS and np.isfinite(returns).all():
        found = probability_of_overfitting(returns, blocks, overlap=overlap(horizon))
        told = found.probability, found.slope, found.loss
    for metric, value in zip(("pbo", "pbo_slope", "pbo_loss"), told, strict=True):
        yield (metric, "all", "all", value, math.nan, math.nan, sessions if math.isfinite(value) else 0)


class _Drawn:
    """Sums over sessions and over resamples of them (blocks, where labels span several)."""

    def __init__(self, sessions: int, config: EvaluationConfig, horizon: Horizon) -> None:
        self._sessions, self._overlap, self._confidence = sessions, overlap(horizon), config.confidence
        generator = np.random.default_rng(config.seed)
        drawn = resamples(sessions, self._overlap, config.bootstrap, generator)
        self._weights = np.concatenate([np.ones((1, sessions)), drawn]) if sessions else np.zeros((1, 0))

    def ratio(self, above: Floats, below: Floats) -> tuple[float, float, float, int]:
        """sum(above) / sum(below)."""
        if not np.isfinite(above).all():
            return math.nan, math.nan, math.nan, 0
        top, bottom = self._sums(above), self._sums(below)
        return self._told(np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0))

    def sharpe(self, values: Floats) -> tuple[float, float, float, int]:
        """Mean over deviation (n)."""
        n = len(values)
        if n < 3 or not np.isfinite(values).all() or not np.ptp(values) > 0:
            return math.nan, math.nan, math.nan, 0
        centre = values.mean()
        off, squares = self._sums(values - centre) / n, self._sums((values - centre) ** 2) / n
        variance = squares - off**2
        varies = variance > 1e-20 * squares[0]
        return self._told(np.where(varies, (centre + off) / np.sqrt(np.where(varies, variance, 1.0)), np.nan))

    def _sums(self, values: Floats) -> Floats:
        # einsum adds in an order that no BLAS can change
        sums: Floats = np.einsum("bs,s->b", self._weights, values)
        return sums

    def _told(self, found: Floats) -> tuple[float, float, float, int]:
        value, drawn = float(found[0]), found[1:][np.isfinite(found[1:])]
        if not math.isfinite(value):
            return math.nan, math.nan, math.nan, 0
        if self._sessions < MIN_SESSIONS or not len(drawn):
            return value, math.nan, math.nan, self._sessions
        tail = (1 - self._confidence) / 2
        low, high = (float(end) for end in np.quantile(drawn, [tail, 1 - tail]))
        shape = {"sessions": self._sessions, "overlap": self._overlap}
        return (value, *stretched(value, low, high, **shape, confidence=self._confidence), self._sessions)
