"""When daily values are public that no file tells it of."""

from datetime import date, time, timedelta

import polars as pl

from sources.clocks import to_utc
from sources.sessions import sessions
from sources.table_options import LagRule


def known_by_rule(event_time: pl.Series, rule: LagRule, timezone: str, calendar: str) -> pl.Series:
    """When each daily value is public: at `rule.time` local time, `rule.days` days (or sessions) after its local day.

    With business days, day d + n is the n-th session after d, and with n = 0 the first session not before d.
    Missing values: null where the event_time is.
    """
    day = event_time.dt.convert_time_zone(timezone).dt.date()
    if rule.business and day.drop_nulls().len():
        published = _sessions_after(day, rule.days, calendar)
    else:
        published = day.dt.offset_by(f"{rule.days}d")
    if rule.since is not None:
        published = pl.select(pl.when(published < rule.since).then(pl.lit(rule.since)).otherwise(published)).to_series()
    local = published.dt.combine(time.fromisoformat(rule.time), time_unit="ns")
    return pl.DataFrame({"local": local}).select(to_utc(pl.col("local"), timezone).alias("known_time")).to_series()


def _sessions_after(day: pl.Series, count: int, calendar: str) -> pl.Series:
    first, last = day.min(), day.max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    trading = sessions(calendar, first, last + timedelta(days=15 + 2 * count))["session"]
    # with 0 the day itself counts if it is a session; else the count starts after the day
    place = trading.search_sorted(day, side="left" if count == 0 else "right") + max(count - 1, 0)
    return trading.gather(place.set(day.is_null(), None))
