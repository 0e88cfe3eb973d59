"""The planted episodes of a session: when each happens, how strong it is, and the actions that the loop carries out.

An episode's draws depend on the seed, market, session, kind and its number of that kind alone. Episodes that change the
book near the touch never overlap: they share out the session's time with random pauses. Orders that merely rest (they
stay, or are cancelled late) and the lull lie anywhere.
"""

from dataclasses import dataclass, field
from math import exp, log

import numpy as np
from numpy.typing import NDArray

from gpu_kernels.errors import ConfigError
from sources.simulate.draws import Floats, Stream, key_of, uniform, words
from sources.simulate.orders.config import NS, EpisodePlan, OrderMarket

# what the loop does; the columns of an action are (time, code, episode, side, first, second)
PLACE, HIT, CANCEL, WORK, FINISH, MEET, WITHDRAW, SWEEP, REFILL = range(9)

KINDS: dict[str, str] = {
    "spoof": "one or two large orders away from the touch; the actor trades on the other side, then cancels them",
    "layering": "the same on three to six levels",
    "drought": "orders on both sides withdrawn and their replacement slowed, gradually or at once, then given back",
    "large_stays": "a large order away from the touch that rests to the session's end",
    "large_executed": "a large order at the touch that is executed",
    "large_late": "a large order away from the touch, cancelled after minutes, its actor trading nothing",
    "flicker": "large orders at the touch, each cancelled within 40 ms, for some seconds",
    "one_sided": "orders of one side withdrawn as in a drought: an imbalance",
    "short_gap": "nearly all orders of both sides withdrawn for less than a second",
    "jump": "the value jumps, an order clears the levels in between, and both sides are refilled at once",
    "lull": "the quietest tenth of every session's day: thin, and normal for the hour",
}
PLANTED = ("spoof", "layering", "drought")
SPOOFS = ("spoof", "layering")
_KIND_NUMBER = {kind: number for number, kind in enumerate(KINDS)}
_DRAWS = 256
_PAUSE = {"spoof": 20, "layering": 20, "drought": 45, "one_sided": 30, "short_gap": 20, "jump": 20}


@dataclass
class Episode:
    """One episode as planned; times in ns after the open, side +1 bid, -1 ask, 0 both or neither.

    `strength` is in typical level sizes (large orders), a share of the depth (withdrawals) or ticks (jump). `span` is
    the time that no other episode may touch; `withdrawn` holds the ramp as (time, share) points.
    """

    kind: str
    start: int
    end: int
    side: int
    strength: float
    span: int
    actions: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    withdrawn: list[tuple[int, float]] = field(default_factory=list)

    def move(self, shift: int) -> None:
        """Move the episode to another time."""
        self.start, self.end = self.start + shift, self.end + shift
        self.actions = [(action[0] + shift, *action[1:]) for action in self.actions]
        self.withdrawn = [(at + shift, share) for at, share in self.withdrawn]


class _Draws:
    """Uniform draws of one episode, one after another."""

    def __init__(self, drawn: Floats) -> None:
        self._drawn, self._at = drawn, 0

    def __call__(self, low: float = 0.0, high: float = 1.0) -> float:
        self._at += 1
        return low + (high - low) * float(self._drawn[self._at - 1])

    def log(self, low: float, high: float) -> float:
        """Even in the logarithm."""
        return exp(self(log(low), log(high)))

    def whole(self, low: int, high: int) -> int:
        """low to high, both included."""
        return min(high, int(self(low, high + 1)))

    def side(self) -> int:
        return 1 if self() < 0.5 else -1


def plan_session(
    plan: EpisodePlan, market: OrderMarket, seed: int, session: int, duration: int, quietest: int
) -> list[Episode]:
    """The episodes of a session of `duration` ns, by start; `quietest` is when its activity is lowest.

    Raises ConfigError where they do not fit.
    """
    key = key_of(market.entity)

    def draws(kind: str, number: int) -> _Draws:
        return _Draws(uniform(words(seed, Stream.ORDERS, key, session, _KIND_NUMBER[kind], number, count=_DRAWS)))

    touching, resting = [], []
    for kind in KINDS:
        for number in range(getattr(plan, kind)):
            drawn = draws(kind, number)
            if kind == "lull":
                half = duration // 20
                start = min(max(quietest - half, 0), duration - 2 * half)
                resting.append(Episode(kind, start, start + 2 * half, 0, 0.0, 0))
            elif kind in ("large_stays", "large_late"):
                resting.append(_resting(kind, drawn, duration))
            else:
                episode = _BUILDERS[kind](kind, drawn, plan)
                episode.span = episode.end + round(_PAUSE.get(kind, 10) * NS)
                touching.append(episode)
    _spread_out(touching, draws("lull", 1), market.entity, duration)
    return sorted(touching + resting, key=lambda episode: (episode.start, episode.kind))


def _spread_out(episodes: list[Episode], drawn: _Draws, entity: str, duration: int) -> None:
    """Put the episodes in a random order, one after another, with the time left over shared out at random."""
    first = min(60 * NS, duration // 10)
    spare = duration - first - sum(episode.span for episode in episodes)
    if spare < 0:
        raise ConfigError(
            f"the episodes of {entity} take {(duration - spare) // NS} s of a session of {duration // NS} s",
            hint="plant fewer, shorten them, or raise duration",
        )
    generator = _Draws(uniform(words(int(drawn() * 2**53), Stream.ORDERS, count=2 * len(episodes) + 1)))
    order = sorted(range(len(episodes)), key=lambda _: generator())
    gaps = sorted(generator(0, spare) for _ in episodes)
    used = first
    for index, gap in zip(order, gaps, strict=True):
        episodes[index].move(used + round(gap))
        used += episodes[index].span


def _permille(value: float) -> int:
    return max(1, round(1000 * value))


def _spoof(kind: str, drawn: _Draws, plan: EpisodePlan) -> Episode:
    side, strength = drawn.side(), drawn.log(*plan.spoof_strength)
    end = round(drawn.log(*plan.spoof_seconds) * NS)
    near = drawn.whole(*plan.spoof_distance)
    levels = drawn.whole(1, 2) if kind == "spoof" else drawn.whole(3, 6)
    apart = 0 if kind == "spoof" else 1
    weights = [drawn(0.7, 1.3) for _ in range(levels)]
    actions, at = [], 0
    for level, weight in enumerate(weights):
        actions.append((at, PLACE, side, near + apart * level, _permille(strength * weight / sum(weights))))
        at += round(drawn(0.002, 0.04) * NS)
    first, last = round(0.3 * end), round(0.85 * end)
    if drawn() < 0.5:  # rests at the touch on the other side, and takes what was not filled at last
        actions += [(first, WORK, -side, 0, _permille(drawn(0.3, 1.0))), (last, FINISH, -side, 0, 0)]
    else:
        for _ in range(drawn.whole(1, 3)):
            actions.append((round(drawn(first, last)), HIT, -side, 0, _permille(drawn(0.2, 0.8))))
    actions.append((end, CANCEL, side, 0, 0))
    return Episode(kind, 0, end, side, strength, 0, actions)


def _withdrawal(kind: str, drawn: _Draws, plan: EpisodePlan) -> Episode:
    if kind == "short_gap":
        share, seconds, onset, recovery, side = 0.95, drawn(0.3, 0.8), 0.02, 0.1, 0
    else:
        share, seconds = drawn(*plan.drought_strength), drawn.log(*plan.drought_seconds)
        sudden = drawn() < 0.5
        onset = drawn(0.1, 0.5) if sudden else drawn(0.2, 0.5) * seconds
        recovery = drawn(0.5, 5.0)
        side = drawn.side() if kind == "one_sided" else 0
    steps = 4 if kind == "short_gap" else 40
    points = [(onset * step / steps, share * step / steps) for step in range(1, steps + 1)]
    points += [(seconds + recovery * step / steps, share * (1 - step / steps)) for step in range(1, steps + 1)]
    timed = [(round(at * NS), max(level, 0.0)) for at, level in points]
    actions = [(at, WITHDRAW, side, round(1000 * level), 0) for at, level in timed]
    return Episode(kind, 0, round(seconds * NS), side, share, 0, actions, [(0, 0.0), *timed])


def _large_executed(kind: str, drawn: _Draws, plan: EpisodePlan) -> Episode:
    side, strength, end = drawn.side(), drawn.log(3, 15), round(drawn(1, 8) * NS)
    actions = [(0, PLACE, side, 0, _permille(strength))]
    # met at the first of these moments at which it lies within two ticks of the touch; at the last wherever it lies
    tries = 10
    actions += [(end * (tries + at) // (2 * tries), MEET, -side, at, 0) for at in range(1, tries)]
    return Episode(kind, 0, end, side, strength, 0, [*actions, (end, MEET, -side, -1, 0)])


def _flicker(kind: str, drawn: _Draws, plan: EpisodePlan) -> Episode:
    side, strength, at = drawn.side(), drawn.log(2, 8), 0
    actions = []
    for _ in range(drawn.whole(5, 30)):
        gone = at + round(drawn(0.002, 0.04) * NS)
        actions += [(at, PLACE, side, 0, _permille(strength)), (gone, CANCEL, side, 0, 0)]
        at = gone + round(drawn(0.02, 0.3) * NS)
    return Episode(kind, 0, actions[-1][0], side, strength, 0, actions)


def _jump(kind: str, drawn: _Draws, plan: EpisodePlan) -> Episode:
    side, ticks = drawn.side(), drawn.whole(4, 12)
    actions = [(0, SWEEP, side, ticks, 0)]
    actions += [(round(drawn(0.002, 0.2) * NS), REFILL, way, 8, _permille(drawn(0.3, 0.7))) for way in (1, -1) * 3]
    return Episode(kind, 0, round(0.2 * NS), side, float(ticks), 0, actions)


def _resting(kind: str, drawn: _Draws, duration: int) -> Episode:
    side, strength, far = drawn.side(), drawn.log(3, 20), drawn.whole(10, 25)
    start = round(drawn(0.05, 0.6) * duration)
    place = (start, PLACE, side, far, _permille(strength))
    if kind == "large_stays":
        return Episode(kind, start, duration, side, strength, 0, [place])
    end = start + min(round(drawn.log(40, 300) * NS), duration - start)
    return Episode(kind, start, end, side, strength, 0, [place, (end, CANCEL, side, 0, 0)])


_BUILDERS = {
    "spoof": _spoof,
    "layering": _spoof,
    "drought": _withdrawal,
    "one_sided": _withdrawal,
    "short_gap": _withdrawal,
    "large_executed": _large_executed,
    "flicker": _flicker,
    "jump": _jump,
}


def actions_of(episodes: list[Episode]) -> NDArray[np.int64]:
    """Every action of a session by time: (actions, 6) of time, code, episode, side, first, second."""
    rows = [(at, code, number, *rest) for number, one in enumerate(episodes) for at, code, *rest in one.actions]
    table = np.array(rows, dtype=np.int64).reshape(-1, 6)
    return table[np.argsort(table[:, 0], kind="stable")]
