"""Run every kernel's CUDA twin on a real GPU, compare it with the CPU path, and time it.

    python scripts/gpu_check.py [--rows N] [--repeats K] [--json FILE]

Times are given apart for arrays that already lie on the device (resident) and for a call that brings its inputs over
the bus and takes its outputs back (end to end), beside the copy bandwidth measured in the same run. Without a GPU it
says so in one line and exits with 5. The list of calls is also what the tests run, on the CPU and in the simulator.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from gpu_kernels import align, book, book_rebuild, decay, hmm, price, rolling
from gpu_kernels._cuda import cuda
from gpu_kernels.dispatch import to_host
from gpu_kernels.errors import DeviceError

MINUTE = 60 * 10**9


@dataclass(frozen=True)
class Work:
    """One call of a public kernel: its arrays in order, then its parameters."""

    function: Callable[..., Any]
    arrays: tuple[np.ndarray, ...]
    parameters: dict[str, Any]

    @property
    def name(self) -> str:
        shown = ", ".join(f"{key}={value}" for key, value in self.parameters.items())
        return f"{self.function.__module__.split('.')[-1]}.{self.function.__name__}({shown})"

    def run(self, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        result = self.function(*arrays, **self.parameters)
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


def works(rows: int, segments: int, dtype: str, seed: int = 0) -> list[Work]:
    """Every public kernel over generated data with gaps, ties, revisions, and empty segments."""
    rng = np.random.default_rng(seed)
    offsets, decision_offsets = cut(rng, rows, segments), cut(rng, rows, segments)
    time_ns, at = clock(rng, offsets), clock(rng, decision_offsets)
    late = (time_ns - rng.integers(0, 5, rows) * MINUTE).astype(np.int64)
    values = with_gaps(rng, rng.normal(size=rows)).astype(dtype)
    close = with_gaps(rng, 100.0 * np.exp(np.cumsum(rng.normal(scale=1e-3, size=rows)))).astype(dtype)
    high, low = (close * np.asarray(factor, dtype) for factor in (1.002, 0.997))
    bid = (100.0 + np.cumsum(rng.integers(-1, 2, rows)) * 0.01).astype(dtype)
    ask = (bid + np.asarray(0.01, dtype) * rng.integers(1, 3, rows)).astype(dtype)
    sizes = [rng.integers(0, 50, (3, rows)).astype(dtype) for _ in range(2)]
    bids, asks = np.tile(bid, (3, 1)), np.tile(ask, (3, 1))
    side = rng.choice(np.array([-1, 1], np.int8), rows)
    ticks = np.where(side > 0, 500 - rng.geometric(0.1, rows), 500 + rng.geometric(0.1, rows)).clip(0).astype(np.int64)
    emission = rng.normal(size=(rows, 3))
    emission[rng.random(rows) < 0.05] = np.nan
    transition = np.full((3, 3), 0.05) + np.eye(3) * 0.85
    quotes = (bids, sizes[0], asks, sizes[1])
    windows = [{"window": 1}, {"window": 20}, {"window": 20, "min_periods": 3}, {"window": 300, "min_periods": 1}]
    moving = [
        Work(f, (values, offsets), w)
        for f in (rolling.mean, rolling.std, rolling.minimum, rolling.maximum)
        for w in windows
    ]
    return [
        *moving,
        Work(rolling.ema, (values, offsets), {"window": 10}),
        Work(rolling.ema, (values, offsets), {"window": 10, "initial": "first"}),
        Work(rolling.time_sum, (time_ns, values, offsets), {"window_ns": 7 * MINUTE}),
        Work(price.log_return, (close, offsets), {"lag": 3}),
        Work(price.realised_variance, (close, offsets), {"window": 10}),
        Work(price.parkinson, (high, low, offsets), {"window": 10}),
        Work(price.rsi, (close, offsets), {"window": 14}),
        Work(price.atr, (high, low, close, offsets), {"window": 14}),
        Work(book.imbalance, (sizes[0], sizes[1]), {"levels": 3}),
        Work(book.microprice, quotes, {}),
        Work(book.order_flow_imbalance, (*quotes, offsets), {}),
        Work(book.best_level, (*quotes, offsets), {}),
        Work(book_rebuild.rebuild, (side, ticks, sizes[0][0], offsets), {"levels": 4}),
        Work(align.gather_map, (time_ns, late, offsets, at, decision_offsets), {"max_age_ns": 6 * MINUTE}),
        Work(align.take, (values, rng.integers(-1, rows, rows)), {}),
        Work(decay.last_index, (time_ns, offsets, at, decision_offsets), {}),
        Work(decay.count_within, (time_ns, offsets, at, decision_offsets), {"window_ns": 7 * MINUTE}),
        Work(decay.decayed_sum, (time_ns, values, offsets, at, decision_offsets), {"half_life_ns": 9 * MINUTE}),
        Work(hmm.forward_filter, (emission, np.array([0.2, 0.3, 0.5]), transition, offsets), {}),
    ]


def largest_difference(got: tuple[np.ndarray, ...], expected: tuple[np.ndarray, ...]) -> float:
    """Largest difference relative to max(1, |expected|); infinite where one side is missing and the other is not."""
    worst = 0.0
    for one, other in zip(got, expected, strict=True):
        mine, theirs = one.astype(np.float64), other.astype(np.float64)
        same = (mine == theirs) | (np.isnan(mine) & np.isnan(theirs))
        error = np.abs(mine - theirs)[~same] / np.maximum(1.0, np.abs(theirs[~same]))
        worst = max(worst, float(np.nan_to_num(error, nan=np.inf).max(initial=0.0)))
    return worst


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """Median wall time of `repeats` runs, each with the device idle before and after; one run to warm up."""
    seconds = []
    for index in range(repeats + 1):
        cuda.synchronize()
        started = time.perf_counter()
        run()
        cuda.synchronize()
        seconds.append(time.perf_counter() - started if index else 0.0)
    return statistics.median(seconds[1:])


def copy_bandwidth(repeats: int) -> float:
    """Bytes read and written per second by a device-to-device copy of 256 MiB."""
    source, target = cuda.device_array(1 << 25, np.float64), cuda.device_array(1 << 25, np.float64)
    return 2 * source.nbytes / median_seconds(lambda: target.copy_to_device(source), repeats)


def checked(rows: int, repeats: int, bandwidth: float) -> Iterator[dict[str, Any]]:
    """One record per call and dtype: difference from the CPU path and times."""
    for dtype in ("float32", "float64"):
        tolerance = 1e-5 if dtype == "float32" else 1e-9
        for work in works(rows, max(2, rows // 390), dtype):
            expected = work.run(work.arrays)
            resident = tuple(cuda.to_device(array) for array in work.arrays)
            got = tuple(to_host(array) for array in work.run(resident))
            difference = largest_difference(got, expected)
            seconds = median_seconds(lambda work=work, resident=resident: work.run(resident), repeats)
            end_to_end = median_seconds(
                lambda work=work: [to_host(out) for out in work.run(tuple(cuda.to_device(a) for a in work.arrays))],
                repeats,
            )
            moved = sum(array.nbytes for array in (*work.arrays, *expected))
            yield {
                "work": work.name,
                "dtype": dtype,
                "rows": rows,
                "difference": difference,
                "agrees": difference <= tolerance,
                "resident_seconds": seconds,
                "end_to_end_seconds": end_to_end,
                "bandwidth_fraction": moved / seconds / bandwidth,
            }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows of each table (default 2,000,000)")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each call; the median counts (default 5)")
    parser.add_argument("--json", type=Path, help="write the records to this file")
    options = parser.parse_args(arguments)
    if options.rows < 1 or options.repeats < 1:
        parser.error("--rows and --repeats must be at least 1")
    if not cuda.is_available():
        print("no GPU found: nothing was checked or timed; a CUDA driver and the gpu extra are needed", file=sys.stderr)
        return DeviceError.exit_code
    bandwidth = copy_bandwidth(options.repeats)
    device = cuda.get_current_device()
    name = device.name.decode() if isinstance(device.name, bytes) else str(device.name)
    print(f"{name}: copy bandwidth {bandwidth / 1e9:.0f} GB/s")
    records = []
    for record in checked(options.rows, options.repeats, bandwidth):
        records.append(record)
        print(
            f"{'ok  ' if record['agrees'] else 'FAIL'} {record['work']} {record['dtype']}: difference "
            f"{record['difference']:.1e}, resident {options.rows / record['resident_seconds'] / 1e6:.0f} M rows/s "
            f"({record['bandwidth_fraction']:.0%} of copy), end to end "
            f"{options.rows / record['end_to_end_seconds'] / 1e6:.0f} M rows/s",
            flush=True,
        )
    if options.json:
        report = {"device": name, "copy_bytes_per_second": bandwidth, "records": records}
        temporary = options.json.with_name(f".{options.json.name}.{os.getpid()}")
        temporary.write_text(json.dumps(report, indent=2) + "\n")
        os.replace(temporary, options.json)
    failed = sum(not record["agrees"] for record in records)
    print(f"{len(records) - failed} of {len(records)} calls agree with the CPU path")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
