"""Features of bars: realised measures of the session before, and means over sessions before it. The group `sessions`.

They are made of the returns over `volatility.interval`, and where that is said, of all one-bar returns.
"""

from collections.abc import Callable

import numpy as np

from fusion.features.bar_names import BarFeature
from fusion.features.bar_price import one_bar_returns
from fusion.features.bar_rows import Array, BarRows
from fusion.features.bar_slots import Slots, slots_of
from fusion.features.ticks import BPS, ratio
from fusion.volatility.har import mean_over
from gpu_kernels.spec import FeatureSpec
from gpu_kernels.volatility import jumps, noise, realised, realised_kernel

_LEAST = 10
# bars to a step on which noise matters little
_SPARSE = 5
_MISSING = f"no session before has {_LEAST} returns or more, or no bar known within max_age"


def _measures(rows: BarRows) -> realised.RealisedMeasures:
    slots: Slots = rows.once(slots_of)
    offsets = np.arange(len(slots.returns) + 1, dtype=np.int64) * slots.width
    return realised.session_measures(slots.returns.ravel(), offsets, min_returns=_LEAST)


def _before(name: str, scale: float) -> Callable[..., Array]:
    return lambda rows: rows.once(slots_of).before(getattr(rows.once(_measures), name) * scale)


def _jump_test(rows: BarRows) -> jumps.JumpTest:
    found = rows.once(_measures)
    return jumps.bns_test(found.observations, found.variance, found.bipower, found.tripower_quarticity)


def _of_test(name: str, scale: float) -> Callable[..., Array]:
    return lambda rows: rows.once(slots_of).before(getattr(rows.once(_jump_test), name) * scale)


def _noise(rows: BarRows) -> noise.NoiseMeasures:
    return noise.noise_measures(rows.once(one_bar_returns), rows.offsets, sparse=_SPARSE)


def _noise_variance(rows: BarRows) -> Array:
    variance: Array = rows.once(slots_of).before(rows.once(_noise).oomen * BPS**2)
    return variance


def _realised_kernel(rows: BarRows) -> Array:
    kernel = realised_kernel.realised_kernel(
        rows.once(one_bar_returns), rows.offsets, np.maximum(rows.once(_noise).bandwidth, -1)
    )
    variance: Array = rows.once(slots_of).before(kernel * BPS**2)
    return variance


def _jump_share(rows: BarRows) -> Array:
    found = rows.once(_measures)
    share: Array = rows.once(slots_of).before(ratio(np.maximum(found.variance - found.bipower, 0.0), found.variance))
    return share


def _mean(rows: BarRows, sessions: int) -> Array:
    slots: Slots = rows.once(slots_of)
    variance = rows.once(_measures).variance
    means = [mean_over(variance[first:last], sessions) for first, last in slots.of_entities()]
    return slots.before(np.concatenate(means) * BPS**2) if means else np.full(len(slots.row), np.nan)


def _feature(name: str, unit: str, meaning: str, source: str, formula: Callable[..., Array]) -> BarFeature:
    spec = FeatureSpec(
        f"bar_previous_{name}", "bar", unit, "each session", f"of the last session before: {meaning}", _MISSING, source
    )
    return BarFeature(spec, formula)


FEATURES: tuple[BarFeature, ...] = (
    _feature("variance", "bps^2", "realised variance", "Andersen, Bollerslev 1998", _before("variance", BPS**2)),
    _feature(
        "bipower", "bps^2", "bipower variation", "Barndorff-Nielsen, Shephard 2004", _before("bipower", BPS**2)
    ),
    _feature(
        "jump_share", "1", "max(1 - bipower variation / realised variance, 0)", "Huang, Tauchen 2005", _jump_share
    ),
    _feature(
        "quarticity", "bps^4", "realised quarticity N/3 sum r^4", "Bollerslev, Patton, Quaedvlieg 2016",
        _before("quarticity", BPS**4),
    ),
    _feature(
        "semivariance_up", "bps^2", "sum of squared returns above 0", "Patton, Sheppard 2015",
        _before("semivariance_up", BPS**2),
    ),
    _feature(
        "semivariance_down", "bps^2", "sum of squared returns below 0", "Patton, Sheppard 2015",
        _before("semivariance_down", BPS**2),
    ),
    _feature(
        "signed_jump", "bps^2", "semivariance above 0 less that below", "Patton, Sheppard 2015",
        _before("signed_jump", BPS**2),
    ),
    _feature(
        "skewness", "1", "realised skewness", "Amaya, Christoffersen, Jacobs, Vasquez 2015", _before("skewness", 1.0)
    ),
    _feature(
        "kurtosis", "1", "realised kurtosis; 3 is not taken off", "Amaya, Christoffersen, Jacobs, Vasquez 2015",
        _before("kurtosis", 1.0),
    ),
    _feature(
        "jump_p_value", "1", "p-value of Barndorff-Nielsen and Shephard's test (ratio form, one-sided)",
        "Huang, Tauchen 2005", _of_test("p_value", 1.0),
    ),
    _feature(
        "jump", "bps^2", "variance by jumps where that test has p below 0.001, else 0",
        "Andersen, Bollerslev, Diebold 2007", _of_test("jump", BPS**2),
    ),
    _feature(
        "continuous", "bps^2", "realised variance less that by jumps", "Andersen, Bollerslev, Diebold 2007",
        _of_test("continuous", BPS**2),
    ),
    _feature(
        "noise_variance", "bps^2", "variance of the noise of a price, of all one-bar returns; below 0 where they trend",
        "Oomen 2006", _noise_variance,
    ),
    _feature(
        "realised_kernel", "bps^2", f"realised kernel (Parzen) of all one-bar returns, bandwidth by the noise and "
        f"returns over {_SPARSE} bars", "Barndorff-Nielsen, Hansen, Lunde, Shephard 2009", _realised_kernel,
    ),
    BarFeature(
        FeatureSpec(
            "bar_variance_of_<sessions>", "bar", "bps^2", "each session",
            "mean realised variance of the last <sessions> sessions before that have bars, as in HAR",
            "a session of them has too few returns, fewer are there, or no bar known within max_age", "Corsi 2009",
        ),
        _mean,
        ((5,), (22,)),
    ),
)  # fmt: skip
