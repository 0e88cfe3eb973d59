"""The scores of features at one refit: none depends on which others are candidates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion.correlation import Moments, PooledIC, rank_moments
from fusion.overlap import least_sessions
from fusion.selection.config import SelectionConfig
from fusion.selection.table import Sessions

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """Of one refit: the pooled IC and the expected number of sessions, (regimes, features); coverage, (features,)."""

    ic: PooledIC
    expected: Floats
    coverage: Floats

    def of(self, places: Sequence[int]) -> "Scores":
        """Those of some of the features."""
        ic = self.ic
        some = [each[:, places] for each in (ic.ic, ic.error, ic.t, ic.p, ic.sessions)]
        return Scores(PooledIC(*some), self.expected[:, places], self.coverage[places])


def scored(
    table: "Sessions",
    window: Booleans,
    weights: Floats,
    orders: list[Integers],
    y_order: Integers,
    config: SelectionConfig,
    spanned: int,
) -> Scores:
    """weights (regimes, sessions); `spanned`: how many sessions a label spans. A regime with too few sessions for a t
    statistic has its IC and no more."""
    shape = (len(weights), len(table.names))
    ic, error, t, p, n, expected = (np.full(shape, np.nan) for _ in range(6))
    coverage = np.zeros(len(table.names))
    weights = weights[:, window]
    y = np.where(window[table.session], table.y, np.nan)
    total = np.count_nonzero(np.isfinite(y))
    for f, name in enumerate(table.names):
        moments = rank_moments(table.column(name), y, table.offsets, x_order=orders[f], y_order=y_order)
        # only these: sums over more sessions would round differently, even where the others hold nothing
        moments = Moments(moments.sums[:, window])
        found = moments.pooled(weights, min_rows=config.min_rows, overlap=spanned)
        # a regime that never came has tiny weights, whose effective number may yet be large: their sum tells
        expected[:, f] = np.einsum("ks,s->k", weights, (moments.rows > 0).astype(np.float64))
        tested = np.where(expected[:, f] >= needed(config, spanned), 1.0, np.nan)
        ic[:, f], n[:, f] = found.ic, found.sessions
        error[:, f], t[:, f], p[:, f] = found.error * tested, found.t * tested, found.p * tested
        coverage[f] = moments.rows.sum() / total if total else 0.0
    return Scores(PooledIC(ic, error, t, p, n), expected, coverage)


def needed(config: SelectionConfig, spanned: int) -> float:
    """Least expected number of sessions for a t statistic of labels that span so many."""
    return max(config.min_sessions, float(least_sessions(spanned)))
