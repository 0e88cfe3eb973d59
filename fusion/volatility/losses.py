"""Losses of variance forecasts, and whether a difference of two is more than chance.

A realised measure is a noisy view of the variance that was forecast. QLIKE and MSE rank forecasts as the true variance
would as long as the view is unbiased (Patton 2011); MSE is ruled by the few most volatile days, QLIKE by relative
errors.

Forecasts inside a session overlap, so that their errors hang together over many rows. Tests are therefore on sums of
the loss difference by session (`by_session`), with a HAC error over sessions, and beside them stand bootstrap intervals
over blocks of sessions.

Source: Patton (2011), "Volatility forecast comparison using imperfect volatility proxies"; Diebold and Mariano (1995);
Harvey, Leybourne and Newbold (1997); Newey and West (1987); Hansen, Lunde and Nason (2011).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fusion.studies.blocks import interval, resampled_sums
from gpu_kernels.dispatch import positive
from gpu_kernels.errors import ArgumentError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class DieboldMariano(NamedTuple):
    """The mean loss difference `first - second`, its HAC error, the corrected statistic, and p-values by Student's t.

    p        two-sided; p_less: against "the first forecast is better" (the mean is below 0)
    better   "first", "second" or "neither": the side on which the two-sided test at 5 % comes down
    rows     loss differences used; lags: of the HAC error
    """

    mean: float
    error: float
    statistic: float
    p: float
    p_less: float
    rows: int
    lags: int

    @property
    def better(self) -> str:
        if not self.p < 0.05:
            return "neither"
        return "first" if self.mean < 0 else "second"


def qlike(realised: Floats, forecast: Floats, floor: float = 0.0) -> Floats:
    """x - ln x - 1 with x = realised / forecast: 0 where they are equal, above 0 elsewhere.

    realised  (n,) realised variance, 0 or more; forecast (n,) above 0, in the same unit (which drops out)
    floor     stands for a lower realised variance in ln x alone. That term holds no forecast: a floor moves the level
              of all losses by the same amount and no difference. Needed where a window may hold no price change.

    Missing values: NaN where either is, or a forecast is not above 0; infinite for a realised 0 without a floor.
    Source: Patton (2011), equation 22 (b = -2), normalised as in Patton and Sheppard (2009).
    """
    realised, forecast = _pair(realised, forecast)
    with np.errstate(divide="ignore", invalid="ignore"):
        usable = np.where(forecast > 0, forecast, np.nan)
        found: Floats = realised / usable - np.log(np.maximum(realised, floor) / usable) - 1.0
    return found


def squared_error(realised: Floats, forecast: Floats) -> Floats:
    """(realised - forecast)^2, in the unit of variance squared. Missing values: NaN where either is."""
    realised, forecast = _pair(realised, forecast)
    found: Floats = (realised - forecast) ** 2
    return found


def log_error(realised: Floats, forecast: Floats) -> Floats:
    """|ln realised - ln forecast|. Not robust to a noisy proxy: a description, not a ranking.

    Missing values: NaN where either is, or is not above 0.
    """
    realised, forecast = _pair(realised, forecast)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.abs(np.log(realised) - np.log(forecast))
    return np.where(np.isfinite(found), found, np.nan)


def _pair(realised: Floats, forecast: Floats) -> tuple[Floats, Floats]:
    realised, forecast = np.asarray(realised, dtype=np.float64), np.asarray(forecast, dtype=np.float64)
    if realised.shape != forecast.shape:
        raise ArgumentError(f"realised {realised.shape} and forecast {forecast.shape}", allowed="arrays of one shape")
    return realised, forecast


def by_session(difference: Floats, session: Integers) -> Floats:
    """Sums of a loss difference over each session's rows, for the sessions that have any, in their order.

    difference, session  (n,): rows and the number of each one's session, rising
    Missing values: a NaN row is left out.
    """
    if difference.shape != session.shape:
        raise ArgumentError(f"difference {difference.shape} and session {session.shape}", allowed="arrays of one shape")
    there = np.isfinite(difference)
    _, place = np.unique(session[there], return_inverse=True)
    sums: Floats = np.bincount(place, weights=difference[there]).astype(np.float64)
    return sums


def long_run_variance(values: Floats, lags: int) -> float:
    """Newey-West: g_0 + 2 sum_{l=1..lags} (1 - l / (lags + 1)) g_l, with g_l = sum (v_t - v)(v_{t-l} - v) / n.

    Missing values: must have none. Raises: ArgumentError for lags that are not below the number of values.
    """
    lags = positive("lags", lags, minimum=0)
    count = len(values)
    if lags >= max(count, 1):
        raise ArgumentError(f"lags is {lags} for {count} values", allowed="fewer lags than values")
    centred = values - values.mean()
    found = float(centred @ centred)
    for lag in range(1, lags + 1):
        found += 2.0 * (1.0 - lag / (lags + 1.0)) * float(centred[lag:] @ centred[:-lag])
    return found / count


def diebold_mariano(difference: Floats, horizon: int = 1, lags: int | None = None) -> DieboldMariano:
    """Whether the mean of a loss difference is other than 0.

        statistic = mean / sqrt(variance / n)  sqrt((n + 1 - 2h + h(h - 1)/n) / n),   Student's t with n - 1 degrees

    difference  (n,) loss of the first forecast less that of the second, in order of time
    horizon     h, in rows: forecasts h rows ahead overlap over h - 1 of them
    lags        of the Newey-West (Bartlett) variance; default the larger of h - 1 and floor(4 (n / 100)^(2/9)), since
                losses cluster as variance does. R's `forecast::dm.test` takes h - 1, with equal weights unless told.

    Missing values: NaN differences are left out. All NaN with fewer than 3 rows or differences that are all equal.
    Raises: ArgumentError for a horizon below 1.
    Source: Diebold and Mariano (1995); Harvey, Leybourne and Newbold (1997), equation 9; Newey and West (1987, 1994).
    """
    h = positive("horizon", horizon)
    values = np.asarray(difference, dtype=np.float64)
    values = values[np.isfinite(values)]
    n = len(values)
    if lags is None:
        lags = min(max(h - 1, int(4 * (n / 100) ** (2 / 9))), max(n - 1, 0))
    mean = float(values.mean()) if n else np.nan
    correction = (n + 1 - 2 * h + h * (h - 1) / n) / n if n else np.nan
    variance = long_run_variance(values, lags) if n >= 3 else np.nan
    if not (variance > 0 and correction > 0):
        return DieboldMariano(mean, np.nan, np.nan, np.nan, np.nan, n, lags)
    error = float(np.sqrt(variance / n))
    statistic = mean / error * float(np.sqrt(correction))
    p_less = float(stats.t.cdf(statistic, n - 1))
    return DieboldMariano(mean, error, statistic, 2 * min(p_less, float(stats.t.sf(statistic, n - 1))), p_less, n, lags)


def mean_interval(
    difference: Floats, session: Integers, *, block: int = 10, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """The 95 % percentile interval of a mean over rows, whole sessions resampled in blocks of `block` sessions, or of a
    fifth of them where they are few (blocks of all sessions would all be the same).

    Missing values: a NaN row is left out; (NaN, NaN) where none is left. Raises: ArgumentError.
    """
    there = np.isfinite(difference)
    if not there.any():
        return np.nan, np.nan
    rows = by_session(there[there].astype(np.float64), session[there])
    columns = np.stack([by_session(difference, session), rows])
    block = max(1, min(block, len(rows) // 5))
    sums = resampled_sums(columns, np.array([0, len(rows)]), block, draws, seed)[:, 0]
    return interval(sums[:, 0] / sums[:, 1])


def confidence_set(losses: Mapping[str, Floats], *, size: float = 0.1, block: int = 10, draws: int = 1000) -> list[str]:
    """The names that stay in the model confidence set: with probability 1 - size it holds the best of them.

    losses  name -> (n,) mean or summed losses by session; block: mean length of the stationary bootstrap's blocks. The
            statistic is the range of t ("R"), by `arch` (which must be installed).

    Missing values: sessions in which a loss is NaN are left out.
    Raises: ArgumentError for fewer than two names, or without `arch`.
    Source: Hansen, Lunde and Nason (2011), "The model confidence set".
    """
    if len(losses) < 2:
        raise ArgumentError(f"{len(losses)} forecast to compare", allowed="two or more")
    try:
        from arch.bootstrap import MCS
    except ImportError:
        raise ArgumentError("arch is not installed, which the confidence set needs", hint="pip install arch") from None
    table = np.stack(list(losses.values()), axis=1)
    table = table[np.isfinite(table).all(axis=1)]
    # forecasts that are the same have a difference without a spread: one stands for them
    distinct, stands_for = np.unique(table, axis=1, return_inverse=True)
    if distinct.shape[1] < 2:
        return list(losses)
    found = MCS(distinct, size=size, reps=draws, block_size=block, method="R", seed=0)
    found.compute()
    kept = {int(place) for place in found.included}  # type: ignore[call-overload]
    return [name for place, name in zip(stands_for.ravel(), losses, strict=True) if int(place) in kept]
