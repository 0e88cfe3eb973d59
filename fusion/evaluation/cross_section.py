"""How well a score orders the entities of one decision: a correlation per decision time, its mean, ICIR and t.

    IC_t = corr over the entities of decision t,   mean = sum IC_t / T,   ICIR = mean / deviation of IC_t

What is taken away from a score here, the mean of its decision, is known at the decision, and a return is compared with
others over the same time: so these means are free of the bias that a mean per session has (`fusion.correlation`). They
see nothing of what all entities do together. Decisions of one session depend on each other (labels overlap, scores
persist): the error of the mean is clustered by session, where ICIR * sqrt(T) would count each decision as new.

Source: Grinold & Kahn (2000); Fama & MacBeth (1973) for means of cross-sections. Rank ICs are those of
scipy.stats.spearmanr and alphalens, decision by decision (1e-9).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.evaluation.sample import MIN_SESSIONS, Booleans, Floats, Sample, divide, ratio_of_moments
from fusion.evaluation.table import CROSS_SECTION, Measure, score_columns, values_of
from fusion.horizon import Horizon, horizon_name, overlap
from fusion.overlap import long_run
from fusion.selection import labelled
from fusion.target import return_column
from gpu_kernels.cross_section import information_coefficients

_ORDER = ("session", "decision_time", "entity")


def cross_sectional_ic(
    predictions: pl.DataFrame, labels: pl.DataFrame, *, horizons: Sequence[Horizon], min_entities: int = 2
) -> pl.DataFrame:
    """session, decision_time, horizon, score, rank_ic, ic, entities: correlations across the entities, one row per
    decision time, horizon and score.

    predictions  entity, session, decision_time, and `score`, `score_ridge` or one of them
    labels       the same decisions with return_<horizon>, which never cross a session (`fusion.target`)

    Missing values: an entity without score or return counts nowhere; rank_ic and ic are null with fewer than
    min_entities, or where score or return is the same for all of them.
    Raises DataError when the tables do not hold the same decisions, or columns are absent.
    """
    rows = labelled(predictions, labels, [return_column(horizon) for horizon in horizons]).sort(_ORDER)
    decisions = rows.group_by("session", "decision_time", maintain_order=True).len()
    offsets = np.concatenate([[0], np.cumsum(decisions["len"].to_numpy())]).astype(np.int64)
    returns = np.array([values_of(rows, return_column(horizon)) for horizon in horizons]).reshape(len(horizons), -1)
    frames = [pl.DataFrame(schema=CROSS_SECTION | {"session": rows.schema["session"]})]
    for score in score_columns(predictions):
        rank_ic, ic, entities = information_coefficients(
            values_of(rows, score), returns, offsets, min_rows=min_entities
        )
        for h, horizon in enumerate(horizons):
            found = decisions.select("session", "decision_time").with_columns(
                pl.lit(horizon_name(horizon)).alias("horizon"),
                pl.lit(score).alias("score"),
                pl.Series("rank_ic", rank_ic[h]).fill_nan(None),
                pl.Series("ic", ic[h]).fill_nan(None),
                pl.Series("entities", entities[h]),
            )
            frames.append(found.select(*CROSS_SECTION))
    return pl.concat(frames)


@dataclass(frozen=True)
class CrossSections:
    """The correlations of one sample, decision by decision, over any part of its rows."""

    sample: Sample

    @cached_property
    def _decisions(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The rows in the order of decisions, their offsets, and the place of each decision's session."""
        keys = self.sample.rows.select(_ORDER).with_row_index("_row").sort(_ORDER)
        decisions = keys.group_by("session", "decision_time", maintain_order=True).len()
        offsets = np.concatenate([[0], np.cumsum(decisions["len"].to_numpy())]).astype(np.int64)
        place = (decisions["session"].rank("dense").cast(pl.Int64) - 1).to_numpy()
        return keys["_row"].cast(pl.Int64).to_numpy(), offsets, place

    def measured(self, kind: str, group: str, only: Booleans) -> Iterator[Measure]:
        """Mean rank IC and IC, and ICIR and t of the rank IC, over the decisions of the rows in `only`."""
        rows, offsets, place = self._decisions
        x = np.where(only, self.sample.x, np.nan)[rows]
        rank_ic, ic, _ = information_coefficients(x, self.sample.y[rows][None], offsets)
        yield ("cross_sectional_rank_ic", kind, group, *self._mean(rank_ic[0], place))
        yield ("cross_sectional_ic", kind, group, *self._mean(ic[0], place))
        yield ("cross_sectional_icir", kind, group, *self._information_ratio(rank_ic[0], place))
        yield ("cross_sectional_t", kind, group, *self._t_stat(rank_ic[0], place))

    def _sums(self, values: Floats, place: NDArray[np.int64]) -> Floats:
        """(sessions,) sums of what decisions tell, NaN being nothing."""
        sessions = len(self.sample.offsets) - 1
        # adds in the order of the decisions
        sums: Floats = np.bincount(place, np.nan_to_num(values), minlength=sessions).astype(np.float64)
        return sums

    def _mean(self, values: Floats, place: NDArray[np.int64]) -> tuple[float, float, float, int]:
        counts = self._sums(np.isfinite(values).astype(np.float64), place)
        value, low, high = self.sample.ratio(self._sums(values, place), counts)
        count = int(np.count_nonzero(counts))
        return (value, low, high, count) if count >= MIN_SESSIONS else (value, np.nan, np.nan, count)

    def _information_ratio(self, values: Floats, place: NDArray[np.int64]) -> tuple[float, float, float, int]:
        sums = [self._sums(each, place) for each in (values, values * values, np.isfinite(values).astype(np.float64))]
        value = float(ratio_of_moments(*(each.sum(keepdims=True) for each in sums))[0])
        count = int(np.count_nonzero(sums[2]))
        drawn = ratio_of_moments(*(self.sample.drawn(each) for each in sums))
        low, high = self.sample.interval(value, drawn) if count >= MIN_SESSIONS else (np.nan, np.nan)
        return value, low, high, count if np.isfinite(value) else 0

    def _t_stat(self, values: Floats, place: NDArray[np.int64]) -> tuple[float, float, float, int]:
        """The mean over its error, clustered by session; of horizons in sessions `fusion.overlap.long_run`'s."""
        sums, counts = self._sums(values, place), self._sums(np.isfinite(values).astype(np.float64), place)
        mean = divide(sums.sum(), counts.sum())
        influence, share, spanned = sums - mean * counts, divide(counts, counts.sum()), overlap(self.sample.horizon)
        n = float(divide(1.0, np.sum(share * share)))
        if spanned > 1:
            variance = long_run(influence, share, n, spanned)[0]
        else:
            variance = float(divide(np.sum(influence * influence) * n, n - 1))
        t = float(mean * counts.sum() / np.sqrt(variance)) if variance > 0 else np.nan
        return t, np.nan, np.nan, int(np.count_nonzero(counts)) if np.isfinite(t) else 0
