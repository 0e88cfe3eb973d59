"""How features are chosen: the `selection` section of a config."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SelectionConfig(BaseModel):
    """How features are chosen.

    max_features           most features of one regime
    min_features           the best so many are kept although not significant (the ledger says so)
    false_discovery_rate   level of Benjamini-Hochberg over the features and regimes of one refit
    max_rank_correlation   a feature closer than this to a better kept one is redundant
    min_sessions           least sum of the sessions' weights, their expected number, for a t statistic
    min_rows               least rows of the window for a rank IC
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_features: Annotated[int, Field(ge=1)] = 12
    min_features: Annotated[int, Field(ge=0)] = 0
    false_discovery_rate: Annotated[float, Field(gt=0, lt=1)] = 0.1
    max_rank_correlation: Annotated[float, Field(gt=0, le=1)] = 0.9
    min_sessions: Annotated[float, Field(ge=2)] = 5.0
    min_rows: Annotated[int, Field(ge=3)] = 10

    @model_validator(mode="after")
    def _consistent(self) -> "SelectionConfig":
        if self.min_features > self.max_features:
            raise ValueError(f"min_features {self.min_features} is above max_features {self.max_features}")
        return self
