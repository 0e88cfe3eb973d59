"""Rules of a threshold regime as a config writes them: `{name: stress, when: {vix: "> 25"}, until: {vix: "< 20"}}`."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from fusion.regime.model import Floats

_CONDITION = re.compile(r"\s*(>=|<=|>|<)\s*(q?)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")
_ALLOWED = 'e.g. "> 25", "<= -0.5", or a quantile of the past such as "> q0.8"'


@dataclass(frozen=True)
class Condition:
    """A value compared with a number, or with a quantile of the input's past."""

    sign: str
    level: float
    quantile: bool

    def settled(self, past: Floats) -> "Condition":
        """With the quantile's value: of the finite past values of the input, linear between them."""
        if not self.quantile:
            return self
        return Condition(self.sign, float(np.quantile(past[np.isfinite(past)], self.level)), False)

    def holds(self, values: Floats) -> np.ndarray:
        """Where it holds; not where a value is missing."""
        compare = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}[self.sign]
        found: np.ndarray = compare(values, self.level)
        return found

    def __str__(self) -> str:
        return f"{self.sign} {'q' if self.quantile else ''}{self.level!r}"


def parse_condition(text: str) -> Condition:
    """Raises ValueError that says what is allowed."""
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ValueError(f"condition {text[:40]!r} cannot be read; write {_ALLOWED}")
    level, quantile = float(match[3]), match[2] == "q"
    if quantile and not 0.0 <= level <= 1.0:
        raise ValueError(f"condition {text!r} has a quantile outside of 0 to 1; write {_ALLOWED}")
    return Condition(match[1], level, quantile)


def _checked(text: str) -> str:
    parse_condition(text)
    return text


def _several(texts: Any) -> Any:
    return (texts,) if isinstance(texts, str) else texts


Conditions = Annotated[tuple[Annotated[str, AfterValidator(_checked)], ...], BeforeValidator(_several)]
"""One condition or several, as text."""


class Rule(BaseModel):
    """One state of a threshold regime.

    name    of the state
    when    input -> a condition or several, all of which must hold; a row is in the first rule that holds
    until   the same; once the state is entered through `when`, it stays until all of these hold, or until a rule before
            it holds. Empty: it is left as soon as `when` does not hold.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=40)]
    when: dict[str, Conditions] = {}
    until: dict[str, Conditions] = {}

    @model_validator(mode="after")
    def _enterable(self) -> "Rule":
        if self.until and not self.when:
            raise ValueError(f"rule {self.name!r} has `until` without `when`; give it a `when`")
        return self

    @property
    def inputs(self) -> set[str]:
        """Names of the inputs that it reads."""
        return {*self.when, *self.until}

    def conditions(self, part: Literal["when", "until"]) -> list[tuple[str, Condition]]:
        """(input, condition) of one part."""
        found = []
        for name, texts in getattr(self, part).items():
            found += [(name, parse_condition(text)) for text in texts]
        return found


def check_rules(rules: tuple[Rule, ...]) -> None:
    """Raises ValueError unless each row gets a state: two rules or more of different names, the last without `when`."""
    names = [rule.name for rule in rules]
    if len(rules) < 2 or len(set(names)) < len(names):
        raise ValueError(f"rules are {', '.join(names) or 'none'}; give at least two of different names")
    if len(rules) > 8:
        raise ValueError(f"{len(rules)} rules; at most 8")
    bare = [rule.name for rule in rules if not rule.when]
    if bare != names[-1:]:
        raise ValueError(
            f"rules without `when`: {', '.join(bare) or 'none'}; the last rule, and no other, has none: it holds "
            "where no other does"
        )


def check_inputs(rules: tuple[Rule, ...], inputs: tuple[str, ...]) -> None:
    """Raises ValueError where a rule reads what is no input."""
    for rule in rules:
        for name in sorted(rule.inputs - set(inputs)):
            raise ValueError(
                f"rule {rule.name!r} reads {name!r}, which is no input of the regime; allowed: {', '.join(inputs)}; an "
                "input is called as its column, e.g. log_vix_close where its transform is log"
            )
