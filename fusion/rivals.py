"""Other models on the run's own refits, labels and decisions: of fewer sources, without regimes, or the best source's.

A recipe says what a model is made of; its scores are those that the run would have made of it. Nothing is done twice:
a feature's scores do not depend on which others are candidates, and where a refit keeps the same features for the same
weights, the model is the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion import model, selection
from fusion.correlation import rank_moments
from fusion.horizon import Horizon, overlap
from fusion.paired import enough_sessions, neutral, numbers
from fusion.plan import Plan, Progress, silent
from fusion.regime import RegimeConfig, RegimePath, filter_regimes
from fusion.study import Study
from fusion.target import KEYS, end_column, return_column
from fusion.walk_forward import Refit

Floats = NDArray[np.float64]
Sources = frozenset[str]


@dataclass(frozen=True)
class Recipe:
    """What a model is made of.

    sources    whose features are candidates
    selection  by regime, or pooled: every row of the window weighs 1
    learning   mixture: a learner per regime, mixed by the filtered probabilities; single: one learner, all weights 1.
               A single learner whose features are selected by regime has those that any regime kept
    """

    sources: Sources
    selection: Literal["by_regime", "pooled"] = "by_regime"
    learning: Literal["mixture", "single"] = "mixture"


class Rivals:
    """The out-of-sample scores of models by recipe, each made once, one for each row of `signals`.

    signals   the decisions that models are judged on: those that the run scored or had no model for, neither stale nor
              withheld; by session, entity and time
    """

    def __init__(self, plan: Plan, found: Study, progress: Progress = silent, *, said: str = "comparison") -> None:
        self._plan, self._found, self._progress, self.said = plan, found, progress, said
        self.families: Mapping[str, str] = {name: found.matrix.families[name] for name in found.matrix.candidates}
        judged = pl.col("status").is_in(["ok", "no_model"])
        self.signals = found.signals.filter(judged).sort("session", "entity", "decision_time")
        self._made: dict[Recipe, Floats] = {self.run: numbers(self.signals["score"])}
        by_regime: model.Learned = {
            (fitted.refit_session, k, learner.features): learner
            for fitted in found.models
            for k, learner in enumerate(fitted.learners)
            if learner is not None
        }
        one = found.regimes.states == 1
        self._learned: dict[str, model.Learned] = {"mixture": by_regime, "single": by_regime if one else {}}

    @property
    def every(self) -> Sources:
        return frozenset(self.families.values())

    @property
    def run(self) -> Recipe:
        """The run's own."""
        return Recipe(self.every)

    @property
    def ridge(self) -> Floats:
        """The scores of the ridge on the run's own features."""
        return numbers(self.signals["score_ridge"])

    def returns(self, horizon: Horizon | None = None) -> tuple[Floats, pl.Series]:
        """The labels of `signals`, NaN where missing, and when they ended; of the primary horizon unless told."""
        wanted = self._plan.config.predicted.primary if horizon is None else horizon
        label, end = return_column(wanted), end_column(wanted)
        rows = self.signals.select(KEYS).join(
            self._found.labels.select(*KEYS, label, end), on=KEYS, how="left", maintain_order="left"
        )
        return numbers(rows[label]), rows[end]

    def __getitem__(self, recipe: Recipe) -> Floats:
        if recipe not in self._made:
            self.make([recipe])
        return self._made[recipe]

    def make(self, wanted: Sequence[Recipe]) -> None:
        """Make those that are missing."""
        missing = [recipe for recipe in dict.fromkeys(wanted) if recipe not in self._made]
        config, found, refits = self._plan.config, self._found, self._found.refits
        primary = config.predicted.primary
        for number, recipe in enumerate(missing):
            if not recipe.sources:
                self._made[recipe] = np.full(self.signals.height, np.nan)
                continue
            said = f"{self.said}: model {number + 1} of {len(missing)}, {len(refits)} refits each"
            self._progress(said, number / len(missing))
            regimes = found.regimes if recipe.learning == "mixture" else self._one_regime
            ledger, learned = self._kept(recipe), self._learned[recipe.learning]
            predicted, _ = model.walk_forward_predict(
                self._table, found.labels, regimes, ledger, refits, config.model, primary, learned
            )
            joined = self.signals.select(KEYS).join(predicted, on=KEYS, how="left", maintain_order="left")
            self._made[recipe] = numbers(joined["score"])

    def ledger(self, recipe: Recipe) -> pl.DataFrame:
        """The selection of a recipe: regimes are those of the run, or the one regime 0 of a pooled selection."""
        pooled = recipe.selection == "pooled" and self._found.regimes.states > 1
        if recipe.sources == self.every and not pooled:
            return self._found.ledger
        names = [name for name, source in self.families.items() if source in recipe.sources]
        return (self._pooled if pooled else self._by_regime).ledger(names)

    def best_source(self) -> tuple[Floats, list[str]]:
        """The scores of the one source that looked best at each refit, and which it was.

        Best is the highest rank IC of the models on one source alone, over the decisions out of sample before the
        refit whose labels had ended before its cutoff. While these lie in too few sessions: the least p-value in the
        selection of the refit's own training window, times the number of p-values of the source (Bonferroni).
        Ties go to the source that the config names first; without any p-value that is the choice too.
        """
        names = [name for name in self._plan.config.features if name in self.every]
        recipes = {name: Recipe(frozenset({name})) for name in names}
        self.make(list(recipes.values()))
        chosen: list[str] = []
        score = np.full(self.signals.height, np.nan)
        for refit in self._found.refits:
            best = self._best(refit, recipes)
            chosen.append(best)
            mine = (self.signals["refit_session"] == refit.session).to_numpy()
            score[mine] = self[recipes[best]][mine]
        return score, chosen

    def _best(self, refit: Refit, recipes: Mapping[str, Recipe]) -> str:
        y, ends = self.returns()
        known = _before(ends, refit) & np.isfinite(y)
        known &= np.any([np.isfinite(self[recipe]) for recipe in recipes.values()], axis=0)
        sessions = self.signals["session"].filter(pl.Series(known)).rle().struct.field("len")
        offsets = np.concatenate([[0], np.cumsum(sessions.to_numpy())]).astype(np.int64)
        worth = {}
        if enough_sessions(len(sessions), overlap(self._plan.config.predicted.primary)):
            for name, recipe in recipes.items():
                moments = rank_moments(neutral(self[recipe][known]), y[known], offsets)
                worth[name] = float(np.nan_to_num(moments.correlation(np.ones(len(sessions)))))
        else:
            for name, recipe in recipes.items():
                p = self.ledger(recipe).filter(refit_session=refit.session)["p_value"].drop_nulls().to_numpy()
                worth[name] = -min(float(p.min()) * len(p), 1.0) if len(p) else -1.0
        return max(worth, key=lambda name: worth[name])

    def _kept(self, recipe: Recipe) -> pl.DataFrame:
        """The ledger in the regimes of the recipe's learners."""
        ledger, states = self.ledger(recipe), self._found.regimes.states
        pooled = recipe.selection == "pooled"
        if recipe.learning == "single" and not pooled:
            return united(ledger)
        if recipe.learning == "mixture" and pooled:
            each = [ledger.with_columns(pl.lit(k, dtype=pl.Int64).alias("regime")) for k in range(states)]
            return pl.concat(each)
        return ledger

    @cached_property
    def _table(self) -> pl.DataFrame:
        return self._found.matrix.frame.select(*KEYS, *self.families)

    @cached_property
    def _one_regime(self) -> RegimePath:
        path = self._found.regimes
        return filter_regimes(path.observations.select("session", "time"), self._found.refits, RegimeConfig())

    @cached_property
    def _by_regime(self) -> selection.Measured:
        return self._measured(self._found.regimes)

    @cached_property
    def _pooled(self) -> selection.Measured:
        return self._measured(self._one_regime)

    def _measured(self, regimes: RegimePath) -> selection.Measured:
        self._progress(f"{self.said}: scores of the features", None)
        config, found = self._plan.config, self._found
        shared = (self._table, found.labels, regimes, found.refits)
        return selection.measure(*shared, config.selection, config.predicted.primary)


def united(ledger: pl.DataFrame) -> pl.DataFrame:
    """The features that any regime kept, as kept by one: by their best position, then by name."""
    return (
        ledger.filter("kept")
        .group_by("refit_session", "feature")
        .agg(pl.col("position").min())
        .sort("refit_session", "position", "feature")
        .with_columns(
            pl.lit(0, dtype=pl.Int64).alias("regime"),
            pl.lit(True).alias("kept"),
            (pl.int_range(pl.len(), dtype=pl.Int64).over("refit_session") + 1).alias("position"),
        )
    )


def _before(ends: pl.Series, refit: Refit) -> NDArray[np.bool_]:
    """Labels that had ended, and were known, before the refit's cutoff."""
    found: NDArray[np.bool_] = (ends < refit.cutoff).fill_null(False).to_numpy()
    return found
