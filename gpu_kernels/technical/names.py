"""Which function of this project gives what a function of TA-Lib gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gpu_kernels import rolling
from gpu_kernels.technical import (
    aroon,
    averages,
    bar_price,
    channel,
    directional,
    extremes,
    flow,
    momentum,
    parabolic,
    regression,
    statistics,
    stochastic,
    strength,
    trend,
    true_range,
    volume,
)

_CLOSE, _RANGE, _BARS = ("close",), ("high", "low"), ("high", "low", "close")
_OPENED, _TRADED = ("open", *_BARS), (*_BARS, "volume")


@dataclass(frozen=True)
class Indicator:
    """A function, the columns that it takes in order before the offsets, and the parameters that are TA-Lib's defaults
    where they are not its own."""

    function: Callable[..., Any]
    columns: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)


TA_LIB: Mapping[str, Indicator] = {
    # moving averages and bands
    "SMA": Indicator(rolling.mean, _CLOSE, {"window": 30}),
    "EMA": Indicator(rolling.ema, _CLOSE, {"window": 30}),
    "WMA": Indicator(regression.weighted_moving_average, _CLOSE),
    "DEMA": Indicator(averages.double_exponential_moving_average, _CLOSE),
    "TEMA": Indicator(averages.triple_exponential_moving_average, _CLOSE),
    "T3": Indicator(averages.tillson_moving_average, _CLOSE),
    "TRIMA": Indicator(averages.triangular_moving_average, _CLOSE),
    "KAMA": Indicator(averages.kaufman_moving_average, _CLOSE),
    "BBANDS": Indicator(statistics.bollinger_bands, _CLOSE),
    # windows
    "MIN": Indicator(rolling.minimum, _CLOSE, {"window": 30}),
    "MAX": Indicator(rolling.maximum, _CLOSE, {"window": 30}),
    "MIDPOINT": Indicator(extremes.midpoint, _CLOSE),
    "MIDPRICE": Indicator(extremes.midprice, _RANGE),
    "VAR": Indicator(statistics.variance, _CLOSE),
    "STDDEV": Indicator(statistics.standard_deviation, _CLOSE),
    "CORREL": Indicator(statistics.correlation, _RANGE),
    "BETA": Indicator(statistics.beta, _RANGE),
    "LINEARREG": Indicator(regression.linear_regression, _CLOSE),
    "LINEARREG_SLOPE": Indicator(regression.linear_regression_slope, _CLOSE),
    "LINEARREG_ANGLE": Indicator(regression.linear_regression_angle, _CLOSE),
    "LINEARREG_INTERCEPT": Indicator(regression.linear_regression_intercept, _CLOSE),
    "TSF": Indicator(regression.time_series_forecast, _CLOSE),
    # one price for a bar
    "AVGPRICE": Indicator(bar_price.average_price, _OPENED),
    "MEDPRICE": Indicator(bar_price.median_price, _RANGE),
    "TYPPRICE": Indicator(bar_price.typical_price, _BARS),
    "WCLPRICE": Indicator(bar_price.weighted_close_price, _BARS),
    # momentum
    "BOP": Indicator(bar_price.balance_of_power, _OPENED),
    "MOM": Indicator(momentum.momentum, _CLOSE),
    "ROC": Indicator(momentum.rate_of_change, _CLOSE),
    "ROCP": Indicator(momentum.rate_of_change_part, _CLOSE),
    "ROCR": Indicator(momentum.rate_of_change_ratio, _CLOSE),
    "ROCR100": Indicator(momentum.rate_of_change_ratio_percent, _CLOSE),
    "RSI": Indicator(strength.relative_strength_index, _CLOSE),
    "CMO": Indicator(strength.chande_momentum_oscillator, _CLOSE),
    "MACD": Indicator(trend.moving_average_convergence_divergence, _CLOSE),
    "APO": Indicator(trend.absolute_price_oscillator, _CLOSE),
    "PPO": Indicator(trend.percentage_price_oscillator, _CLOSE),
    "TRIX": Indicator(trend.triple_exponential_rate, _CLOSE),
    "WILLR": Indicator(stochastic.williams_percent_range, _BARS),
    "STOCH": Indicator(stochastic.stochastic, _BARS),
    "STOCHF": Indicator(stochastic.stochastic_fast, _BARS),
    "STOCHRSI": Indicator(stochastic.stochastic_strength, _CLOSE),
    "CCI": Indicator(channel.commodity_channel_index, _BARS),
    "ULTOSC": Indicator(flow.ultimate_oscillator, _BARS),
    "AROON": Indicator(aroon.aroon, _RANGE),
    "AROONOSC": Indicator(aroon.aroon_oscillator, _RANGE),
    # range and direction
    "TRANGE": Indicator(true_range.true_range, _BARS),
    "ATR": Indicator(true_range.average_true_range, _BARS),
    "NATR": Indicator(true_range.normalised_average_true_range, _BARS),
    "PLUS_DM": Indicator(directional.plus_directional_movement, _RANGE),
    "MINUS_DM": Indicator(directional.minus_directional_movement, _RANGE),
    "PLUS_DI": Indicator(directional.plus_directional_indicator, _BARS),
    "MINUS_DI": Indicator(directional.minus_directional_indicator, _BARS),
    "DX": Indicator(directional.directional_index, _BARS),
    "ADX": Indicator(directional.average_directional_index, _BARS),
    "ADXR": Indicator(directional.average_directional_index_rating, _BARS),
    "SAR": Indicator(parabolic.parabolic_stop_and_reverse, _RANGE),
    # volume
    "OBV": Indicator(volume.on_balance_volume, ("close", "volume")),
    "AD": Indicator(volume.accumulation_distribution, _TRADED),
    "ADOSC": Indicator(volume.accumulation_distribution_oscillator, _TRADED),
    "MFI": Indicator(flow.money_flow_index, _TRADED),
}
"""TA-Lib's name -> what gives its numbers within 1e-9 (`tests/gpu_kernels/test_technical.py`), with its default
parameters, its unstable period being 0, as of version 0.8."""
