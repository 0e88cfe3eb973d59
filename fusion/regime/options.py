"""Settings of single kinds of regime model."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

EXPANDED_STATES = 32
"""Most states of a switching model's chain, K ** (order + 1) where means switch: each step of its filter multiplies a
matrix of so many rows."""


class SwitchingConfig(BaseModel):
    """A Markov-switching autoregression.

    order     lags, p
    form      mean: deviations from the mean of each lag's own state follow the autoregression (Hamilton 1989);
              intercept: the autoregression is on the values, with an intercept of the state
    changes   what differs between states: level (the mean or the intercept), autoregression, variance
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    order: Annotated[int, Field(ge=0, le=12)] = 1
    form: Literal["mean", "intercept"] = "mean"
    changes: tuple[Literal["level", "autoregression", "variance"], ...] = ("level", "variance")

    @field_validator("changes")
    @classmethod
    def _some(cls, changes: tuple[str, ...]) -> tuple[str, ...]:
        if not changes or len(set(changes)) < len(changes):
            raise ValueError(f"changes are {list(changes)}; name one or more of level, autoregression, variance")
        return changes

    def memory(self, states: int) -> int:
        """How many states, from now back, the density of a row depends on. Raises ValueError where the chain of all of
        them is too long to filter."""
        lags = 1 + self.order if self.form == "mean" and "level" in self.changes else 1
        if states**lags > EXPANDED_STATES:
            raise ValueError(
                f"{states} switching means and {self.order} lags need {states**lags} states; at most "
                f"{EXPANDED_STATES}; use fewer of either, or form: intercept"
            )
        return lags


class ChangePointConfig(BaseModel):
    """Online Bayesian change-point detection. Regime 1: a change within the last `within` observations; 0: none.

    within         observations
    expected_run   mean observations between changes; none: fitted, which takes the fat tails of an input for short runs
    weight         of the prior mean of a run's level, in observations; none: fitted
    shape          of the prior of a run's precision (half its degrees of freedom); none: fitted
    spread         typical variance inside a run, as a share of the input's own variance; none: fitted
    hypotheses     run lengths held at once
    search_rows    the fit maximises the predictive likelihood of so many last observations
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    within: Annotated[int, Field(ge=1)] = 10
    expected_run: Annotated[float, Field(gt=1, lt=1e9)] | None = 100.0
    weight: Annotated[float, Field(gt=0, lt=1e6)] | None = None
    shape: Annotated[float, Field(gt=0, lt=1e6)] | None = None
    spread: Annotated[float, Field(gt=0, lt=1e6)] | None = None
    hypotheses: Annotated[int, Field(ge=2, le=10_000)] = 256
    search_rows: Annotated[int, Field(ge=50)] = 1000
