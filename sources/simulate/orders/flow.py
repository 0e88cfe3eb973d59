"""What arrives from outside the book: the day's activity, arrival times, the latent value, and the tables of draws.

None of it depends on the state of the book, so it is the same whether episodes have effects or not (but for the latent
value's planted volatility in a drought, which scales the same draws).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from sources.simulate.draws import Floats
from sources.simulate.orders.compiled import loop, step
from sources.simulate.orders.config import NS, OrderMarket
from sources.simulate.orders.episodes import Episode

Integers = NDArray[np.int64]

WARM_UP = 600 * NS  # of order flow before the open, which fills the book
GRID = NS // 10  # of the latent value
QUANTILES = 1 << 14
DROUGHT_VOLATILITY = 1.5  # at full withdrawal volatility is 1 + this times the usual
_FAST, _SLOW = 50.0, 0.5  # decay of the arrivals' excitement, per second: bursts of 20 ms and of 2 s
_BUSIEST = 3.0  # times the quietest

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@step
def word(key, counter):  # type: ignore[no-untyped-def]
    """The `counter`-th 64-bit word of a stream: SplitMix64 (Steele, Lea & Flood 2014), which needs no state."""
    z = key + np.uint64(counter) * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@step
def chance(drawn):  # type: ignore[no-untyped-def]
    """A word as a uniform number in [0, 1)."""
    return np.float64(drawn >> np.uint64(11)) * 2.0**-53


def activity(share: Floats, pattern: float) -> Floats:
    """Activity at a share (0 to 1) of the session, mean 1: a U whose lowest point lies after the middle."""
    low, middle = 1.0 / _BUSIEST, 0.55
    away = np.where(share < middle, (middle - share) / middle, (share - middle) / (1 - middle))
    raw = (1 - pattern) + pattern * (low + (1 - low) * away**2)
    return np.asarray(raw / ((1 - pattern) + pattern * (low + (1 - low) / 3)), dtype=np.float64)


@loop
def _arrivals(key, rates, step, warm, branching, times):  # type: ignore[no-untyped-def]
    """Hawkes arrivals by thinning (Ogata 1981), excitement on two time scales of equal weight; returns how many."""
    end, n, used = len(rates) * step - warm, 0, 0
    now, fast, slow = -np.float64(warm), 0.0, 0.0
    highest = rates.max()
    while n < len(times):
        bound = highest + fast + slow
        wait = -np.log1p(-chance(word(key, used))) / bound
        fast *= np.exp(-_FAST * wait)
        slow *= np.exp(-_SLOW * wait)
        now += wait * 1e9
        if now >= end:
            return n
        if chance(word(key, used + 1)) * bound < rates[int((now + warm) // step)] + fast + slow:
            times[n] = np.int64(now)
            n += 1
            fast += 0.5 * branching * _FAST
            slow += 0.5 * branching * _SLOW
        used += 2
    return -1


def arrival_times(market: OrderMarket, key: np.uint64, duration: int) -> Integers:
    """Arrivals of a session in ns after the open, the warm-up's negative."""
    step = NS
    seconds = np.arange(-WARM_UP, duration, step)
    share = np.clip(seconds / duration, 0.0, 1.0)
    rates = market.arrivals * (1 - market.clustering) * activity(share, market.day_pattern)
    room = 1000 + int(market.arrivals * 2 * len(seconds))
    while True:
        times = np.empty(room, dtype=np.int64)
        count = _arrivals(key, rates, step, WARM_UP, market.clustering, times)
        if count >= 0:
            times = times[:count]
            return times[times < duration]
        room *= 2


def latent_value(market: OrderMarket, normals: Floats, duration: int, episodes: list[Episode], effects: bool) -> Floats:
    """The value that quotes follow, in ticks, every GRID ns from the open: a random walk with the day's activity in its
    variance, a slow volatility of its own, the planted jumps and, with effects, more volatility in a drought.

    `normals` holds one draw per step and then one per 100 steps.
    """
    count = grid_length(duration)
    share = np.arange(count) * (GRID / duration)
    mood = np.repeat(np.exp(0.35 * normals[count:] - 0.06), 100)[:count]
    deviation = market.volatility * np.sqrt(GRID / NS * activity(np.minimum(share, 1.0), market.day_pattern)) * mood
    if effects:
        for episode in episodes:
            if episode.kind == "drought":
                at, level = np.array([point[0] for point in episode.withdrawn]), [p[1] for p in episode.withdrawn]
                deviation *= 1 + DROUGHT_VOLATILITY * np.interp(np.arange(count) * GRID, at, level, left=0, right=0)
    moves = deviation * normals[:count]
    moves[0] = 0.0
    for episode in episodes:
        if episode.kind == "jump":
            moves[min(episode.start // GRID, count - 1)] += episode.side * episode.strength
    return np.asarray(round(market.price * market.ticks_per_unit) + 0.5 + np.cumsum(moves), dtype=np.float64)


def grid_length(duration: int) -> int:
    """Points of the latent value in a session."""
    return -(-duration // GRID) + 1


def quantile_tables(median_lots: int) -> tuple[Integers, Integers, Integers, Integers]:
    """(life in ns, distance in ticks, lots of a limit order, lots of a market order), each at QUANTILES even quantiles.

    life      20 % of orders flicker (lognormal about 0.1 s), 60 % rest (lognormal about 12 s), 20 % are patient (Pareto
              from 40 s, exponent 1.2, at most half an hour)
    distance  behind the own best price: 30 % join it, the rest Pareto with exponent 0.8, at most 200
    lots      lognormal, sigma 1.1; market orders at half the median, sigma 1.4, at most thirty medians
    """
    u = (np.arange(QUANTILES) + 0.5) / QUANTILES

    def lognormal(share: Floats, median: float, sigma: float) -> Floats:
        return np.asarray(median * np.exp(sigma * ndtri(share)), dtype=np.float64)

    flicker, rest = u < 0.2, (u >= 0.2) & (u < 0.8)
    life = np.empty(QUANTILES)
    life[flicker] = lognormal(u[flicker] / 0.2, 0.1, 0.9)
    life[rest] = lognormal((u[rest] - 0.2) / 0.6, 12.0, 1.3)
    life[u >= 0.8] = np.minimum(40.0 * ((1 - u[u >= 0.8]) / 0.2) ** (-1 / 1.2), 1800.0)
    distance = np.where(u < 0.3, 0.0, np.minimum(np.floor(((1 - u) / 0.7) ** (-1 / 0.8)), 200.0))
    limit = np.maximum(np.rint(lognormal(u, median_lots, 1.1)), 1)
    market = np.clip(np.rint(lognormal(u, 0.5 * median_lots, 1.4)), 1, 30 * median_lots)
    return (
        np.rint(life * 1e9).astype(np.int64),
        distance.astype(np.int64),
        limit.astype(np.int64),
        market.astype(np.int64),
    )
