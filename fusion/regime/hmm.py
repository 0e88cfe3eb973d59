"""A Gaussian hidden Markov model of the regime, refitted walk-forward by EM (`em.py`).

    z_t | z_{t-1} ~ transition[z_{t-1}, .]      x_t | z_t = k ~ Normal(mean_k, covariance_k)

The number of states is the config's; of a range it is chosen (`state_count.py`) at the first refit that can be fitted
and stays, unless `rechoose_refits` says how many refits later it is chosen again. States keep their numbers by matching
(`identity.py`); where their number changes they are numbered anew, and the model says so.

Source: Hamilton (1989).
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from fusion.regime import em, identity, state_count
from fusion.regime.config import RegimeConfig
from fusion.regime.model import Floats, RegimeModel, common_fields, input_problem
from fusion.walk_forward import Refit


@dataclass(frozen=True, kw_only=True)
class HiddenMarkovModel(RegimeModel):
    """start (K,), transition (K, K), mean (K, D), covariance (K, D, D), in input units; empty where there is a problem.

    Where the states are not `matched`, state 0 has the lowest mean of the first input, and so on.

    held_out     of each number of states that was compared, {K: mean log predictive density an observation}
    choice_age   refits since that comparison
    """

    kind: ClassVar[str] = "hmm"

    start: Floats
    transition: Floats
    mean: Floats
    covariance: Floats
    log_likelihood: float = float("nan")
    iterations: int = 0
    held_out: dict[int, float] = field(default_factory=dict)
    choice_age: int = 0

    @property
    def parameters(self) -> em.Parameters:
        return em.Parameters(self.start, self.transition, self.mean, self.covariance)

    @property
    def states(self) -> int:
        return len(self.start)

    def filter(self, x: Floats) -> Floats:
        return em.filtered(x, self.parameters)[0]

    def describe_states(self) -> list[dict[str, Any]]:
        """expected_observations = 1 / (1 - transition[k, k]); held_out where the number of states was chosen."""
        deviation = np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))
        return [
            {
                "mean": dict(zip(self.inputs, self.mean[k].tolist(), strict=True)),
                "standard_deviation": dict(zip(self.inputs, deviation[k].tolist(), strict=True)),
                "expected_observations": 1.0 / max(1.0 - float(self.transition[k, k]), 1e-12),
            }
            | ({"held_out": {str(states): value for states, value in self.held_out.items()}} if self.held_out else {})
            for k in range(self.states)
        ]

    @classmethod
    def _parameters(cls, stored: dict[str, Any]) -> dict[str, Any]:
        names = ("start", "transition", "mean", "covariance")
        arrays = {name: np.asarray(stored[name], dtype=np.float64) for name in names}
        k, d = len(arrays["start"]), len(stored["inputs"])
        shapes = {"start": (k,), "transition": (k, k), "mean": (k, d), "covariance": (k, d, d)}
        if k and any(arrays[name].shape != shape for name, shape in shapes.items()):
            raise ValueError("arrays of different sizes")
        likelihood = stored["log_likelihood"]
        return arrays | {
            "log_likelihood": float("nan") if likelihood is None else float(likelihood),
            "iterations": int(stored["iterations"]),
            "held_out": {int(states): float(value) for states, value in stored["held_out"].items()},
            "choice_age": int(stored["choice_age"]),
        }


def fit(
    x: Floats, refit: Refit, inputs: tuple[str, ...], config: RegimeConfig, previous: RegimeModel | None
) -> HiddenMarkovModel:
    """The model of a refit: its number of states, EM's parameters, the states' numbers."""
    before = previous if isinstance(previous, HiddenMarkovModel) else None
    least, most = config.state_range
    problem = input_problem(x, inputs, least, refit.session)
    common = common_fields(x, refit, inputs)
    if problem is not None:
        d = len(inputs)
        empty = em.Parameters(np.zeros(0), np.zeros((0, 0)), np.zeros((0, d)), np.zeros((0, d, d)))
        return HiddenMarkovModel(**common, **_fields(empty), problem=problem)
    if least == most:
        count, age = state_count.StateCount(least, {}), 0
    elif before is not None and not _chosen_again(before, config):
        count, age = state_count.StateCount(before.states, before.held_out), before.choice_age + 1
    else:
        count, age = state_count.choose(x, config), 0
    same = before.parameters if before is not None and before.states == count.states else None
    found = em.fit(x, count.states, config, same)
    if same is None:
        order = identity.order_by_first_input(found.parameters)
    else:
        order = identity.order_by_match(found.parameters, same)
    return HiddenMarkovModel(
        **common,
        **_fields(found.parameters.ordered(order)),
        log_likelihood=found.log_likelihood,
        iterations=found.iterations,
        matched=same is not None,
        held_out=count.held_out,
        choice_age=age,
    )


def _chosen_again(before: HiddenMarkovModel, config: RegimeConfig) -> bool:
    return config.rechoose_refits is not None and before.choice_age + 1 >= config.rechoose_refits


def _fields(parameters: em.Parameters) -> dict[str, Any]:
    return parameters._asdict()
