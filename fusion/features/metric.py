"""Features of metric series (macro, satellite-derived): the value as known at the decision, vintage by vintage, and how
it stands to its first print, to earlier values and to what it usually is."""

from collections.abc import Collection, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.asof import as_of, nanoseconds, segment_offsets
from fusion.features.metric_names import Asked, asked
from fusion.features.ticks import in_segments
from gpu_kernels import vintages
from gpu_kernels.spec import FeatureSpec
from sources.config import Source

Array = NDArray[np.float64]
_GONE = "nothing known yet, withdrawn, or older than max_age"


def _of_vintages(name: str, unit: str, meaning: str, missing: str) -> FeatureSpec:
    return FeatureSpec(name, "metric", unit, "each vintage", meaning, missing, "gpu_kernels.vintages.history")


FEATURES: tuple[FeatureSpec, ...] = (
    FeatureSpec(
        "metric_<metric>",
        "metric",
        "the series' own",
        "each vintage",
        "value of the latest event_time among the rows known, in its latest vintage",
        _GONE,
        "trifuse as-of rule",
    ),
    _of_vintages(
        "metric_<metric>_first", "the series' own", "first print of the latest event, whose value may be revised", _GONE
    ),
    _of_vintages(
        "metric_<metric>_revision", "the series' own", "known value of the latest event less its first print", _GONE
    ),
    _of_vintages(
        "metric_<metric>_revision_<events>",
        "the series' own",
        "mean over the last <events> events of the known value less the first print: by how much prints are revised",
        f"{_GONE}; fewer events are known",
    ),
    _of_vintages(
        "metric_<metric>_change_<events>",
        "the series' own",
        "value of the latest event less that of the <events>-th before it, both as known at the decision",
        f"{_GONE}; fewer events are known",
    ),
    _of_vintages(
        "metric_<metric>_surprise_<events>",
        "standard deviations",
        "value of the latest event less the mean of the <events> before it, in their standard deviations, all as known "
        "at the decision",
        f"{_GONE}; fewer events are known, or they are all equal",
    ),
)


def own_names(source: Source) -> list[str]:
    """The metrics that a source says it has; none where only its files know."""
    metric = getattr(source, "constants", {}).get("metric")
    return sorted(getattr(source, "metrics", [] if metric is None else [metric]))


def compute(
    rows: pl.DataFrame,
    grid: pl.DataFrame,
    names: Sequence[str],
    max_age_ns: int,
    *,
    market: str | None = None,
    own: Collection[str] = (),
) -> dict[str, Array]:
    """`metric_<name>` of each name (fusion.features.metric_names; `own` are the metrics' names), and
    `metric_<metric>_age` (minutes since event_time) of each metric among them.

    Rows go to the entity they name; those of its sites are left to the features of sites. `market` is the one entity of
    a source whose config says so, e.g. US: its rows go to every entity of the grid. That is the config's word and not
    the rows': a row known tomorrow must not decide whom today's rows concern. Missing values: NaN as the spec says.
    """
    columns: dict[str, Array] = {}
    wanted = {name: asked(name, own) for name in names}
    for metric in dict.fromkeys(feature.metric for feature in wanted.values()):
        series = of_entities(rows, metric)
        if market is not None:
            series = series.filter(pl.col("entity") == market)
        values, age = market_wide(series, grid, max_age_ns) if market is not None else _own(series, grid, max_age_ns)
        features = {name: feature for name, feature in wanted.items() if feature.metric == metric}
        made = _histories(series, grid, list(features.values()), max_age_ns, market=market is not None)
        for name, feature in features.items():
            columns[f"metric_{name}"] = values if feature.form is None else made[feature]
        columns[f"metric_{metric}_age"] = age
    return columns


def of_entities(rows: pl.DataFrame, metric: str) -> pl.DataFrame:
    """The rows of a metric that are of an entity as a whole and not of one of its sites."""
    return rows.filter((pl.col("metric") == metric) & (pl.col("site") == ""))


def market_wide(series: pl.DataFrame, grid: pl.DataFrame, max_age_ns: int) -> tuple[Array, Array]:
    """One series at every decision of a grid, whatever the decision's entity: (values, age in minutes)."""
    times = grid.select("decision_time").unique().sort("decision_time")
    aligned = as_of(series, times, [], max_age_ns)
    values, age = _at_decisions(times, grid, aligned.take(_values(aligned.rows)), aligned.age)
    return values, age


def _own(series: pl.DataFrame, grid: pl.DataFrame, max_age_ns: int) -> tuple[Array, Array]:
    aligned = as_of(series, grid, ["entity"], max_age_ns)
    return aligned.take(_values(aligned.rows)), aligned.age


def _at_decisions(times: pl.DataFrame, grid: pl.DataFrame, *values: Array) -> list[Array]:
    """Values at distinct decision times, at the decisions of a grid."""
    found = times.with_columns(pl.Series(str(place), column) for place, column in enumerate(values))
    joined = grid.select("decision_time").join(found, on="decision_time", how="left", maintain_order="left")
    return [joined[str(place)].to_numpy() for place in range(len(values))]


def _histories(
    series: pl.DataFrame, grid: pl.DataFrame, features: list[Asked], max_age_ns: int, *, market: bool
) -> dict[Asked, Array]:
    """What is made of the vintages of one metric; one pass over them serves one number of each sort."""
    of_vintages = [feature for feature in features if feature.form is not None]
    backs = sorted({feature.events or 1 for feature in of_vintages if feature.form == "change"})
    windows = sorted({feature.events or 1 for feature in of_vintages if feature.form in {"revision", "surprise"}})
    made: dict[Asked, Array] = {}
    for place in range(max(len(backs), len(windows), min(len(of_vintages), 1))):
        back, window = (numbers[min(place, len(numbers) - 1)] if numbers else 1 for numbers in (backs, windows))
        found = _history(series, grid, max_age_ns, back, window, market=market)
        for feature in of_vintages:
            events = feature.events or 1
            if feature.form == "change" and events == back:
                made[feature] = found.change
            elif feature.form == "first":
                made[feature] = found.first
            elif feature.form == "revision" and events == window:
                made[feature] = found.mean_revision
            elif feature.form == "surprise" and events == window:
                made[feature] = found.surprise
    return made


def _history(
    series: pl.DataFrame, grid: pl.DataFrame, max_age_ns: int, back: int, window: int, *, market: bool
) -> vintages.History:
    decisions = grid.select("decision_time").unique().sort("decision_time") if market else grid
    if market:
        rows, offsets = series, np.array([0, series.height], np.int64)
        decision_offsets = np.array([0, decisions.height], np.int64)
    else:
        rows, offsets = in_segments(series, grid, ["entity"])
        decision_offsets = segment_offsets(grid.select("entity"))
    found = vintages.history(
        nanoseconds(rows["known_time"]),
        nanoseconds(rows["event_time"]),
        _values(rows),
        offsets,
        nanoseconds(decisions["decision_time"]),
        decision_offsets,
        max_age_ns=max_age_ns,
        back=back,
        window=window,
    )
    return vintages.History(*_at_decisions(decisions, grid, *found)) if market else found


def _values(rows: pl.DataFrame) -> Array:
    return rows["value"].fill_null(np.nan).to_numpy()
