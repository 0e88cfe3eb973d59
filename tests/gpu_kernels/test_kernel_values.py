"""What kernels must give beyond the naive references: other libraries' numbers, dirty inputs, nothing of the future."""

import inspect

import bottleneck
import calls
import numpy as np
import pandas as pd
import pytest
import talib
from hmmlearn.hmm import GaussianHMM

from benchmarks.works import Work
from gpu_kernels import (
    align,
    attention,
    decay,
    decayed_moments,
    hmm,
    rolling,
    rolling_quantile,
    vintages,
    window_moments,
)
from gpu_kernels.book import best, intervals, rebuild, rebuild_state
from gpu_kernels.cross_section import information_coefficients
from gpu_kernels.volatility import (
    covariance,
    diurnal,
    diurnal_fourier,
    event_profile,
    noise,
    pairs,
    preaveraging,
    ranges,
    realised,
    realised_kernel,
    returns,
    scales,
)


def offsets_of(*rows: int) -> np.ndarray:
    return np.array(rows, np.int64)


@pytest.fixture(scope="module")
def bars() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    close = 50.0 * np.exp(np.cumsum(rng.normal(scale=2e-3, size=3000)))
    return close * (1 + rng.random(3000) * 1e-3), close * (1 - rng.random(3000) * 1e-3), close


class TestOracles:
    @pytest.mark.parametrize("window", [2, 14, 60])
    def test_talib(self, bars: tuple, window: int) -> None:
        close = bars[2]
        offsets = offsets_of(0, len(close))
        pairs = [
            (rolling.mean(close, offsets, window), talib.SMA(close, window)),
            (rolling.ema(close, offsets, window), talib.EMA(close, window)),
            (rolling.minimum(close, offsets, window), talib.MIN(close, window)),
            (rolling.maximum(close, offsets, window), talib.MAX(close, window)),
        ]
        for got, wanted in pairs:
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-9)

    def test_pandas(self, bars: tuple) -> None:
        close = pd.Series(bars[2])
        offsets = offsets_of(0, len(close))
        np.testing.assert_allclose(rolling.std(bars[2], offsets, 20), close.rolling(20).std(), rtol=1e-7)
        ewm = close.ewm(span=20, adjust=False).mean()
        np.testing.assert_allclose(rolling.ema(bars[2], offsets, 20, initial="first"), ewm, rtol=1e-12)
        times = np.sort(np.random.default_rng(1).integers(0, 10**12, len(close)))
        wanted = close.set_axis(pd.to_datetime(times)).rolling("30s").sum()
        np.testing.assert_allclose(rolling.time_sum(times, bars[2], offsets, 30 * 10**9), wanted, rtol=1e-9)

    @pytest.mark.parametrize("window", [1, 2, 15, 16, 17, 60, 333])
    def test_bottleneck(self, bars: tuple, window: int) -> None:
        for values in (bars[2], np.round(bars[2]), -bars[2][::-1]):
            got = rolling_quantile.median(values, offsets_of(0, len(values)), window)
            np.testing.assert_allclose(got, bottleneck.move_median(values, window), rtol=1e-15)

    def test_hmmlearn_likelihood(self) -> None:
        model = GaussianHMM(2, "diag")
        model.startprob_, model.transmat_ = np.array([0.7, 0.3]), np.array([[0.9, 0.1], [0.2, 0.8]])
        model.means_, model.covars_ = np.array([[0.0], [2.0]]), np.array([[1.0], [0.5]])
        data, _ = model.sample(200, random_state=3)
        offsets = offsets_of(0, 80, 200)
        emission = model._compute_log_likelihood(data)
        filtered, likelihood = hmm.forward_filter(emission, model.startprob_, model.transmat_, offsets)
        assert likelihood.sum() == pytest.approx(model.score(data, [80, 120]), rel=1e-12)
        # a smoothed probability equals the filtered one at the last row only
        smoothed = model.predict_proba(data[:80])
        np.testing.assert_allclose(filtered[79], smoothed[-1], rtol=1e-9)
        assert np.abs(filtered[:79] - smoothed[:-1]).max() > 0.05


class TestNumbers:
    def test_a_huge_value_leaves_no_residue(self) -> None:
        values = np.ones(9000)
        values[[100, 5000]] = 1e300
        clean = np.ones(9000)
        offsets = offsets_of(0, 9000)
        outside = np.array([row for row in range(19, 9000) if not (100 <= row < 120 or 5000 <= row < 5020)])
        for kernel in (rolling.mean, rolling.std, rolling.maximum):
            got, wanted = kernel(values, offsets, 20), kernel(clean, offsets, 20)
            np.testing.assert_array_equal(got[outside], wanted[outside])

    def test_a_quotient_is_that_of_a_division(self) -> None:
        """Rows without a missing one are divided by a product and what is left over, the others by a division."""
        rng = np.random.default_rng(4)
        for window in (3, 7, 20, 49, 390):
            values = rng.normal(size=4000) * 10.0 ** rng.integers(-9, 9, 4000)
            offsets = offsets_of(0, 4000)
            clean = rolling.mean(values, offsets, window)
            values[-1] = np.nan
            np.testing.assert_array_equal(clean[:-1], rolling.mean(values, offsets, window)[:-1])
            np.testing.assert_array_equal(rolling.mean(np.ones(4000), offsets, window)[window:], 1.0)

    def test_infinities_are_the_ends_of_an_order(self) -> None:
        values = np.array([1.0, np.inf, np.nan, -np.inf, 2.0, 3.0, np.inf, np.inf])
        median = rolling_quantile.median(values, offsets_of(0, 8), 3, min_periods=2)
        np.testing.assert_array_equal(median, [np.nan, np.inf, np.inf, np.nan, -np.inf, 2.0, 3.0, np.inf])

    def test_an_infinity_stays_within_its_windows(self) -> None:
        values = np.arange(50, dtype=float)
        values[10] = np.inf
        offsets = offsets_of(0, 50)
        mean, std = rolling.mean(values, offsets, 5), rolling.std(values, offsets, 5)
        assert np.isinf(mean[10:15]).all()
        assert np.isnan(std[10:15]).all()
        assert np.isfinite(mean[15:]).all()
        assert np.isfinite(std[15:]).all()

    def test_a_series_large_against_its_spread_keeps_its_digits(self) -> None:
        noise = np.random.default_rng(2).normal(size=500)
        offsets = offsets_of(0, 500)
        np.testing.assert_allclose(rolling.std(noise + 1e9, offsets, 50), rolling.std(noise, offsets, 50), rtol=1e-6)

    def test_float32_is_summed_in_float64(self) -> None:
        values = np.full(20_000, 1.1, np.float32)
        values[0] = 1e7
        got = rolling.mean(values, offsets_of(0, len(values)), len(values))
        assert got.dtype == np.float32
        assert got[-1] == np.float32(values.astype(np.float64).mean())

    def test_integers_give_float64(self) -> None:
        ticks = np.arange(1, 30)
        offsets = offsets_of(0, 29)
        assert rolling.mean(ticks, offsets, 3)[2] == 2.0

    @pytest.mark.parametrize("window", [1, 2, 3, 5, 8, 100, 4097, 100_000])
    def test_windows_across_tiles(self, window: int) -> None:
        rng = np.random.default_rng(window)
        values = rng.normal(size=10_000)
        values[rng.random(10_000) < 0.01] = np.nan
        series = pd.Series(values)
        others = {"min": rolling.minimum, "max": rolling.maximum, "median": rolling_quantile.median}
        for name in ("mean", "std", *others):
            kernel = others.get(name) or getattr(rolling, name)
            wanted = getattr(series.rolling(window, min_periods=1), name)()
            got = kernel(values, offsets_of(0, 10_000), window, min_periods=1)
            np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-9)

    def test_order_flow_counts_by_hand(self) -> None:
        bid, ask = np.array([100, 101, 101, 100]), np.array([102, 102, 103, 103])
        bid_size, ask_size = np.array([5.0, 7.0, 4.0, 6.0]), np.array([3.0, 2.0, 9.0, 1.0])
        # bid up: +7, ask same: -2 + 3; bid same: 4 - 7, ask up: +2; bid down: -4, ask same: -1 + 9
        got = best.order_flow_imbalance(bid, bid_size, ask, ask_size, offsets_of(0, 4))
        np.testing.assert_array_equal(got, [0.0, 8.0, -1.0, 4.0])

    def test_one_pass_gives_the_bits_of_three(self) -> None:
        for dtype in ("float32", "float64"):
            (work,) = (w for w in calls.works(500, 6, dtype) if w.function is best.best_level)
            bid, bid_size, ask, ask_size, offsets = work.arrays
            apart = (
                best.imbalance(bid_size, ask_size),
                best.weighted_mid(bid, bid_size, ask, ask_size),
                best.order_flow_imbalance(bid, bid_size, ask, ask_size, offsets),
            )
            for one, other in zip(work.run(work.arrays), apart, strict=True):
                np.testing.assert_array_equal(one, other)

    def test_a_one_sided_book_has_no_weighted_mid_and_no_flow(self) -> None:
        side, ticks = np.array([1, -1, -1, -1], np.int8), np.array([10, 12, 12, 12])
        size, offsets = np.array([5.0, 3.0, 0.0, 2.0]), offsets_of(0, 4)
        bid, bid_size, ask, ask_size = rebuild.rebuild(side, ticks, size, offsets, 1)
        np.testing.assert_array_equal(ask[0], [rebuild_state.MISSING_TICK, 12, rebuild_state.MISSING_TICK, 12])
        micro = best.weighted_mid(bid, bid_size, ask, ask_size)
        flow = best.order_flow_imbalance(bid, bid_size, ask, ask_size, offsets)
        np.testing.assert_array_equal(np.isnan(micro), [True, False, True, False])
        np.testing.assert_array_equal(np.isnan(flow), [True, True, True, True])

    def test_sparse_book_steps_over_empty_groups(self) -> None:
        ticks = np.array([0, 100_000, 50_000, 50_064, 100_000, 99_999])
        side = np.array([1, -1, 1, 1, -1, -1], np.int8)
        size = np.array([1.0, 2.0, 3.0, 4.0, 0.0, 6.0])
        bid, _, ask, ask_size = rebuild.rebuild(side, ticks, size, offsets_of(0, 6), 3)
        np.testing.assert_array_equal(bid[:, -1], [50_064, 50_000, 0])
        np.testing.assert_array_equal(ask[:, -1], [99_999, -1, -1])
        np.testing.assert_array_equal(ask_size[:, -1], [6.0, 0.0, 0.0])

    def test_an_emission_too_small_for_a_float_is_filtered(self) -> None:
        emission = np.array([[-5000.0, -5001.0], [-9000.0, -8000.0]])
        filtered, likelihood = hmm.forward_filter(emission, np.array([0.5, 0.5]), np.eye(2), offsets_of(0, 2))
        odds = 1 / (1 + np.exp(-1.0))
        np.testing.assert_allclose(filtered[0], [odds, 1 - odds])
        np.testing.assert_allclose(filtered[1], [0.0, 1.0], atol=1e-300)
        assert np.isfinite(likelihood[0])

    def test_an_impossible_observation_has_no_likelihood_and_keeps_the_prediction(self) -> None:
        emission = np.array([[0.0, -np.inf], [-np.inf, 0.0]])
        filtered, likelihood = hmm.forward_filter(emission, np.array([1.0, 0.0]), np.eye(2), offsets_of(0, 2))
        np.testing.assert_array_equal(filtered, [[1.0, 0.0], [1.0, 0.0]])
        assert likelihood[0] == -np.inf

    def test_no_age_limit_does_not_overflow(self) -> None:
        time, decisions = np.array([1 - 2**62]), np.array([1 - 2**62, 0, 2**62])
        got = align.gather_map(time, time, offsets_of(0, 1), decisions, offsets_of(0, 3), 2**63 - 1)
        assert got.tolist() == [0, 0, 0]

    def test_decayed_sum_by_hand(self) -> None:
        time, value = np.array([0, 10, 10]), np.array([8.0, np.nan, 1.0])
        at = np.array([-1, 0, 10, 20])
        got = decay.decayed_sum(time, value, offsets_of(0, 3), at, offsets_of(0, 4), 10)
        np.testing.assert_allclose(got, [0.0, 8.0, 5.0, 2.5])


def cut_rows(work: Work, keep: int, segments: int) -> tuple[np.ndarray, ...] | None:
    """The call's arrays with the last segment cut to `keep` rows; None for a call that gives no row for each row of its
    first table. That table ends with its offsets: what follows stays whole."""
    if (
        work.function
        in (
            align.gather_map,
            align.take,
            align.ages,
            hmm.forward_filter,
            hmm.gaussian_filter,
            intervals.interval_sums,
            ranges.session_prices,
        )
        # a row each segment; tests/gpu_kernels/test_volatility_noise.py, test_volatility_covariance.py
        or work.function in (covariance.session_covariance, covariance.hayashi_yoshida)
        or work.function.__module__ in {m.__name__ for m in (noise, pairs, preaveraging, realised_kernel, scales)}
        # a row each decision: test_later_items_change_no_bit and test_later_news_changes_no_bit
        or work.function.__module__
        in {m.__name__ for m in (attention, decay, decayed_moments, vintages, window_moments)}
        or work.function.__module__.startswith("gpu_kernels.trade.")  # tests/gpu_kernels/test_trade_*.py
        or work.function.__module__.startswith("gpu_kernels.orders.")  # tests/gpu_kernels/test_orders.py
        or work.function in (realised.session_measures, returns.grid_returns)  # tests/gpu_kernels/test_realised.py
        or work.function in (diurnal.pattern, diurnal_fourier.pattern)  # tests/gpu_kernels/test_volatility_diurnal.py
        or work.function.__module__.startswith("gpu_kernels.imagery.")  # tests/gpu_kernels/test_imagery.py
        or work.function.__module__.startswith("gpu_kernels.sites.")  # tests/gpu_kernels/test_site_kernels.py
        or work.function is event_profile.profile  # what is known after the last row
        or work.function is information_coefficients  # a row each decision; tests/gpu_kernels/test_cross_section.py
        or "at" in work.keywords  # tests/gpu_kernels/test_book_rebuild.py
    ):
        return None
    positional = len(work.arrays) - len(work.keywords)
    shapes = [array.shape for array in work.arrays[:positional]]
    end = shapes.index((segments + 1,)) if (segments + 1,) in shapes else positional
    rows = max((len(array) for array in work.arrays if array.ndim == 1), default=0)

    def cut(place: int, array: np.ndarray) -> np.ndarray:
        if end <= place < positional:
            return np.minimum(array, keep) if place == end else array
        if array.ndim == 2 and len(array) == rows:  # a vector a row, not a column a level
            return array[:keep].copy()
        return array[..., :keep].copy()

    return tuple(cut(place, array) for place, array in enumerate(work.arrays))


@pytest.mark.parametrize("keep", [9_000, 9_999, 11_111])
def test_later_rows_change_no_bit(keep: int) -> None:
    for dtype in ("float64", "float32"):
        for work in calls.works(12_000, 3, dtype, seed=keep):
            arrays = cut_rows(work, keep, 3)
            if arrays is not None:
                for whole, part in zip(work.run(work.arrays), work.run(arrays), strict=True):
                    np.testing.assert_array_equal(whole[..., :keep], part, err_msg=work.name)


def test_later_items_change_no_bit() -> None:
    """What is known after a decision's time moves neither alignment nor decay; a filter does not look ahead."""
    rng = np.random.default_rng(8)
    time = np.sort(rng.integers(0, 1000, 5000))
    event, value, at = time - rng.integers(0, 50, 5000), rng.normal(size=5000), np.sort(rng.integers(0, 1000, 700))
    known, early = int(np.searchsorted(time, 600, "right")), int(np.searchsorted(at, 600, "right"))
    whole, part, decisions = offsets_of(0, 5000), offsets_of(0, known), offsets_of(0, 700)
    for kernel, limit in ((align.gather_map, 20), (decay.decayed_sum, 30)):
        column = event if kernel is align.gather_map else value
        full = kernel(time, column, whole, at, decisions, limit)
        cut = kernel(time[:known], column[:known], part, at[:early], offsets_of(0, early), limit)
        np.testing.assert_array_equal(full[:early], cut)
    emission, start, transition = rng.normal(size=(50, 2)), np.array([0.5, 0.5]), np.array([[0.9, 0.1], [0.1, 0.9]])
    full, _ = hmm.forward_filter(emission, start, transition, offsets_of(0, 50))
    cut, _ = hmm.forward_filter(emission[:30], start, transition, offsets_of(0, 30))
    np.testing.assert_array_equal(full[:30], cut)
    x, model = rng.normal(size=(80, 2)), (rng.normal(size=(1, 2, 2)), np.tile(np.eye(2), (1, 2, 1, 1)))
    given = (*model, start[None], transition[None])
    full = hmm.gaussian_filter(x, *given, np.zeros(2, np.int64), offsets_of(0, 40, 80))
    cut = hmm.gaussian_filter(x[:70], *given, np.zeros(2, np.int64), offsets_of(0, 40, 70))
    for whole_column, cut_column in zip(full, cut, strict=True):
        np.testing.assert_array_equal(whole_column[:70], cut_column)


@pytest.mark.parametrize("keep", [400, 999])
def test_later_news_changes_no_bit(keep: int) -> None:
    """Items known after a decision, and what they replace, move no moment and no attention of it."""
    kernels = (attention.attention, decayed_moments.decayed_moments, window_moments.window_moments)
    for work in calls.works(1200, 1, "float64", seed=keep):
        if work.function not in kernels:
            continue
        names = dict(zip(inspect.signature(work.function).parameters, work.arrays, strict=False))
        known = keep
        early = int(np.searchsorted(names["at"], names["time"][known], "left"))
        assert 0 < early < len(names["at"])
        for name, array in names.items():
            if name in ("time", "since", "earlier", "later", "weight", "value"):
                names[name] = array[:known].copy()
            elif name in ("at", "after", "session"):
                names[name] = array[:early].copy()
        names |= {"offsets": offsets_of(0, known), "at_offsets": offsets_of(0, early)}
        if "later" in names:
            names["later"][names["later"] >= known] = -1
        whole, part = work.run(work.arrays), work.run(tuple(names.values()))
        for full, cut in zip(whole, part, strict=True):
            np.testing.assert_array_equal(full[..., :early], cut, err_msg=work.name)
