"""Binance messages as arrays, by one pass over the bytes of a block of lines `<local ns> <JSON>`.

The pass reads JSON as the exchange writes it: no blanks, no escapes, prices and sizes as decimal strings. Every line
that deviates goes to the JSON library, is written in that shape and tried once more; what fails then is damaged. A
decimal of at most 15 digits becomes the nearest float64; of one with 16 to 18 the last bit may be off.
"""

import json
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]
# what a line is; DEVIATES is only left where the JSON library could not help either
BLANK, NO_CLOCK, DEVIATES, OTHER, DEPTH, SNAPSHOT, QUOTE, TRADE = range(8)
ABSENT = -1
_FIRST, _UPDATE, _BEFORE, _SENT, _MATCHED, _CLOCK, _SYMBOL, _SYMBOL_END = range(8)
_POWERS = 10.0 ** np.arange(19)
_QUOTE_MARK, _COMMA, _COLON, _OPEN, _CLOSE, _LIST, _END_LIST = (ord(each) for each in '",:{}[]')
_SPACE, _RETURN, _POINT, _ZERO, _NINE, _ESCAPE, _AT, _MINUS = (ord(each) for each in " \r.09\\@-")


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a block; arrays are of one length, and ABSENT is what a line does not tell.

    start, end         the line's bytes
    kind               BLANK .. TRADE
    meant              of DEVIATES the kind that it was seen to be of, BLANK where it could be any
    local              receipt by the local clock, ns
    first, update, before   U, u (of a snapshot lastUpdateId) and pu
    sent, matched      E and T, ms
    values             of a quote b, B, a, A; of a trade p, q
    seller, market     of a trade whether the seller was the aggressor (`m`), and whether it is one of the market (`X`)
    level, bids, asks  of DEPTH and SNAPSHOT: place of the first level in `price` and `size`, bids first, and how many
    symbol, symbol_end the bytes of `s`
    """

    start: Array
    end: Array
    kind: Array
    meant: Array
    local: Array
    first: Array
    update: Array
    before: Array
    sent: Array
    matched: Array
    values: Array
    seller: Array
    market: Array
    level: Array
    bids: Array
    asks: Array
    symbol: Array
    symbol_end: Array
    price: Array
    size: Array


def parse(block: bytes, *wanted: int) -> Lines:
    """The lines of a block of whole lines.

    wanted  any of DEPTH (with its SNAPSHOT), QUOTE and TRADE: of the others no more is read than their clocks

    Missing values: ABSENT, and NaN in `values`.
    """
    asked = np.isin(np.arange(TRADE + 1), wanted)
    found, texts = _parse(block, asked), list[bytes]()
    again = list[int]()
    for line in np.flatnonzero(found.kind == DEVIATES):
        plain = _plain(block[found.start[line] : found.end[line]])
        if plain is not None:
            again.append(int(line))
            texts.append(plain)
    if not again:
        return found
    other = _parse(b"\n".join(texts), asked)
    for name in (
        "kind",
        "meant",
        "local",
        "first",
        "update",
        "before",
        "sent",
        "matched",
        "values",
        "seller",
        "market",
    ):
        getattr(found, name)[again] = getattr(other, name)
    found.level[again] = other.level + len(found.price)
    found.bids[again], found.asks[again] = other.bids, other.asks
    levels = {name: np.concatenate([getattr(found, name), getattr(other, name)]) for name in ("price", "size")}
    return Lines(**{name: getattr(found, name) for name in Lines.__slots__} | levels)


def only(found: Lines, wanted: int) -> Lines:
    """The lines as far as they concern one kind, the same whatever else the pass wanted. Of the others only E is told,
    and of a snapshot not even that."""
    kept = np.zeros(TRADE + 1, bool)
    kept[[BLANK, NO_CLOCK, wanted, SNAPSHOT if wanted == DEPTH else wanted]] = True
    meant = np.where(found.kind == DEVIATES, found.meant, found.kind)
    other = ~kept[meant]
    return replace(
        found,
        kind=np.where(other, OTHER, found.kind),
        sent=np.where(other & (found.meant == SNAPSHOT), ABSENT, found.sent),
        matched=np.where(other, ABSENT, found.matched),
    )


def _parse(block: bytes, wanted: Array) -> Lines:
    data = np.frombuffer(block, np.uint8)
    breaks = np.flatnonzero(data == ord("\n"))
    end = breaks if not block or block.endswith(b"\n") else np.append(breaks, len(data))
    start = np.append(0, breaks + 1)[: len(end)]
    count = len(end)
    kind, flags, levels = np.empty((2, count), np.uint8), np.empty((count, 2), np.uint8), np.empty((count, 3), np.int64)
    clocks, values = np.empty((8, count), np.int64), np.empty((count, 4))
    room = int(np.count_nonzero(data == _LIST)) if wanted[DEPTH] else 0
    price, size = np.empty(room), np.empty(room)
    used = _walk(data, start, end, wanted, kind, clocks, values, flags, levels, price, size)
    first, update, before, sent, matched, local, symbol, symbol_end = clocks
    return Lines(
        start=start,
        end=end,
        kind=kind[0],
        meant=kind[1],
        local=local,
        first=first,
        update=update,
        before=before,
        sent=sent,
        matched=matched,
        values=values,
        seller=flags[:, 0],
        market=flags[:, 1],
        level=levels[:, 0],
        bids=levels[:, 1],
        asks=levels[:, 2],
        symbol=symbol,
        symbol_end=symbol_end,
        price=price[:used],
        size=size[:used],
    )


# --- a line that the exchange would not have written so ---------------------------------------------------------------

_INTEGERS = ("lastUpdateId", "E", "T", "U", "u", "pu")
_TEXTS = ("e", "s", "X")
_NUMBERS = {"p": "p", "q": "q", "B": "B", "A": "A"}
_SIDES = {"b": "b", "a": "a", "bids": "bids", "asks": "asks"}


def _plain(text: bytes) -> bytes | None:
    """A line that is valid JSON, as the exchange writes it; None where it is not, or its fields are of other types."""
    clock, _, body = text.strip().partition(b" ")
    try:
        whole = json.loads(body, parse_float=str, parse_constant=_refused)
        message = whole.get("data", whole)
        fields = {name: value for name, value in message.items() if name in _INTEGERS or name in _TEXTS or name == "m"}
        if any(not isinstance(fields.get(name, 0), int | None) for name in _INTEGERS):
            return None
        fields |= {name: _number(message[name]) for name in _NUMBERS if name in message}
        for name in _SIDES:
            if isinstance(message.get(name), list):
                fields[name] = [[_number(price), _number(size)] for price, size, *_ in message[name]]
            elif name in message:
                fields[name] = _number(message[name])
        told = {"stream": whole["stream"], "data": fields} if "stream" in whole else fields
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None
    return clock + b" " + json.dumps(told, separators=(",", ":")).encode()


def _number(value: object) -> str:
    number = Decimal(str(value))
    if isinstance(value, bool) or not number.is_finite():
        raise ValueError(value)
    return format(number, "f")


def _refused(constant: str) -> None:
    raise ValueError(constant)


# --- the pass over the bytes ------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _is(data, at, end, word):
    """Whether the bytes from `at` to `end` are this word."""
    if end - at != len(word):
        return False
    for place in range(len(word)):  # noqa: SIM110 - compiled
        if data[at + place] != word[place]:
            return False
    return True


@njit(cache=True, nogil=True)
def _integer(data, at, end):
    """(value, place after it) of the digits at `at`; ABSENT where there are none, or more than int64 holds."""
    value, place = np.int64(0), at
    while place < end and _ZERO <= data[place] <= _NINE:
        value = value * 10 + (np.int64(data[place]) - _ZERO)
        place += 1
    if place == at or place - at > 19 or value < 0 or (data[at] == _ZERO and place - at > 1):
        return np.int64(ABSENT), at
    return value, place


@njit(cache=True, nogil=True)
def _decimal(data, at, end, powers):
    """(value, place of the mark that ends it) of a decimal string from `at`; NaN where it is none that fits."""
    digits, places, point, place = np.int64(0), 0, -1, at
    while place < end:
        byte = data[place]
        if _ZERO <= byte <= _NINE:
            if digits > 99_999_999_999_999_999:
                return np.nan, at
            digits = digits * 10 + (np.int64(byte) - _ZERO)
            places += 1
        elif byte == _POINT and point < 0:
            point = places
        else:
            break
        place += 1
    behind = 0 if point < 0 else places - point
    # digits on both sides of a point
    whole = places > behind and (point < 0 or behind > 0)
    if not whole or behind > 18 or place >= end or data[place] != _QUOTE_MARK:
        return np.nan, at
    # both are exact below 2**53, so that the quotient is the nearest float64
    return np.float64(digits) / powers[behind], place


@njit(cache=True, nogil=True)
def _levels(data, at, end, powers, price, size, used):  # noqa: PLR0911
    """(levels, place after the list) of `[["price","size"],..]` at `at`; ABSENT where it is no such list."""
    if at + 1 >= end or data[at] != _LIST:
        return np.int64(ABSENT), at
    place, count = at + 1, np.int64(0)
    if data[place] == _END_LIST:
        return count, place + 1
    while place + 1 < end and data[place] == _LIST and data[place + 1] == _QUOTE_MARK:
        value, stop = _decimal(data, place + 2, end, powers)
        # a level at no price is no level; `not >` refuses NaN too
        if not value > 0 or stop + 2 >= end or data[stop + 1] != _COMMA or data[stop + 2] != _QUOTE_MARK:
            return np.int64(ABSENT), at
        amount, stop = _decimal(data, stop + 3, end, powers)
        if not amount >= 0 or stop + 2 >= end or data[stop + 1] != _END_LIST:
            return np.int64(ABSENT), at
        if len(price):
            price[used + count], size[used + count] = value, amount
        count += 1
        place = stop + 2
        if data[place] == _END_LIST:
            return count, place + 1
        if data[place] != _COMMA:
            return np.int64(ABSENT), at
        place += 1
    return np.int64(ABSENT), at


@njit(cache=True, nogil=True)
def _stream_kind(data, at, end):
    """What a stream's name says: `btcusdt@depth@100ms` are changes, but `@depth20` are the best levels alone."""
    place = at
    while place < end and data[place] != _AT:
        place += 1
    stop = place + 1
    while stop < end and data[stop] != _AT:
        stop += 1
    if _is(data, place, stop, b"@depth"):
        return DEPTH
    if _is(data, place, stop, b"@bookTicker"):
        return QUOTE
    return TRADE if _is(data, place, stop, b"@trade") else OTHER


@njit(cache=True, nogil=True)
def _event_kind(data, at, end):
    if _is(data, at, end, b"depthUpdate"):
        return DEPTH
    if _is(data, at, end, b"bookTicker"):
        return QUOTE
    return TRADE if _is(data, at, end, b"trade") else OTHER


@njit(cache=True, nogil=True)
def _field(data, key, stop):  # noqa: PLR0911
    """Place of an integer field in `clocks`, ABSENT for another key."""
    if stop - key == 1:
        byte = data[key]
        if byte == ord("U"):
            return _FIRST
        if byte == ord("u"):
            return _UPDATE
        if byte == ord("E"):
            return _SENT
        if byte == ord("T"):
            return _MATCHED
    elif _is(data, key, stop, b"pu"):
        return _BEFORE
    elif _is(data, key, stop, b"lastUpdateId"):
        return _UPDATE
    return ABSENT


@njit(cache=True, nogil=True)
def _side(data, key, stop, place, end, line, powers, levels, price, size, used):
    """Place after the list of levels that begins at `place`, ABSENT where it is no such list; bids come first."""
    bids = _is(data, key, stop, b"b") or _is(data, key, stop, b"bids")
    if not (bids or _is(data, key, stop, b"a") or _is(data, key, stop, b"asks")):
        return ABSENT
    if levels[line, 2] != ABSENT or (levels[line, 1] == ABSENT) != bids:
        return ABSENT
    before = np.int64(0) if bids else levels[line, 1]
    count, after = _levels(data, place, end, powers, price, size, used + before)
    levels[line, 1 if bids else 2] = count
    return ABSENT if count == ABSENT else after


@njit(cache=True, nogil=True)
def _text(data, key, stop, text, end, line, kind, powers, clocks, values, flags):
    """The kind of the line as far as it is known after the text field that ends at `end`."""
    if _is(data, key, stop, b"stream"):
        return _stream_kind(data, text, end)
    if stop - key != 1:
        return kind
    name, column = data[key], ABSENT
    if name == ord("e") and kind == BLANK:
        # where the stream is named its name knows better: the best levels alone are `depthUpdate` too
        return _event_kind(data, text, end)
    if name == ord("s"):
        clocks[_SYMBOL, line], clocks[_SYMBOL_END, line] = text, end
    elif name == ord("X"):
        flags[line, 1] = _is(data, text, end, b"MARKET")
    elif name in (ord("b"), ord("p")):
        column = 0
    elif name in (ord("B"), ord("q")):
        column = 1
    elif name == ord("a"):
        column = 2
    elif name == ord("A"):
        column = 3
    if column != ABSENT:
        values[line, column] = _decimal(data, text, end + 1, powers)[0]
    return kind


@njit(cache=True, nogil=True)
def _literal(data, key, stop, place, end, line, flags):
    """Place after true, false or null; ABSENT where it is none of them."""
    after = place
    while after < end and data[after] >= ord("a"):
        after += 1
        if after < end and data[after] == _CLOSE:
            break
    yes = _is(data, place, after, b"true")
    if not (yes or _is(data, place, after, b"false") or _is(data, place, after, b"null")):
        return ABSENT
    if _is(data, key, stop, b"m"):
        flags[line, 0] = yes
    return after


@njit(cache=True, nogil=True)
def _told(values, line, count):
    """Whether the first `count` numbers of the line are there."""
    for place in range(count):  # noqa: SIM110 - compiled
        if np.isnan(values[line, place]):
            return False
    return True


@njit(cache=True, nogil=True)
def _whole(line, kind, clocks, values, flags, levels):
    """Whether a line read to its end tells what its kind must; else DEVIATES."""
    if kind in (DEPTH, SNAPSHOT):
        told = clocks[_UPDATE, line] != ABSENT and (kind == SNAPSHOT or clocks[_FIRST, line] != ABSENT)
        return kind if told and levels[line, 1] >= 0 and levels[line, 2] >= 0 else DEVIATES
    return (
        kind if _told(values, line, 4 if kind == QUOTE else 2) and (kind == QUOTE or flags[line, 0] <= 1) else DEVIATES
    )


@njit(cache=True, nogil=True)
def _line(  # noqa: PLR0911, PLR0912 - one pass
    data, at, end, line, wanted, meant, powers, clocks, values, flags, levels, price, size, used
):
    """The kind of the line whose JSON begins at `at`; its fields go to row `line`. Wherever it ends, `meant` holds what
    it was seen to be of."""
    kind, place, depth, begins = BLANK, at + 1, 1, True
    if data[at] != _OPEN:
        return DEVIATES
    while depth:
        if place < end and data[place] == _CLOSE:
            depth, place, begins = depth - 1, place + 1, False
            continue
        if not begins and place < end:
            place = place + 1 if data[place] == _COMMA else end
        if place >= end or data[place] != _QUOTE_MARK:
            return DEVIATES
        key = stop = place + 1
        while stop < end and data[stop] != _QUOTE_MARK:
            stop += 1
        place = stop + 2
        if place >= end or data[stop + 1] != _COLON:
            return DEVIATES
        begins = data[place] == _OPEN
        if begins:
            if depth != 1 or not _is(data, key, stop, b"data"):
                return DEVIATES
            depth, place = 2, place + 1
        elif data[place] == _LIST:
            place = _side(data, key, stop, place, end, line, powers, levels, price, size, used)
        elif data[place] == _QUOTE_MARK:
            text = place = place + 1
            while place < end and data[place] != _QUOTE_MARK and data[place] != _ESCAPE:
                place += 1
            if place >= end or data[place] == _ESCAPE:
                return DEVIATES
            kind = _text(data, key, stop, text, place, line, kind, powers, clocks, values, flags)
            place += 1
        elif _ZERO <= data[place] <= _NINE:
            number, place = _integer(data, place, end)
            field = _field(data, key, stop)
            if number == ABSENT:
                return DEVIATES
            if field != ABSENT:
                clocks[field, line] = number
            if stop - key > 2 and field == _UPDATE:
                kind = SNAPSHOT if kind == BLANK else OTHER
        else:
            place = _literal(data, key, stop, place, end, line, flags)
        # of what is not asked for no more is read than its clock; that of a snapshot is not looked at
        if kind == SNAPSHOT or (kind != BLANK and clocks[_SENT, line] != ABSENT):
            if meant[line] not in (BLANK, kind) or not wanted[DEPTH if kind == SNAPSHOT else kind]:
                meant[line] = kind
                return OTHER
            meant[line] = kind
        if place == ABSENT:
            return DEVIATES
    if place != end:
        return DEVIATES
    if kind == BLANK and _told(values, line, 4):
        # spot's best quotes name no event
        kind = QUOTE
    meant[line] = kind if kind != BLANK else OTHER
    if not wanted[DEPTH if kind == SNAPSHOT else kind]:
        return OTHER
    return _whole(line, kind, clocks, values, flags, levels)


@njit(cache=True, nogil=True)
def _walk(data, starts, ends, wanted, kinds, clocks, values, flags, levels, price, size):
    """Fills the arrays line by line; the number of levels."""
    used = np.int64(0)
    kind, meant = kinds[0], kinds[1]
    meant[:] = BLANK
    clocks[:], values[:], levels[:] = ABSENT, np.nan, ABSENT
    powers = _POWERS
    for line in range(len(starts)):
        at, end = starts[line], ends[line]
        flags[line, 0], flags[line, 1] = 2, 1
        while end > at and data[end - 1] in (_SPACE, _RETURN):
            end -= 1
        while at < end and data[at] == _SPACE:
            at += 1
        if at == end:
            kind[line] = BLANK
            continue
        local, after = _integer(data, at, end)
        # nanoseconds have had nineteen digits since 2001
        if after - at != 19 or after + 1 >= end or data[after] != _SPACE:
            kind[line] = NO_CLOCK
            continue
        clocks[_CLOCK, line] = local
        kind[line] = _line(
            data, after + 1, end, line, wanted, meant, powers, clocks, values, flags, levels, price, size, used
        )
        levels[line, 0] = used
        if kind[line] in (DEPTH, SNAPSHOT):
            used += levels[line, 1] + levels[line, 2]
    return used
