"""How features are chosen: the `selection` section of a config."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SelectionConfig(BaseModel):
    """How features are chosen.

    max_features                most features of one regime
    min_features                the best so many are kept although not significant (the ledger says so)
    false_discovery_rate        level of Benjamini-Hochberg over the features and regimes of one refit, to enter
    dependence                  between the tests: positive is Benjamini & Hochberg's rule (1995), which holds where
                                tests are independent or move together; any is Benjamini & Yekutieli's (2001), which
                                holds always, at a level that is lower by 1 + 1/2 + ... + 1/tests
    leave_false_discovery_rate  a feature kept at the refit before stays up to this q; none given: 1.5 times the
                                level to enter. Equal to it: no hysteresis by q
    switch_margin               how many standard errors a newcomer must be better than a kept feature to take its place
    max_rank_correlation        features closer than this make one cluster, of which the best is kept
    min_sessions                least sum of the sessions' weights, their expected number, for a t statistic
    min_rows                    least rows of the window for a rank IC
    sub_windows                 parts of the training window in which the sign of the IC is looked at
    min_stability               least share of them that must have the sign of the whole; 0: all pass
    max_turnover                largest share of a position traded from decision to decision; none given: all pass
    cost_bps                    what trading the whole position once costs, in basis points, for `turnover_cost`
    gain                        whether a small LightGBM is fitted on each regime's kept features, for the column `gain`
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_features: Annotated[int, Field(ge=1)] = 12
    min_features: Annotated[int, Field(ge=0)] = 0
    false_discovery_rate: Annotated[float, Field(gt=0, lt=1)] = 0.1
    dependence: Literal["positive", "any"] = "positive"
    leave_false_discovery_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    switch_margin: Annotated[float, Field(ge=0)] = 0.5
    max_rank_correlation: Annotated[float, Field(gt=0, le=1)] = 0.9
    min_sessions: Annotated[float, Field(ge=2)] = 5.0
    min_rows: Annotated[int, Field(ge=3)] = 10
    sub_windows: Annotated[int, Field(ge=2, le=50)] = 4
    min_stability: Annotated[float, Field(ge=0, le=1)] = 0.0
    max_turnover: Annotated[float, Field(gt=0)] | None = None
    cost_bps: Annotated[float, Field(ge=0)] = 1.0
    gain: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> "SelectionConfig":
        if self.min_features > self.max_features:
            raise ValueError(f"min_features {self.min_features} is above max_features {self.max_features}")
        leave, enter = self.leave_false_discovery_rate, self.false_discovery_rate
        if leave is not None and leave < enter:
            raise ValueError(f"leave_false_discovery_rate {leave:g} is below false_discovery_rate {enter:g}")
        return self

    @property
    def leave(self) -> float:
        """The q up to which a kept feature stays."""
        given = self.leave_false_discovery_rate
        return min(1.5 * self.false_discovery_rate, 1.0) if given is None else given
