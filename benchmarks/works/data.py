"""What a call of a kernel is, and the generated tables that the calls share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

MINUTE = 60 * 10**9


@dataclass(frozen=True)
class Work:
    """One call of a public kernel: its arrays in order, then its parameters; the last arrays go by their `keywords`."""

    function: Callable[..., Any]
    arrays: tuple[np.ndarray, ...]
    parameters: dict[str, Any]
    keywords: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        shown = ", ".join(f"{key}={getattr(value, '__name__', value)}" for key, value in self.parameters.items())
        return f"{self.function.__module__.removeprefix('gpu_kernels.')}.{self.function.__name__}({shown})"

    def run(self, arrays: tuple[Any, ...], function: Callable[..., Any] | None = None) -> tuple[Any, ...]:
        """The outputs of the kernel, or of a function that stands for it."""
        positional = len(arrays) - len(self.keywords)
        named = dict(zip(self.keywords, arrays[positional:], strict=True))
        result = (function or self.function)(*arrays[:positional], **named, **self.parameters)
        return result if isinstance(result, tuple) else (result,)


def cut(rng: np.random.Generator, rows: int, segments: int) -> np.ndarray:
    """Offsets of `segments` random segments, of which some are empty and some hold one row."""
    inner = np.sort(rng.integers(0, rows + 1, segments - 1)) if segments > 1 else np.empty(0, np.int64)
    if segments > 4:
        inner[1] = inner[0]
        inner[2] = min(inner[1] + 1, rows)
    return np.concatenate([[0], np.maximum.accumulate(inner), [rows]]).astype(np.int64)


def clock(rng: np.random.Generator, offsets: np.ndarray, step: int = MINUTE) -> np.ndarray:
    """Times with ties and gaps that never fall within a segment."""
    time_ns = np.cumsum(rng.integers(0, 3, int(offsets[-1])) * step)
    for first, last in pairwise(offsets):
        time_ns[first:last] -= time_ns[first] if last > first else 0
    return time_ns.astype(np.int64)


def with_gaps(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    return np.where(rng.random(len(values)) < 0.03, np.nan, values)


class Data:
    """Generated tables of `rows` rows in `segments` segments. Each table has a generator of its own, so that a family
    that draws more does not change what the others get."""

    def __init__(self, rows: int, segments: int, dtype: str, seed: int) -> None:
        self.rows, self.segments, self.dtype, self.seed = rows, segments, dtype, seed

    def rng(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *name.encode()])

    @cached_property
    def offsets(self) -> np.ndarray:
        return cut(self.rng("offsets"), self.rows, self.segments)

    @cached_property
    def decision_offsets(self) -> np.ndarray:
        return cut(self.rng("decision_offsets"), self.rows, self.segments)

    @cached_property
    def time_ns(self) -> np.ndarray:
        return clock(self.rng("time"), self.offsets)

    @cached_property
    def decision_time(self) -> np.ndarray:
        return clock(self.rng("decision_time"), self.decision_offsets)

    @cached_property
    def values(self) -> np.ndarray:
        rng = self.rng("values")
        return with_gaps(rng, rng.normal(size=self.rows)).astype(self.dtype)

    @cached_property
    def close(self) -> np.ndarray:
        rng = self.rng("close")
        path = 100.0 * np.exp(np.cumsum(rng.normal(scale=1e-3, size=self.rows)))
        return with_gaps(rng, path).astype(self.dtype)

    @cached_property
    def quotes(self) -> tuple[np.ndarray, ...]:
        """bid price, bid size, ask price, ask size, each (3, rows): prices of all levels equal, some sizes 0."""
        rng = self.rng("quotes")
        bid = (100.0 + np.cumsum(rng.integers(-1, 2, self.rows)) * 0.01).astype(self.dtype)
        ask = (bid + np.asarray(0.01, self.dtype) * rng.integers(1, 3, self.rows)).astype(self.dtype)
        sizes = [rng.integers(0, 50, (3, self.rows)).astype(self.dtype) for _ in range(2)]
        return np.tile(bid, (3, 1)), sizes[0], np.tile(ask, (3, 1)), sizes[1]
