"""Whether what signals say beside their scores came true: intervals of the return, the probability that it rises."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.correlation import ranks
from fusion.evaluation.sample import Sample, divide
from fusion.evaluation.table import BPS, values_of

Floats = NDArray[np.float64]
Measure = tuple[str, str, str, float, float, float, int]

BINS = 10
_GROUPS = ("regime", "entity", "hour", "volatility")


def stated(sample: Sample) -> Iterator[Measure]:
    """metric, group_kind, group, value, low, high, count (rows) of the columns `low`, `high` and `probability_up`.

    coverage          share of returns inside [low, high], ends included          all, regime, entity, hour, volatility
    interval_width    mean of high - low, bps                                     the same
    brier, log_loss   mean of (p - up)^2 and of -log of the probability that was given to what happened (nats); up is
                      1 where the return is above 0
    brier_skill       1 - brier / b (1 - b), b the share of rises in the sample: the best constant, known afterwards
    log_loss_gain     the entropy of b, less log_loss; below 0: the constant was better
    calibration_error sum over BINS bins of equally many rows of share |mean p - share of rises|. It is above 0 for a
                      perfect p as well, by chance
    mean_probability, up_share   of each bin, group_kind `probability`, 1 the lowest: together the reliability diagram

    low and high resample sessions as those of the other measures do. Missing values: nothing where the columns are not
    there or hold no row with a return; rows without either count nowhere.
    """
    names = sample.rows.columns
    if {"low", "high"} <= set(names):
        yield from _intervals(sample)
    if "probability_up" in names:
        yield from _probabilities(sample)


def _intervals(sample: Sample) -> Iterator[Measure]:
    low, high, y = values_of(sample.rows, "low"), values_of(sample.rows, "high"), sample.y
    judged = np.isfinite(low) & np.isfinite(high) & np.isfinite(y)
    inside = judged & (y >= low) & (y <= high)
    width = np.where(judged, (high - low) * BPS, 0.0)
    for kind, group, member in _members(sample, judged):
        counts = sample.per_session(member.astype(np.float64))
        for metric, values in (("coverage", inside.astype(np.float64)), ("interval_width", width)):
            sums = sample.per_session(np.where(member, values, 0.0))
            yield (metric, kind, group, *sample.ratio(sums, counts), int(member.sum()))


def _members(sample: Sample, judged: NDArray[np.bool_]) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """The judged rows of each group that has any."""
    if judged.any():
        yield "all", "all", judged
    for kind in _GROUPS:
        if kind in sample.rows.columns:
            for group in sample.rows.filter(pl.Series(judged))[kind].drop_nulls().unique().sort():
                yield kind, group, judged & (sample.rows[kind] == group).fill_null(False).to_numpy()


def _probabilities(sample: Sample) -> Iterator[Measure]:
    p, y = values_of(sample.rows, "probability_up"), sample.y
    judged = np.isfinite(p) & np.isfinite(y)
    total = int(judged.sum())
    if not total:
        return
    up = np.where(judged, y > 0, 0.0)
    p = np.where(judged, p, 0.5)
    count, rises = sample.per_session(judged.astype(np.float64)), sample.per_session(up)
    brier = sample.per_session(np.where(judged, (p - up) ** 2, 0.0))
    given = np.clip(np.where(up > 0, p, 1 - p), 1e-12, 1.0)
    loss = sample.per_session(np.where(judged, -np.log(given), 0.0))
    yield ("brier", "all", "all", *sample.ratio(brier, count), total)
    yield ("log_loss", "all", "all", *sample.ratio(loss, count), total)

    def skill(rises: Floats, brier: Floats, count: Floats) -> Floats:
        base = divide(rises, count)
        return 1 - divide(divide(brier, count), base * (1 - base))

    def gain(rises: Floats, loss: Floats, count: Floats) -> Floats:
        base = np.clip(divide(rises, count), 1e-12, 1 - 1e-12)
        return -(base * np.log(base) + (1 - base) * np.log1p(-base)) - divide(loss, count)

    for metric, measure, sums in (("brier_skill", skill, brier), ("log_loss_gain", gain, loss)):
        value = float(measure(rises.sum(keepdims=True), sums.sum(keepdims=True), count.sum(keepdims=True))[0])
        drawn = measure(sample.drawn(rises), sample.drawn(sums), sample.drawn(count))
        yield (metric, "all", "all", value, *sample.interval(value, drawn), total)
    yield from _reliability(sample, p, up, judged)


def _reliability(sample: Sample, p: Floats, up: Floats, judged: NDArray[np.bool_]) -> Iterator[Measure]:
    """Bins of equally many rows, equal probabilities together."""
    place = np.nan_to_num(ranks(np.where(judged, p, np.nan)))
    bins = np.where(judged, np.floor((place - 1) / (2 * judged.sum()) * BINS), -1)
    error, drawn, total = 0.0, np.zeros(len(sample.resamples)), np.zeros(len(sample.resamples))
    rows = []
    for number in range(BINS):
        member = bins == number
        if not member.any():
            continue
        counts = sample.per_session(member.astype(np.float64))
        chances, rises = (sample.per_session(np.where(member, values, 0.0)) for values in (p, up))
        error += abs(float(chances.sum() - rises.sum())) / float(judged.sum())
        drawn += np.abs(sample.drawn(chances) - sample.drawn(rises))
        total += sample.drawn(counts)
        for metric, sums in (("mean_probability", chances), ("up_share", rises)):
            rows.append((metric, "probability", str(number + 1), *sample.ratio(sums, counts), int(member.sum())))
    yield ("calibration_error", "all", "all", error, *sample.interval(error, divide(drawn, total)), int(judged.sum()))
    yield from rows
