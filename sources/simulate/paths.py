"""From drivers to prices: the path of the mid of every entity in every session.

The mid moves in whole ticks once a step. Its move is floor(r + U) with r = drift + noise and U uniform, so its mean
given r is r: with effects off the mid is a martingale and nothing known can predict its return.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sources.simulate import effects
from sources.simulate.config import SimulatedEntity, SimulationConfig
from sources.simulate.draws import Stream, key_of, normal, words
from sources.simulate.effects import PRESSURE, STEP_NS, STEPS_PER_MINUTE, STRESS, SURPRISE, TONE
from sources.simulate.headlines import acting_tones
from sources.simulate.lots import surprise_path

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TICKS_PER_DOLLAR = 100
_STRESS_VOLATILITY = 1.6
_MARKET_SHARE = 0.3  # of the variance of a return that all entities have in common
_GAP = 10.0  # standard deviation of the overnight move, in one-minute standard deviations
_UNIT = 2**20
_MINUTES = 60 * 10**9


@dataclass(frozen=True, slots=True)
class Episode:
    """A drought of the book, or a spoofing attempt on one side of it, in steps [first, last)."""

    kind: str
    side: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Path:
    """One entity in one session, one value a step.

    The mid is at `ticks` + 1/2 ticks. volatility is in ticks a minute, drift in ticks a minute.
    """

    entity: SimulatedEntity
    session: int
    opened: int
    regime: int
    ticks: Integers
    spread: Integers
    depth: Integers
    pressure: Floats
    tone: Floats
    surprise: Floats
    volatility: Floats
    drift: Floats
    episodes: tuple[Episode, ...]


def paths(
    config: SimulationConfig,
    sessions: pl.DataFrame,
    regimes: Integers,
    headlines: tuple[pl.DataFrame, pl.DataFrame],
    lots: pl.DataFrame,
    policy: Integers,
) -> list[Path]:
    """The paths of all entities (outer) and sessions (inner). `policy` holds the times of the policy decisions."""
    opens, closes = (sessions[name].to_physical().to_numpy() for name in ("open", "close"))
    found = []
    for entity in config.entities:
        ticks = initial = round(entity.price * TICKS_PER_DOLLAR)
        received, tones = acting_tones(*headlines, entity.ticker)
        for index in range(len(opens)):
            before = closes[index - 1] if index else 0
            overnight = int(tones[(received >= before) & (received < opens[index])].sum())
            ticks = _opening(config, entity, index, ticks, initial, int(regimes[index]), overnight)
            begins = np.arange(opens[index], closes[index], STEP_NS)
            step = -((opens[index] - received) // STEP_NS)
            during = (received >= opens[index]) & (step < len(begins))
            impulses = np.zeros(len(begins))
            np.add.at(impulses, step[during], tones[during])
            path = _session(
                config,
                entity,
                index,
                begins,
                int(regimes[index]),
                ticks,
                impulses,
                surprise_path(lots, entity.ticker, begins),
                policy,
            )
            found.append(path)
            ticks = int(path.ticks[-1])
    return found


def _scale(entity: SimulatedEntity, regime: int, ticks: int) -> float:
    """Standard deviation of a one-minute return in ticks, at the day's average volatility."""
    return entity.volatility * 1e-4 * ticks * (_STRESS_VOLATILITY if regime == STRESS else 1.0)


def _opening(
    config: SimulationConfig, entity: SimulatedEntity, index: int, ticks: int, initial: int, regime: int, tone: int
) -> int:
    """The opening price after the close at `ticks`: noise, the news of the night, and a slight pull to the very first
    price, which keeps that of a long market in range without making any return inside a session predictable."""
    noise = float(normal(words(config.seed, Stream.RETURN, key_of(entity.ticker), index, 1, count=3))[0])
    pull = 0.02 * (initial - ticks)
    news = effects.OVERNIGHT_TONE * tone if config.effects else 0.0
    return max(100, int(np.rint(ticks + pull + _scale(entity, regime, ticks) * (_GAP * noise + news))))


def _session(
    config: SimulationConfig,
    entity: SimulatedEntity,
    index: int,
    begins: Integers,
    regime: int,
    opening: int,
    impulses: Floats,
    surprise: Floats,
    policy: Integers,
) -> Path:
    seed, key, count = config.seed, key_of(entity.ticker), len(begins)
    pressure, tone = _recursions(normal(words(seed, Stream.PRESSURE, key, index, count=3 * count)), impulses)
    burst = _burst(begins, policy) if config.effects else np.zeros(count)

    day = 2.0 * np.arange(count) / count - 1.0
    usual = _scale(entity, regime, opening) * (0.7 + 0.9 * day * day)
    volatility = usual * (1.0 + effects.POLICY_VOLATILITY * burst)
    pull = PRESSURE.drift[regime] * pressure + TONE.drift[regime] * tone
    if entity.kind == SURPRISE.entities:
        pull = pull + SURPRISE.drift[regime] * surprise
    drift = usual * pull if config.effects else np.zeros(count)

    market = normal(words(seed, Stream.MARKET, index, count=3 * count))
    own = normal(words(seed, Stream.RETURN, key, index, count=3 * count))
    noise = np.sqrt(_MARKET_SHARE) * market + np.sqrt(1.0 - _MARKET_SHARE) * own
    move = drift / STEPS_PER_MINUTE + volatility * noise / np.sqrt(float(STEPS_PER_MINUTE))
    rounding = words(seed, Stream.ROUNDING, key, index, count=count) % _UNIT
    steps = (np.rint(move * _UNIT).astype(np.int64) + rounding) // _UNIT
    steps[0] = 0  # the session opens at its opening price

    episodes = _episodes(words(seed, Stream.EPISODES, key, index, count=8), count)
    spread = np.full(count, 3 if regime == STRESS else 1)
    spread[burst > 0.5] = 5
    depth = np.full(count, 700 if regime == STRESS else 1000)
    for episode in episodes:
        if episode.kind == "drought":
            spread[episode.first : episode.last] = 7
            depth[episode.first : episode.last] = depth[0] * 15 // 100
    return Path(
        entity=entity,
        session=index,
        opened=int(begins[0]),
        regime=regime,
        ticks=opening + np.cumsum(steps),
        spread=spread,
        depth=depth,
        pressure=pressure,
        tone=tone,
        surprise=surprise,
        volatility=volatility,
        drift=drift,
        episodes=episodes,
    )


def _recursions(shocks: Floats, impulses: Floats) -> tuple[Floats, Floats]:
    """Pressure, an AR(1) of unit variance, and tone, a sum that fades. Plain Python floats: each operation is one IEEE
    operation, which a compiler might otherwise fuse differently on another machine."""
    pressure, tone = [], []
    keep, shock = effects.PRESSURE_DECAY, float(np.sqrt(1.0 - effects.PRESSURE_DECAY * effects.PRESSURE_DECAY))
    now, mood = float(shocks[0]), 0.0
    for step, (draw, impulse) in enumerate(zip(shocks.tolist(), impulses.tolist(), strict=True)):
        now = keep * now + shock * draw if step else now
        mood = effects.TONE_DECAY * mood + impulse
        pressure.append(now)
        tone.append(mood)
    return np.array(pressure), np.array(tone)


def _burst(begins: Integers, policy: Integers) -> Floats:
    """1 at a policy decision, halving every ten minutes, 0 after an hour and everywhere else."""
    fading = [1.0]
    for _ in range(effects.POLICY_STEPS - 1):
        fading.append(fading[-1] * effects.POLICY_DECAY)
    burst = np.zeros(len(begins))
    for time in policy[(policy >= begins[0]) & (policy <= begins[-1])]:
        first = int((time - begins[0]) // STEP_NS)
        part = burst[first : first + len(fading)]
        part[:] = fading[: len(part)]
    return burst


def _episodes(drawn: Integers, count: int) -> tuple[Episode, ...]:
    """At most one drought (8 % of the sessions, 10 to 30 minutes) and one spoofing attempt (15 %, 2 to 5 minutes, with
    no drought), away from the first and last half hour."""
    minute, room = STEPS_PER_MINUTE, count - 60 * STEPS_PER_MINUTE
    first = 30 * minute + int(drawn[1]) % (room - 30 * minute)
    if drawn[0] % 100 < 8:
        return (Episode("drought", 0, first, first + (10 + int(drawn[2]) % 21) * minute),)
    if drawn[0] % 100 < 23:
        return (
            Episode("spoof", 1 if drawn[3] % 2 else -1, first, first + 2 * minute + int(drawn[2]) % (3 * minute + 1)),
        )
    return ()
