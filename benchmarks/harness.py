"""How a benchmark is taken: outputs compared first, then both sides warmed and timed in turn; medians."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Outputs = tuple[npt.NDArray[Any], ...]


@dataclass(frozen=True)
class Comparison:
    """One piece of work done by us and by peers.

    moved    bytes that must be read and written at least once, for the share of the copy bandwidth
    ours, peers   each gives its outputs as arrays, the same in number and length
    tolerance     largest relative difference of outputs, absolute below 1
    seconds       where wall time is not what counts: for "ours" and each peer a run of the work that returns its own
    """

    work: str
    rows: int
    dtype: str
    moved: int
    ours: Callable[[], Outputs]
    peers: dict[str, Callable[[], Outputs]] = field(default_factory=dict)
    tolerance: float = 1e-9
    seconds: dict[str, Callable[[], float]] | None = None


class OutputsDifferError(Exception):
    """A peer gave other numbers than we did, so a comparison of times would mean nothing."""


def require_equal(comparison: Comparison, peer: str, ours: Outputs, theirs: Outputs) -> None:
    """Raise OutputsDifferError where values differ or one side is missing and the other is not."""
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        one, two = np.asarray(mine, np.float64), np.asarray(other, np.float64)
        equal = np.isclose(one, two, rtol=comparison.tolerance, atol=comparison.tolerance, equal_nan=True)
        if not equal.all():
            row = int(np.flatnonzero(~equal)[0])
            raise OutputsDifferError(
                f"{comparison.work}: output {number} differs from {peer}'s in {int((~equal).sum())} of {len(equal)} "
                f"rows, first at {row}: {one[row]!r} against {two[row]!r}"
            )


def medians(runs: list[Callable[[], object]], repeats: int, *, told: bool = False) -> list[float]:
    """Median wall time of each run (`told`: of the seconds that it returns), taken in turn so that a busy machine slows
    all alike; one round to warm up."""
    seconds: list[list[float]] = [[] for _ in runs]
    for round_number in range(repeats + 1):
        for run, taken in zip(runs, seconds, strict=True):
            started = time.perf_counter()
            answer = run()
            wall = time.perf_counter() - started
            if round_number:
                taken.append(float(answer) if told else wall)  # type: ignore[arg-type]
    return [statistics.median(taken) for taken in seconds]


def copy_bandwidth(repeats: int, quick: bool) -> float:
    """Bytes read and written per second by a copy that no cache holds (64 MiB when quick, else 256 MiB)."""
    source = np.ones((1 << 23) if quick else (1 << 25))
    target = np.empty_like(source)
    return float(2 * source.nbytes / medians([lambda: np.copyto(target, source)], repeats)[0])


def measure(suite: str, comparison: Comparison, repeats: int, bandwidth: float) -> Iterator[dict[str, Any]]:
    """One record per peer; the record of work without a peer has null in the peer's fields."""
    ours = comparison.ours()
    for name, peer in comparison.peers.items():
        require_equal(comparison, name, ours, peer())
    if comparison.seconds is None:
        seconds, *peer_seconds = medians([comparison.ours, *comparison.peers.values()], repeats)
    else:
        runs = [comparison.seconds[name] for name in ("ours", *comparison.peers)]
        seconds, *peer_seconds = medians(runs, repeats, told=True)
    for name, taken in zip(comparison.peers, peer_seconds, strict=True) if comparison.peers else [(None, None)]:
        yield {
            "suite": suite,
            "work": comparison.work,
            "rows": comparison.rows,
            "dtype": comparison.dtype,
            "seconds": seconds,
            "peer": name,
            "peer_seconds": taken,
            "ratio": None if taken is None else taken / seconds,
            "bandwidth_fraction": comparison.moved / seconds / bandwidth,
        }
