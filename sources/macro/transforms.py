"""The transformations of McCracken & Ng (2016), of the past alone."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CODES = range(1, 8)
_LOGS = (4, 5, 6, 7)


def _log(x: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.where(x > 0, np.log(np.where(x > 0, x, 1.0)), np.nan)


def _change(x: Array, lag: int = 1) -> Array:
    """x(t) - x(t - lag); NaN at the start."""
    out = np.full(len(x), np.nan)
    out[lag:] = x[lag:] - x[: len(x) - lag] if lag < len(x) else out[lag:]
    return out


def _growth(x: Array) -> Array:
    """x(t) / x(t - 1) - 1; NaN where the one before is 0."""
    out = np.full(len(x), np.nan)
    before = np.where(x[:-1] == 0, np.nan, x[:-1])
    out[1:] = x[1:] / before - 1
    return out


_BY_CODE: dict[int, Callable[[Array], Array]] = {
    1: lambda x: x.copy(),
    2: _change,
    3: lambda x: _change(_change(x)),
    4: _log,
    5: lambda x: _change(_log(x)),
    6: lambda x: _change(_change(_log(x))),
    7: lambda x: _change(_growth(x)),
}


def by_code(values: Array, code: int) -> Array:
    """A monthly series made stationary by its code: 1 x, 2 Δx, 3 Δ²x, 4 log x, 5 Δ log x, 6 Δ² log x,
    7 Δ(x(t) / x(t-1) - 1).

    values   float64, one for each consecutive month; logs are natural and not times 100, as in the paper

    Missing values: NaN where a month that the transformation needs is missing, at the start, and where the log of a
    value that is not positive, or a ratio to zero, is asked for. The authors' code gives up the whole series where any
    value of it is not positive; that would let a later month decide about an earlier one.
    Source: McCracken & Ng, "FRED-MD: A Monthly Database for Macroeconomic Research", JBES 34(4), 2016, appendix.
    """
    return _BY_CODE[code](values)


def year_on_year(values: Array, code: int) -> Array:
    """log x(t) - log x(t - 12) of series whose code takes logs or ratios (4 to 7), x(t) - x(t - 12) of the others.

    Missing values: as `by_code`.
    """
    return _change(_log(values) if code in _LOGS else values, 12)
