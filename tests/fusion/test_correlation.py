"""Pooled ICs against plain loops and SciPy: weights, clusters, ties, missing values, extreme scales, wrong offsets."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fusion.correlation import Moments, order, rank_moments, ranks, value_moments
from gpu_kernels.errors import ArgumentError


def weighted(rows):
    """Weighted correlation of (u, v, weight, ...); 0 where u or v is constant or nothing is left."""
    rows = [row for row in rows if row[2] > 0]
    if len({row[0] for row in rows}) < 2 or len({row[1] for row in rows}) < 2:
        return 0.0
    u, v, w = (np.array([row[k] for row in rows]) for k in range(3))
    (uu, uv), (_, vv) = np.cov(u, v, aweights=w, ddof=0)
    return uv / math.sqrt(uu * vv)


def naive(x, y, offsets, weights, ranked):
    """ic, error, t, p, effective sessions, contributions (with these weights' own standardisation), one row a step."""
    rows = [(x[i], y[i], s) for s, (a, b) in enumerate(pairwise(offsets)) for i in range(a, b)]
    rows = [(a, b, s) for a, b, s in rows if math.isfinite(a) and math.isfinite(b)]
    u, v = ([row[k] for row in rows] for k in (0, 1))
    if ranked:
        u, v = ([sum(b < a for b in z) + (sum(b == a for b in z) + 1) / 2 for a in z] for z in (u, v))
    w = [weights[s] for _, _, s in rows]
    total = sum(w)
    means = [sum(a * b for a, b in zip(w, z, strict=True)) / total for z in (u, v)]
    deviations = [
        math.sqrt(sum(a * (b - m) ** 2 for a, b in zip(w, z, strict=True)) / total)
        for z, m in zip((u, v), means, strict=True)
    ]
    z_u, z_v = ([(b - m) / d for b in z] for z, m, d in zip((u, v), means, deviations, strict=True))
    ic = sum(a * b * c for a, b, c in zip(w, z_u, z_v, strict=True)) / total
    sessions = len(offsets) - 1
    share, products = [0.0] * sessions, [[] for _ in range(sessions)]
    square_u, square_v = [0.0] * sessions, [0.0] * sessions
    for (_, _, s), a, b, c in zip(rows, w, z_u, z_v, strict=True):
        share[s] += a
        products[s].append(b * c)
        square_u[s] += b * b
        square_v[s] += c * c
    n = sum(share) ** 2 / sum(a * a for a in share)
    left_out = [weighted([row for row in zip(u, v, w, rows, strict=True) if row[3][2] != s]) for s in range(sessions)]
    deviation = [r - ic if a else 0.0 for r, a in zip(left_out, share, strict=True)]
    g = [sum(a * b for a, b in zip(deviation[lag:], deviation, strict=False)) for lag in range(3)]
    near = g[0] + 2 * (2 / 3 * g[1] + 1 / 3 * g[2])
    error = math.sqrt(max(g[0], near))
    contributions = [sum(part) / len(part) if part else math.nan for part in products]
    spread = [a * a * b * c for a, b, c in zip(weights, square_u, square_v, strict=True)]
    m = sum(spread) ** 2 / sum(a * a for a in spread) / (2 if near > g[0] else 1)
    return ic, error, ic / error, 2 * stats.t.sf(abs(ic / error), max(m - 1, 1e-12)), n, contributions


def dirty(seed):
    """x, y, offsets: empty sessions and short ones, gaps, infinities, ties, a constant session."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum([0, 1, 2, 3, 40, 0, 90, 7])])
    x, y = rng.standard_normal((2, offsets[-1]))
    y += 0.3 * x
    x[rng.random(len(x)) < 0.1] = np.nan
    y[rng.random(len(y)) < 0.1] = np.inf
    x[50:90] = rng.integers(0, 4, 40)
    x[-7:] = 3.0
    return x, y, offsets


@pytest.mark.parametrize("ranked", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_equals_plain_loops(seed, ranked):
    x, y, offsets = dirty(seed)
    moments = (rank_moments if ranked else value_moments)(x, y, offsets)
    rng = np.random.default_rng(100 + seed)
    weights = np.stack([np.ones(8), rng.random(8), rng.random(8) * [1, 1, 1, 1, 1, 1, 0, 0.01]])
    found = moments.pooled(weights)
    for k in range(len(weights)):
        ic, error, t, p, n, contributions = naive(x, y, offsets, weights[k], ranked)
        got = [value[k] for value in (found.ic, found.error, found.t, found.p, found.sessions)]
        assert got == pytest.approx([ic, error, t, p, n], rel=1e-9)
        assert moments.correlation(weights)[k] == got[0]
        if k == 0:
            np.testing.assert_allclose(moments.contributions(), contributions, atol=1e-12)
    both = np.isfinite(x) & np.isfinite(y)
    assert found.ic[0] == pytest.approx((stats.spearmanr if ranked else stats.pearsonr)(x[both], y[both]).statistic)
    assert np.nansum(moments.contributions() * moments.rows) / moments.rows.sum() == pytest.approx(found.ic[0], 1e-12)
    one = moments.pooled(weights[1])
    assert (one.ic, one.error, one.p) == (found.ic[1], found.error[1], found.p[1])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=0, max_size=12),
    st.lists(st.integers(0, 12), max_size=3),
)
def test_ties_of_small_integers(pairs, cuts):
    x, y = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    offsets = np.array([0, *sorted(min(cut, len(x)) for cut in cuts), len(x)])
    found = rank_moments(x, y, offsets).pooled(np.ones(len(offsets) - 1))
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        assert np.isnan([found.ic, found.error, found.t, found.p]).all()
        return
    assert found.ic == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    if np.count_nonzero(np.diff(offsets)) == 1:
        assert np.isnan([found.error, found.t, found.p]).all()
    else:
        assert 0 <= found.p <= 1


def test_a_resample_is_the_correlation_of_its_rows_at_the_sample_s_ranks():
    x, y, offsets = dirty(9)
    moments = rank_moments(x, y, offsets)
    counts = np.random.default_rng(0).multinomial(8, [1 / 8] * 8, size=50).astype(np.float64)
    both = np.isfinite(x) & np.isfinite(y)
    u, v = (stats.rankdata(np.where(both, z, np.nan), nan_policy="omit") for z in (x, y))
    for found, count in zip(moments.correlation(counts), counts, strict=True):
        drawn = [range(a, b) for (a, b), c in zip(pairwise(offsets), count, strict=True) for _ in range(int(c))]
        rows = [i for session in drawn for i in session if both[i]]
        if len(set(u[rows])) > 1:
            assert found == pytest.approx(np.corrcoef(u[rows], v[rows])[0, 1], abs=1e-12)


def test_a_session_repeated_is_no_new_information():
    """Rows inside a session may be copies of each other: neither ic nor error nor t may change."""
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((2, 50))
    offsets = np.arange(0, 51, 5)
    once = rank_moments(x, y, offsets).pooled(np.ones(10))
    thrice = rank_moments(np.repeat(x, 3), np.repeat(y, 3), 3 * offsets).pooled(np.ones(10))
    found, expected = ([float(z) for z in (each.ic, each.error, each.t)] for each in (thrice, once))
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_session_that_alone_makes_the_correlation_is_no_evidence():
    """The rest knows nothing of it: the jackknife says so, where a sum of squared influences is small."""
    rng = np.random.default_rng(3)
    offsets = np.arange(0, 401, 20)
    x, y = rng.standard_normal((2, 400))
    x[:380] = 0.0  # a score that was there in the last session only
    y[380:] = x[380:]
    moments = value_moments(x, y, offsets)
    found = moments.pooled(np.ones(20))
    assert found.error == pytest.approx(abs(found.ic), rel=0.02)
    linear = math.sqrt((moments.influences() ** 2).sum() * 20 / 19)
    assert linear < 0.7 * found.error


class TestUndefined:
    @pytest.mark.parametrize("measure", [rank_moments, value_moments])
    @pytest.mark.parametrize("constant", [0.0, 0.1, -1e300, 1e-320, 1e15 + 0.1])
    def test_constant_over_the_sample_or_over_what_weighs(self, measure, constant):
        rng = np.random.default_rng(0)
        y = rng.standard_normal(40)
        offsets = np.array([0, 10, 20, 30, 40])
        flat = measure(np.full(40, constant), y, offsets)
        assert np.isnan(flat.pooled(np.ones(4)).ic)
        assert np.isnan(flat.contributions()).all()
        half = measure(np.where(np.arange(40) < 20, constant, y), y, offsets)
        weights = np.array([[0.3, 0.7, 0.0, 0.0], [0.3, 0.7, 0.1, 0.1]])
        found = half.pooled(weights)
        assert np.isnan([found.ic[0], found.error[0], found.t[0], found.p[0]]).all()
        assert np.isfinite([found.ic[1], found.error[1], found.t[1], found.p[1]]).all()

    def test_too_few_rows_or_sessions_or_no_weight(self):
        x, y = np.random.default_rng(0).standard_normal((2, 6))
        moments = rank_moments(x, y, np.array([0, 3, 6]))
        assert np.isnan(moments.pooled(np.ones(2), min_rows=7).ic)
        # rows without weight are no rows
        assert np.isnan(moments.pooled(np.array([1.0, 0.0]), min_rows=4).ic)
        alone = moments.pooled(np.array([1.0, 0.0]))
        assert np.isfinite(alone.ic)
        assert alone.sessions == 1.0
        assert np.isnan([alone.error, alone.t, alone.p]).all()
        nothing = moments.pooled(np.zeros(2))
        assert nothing.sessions == 0.0
        assert np.isnan([nothing.ic, nothing.error, nothing.t, nothing.p]).all()

    def test_empty(self):
        for offsets in ([0], [0, 0, 0]):
            moments = rank_moments(np.zeros(0), np.zeros(0), np.array(offsets))
            assert np.isnan(moments.pooled(np.ones(len(offsets) - 1)).ic)
            assert moments.contributions().shape == (len(offsets) - 1,)

    def test_a_perfect_relation_has_a_finite_t(self):
        x = np.arange(30.0)
        found = rank_moments(x, x**3, np.arange(0, 31, 5)).pooled(np.ones(6))
        assert found.ic == 1.0
        assert np.isfinite(found.t)
        assert 0 <= found.p < 1e-10


def test_scale_does_not_matter():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 50))
    offsets = np.array([0, 20, 50])
    expected = value_moments(x, y, offsets).pooled(np.ones(2))
    for scale in (1e-200, 1e200):
        found = value_moments(x * scale, y * scale, offsets).pooled(np.ones(2))
        np.testing.assert_allclose([found.ic, found.error], [expected.ic, expected.error], atol=1e-12)
    # a level far from zero leaves few digits, but never a correlation beyond one
    assert abs(value_moments(x + 1e15, x + 1e15, offsets).pooled(np.ones(2)).ic) <= 1.0
    assert np.isfinite(rank_moments(np.exp(300 * x), y, offsets).pooled(np.ones(2)).ic)


def test_ranks_are_twice_the_average_rank():
    found = ranks(np.array([3.0, np.nan, 1.0, 3.0, np.inf, 2.0]))
    np.testing.assert_array_equal(found, [7.0, np.nan, 2.0, 7.0, np.nan, 4.0])
    assert len(ranks(np.zeros(0))) == 0


def test_an_order_of_more_rows_serves_a_window_of_them():
    x, y, offsets = dirty(5)
    window = (np.arange(len(x)) >= 3) & (np.arange(len(x)) < 136)
    expected = rank_moments(np.where(window, x, np.nan), y, offsets).sums
    found = rank_moments(np.where(window, x, np.nan), y, offsets, x_order=order(x), y_order=order(y)).sums
    np.testing.assert_array_equal(found, expected)
    # and the window's ranks do not know the rows beside it
    alone = rank_moments(x[3:136], y[3:136], np.array([0, 3, 43, 43, 133])).sums
    np.testing.assert_array_equal(found[:, 3:7], alone)
    assert isinstance(rank_moments(x, y, offsets), Moments)


@pytest.mark.parametrize("offsets", [[0, 4], [1, 5], [0, 3, 2, 5], [], [[0, 5]]])
def test_wrong_offsets_are_refused(offsets):
    with pytest.raises(ArgumentError, match="allowed"):
        rank_moments(np.zeros(5), np.zeros(5), np.array(offsets, dtype=np.int64))


def test_wrong_lengths_are_refused():
    with pytest.raises(ArgumentError, match="allowed"):
        value_moments(np.zeros(5), np.zeros(4), np.array([0, 5]))
