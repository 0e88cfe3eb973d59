"""The indicators are TA-Lib's: its numbers on ordinary and on odd bars; what it does not know of, segments and gaps."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import talib
from talib import abstract

from gpu_kernels.errors import ArgumentError
from gpu_kernels.technical import (
    bar_price,
    channel,
    directional,
    flow,
    momentum,
    parabolic,
    stochastic,
    strength,
    trend,
    volume,
)
from gpu_kernels.technical.names import TA_LIB

OSCILLATORS = (
    *("AVGPRICE", "MEDPRICE", "TYPPRICE", "WCLPRICE", "BOP", "MOM", "ROC", "ROCP", "ROCR", "ROCR100", "RSI", "CMO"),
    *("MACD", "APO", "PPO", "TRIX", "WILLR", "STOCH", "STOCHF", "STOCHRSI", "CCI", "ULTOSC", "AROON", "AROONOSC"),
    *("TRANGE", "ATR", "NATR", "PLUS_DM", "MINUS_DM", "PLUS_DI", "MINUS_DI", "DX", "ADX", "ADXR", "SAR"),
    *("OBV", "AD", "ADOSC", "MFI"),
)
"""Those of TA_LIB that step over bars; `test_technical_windows.py` has the others."""

SIMPLE, EXPONENTIAL = {"average": "simple"}, {"average": "exponential"}
OTHER_PARAMETERS = [
    *(
        (name, {"timeperiod": window}, {"window": window})
        for name, least in (
            *((name, 1) for name in ("ATR", "TRIX", "PLUS_DM", "MINUS_DM")),
            *((name, 2) for name in ("RSI", "CMO", "NATR", "PLUS_DI", "MINUS_DI", "DX", "ADX", "ADXR")),
            *((name, 2) for name in ("WILLR", "AROON", "AROONOSC", "CCI", "MFI")),
        )
        for window in (least, 3, 60)
    ),
    *((name, {"timeperiod": lag}, {"lag": lag}) for name in ("MOM", "ROC", "ROCR") for lag in (1, 60)),
    (
        "MACD",
        {"fastperiod": 30, "slowperiod": 5, "signalperiod": 1},
        {"fast_window": 30, "slow_window": 5, "signal_window": 1},
    ),
    ("MACD", {"fastperiod": 5, "slowperiod": 5}, {"fast_window": 5, "slow_window": 5}),
    *((name, {"matype": 0}, SIMPLE) for name in ("APO", "PPO")),
    *(
        (name, {"fastperiod": 30, "slowperiod": 5, "matype": kind}, {"fast_window": 30, "slow_window": 5, **average})
        for name in ("APO", "PPO")
        for kind, average in ((0, SIMPLE), (1, EXPONENTIAL))
    ),
    ("STOCH", {"slowk_matype": 1, "slowd_matype": 1}, EXPONENTIAL),
    (
        "STOCH",
        {"fastk_period": 60, "slowk_period": 1, "slowd_period": 7},
        {"window": 60, "slow_window": 1, "signal_window": 7},
    ),
    ("STOCHF", {"fastk_period": 20, "fastd_period": 1}, {"window": 20, "signal_window": 1}),
    ("STOCHF", {"fastd_matype": 1}, EXPONENTIAL),
    ("ADOSC", {"fastperiod": 12, "slowperiod": 5}, {"fast_window": 12, "slow_window": 5}),
    (
        "ULTOSC",
        {"timeperiod1": 9, "timeperiod2": 1, "timeperiod3": 60},
        {"short_window": 9, "middle_window": 1, "long_window": 60},
    ),
    ("SAR", {"acceleration": 0.3, "maximum": 0.1}, {"acceleration": 0.3, "maximum": 0.1}),
    ("SAR", {"acceleration": 0.0}, {"acceleration": 0.0}),
]
"""TA-Lib's name, its parameters, ours."""


def table(rows: int = 3000, seed: int = 5, tick: float | None = None) -> dict[str, np.ndarray]:
    """Bars of a random walk: open, high, low, close, volume, some of 0. With a `tick`, prices are whole ticks, so that
    many are equal."""
    rng = np.random.default_rng(seed)
    path = 50.0 * np.exp(np.cumsum(rng.normal(scale=2e-3, size=(rows, 4)).ravel())).reshape(rows, 4)
    if tick:
        path = np.round(path / tick) * tick
    volume = rng.integers(0, 5000, rows) * (rng.random(rows) > 0.05)
    return {
        "open": path[:, 0].copy(),
        "high": path.max(axis=1),
        "low": path.min(axis=1),
        "close": path[:, 3].copy(),
        "volume": volume.astype(float),
    }


def ours(name: str, bars: dict[str, np.ndarray], offsets: np.ndarray | None = None, **parameters: object) -> tuple:
    found = TA_LIB[name]
    offsets = np.array([0, len(bars["close"])]) if offsets is None else offsets
    columns = (bars[column] for column in found.columns)
    found = found.function(*columns, offsets, **{**found.parameters, **parameters})
    return found if isinstance(found, tuple) else (found,)


def theirs(name: str, bars: dict[str, np.ndarray], **parameters: object) -> tuple:
    found = getattr(talib, name)(*(bars[column] for column in TA_LIB[name].columns), **parameters)
    return found if isinstance(found, tuple) else (found,)


def require_equal(got: tuple, wanted: tuple, name: str, relative: float = 1e-9) -> None:
    assert len(got) == len(wanted), name
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=relative, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("name", TA_LIB)
def test_every_indicator_that_we_name_is_ta_libs(name: str) -> None:
    for rows, seed in ((400, 1), (9000, 2)):
        bars = table(rows, seed)
        require_equal(ours(name, bars), theirs(name, bars), name)


@pytest.mark.parametrize("name", TA_LIB)
def test_a_cheap_price_moves_like_any_other(name: str) -> None:
    # 5e-9 a coin, which does not move for a while; nothing that is small by its unit is 0
    bars = table(400, 3)
    for column in ("open", "high", "low", "close"):
        bars[column][150:350] = bars[column][150]
        bars[column] *= 1e-10
    for got, wanted in zip(ours(name, bars), theirs(name, bars), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-9 * np.nanmax(abs(wanted)), err_msg=name)


@pytest.mark.parametrize("name", OSCILLATORS)
class TestTaLib:
    def test_random_bars_by_default(self, name: str) -> None:
        for bars in (table(), table(tick=0.05), table(200, tick=0.25)):
            require_equal(ours(name, bars), theirs(name, bars), name)

    def test_series_as_long_as_the_lookback(self, name: str) -> None:
        lookback = abstract.Function(name).lookback
        for rows in (1, 2, max(1, lookback), lookback + 1, lookback + 2):
            bars = table(rows)
            require_equal(ours(name, bars), theirs(name, bars), f"{name} of {rows} rows")
            missing = [np.isnan(column).sum() for column in ours(name, bars)]
            assert missing == [min(rows, lookback)] * len(missing), f"{name} of {rows} rows"

    def test_a_price_that_does_not_move(self, name: str) -> None:
        bars = {column: np.full(120, 10.0) for column in table(1)}
        require_equal(ours(name, bars), theirs(name, bars), name)
        bars["volume"][:] = 0.0
        require_equal(ours(name, bars), theirs(name, bars), name)

    def test_a_price_that_stops_moving(self, name: str) -> None:
        bars = table(300, tick=0.25)
        for column in bars:
            bars[column][100:200] = bars["close"][99] if column != "volume" else 0.0
        require_equal(ours(name, bars), theirs(name, bars), name)

    def test_a_price_that_is_no_binary_number(self, name: str) -> None:
        """Sums of it round, so that what should be 0 may not be."""
        bars = {column: np.full(120, 10.1) for column in table(1)}
        require_equal(ours(name, bars), theirs(name, bars), name)

    def test_prices_without_volume(self, name: str) -> None:
        bars = table(300) | {"volume": np.zeros(300)}
        require_equal(ours(name, bars), theirs(name, bars), name)

    @pytest.mark.parametrize("factor", [1e-6, 1e12])
    def test_small_and_huge_values(self, name: str, factor: float) -> None:
        bars = {column: values * factor for column, values in table(300).items()}
        require_equal(ours(name, bars), theirs(name, bars), name)


@pytest.mark.parametrize(("name", "talibs", "own"), OTHER_PARAMETERS)
def test_other_parameters(name: str, talibs: dict, own: dict) -> None:
    for bars in (table(), table(400, tick=0.25)):
        require_equal(ours(name, bars, **own), theirs(name, bars, **talibs), f"{name} {talibs}")


@pytest.mark.parametrize("name", ["WILLR", "AROON", "AROONOSC", "CCI", "MFI", "ADX", "TRIX"])
def test_windows_longer_than_a_tile(name: str) -> None:
    bars = table(14_000)
    for window in (700, 3000) if name in {"ADX", "TRIX"} else (700, 5000):
        require_equal(ours(name, bars, window=window), theirs(name, bars, timeperiod=window), name)


@pytest.mark.parametrize("name", OSCILLATORS)
class TestBeyondTaLib:
    def test_segments_are_as_apart(self, name: str) -> None:
        """Entities and sessions: each starts anew, whatever lies before it."""
        bars, offsets = table(), np.array([0, 0, 1, 700, 700, 1500, 1509, 3000])
        whole = ours(name, bars, offsets)
        for first, last in pairwise(offsets):
            part = {column: values[first:last] for column, values in bars.items()}
            for one, other in zip(whole, ours(name, part), strict=True):
                np.testing.assert_array_equal(one[first:last], other)

    def test_bars_that_are_missing_are_stepped_over(self, name: str) -> None:
        """As if they were not in the table, in whichever column the NaN is; nothing is known of them."""
        bars, offsets = table(), np.array([0, 1100, 1120, 3000])
        rng = np.random.default_rng(3)
        columns = TA_LIB[name].columns
        gone = np.zeros(3000, bool)
        for column in columns:
            lost = rng.random(3000) < 0.04
            lost[[0, 1, 1099, 1100, 1119, 2999]] |= rng.random(6) < 0.5
            bars[column][lost] = np.nan
            gone |= lost
        there = np.concatenate([[0], np.cumsum(~gone)])[offsets]
        rest = {column: values[~gone] for column, values in bars.items()}
        for one, other in zip(ours(name, bars, offsets), ours(name, rest, there), strict=True):
            assert np.isnan(one[gone]).all()
            np.testing.assert_array_equal(one[~gone], other)

    @pytest.mark.parametrize("row", [0, 1, 17, 299])
    def test_one_missing_value(self, name: str, row: int) -> None:
        for column in TA_LIB[name].columns:
            bars = table(300)
            bars[column][row] = np.nan
            rest = {each: np.delete(values, row) for each, values in bars.items()}
            for one, other in zip(ours(name, bars), theirs(name, rest), strict=True):
                assert np.isnan(one[row])
                np.testing.assert_allclose(np.delete(one, row), other, rtol=1e-9, atol=1e-9)

    def test_bars_that_are_all_missing(self, name: str) -> None:
        bars = {column: np.full(40, np.nan) for column in table(1)}
        assert all(np.isnan(column).all() for column in ours(name, bars, np.array([0, 10, 40])))

    def test_later_rows_change_no_bit(self, name: str) -> None:
        bars = table()
        bars["close"][[5, 1200, 2990]] = np.nan
        whole = ours(name, bars)
        for keep in (1, 40, 1199, 1201, 1536, 2047, 2995):
            part = ours(name, {column: values[:keep] for column, values in bars.items()})
            for one, other in zip(whole, part, strict=True):
                np.testing.assert_array_equal(one[:keep], other)

    def test_integers_are_as_floats(self, name: str) -> None:
        bars = {column: np.round(values * 100).astype(np.int64) for column, values in table(200).items()}
        floats = {column: values.astype(float) for column, values in bars.items()}
        for one, other in zip(ours(name, bars), ours(name, floats), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_strength_that_only_rounding_moves_is_at_rest() -> None:
    """While a close stays, gains and losses fall alike and their ratio does not."""
    close = np.concatenate([np.cumsum(np.random.default_rng(2).normal(size=60)) + 50.0, np.full(30, 50.0)])
    index, _ = stochastic.stochastic_strength(close, np.array([0, 90]))
    assert (index[65:] == 0.0).all()
    assert (index[20:60] > 0.0).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, o: strength.relative_strength_index(x, o, 0), "window is 0; allowed: a whole number, 1 or more"),
        (lambda x, o: directional.average_directional_index(x, x, x, o, 1), "window is 1; allowed: a whole number, 2"),
        (
            lambda x, o: channel.commodity_channel_index(x, x, x, o, 1),
            "window is 1; allowed: a whole number, 2 or more",
        ),
        (lambda x, o: momentum.momentum(x, o, -1), "lag is -1"),
        (
            lambda x, o: trend.absolute_price_oscillator(x, o, average="weighted"),
            "average is 'weighted'; allowed: \"simple\"",
        ),
        (lambda x, o: stochastic.stochastic(x, x, x, o, average=""), "average is ''; allowed: \"simple\" or"),
        (lambda x, o: trend.moving_average_convergence_divergence(x, o, 1), "fast_window is 1"),
        (lambda x, o: flow.ultimate_oscillator(x, x, x, o, 7, 0), "middle_window is 0"),
        (
            lambda x, o: parabolic.parabolic_stop_and_reverse(x, x, o, -0.1),
            "acceleration is -0.1; allowed: a finite number",
        ),
        (lambda x, o: parabolic.parabolic_stop_and_reverse(x, x, o, 0.1, np.nan), "maximum is nan"),
        (lambda x, o: volume.on_balance_volume(x, x[:3], o), "close 6, volume 3"),
        (lambda x, o: bar_price.median_price(x, x > 1, o), "low is bool"),
    ],
)
def test_mistakes_are_named(call: Callable, message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        call(np.arange(6.0), np.array([0, 6]))
    assert "\n" not in str(caught.value)
