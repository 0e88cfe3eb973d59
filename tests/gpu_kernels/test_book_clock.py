"""Clocks of a book: which row each edge sees, from the definition, and that later rows change no earlier edge."""

import itertools

import numpy as np
import pytest

from gpu_kernels.book import clock, rebuild
from gpu_kernels.errors import ArgumentError


def by_definition(time: np.ndarray, offsets: np.ndarray, edges: list[list[int]], lag: int) -> list[tuple[int, int]]:
    """(row, edge) of each edge that sees a row."""
    seen = []
    for segment, wanted in enumerate(edges):
        rows = range(offsets[segment], offsets[segment + 1])
        for edge in wanted:
            before = [row for row in rows if time[row] <= edge - lag]
            if before:
                seen.append((before[-1], edge))
    return seen


def table(seed: int, rows: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    offsets = np.array([0, *sorted(rng.integers(0, rows + 1, 3)), rows])
    time = np.concatenate(
        [np.sort(rng.integers(-50, 200, last - first)) for first, last in itertools.pairwise(offsets)]
    )
    return time.astype(np.int64), offsets


@pytest.mark.parametrize("lag", [0, 1, 5])
@pytest.mark.parametrize("until", [None, 190])
def test_a_time_clock_by_definition(until: int | None, lag: int) -> None:
    for seed in range(20):
        time, offsets = table(seed)
        edges = []
        for first, last in itertools.pairwise(offsets):
            known = -(10**6) if until is None or first == last else until
            times = time[first:last]
            edges.append(
                [
                    edge
                    for edge in range(-70, 210, 7)
                    if len(times) and times[0] <= edge and (edge < times[-1] or edge <= known)
                ]
            )
        got = clock.time_clock(time, offsets, 7, until=until, lag_ns=lag)
        assert list(zip(got.at.tolist(), got.time.tolist(), strict=True)) == by_definition(time, offsets, edges, lag)
        segment = np.searchsorted(offsets, got.at, side="right") - 1
        np.testing.assert_array_equal(got.offsets, np.searchsorted(segment, np.arange(len(offsets))))


def test_later_rows_change_no_edge() -> None:
    time, offsets = table(3)
    whole = clock.time_clock(time, offsets, 7)
    for keep in range(60):
        part = clock.time_clock(time[:keep], np.minimum(offsets, keep), 7)
        for mine, all_of_them in zip(part[:2], whole[:2], strict=True):
            np.testing.assert_array_equal(mine, all_of_them[: len(mine)])


def test_a_volume_clock_by_definition() -> None:
    for seed in range(20):
        time, offsets = table(seed)
        trade_time, trade_offsets = table(seed + 100)
        size = np.random.default_rng(seed).integers(1, 9, 60)
        edges = []
        for first, last in itertools.pairwise(trade_offsets):
            edges.append([])
            total = 0
            for row in range(first, last):
                total += size[row]
                if total >= 12:
                    edges[-1].append(int(trade_time[row]))
                    total = 0
        got = clock.volume_clock(time, offsets, trade_time, size, trade_offsets, 12)
        assert list(zip(got.at.tolist(), got.time.tolist(), strict=True)) == by_definition(time, offsets, edges, 0)


def test_a_book_is_shown_on_a_clock() -> None:
    time, side = np.array([1, 4, 9, 21, 22]), np.array([1, 1, -1, 1, -1], np.int8)
    ticks, size, offsets = np.array([10, 11, 13, 12, 14]), np.ones(5), np.array([0, 5])
    edges = clock.time_clock(time, offsets, 5)
    np.testing.assert_array_equal(edges.time, [5, 10, 15, 20])
    bid, _, ask, _ = rebuild.rebuild(side, ticks, size, offsets, 1, at=edges.at)
    np.testing.assert_array_equal(bid[0], [11, 11, 11, 11])
    np.testing.assert_array_equal(ask[0], [-1, 13, 13, 13])


def test_a_time_that_falls_is_refused() -> None:
    with pytest.raises(ArgumentError, match="trade_time falls from 5 to 4"):
        clock.volume_clock(np.array([1, 2]), np.array([0, 2]), np.array([5, 4]), np.ones(2), np.array([0, 2]), 1)
