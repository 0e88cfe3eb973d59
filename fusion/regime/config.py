"""The config's section `regime`."""

from datetime import date
from typing import Annotated, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fusion.regime.options import ChangePointConfig, SwitchingConfig
from fusion.regime.rules import Rule, check_inputs, check_rules

GROUPS = ("output_income", "labor", "housing", "consumption_orders_inventories", "prices", "money_credit")
"""Groups of FRED-MD's whose series rise and fall together, so that their mean says something."""


class RegimeInput(BaseModel):
    """One input of the regime model, as known at each session's open. Exactly one of these says what it is:

    metric    a metric of an `entity`; `less`: minus another metric of it, e.g. a term spread
    mean_of   the mean of several metrics of an `entity`, each less its own mean and over its own deviation up to then;
              a minus before a name turns it around. Or a group of FRED-MD's: output_income, labor, housing,
              consumption_orders_inventories, prices, money_credit: those of its series that the run reads, with
              unemployment, claims and inventories to sales turned around
    feature   a feature of an `entity`, or the mean over all entities, at the last decision before the open
    market    what the bars of the last `sessions` sessions tell of an `entity`, or of all: realised_volatility, trend,
              correlation, illiquidity (fusion.regime.market has the formulas)

    transform  its natural logarithm
    change     less its own value so many sessions (or blocks) before
    name       of its column; none: made of the above, e.g. `log_vix_close`
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str | None = None
    less: str | None = None
    mean_of: tuple[str, ...] | Literal[GROUPS] | None = None  # type: ignore[valid-type]
    feature: str | None = None
    market: Literal["realised_volatility", "trend", "correlation", "illiquidity"] | None = None
    entity: str | None = None
    sessions: Annotated[int, Field(ge=2, le=1000)] | None = None
    transform: Literal["none", "log"] = "none"
    change: Annotated[int, Field(ge=1, le=1000)] | None = None
    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "RegimeInput":
        told = [kind for kind in ("metric", "mean_of", "feature", "market") if getattr(self, kind) is not None]
        if len(told) != 1:
            raise ValueError(
                f"a regime input names {' and '.join(told) or 'nothing'}; write one of metric, mean_of, feature, market"
            )
        if self.entity is None and told[0] in ("metric", "mean_of"):
            raise ValueError(f"a regime input of {told[0]} needs its entity, e.g. entity: US")
        if self.less is not None and told[0] != "metric":
            raise ValueError("less goes with metric")
        if (self.sessions is None) != (self.market is None):
            raise ValueError("market needs sessions, e.g. 21" if self.sessions is None else "sessions goes with market")
        if self.market == "correlation" and self.entity is not None:
            raise ValueError("market: correlation is of all entities; take out entity")
        if self.mean_of == ():
            raise ValueError("mean_of names no metric")
        return self

    @property
    def column(self) -> str:
        """Name of the observation column, e.g. `log_vix_close`."""
        if self.name is not None:
            return self.name
        if self.mean_of is not None:
            plain = (
                self.mean_of
                if isinstance(self.mean_of, str)
                else "mean_" + "_".join(n.lstrip("-") for n in self.mean_of)
            )
        elif self.market is not None:
            plain = f"{self.market}_{self.sessions}"
        else:
            plain = f"{self.metric or self.feature}" + (f"_less_{self.less}" if self.less else "")
        if self.entity is not None and self.metric is None and self.mean_of is None:
            plain = f"{plain}_{self.entity}"
        logged = plain if self.transform == "none" else f"{self.transform}_{plain}"
        return logged if self.change is None else f"{logged}_change_{self.change}"

    def apply(self, values: pl.Expr) -> pl.Expr:
        """The transform of the values; null where it is not defined (the logarithm of zero or less)."""
        found = values if self.transform == "none" else pl.when(values > 0).then(values.log())
        return found if self.change is None else found - found.shift(self.change)


class StateRange(BaseModel):
    """Numbers of states to choose from, both ends included."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    least: Annotated[int, Field(ge=2, le=8)] = 2
    most: Annotated[int, Field(ge=2, le=8)] = 5

    @model_validator(mode="after")
    def _consistent(self) -> "StateRange":
        if self.most < self.least:
            raise ValueError(f"most {self.most} is below least {self.least}")
        return self


class RegimeConfig(BaseModel):
    """One regime where `inputs` is empty or `states` is 1; else a model of kind `model`.

    model               hmm: a Gaussian hidden Markov model; switching: a Markov-switching autoregression; thresholds:
                        the `rules`; change_point: whether something changed of late
    switching, rules, change_point   settings of these models; thresholds have a state a rule, change_point has two
    states              how many, or {least, most}: chosen by held-out likelihood at the first refit that can be fitted.
                        A run then has `most` regimes, of which those beyond the chosen number have probability 0
    rechoose_refits     choose again every so many refits; where the number changes, states are numbered anew.
                        none: never
    dwell               a state becomes the regime when it has been the likeliest at so many observations (one a
                        session) in a row; 1: at once
    switch_probability  or as soon as its filtered probability is greater than this; 1: never
    mixture             what mixes the regimes' forecasts: the filtered probabilities, or the `regime` alone, which
                        dwells
    history_start       first day of the inputs' history that the fit may use, earlier than the run's own start
    covariance          of the states: full, or diagonal (inputs independent inside a state)
    variance_floor      least variance of a state in any direction, as a share of the input's own variance
    iterations          most EM steps of a fit
    tolerance           a fit ends when an EM step gains less log likelihood per observation
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: tuple[RegimeInput, ...] = ()
    model: Literal["hmm", "switching", "thresholds", "change_point"] = "hmm"
    states: Annotated[int, Field(ge=1, le=8)] | StateRange = 2
    rechoose_refits: Annotated[int, Field(ge=1)] | None = None
    dwell: Annotated[int, Field(ge=1)] = 3
    switch_probability: Annotated[float, Field(gt=0.5, le=1)] = 0.95
    mixture: Literal["filtered", "regime"] = "filtered"
    switching: SwitchingConfig = SwitchingConfig()
    rules: tuple[Rule, ...] = ()
    change_point: ChangePointConfig = ChangePointConfig()
    history_start: date | None = None
    covariance: Literal["full", "diagonal"] = "full"
    variance_floor: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    iterations: Annotated[int, Field(ge=1)] = 200
    tolerance: Annotated[float, Field(gt=0)] = 1e-7

    @model_validator(mode="after")
    def _consistent(self) -> "RegimeConfig":
        if self.model == "switching":
            if not isinstance(self.states, int):
                raise ValueError("states of the model switching are a range; give one number: only hmm chooses")
            self.switching.memory(self.state_range[1])
        if self.model == "thresholds":
            check_rules(self.rules)
            if self.inputs:
                check_inputs(self.rules, tuple(wanted.column for wanted in self.inputs))
        elif self.rules:
            raise ValueError(f"rules are given but the model is {self.model}; write model: thresholds")
        return self

    @property
    def regimes(self) -> int:
        """How many regimes a run has: without inputs, one; of a range, its greatest number."""
        return self.state_range[1] if self.inputs else 1

    @property
    def state_range(self) -> tuple[int, int]:
        """The least and the greatest number of states."""
        if self.model in ("thresholds", "change_point"):
            count = len(self.rules) if self.model == "thresholds" else 2
            return count, count
        return (self.states, self.states) if isinstance(self.states, int) else (self.states.least, self.states.most)
