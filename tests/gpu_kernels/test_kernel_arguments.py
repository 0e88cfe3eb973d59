"""What a caller gets wrong is named in one line: the value got, what is allowed, what to do."""

import os
import re
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from gpu_kernels import align, decay, dispatch, hmm, price, rolling, rolling_quantile
from gpu_kernels.book import best, rebuild
from gpu_kernels.errors import ArgumentError, DeviceError
from gpu_kernels.technical import true_range

VALUES = np.arange(6.0)
OFFSETS = np.array([0, 2, 6])
TIMES = np.array([0, 5, 1, 2, 2, 9])


class OnDevice:
    """Stands for an array of a GPU library: what the dispatch looks at, and nothing else."""

    __cuda_array_interface__ = {"shape": (6,), "typestr": "<f8", "data": (0, True), "version": 3}  # noqa: RUF012
    dtype, ndim, shape = np.dtype(np.float64), 1, (6,)


def gaussian(**changes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    given = {
        "x": np.zeros((6, 2)),
        "mean": np.zeros((1, 2, 2)),
        "covariance": np.tile(np.eye(2), (1, 2, 1, 1)),
        "start": np.full((1, 2), 0.5),
        "transition": np.full((1, 2, 2), 0.5),
        "model": np.zeros(2, np.int64),
        "offsets": OFFSETS,
    }
    return hmm.gaussian_filter(**(given | changes))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rolling.mean(VALUES, np.array([0, 5]), 2), "offsets ends with 5 but there are 6 rows"),
        (lambda: rolling.mean(VALUES, np.array([1, 6]), 2), r"offsets starts with \[1\]"),
        (lambda: rolling.mean(VALUES, np.array([], np.int64), 2), r"offsets starts with \[\]"),
        (lambda: rolling.mean(VALUES, np.array([0, 4, 3, 6]), 2), "offsets falls from 4 to 3 at 1"),
        (lambda: rolling.mean(VALUES, OFFSETS.astype(np.int32), 2), "offsets is int32; allowed: int64; convert it"),
        (lambda: rolling.mean(VALUES, OFFSETS, 0), "window is 0; allowed: a whole number, 1 or more"),
        (lambda: rolling.mean(VALUES, OFFSETS, 2.0), r"window is 2\.0"),
        (lambda: rolling.mean(VALUES, OFFSETS, True), "window is True"),
        (lambda: rolling.mean(VALUES, OFFSETS, 3, min_periods=4), "min_periods is 4; allowed: a whole number, 1 to 3"),
        (lambda: rolling.std(VALUES, OFFSETS, 3, ddof=-1), "ddof is -1"),
        (lambda: rolling_quantile.quantile(VALUES, OFFSETS, 3, 1.1), "probability is 1.1; allowed: a number, 0 to 1"),
        (lambda: rolling_quantile.median(VALUES, OFFSETS, 3, min_periods=4), "min_periods is 4"),
        (lambda: rolling.ema(VALUES, OFFSETS, 3, initial="last"), 'initial is \'last\'; allowed: "sma" or "first"'),
        (lambda: rolling.mean(VALUES > 1, OFFSETS, 2), "values is bool"),
        (lambda: rolling.mean(np.array(["a"] * 6), OFFSETS, 2), "values is <U1"),
        (lambda: rolling.mean(VALUES.reshape(2, 3), OFFSETS, 2), "values has 2 dimensions; allowed: 1"),
        (lambda: rolling.time_sum(TIMES, VALUES, OFFSETS, 0), "window_ns is 0"),
        (lambda: rolling.time_sum(TIMES[::-1], VALUES, OFFSETS, 1), "time falls from 9 to 2 at row 1"),
        (lambda: rolling.time_sum(TIMES.view("datetime64[ns]"), VALUES, OFFSETS, 1), "time is datetime64.*view it as"),
        (lambda: rolling.time_sum(TIMES[:5], VALUES, OFFSETS, 1), "arrays of unequal length: values 6, time 5"),
        (lambda: price.log_return(VALUES, OFFSETS, -1), "lag is -1"),
        (lambda: true_range.true_range(VALUES, VALUES, VALUES[:3], OFFSETS), "high 6, low 6, close 3"),
        (lambda: best.imbalance(VALUES, VALUES, 2), "levels is 2; allowed: a whole number, 1 to 1"),
        (lambda: best.imbalance(np.ones((2, 6)), np.ones((3, 6))), r"books of unequal shape .*bid_size \(2, 6\)"),
        (lambda: best.imbalance(np.ones((6, 2)).T, np.ones((2, 6))), "bid_size is not C-contiguous.*ascontiguousarray"),
        (lambda: best.imbalance(np.ones((0, 6)), np.ones((0, 6))), "books of 0 levels"),
        (lambda: align.gather_map(TIMES, TIMES, OFFSETS, TIMES, np.array([0, 6]), 1), "2 segments of rows for 1"),
        (lambda: align.gather_map(TIMES, TIMES, OFFSETS, TIMES, OFFSETS, -1), "max_age_ns is -1"),
        (lambda: align.gather_map(TIMES[::-1], TIMES, OFFSETS, TIMES, OFFSETS, 1), "known_time falls"),
        (lambda: align.gather_map(TIMES, TIMES, OFFSETS, TIMES[::-1], OFFSETS, 1), "decision_time falls"),
        (lambda: align.take(VALUES, np.array([6])), "index spans 6 to 6; allowed: -1 to 5"),
        (lambda: align.take(VALUES, np.array([-2, 0])), "index spans -2 to 0"),
        (lambda: align.ages(TIMES, TIMES, TIMES[:2], np.array([0, 6])), "index spans 0 to 6"),
        (lambda: align.ages(TIMES, TIMES, TIMES, np.array([0])), "6 decisions and 1 positions"),
        (lambda: align.ages(TIMES, TIMES[:2], TIMES, TIMES), "6 known and 2 event times"),
        (lambda: decay.count_within(TIMES, OFFSETS, TIMES, OFFSETS, 2**63), f"window_ns is {2**63}"),
        (lambda: decay.decayed_sum(TIMES, VALUES, OFFSETS, TIMES, OFFSETS, 0), "half_life_ns is 0"),
        (lambda: hmm.forward_filter(np.zeros((6, 2)), np.ones(2), np.eye(2), OFFSETS), r"start is \[1.0, 1.0\]"),
        (lambda: hmm.forward_filter(np.zeros((6, 2)), np.ones(2) / 2, np.eye(3), OFFSETS), "log_emission has 2 states"),
        (
            lambda: hmm.forward_filter(np.zeros((6, 2)), np.ones(2) / 2, np.array([[np.nan, 1], [0, 1]]), OFFSETS),
            "transition is",
        ),
        (lambda: gaussian(mean=np.zeros((1, 3, 2))), "x has 2 inputs, mean float64"),
        (lambda: gaussian(x=np.zeros((6, 3))), "x has 3 inputs, mean float64"),
        (lambda: gaussian(covariance=np.zeros((1, 2, 2, 2))), "not positive definite"),
        (lambda: gaussian(start=np.ones((1, 2))), r"start is \[\[1.0, 1.0"),
        (lambda: gaussian(model=np.array([0, 1])), "model names 2 segments' models; allowed: 2 numbers from 0 to 0"),
        (lambda: gaussian(model=np.array([0])), "model names 1 segments' models"),
    ],
)
def test_mistakes_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "row", "value", "message"),
    [
        ("side", 3, 0, "update 3 has side 0"),
        ("ticks", 4, -1, "update 4 has side 1, price_ticks -1"),
        ("size", 2, np.nan, "size nan"),
        ("size", 5, -1.0, r"size -1\.0"),
        ("size", 0, np.inf, "update 0 .* size inf"),
        ("ticks", 5, 2**62, "price_ticks 4611686018427387904"),
        ("action", 1, 3, "update 1 has .* action 3; .*action 0, 1 or 2"),
    ],
)
def test_updates_that_are_none(column: str, row: int, value: float, message: str) -> None:
    updates = {"side": np.ones(6, np.int8), "ticks": np.arange(6), "size": np.ones(6)}
    action = np.zeros(6, np.int8)
    (updates | {"action": action})[column][row] = value
    with pytest.raises(ArgumentError, match=message):
        rebuild.rebuild(*updates.values(), OFFSETS, 2, action=action)


@pytest.mark.parametrize("at", [[-1, 2], [3, 2], [5, 6]])
def test_rows_to_show_that_are_none(at: list[int]) -> None:
    with pytest.raises(ArgumentError, match=r"at spans .* allowed: rows that never fall, from 0"):
        rebuild.rebuild(np.ones(6, np.int8), np.arange(6), np.ones(6), OFFSETS, 2, at=np.array(at))


def test_arrays_on_two_sides_raise() -> None:
    with pytest.raises(DeviceError, match=re.escape("values on the GPU but offsets in host memory")):
        rolling.mean(OnDevice(), OFFSETS, 2)


def test_the_gpu_decides_by_its_interface() -> None:
    assert dispatch.is_on_device(OnDevice())
    assert not dispatch.is_on_device(VALUES)
    assert not dispatch.is_on_device(pl.Series(VALUES))


def test_read_only_and_strided_arrays_are_taken_and_left_alone() -> None:
    column = pl.Series(VALUES).to_numpy()
    assert not column.flags.writeable
    wanted = rolling.mean(VALUES, OFFSETS, 2)
    np.testing.assert_array_equal(rolling.mean(column, OFFSETS, 2), wanted)
    np.testing.assert_array_equal(rolling.mean(np.repeat(VALUES, 2)[::2], OFFSETS, 2), wanted)
    np.testing.assert_array_equal(rolling.mean(VALUES.tolist(), OFFSETS.tolist(), 2), wanted)
    assert VALUES.flags.writeable


def test_importing_the_kernels_needs_no_cuda_toolkit() -> None:
    code = "import gpu_kernels.rolling, gpu_kernels.align; print('ok')"
    hidden = (
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'cuda', 'numba_cuda'}: raise ModuleNotFoundError(name)\n"
        "sys.meta_path = [f for f in sys.meta_path if 'NumbaCuda' not in type(f).__name__]\n"
        "sys.meta_path.insert(0, Hide())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", hidden + code],
        capture_output=True,
        text=True,
        check=False,
        cwd=os.path.dirname(os.path.dirname(dispatch.__file__)),
    )
    assert done.stdout.strip() == "ok", done.stderr
