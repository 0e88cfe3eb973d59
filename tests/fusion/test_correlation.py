"""Segment correlations against SciPy; ties, missing values, extreme scales, wrong offsets."""

from itertools import pairwise

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fusion.correlation import correlation, rank_correlation, ranks
from fusion.threads import single_thread
from gpu_kernels.errors import ArgumentError


def naive(x, y, offsets, min_rows, ranked):
    values, counts = [], []
    for a, b in pairwise(offsets):
        both = np.isfinite(x[a:b]) & np.isfinite(y[a:b])
        u, v = x[a:b][both], y[a:b][both]
        counts.append(len(u))
        if len(u) < max(min_rows, 2) or np.ptp(u) == 0 or np.ptp(v) == 0:
            values.append(np.nan)
        else:
            values.append((stats.spearmanr if ranked else stats.pearsonr)(u, v).statistic)
    return np.array(values), np.array(counts)


@pytest.mark.parametrize("ranked", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_equals_scipy_by_segment(seed, ranked):
    rng = np.random.default_rng(seed)
    lengths = np.array([0, 1, 2, 3, 40, 0, 200, 7])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    x, y = rng.standard_normal((2, offsets[-1]))
    x[rng.random(len(x)) < 0.1] = np.nan
    y[rng.random(len(y)) < 0.1] = np.inf
    x[50:90] = rng.integers(0, 4, 40)  # ties
    x[-7:] = 3.0  # a constant segment
    measure = rank_correlation if ranked else correlation
    for min_rows in (3, 10):
        values, counts = measure(x, y, offsets, min_rows=min_rows)
        expected, rows = naive(x, y, offsets, min_rows, ranked)
        np.testing.assert_allclose(values, expected, atol=1e-12)
        np.testing.assert_array_equal(counts, rows)
    assert np.isfinite(values).any()
    assert np.isnan(values).any()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=0, max_size=12))
def test_ties_of_small_integers(pairs):
    x, y = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    offsets = np.array([0, len(x)])
    expected, _ = naive(x, y, offsets, 3, True)
    np.testing.assert_allclose(rank_correlation(x, y, offsets)[0], expected, atol=1e-12)


def test_scale_does_not_matter():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 50))
    offsets = np.array([0, 50])
    expected = correlation(x, y, offsets)[0]
    for scale in (1e-200, 1e200):
        np.testing.assert_allclose(correlation(x * scale, y * scale, offsets)[0], expected, atol=1e-12)
    # a level far from zero leaves few digits, but never a correlation beyond one
    assert abs(correlation(x + 1e15, x + 1e15, offsets)[0][0]) <= 1.0


def test_ranks_are_twice_the_average_rank():
    found = ranks(np.array([3.0, np.nan, 1.0, 3.0, np.inf, 2.0]))
    np.testing.assert_array_equal(found, [7.0, np.nan, 2.0, 7.0, np.nan, 4.0])
    assert len(ranks(np.zeros(0))) == 0


def test_bits_do_not_depend_on_threads_or_on_other_segments():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 60_000))
    offsets = np.arange(0, 60_001, 100)
    both = correlation(x, y, offsets)[0]
    with single_thread():
        assert numba.get_num_threads() == 1
        alone = correlation(x, y, offsets)[0]
    assert np.array_equal(both, alone)
    assert np.array_equal(correlation(x[:200], y[:200], offsets[:3])[0], both[:2])


def test_single_thread_gives_the_threads_back():
    before = numba.get_num_threads()
    with pytest.raises(ZeroDivisionError), single_thread():
        raise ZeroDivisionError
    with single_thread(when=False):
        assert numba.get_num_threads() == before
    assert numba.get_num_threads() == before


@pytest.mark.parametrize("offsets", [[0, 4], [1, 5], [0, 3, 2, 5], [], [[0, 5]]])
def test_wrong_offsets_are_refused(offsets):
    with pytest.raises(ArgumentError, match="allowed"):
        correlation(np.zeros(5), np.zeros(5), np.array(offsets, dtype=np.int64))


def test_wrong_lengths_are_refused():
    with pytest.raises(ArgumentError, match="allowed"):
        correlation(np.zeros(5), np.zeros(4), np.array([0, 5]))
