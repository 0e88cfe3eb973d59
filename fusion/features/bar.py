"""Features of bars: the groups that a config may name, and the one function that makes the columns."""

from collections.abc import Mapping, Sequence

import polars as pl

from fusion.features import (
    bar_diurnal,
    bar_forecast,
    bar_market,
    bar_oscillators,
    bar_price,
    bar_realised,
    bar_sessions,
    bar_technical,
)
from fusion.features.bar_names import ACROSS, Asked, BarFeature, find
from fusion.features.bar_rows import Array, BarRows, BarSettings
from fusion.volatility.settings import VolatilityConfig
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
}
"""What the name of a group in a config's list of features stands for: its features with their standard parameters."""

FEATURES: tuple[FeatureSpec, ...] = (
    *(feature.spec for features in GROUPS.values() for feature in features),
    FeatureSpec(
        f"bar_<feature>{ACROSS}",
        "bar",
        "as without",
        "each bar",
        f"the feature whose windows go on from one session to the next, of those that allow it: "
        f"{', '.join(f.spec.name.removeprefix('bar_') for fs in GROUPS.values() for f in fs if f.across)}; "
        "a future's roll is then a return",
        "as without, of the entity's bars instead of the session's",
        "definition",
    ),
)
_SETTINGS = BarSettings()


VOLATILITY = "volatility"
"""The name of a group that stands for all groups but those of price and of technical indicators."""


def features_of(group: str) -> list[BarFeature]:
    """The features of a group."""
    groups = _VOLATILITY.values() if group == VOLATILITY else [GROUPS[group]]
    return [feature for features in groups for feature in features]


def names_of(group: str, options: VolatilityConfig) -> list[str]:
    """The features that the name of a group stands for; those whose option of `volatility:` is missing are not."""
    return [name for feature in features_of(group) if not lacks(feature, options) for name in feature.names]


def lacks(feature: BarFeature, options: VolatilityConfig) -> bool:
    return feature.needs is not None and getattr(options, feature.needs) is None


def asked(name: str) -> Asked:
    """The feature of a name. Raises ConfigError on a name that is none's, or whose parameters cannot be."""
    if (found := find(GROUPS, name)) is None:
        every = ", ".join(spec.name for spec in FEATURES)
        raise ConfigError(
            f"{name!r} is no feature of bars", allowed=f"the groups {', '.join([*GROUPS, VOLATILITY])}; or {every}"
        )
    return found


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
