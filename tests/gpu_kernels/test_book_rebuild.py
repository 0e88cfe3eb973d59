"""The book rebuilt from level-2 updates: messages, snapshots, gaps, stray prices, and that only the past decides."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from naive import book_rebuild as naive

from gpu_kernels.book import rebuild, rebuild_state, window
from gpu_kernels.errors import ArgumentError
from sources import schema

Book = tuple[np.ndarray, ...]
WHOLE = np.array([0, 6])


def flow(seed: int, rows: int = 400) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Updates of a wandering price with stray levels, levels that are set again, messages, snapshots and gaps."""
    rng = np.random.default_rng(seed)
    scale = int(rng.choice([3, 50, 300, 5_000, 10**6]))
    side = rng.choice(np.array([-1, 1], np.int8), rows)
    mid = 10**7 + np.cumsum(rng.integers(-scale, scale + 1, rows) * (rng.random(rows) < 0.2))
    away = np.where(rng.random(rows) < 0.1, rng.integers(0, 4 * 10**6, rows), rng.geometric(1 / scale, rows))
    ticks = np.abs(mid - side * away)
    for row in np.flatnonzero(rng.random(rows) < 0.4)[1:]:
        earlier = rng.integers(0, row)
        side[row], ticks[row] = side[earlier], ticks[earlier]
    size = np.where(rng.random(rows) < 0.4, 0, rng.integers(1, 9, rows)).astype(float)
    offsets = np.array([0, *sorted(rng.integers(0, rows + 1, 2)), rows])
    named = {
        "action": rng.choice(np.array([0, 1, 2], np.int8), rows, p=(0.95, 0.03, 0.02)),
        "last": rng.random(rows) < 0.5,
        "starts_empty": bool(seed % 2),
    }
    return (side, ticks, size, offsets, int(rng.choice([1, 2, 4, 9]))), named


def require_equal(got: Book, wanted: Book) -> None:
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("seed", range(30))
def test_any_width_of_the_window_gives_the_book(seed: int) -> None:
    updates, named = flow(seed)
    wanted = naive.rebuild(*updates, **named)
    for depth_ticks in (1, 1_000, 1 << 16):
        require_equal(rebuild.rebuild(*updates, **named, depth_ticks=depth_ticks), wanted)
    at = np.sort(np.random.default_rng(seed).integers(0, 400, 20))
    require_equal(rebuild.rebuild(*updates, **named, at=at, depth_ticks=1), tuple(array[:, at] for array in wanted))


@pytest.mark.parametrize("keep", [1, 77, 250, 399])
def test_later_updates_change_no_bit(keep: int) -> None:
    for seed in range(8):
        (side, ticks, size, offsets, levels), named = flow(seed)
        whole = rebuild.rebuild(side, ticks, size, offsets, levels, **named)
        cut = {name: column[:keep] for name, column in named.items() if name != "starts_empty"}
        part = rebuild.rebuild(
            side[:keep],
            ticks[:keep],
            size[:keep],
            np.minimum(offsets, keep),
            levels,
            **cut,
            starts_empty=named["starts_empty"],
        )
        require_equal(part, tuple(array[:, :keep] for array in whole))


def test_the_actions_are_those_of_the_table() -> None:
    assert (rebuild_state.SET, rebuild_state.SNAPSHOT, rebuild_state.GAP) == (schema.SET, schema.SNAPSHOT, schema.GAP)


def test_a_message_is_shown_when_it_ends() -> None:
    side, ticks = np.ones(6, np.int8), np.array([10, 11, 12, 12, 11, 13])
    size = np.array([1.0, 2.0, 3.0, 0.0, 5.0, 6.0])
    last = np.array([True, False, True, False, True, False])
    bid, bid_size, _, _ = rebuild.rebuild(side, ticks, size, WHOLE, 1, last=last)
    np.testing.assert_array_equal(bid[0], [10, 10, 12, 12, 11, 11])
    np.testing.assert_array_equal(bid_size[0], [1, 1, 3, 3, 5, 5])


def test_a_snapshot_empties_the_book_when_it_is_whole() -> None:
    side, ticks = np.array([1, -1, 1, -1, -1, 1], np.int8), np.array([10, 12, 8, 13, 14, 9])
    action, last = np.array([0, 0, 1, 0, 0, 0], np.int8), np.array([True, True, False, False, True, True])
    bid, _, ask, _ = rebuild.rebuild(side, ticks, np.ones(6), WHOLE, 2, action=action, last=last)
    np.testing.assert_array_equal(bid[0], [10, 10, 10, 10, 8, 9])
    np.testing.assert_array_equal(bid[1], [-1, -1, -1, -1, -1, 8])
    np.testing.assert_array_equal(ask[0], [-1, 12, 12, 12, 13, 13])


def test_after_a_gap_nobody_knows_until_the_next_snapshot() -> None:
    side, ticks, size = np.ones(6, np.int8), np.array([10, 11, 12, 9, 8, 7]), np.ones(6)
    action, last = np.array([0, 2, 0, 1, 0, 0], np.int8), np.array([True, True, True, False, True, True])
    bid, bid_size, _, ask_size = rebuild.rebuild(side, ticks, size, WHOLE, 1, action=action, last=last)
    np.testing.assert_array_equal(bid[0], [10, -1, -1, -1, 9, 9])
    np.testing.assert_array_equal(np.isnan(bid_size[0]), [False, True, True, True, False, False])
    np.testing.assert_array_equal(ask_size[0], [0, np.nan, np.nan, np.nan, 0, 0])
    _, bid_size, _, _ = rebuild.rebuild(side, ticks, size, WHOLE, 1, action=action, last=last, starts_empty=False)
    assert np.isnan(bid_size[0, 0])


def test_a_stray_price_neither_fails_nor_costs_memory() -> None:
    """The ticks between it and the others would take 2**64 bytes."""
    side, size = np.array([1, 1, -1, 1, 1, -1], np.int8), np.array([1.0, 2.0, 3.0, 4.0, 0.0, 5.0])
    ticks = np.array([100, 0, 2**61, 2**61, 2**61, 101])
    bid, bid_size, ask, _ = rebuild.rebuild(side, ticks, size, WHOLE, 2)
    np.testing.assert_array_equal(bid[0], [100, 100, 100, 2**61, 100, 100])
    np.testing.assert_array_equal(bid_size[1], [0, 2, 2, 1, 2, 2])
    np.testing.assert_array_equal(ask[:, -1], [101, 2**61])


def test_a_price_that_walks_away_and_back() -> None:
    """Levels left behind are there when the price returns, though the window went on without them."""
    there = np.arange(0, 40_000, 7)
    ticks = np.concatenate([50_000 + there, 50_000 + there[:0:-1]])
    size = np.concatenate([np.ones(len(there)), np.zeros(len(there) - 1)])
    side, offsets = np.ones(len(ticks), np.int8), np.array([0, len(ticks)])
    bid, _, _, _ = rebuild.rebuild(side, ticks, size, offsets, 3, depth_ticks=1)
    np.testing.assert_array_equal(bid[0, : len(there)], 50_000 + there)
    np.testing.assert_array_equal(bid[0, len(there) :], ticks[len(there) :] - 7)
    np.testing.assert_array_equal(bid[1, 2 : len(there)], bid[0, 2 : len(there)] - 7)


def test_segments_do_not_touch_each_other() -> None:
    (side, ticks, size, offsets, levels), named = flow(5)
    whole = rebuild.rebuild(side, ticks, size, offsets, levels, **named)
    for begin, end in pairwise(offsets):
        alone = {name: column[begin:end] for name, column in named.items() if name != "starts_empty"}
        part = rebuild.rebuild(
            side[begin:end],
            ticks[begin:end],
            size[begin:end],
            np.array([0, end - begin]),
            levels,
            **alone,
            starts_empty=named["starts_empty"],
        )
        require_equal(part, tuple(array[:, begin:end] for array in whole))


def test_outputs_are_written_over() -> None:
    updates, named = flow(6)
    wanted = naive.rebuild(*updates, **named)
    out = tuple(np.full_like(array, 7) for array in wanted)
    got = rebuild.rebuild(*updates, **named, out=out)
    assert all(one is other for one, other in zip(got, out, strict=True))
    require_equal(out, wanted)
    with pytest.raises(ArgumentError, match="out has 3 arrays; allowed: 4: bids, bid_sizes"):
        rebuild.rebuild(*updates, **named, out=out[:3])
    with pytest.raises(ArgumentError, match="out holds one array twice"):
        rebuild.rebuild(*updates, **named, out=(out[0], out[1], out[0], out[1]))
    with pytest.raises(ArgumentError, match="depth_ticks is 1099511627776; allowed: a whole number, 1 to 16777216"):
        rebuild.rebuild(*updates, **named, depth_ticks=1 << 40)
    with pytest.raises(ArgumentError, match=r"out's bids is \(1, 3\); allowed: writable arrays"):
        rebuild.rebuild(*updates, **named, out=(out[0][:1, :3].copy(), *out[1:]))


def test_an_output_that_goes_past_the_cache_is_the_book_at_each_row() -> None:
    rows = (1 << 20) + 1003
    rng = np.random.default_rng(1)
    side = rng.choice(np.array([-1, 1], np.int8), rows)
    ticks = 1000 - side * rng.geometric(0.1, rows)
    updates = (side, ticks, rng.integers(0, 3, rows).astype(float), np.array([0, 5, 333_333, rows]), 1)
    require_equal(rebuild.rebuild(*updates), rebuild.rebuild(*updates, at=np.arange(rows)))


def test_one_event_at_a_time_gives_the_bits_of_the_batch() -> None:
    (side, ticks, size, _, _), named = flow(3)
    rows, levels, width = len(side), 4, window.SMALLEST_WIDTH
    action, last, starts_empty = named.values()
    whole = rebuild.rebuild(side, ticks, size, np.array([0, rows]), levels, **named)
    book = (np.empty((2, width)), np.empty((2, width // window.WORD), np.uint64), np.empty(rows, np.int64))
    book = (*book, np.empty(rows), np.empty((2, rebuild_state.HEAD), np.int64))
    ranks, quantities = np.empty((2, levels), np.int64), np.empty((2, levels))
    rebuild_state.start_of(book[1], book[4], ranks, quantities, starts_empty, int((side > 0).sum()))
    for row in range(rows):
        rebuild_state.step(*book, ranks, quantities, action[row], side[row] > 0, ticks[row], size[row], last[row])
        shown = np.where(ranks == window.NO_RANK, rebuild_state.MISSING_TICK, np.abs(ranks))
        require_equal((shown[0], quantities[0], shown[1], quantities[1]), tuple(array[:, row] for array in whole))
