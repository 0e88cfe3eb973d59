"""Features of bars: the groups that a config may name, and the one function that makes the columns."""

from collections.abc import Mapping, Sequence

import polars as pl

from fusion.features import (
    bar_daily,
    bar_diurnal,
    bar_forecast,
    bar_market,
    bar_oscillators,
    bar_price,
    bar_realised,
    bar_sessions,
    bar_technical,
)
from fusion.features.bar_names import ACROSS, Asked, BarFeature, find, near
from fusion.features.bar_rows import Array, BarRows, BarSettings
from fusion.volatility.settings import VolatilityConfig
from gpu_kernels.durations import format_duration
from gpu_kernels.errors import ConfigError
from gpu_kernels.spec import FeatureSpec

_VOLATILITY: Mapping[str, Sequence[BarFeature]] = {
    "realised": bar_realised.FEATURES,
    "sessions": bar_sessions.FEATURES,
    "diurnal": bar_diurnal.FEATURES,
    "forecast": bar_forecast.FEATURES,
    "market": bar_market.FEATURES,
}
GROUPS: Mapping[str, Sequence[BarFeature]] = {
    "price": bar_price.FEATURES,
    "technical": (*bar_technical.FEATURES, *bar_oscillators.FEATURES),
    **_VOLATILITY,
    "daily": bar_daily.FEATURES,
}
"""What the name of a group in a config's list of features stands for: its features with their standard parameters."""

FEATURES: tuple[FeatureSpec, ...] = (
    *(feature.spec for features in GROUPS.values() for feature in features),
    FeatureSpec(
        f"bar_<feature>{ACROSS}",
        "bar",
        "as without",
        "each bar",
        "the feature whose windows go on from one session to the next: of the groups technical and realised, and of "
        f"{', '.join(f.spec.name for f in GROUPS['price'] if f.across)}; measures of returns have none over the night",
        "as without, of the entity's bars instead of the session's",
        "definition",
    ),
)
_SETTINGS = BarSettings()
# of slots or returns inside a session
_INSIDE = {feature.spec.name for group, made in _VOLATILITY.items() if group != "realised" for feature in made}
_DAILY = {feature.spec.name for feature in bar_daily.FEATURES}


VOLATILITY = "volatility"
"""The name of a group that stands for all groups but those of price and of technical indicators."""


def features_of(group: str) -> list[BarFeature]:
    """The features of a group."""
    groups = _VOLATILITY.values() if group == VOLATILITY else [GROUPS[group]]
    return [feature for features in groups for feature in features]


def groups(*, daily: bool) -> list[str]:
    """The groups that `all` stands for, of daily bars or of those inside sessions."""
    return ["price", "technical", "daily"] if daily else [group for group in GROUPS if group != "daily"]


def names_of(
    group: str, options: VolatilityConfig, entities: int | None = None, *, daily: bool | None = None
) -> list[str]:
    """The features that the name of a group stands for, less those that `lacked` tells of so many entities."""
    return [name for name in _standard(group) if not lacked(asked(name), options, entities, daily=daily)]


def left_out(
    group: str, options: VolatilityConfig, entities: int | None, *, daily: bool | None = None
) -> dict[str, str]:
    """The others, each with what it lacks."""
    every = {name: lacked(asked(name), options, entities, daily=daily) for name in _standard(group)}
    return {name: lack for name, lack in every.items() if lack}


def _standard(group: str) -> list[str]:
    return [name for feature in features_of(group) for name in feature.names]


def lacked(found: Asked, options: VolatilityConfig, entities: int | None = None, *, daily: bool | None = None) -> str:
    """What a feature lacks in a config, or nothing: bars of its sort, an option, slots that its <time> is whole ones
    of, or, where there is one entity, a second to be compared with. `daily`: the sort of the bars, if known."""
    if daily is True and found.feature.spec.name in _INSIDE:
        return "bars inside the session"
    if daily is False and found.feature.spec.name in _DAILY:
        return "daily bars (kind: daily_file)"
    if found.feature.needs is not None and getattr(options, found.feature.needs) is None:
        return f"volatility.{found.feature.needs}"
    if found.time is not None and found.time % options.interval:
        return f"a volatility.interval that divides {format_duration(found.time)}"
    return "a second entity" if found.own is not None and entities == 1 else ""


def asked(name: str) -> Asked:
    """The feature of a name. Raises ConfigError on a name that is none's, or whose parameters cannot be."""
    if (found := find(GROUPS, name)) is not None:
        return found
    if name.endswith(ACROSS) and find(GROUPS, own := name.removesuffix(ACROSS)) is not None:
        raise ConfigError(f"no feature {name!r}: {own} does not go on across sessions")
    meant = near({**GROUPS, VOLATILITY: ()}, name)
    raise ConfigError(f"no feature {name!r}" + (f"; did you mean {' or '.join(meant)}?" if meant else ""))


def owns(wanted: Sequence[str]) -> list[str]:
    """The features whose sums over all entities the wanted ones need."""
    return list(dict.fromkeys(own for name in wanted if (own := asked(name).own) is not None))


def compute(
    bars: pl.DataFrame, grid: pl.DataFrame, wanted: list[str], max_age_ns: int, settings: BarSettings = _SETTINGS
) -> dict[str, Array]:
    """The wanted columns at each decision, and `bar_age` in minutes.

    `bars` is a stream in order (sources.stream.in_order), sorted by (entity, event_time).
    Missing values: as each spec says.
    """
    rows = BarRows.of(bars, grid, max_age_ns, settings)
    columns = {}
    for name in wanted:
        found = asked(name)
        more = {"across": found.across} if found.feature.across else {}
        columns[name] = found.feature.formula(rows, *found.parameters, **more)
    return columns | {"bar_age": rows.aligned.age}
