"""Each measure of a sample, with its interval."""

from collections.abc import Iterator, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.correlation import Moments, rank_moments, ranks, value_moments
from fusion.evaluation.cross_section import CrossSections
from fusion.evaluation.groups import groups_of
from fusion.evaluation.neutral import neutralised
from fusion.evaluation.sample import (
    MIN_SESSIONS,
    Booleans,
    Floats,
    Sample,
    contributions,
    divide,
    per_session,
    ratio_of_moments,
    shifted,
)
from fusion.evaluation.table import BPS, Measure
from fusion.horizon import overlap


def measured(sample: Sample, *, primary: bool) -> Iterator[Measure]:
    """metric, group_kind, group, value, low, high, count. What no horizon changes comes with the primary alone."""
    both, sections = sample.both, CrossSections(sample)
    members = {(kind, group): both & mask for kind, group, mask in groups_of(sample.rows)}
    yield from _of_group(sample, sections, "all", "all", both)
    for (kind, group), only in members.items():
        yield from _of_group(sample, sections, kind, group, only)
    yield from _stability(sample, members)
    yield from _neutral(sample)
    for lag in range(sample.config.lags + 1):
        later = shifted(sample, sample.y, -lag)
        yield ("rank_ic", "lag", str(lag), *sample.correlation(sample.moments(np.isfinite(later), later)))
    yield _hit_rate(sample)
    yield from _quantile_returns(sample, members)
    if primary:
        yield ("turnover", "all", "all", *sample.mean(_turnover(sample)))
        for lag in range(1, max(sample.config.lags, 1) + 1):
            pairs = value_moments(sample.x, shifted(sample, sample.x, lag), sample.offsets)
            where = [("lag", str(lag)), *([("all", "all")] if lag == 1 else [])]
            for kind, group in where:
                yield ("autocorrelation", kind, group, *sample.correlation(pairs))


def _of_group(sample: Sample, sections: CrossSections, kind: str, group: str, only: Booleans) -> Iterator[Measure]:
    """What is measured of all rows, and of each group of them."""
    moments = sample.moments(only)
    yield ("rank_ic", kind, group, *sample.correlation(moments))
    yield ("ic", kind, group, *sample.correlation(sample.moments(only, ranked=False)))
    yield ("icir", kind, group, *_information_ratio(sample, moments))
    yield ("t_stat", kind, group, *_t_stat(sample, moments))
    # of one entity alone no decision has an order
    if kind in ("all", "regime", "hour", "volatility", "event", "sector"):
        yield from sections.measured(kind, group, only)


def _information_ratio(sample: Sample, moments: Moments) -> tuple[float, float, float, int]:
    parts = contributions(moments, sample.config.min_rows)
    defined = np.isfinite(parts)
    values, n = np.where(defined, parts, 0.0), int(defined.sum())
    sums = (values, values**2, defined.astype(np.float64))
    icir = float(ratio_of_moments(*(each.sum(keepdims=True) for each in sums))[0])
    drawn = ratio_of_moments(*(sample.drawn(each) for each in sums))
    low, high = sample.interval(icir, drawn) if n >= MIN_SESSIONS else (np.nan, np.nan)
    return icir, low, high, n


def _t_stat(sample: Sample, moments: Moments) -> tuple[float, float, float, int]:
    spanned, weights = overlap(sample.horizon), np.ones(len(moments.rows))
    found = moments.pooled(weights, min_rows=sample.config.min_rows, overlap=spanned)
    count = int(np.count_nonzero(moments.rows)) if np.isfinite(found.ic) else 0
    return float(found.t), np.nan, np.nan, count


def _stability(sample: Sample, members: Mapping[tuple[str, str], Booleans]) -> Iterator[Measure]:
    """The rank IC of volatile sessions less that of calm ones: both from one set of resamples."""
    sides = [members.get(("volatility", side)) for side in ("high", "low")]
    if sides[0] is None or sides[1] is None:
        return
    high, low = (sample.moments(only) for only in sides if only is not None)
    values = [sample.correlation(each)[0] for each in (high, low)]
    value = values[0] - values[1]
    drawn = high.correlation(sample.resamples) - low.correlation(sample.resamples)
    count = int(np.count_nonzero(high.rows + low.rows)) if np.isfinite(value) else 0
    yield ("rank_ic_difference", "volatility", "high - low", value, *sample.interval(value, drawn), count)


def _neutral(sample: Sample) -> Iterator[Measure]:
    """The pooled correlations of what is left of the score beside what anyone could have without it."""
    for kind, x, y in neutralised(sample):
        only = np.isfinite(x) & np.isfinite(y)
        for metric, measure in (("rank_ic_neutral", rank_moments), ("ic_neutral", value_moments)):
            moments = measure(np.where(only, x, np.nan), y, sample.offsets)
            yield (metric, "neutral", kind, *sample.correlation(moments))


def _hit_rate(sample: Sample) -> Measure:
    sign = np.where(sample.both, np.sign(sample.x) * np.sign(sample.y), 0.0)
    hits, tries = sample.per_session((sign > 0).astype(float)), sample.per_session((sign != 0).astype(float))
    return ("hit_rate", "all", "all", *sample.ratio(hits, tries), int(tries.sum()))


def _quantile_returns(sample: Sample, members: Mapping[tuple[str, str], Booleans]) -> Iterator[Measure]:
    """Of all rows, and of each regime: the quantiles are those of all scores, so that regimes can be compared."""
    q = sample.config.quantiles
    buckets = _buckets(sample.x, sample.y, q)
    regimes = [(group, only) for (kind, group), only in members.items() if kind == "regime"]
    for regime, only in [("", sample.both), *regimes]:
        sums, counts = _bucket_sums(np.where(only, buckets, 0), sample.y, sample.offsets, q)
        for b in range(q):
            kind, group = ("regime_quantile", f"{regime}/{b + 1}") if regime else ("quantile", str(b + 1))
            yield ("quantile_return", kind, group, *sample.ratio(sums[b], counts[b]), int(counts[b].sum()))
        value = float(divide(sums[-1].sum(), counts[-1].sum()) - divide(sums[0].sum(), counts[0].sum()))
        drawn = divide(sample.drawn(sums[-1]), sample.drawn(counts[-1]))
        drawn = drawn - divide(sample.drawn(sums[0]), sample.drawn(counts[0]))
        sessions = int(((counts[-1] > 0) | (counts[0] > 0)).sum())
        where = ("regime", regime) if regime else ("all", "all")
        yield ("top_minus_bottom", *where, value, *sample.interval(value, drawn), sessions)


def quantile_sums(
    x: Floats, y: Floats, offsets: NDArray[np.int64], quantiles: int
) -> tuple[list[Floats], list[Floats]]:
    """Each session's sum of the returns (bps) of each quantile of the score over all rows, and its rows; ties together.

    Missing values: rows without score or return are in none; no quantile holds a row where there are fewer rows than
    quantiles or all scores are equal."""
    return _bucket_sums(_buckets(x, y, quantiles), y, offsets, quantiles)


def _buckets(x: Floats, y: Floats, quantiles: int) -> NDArray[np.int64]:
    """1 .. quantiles of each row; 0 where it is in none."""
    both = np.isfinite(x) & np.isfinite(y)
    place, n = ranks(np.where(both, x, np.nan)), int(np.count_nonzero(both))
    # scores that are all equal have no top and no bottom
    varied = n >= quantiles and bool(np.nanmin(place) < np.nanmax(place))
    buckets = np.where(both & varied, np.floor((np.nan_to_num(place) - 1) / (2 * max(n, 1)) * quantiles) + 1, 0.0)
    return buckets.astype(np.int64)


def _bucket_sums(
    buckets: NDArray[np.int64], y: Floats, offsets: NDArray[np.int64], quantiles: int
) -> tuple[list[Floats], list[Floats]]:
    returns = np.where(buckets > 0, y, 0.0) * BPS
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
