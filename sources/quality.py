"""The row checks: which rows may be used, which are set aside and why, which are not asked for.

Checks run in stages, each on the rows that passed the earlier ones, and a row gets the first reason that holds:

1. row by row     what the reader could not parse; missing_value, not_finite, non_positive_price,
                  negative_size, high_below_low, price_outside_bar, long_wick, crossed_quote, unknown_action,
                  unknown_side, closed_before_opened, known_before_event; no_volume (counted only, where the
                  source leaves such bars out);
                  of metrics negative_std, share_outside_0_1, negative_n_obs, gsd_not_positive, and by their reader
                  end_before_event, known_before_end, ingested_before_known
2. the window     rows of streams outside [start, end] are counted as outside_window, not set aside
3. sessions       outside_session (counted only, where the source says extended_hours); other_contract (counted
                  only, where a future's front contract is asked for)
4. bar spacing    wrong_bar_interval: a file whose bars are of a longer or shorter interval than the source says
5. sensors        other_sensor: of metrics, another sensor than that of the row of the same key known first
6. duplicates     duplicate_of_overlap (an equal row of another file: counted only), exact_duplicate,
                  conflicting_duplicate and conflicting_overlap (same key and known_time, other values)
7. order          time_goes_back within a file
8. price jump     price_jump, from the last good price of the session

Where overlapping files conflict, the row of the file exported first stays: it is what was known first, and when the
other became known nobody can tell. Exports are ordered by the event_time of their first row (of the entity) and not by
their names, which lie; the first row also stays the same however early the data are cut. Every stage looks only at rows
no later than the row it judges (stage 4 and the doubts of time zone and stamps judge whole files), so that a check
brings no look-ahead.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from gpu_kernels.errors import DataError
from sources import metric_checks
from sources.config import Source
from sources.duplicates import in_export_order, mark_duplicates
from sources.front_contract import OTHER_CONTRACT, of_front_contract
from sources.metric_screen import screened
from sources.schema import ACTIONS, TABLES, TIME
from sources.sequence_checks import Jumps, Order
from sources.sessions import assign_session, sessions_around
from sources.source_options import BOOKS, STREAMS
from sources.stamps import doubt_ends, doubt_place

OUTSIDE_WINDOW = "outside_window"
OTHER_ENTITY = "other_entity"
OUTSIDE_SESSION = "outside_session"
NO_VOLUME = "no_volume"
TIME_GOES_BACK = "time_goes_back"
PRICE_JUMP = "price_jump"
_PRICES = ("open", "high", "low", "close", "price", "bid_price", "ask_price")
_SIZES = ("volume", "size", "bid_size", "ask_size")
_SPACING_ROWS = 10
# more would say no more: clock bars share their times, and others are as many as their entities
_DOUBTED_TIMES = 2**21
_MINUTE = 60 * 10**9
_ZONES = (
    *("UTC", "America/New_York", "America/Chicago", "America/Los_Angeles", "Europe/London", "Europe/Berlin"),
    *("Asia/Tokyo", "Asia/Hong_Kong", "Asia/Kolkata", "Australia/Sydney"),
)


@dataclass(frozen=True, slots=True)
class Window:
    """What part of the world a run asks for. None: everything the files hold."""

    calendar: str
    entities: tuple[str, ...] | None = None
    start: date | None = None
    end: date | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """Rows that may be used (canonical columns, file, line), rows set aside (with `reason`), and counts of the rest.

    added   how many of the good rows no file holds, as the closings that a later list tells by what it lacks
    notes   rows of which something should be told, by what
    """

    good: pl.DataFrame
    bad: pl.DataFrame
    ignored: Mapping[str, int]
    added: int = 0
    notes: Mapping[str, int] = field(default_factory=dict)


def check(rows: pl.DataFrame, source: Source, window: Window, doubts: "Doubts | None" = None) -> Checked:
    """Judge the rows of a source, or those of one of its entities (RawBatch.rows of all its files, in the order of
    files and lines).

    doubts  are told of the rows, and are to be settled after the last entity; none: settled here

    Raises DataError as `Doubts.settle`.
    """
    table = source.table
    stream = table in STREAMS
    rows = judged(rows, source, window)
    if stream:
        rows = in_window(rows, source, window)
        told = Doubts(source, window) if doubts is None else doubts
        told.add(rows)
        if doubts is None:
            told.settle()
        rows = mark_outside_session(rows, source)
        if getattr(source, "contract", None) == "front":
            rows = _of_front_contract(rows, window)
    if stream and getattr(source, "bar", None):
        rows = _spacing(rows, source.bar)  # type: ignore[union-attr, arg-type]
    rows = in_export_order(rows, is_good())
    if table == "metric":
        rows = mark(rows, "reason", metric_checks.OTHER_SENSOR, pl.lit(metric_checks.other_sensor(rows, is_good())))
    rows = mark_duplicates(rows, TABLES[table], ticks=source.ticks, vintages=_vintages(source))
    if table == "metric":
        if (screen := getattr(source, "screen", None)) is not None:
            reasons = screened(rows, screen, source.timezone, is_good())
            rows = rows.with_columns(reason=pl.coalesce("reason", pl.lit(reasons)))
        found = checked(rows)
        return replace(found, notes=metric_checks.notes(found.good))
    if stream:
        rows = mark_order(rows, Order())
    if stream and table not in BOOKS and source.max_jump is not None:  # type: ignore[union-attr]
        rows = _jumps(rows, source.max_jump, table)  # type: ignore[union-attr]
    return checked(rows)


def judged(rows: pl.DataFrame, source: Source, window: Window) -> pl.DataFrame:
    """Adds `reason` and `ignore`, as far as each row tells them by itself."""
    table = source.table
    reason = _row_problems(rows.columns, table, getattr(source, "max_wick", None))
    rows = rows.with_columns(reason=reason, ignore=pl.lit(None, dtype=pl.String))
    if window.entities is not None and asked_of(source, window.entities):
        rows = mark(rows, "ignore", OTHER_ENTITY, ~pl.col("entity").is_in(window.entities))
    if table == "bar" and source.no_volume == "leave_out":  # type: ignore[union-attr]
        rows = mark(rows, "ignore", NO_VOLUME, pl.col("volume") == 0)
    return rows


def asked_of(source: Source, entities: tuple[str, ...]) -> bool:
    """Whether a source is asked for rows of the run's entities alone: streams are, and news unless its texts tell whom
    it is about, or the config says that all of it is about something else, such as a market."""
    if source.table == "news":
        return not getattr(source, "link", False) and (source.entity is None or source.entity in entities)
    return source.table in STREAMS


def checked(rows: pl.DataFrame) -> Checked:
    """Rows by what was said of them."""
    if rows["reason"].null_count() == rows["ignore"].null_count() == rows.height:
        rows = rows.drop("ignore", "problem")
        return Checked(rows.drop("reason"), rows.clear(), {})
    ignored = rows.filter(pl.col("ignore").is_not_null())["ignore"].value_counts()
    return Checked(
        rows.filter(is_good()).drop("reason", "ignore", "problem"),
        rows.filter(pl.col("reason").is_not_null() & pl.col("ignore").is_null()).drop("ignore", "problem"),
        dict(sorted(ignored.iter_rows())),
    )


def _vintages(source: Source) -> bool:
    """Whether the rows carry vintages, of which the later of two tied rows is the later one."""
    ruled = getattr(source, "known", None) is not None or getattr(source, "delay", "rule") is not None
    return source.table == "metric" and ("known_time" in source.columns or not ruled)


def _row_problems(columns: list[str], table: str, max_wick: float | None) -> pl.Expr:
    prices = [pl.col(name) for name in _PRICES if name in columns]
    sizes = [pl.col(name) for name in _SIZES if name in columns]
    numbers = prices + sizes + ([pl.col("value")] if table == "metric" else [])
    never_null = [
        pl.col(column.name) for column in TABLES[table].columns if not column.nullable and column.name in columns
    ]
    checks = [("missing_value", pl.any_horizontal(column.is_null() for column in never_null))]
    if numbers:
        checks.append(("not_finite", pl.any_horizontal(~number.is_finite() for number in numbers)))
    if prices:
        checks.append(("non_positive_price", pl.any_horizontal(price <= 0 for price in prices)))
    if sizes:
        checks.append(("negative_size", pl.any_horizontal(size < 0 for size in sizes)))
    if table == "bar":
        outside = pl.any_horizontal(
            ~pl.col(name).is_between(pl.col("low"), pl.col("high")) for name in ("open", "close")
        )
        checks += [("high_below_low", pl.col("high") < pl.col("low")), ("price_outside_bar", outside)]
        if max_wick is not None:
            above = pl.col("high") / pl.max_horizontal("open", "close") - 1
            below = 1 - pl.col("low") / pl.min_horizontal("open", "close")
            checks.append(("long_wick", pl.max_horizontal(above, below) > max_wick))
    if table == "quote":
        checks.append(("crossed_quote", pl.col("bid_price") > pl.col("ask_price")))
    if table in BOOKS:
        checks.append(("unknown_action", ~pl.col("action").is_in(ACTIONS[table])))
    if table == "book_update":
        checks.append(("unknown_side", ~pl.col("side").is_in((1, -1))))
    if table == "metric":
        checks += metric_checks.row_problems()
    if table == "site":
        checks.append(("closed_before_opened", pl.col("valid_to") < pl.col("event_time")))
    elif table != "event":  # what is planned is known ahead
        checks.append(("known_before_event", pl.col("known_time") < pl.col("event_time")))
    return pl.coalesce("problem", *(pl.when(where).then(pl.lit(reason)) for reason, where in checks))


def in_window(rows: pl.DataFrame, source: Source, window: Window) -> pl.DataFrame:
    """Adds `session` and marks rows outside the window."""
    times = rows.select(pl.col("event_time").filter(is_good()))["event_time"]
    if times.is_empty():
        return rows.with_columns(session=pl.lit(None, dtype=pl.Date))
    trading = _trading(times, window)
    rows = rows.with_columns(assign_session(rows["event_time"], trading, _stamp(source)))
    if window.start is None and window.end is None:
        return rows
    outside = pl.lit(False)
    if window.start is not None:
        before = trading.filter(pl.col("session") < window.start)["close"]
        outside = outside | (pl.col("session") < window.start) | (pl.col("event_time") <= before.max())
    if window.end is not None:
        after = trading.filter(pl.col("session") > window.end)["open"]
        outside = outside | (pl.col("session") > window.end) | (pl.col("event_time") >= after.min())
    return mark(rows, "ignore", OUTSIDE_WINDOW, outside.fill_null(False))


def mark_outside_session(rows: pl.DataFrame, source: Source) -> pl.DataFrame:
    extended = source.extended_hours  # type: ignore[union-attr]
    return mark(rows, "ignore" if extended else "reason", OUTSIDE_SESSION, pl.col("session").is_null())


def _of_front_contract(rows: pl.DataFrame, window: Window) -> pl.DataFrame:
    if rows["session"].null_count() == rows.height:
        return rows
    rows, of_front = of_front_contract(rows, _trading(rows["event_time"].drop_nulls(), window))
    return mark(rows, "ignore", OTHER_CONTRACT, pl.lit(~of_front))


def _stamp(source: Source) -> str:
    return "end" if source.table == "bar" or getattr(source, "bar", None) else "tick"


def _trading(times: pl.Series, window: Window) -> pl.DataFrame:
    """The sessions around the times and the window."""
    first, last = times.min().date(), times.max().date()  # type: ignore[union-attr]
    return sessions_around(window.calendar, min(first, window.start or first), max(last, window.end or last))


class ZoneDoubt:
    """Many rows outside the sessions are a wrong time zone: the one mistake that no other check would see.

    Carries how many rows lie in each minute: sessions open and close, and zones differ, by whole minutes, so that rows
    between two minutes are all alike."""

    def __init__(self) -> None:
        self._rows = self._outside = 0
        self._minutes = [pl.DataFrame(schema={"minute": pl.Int64, "rows": pl.Int64})]

    def add(self, rows: pl.DataFrame) -> None:
        """The next good rows, with their session."""
        if rows.is_empty():
            return
        self._rows += rows.height
        self._outside += rows["session"].null_count()
        time = pl.col("event_time").to_physical()
        place = rows.select(time - time % _MINUTE + (time % _MINUTE > 0)).to_series().to_numpy()
        begin = np.flatnonzero(np.append(True, place[1:] != place[:-1]))
        self._minutes.append(pl.DataFrame({"minute": place[begin], "rows": np.diff(begin, append=len(place))}))
        if sum(part.height for part in self._minutes[1:]) > 2**20:
            self._minutes = [self._counts()]

    def _counts(self) -> pl.DataFrame:
        return pl.concat(self._minutes).group_by("minute").agg(pl.col("rows").sum()).sort("minute")

    def settle(self, source: Source, window: Window) -> None:
        """Raises DataError where another time zone fits the rows much better, or none fits."""
        if self._rows < 2 * _SPACING_ROWS:
            return
        outside = self._outside / self._rows
        if outside <= 0.05:
            return
        found = self._counts()
        times = found["minute"].cast(pl.Datetime("ns")).dt.replace_time_zone("UTC")
        wall = times.dt.convert_time_zone(source.timezone).dt.replace_time_zone(None)
        counts = found["rows"].to_numpy()
        shares = outside_by_zone(wall, _trading(times, window), _stamp(source), counts)
        best = min(shares, key=lambda zone: shares[zone])
        better = shares[best] < outside / 4
        if outside > 0.3 or better:
            raise DataError(
                f"{outside:.0%} of the rows, read as {source.timezone}, lie outside the sessions: the timezone looks "
                "wrong",
                hint=f"with timezone: {best} only {shares[best]:.1%} would"
                if better
                else "no common time zone fits better; if the files hold pre- and post-market rows: extended_hours: "
                "true",
            )


class Doubts:
    """What many rows together tell of the config: that the time zone, or the place of the stamps of bars in them, looks
    wrong.

    Carries, besides what ZoneDoubt does, up to some millions of the distinct times of bars, and of their steps."""

    def __init__(self, source: Source, window: Window) -> None:
        self._source, self._window = source, window
        self._asked = not getattr(source, "extended_hours", True)
        self._zone = ZoneDoubt()
        self._times = pl.Series("event_time", [], dtype=TIME)
        self._steps = pl.Series("step", [], dtype=pl.Int64)

    def add(self, rows: pl.DataFrame) -> None:
        """The next rows, with their session; those outside of any are still good."""
        good = rows.filter(is_good()) if self._asked else rows.clear()
        if good.is_empty():
            return
        self._zone.add(good)
        if self._source.kind == "table_file" and self._source.table == "bar":
            if len(self._times) < _DOUBTED_TIMES:
                self._times = pl.concat([self._times, good["event_time"]]).unique()
            if len(self._steps) < _DOUBTED_TIMES and self._source.bar is None:
                step = pl.col("event_time").diff().over("entity", "session").cast(pl.Int64).alias("step")
                self._steps.append(good.select(step)["step"])

    def settle(self) -> list[str]:
        """Sentences about what nobody can tell. Raises DataError where the time zone looks wrong (many rows lie outside
        the sessions, and another zone fits), and where bars of a table_file are stamped at another place than it says,
        see sources.stamps."""
        if not self._asked:
            return []
        self._zone.settle(self._source, self._window)
        if self._times.is_empty():
            return []
        times, trading = self._times.sort(), _trading(self._times, self._window)
        if self._source.bar is None:  # type: ignore[union-attr]
            said = doubt_ends(times, trading, self._steps)
            return [] if said is None or len(times) < _SPACING_ROWS else [said]
        doubt_place(times, trading, self._source.bar, self._source.stamp_after)  # type: ignore[union-attr]
        return []


def outside_by_zone(
    wall: pl.Series, trading: pl.DataFrame, stamp: str, counts: npt.NDArray[np.int64] | None = None
) -> dict[str, float]:
    """Share of wall-clock times that lie outside the sessions when read as each of some common time zones.

    counts  how many rows have each time; None: one
    """
    shares = {}
    for zone in _ZONES:
        moved = wall.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null").dt.convert_time_zone("UTC")
        outside = assign_session(moved, trading, stamp).is_null().to_numpy()
        shares[zone] = float(np.average(outside, weights=counts))
    return shares


def _spacing(rows: pl.DataFrame, bar: int) -> pl.DataFrame:
    """A file of ten-minute bars among files of one-minute bars would pass every other check."""
    steps = (
        rows.filter(is_good())
        .select("file", "entity", step=pl.col("event_time").diff().over("file", "entity", "session").cast(pl.Int64))
        .filter(pl.col("step") > 0)
        .group_by("file", "entity")
        .agg(rows=pl.len(), steps=pl.col("step").unique(), median=pl.col("step").median())
        .filter(pl.col("rows") >= _SPACING_ROWS)
    )
    # bars of a quiet market are far apart by chance, those of a longer interval by a common multiple
    common = pl.Series([math.gcd(*found) for found in steps["steps"].to_list()], dtype=pl.Int64)
    wrong = steps.filter(((common > bar) & (common % bar == 0)) | (steps["median"] < bar))
    marked = rows.join(
        wrong.select("file", "entity", _wrong=True), on=["file", "entity"], how="left", maintain_order="left"
    )
    return mark(marked, "reason", "wrong_bar_interval", pl.col("_wrong").fill_null(False)).drop("_wrong")


def mark_order(rows: pl.DataFrame, order: Order) -> pl.DataFrame:
    needed = pl.col("file", "entity", "event_time", "known_time")
    good = rows.with_row_index("_row").select(pl.col("_row").filter(is_good()), needed.filter(is_good()))
    back = order.goes_back(good)
    return _set_aside(rows, good["_row"].filter(back), TIME_GOES_BACK)


def _jumps(rows: pl.DataFrame, limit: float, table: str) -> pl.DataFrame:
    """Prices too far from the last good one of their session."""
    good = rows.with_row_index("_row").filter(is_good()).sort("entity", "known_time", "event_time", maintain_order=True)
    found = [
        session["_row"].filter(Jumps(limit, table).jumping(session))
        for session in good.partition_by("entity", "session", maintain_order=True)
    ]
    return _set_aside(rows, pl.concat(found) if found else pl.Series(dtype=pl.UInt32), PRICE_JUMP)


def _set_aside(rows: pl.DataFrame, numbers: pl.Series, reason: str) -> pl.DataFrame:
    if numbers.is_empty():
        return rows
    chosen = pl.int_range(pl.len(), dtype=pl.UInt32).is_in(numbers.cast(pl.UInt32).implode())
    return rows.with_columns(reason=pl.when(chosen).then(pl.lit(reason)).otherwise("reason"))


def mark(rows: pl.DataFrame, column: str, reason: str, where: pl.Expr) -> pl.DataFrame:
    """Rows that are good so far and for which `where` holds get the reason."""
    return rows.with_columns(pl.when(is_good() & where).then(pl.lit(reason)).otherwise(column).alias(column))


def is_good() -> pl.Expr:
    return pl.col("reason").is_null() & pl.col("ignore").is_null()
