"""Order events replayed, against the dictionaries that a user of plain Python would keep."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import Comparison, Outputs
from gpu_kernels.book.rebuild import rebuild
from gpu_kernels.orders.event import CANCELLED, EXECUTED, PLACED
from gpu_kernels.orders.replay import replay


def events(rows: int, resting: int) -> tuple[Any, ...]:
    """Orders near a price that walks, each cancelled whole (nine of ten) or executed once it was placed so many orders
    ago; `resting` of them rest at one time."""
    rng = np.random.default_rng(9)
    count = rows // 2
    placed = np.arange(count, dtype=np.float64)
    gone = placed + rng.exponential(resting, count)
    when = np.argsort(np.concatenate([placed, gone]), kind="stable")
    side = rng.choice(np.array([-1, 1], np.int8), count)
    ticks = 10_000 + np.cumsum(rng.integers(-1, 2, count)) // 50 - side * rng.geometric(0.2, count)
    lots, order = rng.integers(1, 50, count), 6_400_000_000_000 + 7 * np.arange(count)
    ends = rng.choice(np.array([CANCELLED, EXECUTED], np.int8), count, p=[0.9, 0.1])
    action = np.concatenate([np.full(count, PLACED, np.int8), ends])[when]
    columns = [np.tile(column, 2)[when] for column in (order, side, ticks, lots)]
    return np.arange(2 * count) * 1000, columns[0], action, *columns[1:], np.array([0, 2 * count])


def ours(feed: tuple[Any, ...]) -> Outputs:
    made = replay(*feed)
    return made.lots, made.lots_left


def ten_levels(feed: tuple[Any, ...]) -> Outputs:
    made = replay(*feed)
    return rebuild(made.side, made.price_ticks, made.lots, made.update_offsets, 10, action=made.action)


def python_totals(*columns: Any) -> Outputs:
    """What rests at the event's level and of its order after each event; no queue, no age."""
    orders: dict[int, tuple[tuple[int, int], int]] = {}
    levels: dict[tuple[int, int], int] = {}
    totals, left_of = [], []
    for number, action, side, ticks, lots in zip(*(column.tolist() for column in columns), strict=True):
        if action == 3:
            level, left = (side, ticks), lots
            levels[level] = levels.get(level, 0) + lots
            orders[number] = (level, lots)
        else:
            level, had = orders.pop(number)
            left = had - lots
            levels[level] -= lots
            if left > 0:
                orders[number] = (level, left)
        totals.append(levels[level])
        left_of.append(left)
    return np.array(totals), np.array(left_of)


def comparisons(quick: bool) -> Iterator[Comparison]:
    rows = 50_000 if quick else 1_000_000
    for resting in (200, 5_000):
        feed = events(rows, resting)

        yield Comparison(
            f"order events to updates, queue and age; {resting:,} resting",
            rows,
            "int64",
            rows * (34 + 41 + 27),
            partial(ours, feed),
            {"Python dicts (updates alone)": partial(python_totals, *feed[1:6])},
        )

    yield Comparison("order events to ten levels", rows, "int64", rows * (34 + 320), partial(ten_levels, feed))
