"""Sharpe ratios, deflated, and the probability of overfitting: published values, `purgedcv`, loops, and simulation."""

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fusion.evaluation.overfitting import (
    deflated_sharpe,
    expected_maximum_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
    probability_of_overfitting,
    sharpe_ratio,
    variance_of_trials,
)
from gpu_kernels.errors import ArgumentError


def test_the_example_of_bailey_and_lopez_de_prado_2014() -> None:
    """An annual Sharpe ratio of 2.5 over 1,250 days, the best of 100 trials: it would have been 0.9505 of 46 trials."""
    found = {
        trials: deflated_sharpe(2.5 / math.sqrt(250), 1250, -3, 10, variance=1 / 2 / 250, trials=trials)
        for trials in (46, 100)
    }
    assert expected_maximum_sharpe(1 / 2 / 250, 100) == pytest.approx(0.1132, abs=5e-5)
    assert found[100] == pytest.approx(0.9004, abs=5e-5)
    assert found[46] == pytest.approx(0.9505, abs=5e-5)
    # "had the strategy exhibited normal returns, DSR = 0.9505 after 88 independent trials"
    normal = deflated_sharpe(2.5 / math.sqrt(250), 1250, 0, 3, variance=1 / 2 / 250, trials=88)
    assert normal == pytest.approx(0.9505, abs=5e-5)


@pytest.mark.parametrize(
    ("periods", "skewness", "kurtosis", "years"),
    [(252, 0, 3, 2.73), (52, 0, 3, 2.83), (12, 0, 3, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_the_track_records_of_bailey_and_lopez_de_prado_2012(periods, skewness, kurtosis, years) -> None:
    """A Sharpe ratio of 2 is above 1 with 95 % confidence after so many years."""
    sharpe, benchmark = 2 / math.sqrt(periods), 1 / math.sqrt(periods)
    length = minimum_track_record(sharpe, benchmark, skewness, kurtosis)
    assert length / periods == pytest.approx(years, abs=0.006 + 1 / periods)
    assert probabilistic_sharpe(sharpe, benchmark, int(length), skewness, kurtosis) >= 0.95
    assert probabilistic_sharpe(sharpe, benchmark, int(length) - 1, skewness, kurtosis) < 0.95
    assert minimum_track_record(benchmark, sharpe, skewness, kurtosis) == math.inf
    assert minimum_track_record(sharpe, benchmark, skewness, kurtosis, 0.3) == 2
    purgedcv = pytest.importorskip("purgedcv")
    assert length == purgedcv.min_track_record_length(sharpe, benchmark, 0.05, skewness, kurtosis)


@pytest.mark.parametrize("seed", range(8))
def test_sharpe_ratios_equal_purgedcv(seed: int) -> None:
    """Of the same moments; its own skewness and kurtosis are corrected for the sample's size, ours are plain."""
    purgedcv = pytest.importorskip("purgedcv")
    rng = np.random.default_rng(seed)
    returns = rng.standard_t(6, 200) * 0.01 + 0.001
    trials, variance = int(rng.integers(1, 60)), float(rng.random() * 0.01)
    theirs = purgedcv.deflated_sharpe_ratio_full(returns, trials, variance)
    ours = sharpe_ratio(returns)
    assert ours.value == pytest.approx(theirs.observed_sr, rel=1e-12)
    assert expected_maximum_sharpe(variance, trials) == pytest.approx(theirs.sr_star, rel=1e-12)
    moments = theirs.observed_sr, 200, theirs.skew, theirs.kurt
    assert deflated_sharpe(*moments, variance=variance, trials=trials) == pytest.approx(theirs.dsr, rel=1e-12)
    assert probabilistic_sharpe(moments[0], 0.05, *moments[1:]) == pytest.approx(
        purgedcv.probabilistic_sharpe_ratio(returns, 0.05), rel=1e-12
    )
    assert ours.skewness == pytest.approx(stats.skew(returns), rel=1e-9)
    assert ours.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False), rel=1e-9)
    assert ours.kurtosis != pytest.approx(theirs.kurt, rel=1e-3)
    assert ours.above(0.05) == pytest.approx(probabilistic_sharpe(ours.value, 0.05, 200, ours.skewness, ours.kurtosis))


def test_the_variance_is_that_of_the_influences() -> None:
    r = np.random.default_rng(2).gamma(2.0, size=100)
    found = sharpe_ratio(r)
    u = (r - r.mean()) / r.std()
    influence = u - found.value / 2 * (u**2 - 1)
    assert found.error == pytest.approx(math.sqrt((influence**2).mean() / 99), rel=1e-12)


def test_overlapping_returns_have_a_wider_error() -> None:
    """Noise whose returns span 5 sessions is called skill at 5 % far more often by the rule of independent ones."""
    false, plain = 0, 0
    for seed in range(300):
        steps = np.random.default_rng(seed).standard_normal(304)
        returns = np.array([steps[i : i + 5].mean() for i in range(300)])
        false += sharpe_ratio(returns, overlap=5).above(0) > 0.95
        plain += sharpe_ratio(returns).above(0) > 0.95
    assert plain / 300 > 0.15
    assert false / 300 < 0.085
    assert math.isnan(sharpe_ratio(returns[:14], overlap=5).above(0))


def test_the_best_of_noise_is_deflated_to_a_coin() -> None:
    """The best of 50 trials without skill: PSR calls it skill nearly always, DSR at about its level."""
    psr, dsr = [], []
    for seed in range(200):
        returns = np.random.default_rng(seed).standard_normal((250, 50))
        ratios = [sharpe_ratio(column) for column in returns.T]
        best = max(ratios, key=lambda ratio: ratio.value)
        variance = variance_of_trials([ratio.value for ratio in ratios], trials=50, single=1 / 249)
        psr.append(best.above(0))
        dsr.append(best.above(expected_maximum_sharpe(variance, 50)))
    assert np.mean(np.array(psr) > 0.95) > 0.85
    assert np.mean(np.array(dsr) > 0.95) < 0.05
    assert np.median(dsr) == pytest.approx(0.5, abs=0.1)


def test_trials_that_are_not_shown_or_few_are_taken_for_independent() -> None:
    many = np.linspace(0.0, 0.1, 12)
    variance = many.var(ddof=1)
    assert variance_of_trials(many, trials=12, single=1.0) == pytest.approx(variance)
    assert variance_of_trials(many, trials=13, single=1.0) == 1.0
    assert variance_of_trials(many, trials=13, single=1e-9) == pytest.approx(variance)
    assert variance_of_trials([*many, math.nan], trials=12, single=1.0) == pytest.approx(variance)
    assert variance_of_trials([0.0, 5.0], trials=2, single=0.01) == 0.01


def naive(returns: np.ndarray, blocks: int, overlap: int = 1):
    """Logits and (in-sample, out-of-sample) Sharpe ratios of the chosen, split by split and trial by trial."""
    sessions, trials = returns.shape
    size, larger = divmod(sessions, blocks)
    block = [b for b in range(blocks) for _ in range(size + (b < larger))]
    ratio = lambda r: 0.0 if len(r) < 2 or np.ptp(r) == 0 else r.mean() / r.std(ddof=1)  # noqa: E731
    logits, pairs = [], []
    for out in combinations(range(blocks), blocks // 2):
        test = [s for s in range(sessions) if block[s] in out]
        train = [s for s in range(sessions) if block[s] not in out and all(abs(s - t) >= overlap for t in test)]
        if not train:
            continue
        inside, outside = ([ratio(returns[part, k]) for k in range(trials)] for part in (train, test))
        best = max(range(trials), key=lambda k: (inside[k], -k))
        below, equal = (sum(f(o, outside[best]) for o in outside) for f in (lambda a, b: a < b, lambda a, b: a == b))
        w = (below + (equal + 1) / 2) / (trials + 1)
        logits.append(math.log(w / (1 - w)))
        pairs.append((inside[best], outside[best]))
    return np.array(logits), np.array(pairs)


@pytest.mark.parametrize("seed", range(12))
def test_overfitting_equals_purgedcv_and_the_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sessions, trials, blocks = int(rng.integers(30, 90)), int(rng.integers(2, 9)), int(rng.choice([2, 4, 6, 8]))
    overlap = int(rng.choice([1, 1, 2, 5]))
    returns = rng.standard_normal((sessions, trials)) + rng.standard_normal(trials) * 0.1
    if seed % 3 == 0:
        returns[:, 0] = 0.0  # a trial that never takes a position
    found = probability_of_overfitting(returns, blocks, overlap=overlap)
    logits, pairs = naive(returns, blocks, overlap)
    # the loop and purgedcv take the blocks that are tested, in their order
    assert np.allclose(found.logits, logits, rtol=0, atol=1e-12)
    assert np.allclose(found.performance, pairs, rtol=1e-9, atol=1e-12)
    purgedcv = pytest.importorskip("purgedcv")
    times = {}
    if overlap > 1:
        day = pd.date_range("2024-01-01", periods=sessions, freq="D")
        times = {"prediction_times": day, "evaluation_times": day + pd.Timedelta(days=overlap)}
    theirs = purgedcv.probability_of_backtest_overfitting(returns.T, blocks, **times)
    assert found.probability == theirs.pbo
    assert np.allclose(found.logits, theirs.logits, rtol=0, atol=1e-12)
    assert np.allclose(found.performance, theirs.is_oos_performance, rtol=1e-9, atol=1e-12)
    assert found.slope == pytest.approx(theirs.slope, rel=1e-7, nan_ok=True)
    assert found.intercept == pytest.approx(
        pairs[:, 1].mean() - theirs.slope * pairs[:, 0].mean(), rel=1e-7, nan_ok=True
    )
    assert found.loss == (pairs[:, 1] < 0).mean()


def test_the_median_itself_is_told_apart() -> None:
    """Three trials, of which the middle one is chosen: the paper's integral counts it, purgedcv and this do not."""
    rng = np.random.default_rng(3)
    returns = rng.standard_normal((60, 3))
    found = probability_of_overfitting(returns, 6)
    assert found.at_median == np.mean(found.logits == 0) > 0
    assert found.probability + found.at_median == np.mean(found.logits <= 0)


def test_what_noise_skill_and_a_fitted_past_look_like() -> None:
    rng = np.random.default_rng(11)
    noise = [probability_of_overfitting(rng.standard_normal((120, 10)), 8).probability for _ in range(60)]
    assert np.mean(noise) == pytest.approx(0.5, abs=0.06)
    skilled = rng.standard_normal((240, 10))
    skilled[:, 4] += 0.5
    found = probability_of_overfitting(skilled, 8)
    assert found.probability == 0
    assert (found.chosen == 4).all()
    # columns that sum to 0: what a trial earned in one half it loses in the other
    fitted = rng.standard_normal((240, 10))
    found = probability_of_overfitting(fitted - fitted.mean(axis=0), 8)
    assert found.probability > 0.9
    assert found.slope < -0.5
    assert found.loss == 1


def test_the_same_bits_whatever_the_unit_by_powers_of_two() -> None:
    returns = np.random.default_rng(1).standard_normal((50, 4))
    one, other = (probability_of_overfitting(returns * unit, 6) for unit in (1.0, 2.0**-13))
    assert np.array_equal(one.performance, other.performance)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: probability_of_overfitting(np.zeros((30, 1))), "1 trials"),
        (lambda: probability_of_overfitting(np.zeros((30, 3)), 5), "5 blocks"),
        (lambda: probability_of_overfitting(np.zeros((3, 3)), 4), "4 groups of 3 sessions"),
        (lambda: probability_of_overfitting(np.full((30, 3), np.nan)), "90 returns are missing"),
        (lambda: probability_of_overfitting(np.zeros(30)), "returns of 1 dimensions"),
        (lambda: probability_of_overfitting(np.zeros((4, 3)), 2, overlap=9), "leaves no session"),
        (lambda: probability_of_overfitting(np.zeros((4, 3)), 2, overlap=0), "overlap 0"),
        (lambda: sharpe_ratio([1.0, np.inf, 2.0]), "1 returns are missing"),
        (lambda: probabilistic_sharpe(1.0, 0.0, 1, 0.0, 3.0), "1 sessions"),
        (lambda: probabilistic_sharpe(1.0, 0.0, 9, 5.0, 3.0), "skewness 5.0"),
        (lambda: expected_maximum_sharpe(0.1, 0), "0 trials"),
        (lambda: expected_maximum_sharpe(-0.1, 3), "3 trials of variance -0.1"),
        (lambda: minimum_track_record(1.0, 0.0, 0.0, 3.0, 1.0), "confidence 1.0"),
    ],
)
def test_what_cannot_be_told_is_one_line(call, said) -> None:
    with pytest.raises(ArgumentError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_constant_and_short_returns_have_no_ratio() -> None:
    for returns in ([], [1.0, 2.0], [3.0] * 10):
        found = sharpe_ratio(returns)
        assert math.isnan(found.value)
        assert math.isnan(found.above(0))
        assert found.sessions == len(returns)
    assert math.isnan(minimum_track_record(math.nan, 0.0, 0.0, 3.0))
