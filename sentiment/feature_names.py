"""News features by name: `news_<feature>_<time>[_<time>]`, each <time> any duration, and the groups a config may name.

`news_market_<feature>...` is the same feature of everybody's items in one stream.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from gpu_kernels.durations import parse_duration
from gpu_kernels.errors import ConfigError
from gpu_kernels.spec import FeatureSpec

OWN, MARKET = "news_", "news_market_"
"""Prefixes of the features of an entity's own items, and of everybody's."""
_PLACE = "<time>"
_DURATION = r"(\d+(?:ms|s|min|h|d))"
_NUMBERS = re.compile(r"_\d+[a-z]*")


@dataclass(frozen=True)
class NewsFeature:
    """A feature of items, or a family of them.

    spec       its name holds each duration as <time>
    formula    (sentiment.decision_view.View, the durations in ns) -> one value a decision
    standard   the durations of those that its group stands for
    weighting  where it is made of decayed moments: by which weights (`Stream.weighted`)
    needs      `sessions`, `shared` (an entity whose items serve all) or `probabilities` (columns of the items)
    check      what is wrong with the durations, or nothing
    reads_novelty   whether the novelty of items moves it, as it does whatever repeats weigh less in
    """

    spec: FeatureSpec
    formula: Callable[..., "object"]
    standard: tuple[tuple[str, ...], ...] = ((),)
    weighting: str | None = None
    needs: str | None = None
    check: Callable[..., str] | None = None
    reads_novelty: bool = True

    @property
    def times(self) -> int:
        """How many durations its name has."""
        return self.spec.name.count(_PLACE)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        stem = re.escape(self.spec.name.removeprefix(OWN)).replace(_PLACE, _DURATION)
        return re.compile(f"{OWN}(market_)?{stem}")

    def names(self, prefix: str = OWN) -> list[str]:
        """The names of its standard durations; none where it has none."""
        own = self.spec.name.removeprefix(OWN)
        found = []
        for times in self.standard:
            if len(times) == self.times:
                left = iter(times)
                found.append(prefix + re.sub(_PLACE, lambda _, left=left: next(left), own))  # type: ignore[misc]
        return found

    def written(self, name: str) -> tuple[str, ...]:
        """The durations of one of its names, as they are written there."""
        found = self._pattern.fullmatch(name)
        return () if found is None else found.groups()[1:]

    def parsed(self, name: str) -> "Asked | None":
        """What a name asks for, if it is one of this feature's. Raises ConfigError where a duration cannot be."""
        found = self._pattern.fullmatch(name)
        if found is None or (found[1] and self.needs == "shared"):
            return None
        try:
            times = tuple(parse_duration(text) for text in found.groups()[1:])
        except ValueError as error:
            raise ConfigError(f"{name!r}: {error}") from None
        if 0 in times:
            raise ConfigError(f"{name!r} has a time of 0", allowed="times above 0")
        if self.check is not None and (said := self.check(*times)):
            raise ConfigError(f"{name!r}: {said}")
        return Asked(self, name, times, market=bool(found[1]))


@dataclass(frozen=True)
class Asked:
    """A feature that a config names; its times in nanoseconds."""

    feature: NewsFeature
    name: str
    times: tuple[int, ...]
    market: bool


@dataclass(frozen=True)
class Groups:
    """What the name of a group in a config's list of features stands for: features with their standard times.

    own      group -> features of an entity's items
    market   the standard names of the group `market`
    """

    own: Mapping[str, Sequence[NewsFeature]]
    market: Sequence[str]

    @cached_property
    def features(self) -> list[NewsFeature]:
        return [feature for features in self.own.values() for feature in features]

    @property
    def names(self) -> list[str]:
        return [*self.own, "market"]

    def names_of(self, group: str) -> list[str]:
        """The features that a group stands for."""
        if group == "market":
            return list(self.market)
        return [name for feature in self.own[group] for name in feature.names()]

    def specs_of(self, group: str) -> list[FeatureSpec]:
        """The specs of a group, each with <time> for its durations; of `market`: those of its standard names."""
        if group == "market":
            return [self.asked_spec(name) for name in self.market]
        return [feature.spec for feature in self.own[group]]

    def specs(self) -> list[FeatureSpec]:
        """The specs of all features, the entity's and then the market's."""
        whole = [feature.spec for feature in self.features]
        return whole + [market_spec(feature.spec) for feature in self.features if feature.needs != "shared"]

    def asked(self, name: str) -> Asked:
        """The feature of a name. Raises ConfigError on a name that is none's, or whose times cannot be."""
        for feature in self.features:
            if (found := feature.parsed(name)) is not None:
                return found
        meant = self.near(name)
        raise ConfigError(
            f"no feature {name!r}" + (f"; did you mean {' or '.join(meant)}?" if meant else ""),
            hint="`trifuse schema news` tells them",
        )

    def asked_spec(self, name: str) -> FeatureSpec:
        """The spec of a name, of an entity's items or the market's."""
        found = self.asked(name)
        spec = market_spec(found.feature.spec) if found.market else found.feature.spec
        times = found.feature.written(name)
        return replace(spec, name=name, meaning=_filled(spec.meaning, times), missing=_filled(spec.missing, times))

    def near(self, name: str) -> list[str]:
        """Names of groups and features that a name which is none's may be meant for, the nearest first."""
        known: dict[str, str] = {}
        for feature in self.features:
            for prefix in (OWN,) if feature.needs == "shared" else (OWN, MARKET):
                told = (feature.names(prefix) or [feature.spec.name.replace(OWN, prefix, 1)])[0]
                known.setdefault(_words(told), told)
        for group in self.names:
            known.setdefault(group, group)
        close = difflib.get_close_matches(_words(name), known, n=3, cutoff=0.6)
        return [known[word] for word in close]


def _words(name: str) -> str:
    return _NUMBERS.sub("", name.lower()).replace("_<time>", "").removeprefix(OWN)


def _filled(text: str, times: Sequence[str]) -> str:
    """A sentence about <time>, about the first and the second <time> where there are two, with these durations."""
    for ordinal, time in zip(("first", "second"), times, strict=False):
        text = re.sub(rf"(the )?{ordinal} {_PLACE}", time, text)
    return text.replace(_PLACE, times[0]) if times else text


def market_spec(spec: FeatureSpec) -> FeatureSpec:
    """The same feature of everybody's items."""
    return replace(
        spec,
        name=spec.name.replace(OWN, MARKET, 1),
        meaning=f"{spec.meaning}; of all entities' items in one stream, an item of several once",
    )


def market_names(names: Iterable[str]) -> list[str]:
    """The market's features of the same names."""
    return [name.replace(OWN, MARKET, 1) for name in names]
