"""Best quotes of one entity as arrays, cut into sessions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.asof import nanoseconds, segment_offsets
from fusion.features.book_rows import in_ticks
from gpu_kernels.errors import DataError
from sources.config import BinanceRaw, LeanZip
from sources.files import input_files
from sources.readers import CARRYING, READERS
from sources.sessions import exchange_timezone, sessions
from sources.stream import in_order

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class BestQuotes:
    """The quotes of all sessions one after the other, in the order in which they were known.

    time       (n,) int64 ns UTC, known_time; rows offsets[s] to offsets[s + 1] are those of sessions[s], from the
               exchange's midnight on, so that a session's first quote has one before it
    bid, ask   (n,) int64 ticks; bid_size, ask_size (n,) float64
    opens, closes   (S,) int64 ns UTC of each session
    left_out   rows by reason: set aside by the reader, late, outside the days that have a session
    """

    time: Integers
    bid: Integers
    bid_size: Floats
    ask: Integers
    ask_size: Floats
    offsets: Integers
    sessions: tuple[date, ...]
    opens: Integers
    closes: Integers
    left_out: Mapping[str, int]

    @property
    def touch(self) -> tuple[Any, Any, Any, Any]:
        """bid, bid_size, ask, ask_size, as the kernels take them."""
        return self.bid, self.bid_size, self.ask, self.ask_size

    def part(self, first: int, last: int) -> "BestQuotes":
        """The sessions first to last - 1, as views."""
        begin, end = int(self.offsets[first]), int(self.offsets[last])
        return BestQuotes(
            self.time[begin:end],
            self.bid[begin:end],
            self.bid_size[begin:end],
            self.ask[begin:end],
            self.ask_size[begin:end],
            self.offsets[first : last + 1] - begin,
            self.sessions[first:last],
            self.opens[first:last],
            self.closes[first:last],
            self.left_out,
        )


def lean_tick_quotes(files: str) -> LeanZip:
    """The source of the consolidated tick quotes of a US equity in LEAN zips; `files` a path or a glob."""
    return LeanZip(
        kind="lean_zip",
        files=files,
        timezone="America/New_York",
        max_age=0,
        security="equity",
        resolution="tick",
        data="quote",
        delay=0,
    )


def read_best_quotes(
    source: LeanZip | BinanceRaw, calendar: str, tick: float, variables: Mapping[str, str] | None = None
) -> BestQuotes:
    """All quotes of a source of one entity, of the calendar days (in the exchange's own zone) that have a session; of a
    source that is `continuous` all are one session, from the first to the last.

    tick   the price step, of which every price must be a multiple

    Missing values: rows with a problem are left out and counted, as are quotes that came late.
    Raises DataError for files that are missing or hold no quotes of a session, several entities, or prices off the
    tick; ConfigError for a calendar that is not known.
    """
    carried: dict[str, Any] = {}
    more = {"carried": carried} if source.kind in CARRYING else {}
    batches = (
        batch.rows
        for index, file in enumerate(input_files(source, variables or {}))
        for batch in READERS[source.kind](source, file, index, calendar, **more)
    )
    rows = pl.concat(batches)
    entities = rows["entity"].drop_nulls().unique().to_list()
    if len(entities) > 1:
        raise DataError(f"quotes of {', '.join(sorted(entities))}", allowed="one entity", hint="name its files alone")
    good = rows.filter(pl.col("problem").is_null())
    left_out = dict(rows["problem"].drop_nulls().value_counts().iter_rows())
    good, late = in_order(good, "quote")
    if good.is_empty():
        raise DataError(f"no quotes in {rows.height} rows", hint="check the source's `data` and `security`")
    zone = exchange_timezone(calendar)
    days = pl.col("known_time").dt.convert_time_zone(zone).dt.date()
    first, last = good.select(days.min().alias("first"), days.max().alias("last")).row(0)
    if source.carries_book:
        # a market that never closes: one stretch from the first quote to the last
        good = good.with_columns(session=pl.lit(first))
        table = good.group_by("session").agg(
            open=pl.col("known_time").min(), close=pl.col("known_time").max() + pl.duration(nanoseconds=1)
        )
    else:
        good = good.with_columns(session=days)
        table = sessions(calendar, first, last)
    inside = good.drop("open", "close", strict=False).join(table, on="session", how="inner", maintain_order="left")
    left_out |= {"late": late, "no_session": good.height - inside.height}
    if inside.is_empty():
        raise DataError(f"no quotes in a session of {calendar} from {first} to {last}")
    found = inside.group_by("session", maintain_order=True).first()
    return BestQuotes(
        nanoseconds(inside["known_time"]),
        in_ticks(inside["bid_price"].to_numpy(), tick),
        inside["bid_size"].to_numpy(),
        in_ticks(inside["ask_price"].to_numpy(), tick),
        inside["ask_size"].to_numpy(),
        segment_offsets(inside.select("session")),
        tuple(found["session"].to_list()),
        nanoseconds(found["open"]),
        nanoseconds(found["close"]),
        {reason: count for reason, count in left_out.items() if count},
    )
