"""Features of sites and regions by name: site_yoy_<metric>, site_acceleration_<metric>_<time>, region_<metric>."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gpu_kernels.durations import parse_duration
from gpu_kernels.errors import ConfigError
from gpu_kernels.spec import FeatureSpec

_TIME = r"\d+(?:ms|s|min|h|d)"
_DEFINITION = "definition"


@dataclass(frozen=True)
class PlaceFeature:
    """A feature of a metric that is observed by site or by region.

    what     the word of its name by which formulas find it
    standard the <time> of those that its group stands for; None of one whose name has none
    """

    what: str
    spec: FeatureSpec
    standard: str | None = None

    def name(self, metric: str) -> str:
        return self.spec.name.replace("<metric>", metric).replace("<time>", self.standard or "")

    def parsed(self, name: str) -> "AskedOf | None":
        stem = re.escape(self.spec.name).replace("<metric>", r"(?P<metric>\w+)")
        found = re.fullmatch(stem.replace("<time>", f"(?P<time>{_TIME})"), name)
        if found is None:
            return None
        time = 0 if self.standard is None else parse_duration(found["time"])
        if self.standard is not None and time == 0:
            raise ConfigError(f"{name!r} has a time of 0", allowed="times above 0")
        return AskedOf(self.what, name, found["metric"], time)


@dataclass(frozen=True)
class AskedOf:
    """A feature that a config names: its metric, and its <time> in nanoseconds (0: none)."""

    what: str
    name: str
    metric: str
    time: int


def _feature(what: str, name: str, unit: str, meaning: str, missing: str, *more: str | None) -> PlaceFeature:
    source, standard = (*more, None, None)[:2]
    family = name.partition("_")[0]
    spec = FeatureSpec(name, family, unit, "each observation", meaning, missing, source or _DEFINITION)
    return PlaceFeature(what, spec, standard)


_SITES = "the ticker has no site as known then"
_NONE = "no site of the ticker has one"
_MEDIAN = "weighted median over sites (gpu_kernels.sites.cross_section)"
_SHRUNK = "shrunk towards 0 by n / (n + shrink), n being the sites used"
_SOURCE = "same-store comparison; DerSimonian & Laird (1986) with a robust spread"

SITE_GROUPS: Mapping[str, Sequence[PlaceFeature]] = {
    "same_store": (
        _feature(
            "yoy",
            "site_yoy_<metric>",
            "the metric's, or 1 (log)",
            "change of the latest observation of a site against its own nearest to `lag` (364 days) before, at a like "
            f"hour and weekday, both as known at the decision; {_MEDIAN} that were open at both times, {_SHRUNK}",
            f"{_NONE} whose latest observation is younger than max_age",
            _SOURCE,
        ),
        _feature(
            "count",
            "site_count_<metric>",
            "sites",
            "how many sites the year's change is the median of, before any shrinking",
            f"{_SITES}; 0 where it has some and none can be compared",
        ),
        _feature(
            "coverage",
            "site_coverage_<metric>",
            "1",
            "that number, as a share of the sites that the ticker has as known at the decision",
            _SITES,
        ),
        _feature(
            "acceleration",
            "site_acceleration_<metric>_<time>",
            "the metric's, or 1 (log)",
            "a site's change over the year less the same as of its observation nearest to <time> before the latest, "
            f"all four as known at the decision; {_MEDIAN} open at all four times, {_SHRUNK}",
            f"{_NONE} whose latest observation is younger than max_age",
            _SOURCE,
            "91d",
        ),
        _feature(
            "level",
            "site_level_<metric>",
            "the metric's",
            f"the latest observation of a site; {_MEDIAN}",
            f"{_NONE} younger than max_age",
            _SOURCE,
        ),
    ),
    "expectation": (
        _feature(
            "surprise",
            "site_surprise_<metric>",
            "standard deviations of a site",
            "latest observation of a site less the median of its earlier ones at a like hour, weekday and season, in "
            f"1.4826 times their median absolute deviation; median over sites, {_SHRUNK}",
            f"{_NONE} younger than max_age with `least` like ones before it that differ among themselves",
            "Hampel (1974) for the scale",
        ),
    ),
    "provenance": (
        _feature(
            "staleness",
            "site_staleness_<metric>",
            "days",
            "median age of the sites' latest observations",
            f"{_NONE} younger than max_age",
        ),
        _feature(
            "revision",
            "site_revision_<metric>",
            "the metric's, or 1 (log)",
            "change of the latest observation's known vintage against its first print; median over sites",
            f"{_NONE} younger than max_age",
        ),
    ),
}
"""Of a source with `sites`: what `<group>_<metric>` stands for; a metric alone stands for all."""

_REGION = "no region of the ticker's sites has a value younger than max_age"
REGION_GROUPS: Mapping[str, Sequence[PlaceFeature]] = {
    "by_stores": (
        _feature(
            "change",
            "region_change_<metric>_<time>",
            "the metric's, or 1 (log)",
            "a region's change against its observation nearest to <time> before the latest, both as known at the "
            "decision, weighted by the sites that the ticker has in each region at the decision as known then",
            "no region of the ticker's sites has both",
            None,
            "28d",
        ),
        _feature(
            "coverage",
            "region_coverage_<metric>",
            "1",
            "share of the ticker's sites in regions with a value younger than max_age",
            _SITES,
        ),
        _feature(
            "staleness",
            "region_staleness_<metric>",
            "days",
            "age of the regions' latest values, weighted as these",
            _REGION,
        ),
        _feature(
            "level",
            "region_<metric>",
            "the metric's",
            "latest value of each region, weighted by the sites that the ticker has there at the decision as known "
            "then; weights over the regions with a value younger than max_age sum to 1",
            _REGION,
        ),
    ),
}
"""The same of a source with `weights`."""

FEATURES: tuple[FeatureSpec, ...] = tuple(
    one.spec for groups in (SITE_GROUPS, REGION_GROUPS) for features in groups.values() for one in features
)


def asked(groups: Mapping[str, Sequence[PlaceFeature]], name: str) -> AskedOf | None:
    """The feature of a name, None where it is none's. Of a metric whose own name begins like a feature of regions
    (change_, coverage_, staleness_) that feature is meant."""
    for features in groups.values():
        for feature in features:
            if (found := feature.parsed(name)) is not None:
                return found
    return None


def names_of(groups: Mapping[str, Sequence[PlaceFeature]], name: str) -> list[str]:
    """What a name in a config's list stands for: itself, or the features of `<group>_<metric>`, or all of a metric.

    Raises ConfigError where it begins like a feature and is none.
    """
    if asked(groups, name) is not None:
        return [name]
    for group, features in groups.items():
        metric = name.removeprefix(f"{group}_")
        if metric not in {name, ""}:
            return [feature.name(metric) for feature in features]
    if name.startswith(("site_", "region_", "metric_")):
        specs = [feature.spec.name for features in groups.values() for feature in features]
        raise ConfigError(f"no feature {name!r}", allowed=", ".join([*specs, "<metric>", *groups]))
    return [feature.name(name) for features in groups.values() for feature in features]
