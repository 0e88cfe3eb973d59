"""The kinds of regime model: how one is fitted at a refit, and how a stored one is read."""

from collections.abc import Mapping
from typing import Any, Protocol

from fusion.regime import change_point, hmm, switching, thresholds
from fusion.regime.config import RegimeConfig
from fusion.regime.model import Floats, RegimeModel
from fusion.walk_forward import Refit
from gpu_kernels.errors import ModelError


class Fit(Protocol):
    """x (T, D): all observations before the refit, with their missing values, in input units. `previous`: the model
    of the last refit that has one, whose states' numbers the new model's states keep."""

    def __call__(
        self, x: Floats, refit: Refit, inputs: tuple[str, ...], config: RegimeConfig, previous: RegimeModel | None
    ) -> RegimeModel: ...


# a new kind: its name in RegimeConfig.model, its fit and its class here
FITS: Mapping[str, Fit] = {
    "hmm": hmm.fit,
    "switching": switching.fit,
    "thresholds": thresholds.fit,
    "change_point": change_point.fit,
}
MODELS: Mapping[str, type[RegimeModel]] = {
    kind.kind: kind
    for kind in (
        hmm.HiddenMarkovModel,
        switching.SwitchingModel,
        thresholds.ThresholdModel,
        change_point.ChangePointModel,
    )
}


def read_model(stored: dict[str, Any]) -> RegimeModel:
    """A model of any kind as its `to_dict` gave it. Raises ModelError on anything else."""
    kind = str(stored.get("kind")) if isinstance(stored, dict) else "none"
    if kind not in MODELS:
        raise ModelError(
            f"stored regime model cannot be read: its kind is {kind}",
            allowed=", ".join(MODELS),
            hint="run `trifuse run` again",
        )
    return MODELS[kind].from_dict(stored)
