"""GARCH(1,1) of the bins' returns as a forecast of the variance to come, refitted walk-forward by `arch`.

    s2(i) = omega + alpha r(i-1)^2 + beta s2(i-1)

over the bins that are there, one after the other, across nights (no overnight return). What is forecast is the sum over
the coming bins of E s2, each times the square of the scale that its return was divided by: 1 (plain), the factor of the
time of day (Andersen and Bollerslev 1997), or level x factor (Engle and Sokalska 2012).

Source: Bollerslev (1986). Parameters are Gaussian quasi-maximum likelihood of returns without a mean.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from fusion.volatility.bins import SessionBins
from fusion.volatility.walk import Schedule
from gpu_kernels.dispatch import positive
from gpu_kernels.errors import ArgumentError

Floats = NDArray[np.float64]

_LEAST = 100  # returns that a fit needs


class Garch(NamedTuple):
    """omega, in the unit of the variances, alpha and beta; `start`: the variance of the first return."""

    omega: float
    alpha: float
    beta: float
    start: float


def fit_garch(returns: Floats) -> Garch:
    """The parameters of returns in order, by `arch` (mean zero, normal); `start` is what its backcast gives.

    Missing values: must have none. Raises: ArgumentError without `arch`, or for fewer than 100 returns.
    """
    try:
        from arch import arch_model
    except ImportError:
        raise ArgumentError("arch is not installed, which GARCH needs", hint="pip install arch") from None
    if len(returns) < _LEAST:
        raise ArgumentError(f"{len(returns)} returns for a GARCH", allowed=f"{_LEAST} or more")
    scale = float(np.sqrt((returns * returns).mean()))
    model = arch_model(returns / scale, mean="Zero", vol="GARCH", p=1, q=1, rescale=False)
    found = model.fit(disp="off", show_warning=False)
    omega, alpha, beta = (float(value) for value in found.params)
    return Garch(omega * scale**2, alpha, beta, float(found.conditional_volatility[0] * scale) ** 2)


def conditional_variance(returns: Floats, garch: Garch) -> Floats:
    """(n + 1,) s2 of each return and of the one after the last: s2(i) knows the returns before i."""
    out = np.empty(len(returns) + 1)
    out[0] = garch.start
    news = garch.omega + garch.alpha * returns * returns
    out[1:] = lfilter([1.0], [1.0, -garch.beta], news, zi=[garch.beta * garch.start])[0]
    return out


def forecast_garch(bins: SessionBins, scale: Floats, horizons: tuple[int, ...], schedule: Schedule) -> list[Floats]:
    """For each horizon (D, K): the forecast, made at the start of each bin, of the variance of it and those after it.

    scale  (D, K), known when the session opens: returns are divided by its square root, variances multiplied by it

    Missing values: NaN before the first fit, where the session ends before the horizon does, or a scale is missing. A
    bin without a return is stepped over.
    Raises: ArgumentError.
    """
    width = bins.returns.shape[1]
    inside = np.arange(width) < bins.lengths[:, None]
    scale = np.where(inside, scale, np.nan)
    standard = bins.returns / np.sqrt(scale)
    found = [np.full(standard.shape, np.nan) for _ in horizons]
    for begin, at, until in schedule.fits(len(standard)):
        past = standard[begin:at][np.isfinite(standard[begin:at])]
        if len(past) < _LEAST:
            continue
        garch = fit_garch(past)
        now = standard[begin:until]
        there = np.isfinite(now)
        came = (np.cumsum(there) - there.ravel()).reshape(now.shape)
        variance = conditional_variance(now[there], garch)[came][at - begin :]
        step, total = variance, np.zeros(variance.shape)
        for ahead in range(max(horizons)):
            if ahead:
                step = garch.omega + (garch.alpha + garch.beta) * step
            later = np.full(step.shape, np.nan)
            later[:, : width - ahead] = scale[at:until, ahead:]
            total = total + step * later
            for place, horizon in enumerate(horizons):
                if horizon == ahead + 1:
                    found[place][at:until] = total
    return found


def forecast_garch_sessions(returns: Floats, horizon: int, schedule: Schedule) -> Floats:
    """(n,) forecast at t of the MEAN variance of sessions t + 1 to t + horizon, from one return a session.

    Missing values: NaN before the first fit. A session without a return is stepped over.
    Raises: ArgumentError.
    """
    horizon = positive("horizon", horizon)
    there = np.isfinite(returns)
    out = np.full(len(returns), np.nan)
    # as in `har`: sessions known at t are 0 .. t
    for begin, at, until in schedule.fits(len(returns) + 1):
        past = returns[begin:at][there[begin:at]]
        if len(past) < _LEAST:
            continue
        garch = fit_garch(past)
        now = slice(begin, until - 1)
        known = np.cumsum(there[now])[at - 1 - begin :]
        step = conditional_variance(returns[now][there[now]], garch)[known]
        total = step
        for _ in range(horizon - 1):
            step = garch.omega + (garch.alpha + garch.beta) * step
            total = total + step
        out[at - 1 : until - 1] = total / horizon
    return out
