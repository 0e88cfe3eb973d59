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
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.works import works
from gpu_kernels._cuda import cuda
from gpu_kernels.dispatch import to_host
from gpu_kernels.errors import DeviceError


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
