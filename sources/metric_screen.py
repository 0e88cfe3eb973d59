"""A screen for values that cannot be what they say, told by the series' own past: a month of night lights under the
monsoon's clouds, which the vendor gives as darkness.

It is for series whose vendor gives no count of clear observations; where there is one, `trifuse observe` asks for
enough of them instead.
"""

from bisect import bisect_left, insort
from statistics import median
from typing import Annotated

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

MONTH_OUT = "month_out"
IMPLAUSIBLE_DROP, IMPLAUSIBLE_RISE = "implausible_drop", "implausible_rise"
_SERIES = ("entity", "site", "metric")


class Screen(BaseModel):
    """Which values of a metric are set aside.

    months_out  those about these months of the year, in the source's time zone: known ahead to be of no use, as those
                of a monsoon
    drop        below this share of the median of the `window` values before it that were known
    rise        above this multiple of it
    window      values
    minimum     values before the first one that is judged

    What is set aside counts for the median all the same: a change that lasts is let through once it has lasted for
    half of the window, and a few bad months do not move the median.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    months_out: list[Annotated[int, Field(ge=1, le=12)]] = []
    drop: float | None = Field(default=None, gt=0, lt=1)
    rise: float | None = Field(default=None, gt=1)
    window: int = Field(default=12, ge=3, le=1000)
    minimum: int = Field(default=6, ge=3)

    @model_validator(mode="after")
    def _something_is_asked(self) -> "Screen":
        if not self.months_out and self.drop is None and self.rise is None:
            raise ValueError("a screen that screens nothing; give months_out, drop or rise")
        if self.minimum > self.window:
            raise ValueError(f"minimum {self.minimum} is more than window {self.window}")
        return self


def screened(rows: pl.DataFrame, screen: Screen, timezone: str, good: pl.Expr) -> pl.Series:
    """The reason for which each row is set aside; null where it is not.

    Rows are judged in the order in which they became known, each against the values about earlier times that were
    known by then, in their latest vintage: no later row moves an earlier verdict. The median has to be above 0.
    """
    told = (
        rows.with_row_index("_at")
        .filter(good & pl.col("value").is_not_null())
        .sort("known_time", "event_time", maintain_order=True)
        .with_columns(
            _event=pl.col("event_time").dt.epoch("ns"),
            _month=pl.col("event_time").dt.convert_time_zone(timezone).dt.month(),
        )
    )
    reasons: list[str | None] = [None] * rows.height
    for series in told.partition_by(_SERIES, maintain_order=True):
        past = _Past(screen.window)
        for place, event, value, month in series.select("_at", "_event", "value", "_month").iter_rows():
            if month in screen.months_out:
                reasons[place] = MONTH_OUT
                continue
            before = past.before(event)
            if len(before) >= screen.minimum and (usual := median(before)) > 0:
                if screen.drop is not None and value < screen.drop * usual:
                    reasons[place] = IMPLAUSIBLE_DROP
                elif screen.rise is not None and value > screen.rise * usual:
                    reasons[place] = IMPLAUSIBLE_RISE
            past.add(event, value)
    return pl.Series("reason", reasons, dtype=pl.String)


class _Past:
    """The values of a series known so far, the latest vintage of each event."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._events: list[int] = []
        self._values: dict[int, float] = {}

    def before(self, event: int) -> list[float]:
        """Of the last `window` events before this one."""
        stop = bisect_left(self._events, event)
        return [self._values[one] for one in self._events[max(stop - self._window, 0) : stop]]

    def add(self, event: int, value: float) -> None:
        if event not in self._values:
            insort(self._events, event)
        self._values[event] = value
