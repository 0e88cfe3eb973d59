"""Settings of the learners."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ModelConfig(BaseModel):
    """Settings of the learners.

    min_rows_leaf   least training rows of a leaf; a regime with fewer than twice as many rows has no model
    winsor          share of the training returns that is pulled in at each end
    min_weight      rows whose regime probability is lower are left out of the regime's fit
    min_mass        a row is scored where the regimes with a model hold at least this probability
    ridge           penalty of the baseline, as a share of the training weight
    threads         of LightGBM, 0: all; the result does not depend on it. More than one pays on an idle machine only:
                    its threads spin while they wait, so that on shared cores two took 15 times as long as one
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    trees: Annotated[int, Field(ge=1)] = 200
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.03
    leaves: Annotated[int, Field(ge=2)] = 15
    min_rows_leaf: Annotated[int, Field(ge=1)] = 200
    winsor: Annotated[float, Field(ge=0, lt=0.5)] = 0.005
    min_weight: Annotated[float, Field(ge=0, lt=1)] = 0.05
    min_mass: Annotated[float, Field(gt=0, le=1)] = 0.5
    ridge: Annotated[float, Field(gt=0)] = 0.01
    threads: Annotated[int, Field(ge=0)] = 1
    seed: int = 7
