"""Each measure of a sample, with its interval."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.correlation import Moments, ranks, value_moments
from fusion.evaluation.sample import MIN_SESSIONS, Sample, contributions, divide, per_session, shifted
from fusion.evaluation.table import BPS
from fusion.horizon import overlap

Floats = NDArray[np.float64]

Measure = tuple[str, str, str, float, float, float, int]


def measured(sample: Sample, *, primary: bool) -> Iterator[Measure]:
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
        later = shifted(sample, sample.y, -lag)
        yield ("rank_ic", "lag", str(lag), *sample.correlation(sample.moments(np.isfinite(later), later)))
    yield _hit_rate(sample)
    yield from _quantile_returns(sample)
    if primary:
        yield ("turnover", "all", "all", *sample.mean(_turnover(sample)))
        pairs = value_moments(sample.x, shifted(sample, sample.x, 1), sample.offsets)
        yield ("autocorrelation", "all", "all", *sample.correlation(pairs))


def _information_ratio(sample: Sample, moments: Moments) -> Measure:
    parts = contributions(moments, sample.config.min_rows)
    defined = np.isfinite(parts)
    values, n = np.where(defined, parts, 0.0), int(defined.sum())
    present = defined.astype(np.float64)

    def ratio(total: Floats, squares: Floats, count: Floats) -> Floats:
        mean = divide(total, count)
        variance = divide(squares - count * mean * mean, count - 1)
        return divide(mean, np.sqrt(np.where(variance > 1e-18, variance, np.nan)))

    icir = float(ratio(values.sum(keepdims=True), (values**2).sum(keepdims=True), np.array([float(n)]))[0])
    drawn = ratio(sample.drawn(values), sample.drawn(values**2), sample.drawn(present))
    low, high = sample.interval(icir, drawn) if n >= MIN_SESSIONS else (np.nan, np.nan)
    return ("icir", "all", "all", icir, low, high, n)


def _t_stat(sample: Sample, moments: Moments) -> Measure:
    spanned, weights = overlap(sample.horizon), np.ones(len(moments.rows))
    found = moments.pooled(weights, min_rows=sample.config.min_rows, overlap=spanned)
    count = int(np.count_nonzero(moments.rows)) if np.isfinite(found.ic) else 0
    return ("t_stat", "all", "all", float(found.t), np.nan, np.nan, count)


def _hit_rate(sample: Sample) -> Measure:
    sign = np.where(sample.both, np.sign(sample.x) * np.sign(sample.y), 0.0)
    hits, tries = sample.per_session((sign > 0).astype(float)), sample.per_session((sign != 0).astype(float))
    return ("hit_rate", "all", "all", *sample.ratio(hits, tries), int(tries.sum()))


def _quantile_returns(sample: Sample) -> Iterator[Measure]:
    q = sample.config.quantiles
    sums, counts = quantile_sums(sample.x, sample.y, sample.offsets, q)
    for b in range(q):
        yield ("quantile_return", "quantile", str(b + 1), *sample.ratio(sums[b], counts[b]), int(counts[b].sum()))
    value = float(divide(sums[-1].sum(), counts[-1].sum()) - divide(sums[0].sum(), counts[0].sum()))
    drawn = divide(sample.drawn(sums[-1]), sample.drawn(counts[-1]))
    drawn = drawn - divide(sample.drawn(sums[0]), sample.drawn(counts[0]))
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
    sums = [per_session(np.where(buckets == b, returns, 0.0), offsets) for b in range(1, quantiles + 1)]
    counts = [per_session((buckets == b).astype(float), offsets) for b in range(1, quantiles + 1)]
    return sums, counts


def _turnover(sample: Sample) -> Floats:
    frame = sample.rows.select("decision_time").with_columns(pl.Series("x", sample.x).fill_nan(None))
    others = pl.col("x").count().over("decision_time") - 1
    place = (pl.col("x").rank("average").over("decision_time") - 1) / others
    rank = frame.select(pl.when(others > 0).then(place).alias("rank"))["rank"].to_numpy()
    change = np.abs(rank - shifted(sample, rank, 1))
    defined = np.isfinite(change)
    return divide(sample.per_session(np.where(defined, change, 0.0)), sample.per_session(defined.astype(float)))
