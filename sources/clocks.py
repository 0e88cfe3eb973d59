"""Reading clocks: columns of text, numbers or dates as UTC nanoseconds, with what is wrong told row by row."""

import re

import polars as pl

from gpu_kernels.errors import DataError
from sources.schema import TIME

UNPARSABLE = "unparsable_time"
CLOCK_CHANGE = "clock_change"
_MINUTE = 60 * 10**9
# int64 nanoseconds end in April 2262
_LAST = 2**63 - 1
_EPOCH = {"epoch_s": 10**9, "epoch_ms": 10**6, "epoch_us": 10**3, "epoch_ns": 1}
# what files write most often, besides ISO 8601
FORMATS = (
    *("%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%m/%d/%Y", "%d/%m/%Y"),
    *("%Y%m%d %H%M%S", "%Y%m%d %H%M", "%Y%m%d %H:%M:%S", "%Y%m%d %H:%M", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M"),
    *("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p", "%Y%m%d"),
    *("%m/%d/%y", "%d/%m/%y"),
)
_DIGITS = {10: "epoch_s", 13: "epoch_ms", 16: "epoch_us", 19: "epoch_ns"}
_ISO = (
    r"^(?P<day>\d{4}-\d{2}-\d{2})(?:[T ](?P<clock>\d{2}:\d{2}(?::\d{2})?)(?:\.(?P<part>\d{1,9}))?)?"
    r" ?(?P<zone>Z|UTC|[+-](?:0\d|1[0-4])(?::?[0-5]\d)?)?$"
)


def read_clock(column: pl.Series, *, timezone: str, time_format: str | None = None) -> pl.DataFrame:
    """A column of clocks as columns time (timestamp[ns, UTC]), whole_day (bool) and problem (text).

    Text is ISO 8601 with or without an offset, or what `time_format` says (strptime, or epoch_s | epoch_ms | epoch_us |
    epoch_ns). Text without an offset is local time of `timezone`; so are Parquet timestamps without a zone. A date
    without a time of day is that day's local midnight, with whole_day set.

    Missing values: time is null and problem says why: `unparsable_time`, or `clock_change` for a local time that the
    change to or from daylight saving time makes ambiguous or skips. A guess would be an hour off.
    Raises DataError for a column type that holds no clock.
    """
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None:
        return _clock(column.dt.convert_time_zone("UTC"))
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        return _localised(
            column if column.dtype != pl.Date else column.cast(pl.Datetime("us")), column.dtype == pl.Date, timezone
        )
    if time_format in _EPOCH:
        ticks = column.cast(pl.Int64, strict=False)
        limit = _LAST // _EPOCH[time_format]
        ticks = ticks.set(~ticks.is_between(-limit, limit).fill_null(True), None) * _EPOCH[time_format]
        return _clock(ticks.cast(pl.Datetime("ns")).dt.replace_time_zone("UTC"))
    if column.dtype != pl.String:
        raise DataError(
            f"column {column.name!r} holds {column.dtype}, not clocks",
            allowed="text, dates, timestamps, or numbers with time_format: epoch_s | epoch_ms | epoch_us | epoch_ns",
        )
    text = column.str.strip_chars()
    return _iso(text, timezone) if time_format is None else _formatted(text, time_format, timezone)


def unreadable(column: pl.Series, time_format: str | None) -> str | None:
    """Of a column none of whose first values can be read with `time_format`: an example, and the `time_format` that
    would read them. None where one can be read, or the column is not of text."""
    text = column.drop_nulls() if column.dtype == pl.String else column.clear()
    text = text.filter(text.str.strip_chars() != "").head(100) if column.dtype == pl.String else text
    if text.is_empty() or (read_clock(text, timezone="UTC", time_format=time_format)["problem"] != UNPARSABLE).any():
        return None
    if read_clock(text, timezone="UTC", time_format=time_format)["time"].is_not_null().any():
        return None
    told = f"{text[0]!r} is no clock of {'ISO 8601' if time_format is None else f'time_format: {time_format!r}'}"
    fits = [form for form in (None, *FORMATS) if _reads(text, form)]
    epoch = _DIGITS.get(len(text[0].strip()))
    if not fits and epoch is not None and _reads(text, epoch):
        fits = [epoch]
    if not fits:
        return f"{told}; write the time_format (strptime) of such values"
    if fits[0] is None:
        return f"{told}; leave time_format out: it is ISO 8601"
    second = (fits[1] or "") if len(fits) > 1 else ""
    other = f", or {second!r} if the day comes first" if second.startswith("%d/") else ""
    return f"{told}; write time_format: {fits[0]!r}{other}"


def _reads(text: pl.Series, time_format: str | None) -> bool:
    return read_clock(text, timezone="UTC", time_format=time_format)["time"].null_count() == 0


def known_after(clock: pl.DataFrame, delay: int, timezone: str) -> pl.Series:
    """known_time of things that happened at `clock` (a result of `read_clock`) and are received `delay` ns later.

    A clock that names only a day counts as that day's end: within the day nobody can tell when it was known.
    """
    return clock.select(
        pl.when("whole_day").then(next_midnight(pl.col("time"), timezone)).otherwise("time")
        + pl.duration(nanoseconds=delay)
    ).to_series()


def next_midnight(time: pl.Expr, timezone: str) -> pl.Expr:
    """The local midnight that ends the local day of each UTC time."""
    day = time.dt.convert_time_zone(timezone).dt.replace_time_zone(None).dt.truncate("1d") + pl.duration(days=1)
    # where a zone changes its clocks at midnight, the later reading is the safe one
    return to_utc(day, timezone)


def to_utc(local: pl.Expr, timezone: str) -> pl.Expr:
    """Local wall time as UTC; an ambiguous time is read as the later one, a skipped one as an hour later."""
    exact = local.dt.replace_time_zone(timezone, ambiguous="latest", non_existent="null")
    after = (local + pl.duration(hours=1)).dt.replace_time_zone(timezone, ambiguous="latest", non_existent="null")
    return pl.coalesce(exact, after).dt.convert_time_zone("UTC").cast(TIME)


def _clock(time: pl.Series, whole_day: pl.Series | bool = False, problem: pl.Series | None = None) -> pl.DataFrame:
    # strict=False: nanoseconds hold 1677 to 2262 only, and a time beyond is as bad as one that cannot be read
    frame = pl.DataFrame({"time": time.cast(TIME, strict=False)}).with_columns(
        whole_day=pl.lit(whole_day) if isinstance(whole_day, bool) else whole_day,
        problem=pl.when(pl.col("time").is_null()).then(pl.lit(UNPARSABLE)),
    )
    return frame if problem is None else frame.with_columns(problem=pl.coalesce(problem, "problem"))


def _localised(local: pl.Series, whole_day: pl.Series | bool, timezone: str) -> pl.DataFrame:
    utc = local.dt.replace_time_zone(timezone, ambiguous="null", non_existent="null").dt.convert_time_zone("UTC")
    changed = pl.select(pl.when(local.is_not_null() & utc.is_null()).then(pl.lit(CLOCK_CHANGE))).to_series()
    return _clock(utc, whole_day, changed)


def _formatted(text: pl.Series, time_format: str, timezone: str) -> pl.DataFrame:
    if "%z" in time_format:
        return _clock(text.str.to_datetime(time_format, time_unit="us", strict=False))
    if re.search(r"%[HIMSTRXcs]", time_format):
        return _localised(text.str.to_datetime(time_format, time_unit="us", strict=False), False, timezone)
    return _localised(text.str.to_date(time_format, strict=False).cast(pl.Datetime("us")), True, timezone)


def _iso(text: pl.Series, timezone: str) -> pl.DataFrame:
    parts = text.str.extract_groups(_ISO).struct.unnest()
    local = (parts["day"] + pl.Series(["T"]) + parts["clock"].fill_null("00:00")).str.replace(
        r"T(\d\d:\d\d)$", "T$1:00"
    )
    # strptime keeps microseconds only
    part = parts["part"].fill_null("0").str.pad_end(9, "0").cast(pl.Int64, strict=False)
    naive = local.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)
    naive = naive.cast(pl.Datetime("ns"), strict=False) + part.cast(pl.Duration("ns"))
    zone = parts["zone"]
    digits = zone.str.replace_all("[^0-9]", "").str.pad_end(4, "0")
    minutes = digits.str.slice(0, 2).cast(pl.Int64, strict=False) * 60 + digits.str.slice(2, 2).cast(
        pl.Int64, strict=False
    )
    offset = pl.select(
        pl.when(zone.is_in(["Z", "UTC"])).then(0).when(zone.str.starts_with("-")).then(-minutes).otherwise(minutes)
    ).to_series()
    shifted = (naive - (offset * _MINUTE).cast(pl.Duration("ns"))).dt.replace_time_zone("UTC").cast(TIME)
    assumed = _localised(naive, parts["clock"].is_null() & parts["day"].is_not_null(), timezone)
    return assumed.select(
        time=pl.when(zone.is_not_null()).then(shifted).otherwise("time"),
        whole_day=pl.col("whole_day") & zone.is_null(),
        problem=pl.when(zone.is_not_null() & shifted.is_not_null()).then(None).otherwise("problem"),
    )


def read_known(column: pl.Series, *, timezone: str, time_format: str | None = None) -> pl.DataFrame:
    """A column of known times as columns time and problem: `read_clock`, with a bare day read as that day's end."""
    clock = read_clock(column, timezone=timezone, time_format=time_format)
    return clock.select(known_after(clock, 0, timezone).alias("time"), "problem")
