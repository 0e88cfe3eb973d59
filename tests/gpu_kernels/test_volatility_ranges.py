"""Variances from ranges: known efficiencies on simulated days, drift, gaps, missing bars, windows over tiles."""

import numpy as np
import pytest
from naive import volatility_ranges as naive

from gpu_kernels.errors import ArgumentError
from gpu_kernels.volatility import ranges

DAYS, STEPS = 60_000, 48
PARKINSON, GARMAN_KLASS, ROGERS_SATCHELL, YANG_ZHANG = range(4)


def brownian_days(seed: int, *, overnight: float = 0.0, drift: float = 0.0, sigma: float = 0.01) -> tuple:
    """Open, high, low, close of days of one variance, a share of it overnight. Highs and lows are those of the path and
    not of its steps: each step's own is drawn from the law of a Brownian bridge's."""
    rng = np.random.default_rng(seed)
    scale = sigma * np.sqrt((1 - overnight) / STEPS)
    path = np.cumsum(rng.normal(drift / STEPS, scale, (DAYS, STEPS)), axis=1)
    path = np.concatenate([np.zeros((DAYS, 1)), path], axis=1)
    before, after = path[:, :-1], path[:, 1:]
    reach = [np.sqrt((after - before) ** 2 - 2 * scale**2 * np.log(rng.random(before.shape))) for _ in range(2)]
    high, low = ((before + after + reach[0]) / 2).max(axis=1), ((before + after - reach[1]) / 2).min(axis=1)
    close = path[:, -1]
    gap = rng.normal(0.0, sigma * np.sqrt(overnight), DAYS)
    # each day starts where the one before ended, in blocks that keep prices in range
    level = np.cumsum(gap + close) - close
    level -= np.repeat(level[::100] - gap[::100], 100)
    offsets = np.arange(0, DAYS + 1, 100)
    return (*(100 * np.exp(level + x) for x in (0.0, high, low, close)), offsets)


def efficiency(estimates: np.ndarray, variance_of_close_to_close: float) -> float:
    return variance_of_close_to_close / float(np.var(estimates))


class TestOnBrownianDays:
    def test_efficiencies_are_those_of_the_literature(self) -> None:
        per_day = ranges.range_variances(*brownian_days(1), 1)[:3] / 1e-4
        np.testing.assert_allclose(per_day.mean(axis=1), 1.0, atol=0.012)
        parkinson, garman_klass, rogers_satchell = (efficiency(x, 2.0) for x in per_day)
        assert parkinson == pytest.approx(4.91, rel=0.05)
        assert garman_klass == pytest.approx(7.4, rel=0.05)
        assert rogers_satchell == pytest.approx(6.04, rel=0.05)
        assert 1.0 < parkinson < rogers_satchell < garman_klass

    def test_the_full_garman_klass_is_hardly_better_than_the_practical(self) -> None:
        full, practical = (
            ranges.range_variances(*brownian_days(2), 1, garman_klass=name)[GARMAN_KLASS] / 1e-4
            for name in ("full", "practical")
        )
        assert full.mean() == pytest.approx(1.0, abs=0.012)
        assert efficiency(full, 2.0) == pytest.approx(7.4, rel=0.05)
        assert 0.99 < efficiency(full, 2.0) / efficiency(practical, 2.0) < 1.03
        assert not np.allclose(full, practical, rtol=1e-3)

    @pytest.mark.parametrize(("window", "overnight", "wanted"), [(2, 0.07, 14.0), (10, 0.12, 8.7)])
    def test_yang_zhang_is_up_to_fourteen_times_as_efficient(
        self, window: int, overnight: float, wanted: float
    ) -> None:
        *bars, offsets = brownian_days(3, overnight=overnight)
        estimates = ranges.range_variances(*bars, offsets, window)[YANG_ZHANG] / 1e-4
        # windows that share no day, from each segment's first whole one
        apart = np.concatenate([estimates[first + window : first + 100 : window] for first in offsets[:-1]])
        assert apart.mean() == pytest.approx(1.0, abs=0.012)
        assert efficiency(apart, 2.0 / (window - 1)) == pytest.approx(wanted, rel=0.06)

    def test_a_drift_moves_parkinson_and_not_rogers_satchell_or_yang_zhang(self) -> None:
        *bars, offsets = brownian_days(4, drift=0.01)
        means = np.nanmean(ranges.range_variances(*bars, offsets, 10) / 1e-4, axis=1)
        assert means[PARKINSON] > 1.2
        assert means[GARMAN_KLASS] > 1.05
        np.testing.assert_allclose(means[[ROGERS_SATCHELL, YANG_ZHANG]], 1.0, atol=0.012)

    def test_only_yang_zhang_sees_the_night(self) -> None:
        *bars, offsets = brownian_days(5, overnight=0.4)
        means = np.nanmean(ranges.range_variances(*bars, offsets, 20) / 1e-4, axis=1)
        np.testing.assert_allclose(means, [0.6, 0.6, 0.6, 1.0], atol=0.012)


def small_bars(rows: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(scale=1e-3, size=rows)))
    opening = close * np.exp(rng.normal(scale=1e-3, size=rows))
    high, low = np.maximum(opening, close) * 1.001, np.minimum(opening, close) * 0.999
    return [opening, high, low, close]


class TestNumbers:
    @pytest.mark.parametrize("window", [1, 2, 7, 128, 513, 5000])
    @pytest.mark.parametrize("dirty", [False, True])
    def test_windows_across_tiles(self, window: int, dirty: bool) -> None:
        bars = small_bars(3000, window)
        if dirty:
            rng = np.random.default_rng(window)
            for column in bars:
                column[rng.random(3000) < 0.005] = rng.choice([np.nan, 0.0, -1.0, np.inf])
            bars[1][rng.random(3000) < 0.005] *= 2.0
        offsets = np.array([0, 1, 1, 1300, 3000])
        rows = np.r_[0:20, 1290:1310, 1810:1830, 2990:3000]
        got = ranges.range_variances(*bars, offsets, window, min_periods=1)
        wanted = naive.range_variances(*bars, offsets, window, min_periods=1)
        np.testing.assert_allclose(got[:, rows], wanted[:, rows], rtol=1e-9, atol=1e-18)

    def test_a_missing_bar_is_stepped_over(self) -> None:
        bars = small_bars(12)
        without = ranges.range_variances(*(np.delete(x, 5) for x in bars), np.array([0, 11]), 11, min_periods=3)
        for column, value in ((0, np.nan), (1, np.inf), (2, 0.0), (3, -1.0)):
            dirty = [x.copy() for x in bars]
            dirty[column][5] = value
            got = ranges.range_variances(*dirty, np.array([0, 12]), 12, min_periods=3)
            np.testing.assert_allclose(np.delete(got, 5, axis=1)[:, 6:], without[:, 6:], rtol=1e-12)
            assert np.isnan(ranges.range_variances(*dirty, np.array([0, 12]), 6)[:, 5:11]).all()

    def test_sessions_then_yang_zhang_over_days(self) -> None:
        bars, offsets = small_bars(600, 3), np.arange(0, 601, 60)
        days = ranges.session_prices(*bars, offsets)
        np.testing.assert_array_equal(
            days[:, 1], [bars[0][60], bars[1][60:120].max(), bars[2][60:120].min(), bars[3][119]]
        )
        got = ranges.range_variances(*days, np.array([0, 10]), 5)[YANG_ZHANG]
        gap = np.log(days[0][1:] / days[3][:-1])
        assert np.isnan(got[:5]).all()
        wanted = naive.variances(naive.bars_of(*days, 0, 10)[5:], "practical", 1, 5)[3]
        assert got[9] == pytest.approx(wanted, rel=1e-12)
        assert got[9] > np.var(gap[4:], ddof=1)

    def test_parkinson_is_the_first_row(self) -> None:
        opening, high, low, close = small_bars(700)
        offsets = np.array([0, 700])
        one = ranges.parkinson(high, low, offsets, 30)
        np.testing.assert_allclose(one, ranges.range_variances(opening, high, low, close, offsets, 30)[0], rtol=1e-11)

    def test_mistakes_are_named(self) -> None:
        bars, offsets = small_bars(6), np.array([0, 6])
        for keywords, message in (
            ({"garman_klass": "half"}, 'garman_klass is \'half\'; allowed: "practical" or "full"'),
            ({"ddof": -1}, "ddof is -1"),
            ({"min_periods": 9}, "min_periods is 9; allowed: a whole number, 1 to 3"),
        ):
            with pytest.raises(ArgumentError, match=message):
                ranges.range_variances(*bars, offsets, 3, **keywords)
