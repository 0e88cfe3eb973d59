"""Walk-forward: a model at each refit, and the filtered probabilities that follow from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.regime.config import RegimeConfig
from fusion.regime.dwell import held
from fusion.regime.fits import FITS
from fusion.regime.model import Floats, RegimeModel
from fusion.walk_forward import Refit
from gpu_kernels.errors import DataError, ModelError
from sources.schema import TIME


@dataclass(frozen=True)
class RegimePath:
    """Observations, the models fitted on their past, and the probabilities that follow.

    observations   session, time, then one Float64 column per input; sorted by time
    models         one per refit, in order; not used where there is one state
    states         number of regimes; a model may have fewer states: the others' probability is then 0
    dwell, switch_probability, mixture   as in RegimeConfig

    Who uses what: selection and learning weigh their rows by the filtered probabilities of `training`; forecasts are
    mixed by `weights`; the label `regime`, which dwells, is what signals and the report name. Evaluation groups
    decisions by the likeliest state of `probabilities`.
    """

    observations: pl.DataFrame
    models: tuple[RegimeModel, ...]
    states: int
    dwell: int = 1
    switch_probability: float = 1.0
    mixture: Literal["filtered", "regime"] = "filtered"

    @classmethod
    def of(cls, observations: pl.DataFrame, models: Sequence[RegimeModel], config: RegimeConfig) -> "RegimePath":
        """The path of stored or fitted models under a config."""
        rule = (config.dwell, config.switch_probability, config.mixture)
        return cls(observations, tuple(models), config.regimes, *rule)

    @cached_property
    def probabilities(self) -> pl.DataFrame:
        """The live path: session, time, probability_0.., regime (the state that leads, held by the dwell rule).

        A session's parameters are those of the last refit at or before it; each refit filters the whole past anew, so
        that its first session starts from all that was seen. Missing values: null before the first refit and where
        the refit had too few observations to fit.
        """
        if self.states == 1:
            return self._frame(self.observations, np.ones((self.observations.height, 1)))
        x, found = _inputs(self.observations), np.full((self.observations.height, self.states), np.nan)
        sessions, anew = self.observations["session"], np.zeros(self.observations.height, np.bool_)
        starts = pl.Series([model.refit_session for model in self.models], dtype=sessions.dtype)
        first = sessions.search_sorted(starts, "left").to_numpy()
        for model, begin, end in zip(self.models, first, np.append(first, len(x))[1:], strict=True):
            if model.problem is None and begin < end:
                found[begin:end] = self._filtered(model, x[:end])[begin:]
                anew[begin] = not model.matched
        return self._frame(self.observations, found, anew)

    @cached_property
    def weights(self) -> pl.DataFrame:
        """session, time, probability_0..: what forecasts are mixed by. The filtered probabilities, or, where `mixture`
        is regime, 1 for the regime and 0 for the others."""
        if self.mixture == "filtered":
            return self.probabilities
        names = [f"probability_{k}" for k in range(self.states)]
        return self.probabilities.with_columns(
            (pl.col("regime") == k).cast(pl.Float64).alias(name) for k, name in enumerate(names)
        )

    def training(self, refit: Refit) -> pl.DataFrame:
        """The past of a refit filtered with the refit's own parameters: what its selection and learning weigh by.

        The parameters saw nothing after refit_time, and no row after it is returned, so that this is causal for the
        refit although not for the rows themselves. Columns and missing values as in `probabilities`.
        """
        past = self.observations.filter(pl.col("time") < refit.refit_time)
        if self.states == 1:
            return self._frame(past, np.ones((past.height, 1)))
        model = next((model for model in self.models if model.refit_session == refit.session), None)
        if model is None:
            raise ModelError(f"no regime model was fitted at {refit.session}", hint="fit with the same refits")
        if model.problem is not None:
            return self._frame(past, np.full((past.height, self.states), np.nan))
        return self._frame(past, self._filtered(model, _inputs(past)))

    def _filtered(self, model: RegimeModel, x: Floats) -> Floats:
        return np.pad(model.filter(x), ((0, 0), (0, self.states - model.states)))

    def _frame(self, rows: pl.DataFrame, probabilities: Floats, anew: NDArray[np.bool_] | None = None) -> pl.DataFrame:
        regime = held(probabilities, self.dwell, self.switch_probability, anew)
        return rows.select("session", "time").with_columns(
            *(pl.Series(f"probability_{k}", probabilities[:, k]).fill_nan(None) for k in range(probabilities.shape[1])),
            pl.Series("regime", regime, dtype=pl.Int64).replace(-1, None),
        )


def filter_regimes(observations: pl.DataFrame, refits: Sequence[Refit], config: RegimeConfig) -> RegimePath:
    """Fit a model at each refit on the observations before its refit_time, and filter.

    observations: session, time, and one Float64 column per input, as they were known at `time`; sorted by time.

    Missing values: a row with any missing input is no observation: the filter only predicts there. A refit with fewer
    than 10 observations a state, or a constant input, has no model (`problem` says so) and its sessions get null.
    Raises DataError when session or time are absent, an input is not numeric, or times repeat or go back.
    """
    missing = [name for name in ("session", "time") if name not in observations.columns]
    if missing:
        raise DataError(f"observations lack {', '.join(missing)}", allowed="session, time, and one column per input")
    inputs = [name for name in observations.columns if name not in ("session", "time")]
    wrong = [name for name in inputs if not observations.schema[name].is_numeric()]
    if wrong:
        raise DataError(f"input {wrong[0]} of the regime is {observations.schema[wrong[0]]}", allowed="numbers")
    ordered = observations.select(
        "session", pl.col("time").cast(TIME), *(pl.col(name).cast(pl.Float64) for name in inputs)
    )
    if not ordered["time"].is_sorted() or ordered["time"].is_duplicated().any():
        raise DataError("times of the regime's observations repeat or go back", allowed="one row per time, in order")
    if config.state_range[1] == 1 or not inputs:
        return RegimePath(ordered, (), 1)
    models: list[RegimeModel] = []
    previous: RegimeModel | None = None
    for refit in refits:
        past = ordered.filter(pl.col("time") < refit.refit_time)
        model = FITS[config.model](_inputs(past), refit, tuple(inputs), config, previous)
        models.append(model)
        previous = model if model.problem is None else previous
    rule = (config.dwell, config.switch_probability, config.mixture)
    return RegimePath(ordered, tuple(models), config.state_range[1], *rule)


def at(probabilities: pl.DataFrame, times: pl.Series) -> Floats:
    """(rows, K): the last probabilities at or before each time; NaN where there are none. `times` in any order."""
    columns = [name for name in probabilities.columns if name.startswith("probability_")]
    asked = pl.DataFrame({"time": times.cast(TIME)}).with_row_index("_row").sort("time", maintain_order=True)
    joined = asked.join_asof(probabilities.select(pl.col("time").cast(TIME), *columns), on="time").sort("_row")
    return joined.select(columns).to_numpy()


def _inputs(observations: pl.DataFrame) -> Floats:
    return observations.drop("session", "time").to_numpy()
