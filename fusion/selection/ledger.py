"""The selection ledger: scores of every feature at every refit and regime, and what was decided."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from fusion.correlation import order
from fusion.horizon import Horizon, overlap
from fusion.regime import RegimePath
from fusion.selection.config import SelectionConfig
from fusion.selection.decide import choose
from fusion.selection.scores import Scores, scored
from fusion.selection.table import Sessions, candidates
from fusion.walk_forward import Refit

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

LEDGER: dict[str, pl.DataType] = {
    "refit_session": pl.Date(),
    "regime": pl.Int64(),
    "feature": pl.String(),
    "ic": pl.Float64(),
    "t_stat": pl.Float64(),
    "p_value": pl.Float64(),
    "q_value": pl.Float64(),
    "sessions": pl.Float64(),
    "coverage": pl.Float64(),
    "kept": pl.Boolean(),
    "significant": pl.Boolean(),
    "position": pl.Int64(),
    "reason": pl.String(),
}


def select(
    features: pl.DataFrame,
    labels: pl.DataFrame,
    regimes: RegimePath,
    refits: Sequence[Refit],
    config: SelectionConfig,
    primary: Horizon,
) -> pl.DataFrame:
    """The selection ledger: one row per refit, regime and feature, kept or not, with its scores and the reason.

    features   entity, session, decision_time and the candidates (numbers, any unit)
    labels     the same decisions with the returns of `fusion.target.forward_returns`
    primary    horizon of the target

    A session counts for a refit when all its labels were known before the refit's cutoff; ranks and means are those of
    the rows of such sessions and of no others. Columns of the result: see `LEDGER`; `sessions` is the effective number,
    `coverage` the share of the window's labelled rows where the feature is present, `position` the order among the
    kept, 1 the best.

    Missing values: rows without feature or label are left out of its IC; scores are null where they are undefined, and
    such a feature is never kept.
    Raises DataError when features and labels do not hold the same decisions or a candidate is not numeric.
    """
    return measure(features, labels, regimes, refits, config, primary).ledger()


def measure(
    features: pl.DataFrame,
    labels: pl.DataFrame,
    regimes: RegimePath,
    refits: Sequence[Refit],
    config: SelectionConfig,
    primary: Horizon,
) -> "Measured":
    """The part of `select` that is each feature's own; arguments and errors as there."""
    names = candidates(features)
    table = Sessions.of(features, labels, names, primary)
    # a feature is sorted once and its order walked at each refit; a later step may update the sums instead
    orders = [order(table.column(name)) for name in names]
    y_order = order(table.y)
    found = []
    for refit in refits:
        window = table.window(refit)
        scores = scored(table, window, table.weights(regimes, refit), orders, y_order, config, overlap(primary))
        found.append(_AtRefit(refit, table, window, scores))
    return Measured(names, table.days.dtype, regimes.states, found, config, overlap(primary))


@dataclass(frozen=True)
class Measured:
    """Scores of every feature at every refit: none depends on which others are candidates.

    What does depend on them comes after: false discoveries, redundancy, how many are kept.
    """

    names: list[str]
    day: pl.DataType
    states: int
    refits: list["_AtRefit"]
    config: SelectionConfig
    spanned: int

    def ledger(self, names: Sequence[str] | None = None) -> pl.DataFrame:
        """`select` on these features alone, in this order; none given: on all. The same to the bit."""
        names = self.names if names is None else list(names)
        places = [self.names.index(name) for name in names]
        config, rows = self.config, []
        for at_refit in self.refits:
            scores = at_refit.scores.of(places)
            ic = scores.ic
            q_values = np.full(ic.p.shape, np.nan)
            tested = np.isfinite(ic.p)
            if tested.any():
                q_values[tested] = stats.false_discovery_control(ic.p[tested], method="bh")
            # where nothing can be kept, nothing can be redundant
            compared = config.min_features > 0 or bool((q_values <= config.false_discovery_rate).any())
            nothing = np.zeros((len(names), len(names)))
            similarity = at_refit.similarity[np.ix_(places, places)] if compared else nothing
            for k in range(self.states):
                kept, reasons = choose(names, scores, k, q_values[k], similarity, config, self.spanned)
                for f, name in enumerate(names):
                    position = kept.index(f) + 1 if f in kept else None
                    q = q_values[k, f]
                    scores_of = (ic.ic[k, f], ic.t[k, f], ic.p[k, f], q, ic.sessions[k, f], scores.coverage[f])
                    verdict = (position is not None, bool(q <= config.false_discovery_rate), position, reasons[f])
                    rows.append((at_refit.refit.session, k, name, *scores_of, *verdict))
        return pl.DataFrame(rows, schema=LEDGER | {"refit_session": self.day}, orient="row").with_columns(
            pl.col(pl.Float64).fill_nan(None)
        )


@dataclass(frozen=True)
class _AtRefit:
    """The scores of one refit, and the similarity of its features, which is made when it is first asked for."""

    refit: Refit
    table: Sessions
    window: Booleans
    scores: Scores

    @cached_property
    def similarity(self) -> Floats:
        return self.table.similarity(self.window)
