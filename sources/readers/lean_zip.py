"""QuantConnect LEAN zips: one zip a day, clocks in milliseconds of the local day."""

import re
from collections.abc import Iterator
from datetime import datetime

import polars as pl

from gpu_kernels.errors import DataError
from sources.clocks import known_after, read_clock
from sources.config import LeanZip
from sources.files import InputFile, blocks, members
from sources.front_contract import CONTRACT
from sources.readers.batch import RawBatch, canonical, first_problem, required
from sources.readers.records import split_csv

FLAGGED = "flagged_by_vendor"
UNPAIRED = "unpaired_quote"
ONE_SIDED = "one_sided_quote"
OTHER_EXCHANGE = "other_exchange"
EXCLUDED_CONDITION = "excluded_condition"
_NAME = re.compile(r"^(\d{8})_(trade|quote)$")
_CONTRACT = re.compile(CONTRACT)
# equity prices are stored as ten-thousandths of a dollar
_EQUITY_UNITS = 10_000
_OHLCS = ("open", "high", "low", "price", "size")
# what follows the values of a tick; that of a coin names neither venue nor condition
_TICK_MARKS = {"crypto": ["suspicious"]}
_ALL_MARKS = ["exchange", "condition", "suspicious"]
_LAYOUTS = {
    ("tick", "trade"): ["time", "price", "size"],
    ("tick", "quote"): ["time", "bid_price", "bid_size", "ask_price", "ask_size"],
    ("bar", "trade"): ["time", "open", "high", "low", "close", "volume"],
    ("bar", "quote"): ["time", *(f"{side}_{name}" for side in ("bid", "ask") for name in _OHLCS)],
}
_VALUES = {
    "bar": ("open", "high", "low", "close", "volume"),
    "trade": ("price", "size"),
    "quote": ("bid_price", "bid_size", "ask_price", "ask_size"),
}
# which sides a tick quote has: an absent one is written as 0
_HAS_BID, _HAS_ASK = (pl.col(name).cast(pl.Float64, strict=False) != 0 for name in ("bid_price", "ask_price"))
_BID, _ASK, _NEITHER = _HAS_BID & ~_HAS_ASK, ~_HAS_BID & _HAS_ASK, ~_HAS_BID & ~_HAS_ASK


def read(source: LeanZip, file: InputFile, index: int, calendar: str) -> Iterator[RawBatch]:
    """Rows of one day's zip, contract by contract. Raises DataError where name or layout are not LEAN's."""
    name = _NAME.match(file.path.stem)
    if name is None or name[2] != source.data:
        raise DataError(
            f"{file.path} is not a day of {source.data}s", allowed=f"names such as 20131007_{source.data}.zip"
        )
    try:
        day = datetime.strptime(name[1], "%Y%m%d")
    except ValueError as error:
        raise DataError(f"{file.path}: {name[1]} is not a date", allowed="yyyymmdd") from error
    entity = file.entity or file.path.parent.name.upper()
    for member in members(file.path):
        contract = _CONTRACT.search(member) if source.security == "future" else None
        if source.security == "future" and contract is None:
            raise DataError(
                f"{file.path} holds {member!r}, which names no contract", allowed="names ending in _yyyymm.csv"
            )
        named = f"{entity}-{contract[1]}" if contract and source.contract == "each" else entity
        for frame in _frames(source, file, member):
            yield _batch(source, frame, index, member, day, named)


def _frames(source: LeanZip, file: InputFile, member: str) -> Iterator[pl.DataFrame]:
    """The rows of a member in blocks, none of which ends with the bid of a pair of quotes."""
    layout = _LAYOUTS["tick" if source.ticks else "bar", source.data]
    if source.ticks:
        layout = layout + _TICK_MARKS.get(source.security, _ALL_MARKS)
    line, held = 1, pl.DataFrame()
    for block in blocks(file.path, member):
        text = block.decode("ascii", "replace")
        head = text.partition("\n")[0]
        if line == 1 and (fields := head.count(",") + 1) != len(layout):
            raise DataError(
                f"{file.path}: {member} has {fields} fields in its first line: {head[:80]!r}",
                allowed=f"{len(layout)} fields: {', '.join(layout)}",
                hint="check the source's security, resolution and data",
            )
        frame = split_csv(text, layout, file.path, line, ",", quoted=False)
        frame = frame if held.is_empty() else pl.concat([held, frame])
        line, held = line + block.count(b"\n"), frame.clear()
        if source.ticks and source.data == "quote" and frame.tail(1).select(_BID).to_series().any():
            frame, held = frame.head(-1), frame.tail(1)
        yield frame
    if not held.is_empty():
        yield held


def _batch(source: LeanZip, frame: pl.DataFrame, index: int, member: str, day: datetime, entity: str) -> RawBatch:
    frame, ignored = _asked_for(source, frame)
    if source.data == "quote":
        frame, counts = _pairs(frame) if source.ticks else _two_sided(frame)
        ignored |= counts
    milliseconds = required(frame["time"])
    local = pl.Series([day], dtype=pl.Datetime("ns")).new_from_index(0, frame.height)
    stamp = local + milliseconds["value"].cast(pl.Int64).cast(pl.Duration("ms"))
    start = read_clock(stamp, timezone=source.timezone)
    end = start.with_columns(pl.col("time") + pl.duration(nanoseconds=source.bar))
    numbers = {value: required(frame[value]) for value in _VALUES[source.table]}
    if source.security == "equity":
        prices = [value for value in numbers if value not in {"size", "volume", "bid_size", "ask_size"}]
        numbers |= {price: numbers[price].with_columns(_dollars(numbers[price]["value"])) for price in prices}
    rows = frame.select("_line").with_columns(
        pl.lit(entity).alias("entity"),
        end["time"].alias("event_time"),
        known_after(end, source.delay, source.timezone).alias("known_time"),
        *(column["value"].alias(value) for value, column in numbers.items()),
        *([pl.lit(0).alias("side")] if source.table == "trade" else []),
        first_problem(
            frame["_problem"],
            milliseconds["problem"],
            start["problem"],
            *(column["problem"] for column in numbers.values()),
            _flagged(frame, keep=source.suspicious == "keep"),
        ).alias("_problem"),
    )
    return RawBatch(canonical(rows, source.table, index, member), ignored)


def _dollars(price: pl.Series) -> pl.Series:
    # NumPy rounds the quotient correctly, so that 1674200 is 167.42; Polars multiplies by the reciprocal of a literal,
    # which may miss it by one bit
    return pl.Series("value", price.to_numpy() / _EQUITY_UNITS)


def _asked_for(source: LeanZip, frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Ticks of the exchanges and conditions that the config asks for; rows that cannot be read stay."""
    if source.exchanges is None and not source.exclude_conditions:
        return frame, {}
    bits = pl.col("condition").str.strip_chars().str.to_integer(base=16, dtype=pl.Int64, strict=False)
    left_out = pl.lit(False)
    if source.exchanges is not None:
        left_out = ~pl.col("exchange").str.strip_chars().is_in(source.exchanges)
    excluded = (bits & source.excluded_bits) != 0
    marked = frame.select(
        other=(left_out & pl.col("_problem").is_null()).fill_null(False),
        excluded=(excluded & pl.col("_problem").is_null()).fill_null(False),
    )
    kept = frame.filter(~(marked["other"] | marked["excluded"]))
    others = int(marked["other"].sum())
    return kept, {OTHER_EXCHANGE: others, EXCLUDED_CONDITION: frame.height - kept.height - others}


def _flagged(frame: pl.DataFrame, *, keep: bool) -> pl.Series:
    if keep or "suspicious" not in frame.columns:
        return pl.Series([None], dtype=pl.String).new_from_index(0, frame.height)
    return pl.select(pl.when(frame["suspicious"].str.strip_chars() != "0").then(pl.lit(FLAGGED))).to_series()


def _two_sided(frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Quote bars with both sides; those with an empty side are counted: the quote table cannot hold them."""
    empty = (pl.col("bid_price") == "") | (pl.col("ask_price") == "")
    kept = frame.filter(~empty | pl.col("_problem").is_not_null())
    return kept, {ONE_SIDED: frame.height - kept.height}


def _pairs(frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Tick quotes: a bid row and the ask row after it, of one stamp, as one row at the ask row's line; a row that has
    both sides is a quote by itself."""
    second = _ASK & _BID.shift(1, fill_value=False) & (pl.col("time") == pl.col("time").shift(1))
    marked = frame.with_columns(
        _second=second.fill_null(False),
        **{f"_{name}": pl.col(name).shift(1) for name in ("bid_price", "bid_size", "suspicious")},
    ).with_columns(_first=pl.col("_second").shift(-1, fill_value=False))
    alone = (_BID | _ASK | _NEITHER).fill_null(False) & ~pl.col("_first") & ~pl.col("_second")
    unpaired = alone & pl.col("_problem").is_null()
    paired = marked.with_columns(
        bid_price=pl.when("_second").then("_bid_price").otherwise("bid_price"),
        bid_size=pl.when("_second").then("_bid_size").otherwise("bid_size"),
        suspicious=pl.when(pl.col("_second") & (pl.col("_suspicious") != "0"))
        .then("_suspicious")
        .otherwise("suspicious"),
        _problem=pl.when(unpaired).then(pl.lit(UNPAIRED)).otherwise("_problem"),
    ).filter(~pl.col("_first"))
    first_halves = frame.height - paired.height
    return paired.select(frame.columns), {"first_of_pair": first_halves}
