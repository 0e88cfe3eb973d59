"""How good a score is: information coefficients and their kin over a whole sample, with intervals by session.

A library on its own: it needs a table of scores and one of forward returns. Correlations and quantiles are pooled:
ranks and means are those of all rows (or of all rows of a group), never those of one session, whose own mean contains
the future (`fusion.correlation` says how much that costs). A session is what is independent of the next: errors are
clustered by it, intervals resample whole sessions, and no lag, change of rank or return crosses from one to another.

Of horizons in sessions (`5 sessions`) neighbouring sessions share returns: errors and intervals are those of
`fusion.overlap`, and lags and changes of rank go from session to session.

Source: Grinold & Kahn (2000) for IC and ICIR; Efron & Tibshirani (1993) for the percentile bootstrap.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from fusion.correlation import Moments, rank_moments, ranks, value_moments
from fusion.horizon import Horizon, Sessions, horizon_name, overlap
from fusion.overlap import resamples, stretched
from fusion.regime import at
from fusion.selection import labelled
from fusion.target import KEYS, return_column
from gpu_kernels.errors import DataError

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

SCORES = ("score", "score_ridge")
BPS = 1e4
EVALUATION: dict[str, pl.DataType] = {
    "metric": pl.String(),
    "score": pl.String(),
    "horizon": pl.String(),
    "group_kind": pl.String(),
    "group": pl.String(),
    "value": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "count": pl.Int64(),
}
SESSION_IC: dict[str, pl.DataType] = {
    "session": pl.Date(),
    "horizon": pl.String(),
    "score": pl.String(),
    "rank_ic": pl.Float64(),
    "ic": pl.Float64(),
    "rows": pl.Int64(),
}
# with fewer sessions a resampled interval says more than the data do
_MIN_SESSIONS = 5


class EvaluationConfig(BaseModel):
    """Settings of the evaluation.

    quantiles    groups of the score, over all rows
    bootstrap    resamples of whole sessions, or of blocks of as many as a label spans
    confidence   level of the intervals
    lags         decisions by which the return is delayed at most, for the decay
    min_rows     least rows of the sample, or of a group of it, for its IC
    contribution what each source adds out of sample, by refitting without it and with it and the prices alone
                 (fusion.contribution): twice as many models as there are sources
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    quantiles: Annotated[int, Field(ge=2)] = 5
    bootstrap: Annotated[int, Field(ge=100)] = 1000
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    lags: Annotated[int, Field(ge=0)] = 6
    min_rows: Annotated[int, Field(ge=3)] = 5
    seed: int = 7
    contribution: bool = False


def evaluate(
    predictions: pl.DataFrame,
    labels: pl.DataFrame,
    probabilities: pl.DataFrame,
    config: EvaluationConfig,
    *,
    horizons: Sequence[Horizon],
    primary: Horizon,
    volatility: pl.DataFrame | None = None,
    timezone: str = "UTC",
) -> pl.DataFrame:
    """Every measure of every score, tidy: metric, score, horizon, group_kind, group, value, low, high, count.

    predictions    entity, session, decision_time, and `score`, `score_ridge` or one of them; `flags` may be there
    labels         the same decisions with return_<horizon> in return units
    probabilities  session, time, probability_0..: a decision's regime is the likeliest one
    volatility     entity, session, decision_time, volatility: splits the sessions at the median of their mean, in
                   which each entity's volatility is divided by its own median
    timezone       of the hours in group_kind `hour`

    metric           what it is                                                              grouped by
    rank_ic, ic      Spearman's, Pearson's correlation of score and return over all rows;    all, regime, entity, hour,
                     `lag` k: return of the k-th later decision                              volatility, flags, lag
                                                                                             (rank_ic)
    t_stat           rank_ic over its standard error, clustered by session                   all
    icir             mean / deviation of the sessions' contributions to rank_ic, see         all
                     `session_ic`
    hit_rate         share of rows where score and return have one sign, neither being 0     all
    quantile_return  mean return (bps) of a quantile of all scores                           quantile 1 (lowest) ..
    top_minus_bottom last quantile less the first, bps                                       all
    turnover         mean change between consecutive decisions of an entity's rank among     all
                     the entities, ranks scaled to 0..1 (0.33: random order of many)
    autocorrelation  correlation of an entity's score with its previous one in the session,  all
                     over all such pairs
    low and high bound the interval of `config.confidence` from resampling sessions; count is rows for hit_rate and
    quantile_return, else sessions.

    Missing values: rows without score or return count nowhere; a measure without a value (constant scores, too few
    rows, turnover of one entity) is null, with count 0; no interval from fewer than 5 sessions.
    Raises DataError when the tables do not hold the same decisions, or columns are absent.
    """
    returns = [return_column(horizon) for horizon in horizons]
    rows = labelled(predictions, labels, returns).sort("session", "entity", "decision_time")
    rows = _grouped(rows, probabilities, volatility, timezone)
    scores = _scores(predictions)
    found: list[tuple[object, ...]] = []
    for score in scores:
        for horizon in horizons:
            sample = _Sample.of(rows, score, horizon, config)
            measures = _measures(sample, primary=horizon == primary)
            found += [(metric, score, horizon_name(horizon), *rest) for metric, *rest in measures]
    return pl.DataFrame(found, schema=EVALUATION, orient="row").with_columns(
        pl.col("value", "low", "high").fill_nan(None)
    )


def session_ic(
    predictions: pl.DataFrame, labels: pl.DataFrame, *, horizons: Sequence[Horizon], min_rows: int = 5
) -> pl.DataFrame:
    """session, horizon, score, rank_ic, ic, rows: what each session contributes to the pooled correlations.

    A contribution is the mean over the session's rows of z_x z_y, both standardised over the whole sample (their ranks
    for rank_ic). So the mean of the contributions, weighted by rows, is the `rank_ic` and `ic` of `evaluate` exactly;
    one contribution alone is no correlation and may exceed 1.

    Missing values: null where a session has no row with score and return, and everywhere where the sample has fewer
    than min_rows or either is constant.
    Raises DataError as `evaluate` does.
    """
    rows = labelled(predictions, labels, [return_column(horizon) for horizon in horizons]).sort(
        "session", "entity", "decision_time"
    )
    days, offsets = _sessions(rows)
    frames = [pl.DataFrame(schema=SESSION_IC | {"session": days.dtype})]
    for score in _scores(predictions):
        for horizon in horizons:
            x, y = _values(rows, score), _values(rows, return_column(horizon))
            moments = [measure(x, y, offsets) for measure in (rank_moments, value_moments)]
            rank_ic, ic = (_contributions(each, min_rows) for each in moments)
            columns = {"session": days, "rank_ic": rank_ic, "ic": ic, "rows": moments[0].rows.astype(np.int64)}
            named = pl.DataFrame(columns).with_columns(
                pl.lit(horizon_name(horizon)).alias("horizon"), pl.lit(score).alias("score")
            )
            frames.append(named.select(*SESSION_IC).with_columns(pl.col("rank_ic", "ic").fill_nan(None)))
    return pl.concat(frames)


# --- the sample of one score and one horizon ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Sample:
    """Score x and return y of every row, sorted by (session, entity, time), and what groups them."""

    rows: pl.DataFrame
    x: Floats
    y: Floats
    offsets: NDArray[np.int64]
    config: EvaluationConfig
    horizon: Horizon
    resamples: Floats = field(repr=False)

    @classmethod
    def of(cls, rows: pl.DataFrame, score: str, horizon: Horizon, config: EvaluationConfig) -> "_Sample":
        # whole sessions stay, so that a step in a session remains a step where a score between is missing
        scored = rows.filter(pl.col(score).is_finite().any().over("session"))
        _, offsets = _sessions(scored)
        generator = np.random.default_rng(config.seed)
        drawn = resamples(len(offsets) - 1, overlap(horizon), config.bootstrap, generator)
        x, y = _values(scored, score), _values(scored, return_column(horizon))
        return cls(scored, x, y, offsets, config, horizon, drawn)

    @property
    def segments(self) -> list[str]:
        """Inside which a step leads from one decision of an entity to the next."""
        return ["entity"] if isinstance(self.horizon, Sessions) else ["session", "entity"]

    @property
    def both(self) -> Booleans:
        return np.isfinite(self.x) & np.isfinite(self.y)

    def per_session(self, values: Floats) -> Floats:
        """Sums of the rows' values inside each session."""
        return _per_session(values, self.offsets)

    def moments(self, only: Booleans, y: Floats | None = None, *, ranked: bool = True) -> Moments:
        """Of score and return (or of another y) over the rows of `only`, ranked among them."""
        measure = rank_moments if ranked else value_moments
        return measure(np.where(only, self.x, np.nan), self.y if y is None else y, self.offsets)

    def correlation(self, moments: Moments) -> tuple[float, float, float, int]:
        """The pooled correlation, its interval, and the number of sessions that it rests on."""
        value = float(moments.pooled(np.ones(len(moments.rows)), min_rows=self.config.min_rows).ic)
        if not np.isfinite(value):
            return np.nan, np.nan, np.nan, 0
        count = int(np.count_nonzero(moments.rows))
        # ranks stay those of the sample: a resample weighs its sessions anew
        if count < _MIN_SESSIONS:
            return value, np.nan, np.nan, count
        low, high = self.interval(value, moments.correlation(self.resamples))
        return value, low, high, count

    def ratio(self, above: Floats, below: Floats) -> tuple[float, float, float]:
        """sum(above) / sum(below) over sessions, with its interval."""
        value = float(_divide(above.sum(), below.sum()))
        return (value, *self.interval(value, _divide(self.drawn(above), self.drawn(below))))

    def mean(self, values: Floats) -> tuple[float, float, float, int]:
        """Mean of the defined per-session values, its interval, and how many there are."""
        defined = np.isfinite(values)
        value, low, high = self.ratio(np.where(defined, values, 0.0), defined.astype(np.float64))
        count = int(defined.sum())
        return (value, low, high, count) if count >= _MIN_SESSIONS else (value, np.nan, np.nan, count)

    def drawn(self, values: Floats) -> Floats:
        """(bootstrap,) sums of per-session values over the resampled sessions, in an order that no BLAS can change."""
        sums: Floats = np.einsum("bs,s->b", self.resamples, values)
        return sums

    def interval(self, value: float, resampled: Floats) -> tuple[float, float]:
        """Percentile interval, of blocks stretched about the value; NaN with too few sessions."""
        sessions, confidence = len(self.offsets) - 1, self.config.confidence
        resampled = resampled[np.isfinite(resampled)]
        if sessions < _MIN_SESSIONS or not len(resampled):
            return np.nan, np.nan
        tail = (1 - confidence) / 2
        low, high = (float(end) for end in np.quantile(resampled, [tail, 1 - tail]))
        return stretched(value, low, high, sessions=sessions, overlap=overlap(self.horizon), confidence=confidence)


_Measure = tuple[str, str, str, float, float, float, int]


def _measures(sample: _Sample, *, primary: bool) -> Iterator[_Measure]:
    """metric, group_kind, group, value, low, high, count. What no horizon changes comes with the primary alone."""
    both = sample.both
    whole = sample.moments(both)
    yield ("rank_ic", "all", "all", *sample.correlation(whole))
    yield ("ic", "all", "all", *sample.correlation(sample.moments(both, ranked=False)))
    yield _information_ratio(sample, whole)
    yield _t_stat(sample, whole)
    for kind in ("regime", "entity", "hour", "volatility", "flags"):
        for group in sample.rows[kind].drop_nulls().unique().sort():
            member = both & (sample.rows[kind] == group).fill_null(False).to_numpy()
            yield ("rank_ic", kind, group, *sample.correlation(sample.moments(member)))
            yield ("ic", kind, group, *sample.correlation(sample.moments(member, ranked=False)))
    for lag in range(sample.config.lags + 1):
        later = _shifted(sample, sample.y, -lag)
        yield ("rank_ic", "lag", str(lag), *sample.correlation(sample.moments(np.isfinite(later), later)))
    yield _hit_rate(sample)
    yield from _quantile_returns(sample)
    if primary:
        yield ("turnover", "all", "all", *sample.mean(_turnover(sample)))
        pairs = value_moments(sample.x, _shifted(sample, sample.x, 1), sample.offsets)
        yield ("autocorrelation", "all", "all", *sample.correlation(pairs))


def _contributions(moments: Moments, min_rows: int) -> Floats:
    return moments.contributions() if moments.rows.sum() >= min_rows else np.full(len(moments.rows), np.nan)


def _information_ratio(sample: _Sample, moments: Moments) -> _Measure:
    contributions = _contributions(moments, sample.config.min_rows)
    defined = np.isfinite(contributions)
    values, n = np.where(defined, contributions, 0.0), int(defined.sum())
    present = defined.astype(np.float64)

    def ratio(total: Floats, squares: Floats, count: Floats) -> Floats:
        mean = _divide(total, count)
        variance = _divide(squares - count * mean * mean, count - 1)
        return _divide(mean, np.sqrt(np.where(variance > 1e-18, variance, np.nan)))

    icir = float(ratio(values.sum(keepdims=True), (values**2).sum(keepdims=True), np.array([float(n)]))[0])
    drawn = ratio(sample.drawn(values), sample.drawn(values**2), sample.drawn(present))
    low, high = sample.interval(icir, drawn) if n >= _MIN_SESSIONS else (np.nan, np.nan)
    return ("icir", "all", "all", icir, low, high, n)


def _t_stat(sample: _Sample, moments: Moments) -> _Measure:
    spanned, weights = overlap(sample.horizon), np.ones(len(moments.rows))
    found = moments.pooled(weights, min_rows=sample.config.min_rows, overlap=spanned)
    count = int(np.count_nonzero(moments.rows)) if np.isfinite(found.ic) else 0
    return ("t_stat", "all", "all", float(found.t), np.nan, np.nan, count)


def _hit_rate(sample: _Sample) -> _Measure:
    sign = np.where(sample.both, np.sign(sample.x) * np.sign(sample.y), 0.0)
    hits, tries = sample.per_session((sign > 0).astype(float)), sample.per_session((sign != 0).astype(float))
    return ("hit_rate", "all", "all", *sample.ratio(hits, tries), int(tries.sum()))


def _quantile_returns(sample: _Sample) -> Iterator[_Measure]:
    q = sample.config.quantiles
    sums, counts = quantile_sums(sample.x, sample.y, sample.offsets, q)
    for b in range(q):
        yield ("quantile_return", "quantile", str(b + 1), *sample.ratio(sums[b], counts[b]), int(counts[b].sum()))
    value = float(_divide(sums[-1].sum(), counts[-1].sum()) - _divide(sums[0].sum(), counts[0].sum()))
    drawn = _divide(sample.drawn(sums[-1]), sample.drawn(counts[-1]))
    drawn = drawn - _divide(sample.drawn(sums[0]), sample.drawn(counts[0]))
    sessions = int(((counts[-1] > 0) | (counts[0] > 0)).sum())
    yield ("top_minus_bottom", "all", "all", value, *sample.interval(value, drawn), sessions)


def quantile_sums(
    x: Floats, y: Floats, offsets: NDArray[np.int64], quantiles: int
) -> tuple[list[Floats], list[Floats]]:
    """Each session's sum of the returns (bps) of each quantile of the score over all rows, and its rows; ties together.

    Missing values: rows without score or return are in none; no quantile holds a row where there are fewer rows than
    quantiles or all scores are equal."""
    both = np.isfinite(x) & np.isfinite(y)
    place, n = ranks(np.where(both, x, np.nan)), int(np.count_nonzero(both))
    # scores that are all equal have no top and no bottom
    varied = n >= quantiles and bool(np.nanmin(place) < np.nanmax(place))
    buckets = np.where(both & varied, np.floor((np.nan_to_num(place) - 1) / (2 * max(n, 1)) * quantiles) + 1, 0.0)
    returns = np.where(both, y, 0.0) * BPS
    sums = [_per_session(np.where(buckets == b, returns, 0.0), offsets) for b in range(1, quantiles + 1)]
    counts = [_per_session((buckets == b).astype(float), offsets) for b in range(1, quantiles + 1)]
    return sums, counts


def _per_session(values: Floats, offsets: NDArray[np.int64]) -> Floats:
    """Sums of the rows' values inside each session."""
    return np.array([values[a:b].sum() for a, b in pairwise(offsets)], dtype=np.float64)


def _turnover(sample: _Sample) -> Floats:
    frame = sample.rows.select("decision_time").with_columns(pl.Series("x", sample.x).fill_nan(None))
    others = pl.col("x").count().over("decision_time") - 1
    place = (pl.col("x").rank("average").over("decision_time") - 1) / others
    rank = frame.select(pl.when(others > 0).then(place).alias("rank"))["rank"].to_numpy()
    change = np.abs(rank - _shifted(sample, rank, 1))
    defined = np.isfinite(change)
    return _divide(sample.per_session(np.where(defined, change, 0.0)), sample.per_session(defined.astype(float)))


# --- helpers -----------------------------------------------------------------------------------------------------


def _scores(predictions: pl.DataFrame) -> list[str]:
    scores = [name for name in SCORES if name in predictions.columns]
    if not scores:
        raise DataError("predictions hold no score", allowed=f"a column {' or '.join(SCORES)}")
    return scores


def _values(rows: pl.DataFrame, name: str) -> Floats:
    """A column as float64, NaN where it is not finite."""
    values = rows[name].cast(pl.Float64).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def _sessions(rows: pl.DataFrame) -> tuple[pl.Series, NDArray[np.int64]]:
    counts = rows.group_by("session", maintain_order=True).len()
    return counts["session"], np.concatenate([[0], np.cumsum(counts["len"].to_numpy())]).astype(np.int64)


def _divide(above: ArrayLike, below: ArrayLike) -> Floats:
    """above / below; NaN where below is not positive."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.asarray(below) > 0, np.divide(above, below), np.nan)


def _shifted(sample: _Sample, values: Floats, steps: int) -> Floats:
    """The value `steps` decisions earlier (later if negative) of the same entity and session (of horizons in sessions:
    of the same entity); NaN beyond its ends."""
    frame = sample.rows.select("session", "entity").with_columns(pl.Series("value", values))
    return frame.select(pl.col("value").shift(steps).over(sample.segments))["value"].cast(pl.Float64).to_numpy()


def _grouped(
    rows: pl.DataFrame, probabilities: pl.DataFrame, volatility: pl.DataFrame | None, timezone: str
) -> pl.DataFrame:
    """rows with the names of their groups: regime, hour, volatility, flags (`entity` is there)."""
    flags = pl.col("flags").replace("", "none") if "flags" in rows.columns else pl.lit(None, dtype=pl.String)
    rows = rows.with_columns(flags.alias("flags"))
    chance = at(probabilities, rows["decision_time"])
    known = np.isfinite(chance).all(axis=1)
    regime = pl.Series("regime", np.where(known, np.argmax(np.nan_to_num(chance), axis=1), -1)).replace(-1, None)
    rows = rows.with_columns(
        regime.cast(pl.String), pl.col("decision_time").dt.convert_time_zone(timezone).dt.strftime("%H").alias("hour")
    )
    if volatility is None:
        return rows.with_columns(pl.lit(None, dtype=pl.String).alias("volatility"))
    relative = pl.col("volatility") / pl.col("volatility").median().over("entity")
    finite = pl.when(pl.col("volatility").is_finite()).then("volatility").alias("volatility")
    means = (
        rows.select(KEYS)
        .join(volatility.select(*KEYS, "volatility"), on=KEYS, how="left", maintain_order="left")
        .with_columns(finite)
        .with_columns(pl.when(relative.is_finite()).then(relative).alias("relative"))
        .group_by("session")
        .agg(pl.col("relative").mean())
        .with_columns(
            pl.when(pl.col("relative") > pl.col("relative").median())
            .then(pl.lit("high"))
            .when(pl.col("relative").is_not_null())
            .then(pl.lit("low"))
            .alias("volatility")
        )
    )
    return rows.join(means.select("session", "volatility"), on="session", how="left", maintain_order="left")
