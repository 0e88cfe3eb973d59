"""Similarity to earlier vectors: which rows are looked at, exact values, and nothing that a later row could move."""

import math

import numpy as np
import pytest

from gpu_kernels.errors import ArgumentError, DeviceError
from gpu_kernels.similarity import largest_similarity

A, B, C, ZERO = [900, 0, 0], [0, 700, 0], [300, 400, 0], [0, 0, 0]


def similar(vectors, time, offsets=None, **rule):
    rule = {"window_ns": 10, "capacity": 2, **rule}
    vectors = np.array(vectors, np.int16).reshape(len(time), np.shape(vectors)[1])
    return largest_similarity(vectors, np.array(time, np.int64), np.array(offsets or [0, len(time)]), **rule)


class TestRules:
    time = (0, 1, 2, 20, 21, 21)

    @pytest.mark.parametrize(
        ("rule", "seen"),
        [
            # how many earlier rows each row looks at
            ({"capacity": None}, [0, 1, 2, 0, 1, 2]),
            ({"window_ns": None}, [0, 1, 2, 2, 2, 2]),
            ({}, [0, 1, 2, 2, 2, 2]),
            ({"window_ns": 20}, [0, 1, 2, 3, 3, 4]),
            ({"either": False}, [0, 1, 2, 0, 1, 2]),
            ({"either": False, "capacity": 1}, [0, 1, 1, 0, 1, 1]),
            ({"either": False, "capacity": None}, [0, 1, 2, 0, 1, 2]),
            ({"either": False, "window_ns": None}, [0, 1, 2, 2, 2, 2]),
            ({"window_ns": 0, "capacity": None}, [0, 0, 0, 0, 0, 1]),
            ({"window_ns": 2**62, "capacity": None, "limit": 3}, [0, 1, 2, 3, 3, 3]),
        ],
    )
    def test_rows_looked_at(self, rule, seen):
        assert similar([A] * 6, self.time, threshold=-1.0, **rule)[2].tolist() == seen

    def test_nothing_crosses_a_segment(self):
        largest, nearest, _ = similar([A, A, A, A], (5, 6, 5, 6), [0, 2, 2, 4])
        assert nearest.tolist() == [-1, 0, -1, 2]
        assert np.isnan(largest[[0, 2]]).all()


def test_values_are_cosines_and_the_latest_of_equals_is_named():
    largest, nearest, repeats = similar([A, B, A, C, ZERO, ZERO], range(6), capacity=9, threshold=0.6)
    assert largest.tolist()[1:] == [0, 1, 0.8, 0, 1]
    assert nearest.tolist() == [-1, 0, 0, 1, 3, 4]
    assert repeats.tolist() == [0, 0, 1, 3, 0, 1]


def test_rows_that_contradict_each_other_are_not_compared():
    value = np.array([0.0, 0.5, 1.0, np.nan, 0.4])
    marks = np.array([1, 2, 0, 3, -(2**63)])
    none = similar([A] * 5, range(5), capacity=9, value=value, marks=marks, apart=0.6)
    assert none[1].tolist() == [-1, -1, 1, 2, 2]
    assert none[2].tolist() == [0, 0, 1, 3, 1]
    assert similar([A] * 5, range(5), capacity=9, value=value, apart=0.5)[2].tolist() == [0, 1, 1, 3, 3]
    assert similar([A] * 5, range(5), capacity=9, marks=marks)[2].tolist() == [0, 0, 2, 3, 1]


def test_equal_vectors_have_similarity_one_exactly_and_opposite_ones_minus_one():
    rng = np.random.default_rng(0)
    for _ in range(300):
        vector = rng.integers(-(2**15), 2**15, 384)
        vector[0] |= 1
        largest, _, _ = similar([vector, vector], (0, 0))
        assert largest[1] == 1
    largest, _, repeats = similar([[-(2**15) + 1] * 384, [2**15 - 1] * 384], (0, 0), threshold=-1)
    assert (largest[1], repeats[1]) == (-1, 1)


@pytest.mark.parametrize("either", [True, False])
def test_later_rows_move_no_bit(either):
    rng = np.random.default_rng(1)
    vectors = rng.integers(-900, 900, (300, 40)).astype(np.int16)
    time, offsets = np.sort(rng.integers(0, 500, 300)), np.array([0, 300])
    rule = {"window_ns": 15, "capacity": 6, "either": either, "threshold": 0.2}
    whole = largest_similarity(vectors, time, offsets, **rule)
    for cut in (1, 63, 64, 65, 200):
        part = largest_similarity(vectors[:cut], time[:cut], np.array([0, cut]), **rule)
        for one, other in zip(part, whole, strict=True):
            assert one.tobytes() == other[:cut].tobytes()
    # and a change of the last row changes that row alone
    vectors[-1] = vectors[-2]
    changed = largest_similarity(vectors, time, offsets, **rule)
    assert changed[0][:-1].tobytes() == whole[0][:-1].tobytes()
    assert changed[0][-1] == 1 > whole[0][-1]


def test_no_rows():
    assert [len(part) for part in similar(np.zeros((0, 3)), (), [0, 0, 0])] == [0, 0, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window_ns": None, "capacity": None}, "window_ns and capacity are None"),
        ({"window_ns": -1}, "window_ns=-1, capacity=1"),
        ({"capacity": 0}, "window_ns=1, capacity=0"),
        ({"limit": 0}, "limit is 0"),
        ({"threshold": math.nan}, "threshold is nan"),
        ({"threshold": 1.5}, "threshold is 1.5; allowed: -1 to 1"),
        ({"apart": -0.1}, "apart is -0.1"),
        ({"value": np.zeros(2)}, "arrays of unequal length: value 2, time 3"),
        ({"marks": np.zeros(3)}, "marks is float64; allowed: int64"),
        ({"vectors": np.zeros((3, 2))}, "vectors is float64; allowed: int16"),
        ({"vectors": np.zeros(3, np.int16)}, "vectors has 1 dimensions"),
        ({"vectors": np.zeros((2, 2), np.int16)}, "2 vectors for 3 times"),
        ({"time": np.array([1, 0, 2])}, "time falls from 1 to 0 at row 1"),
        ({"offsets": np.array([0, 2])}, "offsets ends with 2"),
    ],
)
def test_bad_arguments(changes, message):
    call = {
        "vectors": np.zeros((3, 2), np.int16),
        "time": np.arange(3),
        "offsets": np.array([0, 3]),
        "window_ns": 1,
        "capacity": 1,
        **changes,
    }
    arrays = [call.pop(name) for name in ("vectors", "time", "offsets")]
    with pytest.raises(ArgumentError, match=message):
        largest_similarity(*arrays, **call)


def test_arrays_on_two_sides():
    class OnDevice:
        __cuda_array_interface__ = {}  # noqa: RUF012

    with pytest.raises(DeviceError, match="vectors on the GPU"):
        largest_similarity(OnDevice(), np.arange(3), np.array([0, 3]), window_ns=1, capacity=1)
