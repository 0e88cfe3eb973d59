"""The pass over Binance's bytes against the JSON library: on lines as they come, damaged, and written otherwise."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sources.readers import binance_lines as lines

CLOCK = 1_723_161_255_000_000_000
MESSAGES: list[dict[str, Any]] = [
    {
        "stream": "btcusdt@depth@0ms",
        "data": {"e": "depthUpdate", "E": 1723161256299, "T": 1723161256298, "s": "BTCUSDT", "U": 12, "u": 19, "pu": 11}
        | {"b": [["58710.20", "0.014"], ["0.00001234", "0"]], "a": [["61637.63000000", "12.50000000"]]},
    },
    {"stream": "btcusdt@depth@100ms", "data": {"e": "depthUpdate", "E": 5, "s": "B", "U": 1, "u": 2, "b": [], "a": []}},
    {"lastUpdateId": 10, "E": 8, "T": 7, "symbol": "B", "bids": [["99", "5"]], "asks": [["101", "4"], ["102.5", "1"]]},
    {"stream": "b@bookTicker", "data": {"u": 5, "s": "B", "b": "61837.63", "B": "3.7", "a": "61837.64", "A": "1.5"}},
    {
        "stream": "b@bookTicker",
        "data": {"e": "bookTicker", "u": 5, "b": "1", "B": "2", "a": "3", "A": "4", "T": 6, "E": 7},
    },
    {
        "stream": "b@trade",
        "data": {"e": "trade", "E": 9, "s": "B", "p": "10.5", "q": "3", "T": 8, "m": True, "M": True},
    },
    {"e": "trade", "E": 9, "T": 8, "s": "B", "p": "10.5", "q": "3", "X": "INSURANCE_FUND", "m": False},
    {"stream": "b@aggTrade", "data": {"e": "aggTrade", "E": 9, "p": "10.5", "q": "3", "T": 8, "m": True}},
    {"stream": "b@depth20@100ms", "data": {"lastUpdateId": 10, "bids": [["99", "5"]], "asks": [["101", "4"]]}},
    {"stream": "b@kline_1m", "data": {"e": "kline", "E": 9, "k": {"t": 1, "o": "1.0"}}},
    {"result": None, "id": 1},
]
KINDS = [
    lines.DEPTH,
    lines.DEPTH,
    lines.SNAPSHOT,
    lines.QUOTE,
    lines.QUOTE,
    lines.TRADE,
    lines.TRADE,
    *[lines.OTHER] * 4,
]


def text_of(message: dict[str, Any], **options: Any) -> bytes:
    return f"{CLOCK} {json.dumps(message, **(options or {'separators': (',', ':')}))}".encode()


def told(found: lines.Lines, line: int) -> dict[str, Any]:
    """The fields of one line, as JSON names them."""
    kind = found.kind[line]
    fields = {"U": found.first, "u": found.update, "pu": found.before, "E": found.sent, "T": found.matched}
    answer: dict[str, Any] = {
        name: int(values[line]) for name, values in fields.items() if values[line] != lines.ABSENT
    }
    if kind in {lines.DEPTH, lines.SNAPSHOT}:
        place = found.level[line]
        for name, count in (("b", found.bids[line]), ("a", found.asks[line])):
            levels = slice(place, place + count)
            answer[name] = list(zip(found.price[levels].tolist(), found.size[levels].tolist(), strict=True))
            place += count
    elif kind == lines.QUOTE:
        answer |= dict(zip("bBaA", found.values[line].tolist(), strict=True))
    else:
        answer |= dict(zip("pq", found.values[line, :2].tolist(), strict=True))
        answer |= {"m": bool(found.seller[line]), "market": bool(found.market[line])}
    return answer


def naive(text: bytes) -> dict[str, Any]:
    """The same by the JSON library. Raises on anything that it cannot read."""
    message = json.loads(text.partition(b" ")[2])
    message = message.get("data", message)
    if "lastUpdateId" in message:
        message = {"u": message["lastUpdateId"], "b": message["bids"], "a": message["asks"]} | {
            name: message[name] for name in ("U", "pu", "E", "T") if name in message
        }
    answer = {name: message[name] for name in ("U", "u", "pu", "E", "T") if name in message}
    if isinstance(message.get("b"), list):
        return answer | {side: [(float(price), float(size)) for price, size in message[side]] for side in ("b", "a")}
    if "A" in message:
        return answer | {name: float(message[name]) for name in "bBaA"}
    market = message.get("X", "MARKET") == "MARKET"
    return answer | {"p": float(message["p"]), "q": float(message["q"]), "m": message["m"], "market": market}


@pytest.mark.parametrize("options", [{}, {"separators": (", ", ": ")}, {"sort_keys": True}])
@pytest.mark.parametrize("wanted", [lines.DEPTH, lines.QUOTE, lines.TRADE])
def test_every_kind_of_line_as_json_reads_it(wanted: int, options: dict[str, Any]) -> None:
    texts = [text_of(message, **options) for message in MESSAGES]
    for ending in (b"\n", b"\r\n"):
        found = lines.parse(ending.join(texts) + ending, wanted)
        mine = {wanted, lines.SNAPSHOT} if wanted == lines.DEPTH else {wanted}
        assert found.kind.tolist() == [kind if kind in mine else lines.OTHER for kind in KINDS]
        for line, kind in enumerate(KINDS):
            if kind in mine:
                assert told(found, line) == naive(texts[line])
    assert (found.local == CLOCK).all()


def test_numbers_that_are_no_strings() -> None:
    data = {"e": "depthUpdate", "E": 1, "U": 1, "u": 2, "pu": 0, "b": [[99.5, 1], [98, 2.25]], "a": [["1e2", "1E-3"]]}
    found = lines.parse(text_of(data) + b"\n", lines.DEPTH)
    assert found.kind.tolist() == [lines.DEPTH]
    assert told(found, 0)["b"] == [(99.5, 1.0), (98.0, 2.25)]
    assert told(found, 0)["a"] == [(100.0, 0.001)]


@pytest.mark.parametrize(
    "change",
    [
        {"b": [["NaN", "1"]]}, {"b": [["-1", "1"]]}, {"b": [["0.0", "1"]]}, {"b": [["1", "-1"]]}, {"b": [["1"]]},
        {"b": "x"}, {"b": None}, {"U": "1"}, {"U": None}, {"u": 1.5}, {"u": 10**30}, {"b": [["", "1"]]},
        {"E": 1.5}, {"b": [[True, "1"]]}, {"b": [["1.", "1"], ["x", "1"]]},
    ],
)  # fmt: skip
def test_fields_of_wrong_types_are_damage(change: dict[str, Any]) -> None:
    good = {"e": "depthUpdate", "E": 1, "U": 1, "u": 2, "b": [["9", "1"]], "a": []}
    found = lines.parse(b"\n".join([text_of(good), text_of(good | change), text_of(good)]), lines.DEPTH)
    assert found.kind.tolist() == [lines.DEPTH, lines.DEVIATES, lines.DEPTH]
    assert told(found, 2) == naive(text_of(good))


def test_lines_without_a_clock_and_without_anything() -> None:
    whole = text_of(MESSAGES[0])
    block = b"\n".join([b"", b"  ", whole[1:], b"!!", whole.replace(b" ", b"", 1), b"[1]", b"\xff\xfe", whole])
    kinds = lines.parse(block, lines.DEPTH).kind.tolist()
    assert kinds == [lines.BLANK] * 2 + [lines.NO_CLOCK] * 5 + [lines.DEPTH]
    assert lines.parse(b"", lines.DEPTH).kind.tolist() == []
    deep = f"{CLOCK} ".encode() + b"[" * 100_000
    assert lines.parse(deep, lines.DEPTH).kind.tolist() == [lines.DEVIATES]


@settings(max_examples=300, deadline=None)
@example(which=0, at=81, how=2, byte=ord("e"))  # a time of 1e56299 milliseconds
@example(which=2, at=46, how=2, byte=ord("U"))  # the time of a snapshot becomes another field
@example(which=0, at=195, how=2, byte=ord(" "))  # a list of another name than "a"
@given(st.integers(0, 6), st.integers(20, 250), st.integers(0, 3), st.integers(32, 126))
def test_a_damaged_line_is_never_read_as_something_else(which: int, at: int, how: int, byte: int) -> None:
    whole = text_of(MESSAGES[which])
    at = min(at, len(whole) - 1)
    byte_text = bytes([byte])
    broken = [whole[:at], whole[:at] + whole[at + 1 :], whole[:at] + byte_text + whole[at + 1 :]][how % 3]
    wanted = lines.DEPTH if KINDS[which] == lines.SNAPSHOT else KINDS[which]
    found = lines.parse(broken + b"\n" + whole + b"\n", wanted)
    if found.kind[0] == KINDS[which]:
        assert told(found, 0) == naive(broken)
    assert found.kind[1] == KINDS[which]
    assert told(found, 1) == naive(whole)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(MESSAGES) - 1), st.integers(20, 250), st.integers(0, 2), st.integers(32, 126), st.booleans())
def test_one_pass_for_all_kinds_gives_what_a_pass_for_each_does(
    which: int, at: int, how: int, byte: int, blanks: bool
) -> None:
    texts = [text_of(message, **({"separators": (", ", ": ")} if blanks else {})) for message in MESSAGES]
    whole = texts[which]
    at = min(at, len(whole) - 1)
    texts[which] = [whole[:at], whole[:at] + whole[at + 1 :], whole[:at] + bytes([byte]) + whole[at + 1 :]][how]
    block = b"\n".join(texts) + b"\n"
    wanted = (lines.DEPTH, lines.QUOTE, lines.TRADE)
    together = lines.parse(block, *wanted)
    for kind in wanted:
        one, own = lines.only(lines.parse(block, kind), kind), lines.only(together, kind)
        for name in ("kind", "local", "sent", "matched"):
            assert getattr(one, name).tolist() == getattr(own, name).tolist(), name
        for line in np.flatnonzero(one.kind >= lines.DEPTH):
            assert told(one, line) == told(own, line)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 10**15 - 1), st.integers(0, 14), st.integers(0, 3))
def test_decimals_are_the_nearest_float(digits: int, behind: int, zeros: int) -> None:
    text = str(digits).rjust(behind + 1, "0")
    text = (f"{text[:-behind]}.{text[-behind:]}" if behind else text) + ("0" * zeros if behind else "")
    found = lines.parse(text_of(MESSAGES[5]).replace(b"10.5", text.encode()), lines.TRADE)
    value = found.values[0, 0]
    exact = float(text)
    long = len(text.replace(".", "").lstrip("0")) > 15
    assert value == exact or (long and math.isclose(value, exact, rel_tol=4e-16))
    assert np.isfinite(value)
