"""Sessions of bars cut into slots of one length: what features of the time of day and of past sessions are made of.

Rows of the table are the sessions in which a stream has bars, entity by entity; columns are slots from the open on. A
decision sees the slots of its session that a bar known to it has closed: one that ends at the slot's end or later. A
stream takes no earlier bar after it, so a slot's values never change once a decision has seen them; nor do those of
earlier sessions, for before its session's first bar is known a decision sees nothing at all.
"""

import math
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

import numpy as np
import polars as pl

from fusion.asof import nanoseconds
from fusion.features.bar_rows import Array, BarRows, BarSettings, Int64s
from fusion.volatility.bins import SessionBins, ahead, bins_of
from fusion.volatility.events import event_multiplier
from gpu_kernels.durations import DAY, format_duration
from gpu_kernels.errors import ConfigError
from gpu_kernels.volatility import diurnal, diurnal_fourier
from sources.sessions import sessions_around

# weekdays, of which some markets know seven
_CLASSES = 7


@dataclass(frozen=True)
class Slots:
    """(S, K) tables of all sessions.

    entities  (E + 1,) rows of each entity
    returns   log return over the slot; NaN, or 0 with `repeat`, where no bar ended in it
    volume    traded in the slot, NaN likewise
    lengths   slots of each session by its hours
    row       of each decision, -1 where it sees no bar
    closed    how many slots of its session each decision sees
    now       the slot in which each decision lies
    """

    opens: Int64s
    closes: Int64s
    entities: Int64s
    interval: int
    returns: Array
    volume: Array
    day_class: Int64s
    row: Int64s
    closed: Int64s
    now: Int64s

    @property
    def width(self) -> int:
        return int(self.returns.shape[1])

    @property
    def lengths(self) -> Int64s:
        found: Int64s = np.minimum((self.closes - self.opens) // self.interval, self.width)
        return found

    def bins(self, first: int, last: int) -> SessionBins:
        """The sessions first to last - 1, of one entity, as the forecasts take them."""
        rows = slice(first, last)
        returns = self.returns[rows]
        return SessionBins(self.opens[rows], self.closes[rows], self.interval, returns, returns**2)

    def of_entities(self) -> list[tuple[int, int]]:
        return list(pairwise(self.entities.tolist()))

    def at(self, values: Array, slot: Int64s | None = None) -> Array:
        """At each decision the value of its session, or of a slot of it; missing where it sees no bar, or the slot is
        not of the session."""
        seen = self.row >= 0
        if slot is None:
            return np.where(seen, values[np.maximum(self.row, 0)] if len(values) else np.nan, np.nan)
        seen = seen & (slot >= 0) & (slot < self.width)
        out = np.full(len(self.row), np.nan)
        out[seen] = values[self.row[seen], slot[seen]]
        return out

    def before(self, values: Array) -> Array:
        """At each decision the value of the entity's last session before that has bars."""
        earlier = np.full(len(values), np.nan)
        earlier[1:] = values[:-1]
        firsts = self.entities[:-1]
        earlier[firsts[firsts < len(values)]] = np.nan
        return self.at(earlier)

    def last(self, values: Array, slots: int) -> Array:
        """At each decision the sum over the last so many slots that it sees, of those that are there; missing before
        the session has had so many since its first price."""
        sums = _sums(np.where(np.isnan(values), 0.0, values), slots)
        there = ~np.isnan(self.returns)
        begun = np.where(there.any(axis=1), there.argmax(axis=1), self.width) if len(there) else np.zeros(0, np.int64)
        first = self.closed - slots
        enough = first >= self.at(begun.astype(np.float64)) if len(begun) else np.zeros(len(first), bool)
        return np.where(enough, self.at(sums, first), np.nan)

    def ahead(self, values: Array, slots: int) -> Array:
        """At each decision the mean over so many slots from its own on, or as many as the session still has."""
        inside = (np.arange(self.width) < self.lengths[:, None]) & ~np.isnan(values)
        total, count = _sums(np.where(inside, values, 0.0), slots), _sums(inside.astype(np.float64), slots)
        mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
        return self.at(mean, self.now)

    def sum_ahead(self, values: Array, slots: int) -> Array:
        """At each decision the sum over so many slots from its own on; missing where the session has fewer left, or
        one of them has no value."""
        inside = np.arange(self.width) < self.lengths[:, None]
        return self.at(ahead(np.where(inside, values, np.nan), slots), self.now)


def _sums(values: Array, slots: int) -> Array:
    """(S, K) sum of each slot and the following ones, so many in all, 0 after the last; each summed by itself."""
    padded = np.concatenate([values, np.zeros((len(values), slots - 1))], axis=1)
    found: Array = np.lib.stride_tricks.sliding_window_view(padded, slots, axis=1).sum(axis=2)
    return found


def slots_of(rows: BarRows) -> Slots:
    """The table of a stream."""
    interval = rows.settings.volatility.interval
    stream, offsets = rows.stream, rows.offsets
    heads = stream[offsets[:-1].tolist()].select("entity", "session") if stream.height else stream.head(0)
    opens, closes, width = _hours(heads, rows.settings)
    time, opening, close = rows.event_time, rows.column("open"), rows.column("close")
    session_of = np.repeat(np.arange(len(opens)), np.diff(offsets))
    shape = len(opens), width
    returns = np.full(shape, np.nan)
    entities = _runs(heads)
    for first, last in pairwise(entities.tolist()):
        part = slice(int(offsets[first]), int(offsets[last]))
        hours, repeat = (opens[first:last], closes[first:last]), rows.settings.volatility.repeat
        bins = bins_of(time[part], opening[part], close[part], *hours, step=interval, fine=interval, repeat=repeat)
        found = bins.returns[:, :width]
        returns[first:last, : found.shape[1]] = found
    # a bar that ends at a slot's end is its last
    slot = (time - opens[session_of] - 1) // interval
    inside = (slot >= 0) & (slot < width)
    cell, traded = session_of[inside] * width + slot[inside], rows.column("volume")[inside]
    total = np.bincount(cell, weights=traded, minlength=returns.size).reshape(shape)
    volume: Array = np.where(np.isnan(returns), np.nan, total)
    weekday = (opens // DAY + 3) % _CLASSES
    short = (closes - opens) // interval < width
    index = rows.index
    row = np.where(index >= 0, session_of[np.maximum(index, 0)] if len(session_of) else -1, -1)
    held = np.maximum(row, 0)
    begun = opens[held] if len(opens) else np.zeros(len(row), np.int64)
    length = closes[held] - begun if len(opens) else np.zeros(len(row), np.int64)
    seen = time[np.maximum(index, 0)] if len(time) else np.zeros(len(row), np.int64)
    return Slots(
        opens,
        closes,
        entities,
        interval,
        returns,
        volume,
        np.where(short, -1, weekday).astype(np.int64),
        row,
        np.where(row >= 0, np.minimum(seen - begun, length) // interval, 0),
        np.where(row >= 0, (nanoseconds(rows.grid["decision_time"]) - begun) // interval, -1),
    )


def _runs(heads: pl.DataFrame) -> Int64s:
    counts = heads["entity"].rle().struct.field("len").to_numpy() if heads.height else np.zeros(0, np.int64)
    found: Int64s = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return found


def _hours(heads: pl.DataFrame, settings: BarSettings) -> tuple[Int64s, Int64s, int]:
    """Where the slots of each session begin and end, and how many a full one has."""
    if heads.is_empty():
        return np.zeros(0, np.int64), np.zeros(0, np.int64), 1
    options = settings.volatility
    first, last = heads["session"].min(), heads["session"].max()
    # the year from the first session on tells how long a full one is, wherever the data end
    year = first + timedelta(days=365)  # type: ignore[operator]
    trading = sessions_around(settings.calendar, first, max(last, year))  # type: ignore[arg-type, type-var]
    opens = nanoseconds(trading["open"]) + options.first
    trading = trading.select(
        "session", open=opens, close=np.maximum(nanoseconds(trading["close"]) - options.last, opens)
    )
    near = trading.filter(pl.col("session").is_between(first, year))
    length = (near["close"] - near["open"]).to_numpy().max(initial=0)
    found = heads.join(trading, on="session", how="left", maintain_order="left")
    width = max(int(length // options.interval), 1)
    return found["open"].to_numpy(), found["close"].to_numpy(), width


def pattern_of(rows: BarRows, what: str) -> tuple[Array, Array]:
    """The factor of each slot (S, K) and the level of each session (S,), of "variance" or "volume", from the sessions
    before it; level x factor is what a slot is expected to be."""
    slots: Slots = rows.once(slots_of)
    options = rows.settings.volatility
    table = slots.returns**2 if what == "variance" else slots.volume
    sessions, width = table.shape
    place = np.tile(np.arange(width, dtype=np.int64), sessions)
    offsets = np.arange(sessions + 1, dtype=np.int64) * width
    arguments = (table.ravel(), place, offsets, slots.lengths, slots.day_class, slots.entities)
    shared = {"slots": max(width, 1), "classes": _CLASSES, "half_life": options.half_life}
    if not sessions:
        return np.zeros((0, width)), np.zeros(0)
    if what == "volume":
        # plain means: it has no square of a normal variable in it, which clipping is made for
        return diurnal.pattern(*arguments, **shared, cut=math.inf)  # type: ignore[arg-type]
    factor, level = diurnal.pattern(*arguments, **shared)  # type: ignore[arg-type]
    if options.pattern == "fourier":
        factor = diurnal_fourier.pattern(*arguments, **shared)  # type: ignore[arg-type]
    return factor, level


def multiplier_of(rows: BarRows) -> Array:
    """(S, K) what scheduled events are expected to multiply each slot's variance by; 1 without a calendar."""
    slots: Slots = rows.once(slots_of)
    out = np.ones(slots.returns.shape)
    if rows.settings.events is None:
        return out
    factor, level = rows.once(pattern_of, "variance")
    for first, last in slots.of_entities():
        events = known_events(_events_of(rows, first), slots.opens[first:last])
        out[first:last] = event_multiplier(
            slots.bins(first, last), level[first:last, None] * factor[first:last], events
        )
    return out


def _events_of(rows: BarRows, session: int) -> pl.DataFrame:
    """Those that concern the entity of a session: its own, and those of a market or region."""
    assert rows.settings.events is not None
    entity = rows.stream["entity"][int(rows.offsets[session])]
    others = rows.grid.select(pl.col("entity").unique()).filter(pl.col("entity") != entity)["entity"]
    return rows.settings.events.filter(~pl.col("entity").is_in(others.implode()))


def known_events(events: pl.DataFrame, opens: Int64s) -> dict[str, Int64s]:
    """Times of each kind's events that were known when the session that holds them opened."""
    event, known = nanoseconds(events["event_time"]), nanoseconds(events["known_time"])
    session = np.searchsorted(opens, event, side="right") - 1
    usable = (session >= 0) & (known <= opens[np.maximum(session, 0)]) if len(opens) else np.zeros(len(event), bool)
    kinds = events["kind"].to_numpy()
    return {kind: np.unique(event[usable & (kinds == kind)]) for kind in sorted(set(kinds.tolist()))}


def expected_of(rows: BarRows) -> Array:
    """(S, K) variance that a slot is expected to have when its session opens: level x time of day x events."""
    factor, level = rows.once(pattern_of, "variance")
    found: Array = level[:, None] * factor * rows.once(multiplier_of)
    return found


def slots_in(rows: BarRows, time: int) -> int:
    """How many slots a time is. Raises ConfigError where they are not whole."""
    interval = rows.settings.volatility.interval
    if time % interval:
        raise ConfigError(
            f"a feature of {format_duration(time)} is of no whole number of slots",
            allowed=f"multiples of volatility.interval, {format_duration(interval)}",
        )
    return time // interval
