"""Daily bars, one a session: any CSV, JSON Lines or Parquet file of dates and prices, as Yahoo's downloads are.

**Adjusted prices.** A file that holds the prices as they were quoted (or adjusted for splits alone) and one adjusted
close gives bars adjusted for both: with f = adjusted close / close, open, high, low and close are times f, and volume
is over f, so that price times volume stays the money that changed hands. A return between two adjusted prices is a
total return: splits fall out, dividends are reinvested at the close of the day before.

**What looks ahead in them.** The vendor works backwards from the day of the download: f of a day is the product over
all LATER dividends and splits. So an adjusted price, or volume, as a number tells the future, and a file downloaded
next year holds other numbers for today. What may be used: ratios of prices, ratios of volumes, and price times volume;
from these every factor that is later than both falls out. Two downloads give the same values of them up to the digits
that the vendor prints, not the same bits; two ingests of one download give the same bits. The leak test
(fusion.invariance) rebases the prices of each cut as a later split by a power of 2 would have, which leaves the bits of
ratios alone and changes every level.
"""

from collections.abc import Iterator
from datetime import date

import polars as pl

from sources.clocks import read_clock
from sources.daily_options import DailyFile
from sources.files import InputFile
from sources.readers.batch import RawBatch, canonical, entity_column, first_problem, missing_entity, required
from sources.readers.records import find_columns, records
from sources.schema import TIME
from sources.sessions import sessions_around

NO_SESSION = "no_session"
_PRICES = ("open", "high", "low", "close")


def read(source: DailyFile, file: InputFile, index: int, calendar: str) -> Iterator[RawBatch]:
    """Bars of one file. event_time is the close of the date's session (early on a half day), known_time `delay` later.

    Missing values: a row whose date is no session of the calendar has the problem `no_session`.
    Raises DataError for a missing column.
    """
    needed: tuple[str, ...] = ("event_time", *_PRICES, "volume")
    spelled = source
    if source.adjusted is not None:
        needed += ("adjusted",)
        spelled = source.model_copy(update={"columns": {**source.columns, "adjusted": source.adjusted}})
    for frame in records(file.path, source):
        columns = find_columns(frame, file.path, spelled, needed, ("entity",))
        clock = read_clock(frame[columns["event_time"]], timezone=source.timezone, time_format=source.time_format)
        closes, outside = _closes(clock["time"], source.timezone, calendar)
        entity = entity_column(frame, file, columns.get("entity"))
        values = {name: required(frame[columns[name]]) for name in needed[1:]}
        bars = pl.DataFrame({name: column["value"] for name, column in values.items()})
        if source.adjusted is not None:
            factor = pl.col("adjusted") / pl.col("close")
            bars = bars.with_columns(
                *(pl.col(name) * factor for name in _PRICES), volume=pl.col("volume") / factor
            ).drop("adjusted")
        rows = frame.select("_line").with_columns(
            *bars,
            entity,
            closes.alias("event_time"),
            (closes + pl.duration(nanoseconds=source.delay)).alias("known_time"),
            first_problem(
                frame["_problem"],
                clock["problem"],
                outside,
                missing_entity(entity),
                *(column["problem"] for column in values.values()),
            ).alias("_problem"),
        )
        yield RawBatch(canonical(rows, "bar", index))


def _closes(times: pl.Series, timezone: str, calendar: str) -> tuple[pl.Series, pl.Series]:
    """The close of the session of each local day, and what is wrong with the day; the day's own time where it is no
    session, so that the row is found in the quarantine by it."""
    days = times.dt.convert_time_zone(timezone).dt.date()
    first, last = days.min(), days.max()
    if first is None or last is None:
        return times, pl.Series([None], dtype=pl.String).new_from_index(0, len(times))
    assert isinstance(first, date)
    assert isinstance(last, date)
    trading = sessions_around(calendar, first, last).select("session", "close")
    close = pl.DataFrame({"session": days}).join(trading, on="session", how="left", maintain_order="left")["close"]
    missing = close.is_null() & days.is_not_null()
    problem = pl.Series([NO_SESSION]).new_from_index(0, len(times)).set(~missing, None)
    return close.cast(TIME).zip_with(~missing, times), problem
