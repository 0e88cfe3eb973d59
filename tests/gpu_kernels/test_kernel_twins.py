"""Both twins of every kernel give what the naive references give."""

import os
import subprocess
import sys
from pathlib import Path

import align_cases
import calls
import numpy as np
import pytest
from hypothesis import given, settings
from naive import align as naive_align

from gpu_kernels import align


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("rows", "segments"), [(400, 7), (60, 9), (1, 1), (0, 1), (0, 6)])
def test_cpu_twin_equals_naive(rows: int, segments: int, dtype: str) -> None:
    for work in calls.works(rows, segments, dtype, seed=rows):
        got, wanted = work.run(work.arrays), calls.expected(work)
        assert [array.dtype for array in got] == [array.dtype for array in wanted], work.name
        assert calls.largest_difference(got, wanted) <= calls.TOLERANCE[dtype], work.name


def test_cuda_twin_equals_naive_in_the_simulator(simulated: dict) -> None:
    for run in simulated["differences"]:
        for name, difference in run["difference"].items():
            assert difference <= calls.TOLERANCE[run["dtype"]], f"{name} on {run['rows']} rows of {run['dtype']}"


def test_every_public_function_is_called() -> None:
    called = {work.function for work in calls.works(30, 3, "float64")}
    assert called == calls.public_functions()


def test_every_cuda_kernel_ran_in_the_simulator(simulated: dict) -> None:
    assert calls.cuda_kernels() == {(module, name) for module, name, _ in simulated["launches"]}


@settings(max_examples=3000, deadline=None)
@given(align_cases.tables())
def test_align_equals_its_definition(table: tuple) -> None:
    *arrays, max_age = table
    np.testing.assert_array_equal(align.gather_map(*arrays, max_age), naive_align.gather_map(*arrays, max_age))


def test_align_equals_its_definition_in_the_simulator(simulated: dict) -> None:
    assert simulated["align_cases"] >= 1000


def test_same_bits_whatever_the_thread_count() -> None:
    code = (
        "import hashlib, statistics, sys; sys.path.insert(0, sys.argv[1]); import calls, numba\n"
        "from gpu_kernels import dispatch\n"
        "dispatch.ROWS_PER_THREAD = 64  # else so few rows are not worth a second thread\n"
        "digest, ask, asked = hashlib.sha256(), numba.set_num_threads, []\n"
        "numba.set_num_threads = lambda threads: (asked.append(threads), ask(threads))\n"
        "for work in calls.works(20_000, 7, 'float64'):\n"
        "    for array in work.run(work.arrays): digest.update(array.tobytes())\n"
        "print(statistics.mode(asked[::2]), digest.hexdigest())  # each second call gives the threads back"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code, str(Path(__file__).parent)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "NUMBA_NUM_THREADS": threads},
        ).stdout.split()
        for threads in ("1", "2", "5")
    ]
    assert [threads for threads, _ in said] == ["1", "2", "5"]
    assert len({digest for _, digest in said}) == 1


def test_gpu_check_says_in_one_line_that_there_is_no_gpu() -> None:
    done = subprocess.run(
        [sys.executable, str(calls.PATH)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 5
    assert len(done.stderr.strip().splitlines()) == 1
    assert "no GPU found" in done.stderr
