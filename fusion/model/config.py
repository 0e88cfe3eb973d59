"""Settings of the learners."""

from itertools import product
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fusion.calibration import ProbabilityConfig
from fusion.conformal import IntervalConfig

GRID = ("trees", "learning_rate", "leaves", "min_rows_leaf")
"""The settings that can be tuned."""
_MOST_POINTS = 64


class TuneConfig(BaseModel):
    """The grid, all combinations of what is listed; a setting without a list stays as in the section `model`.

    groups    of sessions that the training window is cut into
    tested    of them in each split: C(groups, tested) fits for each point, regime and refit
    embargo_sessions   after a tested group's last label end
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    trees: tuple[Annotated[int, Field(ge=1)], ...] = ()
    learning_rate: tuple[Annotated[float, Field(gt=0, le=1)], ...] = ()
    leaves: tuple[Annotated[int, Field(ge=2)], ...] = ()
    min_rows_leaf: tuple[Annotated[int, Field(ge=1)], ...] = ()
    groups: Annotated[int, Field(ge=2, le=20)] = 4
    tested: Annotated[int, Field(ge=1)] = 2
    embargo_sessions: Annotated[int, Field(ge=0)] = 1

    @model_validator(mode="after")
    def _consistent(self) -> "TuneConfig":
        if self.tested >= self.groups:
            raise ValueError(f"tested {self.tested} leaves nothing of {self.groups} groups to train on")
        if not 2 <= len(self.points) <= _MOST_POINTS:
            raise ValueError(f"the grid has {len(self.points)} points; allowed: 2 to {_MOST_POINTS}")
        return self

    @property
    def points(self) -> list[dict[str, float]]:
        """The settings of each point, in the order in which ties are resolved."""
        listed = {name: getattr(self, name) for name in GRID if getattr(self, name)}
        return [dict(zip(listed, values, strict=True)) for values in product(*listed.values())]


class ModelConfig(BaseModel):
    """Settings of the learners.

    min_rows_leaf   least training rows of a leaf; a regime with fewer than twice as many rows has no model
    winsor          share of the training returns that is pulled in at each end
    min_weight      rows whose regime probability is lower are left out of the regime's fit
    min_mass        a row is scored where the regimes with a model hold at least this probability
    ridge           penalty of the baseline, as a share of the training weight
    threads         of LightGBM, 0: all; the result does not depend on it. More than one pays on an idle machine only:
                    its threads spin while they wait, so that on shared cores two took 15 times as long as one
    tune            a grid of the trees' settings, of which each regime of each refit takes the best on its own training
                    window (fusion.model.tune); none: as they are written
    interval        of the prediction intervals (fusion.conformal)
    probability     of the calibrated probability that the return is above 0 (fusion.calibration)
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
    tune: TuneConfig | None = None
    interval: IntervalConfig = IntervalConfig()
    probability: ProbabilityConfig = ProbabilityConfig()
