"""What a detector gets to see, what it gives back, and how several seeds are judged as one."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from gpu_kernels.book import rebuild
from sources.schema import TIME
from sources.simulate.orders import EpisodePlan, OrderMarket, OrderSimulation, simulate_orders
from sources.simulate.orders.judge import Judgement, judge, session_bounds
from sources.simulate.orders.market import SimulatedOrders

DEVELOPMENT = (101, 102, 103, 104, 105, 106)
"""Seeds that parameters were chosen on."""

REPORTED = (201, 202, 203, 204, 205, 206, 207, 208)
"""Seeds that nothing was chosen on: what is reported."""

LEVELS = 20
DETECTED = {
    "entity": pl.String(),
    "session": pl.Date(),
    "start": TIME,
    "end": TIME,
    "score": pl.Float64(),
}
"""Columns of what a detector finds: intervals, a higher score being surer."""


class Market:
    """One simulated feed, and its book.

    found     the canonical tables and the truth, which only the judge may read
    whole     whether a row of `found.book_update` ends its message; the arrays below have a row for each that does
    time      int64 ns, known_time; offsets (S + 1,) rows of each session
    books     bid price, bid size, ask price, ask size, (LEVELS, n): prices in the quote currency
    opens     (S,) int64 ns, each session's open
    """

    def __init__(self, found: SimulatedOrders) -> None:
        self.found = found

    @cached_property
    def whole(self) -> np.ndarray:
        return self.found.book_update["last"].to_numpy()

    @cached_property
    def time(self) -> np.ndarray:
        return self.found.book_update["known_time"].to_physical().to_numpy()[self.whole]

    @cached_property
    def update_offsets(self) -> np.ndarray:
        """(S + 1,) rows of `found.book_update` of each session."""
        lengths = self.found.book_update.group_by("entity", "session", maintain_order=True).len()["len"]
        return np.append(0, lengths.cum_sum().to_numpy()).astype(np.int64)

    @cached_property
    def offsets(self) -> np.ndarray:
        return np.append(0, np.cumsum(self.whole))[self.update_offsets].astype(np.int64)

    @cached_property
    def opens(self) -> np.ndarray:
        return np.array([opened for _, opened in self.found.config.days()], np.int64)

    @cached_property
    def books(self) -> tuple[np.ndarray, ...]:
        updates, ticks = self.found.book_update, self.found.config.markets[0].ticks_per_unit
        bid, bid_size, ask, ask_size = rebuild.rebuild(
            updates["side"].to_numpy(),
            (updates["price"] * ticks).round().cast(pl.Int64).to_numpy(),
            updates["size"].to_numpy(),
            self.update_offsets,
            LEVELS,
        )
        return tuple(
            np.ascontiguousarray(array[:, self.whole])
            for array in (np.maximum(bid / ticks, -1), bid_size, np.maximum(ask / ticks, -1), ask_size)
        )

    def intervals(self, start: np.ndarray, end: np.ndarray, score: np.ndarray, session: np.ndarray) -> pl.DataFrame:
        """A detector's answer: times in ns, scores, and the number of each interval's session."""
        days = [day for day, _ in self.found.config.days()]
        return pl.DataFrame(
            {
                "entity": [self.found.config.markets[0].entity] * len(start),
                "session": [days[number] for number in session.tolist()],
                "start": pl.Series(start, dtype=pl.Int64).cast(TIME),
                "end": pl.Series(end, dtype=pl.Int64).cast(TIME),
                "score": score,
            },
            schema=DETECTED,
        )


@dataclass(frozen=True)
class Detector:
    """One way to find episodes.

    name     as the table prints it
    kinds    of the truth's episodes that it is to find
    edges    of the bins of strength that recall is told by
    detect   from a market to intervals, see `DETECTED`; it may not read `found.truth`
    role     "detector", or "ablation"
    """

    name: str
    kinds: tuple[str, ...]
    edges: tuple[float, ...]
    detect: Callable[[Market], pl.DataFrame]
    role: str = "ablation"


def simulated(
    seeds: Iterable[int], *, sessions: int = 6, duration: float = 3600.0, plan: EpisodePlan | None = None
) -> list[Market]:
    """One market a seed, of which the first session has nothing planted; the entity's name holds the seed."""
    return [
        Market(
            simulate_orders(
                OrderSimulation(
                    seed=seed,
                    sessions=sessions,
                    duration=duration,
                    plan=plan or EpisodePlan(),
                    markets=(OrderMarket(entity=f"SIM-{seed}"),),
                )
            )
        )
        for seed in seeds
    ]


def judged(detector: Detector, markets: Sequence[Market], *, draws: int = 200) -> Judgement:
    """The detections of all markets, judged as one table. The quiet first sessions count: alarms there are false."""
    return judge(
        pl.concat([market.found.truth for market in markets]),
        pl.concat([detector.detect(market) for market in markets]),
        pl.concat([session_bounds(market.found.config) for market in markets]),
        detector.kinds,
        strengths=(*detector.edges, float("inf")),
        draws=draws,
    )
