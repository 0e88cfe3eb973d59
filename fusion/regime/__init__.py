"""Macro regimes, causally: models fitted walk-forward, and only ever FILTERED.

The probability used at t is P(state at t | x_1..x_t) with parameters fitted before the last refit. Smoothed
probabilities, which a library's `predict` returns, would look ahead; they serve inside a fit alone.
"""

from fusion.regime.config import RegimeConfig, RegimeInput
from fusion.regime.fits import read_model
from fusion.regime.model import RegimeModel
from fusion.regime.path import RegimePath, at, filter_regimes
from fusion.regime.states import describe

__all__ = [
    "RegimeConfig",
    "RegimeInput",
    "RegimeModel",
    "RegimePath",
    "at",
    "describe",
    "filter_regimes",
    "read_model",
]
