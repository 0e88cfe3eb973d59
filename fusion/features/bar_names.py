"""Features of bars by name: what a name with parameters stands for, and the groups that a config may name.

A parameter stands in its place in the name: bar_rsi_<bars> is bar_rsi_14, bar_rsi_21 or any other.
"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gpu_kernels.durations import format_duration, parse_duration
from gpu_kernels.errors import ConfigError
from gpu_kernels.spec import FeatureSpec

ACROSS = "_across"
_PLACE = re.compile(r"<([a-z]+)>")
# of a name as it is typed: what is no word of it
_NUMBERS = re.compile(r"_acr[a-z]*$|_?\d+(?:ms|s|min|h)?(?=_|$)|_?<[a-z]+>")
# a window of more bars than a year of minutes is a slip of the pen
_MOST = 1_000_000


@dataclass(frozen=True)
class BarFeature:
    """A feature of bars, or a family of them.

    spec      its name holds each parameter as <word>: <time> is a duration, any other a whole number above 0
    formula   (fusion.features.bar_rows.BarRows, the parameters; `across` where it may be) -> one value a decision
    standard  the parameters of those that its group stands for
    across    whether the name may end in `_across`: windows that go on from session to session
    needs     the option of `volatility:` without which it cannot be made
    check     what is wrong with the parameters, or nothing
    own       the feature (of the same parameters) whose mean over all entities at the decision it is made with
    """

    spec: FeatureSpec
    formula: Callable[..., Any]
    standard: tuple[tuple[int, ...], ...] = ((),)
    across: bool = False
    needs: str | None = None
    check: Callable[..., str] | None = None
    own: str | None = None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts = _PLACE.split(self.spec.name)
        text = "".join(_group(part, place // 2) if place % 2 else re.escape(part) for place, part in enumerate(parts))
        return re.compile(text + (f"(?P<across>{ACROSS})?" if self.across else ""))

    @property
    def names(self) -> list[str]:
        """The names of its standard parameters."""
        return [self.name(parameters) for parameters in self.standard]

    def name(self, parameters: Sequence[int]) -> str:
        """The name with parameters (durations in nanoseconds)."""
        return _filled(self.spec.name, parameters)

    def parsed(self, name: str) -> "Asked | None":
        """The parameters that a name has, if it is one of this feature's.

        Raises ConfigError where a parameter cannot be."""
        found = self._pattern.fullmatch(name)
        if found is None:
            return None
        words = _PLACE.findall(self.spec.name)
        texts = [found[f"p{place}"] for place in range(len(words))]
        try:
            values = tuple(
                parse_duration(text) if word == "time" else int(text) for word, text in zip(words, texts, strict=True)
            )
        except ValueError:
            values = (0,)
        wrong = [text for word, text, value in zip(words, texts, values, strict=False) if not _can_be(word, value)]
        if wrong:
            raise ConfigError(f"{name!r} has the parameter {wrong[0]}", allowed=f"1 to {_MOST} bars, a time above 0")
        if self.check is not None and (said := self.check(*values)):
            raise ConfigError(f"{name!r}: {said}")
        return Asked(self, name, values, across=bool(self.across and found["across"]))


def _filled(name: str, parameters: Sequence[int]) -> str:
    left = iter(parameters)

    def put(place: re.Match[str]) -> str:
        value = next(left)
        return format_duration(value) if place[1] == "time" else str(value)

    return _PLACE.sub(put, name)


def _group(word: str, place: int) -> str:
    return rf"(?P<p{place}>\d+{'(?:ms|s|min|h)' if word == 'time' else ''})"


def _can_be(word: str, value: int) -> bool:
    return value > 0 and (word == "time" or value <= _MOST)


@dataclass(frozen=True)
class Asked:
    """A feature that a config names."""

    feature: BarFeature
    name: str
    parameters: tuple[int, ...]
    across: bool = False

    @property
    def time(self) -> int | None:
        """The <time> of its name, in nanoseconds."""
        words = _PLACE.findall(self.feature.spec.name)
        return self.parameters[words.index("time")] if "time" in words else None

    @property
    def own(self) -> str | None:
        """The name of the feature whose mean over all entities it needs."""
        return None if self.feature.own is None else _filled(self.feature.own, self.parameters)


def find(groups: Mapping[str, Sequence[BarFeature]], name: str) -> Asked | None:
    """The feature of a name. Raises ConfigError where its parameters cannot be."""
    for features in groups.values():
        for feature in features:
            if (asked := feature.parsed(name)) is not None:
                return asked
    return None


def near(groups: Mapping[str, Sequence[BarFeature]], name: str) -> list[str]:
    """The names of groups and features that a name which is none's may be meant for, the nearest first: a feature's
    first standard name, or that of its spec."""
    names = {group: group for group in groups}
    for features in groups.values():
        for feature in features:
            names.setdefault(_words(feature.spec.name), (feature.names or [feature.spec.name])[0])
    words = _words(name)
    if not words:
        return []
    close = difflib.get_close_matches(words, names, n=3, cutoff=0.6)
    begun = [word for word in names if word.startswith(f"{words}_")]
    return [names[word] for word in list(dict.fromkeys([*close[:1], *begun, *close]))[:3]]


def _words(name: str) -> str:
    return _NUMBERS.sub("", name.lower()).removeprefix("bar_").strip("_")
