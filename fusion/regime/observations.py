"""What the regime model reads at each session's open: metrics, their spreads and means, features, the market itself.

All of it as known at the open: metrics by the as-of rule, features at the last decision before it, the market from the
bars of sessions that had closed.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.features import Matrix
from fusion.features.metric import market_wide, of_entities, own_names
from fusion.plan import Plan
from fusion.regime.config import RegimeInput
from fusion.regime.market import by_session, over_sessions
from gpu_kernels.errors import ConfigError
from sources.daily_options import DailyFile
from sources.macro.lags import packaged
from sources.schema import TIME

Floats = NDArray[np.float64]

_REVISED = "_revised"
# they rise when the economy weakens
_TURNED = frozenset(
    ("UNRATE", "UEMPMEAN", "UEMPLT5", "UEMP5TO14", "UEMP15OV", "UEMP15T26", "UEMP27OV", "CLAIMSx", "ISRATIOx")
)
# before a mean of so many sessions a deviation says nothing
_SETTLED = 60


def regime_observations(plan: Plan, tables: Mapping[str, pl.DataFrame], matrix: Matrix) -> pl.DataFrame:
    """session, time, one Float64 column per input of the config, at each session's (or block's) open.

    Missing values: null where an input is not known. Features and the market begin with the run, whatever
    `history_start` is.
    Raises ConfigError where no source, or more than one, holds a metric; the matrix lacks a feature; `market` is asked
    for without bars.
    """
    grid = plan.history_periods.select("session", pl.col("open").alias("decision_time"))
    reading = _Reading(plan, tables, matrix, grid)
    columns = []
    for wanted in plan.config.regime.inputs:
        values = pl.DataFrame({"value": reading.of(wanted)}).select(
            wanted.apply(pl.col("value").fill_nan(None)).alias(wanted.column)
        )
        columns.append(values.to_series())
    return grid.rename({"decision_time": "time"}).with_columns(columns)


class _Reading:
    """The inputs of a run at the opens of a grid."""

    def __init__(self, plan: Plan, tables: Mapping[str, pl.DataFrame], matrix: Matrix, grid: pl.DataFrame) -> None:
        self._plan, self._tables, self._matrix, self._grid = plan, tables, matrix, grid

    def of(self, wanted: RegimeInput) -> Floats:
        if wanted.metric is not None:
            entity = wanted.entity or ""
            values = self._metric(wanted.metric, entity)
            return values if wanted.less is None else values - self._metric(wanted.less, entity)
        if wanted.mean_of is not None:
            return self._mean_of(wanted)
        return self._feature(wanted) if wanted.feature is not None else self._market(wanted)

    def _metric(self, metric: str, entity: str) -> Floats:
        series = {}
        for name, source in self._plan.config.sources.items():
            if source.table == "metric":
                rows = of_entities(self._tables[name], metric).filter(pl.col("entity") == entity)
                if rows.height:
                    series[name] = rows
        if len(series) != 1:
            raise ConfigError(
                f"regime input {entity}/{metric} is in {', '.join(series) or 'no metric source'}",
                allowed="one metric source",
                hint="name a source's metric and entity as `trifuse ingest` stored them",
            )
        ((name, rows),) = series.items()
        values, _ = market_wide(rows, self._grid, self._plan.config.sources[name].max_age)
        return np.asarray(values, np.float64)

    def _mean_of(self, wanted: RegimeInput) -> Floats:
        assert wanted.mean_of is not None
        names = self._of_group(wanted.mean_of) if isinstance(wanted.mean_of, str) else list(wanted.mean_of)
        parts = []
        for name in names:
            values = _standardised(self._metric(name.removeprefix("-"), wanted.entity or ""))
            parts.append(-values if name.startswith("-") else values)
        known = np.isfinite(parts)
        count = known.sum(axis=0)
        total = np.where(known, parts, 0.0).sum(axis=0)
        found: Floats = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
        return found

    def _of_group(self, group: str) -> list[str]:
        """The metrics of a group of FRED-MD's that the config, not the data, says the run has."""
        lags = packaged()
        named = [
            name
            for source in self._plan.config.sources.values()
            if source.table == "metric"
            for name in own_names(source)
        ]
        of_group = []
        for name in named:
            series = name.removesuffix(_REVISED)
            if series in lags and lags[series].group == group:
                of_group.append(f"-{name}" if series in _TURNED else name)
        if not of_group:
            raise ConfigError(
                f"no source of the run has a series of FRED-MD's group {group}",
                hint="add them to a source of kind fred_md",
            )
        return of_group

    def _feature(self, wanted: RegimeInput) -> Floats:
        assert wanted.feature is not None
        if wanted.feature not in self._matrix.frame.columns:
            raise ConfigError(
                f"regime input {wanted.feature} is no feature of the run",
                allowed="a column that `features` asks for",
                hint="`trifuse schema` lists them; add it under features",
            )
        value = pl.col(wanted.feature).cast(pl.Float64)
        said = (
            self._matrix.frame.filter(pl.col("entity").is_in(self._entities(wanted)))
            .sort("decision_time", "entity")
            .group_by("decision_time", maintain_order=True)
            .agg(pl.when(value.is_finite()).then(value).mean().alias("value"))
            .with_columns(pl.col("decision_time").cast(TIME))
        )
        # strictly before: a decision at the open itself is made with the regime of that open
        asked = self._grid.select(pl.col("decision_time").cast(TIME))
        found = asked.join_asof(said, on="decision_time", allow_exact_matches=False)["value"]
        return found.fill_null(np.nan).to_numpy()

    def _entities(self, wanted: RegimeInput) -> tuple[str, ...]:
        entities = self._plan.entities
        if wanted.entity is None:
            return entities
        if wanted.entity not in entities:
            raise ConfigError(f"regime input {wanted.column} is of {wanted.entity}", allowed=", ".join(entities))
        return (wanted.entity,)

    def _market(self, wanted: RegimeInput) -> Floats:
        assert wanted.market is not None
        assert wanted.sessions is not None
        config = self._plan.config
        bars = config.source_of("bar")
        if bars is None:
            raise ConfigError(f"regime input market: {wanted.market} needs bars", hint="add a source of bars")
        # a session is settled when the next one begins, which is before its open where the decision is
        lead = pl.duration(nanoseconds=config.decisions.lead)
        sessions = self._plan.sessions.with_columns(pl.col("open").cast(TIME) - lead)
        daily = isinstance(config.sources[bars], DailyFile)
        told = by_session(self._tables[bars], sessions, self._entities(wanted), daily=daily)
        values = over_sessions(told, wanted.market, wanted.sessions)
        # the run's sessions only: of the history before them there are no bars
        opens = sessions.select("open").with_columns(pl.Series("value", values[:-1]))
        asked = self._grid.select(pl.col("decision_time").cast(TIME))
        found = asked.join_asof(opens, left_on="decision_time", right_on="open")["value"]
        return found.fill_null(np.nan).to_numpy()


def _standardised(values: Floats) -> Floats:
    """Each value less the mean and over the deviation of those up to it; NaN before there are enough."""
    known = np.isfinite(values)
    mean, square = 0.0, 0.0
    found = np.full(len(values), np.nan)
    for count, place in enumerate(np.flatnonzero(known), 1):
        # Welford (1962): no difference of large sums
        step = values[place] - mean
        mean += step / count
        square += step * (values[place] - mean)
        if count >= _SETTLED and square > 0:
            found[place] = (values[place] - mean) / np.sqrt(square / (count - 1))
    return found
