"""The indicators that look at a window are TA-Lib's; and what it does not promise: no residue, no digits lost."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import talib
from talib import abstract

from gpu_kernels import rolling
from gpu_kernels.errors import ArgumentError
from gpu_kernels.technical import averages, extremes, regression, statistics

CLOSE, RANGE, PAIR = ("close",), ("high", "low"), ("close", "other")

EQUAL: dict[str, tuple[Callable, tuple[str, ...]]] = {
    "WMA": (regression.weighted_moving_average, CLOSE),
    "DEMA": (averages.double_exponential_moving_average, CLOSE),
    "TEMA": (averages.triple_exponential_moving_average, CLOSE),
    "T3": (averages.tillson_moving_average, CLOSE),
    "TRIMA": (averages.triangular_moving_average, CLOSE),
    "KAMA": (averages.kaufman_moving_average, CLOSE),
    "LINEARREG": (regression.linear_regression, CLOSE),
    "LINEARREG_SLOPE": (regression.linear_regression_slope, CLOSE),
    "LINEARREG_ANGLE": (regression.linear_regression_angle, CLOSE),
    "LINEARREG_INTERCEPT": (regression.linear_regression_intercept, CLOSE),
    "TSF": (regression.time_series_forecast, CLOSE),
    "VAR": (statistics.variance, CLOSE),
    "STDDEV": (statistics.standard_deviation, CLOSE),
    "BBANDS": (statistics.bollinger_bands, CLOSE),
    "CORREL": (statistics.correlation, PAIR),
    "BETA": (statistics.beta, PAIR),
    "MIDPOINT": (extremes.midpoint, CLOSE),
    "MIDPRICE": (extremes.midprice, RANGE),
}
"""TA-Lib's name -> our function, whose defaults are TA-Lib's, and its columns."""

OTHER_PARAMETERS = [
    *(
        (name, {"timeperiod": window}, {"window": window})
        for name in EQUAL
        for window in (2, 3, 20, 61)
        # two returns that are nearly equal leave TA-Lib too few digits
        if (name, window) != ("BETA", 2)
    ),
    ("T3", {"timeperiod": 9, "vfactor": 0.2}, {"window": 9, "volume_factor": 0.2}),
    ("STDDEV", {"timeperiod": 8, "nbdev": 2.5}, {"window": 8, "deviations": 2.5}),
    (
        "BBANDS",
        {"timeperiod": 20, "nbdevup": 1.5, "nbdevdn": 3.0},
        {"window": 20, "deviations_up": 1.5, "deviations_down": 3.0},
    ),
]
"""TA-Lib's name, its parameters, ours."""


def table(rows: int = 3000, seed: int = 5, tick: float | None = None) -> dict[str, np.ndarray]:
    """Two random walks, the one with a range; with a `tick`, in whole ticks, so that many prices are equal."""
    rng = np.random.default_rng(seed)
    path = 50.0 * np.exp(np.cumsum(rng.normal(scale=2e-3, size=(rows, 4)).ravel())).reshape(rows, 4)
    other = 20.0 * np.exp(0.5 * np.log(path[:, 3] / 50.0) + np.cumsum(rng.normal(scale=1e-3, size=rows)))
    bars = {"high": path.max(axis=1), "low": path.min(axis=1), "close": path[:, 3].copy(), "other": other}
    return {name: np.round(column / tick) * tick for name, column in bars.items()} if tick else bars


def ours(name: str, bars: dict[str, np.ndarray], offsets: np.ndarray | None = None, **parameters: object) -> tuple:
    function, columns = EQUAL[name]
    offsets = np.array([0, len(bars["close"])]) if offsets is None else offsets
    found = function(*(bars[column] for column in columns), offsets, **parameters)
    return found if isinstance(found, tuple) else (found,)


def theirs(name: str, bars: dict[str, np.ndarray], **parameters: object) -> tuple:
    found = getattr(talib, name)(*(bars[column] for column in EQUAL[name][1]), **parameters)
    return found if isinstance(found, tuple) else (found,)


def require_equal(got: tuple, wanted: tuple, name: str, absolute: float = 1e-9) -> None:
    assert len(got) == len(wanted), name
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=absolute, err_msg=name)


@pytest.mark.parametrize("name", EQUAL)
class TestTaLib:
    def test_random_bars_by_default(self, name: str) -> None:
        require_equal(ours(name, table()), theirs(name, table()), name)

    def test_series_as_long_as_the_lookback(self, name: str) -> None:
        lookback = abstract.Function(name).lookback
        for rows in (1, 2, max(1, lookback), lookback + 1, lookback + 2):
            require_equal(ours(name, table(rows)), theirs(name, table(rows)), f"{name} of {rows} bars")

    def test_sessions_are_series_of_their_own(self, name: str) -> None:
        bars, offsets = table(1300), np.array([0, 390, 390, 800, 801, 1300])
        got = ours(name, bars, offsets)
        for first, last in pairwise(offsets):
            if first < last:
                session = {column: values[first:last].copy() for column, values in bars.items()}
                require_equal(tuple(one[first:last] for one in got), theirs(name, session), name)

    def test_a_missing_bar_is_stepped_over(self, name: str) -> None:
        bars = table(700)
        gone = np.random.default_rng(1).random(700) < 0.1
        kept = {column: values[~gone].copy() for column, values in bars.items()}
        for column in bars.values():
            column[gone] = np.nan
        for one, other in zip(ours(name, bars), theirs(name, kept), strict=True):
            np.testing.assert_allclose(one[~gone], other, rtol=1e-9, atol=1e-9)
            assert np.isnan(one[gone]).all()


@pytest.mark.parametrize(("name", "parameters", "own"), OTHER_PARAMETERS)
def test_other_parameters_as_in_talib(name: str, parameters: dict, own: dict) -> None:
    require_equal(ours(name, table(), **own), theirs(name, table(), **parameters), name)


@pytest.mark.parametrize("name", sorted(EQUAL.keys() - {"STDDEV", "BBANDS", "CORREL", "BETA"}))
def test_prices_of_whole_ticks_as_in_talib(name: str) -> None:
    """Without those that are made of rounding errors where prices do not move."""
    require_equal(ours(name, table(tick=0.25)), theirs(name, table(tick=0.25)), name)


class TestExactness:
    def test_prices_large_against_their_moves(self) -> None:
        moves = np.round(np.cumsum(np.random.default_rng(2).normal(size=500)) * 64) / 64
        far, near = ({"close": moves + base, "other": moves[::-1].copy()} for base in (2.0**30, 0.0))
        for name in ("VAR", "STDDEV", "LINEARREG_SLOPE", "LINEARREG_ANGLE", "CORREL"):
            require_equal(ours(name, far, window=20), ours(name, near, window=20), name, absolute=1e-12)
        bands = [ours("BBANDS", bars, window=20) for bars in (far, near)]
        np.testing.assert_allclose(bands[0][0] - bands[0][2], bands[1][0] - bands[1][2], rtol=0, atol=1e-6)

    def test_a_price_that_does_not_move_has_no_deviation(self) -> None:
        bars = {"close": np.full(300, 100.1), "other": table(300)["other"]}
        assert (ours("STDDEV", bars)[0][4:] == 0.0).all()
        upper, middle, lower = ours("BBANDS", bars)
        np.testing.assert_array_equal(upper, lower)
        np.testing.assert_array_equal(middle[19:], 100.1)
        assert (ours("CORREL", bars)[0][29:] == 0.0).all()
        assert (ours("BETA", bars)[0][5:] == 0.0).all()

    @pytest.mark.parametrize("name", sorted(EQUAL.keys() - {"DEMA", "TEMA", "T3", "KAMA"}))
    def test_a_huge_value_leaves_no_residue(self, name: str) -> None:
        bars, window = table(500), 20
        clean = ours(name, bars, window=window)
        for column in bars.values():
            column[[100, 333]] = 1e200
        touched = np.array([any(0 <= row - at <= window for at in (100, 333)) for row in range(500)])
        for got, wanted in zip(ours(name, bars, window=window), clean, strict=True):
            np.testing.assert_array_equal(got[~touched], wanted[~touched])

    def test_an_infinity_has_no_bands(self) -> None:
        bars = table(60)
        bars["close"][30] = np.inf
        for band in ours("BBANDS", bars, window=5):
            np.testing.assert_array_equal(np.isnan(band[4:]), [30 <= row < 35 for row in range(4, 60)])

    def test_bands_stand_about_the_mean(self) -> None:
        close = table()["close"]
        bands = statistics.bollinger_bands(close, np.array([0, 3000]), 20)
        np.testing.assert_allclose(bands.middle, rolling.mean(close, np.array([0, 3000]), 20), rtol=1e-14)
        deviation = rolling.std(close, np.array([0, 3000]), 20, ddof=0)
        np.testing.assert_allclose((bands.upper - bands.lower) / 4.0, deviation, rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, at: averages.tillson_moving_average(x, at, volume_factor=1.5), r"volume_factor is 1\.5; allowed"),
        (lambda x, at: averages.kaufman_moving_average(x, at, 0), "window is 0"),
        (lambda x, at: regression.linear_regression(x, at, 1), "window is 1; allowed: a whole number, 2 or more"),
        (lambda x, at: statistics.standard_deviation(x, at, deviations=np.nan), "deviations is nan; allowed: a finite"),
        (lambda x, at: statistics.correlation(x, x[:3], at), "arrays of unequal length: x 6, y 3"),
        (lambda x, at: extremes.midpoint(x[:3], at), "offsets ends with 6 but there are 3 rows"),
    ],
)
def test_mistakes_are_named(call: Callable, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        call(np.arange(6.0), np.array([0, 2, 6]))
