"""Labels that span sessions: errors and intervals against loops, and how often they are wrong about noise."""

import math

import numpy as np
import pytest
from scipy import stats

from fusion.correlation import Moments, rank_moments
from fusion.horizon import Sessions, overlap
from fusion.overlap import least_sessions, long_run, resamples, stretched


def noise(seed: int, sessions: int, h: int, entities: int = 4, stay: float = 0.9) -> Moments:
    """A score that persists, and returns over h sessions that it has nothing to do with, all made each session."""
    draw = np.random.default_rng(seed)
    x, daily = draw.standard_normal((sessions, entities)), draw.standard_normal((sessions + h, entities))
    for t in range(1, sessions):
        x[t] = stay * x[t - 1] + math.sqrt(1 - stay**2) * x[t]
    y = np.stack([daily[t + 1 : t + 1 + h].sum(axis=0) for t in range(sessions)])
    return rank_moments(x.ravel(), y.ravel(), np.arange(sessions + 1, dtype=np.int64) * entities)


def naive(psi: np.ndarray, share: np.ndarray, h: int) -> tuple[float, int]:
    n = 1 / sum(a * a for a in share)
    b, squares = min(int(n / (3 * h)), 40), []
    for j in range(1, b + 1):
        before, total = 0.0, 0.0
        for value, weight in zip(psi, share, strict=True):
            total += value * math.cos(math.pi * j * (before + weight / 2))
            before += weight
        squares.append(2 * total**2)
    return (sum(squares) / b, b) if b else (math.nan, 0)


@pytest.mark.parametrize("h", [2, 5, 40])
def test_the_variance_equals_a_loop(h: int) -> None:
    draw = np.random.default_rng(h)
    psi, share = draw.standard_normal(90), draw.random(90) * (draw.random(90) > 0.2)
    share /= share.sum()
    found, freedom = long_run(psi, share, 1 / (share**2).sum(), h)
    expected, count = naive(psi, share, h)
    assert freedom == count
    assert found == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_all_frequencies_together_are_the_rule_of_independent_sessions() -> None:
    psi = np.random.default_rng(1).standard_normal(30)
    psi -= psi.mean()
    waves = [math.sqrt(2) * np.cos(np.pi * j * (np.arange(30) + 0.5) / 30) for j in range(1, 30)]
    assert np.mean([(wave @ psi) ** 2 for wave in waves]) == pytest.approx((psi**2).sum() * 30 / 29)


def test_one_session_is_the_rule_of_before_to_the_bit() -> None:
    assert overlap(15 * 60 * 10**9) == overlap(Sessions(1)) == 1
    moments, weights = noise(1, 60, 1), np.random.default_rng(2).random((3, 60))
    with_one, plain = moments.pooled(weights, overlap=1), moments.pooled(weights)
    assert all(np.array_equal(getattr(with_one, k), getattr(plain, k)) for k in ("ic", "error", "t", "p", "sessions"))
    expected = np.random.default_rng(7).multinomial(60, np.full(60, 1 / 60), size=20)
    assert np.array_equal(resamples(60, 1, 20, np.random.default_rng(7)), expected)
    assert stretched(0.1, 0.0, 0.3, sessions=60, overlap=1, confidence=0.95) == (0.0, 0.3)


def test_the_same_ic_with_a_wider_error_and_few_sessions_have_none() -> None:
    moments = noise(3, 100, 5)
    plain, found = (moments.pooled(np.ones(100), overlap=h) for h in (1, 5))
    assert found.ic == plain.ic
    assert found.p == pytest.approx(2 * stats.t.sf(abs(found.t), 6), rel=1e-12)  # 100 / 15 frequencies
    few = moments.pooled((np.arange(100) < least_sessions(5) - 1).astype(float), overlap=5)
    assert np.isfinite(few.ic)
    assert np.isnan(few.error)
    assert np.isnan(few.p)


def test_weights_of_zero_take_no_part() -> None:
    """A regime's sessions alone, or with others between that weigh nothing, give one error."""
    moments, some = noise(4, 120, 4), np.arange(120) % 3 != 0
    inside = Moments(moments.sums[:, some]).pooled(np.ones(some.sum()), overlap=4)
    assert moments.pooled(some.astype(float), overlap=4).error == pytest.approx(inside.error, rel=1e-12)


@pytest.mark.parametrize(("sessions", "h"), [(60, 5), (61, 5), (10, 21), (1, 3)])
def test_resamples_are_of_whole_blocks(sessions: int, h: int) -> None:
    drawn = resamples(sessions, h, 50, np.random.default_rng(1))
    assert drawn.shape == (50, sessions)
    assert (drawn.sum(axis=1) == sessions).all()
    block = min(h, sessions)
    starts = np.random.default_rng(1).integers(0, sessions - block + 1, size=(50, -(-sessions // block)))
    for row, places in zip(drawn, starts, strict=True):
        taken = [place + k for place in places for k in range(block)][:sessions]
        assert np.array_equal(np.bincount(taken, minlength=sessions), row)


def rejected(sessions: int, h: int, used: int, seeds: int) -> float:
    found = [noise(seed, sessions, h).pooled(np.ones(sessions), overlap=used).p for seed in range(seeds)]
    return float(np.mean(np.array(found) < 0.05))


@pytest.mark.parametrize(("sessions", "h"), [(200, 5), (252, 21)])
def test_a_test_at_5_percent_rejects_noise_about_as_often(sessions: int, h: int) -> None:
    # of 600 markets: three standard deviations about 5 % are 2.3 % to 7.7 %
    assert 0.023 < rejected(sessions, h, h, 600) < 0.077
    # errors of labels of one session allow for the next session, and for no more
    assert rejected(sessions, h, 1, 100) > 0.12, "errors by session alone would do, so that this shows nothing"


@pytest.mark.parametrize(("sessions", "h"), [(200, 5), (252, 21)])
def test_an_interval_of_95_percent_leaves_zero_out_about_as_often(sessions: int, h: int) -> None:
    outside, single = 0, 0
    for seed in range(300):
        moments = noise(1000 + seed, sessions, h)
        value = float(moments.correlation(np.ones(sessions)))
        for block in (h, 1):
            drawn = moments.correlation(resamples(sessions, block, 200, np.random.default_rng(seed)))
            low, high = (float(end) for end in np.quantile(drawn, [0.025, 0.975]))
            low, high = stretched(value, low, high, sessions=sessions, overlap=block, confidence=0.95)
            outside += block == h and not low < 0 < high
            single += block == 1 and not low < 0 < high
    assert 0.012 < outside / 300 < 0.09
    assert single / 300 > 0.2


def test_a_sample_without_sessions_has_no_error() -> None:
    none = rank_moments(np.zeros(0), np.zeros(0), np.zeros(1, dtype=np.int64))
    found = none.pooled(np.ones(0), overlap=5)
    assert np.isnan([found.ic, found.error, found.p]).all()
