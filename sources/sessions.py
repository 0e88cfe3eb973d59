"""Trading sessions of an exchange calendar, with early closes, holidays and daylight saving time."""

from datetime import date, timedelta
from functools import lru_cache
from typing import Literal

import numpy as np
import polars as pl

from gpu_kernels.errors import ArgumentError, ConfigError
from sources.schema import TIME


@lru_cache(maxsize=32)
def _schedule(calendar: str, first_year: int, last_year: int) -> pl.DataFrame:
    import exchange_calendars
    from exchange_calendars.errors import CalendarError

    try:
        found = exchange_calendars.get_calendar(calendar, start=f"{first_year}-01-01", end=f"{last_year}-12-31")
    except CalendarError as error:
        raise ConfigError(
            f"calendar {calendar!r} is not known for {first_year} to {last_year}",
            allowed="names of exchange_calendars such as XNYS, CMES, XLON, 24/7",
            hint=str(error).split("\n", maxsplit=1)[0],
        ) from error
    table = found.schedule
    return pl.DataFrame(
        {
            "session": pl.Series(table.index.to_numpy().astype("datetime64[D]")),
            "open": _utc(table["open"]),
            "close": _utc(table["close"]),
        }
    )


def _utc(column: object) -> pl.Series:
    values = column.dt.tz_convert(None).to_numpy().astype("datetime64[ns]")  # type: ignore[attr-defined]
    return pl.Series(values).dt.replace_time_zone("UTC").cast(TIME)


def sessions(calendar: str, start: date, end: date) -> pl.DataFrame:
    """Sessions of `calendar` with start <= session <= end.

    Returns session (Date), open and close (timestamp[ns, UTC]; the early close of a half day), sorted.
    Missing values: none.
    Raises ConfigError for a calendar that exchange_calendars does not have, or dates it does not cover.
    """
    if start > end:
        raise ConfigError(f"start {start} is after end {end}", allowed="start <= end")
    # whole years, so that neighbouring windows share one cached schedule
    schedule = _schedule(calendar, start.year, end.year)
    return schedule.filter(pl.col("session").is_between(start, end))


def sessions_around(calendar: str, start: date, end: date) -> pl.DataFrame:
    """Like `sessions`, and at least one session before `start` and one after `end`: a holiday can be ten days long."""
    return sessions(calendar, start - timedelta(days=15), end + timedelta(days=15))


def assign_session(times: pl.Series, sessions: pl.DataFrame, stamp: str = "end") -> pl.Series:
    """The session that holds each time.

    stamp="end"   times are ends of intervals: open < t <= close
    stamp="tick"  times are moments: open <= t <= close; one that ends a session and opens the next is in the next

    Missing values: null where no session holds the time, or it is null.
    Raises ArgumentError for another stamp.
    """
    if stamp not in {"end", "tick"}:
        raise ArgumentError(f"stamp {stamp!r}", allowed='"end" or "tick"')
    if sessions.is_empty() or times.is_empty():
        return pl.Series("session", [None] * len(times), dtype=pl.Date)
    moments = times.cast(TIME).to_physical().fill_null(np.iinfo(np.int64).min).to_numpy()
    opens, closes = (sessions[name].cast(TIME).to_physical().to_numpy() for name in ("open", "close"))
    side: Literal["left", "right"] = "left" if stamp == "end" else "right"
    first, last = np.searchsorted(opens, [moments.min(), moments.max()], side=side) - 1
    if first == last >= 0 and moments.max() <= closes[last]:
        return sessions["session"].slice(last, 1).new_from_index(0, len(times)).alias("session")
    index = np.searchsorted(opens, moments, side=side) - 1
    inside = (index >= 0) & (moments <= closes[np.maximum(index, 0)])
    found = sessions["session"].gather(np.where(inside, index, 0))
    return found.zip_with(pl.Series(inside), pl.Series([None], dtype=pl.Date)).alias("session")


def exchange_timezone(calendar: str) -> str:
    """IANA name of the exchange's own time zone, e.g. America/New_York for XNYS. Raises ConfigError as `sessions`."""
    import exchange_calendars
    from exchange_calendars.errors import CalendarError

    try:
        return str(exchange_calendars.get_calendar(calendar).tz)
    except CalendarError:
        raise ConfigError(f"calendar {calendar!r} is not known", allowed="names of exchange_calendars") from None
