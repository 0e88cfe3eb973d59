"""Features of lists of sites: how many a ticker has, how many opened and closed, counted by what was known.

Of several lists of one ticker, as of its two brands, the counts add up. All of it is made of events, a few a site.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.asof import nanoseconds
from gpu_kernels.durations import parse_duration
from gpu_kernels.spec import FeatureSpec
from sources.sites.counts import stays, vintages

Array = NDArray[np.float64]
Clock = NDArray[np.int64]
_FOREVER = 2**63 - 1
_DAYS = re.compile(r"(site_openings|site_closings|site_net_growth)_(\d+d)")
TIMES = ("90d", "365d")
"""Of the windowed features that `all` stands for; a config may name others, e.g. site_openings_30d."""
CLOSINGS = ("site_closings", "site_net_growth")
"""Features that need a list which tells closings."""
_NO_WINDOW = "no row of the ticker was known <time> ago: what happened before is told of survivors only"


def _spec(name: str, unit: str, meaning: str, missing: str) -> FeatureSpec:
    return FeatureSpec(name, "site", unit, "each fact about a site", meaning, missing, "definition")


FEATURES: tuple[FeatureSpec, ...] = (
    _spec("site_count", "sites", "sites known and valid", "no site of the ticker is known yet"),
    _spec(
        "site_openings_<time>",
        "sites",
        "sites whose stay began within the last <time>, as known now; one that comes with its brand counts",
        _NO_WINDOW,
    ),
    _spec(
        "site_closings_<time>",
        "sites",
        "sites whose stay ended within the last <time>, as known now; one that goes with its brand counts",
        f"{_NO_WINDOW}; or a list of the ticker cannot tell closings",
    ),
    _spec(
        "site_net_growth_<time>",
        "1",
        "(openings - closings) of the last <time> over the sites there were before: count - openings + closings",
        f"{_NO_WINDOW}; a list of the ticker cannot tell closings; or there were no sites before",
    ),
)


@dataclass(frozen=True)
class SiteList:
    """Rows of one source of table site, and whether it can tell closings."""

    rows: pl.DataFrame
    knows_closings: bool


def defaults(knows_closings: bool) -> list[str]:
    """The names that `all` stands for."""
    stems = ["site_openings", *(CLOSINGS if knows_closings else ())]
    return ["site_count", *(f"{stem}_{time}" for stem in stems for time in TIMES)]


def window_of(name: str) -> tuple[str, int] | None:
    """(stem, nanoseconds) of a windowed feature's name; None where it is none."""
    found = _DAYS.fullmatch(name)
    try:
        length = 0 if found is None else parse_duration(found[2])
    except ValueError:
        return None  # longer than any
    return (found[1], length) if found is not None and length > 0 else None


def compute(lists: Sequence[SiteList], grid: pl.DataFrame, wanted: Sequence[str]) -> dict[str, Array]:
    """The wanted columns at each decision of a grid sorted by (entity, decision_time). Missing values: as specified."""
    columns = {name: np.full(grid.height, np.nan) for name in wanted}
    decisions = nanoseconds(grid["decision_time"])
    for entity in grid["entity"].unique(maintain_order=True):
        own = (grid["entity"] == entity).to_numpy()
        counts = [_Counts.of(part, entity, decisions[own]) for part in lists]
        for name in wanted:
            columns[name][own] = _values(name, counts)
    return columns


def _values(name: str, counts: "Sequence[_Counts]") -> Array:
    if name == "site_count":
        return _sum([one.sites for one in counts])
    found = window_of(name)
    assert found is not None  # names were checked against the specs
    stem, length = found
    openings = _sum([one.openings(length) for one in counts])
    if stem == "site_openings":
        return openings
    closings = _sum([one.closings(length) for one in counts])
    # a list that is known and cannot tell closings leaves the sum unknown
    blind = np.any([~np.isnan(one.sites) & (not one.knows_closings) for one in counts], axis=0)
    closings[blind] = np.nan
    if stem == "site_closings":
        return closings
    before = _sum([one.sites for one in counts]) - openings + closings
    growth: Array = np.divide(openings - closings, before, out=np.full(len(before), np.nan), where=before > 0)
    return growth


def _sum(parts: Sequence[Array]) -> Array:
    """Of lists that are known; missing where none is."""
    stacked = np.stack(parts)
    total: Array = np.where(np.isnan(stacked).all(axis=0), np.nan, np.nansum(stacked, axis=0))
    return total


@dataclass(frozen=True)
class _Counts:
    """The counts of one list and ticker at decisions.

    event, ended, known, until  int64 ns, one for each vintage of a fact that was not withdrawn
    first   when the first row of the ticker was known; sites  number at each decision, NaN before that
    """

    at: Clock
    event: Clock
    ended: Clock
    known: Clock
    until: Clock
    first: int
    sites: Array
    knows_closings: bool

    @classmethod
    def of(cls, part: SiteList, entity: str, at: Clock) -> "_Counts":
        rows = part.rows.filter(pl.col("entity") == entity)
        found = stays(rows)
        first = _FOREVER if rows.is_empty() else int(nanoseconds(rows["known_time"]).min())
        sites = _number(_clock(found["start"]), _clock(found["end"]), at)
        facts = vintages(rows).filter(pl.col("valid_to").is_null() | (pl.col("valid_to") > pl.col("event_time")))
        event, ended, known, until = (_clock(facts[name]) for name in ("event_time", "valid_to", "known_time", "until"))
        counted = np.where(at >= first, sites, np.nan)
        return cls(at, event, ended, known, until, first, counted, part.knows_closings)

    def openings(self, length: int) -> Array:
        """Facts that began in (t - length, t], as known at t."""
        return self._within(self.event, length)

    def closings(self, length: int) -> Array:
        """Facts that ended in (t - length, t], as known at t."""
        return self._within(self.ended, length)

    def _within(self, when: Clock, length: int) -> Array:
        happened = when < _FOREVER
        begin = np.maximum(self.known, when)[happened]
        end = np.minimum(self.until[happened], when[happened] + length)
        held = begin < end
        return np.where(self.at - length >= self.first, _number(begin[held], end[held], self.at), np.nan)


def _clock(column: pl.Series) -> Clock:
    """int64 nanoseconds; null is never."""
    return column.dt.epoch("ns").fill_null(_FOREVER).to_numpy()


def _number(begin: Clock, end: Clock, at: Clock) -> Array:
    """How many of the periods [begin, end) hold each time."""
    started = np.searchsorted(np.sort(begin), at, side="right")
    over = np.searchsorted(np.sort(end), at, side="right")
    return (started - over).astype(np.float64)
