"""Features of a metric that is observed by region: weighted by the sites that a ticker has in each."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from fusion.asof import MINUTE, nanoseconds
from fusion.features.observed import Array, Clock, Observed
from fusion.features.site_names import REGION_GROUPS, AskedOf, asked
from gpu_kernels.durations import DAY
from sources.site_rules import MatchingRules
from sources.sites.counts import stays


def compute(
    rows: pl.DataFrame,
    stores: pl.DataFrame,
    grid: pl.DataFrame,
    wanted: Sequence[str],
    max_age_ns: int,
    rules: MatchingRules,
) -> dict[str, Array]:
    """The wanted columns at each decision, and `region_<metric>_age` (minutes) of each metric.

    rows    of table metric, each partition in order of known_time; their region is `entity`, or `site` where that is ""
    stores  of table site, whose `region` is named alike; those without one count for no region, and in coverage
    grid    entity, decision_time, in any order; wanted   names as `site_names` tells

    A change holds the weights of the decision, so that openings and closings make none.
    Missing values: NaN as the specs say.
    """
    features = []
    for name in wanted:
        found = asked(REGION_GROUPS, name)
        assert found is not None  # the config's own check
        features.append(found)
    members = stays(stores)
    moments = grid["decision_time"].unique().sort()
    entities = grid["entity"].unique(maintain_order=True).to_list()
    number = {entity: place for place, entity in enumerate(entities)}
    row = np.array([number[entity] for entity in grid["entity"]], np.int64)
    column = np.searchsorted(nanoseconds(moments), nanoseconds(grid["decision_time"]))
    columns: dict[str, Array] = {}
    for metric in dict.fromkeys(one.metric for one in features):
        series = rows.filter(pl.col("metric") == metric).with_columns(
            region=pl.when(pl.col("entity") != "").then("entity").otherwise("site")
        )
        own = [one for one in features if one.metric == metric]
        made = _of_metric(series, members, nanoseconds(moments), entities, own, max_age_ns, rules)
        for name, table in made.items():
            columns[name] = table[row, column]
    return columns


class _Mean:
    """Sums of weights and of weighted values by (entity, moment). A region that is not used adds an exact 0, so that
    one of which nothing is known yet changes no bit."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.weights, self.total = np.zeros(shape), np.zeros(shape)

    def add(self, entity: int, weights: Clock, values: Array) -> None:
        usable = np.isfinite(values)
        self.weights[entity] += np.where(usable, weights, 0)
        self.total[entity] += np.where(usable, weights * np.where(usable, values, 0.0), 0.0)

    def mean(self) -> Array:
        found: Array = np.divide(
            self.total, self.weights, out=np.full(self.total.shape, np.nan), where=self.weights > 0
        )
        return found


def _of_metric(
    series: pl.DataFrame,
    members: pl.DataFrame,
    at: Clock,
    entities: list[str],
    wanted: Sequence[AskedOf],
    max_age: int,
    rules: MatchingRules,
) -> dict[str, Array]:
    """(entities, moments) of each feature of a metric."""
    times = sorted({one.time for one in wanted if one.what == "change"})
    regions = series.select("region").unique().sort("region").with_row_index("place")
    observed = Observed.of(series.join(regions, on="region", how="inner", maintain_order="left"), regions.height, rules)
    latest, _, matched, _ = observed.states([(time, -1) for time in times], weekday="any")
    level, event = observed.at(observed.value, latest), observed.times(latest)
    changes = {time: observed.change(latest, before) for time, before in zip(times, matched, strict=True)}
    shape = (len(entities), len(at))
    means = {name: _Mean(shape) for name in ("level", "age", *(f"change{time}" for time in times))}
    stay = {key: part for key, part in members.group_by("entity", "region") if key[1] is not None}
    for place, region in regions.iter_rows():
        begin, end = observed.offsets[place], observed.offsets[place + 1]
        row = begin + np.searchsorted(observed.known[begin:end], at, side="right") - 1
        usable = (row >= begin) & (latest[row] >= 0)
        past = np.where(usable, event[row], at)
        usable &= at - past <= max_age
        told = {"level": level[row], "age": at / DAY - past / DAY}
        told |= {f"change{time}": change[row] for time, change in changes.items()}
        for number, entity in enumerate(entities):
            if (entity, region) in stay:
                weights = _counted(stay[entity, region], at)
                for name, values in told.items():
                    means[name].add(number, weights, np.where(usable, values, np.nan))
    own = [_counted(members.filter(pl.col("entity") == entity), at) for entity in entities]
    known = np.array(own, np.int64).reshape(shape)
    age = means["age"].mean()
    covered = np.divide(means["level"].weights, known, out=np.full(shape, np.nan), where=known > 0)
    found = {f"region_{one.metric}_age": age * (DAY / MINUTE) for one in wanted[:1]}
    for one in wanted:
        if one.what == "coverage":
            found[one.name] = covered
        elif one.what == "staleness":
            found[one.name] = age
        else:
            found[one.name] = means["level" if one.what == "level" else f"change{one.time}"].mean()
    return found


def _counted(parts: pl.DataFrame, at: Clock) -> Clock:
    """How many stays hold at each time."""
    start, end = (np.sort(nanoseconds(parts[edge].drop_nulls())) for edge in ("start", "end"))
    return np.searchsorted(start, at, side="right") - np.searchsorted(end, at, side="right")
