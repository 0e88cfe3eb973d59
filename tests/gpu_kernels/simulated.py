"""Run every CUDA twin in Numba's simulator against the naive references; print a JSON report.

Started by the tests in its own process with NUMBA_ENABLE_CUDASIM=1 and NUMBA_DISABLE_JIT=1, which Numba reads when it
is first imported. A block of four threads crosses block edges on a handful of rows.
"""

import json
import sys
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, seed, settings

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import align_cases  # noqa: E402
import calls  # noqa: E402
from naive import align as naive_align  # noqa: E402
from numba import cuda  # noqa: E402
from numba.cuda.simulator.kernel import FakeCUDAKernel  # noqa: E402

from gpu_kernels import align, dispatch  # noqa: E402

dispatch.THREADS_PER_BLOCK = 4
launches: set[tuple[str, str, tuple[str, ...]]] = set()
_launch = FakeCUDAKernel.__call__


def type_name(argument):
    if hasattr(argument, "dtype") and hasattr(argument, "shape"):
        return f"{argument.dtype}:{len(tuple(argument.shape))}"
    return {bool: "bool", int: "int64", float: "float64"}[type(argument)]


def record(kernel, *arguments):
    launches.add((kernel.fn.__module__, kernel.fn.__name__, tuple(map(type_name, arguments))))
    return _launch(kernel, *arguments)


def on_device(work):
    return work.run(tuple(cuda.to_device(array) for array in work.arrays))


def twins(rows, segments, dtype):
    differences = {}
    for work in calls.works(rows, segments, dtype, seed=rows):
        got = tuple(dispatch.to_host(array) for array in on_device(work))
        wanted = calls.expected(work)
        same_types = [a.dtype for a in got] == [b.dtype for b in wanted]
        differences[work.name] = calls.largest_difference(got, wanted) if same_types else float("inf")
    return differences


def align_by_definition(examples):
    """How many drawn tables the CUDA twin of align answered as the definition does; raises where one differs."""
    count = 0

    @seed(7)
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(align_cases.tables())
    def check(table):
        nonlocal count
        *arrays, max_age = table
        got = align.gather_map(*(cuda.to_device(array) for array in arrays), max_age)
        np.testing.assert_array_equal(dispatch.to_host(got), naive_align.gather_map(*arrays, max_age))
        count += 1

    check()
    return count


def main(examples):
    FakeCUDAKernel.__call__ = record
    report = {
        "differences": [
            {"rows": rows, "dtype": dtype, "difference": twins(rows, segments, dtype)}
            for rows, segments, dtype in ((45, 8, "float64"), (45, 8, "float32"), (1, 1, "float64"), (0, 3, "float64"))
        ],
        "launches": sorted(launches),
    }
    FakeCUDAKernel.__call__ = _launch
    report["align_cases"] = align_by_definition(examples)
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]))
