"""What becomes of orders in Databento's market-by-order records.

A, C and M place, cancel and change an order. T reports a trade and F the resting orders that it filled; neither changes
the book, but the C or M of the same order that follows in the same message does. So an execution is written where the
book changes: a C or M first executes what was filled, as far as the order showed it, and only what is left of it is a
cancellation or a change. An order that was filled whole and shows again (an iceberg) is placed anew: it is last in the
queue. A fill that no C or M follows changes nothing, as one that names an order never added.

R empties the book, and so does the first record of a snapshot. Only a row of an order can tell it: the next that is
placed or changed has action 1.
"""

import polars as pl

from sources.readers.live_orders import LiveOrders
from sources.schema import CANCELLED, CHANGED, EXECUTED, PLACED, SNAPSHOT

UNKNOWN_ACTION = "unknown_action"
UNPARSABLE_SIDE = "unparsable_side"
UNDEFINED_PRICE = "undefined_price"
_ADD, _CANCEL, _MODIFY, _TRADE, _FILL, _CLEAR, _NONE = (ord(letter) for letter in "ACMTFRN")
_COUNTED = {_TRADE: "trade_record", _FILL: "fill_record", _CLEAR: "clear_record", _NONE: "record_of_no_action"}


class OrderMessages:
    """The records of one file, of which the past is remembered as far as it is needed; any cut into calls gives the
    same rows."""

    def __init__(self) -> None:
        self._live = LiveOrders(("instrument", "order"))
        self._fills = pl.DataFrame(schema={"instrument": pl.UInt32, "order": pl.Int64, "size": pl.Int64})
        self._in_snapshot: set[int] = set()
        self._emptied: set[int] = set()

    def happened(self, records: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
        """Rows of `order_event` (with `part`, the place within the record), and the records that give none."""
        action, side = pl.col("action"), pl.col("side")
        changes = action.is_in([_ADD, _CANCEL, _MODIFY])
        counts = {name: records.filter(action == letter).height for letter, name in _COUNTED.items()}
        records = records.with_columns(
            _problem=pl.coalesce(
                "_problem",
                pl.when(~changes & ~action.is_in(list(_COUNTED))).then(pl.lit(UNKNOWN_ACTION)),
                pl.when(changes & ~side.is_in([ord("A"), ord("B")])).then(pl.lit(UNPARSABLE_SIDE)),
                pl.when(changes & pl.col("price").is_null()).then(pl.lit(UNDEFINED_PRICE)),
            )
        )
        records = self._with_fills(self._with_snapshots(records))
        orders = records.filter(~action.is_in(list(_COUNTED)))
        good, bad = orders.filter(pl.col("_problem").is_null()), orders.filter(pl.col("_problem").is_not_null())
        placing = action.is_in([_ADD, _MODIFY])
        good = good.with_columns(
            pl.when(side == ord("B")).then(1).otherwise(-1).alias("side"),
            sets=pl.when(placing).then("size"),
            takes=pl.when(action == _CANCEL).then("size"),
            _price=pl.col("price"),
            price=pl.when(placing).then("price"),
        )
        rows = _rows(self._live.before(good))
        bad = bad.select(pl.exclude("side", "size", "action"), part=pl.lit(1), side=None, size=None, action=None)
        return pl.concat([rows, bad], how="diagonal_relaxed").sort("_line", "part"), counts

    def _with_snapshots(self, records: pl.DataFrame) -> pl.DataFrame:
        """Adds `_first`: the order is the first after its instrument's book was emptied."""
        if records.is_empty():
            return records.with_columns(_first=pl.lit(False))
        snapshot, instrument = pl.col("snapshot"), pl.col("instrument")
        before = pl.coalesce(snapshot.shift(1).over("instrument"), instrument.is_in(list(self._in_snapshot)))
        emptied = (pl.col("action") == _CLEAR) | (snapshot & ~before)
        places = pl.col("action").is_in([_ADD, _MODIFY]) & pl.col("_problem").is_null()
        records = records.with_columns(
            _books=emptied.cum_sum().over("instrument") + instrument.is_in(list(self._emptied)).cast(pl.UInt32),
            _places=places,
        )
        nth = pl.col("_places").cast(pl.UInt32).cum_sum().over("instrument", "_books")
        records = records.with_columns(_nth=nth, _first=pl.col("_places") & (nth == 1) & (pl.col("_books") > 0))
        latest = records.group_by("instrument").last()
        seen = set(latest["instrument"])
        waiting = latest.filter((pl.col("_books") > 0) & (pl.col("_nth") == 0))
        self._in_snapshot = (self._in_snapshot - seen) | set(latest.filter("snapshot")["instrument"])
        self._emptied = (self._emptied - seen) | set(waiting["instrument"])
        return records.drop("_books", "_places", "_nth")

    def _with_fills(self, records: pl.DataFrame) -> pl.DataFrame:
        """Adds `_filled` to C and M: what the message's F records before it filled of the order."""
        if records.is_empty():
            return records.with_columns(_filled=pl.lit(0, dtype=pl.Int64))
        turns, fills = pl.col("action").is_in([_CANCEL, _MODIFY]), pl.col("action") == _FILL
        ended = pl.col("last").shift(1).over("instrument").fill_null(False)
        records = records.with_columns(_message=ended.cast(pl.UInt32).cum_sum().over("instrument"))
        order = ["instrument", "_message", "order"]
        rows = records.filter(turns | fills).select(*order, "_line", "size", _turns=turns)
        begun = self._fills.with_columns(_message=pl.lit(0, dtype=pl.UInt32), _line=None, _turns=False)
        rows = pl.concat([begun.select(rows.columns), rows], how="vertical_relaxed")
        # few orders are filled, and only what is said of them in the same message matters
        rows = rows.join(rows.filter(~pl.col("_turns")).select(order).unique(), on=order, how="semi")
        # an order's C or M takes the fills that came since its last one
        turn = pl.col("_turns").cast(pl.UInt32).cum_sum().over(order) - pl.col("_turns").cast(pl.UInt32)
        taken = rows.group_by(*order, turn.alias("_turn"), maintain_order=True).agg(
            _filled=pl.col("size").filter(~pl.col("_turns")).sum(), _line=pl.col("_line").filter("_turns").last()
        )
        now = records.group_by("instrument").agg(_now=pl.col("_message").last(), _ended=pl.col("last").last())
        waiting = taken.filter(pl.col("_line").is_null()).join(now, on="instrument", how="left")
        # an instrument without a record in this call is still in its message
        unfinished = pl.col("_now").is_null() | (~pl.col("_ended") & (pl.col("_message") == pl.col("_now")))
        self._fills = waiting.filter(unfinished).select("instrument", "order", size="_filled")
        filled = taken.drop_nulls("_line").select("_line", "_filled")
        return (
            records.drop("_message")
            .join(filled, on="_line", how="left", maintain_order="left")
            .with_columns(pl.col("_filled").fill_null(0))
        )


def _rows(orders: pl.DataFrame) -> pl.DataFrame:
    action, size, before, filled = (pl.col(name) for name in ("action", "size", "size_before", "_filled"))
    cancels, modifies = action == _CANCEL, action == _MODIFY
    shown = pl.when(cancels).then(pl.min_horizontal(filled, size)).otherwise(pl.min_horizontal(filled, before))
    left = before - shown
    moved = pl.col("_price") != pl.col("price_before")
    orders = orders.with_columns(
        _executed=pl.when(cancels | modifies).then(shown).fill_null(0),
        _second=pl.when(action == _ADD)
        .then(pl.when("_first").then(SNAPSHOT).otherwise(PLACED))
        .when(cancels & (size > shown))
        .then(CANCELLED)
        .when(modifies & pl.col("_first"))
        .then(SNAPSHOT)
        .when(modifies & (filled > 0) & (left == 0))
        .then(PLACED)
        .when(modifies & ((filled == 0) | before.is_null() | moved | (left != size)))
        .then(CHANGED),
    )
    both = (pl.col("_executed") > 0) & pl.col("_second").is_not_null()
    first = orders.filter(pl.col("_executed") > 0).with_columns(
        action=pl.lit(EXECUTED),
        price=pl.coalesce("price_before", "_price"),
        size=pl.col("_executed"),
        last=pl.col("last") & ~both,
        part=pl.lit(0),
    )
    second = orders.filter(pl.col("_second").is_not_null()).with_columns(
        action=pl.col("_second"),
        price=pl.col("_price"),
        size=pl.when(cancels).then(size - pl.col("_executed")).otherwise(size),
        part=pl.lit(1),
    )
    return pl.concat([first, second])
