"""The config's section `regime`."""

from datetime import date
from typing import Annotated, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field


class RegimeInput(BaseModel):
    """One input of the regime model: a metric of an entity, as known at each time, or its natural logarithm."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str
    entity: str
    transform: Literal["none", "log"] = "none"

    @property
    def column(self) -> str:
        """Name of the observation column, e.g. `log_vix_close`."""
        return self.metric if self.transform == "none" else f"{self.transform}_{self.metric}"

    def apply(self, values: pl.Expr) -> pl.Expr:
        """The transform of the values; null where it is not defined (the logarithm of zero or less)."""
        return values if self.transform == "none" else pl.when(values > 0).then(values.log())


class RegimeConfig(BaseModel):
    """One regime where `inputs` is empty or `states` is 1; else a model of kind `model`.

    model            hmm: a Gaussian hidden Markov model
    history_start    first day of the inputs' history that the fit may use, earlier than the run's own start
    covariance       of the states: full, or diagonal (inputs independent inside a state)
    variance_floor   least variance of a state in any direction, as a share of the input's own variance
    iterations       most EM steps of a fit
    tolerance        a fit ends when an EM step gains less log likelihood per observation
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: tuple[RegimeInput, ...] = ()
    model: Literal["hmm"] = "hmm"
    states: Annotated[int, Field(ge=1, le=8)] = 2
    history_start: date | None = None
    covariance: Literal["full", "diagonal"] = "full"
    variance_floor: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    iterations: Annotated[int, Field(ge=1)] = 200
    tolerance: Annotated[float, Field(gt=0)] = 1e-7

    @property
    def regimes(self) -> int:
        """How many regimes a run has: without inputs, one."""
        return self.states if self.inputs else 1
