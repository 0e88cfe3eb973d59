"""Regimes by explicit rules on the inputs, of which the first that holds is the state.

A rule with `until` has two levels: entered at one, left at another, so that a value that hovers at one of them does not
make the state flicker. Levels given as quantiles are those of the input's past at the refit. Probabilities are 0 and 1.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fusion.regime.config import RegimeConfig
from fusion.regime.model import Floats, RegimeModel, common_fields, complete_rows
from fusion.regime.occupancy import Occupancy, nothing, occupancy
from fusion.regime.rules import Condition, Rule, check_inputs, parse_condition
from fusion.walk_forward import Refit
from gpu_kernels.errors import ConfigError

LEAST_FOR_QUANTILES = 20

Settled = tuple[tuple[str, Condition], ...]


@dataclass(frozen=True, kw_only=True)
class ThresholdModel(RegimeModel):
    """names (K,) of the rules; when, until: per rule its (input, condition) with quantiles settled.

    Missing values: a row that lacks an input of a rule, any of them, leaves the state as it was; before the first row
    that has them all the state is the last rule's.
    """

    kind: ClassVar[str] = "thresholds"

    names: tuple[str, ...]
    when: tuple[Settled, ...]
    until: tuple[Settled, ...]
    past: Occupancy

    @property
    def states(self) -> int:
        return len(self.names)

    def filter(self, x: Floats) -> Floats:
        enter = np.stack([self._hold(part, x) for part in self.when], axis=1)
        leave = np.stack([self._hold(part, x) for part in self.until], axis=1)
        read = sorted({self.inputs.index(name) for part in (*self.when, *self.until) for name, _ in part})
        known = complete_rows(x[:, read])
        first = np.argmax(enter, axis=1)  # the last rule always holds
        states, state = np.zeros((len(x), self.states)), self.states - 1
        for row in range(len(x)):
            if known[row]:
                stays = bool(self.until[state]) and not leave[row, state]
                state = min(state, int(first[row])) if stays else int(first[row])
            states[row, state] = 1.0
        return states

    def _hold(self, conditions: Settled, x: Floats) -> NDArray[np.bool_]:
        hold = np.ones(len(x), dtype=bool)
        for name, condition in conditions:
            hold &= condition.holds(x[:, self.inputs.index(name)])
        return hold

    def describe_states(self) -> list[dict[str, Any]]:
        """name, rule in words, and what the inputs were in the refit's past."""
        return [
            {"name": name, "rule": _words(self.when[k], self.until[k]), **found}
            for k, (name, found) in enumerate(zip(self.names, self.past.describe(self.inputs), strict=True))
        ]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        parts = {
            part: [[[name, str(condition)] for name, condition in rule] for rule in getattr(self, part)]
            for part in ("when", "until")
        }
        return super().to_dict() | parts | {"past": self.past.to_dict()}

    @classmethod
    def _parameters(cls, stored: dict[str, Any]) -> dict[str, Any]:
        parts: dict[str, tuple[Settled, ...]] = {
            part: tuple(tuple((str(name), parse_condition(text)) for name, text in rule) for rule in stored[part])
            for part in ("when", "until")
        }
        names, inputs = tuple(stored["names"]), stored["inputs"]
        if {len(parts["when"]), len(parts["until"])} != {len(names)} or (names and parts["when"][-1]):
            raise ValueError("rules and names differ in number, or the last rule has conditions")
        if not {name for rule in (*parts["when"], *parts["until"]) for name, _ in rule} <= set(inputs):
            raise ValueError("a rule reads what is no input")
        past = Occupancy.from_dict(stored["past"], len(names), len(inputs))
        return {"names": names, "past": past, **parts}


def fit(
    x: Floats, refit: Refit, inputs: tuple[str, ...], config: RegimeConfig, previous: RegimeModel | None
) -> ThresholdModel:
    """The rules with their quantiles settled on the past. Raises ConfigError where a rule reads what is no input."""
    try:
        check_inputs(config.rules, inputs)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    common = common_fields(x, refit, inputs)
    asked = {
        name
        for rule in config.rules
        for part in ("when", "until")
        for name, condition in rule.conditions(part)  # type: ignore[arg-type]
        if condition.quantile
    }
    seen = {name: x[np.isfinite(x[:, inputs.index(name)]), inputs.index(name)] for name in sorted({*asked})}
    few = [name for name, values in seen.items() if len(values) < LEAST_FOR_QUANTILES]
    if few:
        problem = (
            f"{len(seen[few[0]])} values of {few[0]} before {refit.session}; {LEAST_FOR_QUANTILES} are needed for its "
            "quantiles"
        )
        return ThresholdModel(**common, problem=problem, names=(), when=(), until=(), past=nothing(len(inputs)))

    def settled(rule: Rule, part: Any) -> Settled:
        return tuple((name, condition.settled(seen.get(name, x[:0, 0]))) for name, condition in rule.conditions(part))

    parts: dict[str, Any] = {part: tuple(settled(rule, part) for rule in config.rules) for part in ("when", "until")}
    names = tuple(rule.name for rule in config.rules)
    model = ThresholdModel(**common, names=names, **parts, past=nothing(len(inputs)))
    past = occupancy(x, model.filter(x))
    return ThresholdModel(**common, names=names, **parts, past=past)


def _words(when: Settled, until: Settled) -> str:
    if not when:
        return "otherwise"
    left = f", until {_all(until)}" if until else ""
    return _all(when) + left


def _all(conditions: Settled) -> str:
    return " and ".join(f"{name} {condition.sign} {condition.level:.6g}" for name, condition in conditions)
