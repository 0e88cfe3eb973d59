"""Rows of one metric by place: in the segments of the kernels, with the place's own clock."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.asof import nanoseconds
from gpu_kernels.sites.matching import known_states
from sources.site_rules import MatchingRules

Array = NDArray[np.float64]
Clock = NDArray[np.int64]
_DEGREES_AN_HOUR = 15.0


@dataclass(frozen=True)
class Observed:
    """One metric's rows of places, in order of (place, known_time); `place` numbers them from 0.

    value, variance   NaN where withdrawn or not clear enough, and where no std is told
    """

    known: Clock
    event: Clock
    local: Clock
    value: Array
    variance: Array
    offsets: Clock
    rules: MatchingRules

    @classmethod
    def of(cls, rows: pl.DataFrame, places: int, rules: MatchingRules) -> "Observed":
        """`rows` have event_time, known_time, value, std, valid_frac, `place`, and `longitude` where `rules` name no
        zone and clocks are those of longitudes."""
        rows = rows.sort("place", "known_time", maintain_order=True)
        value, std = (rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in ("value", "std"))
        clear = rows["valid_frac"].cast(pl.Float64).fill_null(1.0).to_numpy() >= rules.min_valid
        counts = np.bincount(rows["place"].to_numpy(), minlength=places)
        return cls(
            nanoseconds(rows["known_time"]),
            nanoseconds(rows["event_time"]),
            local_clock(rows, rules.zone),
            np.where(clear, value, np.nan),
            std * std,
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            rules,
        )

    def states(
        self, lags: list[tuple[int, int]], *, weekday: str, season: bool = False
    ) -> tuple[Clock, Clock, Clock, Array]:
        """`known_states` with lags as (nanoseconds, base)."""
        steps = np.array(lags, np.int64).reshape(-1, 2)
        return known_states(
            self.known,
            self.event,
            self.local,
            self.value,
            self.offsets,
            steps[:, 0],
            steps[:, 1],
            days=self.rules.days,
            hours_ns=self.rules.hours,
            weekday=self.rules.weekday or weekday,
            season_days=float(self.rules.season) if season else None,
        )

    def at(self, values: Array, rows: Clock) -> Array:
        """The values of rows; NaN of -1."""
        return np.where(rows >= 0, values[rows], np.nan) if len(values) else np.empty(len(rows))

    def change(self, rows: Clock, before: Clock) -> Array:
        """The change from `before` to `rows`, as the rules say."""
        return self._level(rows) - self._level(before)

    def change_variance(self, *rows: Clock) -> Array:
        """Variance of the sum or difference of the levels of rows: of a logarithm by the delta method."""
        parts = []
        for one in rows:
            variance = self.at(self.variance, one)
            scale = self.at(self.value, one) if self.rules.change == "log" else np.ones(len(one))
            with np.errstate(divide="ignore", invalid="ignore"):
                parts.append(variance / (scale * scale))
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return np.where(np.isfinite(total), total, np.nan)

    def times(self, rows: Clock) -> Clock:
        """event_time of rows; the earliest possible of -1."""
        return np.where(rows >= 0, self.event[rows], np.iinfo(np.int64).min) if len(self.event) else rows

    def _level(self, rows: Clock) -> Array:
        value = self.at(self.value, rows)
        if self.rules.change == "difference":
            return value
        return np.log(np.where(value > 0, value, np.nan))


def local_clock(rows: pl.DataFrame, zone: str | None) -> Clock:
    """event_time on the clock of a zone, else of mean solar time at the rows' `longitude` (null or no column: UTC)."""
    if zone is not None:
        return nanoseconds(rows["event_time"].dt.convert_time_zone(zone).dt.replace_time_zone(None))
    utc = nanoseconds(rows["event_time"])
    if "longitude" not in rows.columns:
        return utc
    hours = rows["longitude"].fill_null(0.0).fill_nan(0.0).to_numpy() / _DEGREES_AN_HOUR
    return utc + np.round(hours * 3600).astype(np.int64) * 10**9
