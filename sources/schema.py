"""The canonical tables: one registry of columns, types, units and clocks.

Every table carries two clocks, both `timestamp[ns, UTC]`:

    event_time  what the row is about (a bar's END, a trade's execution, an image's capture, a release's reference date)
    known_time  when the row could first be acted on (bar end plus feed delay, an item's receipt, a delivery, a vintage)

Rows are append-only: a revision is a new row of the same key with a later known_time. Rows of one partition are sorted
by (known_time, event_time), ties in the order of the file; the later of two tied rows is the later vintage.
"""

from dataclasses import dataclass

import polars as pl

TIME = pl.Datetime("ns", "UTC")
UNNAMED = "(unnamed)"
"""The entity of news that names nobody, of a source whose texts tell whom they are about."""


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One column: its Polars type, unit, and meaning. `nullable` columns may hold nulls; no other may. A file need not
    have a column that is `optional` or has a `default`: its rows then hold the default, else null."""

    name: str
    dtype: pl.DataType
    unit: str
    meaning: str
    nullable: bool = False
    default: int | bool | str | None = None
    optional: bool = False

    @property
    def needed(self) -> bool:
        """Whether a file must have it."""
        return not self.optional and self.default is None


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One canonical table. `key` identifies a fact, whose vintages share it; `partition` is the lake's folder layout:
    `session` is the trading day, `year` that of the session, `month` the UTC month of known_time."""

    name: str
    meaning: str
    columns: tuple[ColumnSpec, ...]
    key: tuple[str, ...]
    partition: tuple[str, ...]

    @property
    def schema(self) -> dict[str, pl.DataType]:
        return {column.name: column.dtype for column in self.columns}


_ENTITY = ColumnSpec("entity", pl.String(), "", "ticker, or the name of a market or region")
_CLOCKS = (
    ColumnSpec("event_time", TIME, "UTC", "what the row is about"),
    ColumnSpec("known_time", TIME, "UTC", "when the row could first be acted on"),
)
_SESSION = ColumnSpec("session", pl.Date(), "", "trading day of the exchange calendar that holds event_time")


def _price(name: str, meaning: str) -> ColumnSpec:
    return ColumnSpec(name, pl.Float64(), "quote currency", meaning)


def _told(name: str, dtype: pl.DataType, unit: str, meaning: str) -> ColumnSpec:
    """What a file may tell of a row, or not."""
    return ColumnSpec(name, dtype, unit, meaning, nullable=True, optional=True)


def _size(name: str, meaning: str) -> ColumnSpec:
    return ColumnSpec(name, pl.Float64(), "shares or contracts", meaning)


_SEQUENCE = ColumnSpec("sequence", pl.Int64(), "1", "the row's place in its feed, rising within (entity, session)")
_LAST = ColumnSpec(
    "last",
    pl.Boolean(),
    "",
    "whether the feed's message ends with this row: the book is whole only after such a row",
    default=True,
)

# book_update.action
SET, SNAPSHOT, GAP = 0, 1, 2
# order_event.action; SNAPSHOT and GAP mean the same in both tables
PLACED, CHANGED, CANCELLED, EXECUTED = 3, 4, 5, 6
ACTIONS = {
    "book_update": (SET, SNAPSHOT, GAP),
    "order_event": (SNAPSHOT, GAP, PLACED, CHANGED, CANCELLED, EXECUTED),
}
"""What may stand in the column `action` of each table of books."""

TABLES: dict[str, TableSpec] = {
    table.name: table
    for table in (
        TableSpec(
            "bar",
            "Open, high, low, close and volume of a fixed interval; event_time is the interval's END.",
            (
                _ENTITY,
                _SESSION,
                *_CLOCKS,
                _price("open", "first price of the interval"),
                _price("high", "highest price of the interval"),
                _price("low", "lowest price of the interval"),
                _price("close", "last price of the interval"),
                _size("volume", "traded in the interval"),
            ),
            key=("entity", "event_time"),
            partition=("entity", "year"),
        ),
        TableSpec(
            "trade",
            "One execution.",
            (
                _ENTITY,
                _SESSION,
                *_CLOCKS,
                _price("price", "price of the trade"),
                _size("size", "size of the trade"),
                ColumnSpec("side", pl.Int8(), "1", "+1 buyer was the aggressor, -1 seller was, 0 not told", default=0),
            ),
            key=("entity", "event_time", "price", "size"),
            partition=("entity", "session"),
        ),
        TableSpec(
            "quote",
            "Best bid and offer after a change; for a quote bar, those at the END of its interval.",
            (
                _ENTITY,
                _SESSION,
                *_CLOCKS,
                _price("bid_price", "best bid"),
                _size("bid_size", "size at the best bid"),
                _price("ask_price", "best offer"),
                _size("ask_size", "size at the best offer"),
            ),
            key=("entity", "event_time"),
            partition=("entity", "session"),
        ),
        TableSpec(
            "book_update",
            "Level-2 update: the total size now resting at a price. Each session begins with an empty book; that of a "
            "`continuous` source goes on from session to session, and is unknown before its first snapshot.",
            (
                _ENTITY,
                _SESSION,
                *_CLOCKS,
                _SEQUENCE,
                ColumnSpec(
                    "action",
                    pl.Int8(),
                    "1",
                    "0 sets the level; 1 (SNAPSHOT) the same after emptying the book; 2 (GAP) messages were lost "
                    "before this row, which is not applied: the book is unknown until the next 1",
                    default=SET,
                ),
                ColumnSpec("side", pl.Int8(), "1", "+1 bid, -1 ask"),
                _price("price", "price of the level"),
                _size("size", "total resting size; 0 removes the level"),
                _LAST,
            ),
            key=("entity", "session", "sequence"),
            partition=("entity", "session"),
        ),
        TableSpec(
            "order_event",
            "Level-3 event: what happened to one resting order. Snapshots, gaps and empty starts as in book_update.",
            (
                _ENTITY,
                _SESSION,
                *_CLOCKS,
                _SEQUENCE,
                ColumnSpec("order", pl.Int64(), "", "the venue's identifier of the order"),
                ColumnSpec(
                    "action",
                    pl.Int8(),
                    "1",
                    "3 placed with `size`; 4 changed: now rests at `price` with `size`; 5 `size` of it was cancelled; "
                    "6 `size` of it was executed; 1 placed after emptying the book (a snapshot's first order); 2 "
                    "messages were lost before this row, whose own order is not applied",
                ),
                ColumnSpec("side", pl.Int8(), "1", "+1 bid, -1 ask"),
                _price("price", "price at which the order rests (or rested)"),
                _size("size", "see action"),
                _LAST,
            ),
            key=("entity", "session", "sequence"),
            partition=("entity", "session"),
        ),
        TableSpec(
            "news",
            "One text item about one entity; an item about several is one row for each. Of a source with `link`, whose "
            f"texts tell whom they are about, an item that the file files under nobody is of {UNNAMED}.",
            (
                _ENTITY,
                *_CLOCKS,
                ColumnSpec("item", pl.String(), "", "identifier of the item, the same for each entity it names"),
                ColumnSpec("text", pl.String(), "", "headline, post or body as received"),
            ),
            key=("entity", "item"),
            partition=("entity", "month"),
        ),
        TableSpec(
            "event",
            "A scheduled event: event_time is when it happens, known_time when its schedule was public.",
            (
                _ENTITY,
                *_CLOCKS,
                ColumnSpec("kind", pl.String(), "", "event type of the config, e.g. fomc, nfp, cpi"),
                ColumnSpec("name", pl.String(), "", "the calendar's own name of the event"),
            ),
            key=("entity", "kind", "event_time"),
            partition=("entity",),
        ),
        TableSpec(
            "metric",
            "A value of a named series: macro, satellite-derived, card spend. Its vintages share the key: a revision "
            "is a new row with a later known_time, and no row is ever overwritten.",
            (
                ColumnSpec(
                    "entity",
                    pl.String(),
                    "",
                    "ticker, or the name of a market or region; empty where only the site is known, whose ticker the "
                    "site table tells as of each decision",
                ),
                ColumnSpec("site", pl.String(), "", "place within the entity: a store, a lot; empty: none", default=""),
                ColumnSpec("metric", pl.String(), "", "name of the series, e.g. vix_close, lot_fill"),
                ColumnSpec(
                    "event_time", TIME, "UTC", "what the value is about: its reference date, the capture of its image"
                ),
                _told("event_end", TIME, "UTC", "where it is of a period that starts at event_time: the period's end"),
                ColumnSpec("known_time", TIME, "UTC", "when the row could first be acted on: its release or delivery"),
                ColumnSpec(
                    "value", pl.Float64(), "the series' own", "the value; null withdraws the fact", nullable=True
                ),
                _told("unit", pl.String(), "", "unit of value and std, in the vendor's words"),
                _told("std", pl.Float64(), "the value's", "standard error of the value"),
                _told("quality", pl.String(), "", "the vendor's flag of quality"),
                _told("cloud_frac", pl.Float64(), "share", "of the site that clouds covered, 0 to 1"),
                _told("valid_frac", pl.Float64(), "share", "of the site that was seen and valid, 0 to 1"),
                _told(
                    "n_obs", pl.Float64(), "1", "observations behind the value; a mean over pixels need not be whole"
                ),
                _told("ingested_time", TIME, "UTC", "when the row was written where it was read from"),
                _told("vintage", pl.String(), "", "the vendor's name of the delivery that holds the row"),
                _told("supersedes", pl.String(), "", "the vintage that the row takes the place of"),
                _told("sensor", pl.String(), "", "what observed it, e.g. Sentinel-2"),
                _told("gsd", pl.Float64(), "metres", "ground sample distance of the sensor"),
                _told("method_version", pl.String(), "", "version of the method that made the value"),
                _told("licence", pl.String(), "", "licence of the value"),
            ),
            key=("entity", "site", "metric", "event_time"),
            partition=("entity",),
        ),
        TableSpec(
            "site",
            "Where an entity had a site, from when to when: event_time is since when it holds (an opening, or the "
            "day from which the site counts for this ticker), valid_to when it ended. A closing is a later vintage of "
            "the same key with valid_to; a row with valid_to = event_time withdraws the fact.",
            (
                _ENTITY,
                ColumnSpec("site", pl.String(), "", "identifier of the site in its list, e.g. a store number"),
                *_CLOCKS,
                ColumnSpec(
                    "valid_to", TIME, "UTC", "first moment at which it no longer holds; null: open", nullable=True
                ),
                ColumnSpec("latitude", pl.Float64(), "degrees north, WGS 84", "of the site, or inside its polygon"),
                ColumnSpec("longitude", pl.Float64(), "degrees east, WGS 84", "of the site, or inside its polygon"),
                ColumnSpec("region", pl.String(), "", "region that holds it, e.g. US-TX", nullable=True),
                ColumnSpec("geometry", pl.String(), "WKT, degrees", "polygon, where the list tells one", nullable=True),
                ColumnSpec("name", pl.String(), "", "the list's own name of the site", nullable=True),
                ColumnSpec("brand", pl.String(), "", "banner on the door, where the list tells it", nullable=True),
            ),
            key=("entity", "site", "event_time"),
            partition=("entity",),
        ),
    )
}
