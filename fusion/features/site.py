"""Features of a metric that is observed site by site: each site against its own past, and a ticker's sites together.

Which sites a ticker has is told by the site table as known at the decision (fusion.features.site_members). Rows filed
under nobody are of whoever has the site then; rows filed under a ticker are of that one alone.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from fusion.asof import MINUTE, nanoseconds
from fusion.features.observed import Array, Clock, Observed
from fusion.features.site_members import tenures
from fusion.features.site_names import SITE_GROUPS, AskedOf, asked
from gpu_kernels.durations import DAY
from gpu_kernels.sites.cross_section import medians_of_places
from sources.site_rules import MatchingRules

_SHRUNK = ("yoy", "acceleration", "surprise")
_Made = tuple[Array, Array, Clock]


def compute(
    rows: pl.DataFrame,
    stores: pl.DataFrame,
    grid: pl.DataFrame,
    wanted: Sequence[str],
    max_age_ns: int,
    rules: MatchingRules,
) -> dict[str, Array]:
    """The wanted columns at each decision, and `site_<metric>_age` (minutes) of each metric.

    rows    of table metric, each partition in order of known_time; stores   of table site
    grid    entity, decision_time, in any order; wanted   names as `site_names` tells

    A change is shrunk towards 0, by n / (n + rules.shrink) of n sites: 0 says nothing new. The ticker's own past mean
    would depend on where the data begin, and be made of as few sites; that of all tickers is not there where each is
    made in a process of its own.

    Missing values: NaN as the specs say. A row whose value is null takes the observation back, and the one before it
    counts.
    """
    features = [_asked(name) for name in wanted]
    # a site's whole history, other tickers' too, of the sites that those of the grid ever had
    own_sites = stores.join(grid, on="entity", how="semi").select("site")
    members = tenures(stores.join(own_sites, on="site", how="semi", maintain_order="left"))
    columns: dict[str, Array] = {}
    for metric in dict.fromkeys(one.metric for one in features):
        own = [one for one in features if one.metric == metric]
        series = rows.filter((pl.col("metric") == metric) & (pl.col("site") != ""))
        made = {name: np.full(grid.height, np.nan) for name in (*(one.name for one in own), f"site_{metric}_age")}
        numbered = grid.select("entity", "decision_time").with_row_index("_row")
        for (entity,), decisions in numbered.sort("decision_time").group_by(["entity"], maintain_order=True):
            part = members.filter(pl.col("entity") == entity)
            seen = series.filter(pl.col("entity").is_in(["", entity]))
            for name, values in _of_ticker(seen, part, decisions["decision_time"], own, max_age_ns, rules).items():
                made[name][decisions["_row"].to_numpy()] = values
        columns |= made
    return columns


def _asked(name: str) -> AskedOf:
    found = asked(SITE_GROUPS, name)
    assert found is not None  # the config's own check
    return found


def _of_ticker(
    series: pl.DataFrame,
    members: pl.DataFrame,
    at: pl.Series,
    wanted: Sequence[AskedOf],
    max_age: int,
    rules: MatchingRules,
) -> dict[str, Array]:
    """The features of one ticker and metric at its decisions, in order."""
    sites = members.select("site", "longitude").unique("site", keep="first", maintain_order=True)
    sites = sites.with_row_index("place")
    observed = Observed.of(series.join(sites, on="site", how="inner", maintain_order="left"), sites.height, rules)
    made = _of_sites(observed, wanted, rules)
    place = members.select("site").join(sites, on="site", how="left", maintain_order="left")["place"]
    times = nanoseconds(at)
    latest = made["level"][2]
    medians, counts, known = medians_of_places(
        np.stack([value for value, _, _ in made.values()]),
        np.stack([variance for _, variance, _ in made.values()]),
        np.stack([oldest for _, _, oldest in made.values()]),
        observed.known,
        latest,
        observed.offsets,
        place.cast(pl.Int64).to_numpy(),
        members["since"].to_numpy(),
        members["start"].to_numpy(),
        members["stop"].to_numpy(),
        np.array([0, members.height]),
        times,
        np.array([0, len(times)]),
        max_age_ns=max_age,
    )
    central = dict(zip(made, medians, strict=True))
    number = dict(zip(made, counts.astype(np.float64), strict=True))
    days = times / DAY - central["event"]
    share = np.where(known > 0, known, np.nan)
    found = {f"site_{one.metric}_age": days * (DAY / MINUTE) for one in wanted[:1]}
    for one in wanted:
        if one.what == "staleness":
            found[one.name] = days
        elif one.what in {"count", "coverage"}:
            found[one.name] = number["yoy"] / (share if one.what == "coverage" else np.where(known > 0, 1.0, np.nan))
        else:
            key = _key(one)
            n = number[key]
            kept = n / np.where(n > 0, n + rules.shrink, 1.0) if one.what in _SHRUNK else 1.0
            found[one.name] = central[key] * kept
    return found


def _key(one: AskedOf) -> str:
    return f"{one.what}{one.time or ''}"


def _of_sites(observed: Observed, wanted: Sequence[AskedOf], rules: MatchingRules) -> dict[str, _Made]:
    """Of each site's rows what is made of them: value, variance, and the time of the earliest observation used."""
    whats = {one.what for one in wanted}
    times = sorted({one.time for one in wanted if one.what == "acceleration"})
    lags = [(rules.lag, -1)]
    for time in times:
        lags += [(time, -1), (rules.lag, len(lags))]
    latest, first, matched, expected = observed.states(lags, weekday="same", season="surprise" in whats)
    unknown, newest = np.full(len(latest), np.nan), observed.times(latest)
    level = observed.at(observed.value, latest)
    event = np.where(latest >= 0, newest / DAY, np.nan)
    made = {
        "level": (level, observed.at(observed.variance, latest), newest),
        "event": (event, unknown, newest),
    }
    if whats & {"yoy", "count", "coverage"}:
        variance = observed.change_variance(latest, matched[0])
        made["yoy"] = (observed.change(latest, matched[0]), variance, observed.times(matched[0]))
    for number, time in enumerate(times):
        before, year_before = matched[1 + 2 * number], matched[2 + 2 * number]
        change = observed.change(latest, matched[0]) - observed.change(before, year_before)
        variance = observed.change_variance(latest, matched[0], before, year_before)
        oldest = np.minimum(observed.times(matched[0]), observed.times(year_before))
        made[f"acceleration{time}"] = (change, variance, oldest)
    if "surprise" in whats:
        centre, scale, count = expected
        told = (count >= rules.least) & (scale > 0)
        surprise = np.divide(level - centre, scale, out=unknown.copy(), where=told)
        made["surprise"] = (surprise, unknown, newest)
    if "revision" in whats:
        made["revision"] = (observed.change(latest, first), unknown, newest)
    return made
