"""LOBSTER message files: every event of NASDAQ's visible book for one stock and day, without a header.

A line is time (seconds after midnight of the exchange, to the nanosecond), type, order, size, price (times 10,000) and
direction of the resting order (1 buy, -1 sell). Types: 1 placed; 2 a part cancelled; 3 the rest cancelled; 4 executed;
5 an order that does not show was executed; 6 a cross (auction); 7 trading halted or resumed, with the kind of halt in
place of the price.

Orders older than the file's first line are named by later lines, as the book was not empty then. Executions of hidden
orders and crosses change no visible order, so that they are trades only; the aggressor is opposite to the resting
order, and a cross has none. A halt is counted and kept in neither table: orders may be entered and cancelled during it.
Source: LOBSTER's output description (Huang and Polak 2011).
"""

import datetime as dt
import re
from collections.abc import Iterator

import polars as pl

from gpu_kernels.errors import DataError
from sources.clocks import known_after, read_clock
from sources.config import Lobster
from sources.files import InputFile, blocks
from sources.readers.batch import RawBatch, canonical, first_problem, required
from sources.readers.records import split_csv
from sources.schema import CANCELLED, EXECUTED, PLACED

NAME = re.compile(r"^(?P<entity>[^_]+)_(?P<date>\d{4}-\d{2}-\d{2})_\d+_\d+_message_(?P<levels>\d+)\.csv")
UNKNOWN_TYPE = "unknown_type"
UNPARSABLE_SIDE = "unparsable_side"
_COLUMNS = ["time", "type", "order", "size", "price", "direction"]
_CLOCK = r"^(\d{1,5})(?:\.(\d{1,9}))?0*$"
_UNITS = 10_000
_ORDERS = {1: PLACED, 2: CANCELLED, 3: CANCELLED, 4: EXECUTED}
_TRADES = (4, 5, 6)
_NAMES = {
    1: "order_placed",
    2: "order_cancelled",
    3: "order_cancelled",
    4: "order_executed",
    5: "hidden_execution",
    6: "cross_trade",
    7: "trading_halt",
}
_FILE = 2**40


def read(source: Lobster, file: InputFile, index: int, calendar: str) -> Iterator[RawBatch]:
    """Rows of one file. Raises DataError where neither its name nor the config tells its date or entity."""
    name = NAME.match(file.path.name)
    entity = file.entity or (name["entity"] if name else None)
    if entity is None or (source.date is None and name is None):
        raise DataError(
            f"{file.path} does not tell its {'stock' if entity is None else 'date'}",
            allowed="names such as AAPL_2012-06-21_34200000_57600000_message_10.csv",
            hint="give `entity:` and `date:`",
        )
    day = source.date or _day(file, name["date"] if name else "")
    line, first = 1, True
    for block in blocks(file.path):
        text = block.decode("ascii", "replace")
        if first and (fields := text.partition("\n")[0].count(",") + 1) != len(_COLUMNS):
            raise DataError(
                f"{file.path} has {fields} fields in its first line: {text[:80].splitlines()[0]!r}",
                allowed=f"{len(_COLUMNS)} fields: {', '.join(_COLUMNS)}",
                hint="the message file is meant, not the orderbook file",
            )
        frame = split_csv(text, _COLUMNS, file.path, line, ",", quoted=False)
        line, first = line + block.count(b"\n"), False
        yield _batch(source, frame, index, day, entity)
    if first:
        raise DataError(f"{file.path} is empty (0 bytes)", hint="fetch the file again, or take it out of `files`")


def _day(file: InputFile, text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise DataError(f"{file.path}: {text} is not a date", allowed="yyyy-mm-dd") from error


def _batch(source: Lobster, frame: pl.DataFrame, index: int, day: dt.date, entity: str) -> RawBatch:
    clock = read_clock(_wall(frame["time"], day), timezone=source.timezone)
    values = {name: required(frame[name]) for name in ("type", "order", "size", "price", "direction")}
    kind = values["type"]["value"].cast(pl.Int64, strict=False)
    side = values["direction"]["value"]
    wanted = tuple(_ORDERS) if source.data == "order" else _TRADES
    problem = first_problem(
        frame["_problem"],
        clock["problem"],
        *(column["problem"] for column in values.values()),
        pl.select(
            pl.when(~kind.is_in(list(_NAMES)) | (kind != values["type"]["value"])).then(pl.lit(UNKNOWN_TYPE))
        ).to_series(),
        pl.select(pl.when(~side.is_in([-1.0, 1.0])).then(pl.lit(UNPARSABLE_SIDE))).to_series(),
    )
    # nothing but its type needs to be right in a message that is not asked for
    kept = pl.select(kind.is_in(wanted) | ~kind.is_in(list(_NAMES)).fill_null(False)).to_series().fill_null(True)
    other = kind.filter(~kept).value_counts(sort=False).rows() if len(kind) else []
    ignored: dict[str, int] = {}
    for number, count in other:
        ignored[_NAMES[number]] = ignored.get(_NAMES[number], 0) + count
    rows = frame.select("_line").with_columns(
        entity=pl.lit(entity),
        event_time=clock["time"],
        known_time=known_after(clock, source.delay, source.timezone),
        sequence=index * _FILE + pl.col("_line"),
        # as text, for a number of 64 bits does not go through a float
        order=frame["order"].str.strip_chars().cast(pl.Int64, strict=False),
        price=pl.Series(values["price"]["value"].to_numpy() / _UNITS),
        size=values["size"]["value"],
        side=side.cast(pl.Int8, strict=False),
        last=True,
        action=kind.replace_strict(_ORDERS, default=None, return_dtype=pl.Int8),
        kind=kind,
        _problem=problem,
    )
    if source.data == "trade":
        rows = rows.with_columns(side=pl.when(pl.col("kind") == 6).then(0).otherwise(-pl.col("side")).cast(pl.Int8))
    return RawBatch(canonical(rows.filter(kept), source.table, index), ignored)


def _wall(time: pl.Series, day: dt.date) -> pl.Series:
    """Seconds after midnight as local time; the digits after the point are nanoseconds, which no float would keep."""
    parts = time.str.strip_chars().str.extract_groups(_CLOCK).struct.unnest()
    seconds, part = parts.to_series(0).cast(pl.Int64), parts.to_series(1).fill_null("")
    nanoseconds = seconds * 10**9 + part.str.pad_end(9, "0").cast(pl.Int64)
    midnight = pl.Series([dt.datetime.combine(day, dt.time())], dtype=pl.Datetime("ns"))
    return (midnight.new_from_index(0, len(time)) + nanoseconds.cast(pl.Duration("ns"))).alias("time")
