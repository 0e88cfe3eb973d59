"""Correlations across entities: SciPy's numbers, ties, holes, sizes, nothing of another decision, arguments."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from gpu_kernels.cross_section import information_coefficients
from gpu_kernels.errors import ArgumentError

EACH = np.array([0, 4], np.int64)


def drawn(seed, decisions=60, entities=20, *, digits=1):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, entities + 1, decisions))])
    score = rng.standard_normal(offsets[-1]).round(digits)
    returns = 1e-3 * (rng.standard_normal((2, offsets[-1])) + 0.3 * score).round(digits)
    score[rng.random(len(score)) < 0.1] = np.nan
    returns[rng.random(returns.shape) < 0.1] = np.nan
    return score, returns, offsets


@pytest.mark.filterwarnings("ignore::scipy.stats.ConstantInputWarning")
@pytest.mark.parametrize(("entities", "digits"), [(3, 0), (20, 1), (500, 9)])
def test_scipy(entities, digits):
    score, returns, offsets = drawn(entities, entities=entities, digits=digits)
    rank_ic, ic, rows = information_coefficients(score, returns, offsets)
    told = 0
    for h in range(2):
        for d, (first, last) in enumerate(pairwise(offsets)):
            x, y = score[first:last], returns[h, first:last]
            both = np.isfinite(x) & np.isfinite(y)
            assert rows[h, d] == both.sum()
            if both.sum() < 2:
                assert np.isnan([rank_ic[h, d], ic[h, d]]).all()
                continue
            told += 1
            for got, method in ((rank_ic, stats.spearmanr), (ic, stats.pearsonr)):
                expected = method(x[both], y[both]).statistic
                np.testing.assert_allclose(got[h, d], expected, rtol=0, atol=1e-12)
    assert told > 30


class TestValues:
    def one(self, score, returns, **options):
        found = information_coefficients(np.array(score), np.array([returns]), EACH, **options)
        return [array[0, 0] for array in found]

    def test_equal_orders_are_one_exactly(self):
        assert self.one([0.1, 0.2, 0.3, 9.0], [1.0, 2.0, 3.0, 3.5])[0] == 1.0
        assert self.one([0.1, 0.2, 0.2, 9.0], [4.0, 3.0, 3.0, -3.5])[0] == -1.0

    def test_ties_have_average_ranks(self):
        # ranks 1.5 1.5 3 4 against 1 2 3 4
        assert self.one([5.0, 5.0, 6.0, 7.0], [1.0, 2.0, 3.0, 4.0])[0] == pytest.approx(4.5 / np.sqrt(4.5 * 5))

    def test_minus_zero_ties_with_zero(self):
        assert np.isnan(self.one([0.0, -0.0, 0.0, -0.0], [1.0, 2.0, 3.0, 4.0])[0])

    def test_constant_scores_have_none_however_their_mean_is_rounded(self):
        rank_ic, ic, rows = self.one([0.1] * 4, [1.0, 2.0, 3.0, 4.0])
        assert np.isnan([rank_ic, ic]).all()
        assert rows == 4
        assert np.isnan(self.one([1.0, 2.0, 3.0, 4.0], [0.1] * 4)[:2]).all()

    @pytest.mark.parametrize("size", [1e-300, 1e300])
    def test_sizes(self, size):
        score = np.array([1.0, 2.0, 4.0, 3.0])
        assert self.one(size * score, [1.0, 2.0, 3.0, 4.0])[1] == pytest.approx(0.8)

    def test_infinite_values_are_no_values(self):
        assert self.one([1.0, np.inf, 2.0, 3.0], [1.0, 2.0, -np.inf, 3.0])[2] == 2
        assert np.isnan(self.one([1.0, np.inf, 2.0, 3.0], [1.0, 2.0, -np.inf, 3.0], min_rows=3)[0])


def test_a_decision_depends_on_its_own_rows_alone():
    score, returns, offsets = drawn(3)
    whole = information_coefficients(score, returns, offsets)
    for last in (1, 17, 59):
        end = offsets[last]
        cut = information_coefficients(score[:end], np.ascontiguousarray(returns[:, :end]), offsets[: last + 1])
        for one, other in zip(cut, whole, strict=True):
            assert one.tobytes() == np.ascontiguousarray(other[:, :last]).tobytes()


def test_the_order_of_the_entities_does_not_matter():
    score, returns, offsets = drawn(4)
    rng = np.random.default_rng(0)
    mixed = np.concatenate([a + rng.permutation(b - a) for a, b in pairwise(offsets)])
    one = information_coefficients(score, returns, offsets)
    other = information_coefficients(score[mixed], np.ascontiguousarray(returns[:, mixed]), offsets)
    assert one[0].tobytes() == other[0].tobytes()
    np.testing.assert_allclose(one[1], other[1], atol=1e-14)


class TestArguments:
    score, returns = np.zeros(4), np.zeros((2, 4))

    @pytest.mark.parametrize(
        ("arguments", "options", "said"),
        [
            ((score, np.zeros((2, 3)), EACH), {}, r"returns has shape \(2, 3\)"),
            ((score, np.zeros(4), EACH), {}, "returns has 1 dimensions"),
            ((score, returns, np.array([0, 3])), {}, "offsets ends with 3"),
            ((score, returns, EACH), {"min_rows": 1}, "min_rows is 1"),
            ((score.astype(str), returns, EACH), {}, "score is <U"),
        ],
    )
    def test_wrong_ones(self, arguments, options, said):
        with pytest.raises(ArgumentError, match=said):
            information_coefficients(*arguments, **options)

    def test_no_horizon_and_no_decision(self):
        assert information_coefficients(self.score, np.zeros((0, 4)), EACH)[0].shape == (0, 1)
        assert information_coefficients(np.zeros(0), np.zeros((2, 0)), EACH[:1])[0].shape == (2, 0)
