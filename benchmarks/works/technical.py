"""Calls of the technical indicators."""

import numpy as np

from benchmarks.works.data import Data, Work, with_gaps
from gpu_kernels.technical import (
    aroon,
    bar_price,
    channel,
    directional,
    flow,
    momentum,
    parabolic,
    stochastic,
    strength,
    trend,
    true_range,
    volume,
)


class Prices:
    """Bars whose columns have gaps of their own, and volumes of which some are 0."""

    def __init__(self, data: Data) -> None:
        rng, close = data.rng("bars"), data.close.astype(np.float64)
        rows = data.rows
        self.close = data.close
        self.open, self.high, self.low = (
            with_gaps(rng, close * factor).astype(data.dtype)
            for factor in (
                1 + 1e-3 * rng.normal(size=rows),
                1 + 2e-3 * rng.random(rows),
                1 - 2e-3 * rng.random(rows),
            )
        )
        self.volume = with_gaps(rng, rng.integers(0, 50, rows)).astype(data.dtype)


def works(data: Data) -> list[Work]:
    bars, offsets = Prices(data), data.offsets
    close, spread, whole = (bars.close,), (bars.high, bars.low), (bars.high, bars.low, bars.close)
    opened, traded = (bars.open, *whole), (*whole, bars.volume)
    exponential = {"average": "exponential"}
    calls: list[tuple] = [
        (strength.relative_strength_index, close, {"window": 5}),
        (strength.relative_strength_index, close, {"window": 1}),
        (strength.chande_momentum_oscillator, close, {"window": 5}),
        (true_range.true_range, whole, {}),
        (true_range.average_true_range, whole, {"window": 5}),
        (true_range.normalised_average_true_range, whole, {"window": 2}),
        (directional.plus_directional_movement, spread, {"window": 4}),
        (directional.minus_directional_movement, spread, {"window": 1}),
        (directional.plus_directional_indicator, whole, {"window": 4}),
        (directional.minus_directional_indicator, whole, {"window": 1}),
        (directional.directional_index, whole, {"window": 2}),
        (directional.average_directional_index, whole, {"window": 4}),
        (directional.average_directional_index_rating, whole, {"window": 3}),
        (momentum.momentum, close, {"lag": 3}),
        (momentum.rate_of_change, close, {"lag": 1}),
        (momentum.rate_of_change_part, close, {"lag": 10}),
        (momentum.rate_of_change_ratio, close, {"lag": 3}),
        (momentum.rate_of_change_ratio_percent, close, {"lag": 3}),
        (bar_price.average_price, opened, {}),
        (bar_price.median_price, spread, {}),
        (bar_price.typical_price, whole, {}),
        (bar_price.weighted_close_price, whole, {}),
        (bar_price.balance_of_power, opened, {}),
        (trend.moving_average_convergence_divergence, close, {"fast_window": 3, "slow_window": 5, "signal_window": 4}),
        (trend.moving_average_convergence_divergence, close, {"fast_window": 7, "slow_window": 2, "signal_window": 1}),
        (trend.absolute_price_oscillator, close, {"fast_window": 3, "slow_window": 5}),
        (trend.absolute_price_oscillator, close, {"fast_window": 3, "slow_window": 5, "average": "simple"}),
        (trend.percentage_price_oscillator, close, {"fast_window": 3, "slow_window": 5}),
        (trend.percentage_price_oscillator, close, {"fast_window": 3, "slow_window": 5, "average": "simple"}),
        (trend.triple_exponential_rate, close, {"window": 3}),
        (stochastic.williams_percent_range, whole, {"window": 5}),
        (stochastic.stochastic, whole, {}),
        (stochastic.stochastic, whole, {"window": 3, "slow_window": 2, "signal_window": 1, **exponential}),
        (stochastic.stochastic_fast, whole, {"window": 4}),
        (stochastic.stochastic_fast, whole, {"window": 1, "signal_window": 4, **exponential}),
        (stochastic.stochastic_strength, close, {"strength_window": 4}),
        (aroon.aroon, spread, {"window": 5}),
        (aroon.aroon_oscillator, spread, {"window": 1}),
        (channel.commodity_channel_index, whole, {"window": 5}),
        (flow.money_flow_index, traded, {"window": 5}),
        (flow.ultimate_oscillator, whole, {"short_window": 2, "middle_window": 8, "long_window": 5}),
        (volume.on_balance_volume, (bars.close, bars.volume), {}),
        (volume.accumulation_distribution, traded, {}),
        (volume.accumulation_distribution_oscillator, traded, {"fast_window": 3, "slow_window": 5}),
        (parabolic.parabolic_stop_and_reverse, spread, {}),
        (parabolic.parabolic_stop_and_reverse, spread, {"acceleration": 0.3, "maximum": 0.5}),
    ]
    return [Work(function, (*columns, offsets), parameters) for function, columns, parameters in calls]
