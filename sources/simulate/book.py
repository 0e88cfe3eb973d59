"""The limit order book that follows the mid, as level-2 updates and trades.

Everything inside the loop is an integer: ticks, lots, milliseconds. In each 20-second step the book moves in one batch
of updates 6 to 12 seconds in (levels in the way go first, so that it is not crossed even between two rows), and may
trade 13 to 19 seconds in. So nothing moves in the first six seconds of a minute, and a decision a few seconds after the
minute knows exactly what the bar's close knows.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sources.simulate.config import SimulationConfig
from sources.simulate.draws import Stream, key_of, words
from sources.simulate.paths import Path

Integers = NDArray[np.int64]

LOT = 100
LEVELS = 10  # always there on each side
KEPT = 14  # levels farther from the best than this are withdrawn
SPOOF_NEAR, SPOOF_FAR = 3, 5  # levels from the best at which the large orders appear
SPOOF_LOTS = 200
_LEAN = 350  # permille by which one unit of pressure makes the bids larger and the asks smaller
_USUAL = np.array([12, 16, 20, 22, 24, 24, 22, 20, 18, 16, 14, 14, 14, 14])
_DRAWS = 8
_ROWS_PER_STEP = 128  # above the most that a step can write: 2 x (14 removed + 14 sized + 3 spoofed) and trades


@njit(cache=True)
def _usual_lots(level, side, depth, lean, draw):  # type: ignore[no-untyped-def]
    """Lots that rest at a level of a side (0 bid, 1 ask): the usual ones, leaned by pressure, within 40 %."""
    slope = _LEAN if level < 5 else _LEAN // 2
    tilt = 1000 + (slope * lean // 1000 if side == 0 else -(slope * lean // 1000))
    return max(2, _USUAL[level] * depth * tilt // 1000 * (600 + draw % 801) // 1_000_000)


@njit(cache=True)
def _set(size, updates, n, now, side, tick, lots):  # type: ignore[no-untyped-def]
    """One update row; returns the new count of rows."""
    size[side, tick] = lots
    updates[n] = (now, side, tick, lots)
    return n + 1


@njit(cache=True)
def _clear(size, updates, n, now, side, old, new, kept):  # type: ignore[no-untyped-def]
    """Withdraws what lies in the way of the new best of a side or too far behind it; `kept` is the nearest tick of
    large orders that stay, or -1."""
    toward = 2 * side - 1
    reach = KEPT + abs(new - old)
    for distance in range(-reach, reach + 1):
        tick = new + distance * toward
        if (0 <= distance < KEPT) or not 0 <= tick < size.shape[1] or size[side, tick] == 0:
            continue
        if kept < 0 or not 0 <= (tick - kept) * toward <= SPOOF_FAR - SPOOF_NEAR:
            n = _set(size, updates, n, now, side, tick, 0)
    return n


@njit(cache=True)
def _fill(size, updates, n, now, side, best, kept, depth, lean, noise, renew):  # type: ignore[no-untyped-def]
    """Puts orders on the levels that lack them and changes level `renew` (-1: none, KEPT: all)."""
    toward = 2 * side - 1
    for level in range(KEPT):
        tick = best + level * toward
        if kept >= 0 and 0 <= (tick - kept) * toward <= SPOOF_FAR - SPOOF_NEAR:
            continue
        if (level < LEVELS) if size[side, tick] == 0 else (renew in (level, KEPT)):
            lots = _usual_lots(level, side, depth, lean, noise[side, level])
            if lots != size[side, tick]:
                n = _set(size, updates, n, now, side, tick, lots)
    return n


@njit(cache=True)
def _withdraw_large(size, updates, n, now, side, best, near, depth, lean, noise):  # type: ignore[no-untyped-def]
    """Puts the levels that hold large orders back to the usual."""
    toward = 2 * side - 1
    for far in range(SPOOF_FAR - SPOOF_NEAR + 1):
        tick = near + far * toward
        level = (tick - best) * toward
        lots = _usual_lots(level, side, depth, lean, noise[side, level]) if 0 <= level < KEPT else 0
        n = _set(size, updates, n, now, side, tick, lots)
    return n


@njit(cache=True)
def _run(ticks, spread, depth, lean, spoof, draws, noise, updates, trades, attempts):  # type: ignore[no-untyped-def]
    """Replays one session.

    Writes updates (milliseconds, side, tick, lots), trades (milliseconds, tick, lots, aggressor) and attempts (placed,
    cancelled, side of the large orders, their nearest tick), and returns how many of each. Sides here are 0 bid, 1 ask.
    """
    base = ticks.min() - 40
    size = np.zeros((2, ticks.max() - base + 40), dtype=np.int64)
    best = np.array([ticks[0] - base, ticks[0] - base + 1])
    n, n_trades, n_attempts = 0, 0, 0
    near, large, spent = -1, 0, False  # nearest tick and side of the large orders; whether this attempt is over
    for step in range(len(ticks)):
        start = step * 20_000
        now = start + (6_000 + draws[step, 0] % 6_000 if step else 0)
        half = (spread[step] - 1) // 2
        fresh = (ticks[step] - base - half, ticks[step] - base + 1 + half)
        spent = spent and spoof[step] != 0
        if near >= 0 and (spoof[step] == 0 or (near - fresh[large]) * (2 * large - 1) < 2):
            n = _withdraw_large(size, updates, n, now, large, fresh[large], near, depth[step], lean[step], noise[step])
            attempts[n_attempts - 1, 1] = now
            near, spent = -1, True

        steady = step > 0 and spread[step] == spread[step - 1]
        for side in range(2):
            moved = (fresh[side] - best[side]) * (2 * side - 1)
            if moved > 0 and steady and draws[step, 1] % 2:  # the best level was bought or sold out
                trades[n_trades] = (now, best[side], size[side, best[side]], 2 * side - 1)
                n_trades += 1
            kept = near if side == large else -1
            n = _clear(size, updates, n, now, side, best[side], fresh[side], kept)
            best[side] = fresh[side]
        chosen = draws[step, 3] % 20  # six in twenty the best level, one in twenty another, four in twenty none
        chosen = 0 if chosen < 6 else chosen - 6
        for side in range(2):
            renew = chosen if chosen < LEVELS and draws[step, 2] % 2 == side else -1
            if step > 0 and depth[step] != depth[step - 1]:
                renew = KEPT
            kept = near if side == large else -1
            n = _fill(size, updates, n, now, side, best[side], kept, depth[step], lean[step], noise[step], renew)

        if spoof[step] != 0 and near < 0 and not spent:
            large = 0 if spoof[step] > 0 else 1
            near = best[large] + SPOOF_NEAR * (2 * large - 1)
            for far in range(SPOOF_FAR - SPOOF_NEAR + 1):
                tick = near + far * (2 * large - 1)
                n = _set(size, updates, n, now, large, tick, size[large, tick] + SPOOF_LOTS)
            attempts[n_attempts] = (now, -1, spoof[step], near)
            n_attempts += 1

        # a trade takes part of a best level; who spoofs the bids sells at the ask meanwhile, and the other way round
        buy = draws[step, 4] % 1000 < 500 + min(max(lean[step], -1500), 1500) * 160 // 1000
        side = 1 - large if near >= 0 else (1 if buy else 0)
        available = size[side, best[side]]
        often = 350 if depth[step] >= 500 else 150
        if step > 0 and available > 1 and (near >= 0 or draws[step, 5] % 1000 < often):
            taken = 1 + draws[step, 6] % (available // 2)
            then = start + 13_000 + draws[step, 7] % 6_000
            trades[n_trades] = (then, best[side], taken, 2 * side - 1)
            n_trades += 1
            n = _set(size, updates, n, then, side, best[side], available - taken)
    updates[:n, 2] += base
    trades[:n_trades, 1] += base
    attempts[:n_attempts, 3] += base
    return n, n_trades, n_attempts


class BookRunner:
    """Runs the loop on one path after another, in buffers of its own."""

    def __init__(self, config: SimulationConfig, longest: int) -> None:
        self._seed = config.seed
        self._updates = np.empty((longest * _ROWS_PER_STEP, 4), dtype=np.int64)
        self._trades = np.empty((longest * 3, 4), dtype=np.int64)
        self._attempts = np.empty((8, 4), dtype=np.int64)

    def run(self, path: Path) -> tuple[Integers, Integers, Integers]:
        """(updates, trades, spoofing attempts) of a path; the columns are those of the loop, times in milliseconds
        after the session's open, sides +1 bid and -1 ask."""
        count = len(path.ticks)
        drawn = words(
            self._seed, Stream.BOOK, key_of(path.entity.ticker), path.session, count=count * (_DRAWS + 2 * KEPT)
        )
        spoof = np.zeros(count, dtype=np.int64)
        for episode in path.episodes:
            if episode.kind == "spoof":
                spoof[episode.first : episode.last] = episode.side
        lean = np.clip(np.rint(1000.0 * path.pressure), -2000, 2000).astype(np.int64)
        written = _run(
            path.ticks,
            path.spread,
            path.depth,
            lean,
            spoof,
            drawn[: count * _DRAWS].reshape(count, _DRAWS),
            drawn[count * _DRAWS :].reshape(count, 2, KEPT),
            self._updates,
            self._trades,
            self._attempts,
        )
        updates, trades, attempts = (
            buffer[:rows].copy()
            for buffer, rows in zip((self._updates, self._trades, self._attempts), written, strict=True)
        )
        updates[:, 1] = 1 - 2 * updates[:, 1]
        return updates, trades, attempts
