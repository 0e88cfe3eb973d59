"""Features of technical analysis against TA-Lib, decision by decision: the session's bars so far, its last value."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_features import GRID, GRID_NS, MAX_AGE, make_bars, naive_stream

from fusion.features import bar
from fusion.volatility.settings import VolatilityConfig
from sources.stream import in_order

talib = pytest.importorskip("talib")

Columns = dict[str, np.ndarray]


def of(name: str, *columns: str, **options: Any) -> Callable[[Columns], np.ndarray]:
    return lambda bars: getattr(talib, name)(*(bars[column] for column in columns), **options)


def bands(bars: Columns) -> tuple[np.ndarray, ...]:
    return talib.BBANDS(bars["close"], timeperiod=20)  # type: ignore[no-any-return]


def position(bars: Columns) -> np.ndarray:
    upper, middle, _ = bands(bars)
    return (bars["close"] - middle) / (upper - middle)  # type: ignore[no-any-return]


def width(bars: Columns) -> np.ndarray:
    upper, middle, lower = bands(bars)
    return 1e4 * (upper - lower) / middle  # type: ignore[no-any-return]


def obv_share(bars: Columns) -> np.ndarray:
    balance = talib.OBV(bars["close"], bars["volume"])
    return (balance - np.append(np.full(30, np.nan), balance[:-30])) / talib.SUM(bars["volume"], timeperiod=30)  # type: ignore[no-any-return]


BAR = ("high", "low", "close")


def macd(place: int) -> Callable[[Columns], np.ndarray]:
    return lambda bars: 1e4 * talib.MACD(bars["close"])[place] / bars["close"]  # type: ignore[no-any-return]


def slow(bars: Columns) -> tuple[np.ndarray, ...]:
    options = {"fastk_period": 14, "slowk_period": 3, "slowd_period": 3}
    return talib.STOCH(*(bars[name] for name in BAR), **options)  # type: ignore[no-any-return]


def gap(name: str, bars: int) -> Callable[[Columns], np.ndarray]:
    return lambda held: 1e4 * (held["close"] / getattr(talib, name)(held["close"], timeperiod=bars) - 1)


EXPECTED: dict[str, Callable[[Columns], np.ndarray]] = {
    "bar_sma_gap_20": gap("SMA", 20),
    "bar_sma_gap_50": gap("SMA", 50),
    "bar_wma_gap_10": gap("WMA", 10),
    "bar_trima_gap_10": gap("TRIMA", 10),
    "bar_dema_gap_10": gap("DEMA", 10),
    "bar_tema_gap_10": gap("TEMA", 10),
    "bar_t3_gap_5": gap("T3", 5),
    "bar_kama_gap_10": gap("KAMA", 10),
    "bar_slope_14": lambda bars: 1e4 * talib.LINEARREG_SLOPE(bars["close"], timeperiod=14) / bars["close"],
    "bar_bollinger_position_20": position,
    "bar_bollinger_width_20": width,
    "bar_cmo_14": of("CMO", "close", timeperiod=14),
    "bar_obv_share_30": obv_share,
    "bar_macd_12_26_9": macd(0),
    "bar_macd_histogram_12_26_9": macd(2),
    "bar_ppo_5_10": of("PPO", "close", fastperiod=5, slowperiod=10, matype=1),
    "bar_trix_5": of("TRIX", "close", timeperiod=5),
    "bar_adx_14": of("ADX", *BAR, timeperiod=14),
    "bar_adxr_10": of("ADXR", *BAR, timeperiod=10),
    "bar_plus_di_14": of("PLUS_DI", *BAR, timeperiod=14),
    "bar_minus_di_14": of("MINUS_DI", *BAR, timeperiod=14),
    "bar_stochastic_14_3_3": lambda bars: slow(bars)[0],
    "bar_stochastic_signal_14_3_3": lambda bars: slow(bars)[1],
    "bar_stochastic_rsi_14_5_3": lambda bars: talib.STOCHRSI(bars["close"], timeperiod=14)[0],
    "bar_williams_r_14": of("WILLR", *BAR, timeperiod=14),
    "bar_cci_20": of("CCI", *BAR, timeperiod=20),
    "bar_aroon_25": of("AROONOSC", "high", "low", timeperiod=25),
    "bar_ultimate_7_14_28": of("ULTOSC", *BAR),
    "bar_mfi_14": of("MFI", *BAR, "volume", timeperiod=14),
    "bar_balance_of_power": of("BOP", "open", *BAR),
    "bar_chaikin_3_10": lambda bars: (
        talib.ADOSC(*(bars[name] for name in BAR), bars["volume"]) / talib.SMA(bars["volume"], timeperiod=10)
    ),
    "bar_parabolic_gap": lambda bars: 1e4 * (bars["close"] / talib.SAR(bars["high"], bars["low"]) - 1),
}


@pytest.fixture(scope="module")
def computed() -> dict[str, np.ndarray]:
    stream, _ = in_order(make_bars(), "bar")
    return bar.compute(stream, GRID, list(EXPECTED), MAX_AGE)


@pytest.fixture(scope="module")
def held() -> list[Columns | None]:
    """At each decision the session's bars, where the newest is not older than max_age."""
    bars, found = make_bars(), []
    for (entity, day), at in zip(GRID.select("entity", "session").iter_rows(), GRID_NS, strict=True):
        rows = naive_stream(bars, entity, day, at)
        fresh = rows and at - rows[-1]["event_time"] <= MAX_AGE and len(rows) > 1
        names = ("open", "high", "low", "close", "volume")
        found.append({name: np.array([row[name] for row in rows]) for name in names} if fresh else None)
    return found


@pytest.mark.parametrize("name", EXPECTED)
def test_equals_talib(name: str, computed: dict[str, np.ndarray], held: list[Columns | None]) -> None:
    expected = [np.nan if bars is None or len(bars["close"]) < 51 else EXPECTED[name](bars)[-1] for bars in held]
    there = np.isfinite(expected)
    assert there.sum() > 20
    np.testing.assert_allclose(computed[name][there], np.array(expected)[there], rtol=1e-9, atol=1e-9)


def test_every_feature_is_tested() -> None:
    assert set(bar.names_of("technical", VolatilityConfig())) <= set(EXPECTED)
    assert {bar.asked(name).feature.spec.name for name in EXPECTED} == {
        feature.spec.name for feature in bar.GROUPS["technical"]
    }
