"""Ticks judged batch by batch against the check of all rows at once."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_quality import NAN, OPEN, WINDOW, batch, source_of

from gpu_kernels.errors import DataError
from sources.config import parse_source
from sources.quality import Window, check
from sources.tick_quality import RANK, Overlap, TickChecks, in_batches

TRADE = {"price": 5.0, "size": 1.0, "side": 0}
UPDATE = {"side": 1, "price": 5.0, "size": 1.0}
# minutes after the open, seconds from event to receipt, entity, price
DRAWN = st.tuples(
    st.sampled_from([*range(1, 12), 385, 395, 1445]),
    st.sampled_from([-1, 0, 1, 90, 200]),
    st.sampled_from("AB"),
    st.sampled_from([5.0, 5.0, 5.0, -1.0, NAN]),
)


def in_pieces(rows: pl.DataFrame, sizes: list[int], checks: TickChecks) -> tuple[pl.DataFrame, pl.DataFrame, dict]:
    good, bad, ignored, at = [], [], dict[str, int](), 0
    for size in [*sizes, rows.height]:
        found = checks.check(rows.slice(at, size))
        at += size
        good.append(found.good)
        bad.append(found.bad)
        for reason, count in found.ignored.items():
            ignored[reason] = ignored.get(reason, 0) + count
    return pl.concat(good), pl.concat(bad), ignored


@settings(max_examples=60, deadline=None)
@given(st.lists(DRAWN, min_size=1, max_size=16), st.integers(0, 16), st.lists(st.integers(0, 6), max_size=6))
def test_any_batches_are_judged_like_the_whole(drawn: list[tuple], second_file: int, sizes: list[int]) -> None:
    rows = batch(
        "trade",
        [
            {**TRADE, "at": at, "known": known, "entity": entity, "price": price, "file": int(place >= second_file)}
            for place, (at, known, entity, price) in enumerate(drawn)
        ],
    )
    window = Window("XNYS", entities=("A",), end=OPEN.date() + timedelta(days=1))
    source = source_of("trade")
    checks = TickChecks(source, window, 2)
    good, bad, ignored = in_pieces(rows, sizes, checks)
    whole = check(rows, source, window)
    if not checks.streamable:
        overlap = Overlap.found(lambda: iter([rows.head(5), rows.slice(5)]), source, window)
        good, bad, ignored = in_pieces(rows, sizes, TickChecks(source, window, 2, overlap))
        good = good.sort(RANK, maintain_order=True).drop(RANK)
        bad = bad.drop(RANK)
        assert good.equals(whole.good)
    assert ignored == whole.ignored
    # the whole lays the files in the order of their times
    assert good.sort("file", maintain_order=True).equals(whole.good.sort("file", maintain_order=True))
    place = ["line", "file", "reason"]
    assert bad.select(place).sort("line").equals(whole.bad.select(place).sort("line"))


def test_files_that_overlap_are_not_judged_in_batches() -> None:
    def streamable(*places: tuple[int, int]) -> bool:
        checks = TickChecks(source_of("trade"), WINDOW, 2)
        for file, at in places:
            checks.check(batch("trade", [{**TRADE, "at": at, "file": file}]))
        return checks.streamable

    assert streamable((0, 1), (0, 2), (1, 3))
    assert streamable((0, 5), (1, 1), (1, 4))
    assert not streamable((0, 1), (0, 2), (1, 2))
    assert not streamable((0, 1), (0, 9), (1, 4))
    assert not streamable((0, 5), (1, 1), (1, 4), (0, 2))


@pytest.mark.parametrize(("sequences", "streamable"), [((1, 2, 5), True), ((1, 2, 2), False), ((3, 2, 5), False)])
def test_a_book_whose_sequence_rises_has_no_repeats(sequences: tuple[int, ...], streamable: bool) -> None:
    rows = batch("book_update", [{**UPDATE, "sequence": number} for number in sequences])
    for sizes in ([], [1, 1], [2]):
        checks = TickChecks(source_of("book_update"), WINDOW, 1)
        in_pieces(rows, sizes, checks)
        assert checks.streamable is streamable


def test_the_time_zone_is_doubted_at_the_end() -> None:
    rows = batch("trade", [{**TRADE, "at": at + 0.3} for at in range(-300, 90)])
    source = source_of("trade", timezone="UTC")
    with pytest.raises(DataError) as whole:
        check(rows, source, WINDOW)
    checks = TickChecks(source, WINDOW, 1)
    in_pieces(rows, [50] * 7, checks)
    with pytest.raises(DataError) as pieces:
        checks.settle()
    assert str(pieces.value) == str(whole.value)
    assert "timezone: America/New_York" in str(pieces.value)


def test_which_sources_go_in_batches() -> None:
    lean = {"kind": "lean_zip", "security": "equity", "files": "x", "timezone": "UTC", "max_age": "1d", "delay": "1s"}
    entries: list[tuple[dict[str, Any], bool]] = [
        ({**lean, "resolution": "tick", "data": "quote"}, True),
        ({**lean, "resolution": "minute", "data": "quote"}, False),
        ({**lean, "resolution": "minute", "data": "trade"}, False),
    ]
    for entry, batches in entries:
        assert in_batches(parse_source("x", entry)) is batches
    assert in_batches(source_of("order_event"))
    assert not in_batches(source_of("metric", delay="1s"))
