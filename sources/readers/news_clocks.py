"""The clocks of news: what an item is about, when it was published, when it was received; and so when it was known.

    event_time <= published <= received

Any of them may be absent, in the whole file or in a row (null, or a blank cell). The first that a row has is its
event_time, the latest that it has plus the source's delay its known_time. A clock that names only a day says no more
than that the moment lies in it: where a later clock of the row has a time of day, that one tells; else the source's
`date_only` does.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import polars as pl

from gpu_kernels.errors import DataError
from sources.clocks import next_midnight, read_clock, to_utc
from sources.config import NewsFile
from sources.schema import TIME
from sources.sessions import sessions_around

CLOCKS = ("event_time", "published", "received")
UNDATED = "undated"
NO_RECEIPT = "no_receipt"
OUT_OF_ORDER = "clocks_out_of_order"
FUTURE = "stamp_in_future"
WITHOUT_RECEIPT = "without_receipt"
NOTES = {WITHOUT_RECEIPT: "items have no time of receipt: they count as known `delay` after the latest other clock"}
"""What is told of rows that are kept."""
_AHEAD = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class NewsClocks:
    """Of each row event_time, known_time and problem; and how many rows each of NOTES holds for."""

    rows: pl.DataFrame
    notes: dict[str, int]


def news_clocks(
    frame: pl.DataFrame,
    columns: dict[str, str],
    source: NewsFile,
    calendar: str,
    path: Path,
    now: datetime | None = None,
) -> NewsClocks:
    """The clocks of a file's rows.

    columns  clock -> column of the file, of the clocks that it has
    now      a stamp more than a day later than this is wrong; default: the present

    Missing values: times are null where `problem` says why: undated (no clock at all), unparsable_time and clock_change
    (of any clock that is there: another is not taken in its place), stamp_in_future, clocks_out_of_order (a later clock
    shows more than `clock_tolerance` before an earlier one), no_receipt (where no `delay` stands in for it).
    Raises DataError where the file has none of the clocks.
    """
    if not set(columns) & set(CLOCKS):
        names = ", ".join(name for name in frame.columns if name not in {"_line", "_problem"})
        raise DataError(
            f"{path} has no clock; its columns are: {names or 'none'}",
            allowed=f"one or more of {', '.join(CLOCKS)}",
            hint="map it: columns: {published: <column of the file>}; undated items cannot be used",
        )
    read = pl.concat(
        [_read(frame, columns.get(name), source).rename(lambda part, name=name: f"{name}_{part}") for name in CLOCKS],  # type: ignore[misc]
        how="horizontal",
    )
    latest = pl.lit((now or datetime.now(UTC)) + _AHEAD, dtype=TIME)
    none = pl.all_horizontal(pl.col(f"{name}_absent") for name in CLOCKS)
    ahead = pl.any_horizontal(pl.col(f"{name}_time") > latest for name in CLOCKS)
    problems = [
        *(pl.col(f"{name}_problem") for name in CLOCKS),
        pl.when(none).then(pl.lit(UNDATED)),
        pl.when(ahead).then(pl.lit(FUTURE)),
        pl.when(_out_of_order(source)).then(pl.lit(OUT_OF_ORDER)),
    ]
    if source.delay is None:
        problems.append(pl.when(pl.col("received_absent")).then(pl.lit(NO_RECEIPT)))
    moments = read.with_columns(
        pl.when(f"{name}_day").then(_of_day(read[f"{name}_time"], source, calendar)).otherwise(f"{name}_time")
        .alias(f"{name}_moment")
        for name in CLOCKS
    )  # fmt: skip
    known = pl.max_horizontal(_moment(place) for place in range(len(CLOCKS))) + pl.duration(
        nanoseconds=source.delay or 0
    )
    rows = moments.select(
        event_time=pl.coalesce(f"{name}_time" for name in CLOCKS), known_time=known, problem=pl.coalesce(problems)
    )
    blank = int((read["received_absent"] & rows["problem"].is_null()).sum()) if "received" in columns else 0
    return NewsClocks(rows, {WITHOUT_RECEIPT: blank} if blank else {})


def _read(frame: pl.DataFrame, column: str | None, source: NewsFile) -> pl.DataFrame:
    """A clock's time, day (whether it names only a day), problem and absent."""
    if column is None or frame[column].dtype == pl.Null:
        return pl.DataFrame(
            {"time": pl.Series([None] * frame.height, dtype=TIME)},
        ).with_columns(day=False, problem=pl.lit(None, dtype=pl.String), absent=True)
    raw = frame[column]
    absent = raw.is_null() | (raw.str.strip_chars() == "" if raw.dtype == pl.String else False)
    clock = read_clock(raw, timezone=source.timezone, time_format=source.time_format)
    return clock.select(
        "time",
        day=pl.col("whole_day") & pl.col("time").is_not_null(),
        problem=pl.when(~absent.fill_null(True)).then("problem"),
        absent=absent.fill_null(True),
    )


def _out_of_order(source: NewsFile) -> pl.Expr:
    """Whether a later clock cannot be as late as an earlier one."""
    tolerance = pl.duration(nanoseconds=source.clock_tolerance)
    pairs = [(CLOCKS[a], CLOCKS[b]) for a in range(len(CLOCKS)) for b in range(a + 1, len(CLOCKS))]
    return pl.any_horizontal(
        pl.when(f"{later}_day").then(next_midnight(pl.col(f"{later}_time"), source.timezone)).otherwise(f"{later}_time")
        < pl.col(f"{earlier}_time") - tolerance
        for earlier, later in pairs
    )


def _moment(place: int) -> pl.Expr:
    """When a clock says that the item was known; null where it names only a day and a later clock has a time."""
    name = CLOCKS[place]
    told = pl.any_horizontal(
        pl.lit(False), *(~pl.col(f"{later}_day") & ~pl.col(f"{later}_absent") for later in CLOCKS[place + 1 :])
    )
    return pl.when(~(pl.col(f"{name}_day") & told)).then(f"{name}_moment")


def _of_day(midnight: pl.Series, source: NewsFile, calendar: str) -> pl.Series:
    """When an item is known of which a clock tells only the day, given the day's local midnight as UTC."""
    days = pl.DataFrame({"time": midnight})
    if source.date_only == "end_of_day":
        return days.select(next_midnight(pl.col("time"), source.timezone)).to_series()
    if source.date_only == "next_open":
        return _next_open(days.select(next_midnight(pl.col("time"), source.timezone)).to_series(), calendar)
    local = midnight.dt.convert_time_zone(source.timezone).dt.date()
    moment = local.dt.combine(time.fromisoformat(source.date_only), time_unit="ns")
    return pl.DataFrame({"local": moment}).select(to_utc(pl.col("local"), source.timezone)).to_series()


def _next_open(times: pl.Series, calendar: str) -> pl.Series:
    """The first open of a session at or after each time."""
    if times.null_count() == len(times):
        return times
    first, last = times.min(), times.max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    opens = sessions_around(calendar, first.date(), last.date())["open"]
    place = opens.to_physical().search_sorted(times.to_physical().fill_null(0), side="left")
    return opens.gather(place.clip(0, len(opens) - 1)).set(times.is_null(), None)
