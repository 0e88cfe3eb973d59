"""Realised measures of variance, quarticity and higher moments from the returns of a session: one value a session, or
at each row over its last returns.

A return that is not there (NaN) is stepped over: the neighbours of a return are those among the returns that are there,
and N counts these. Every sum is made anew over its window; nothing is subtracted from a running total.
"""

import math
from typing import Literal, NamedTuple

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import TILE_ROWS, Array, Rows, float_dtype, grid_of, on_cpu, positive, to_side
from gpu_kernels.doubling import window_sums
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import segment_of, tile_rows
from gpu_kernels.volatility.power import products_of_three, raise_to_four_thirds

FiniteSample = Literal["adjusted", "none", "highfrequency"]
_PLAIN, _ADJUSTED, _HIGHFREQUENCY = 0, 1, 2
_FINITE_SAMPLE = {"none": _PLAIN, "adjusted": _ADJUSTED, "highfrequency": _HIGHFREQUENCY}

# what turns the mean of a product, minimum or median of neighbours into the variance, or quarticity, of a normal return
_BIPOWER = math.pi / 2.0
_MIN_RV = math.pi / (math.pi - 2.0)
_MED_RV = math.pi / (6.0 - 4.0 * math.sqrt(3.0) + math.pi)
_TRIPOWER = (math.gamma(0.5) / (2.0 ** (2.0 / 3.0) * math.gamma(7.0 / 6.0))) ** 3
_QUADPOWER = math.pi**2 / 4.0
_MIN_RQ = math.pi / (3.0 * math.pi - 8.0)
_MED_RQ = 3.0 * math.pi / (9.0 * math.pi + 72.0 - 52.0 * math.sqrt(3.0))

_REACH = np.array([1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4], np.int64)
"""How many returns a term of each sum is made of: up, down, cubes, fourth powers; pairs, minima² and minima⁴ of two;
medians² and medians⁴ of three, products of three; products of four."""
_SUMS = len(_REACH)


class RealisedMeasures(NamedTuple):
    """Each (S,), or (n,) where rolling; `observations` int64, the others float. See `session_measures`."""

    observations: Array
    variance: Array
    bipower: Array
    min_rv: Array
    med_rv: Array
    quarticity: Array
    tripower_quarticity: Array
    quadpower_quarticity: Array
    min_rq: Array
    med_rq: Array
    semivariance_up: Array
    semivariance_down: Array
    signed_jump: Array
    skewness: Array
    kurtosis: Array


_NAMES = RealisedMeasures._fields[1:]
(
    _VARIANCE_AT, _BIPOWER_AT, _MIN_RV_AT, _MED_RV_AT, _QUARTICITY_AT, _TRIPOWER_AT, _QUADPOWER_AT, _MIN_RQ_AT,
    _MED_RQ_AT, _UP_AT, _DOWN_AT, _SIGNED_AT, _SKEWNESS_AT, _KURTOSIS_AT,
) = range(len(_NAMES))  # fmt: skip
_NEEDS = (
    (0, 1), (4,), (5,), (7,), (3,), (9,), (10,), (6,), (8,), (0,), (1,), (0, 1), (0, 1, 2), (0, 1, 3),
)  # fmt: skip
"""The sums that each measure is made of."""


@body
def _terms(value, one, two, three, seen):
    """What a return adds to each sum, the products of three yet to be raised; `one`, `two`, `three` are the sizes of
    the returns before it, of which `seen` are there."""
    size, square = abs(value), value * value
    up, down = square if value > 0.0 else 0.0, square if value < 0.0 else 0.0
    pair, low, median, triple, four = 0.0, 0.0, 0.0, 0.0, 0.0
    if seen >= 1:
        pair, low = size * one, min(size, one)
    if seen >= 2:
        median, triple = max(low, min(max(size, one), two)), pair * two
    if seen >= 3:
        four = pair * two * three
    low_square, median_square = low * low, median * median
    return (
        up, down, square * value, square * square, pair, low_square, low_square * low_square,
        median_square, median_square * median_square, triple, four,
    )  # fmt: skip


@body
def _tripower(returns, start, stop):
    """The sum of |r r' r''|^(4/3), in a loop of its own: a power taken among the other sums would cost them their
    registers at each row."""
    one, two, total = 0.0, 0.0, 0.0
    for row in range(start, stop):
        size = abs(np.float64(returns[row]))
        if not math.isnan(size):
            total += (size * one * two) ** (4.0 / 3.0)
            one, two = size, one
    return total


@body
def _sums(returns, start, stop):
    """How many returns the rows hold, and the sums over them but that of the tripower."""
    one, two, three, seen = 0.0, 0.0, 0.0, 0
    up, down, cubes, fourths, pairs, low2, low4 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    median2, median4, fours = 0.0, 0.0, 0.0
    for row in range(start, stop):
        value = np.float64(returns[row])
        if not math.isnan(value):
            a, b, c, d, e, f, g, h, i, _, k = _terms(value, one, two, three, seen)
            up, down, cubes, fourths, pairs, low2, low4 = (
                up + a,
                down + b,
                cubes + c,
                fourths + d,
                pairs + e,
                low2 + f,
                low4 + g,
            )
            median2, median4, fours = median2 + h, median4 + i, fours + k
            one, two, three, seen = abs(value), one, two, seen + 1
    return seen, up, down, cubes, fourths, pairs, low2, low4, median2, median4, fours


@body
def _factor(count, reach, adjusted):
    """N / number of terms, where the number of terms is to be made good."""
    return count / (count - reach + 1.0) if adjusted and count >= reach else 1.0


@body
def _put(out, place, name, row, value):
    if place[name] >= 0:
        out[place[name], row] = value


@body
def _finish(
    number, up, down, cubes, fourths, pairs, low2, low4, median2, median4, triples, fours, least, mode, place, row, out
):
    """The measures from their sums, each written to the row of `out` that `place` names for it."""
    count, variance = np.float64(number), up + down
    adjusted, enough = mode != _PLAIN, number >= least
    has_one, has_two, has_three = enough and number >= 1, enough and number >= 2, enough and number >= 3
    two, three, four = _factor(count, 2, adjusted), _factor(count, 3, adjusted), _factor(count, 4, adjusted)
    moments = has_one and variance > 0.0
    _put(out, place, _VARIANCE_AT, row, variance if has_one else np.nan)
    _put(out, place, _BIPOWER_AT, row, _BIPOWER * _factor(count, 2, mode == _ADJUSTED) * pairs if has_two else np.nan)
    _put(out, place, _MIN_RV_AT, row, _MIN_RV * two * low2 if has_two else np.nan)
    _put(out, place, _MED_RV_AT, row, _MED_RV * three * median2 if has_three else np.nan)
    quarter = count + 1.0 if mode == _HIGHFREQUENCY else count
    _put(out, place, _QUARTICITY_AT, row, quarter / 3.0 * fourths if has_one else np.nan)
    _put(out, place, _TRIPOWER_AT, row, _TRIPOWER * count * three * triples if has_three else np.nan)
    _put(out, place, _QUADPOWER_AT, row, _QUADPOWER * count * four * fours if enough and number >= 4 else np.nan)
    _put(out, place, _MIN_RQ_AT, row, _MIN_RQ * count * two * low4 if has_two else np.nan)
    _put(out, place, _MED_RQ_AT, row, _MED_RQ * count * three * median4 if has_three else np.nan)
    _put(out, place, _UP_AT, row, up if has_one else np.nan)
    _put(out, place, _DOWN_AT, row, down if has_one else np.nan)
    _put(out, place, _SIGNED_AT, row, up - down if has_one else np.nan)
    _put(
        out,
        place,
        _SKEWNESS_AT,
        row,
        math.sqrt(count) * cubes / (variance * math.sqrt(variance)) if moments else np.nan,
    )
    _put(out, place, _KURTOSIS_AT, row, count * fourths / (variance * variance) if moments else np.nan)


@body
def _measure(returns, start, stop, triples, least, mode, place, row, number, out):
    count, up, down, cubes, fourths, pairs, low2, low4, median2, median4, fours = _sums(returns, start, stop)
    number[row] = count
    _finish(
        count,
        up,
        down,
        cubes,
        fourths,
        pairs,
        low2,
        low4,
        median2,
        median4,
        triples,
        fours,
        least,
        mode,
        place,
        row,
        out,
    )


@cpu_loop
def _session_cpu(returns, offsets, least, mode, place, number, out):
    for segment in prange(offsets.shape[0] - 1):
        start, stop, triples = offsets[segment], offsets[segment + 1], 0.0
        products = products_of_three(returns, start, stop)
        raise_to_four_thirds(products)
        for i in range(products.shape[0]):
            triples += products[i]
        _measure(returns, start, stop, triples, least, mode, place, segment, number, out)


@cuda.jit
def _session_cuda(returns, offsets, least, mode, place, number, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        start, stop = offsets[segment], offsets[segment + 1]
        _measure(returns, start, stop, _tripower(returns, start, stop), least, mode, place, segment, number, out)


@body
def first_of_window(returns, start, row, window):
    """The row of the `window`-th return back from `row`, which counts; `start` where fewer are there."""
    left, first = window, row + 1
    while left > 0 and first > start:
        first -= 1
        left -= 0 if math.isnan(returns[first]) else 1
    return first


@body
def _term_rows(returns, begin, first, last, with_powers):
    """(11, m): the terms of the m returns in rows begin to last, in order; and how many of them lie before `first`."""
    rows = np.zeros((_SUMS, last - begin))
    one, two, three, seen, before = 0.0, 0.0, 0.0, 0, 0
    for row in range(begin, last):
        value = np.float64(returns[row])
        if not math.isnan(value):
            (
                rows[0, seen], rows[1, seen], rows[2, seen], rows[3, seen], rows[4, seen], rows[5, seen],
                rows[6, seen], rows[7, seen], rows[8, seen], rows[9, seen], rows[10, seen],
            ) = _terms(value, one, two, three, seen)  # fmt: skip
            one, two, three, seen = abs(value), one, two, seen + 1
            before += 1 if row < first else 0
    if with_powers:
        raise_to_four_thirds(rows[9, :seen])
    return rows[:, :seen], before


@cpu_loop
def _rolling_cpu(returns, offsets, tiles, tile, window, least, mode, reach, place, number, out):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        begin = first_of_window(returns, offsets[segment], first - 1, window)
        terms, before = _term_rows(returns, begin, first, last, reach[9] > 0)
        halo = max(0, before - 1)  # a row without a return has the window of the return before it
        sums = np.zeros((_SUMS, terms.shape[1] - halo + 1))
        for k in range(_SUMS):
            if reach[k] > 0:
                sums[k, 1:] = window_sums(terms[k], max(0, window - reach[k] + 1), halo)
        seen = before
        for row in range(first, last):
            seen += 0 if math.isnan(returns[row]) else 1
            at = max(0, seen - halo)
            number[row] = min(seen, window)
            _finish(
                number[row], sums[0, at], sums[1, at], sums[2, at], sums[3, at], sums[4, at], sums[5, at], sums[6, at],
                sums[7, at], sums[8, at], sums[9, at], sums[10, at], least, mode, place, row, out,
            )  # fmt: skip


@cuda.jit
def _rolling_cuda(returns, offsets, window, least, mode, place, number, out):
    row = cuda.grid(1)
    if row < returns.shape[0]:
        begin = first_of_window(returns, offsets[segment_of(offsets, row)], row, window)
        _measure(returns, begin, row + 1, _tripower(returns, begin, row + 1), least, mode, place, row, number, out)


def _mode(finite_sample: str) -> int:
    if finite_sample not in _FINITE_SAMPLE:
        raise ArgumentError(f"finite_sample is {finite_sample!r}", allowed='"adjusted", "none" or "highfrequency"')
    return _FINITE_SAMPLE[finite_sample]


def session_measures(
    returns: Array, offsets: Array, *, min_returns: int = 1, finite_sample: FiniteSample = "adjusted"
) -> RealisedMeasures:
    """Realised measures of each segment, a session, from its N returns r, in one pass:

    variance              sum r²
    bipower               pi/2 N/(N-1) sum |r||r'|, r' being the return before r
    min_rv                pi/(pi-2) N/(N-1) sum min(|r|, |r'|)²
    med_rv                pi/(6-4√3+pi) N/(N-2) sum med(|r|, |r'|, |r''|)²
    quarticity            N/3 sum r⁴, the integrated quarticity of HARQ
    tripower_quarticity   N N/(N-2) m^-3 sum |r r' r''|^(4/3), m = 2^(2/3) Gamma(7/6) / Gamma(1/2)
    quadpower_quarticity  N N/(N-3) pi²/4 sum |r r' r'' r'''|
    min_rq                pi N/(3 pi-8) N/(N-1) sum min(|r|, |r'|)⁴
    med_rq                3 pi N/(9 pi+72-52√3) N/(N-2) sum med(|r|, |r'|, |r''|)⁴
    semivariance_up, semivariance_down   sum r² over r > 0, over r < 0; together the variance exactly
    signed_jump           semivariance_up - semivariance_down
    skewness, kurtosis    √N sum r³ / variance^1.5, N sum r⁴ / variance²; no mean is taken off, 3 is not taken off
    observations          N, int64

    returns        (n,) float32, float64 or int64, e.g. of `returns.session_returns`; offsets (S + 1,)
    min_returns    sessions of fewer returns give NaN; at least 1
    finite_sample  what stands for the factors N/(N-1), N/(N-2), N/(N-3), which make good that N returns have fewer
                   neighbourhoods than N. "adjusted": as above. "none": 1 throughout, which is Barndorff-Nielsen and
                   Shephard (2004) for bipower, tripower and quadpower. "highfrequency": R's package, in which bipower
                   (rBPCov, and in BNSjumpTest) has no factor and quarticity (rQuar) is (N+1)/3 sum r⁴, the others as
                   "adjusted". That package also counts a first return of 0: see `session_returns`, first_return="zero"
    returns        RealisedMeasures of (S,) arrays; not annualised: variances per session, quarticities per session²

    Missing values: NaN returns are stepped over: the returns on both sides of one are neighbours, and N counts those
    that are there. NaN where N is below min_returns, or below the returns that one term takes (2, 3 or 4); skewness and
    kurtosis also where no return differs from 0.
    Raises: ArgumentError, DeviceError.
    Source: Barndorff-Nielsen and Shephard (2004), "Power and bipower variation with stochastic volatility and jumps";
    Andersen, Dobrev and Schaumburg (2012), "Jump-robust volatility estimation using nearest neighbor truncation";
    Barndorff-Nielsen, Kinnebrock and Shephard (2010), "Measuring downside risk: realised semivariance"; Patton and
    Sheppard (2015), "Good volatility, bad volatility"; Amaya, Christoffersen, Jacobs and Vasquez (2015), "Does realized
    skewness predict the cross-section of equity returns?"; Huang and Tauchen (2005) for the factors of bipower and
    tripower.
    """
    least, mode = positive("min_returns", min_returns), _mode(finite_sample)
    rows = Rows(offsets, values={"returns": returns})
    (returns,) = rows.columns
    number = rows.empty(rows.segments, np.int64)
    out = rows.empty((len(_NAMES), rows.segments), float_dtype(returns))
    place = to_side(np.arange(len(_NAMES)), like=rows.offsets)
    arguments = (returns, rows.offsets, least, mode, place, number, out)
    if rows.segments and rows.device:
        _session_cuda[grid_of(rows.segments)](*arguments)
    elif rows.segments:
        on_cpu(_session_cpu, rows.count, rows.segments)(*arguments)
    return RealisedMeasures(number, *(out[at] for at in range(len(_NAMES))))


def _rolling(
    returns: Array, offsets: Array, window: int, min_returns: int | None, finite_sample: str, names: tuple[str, ...]
) -> tuple[Array, Array]:
    window, mode = positive("window", window), _mode(finite_sample)
    least = window if min_returns is None else positive("min_returns", min_returns, maximum=window)
    rows = Rows(offsets, values={"returns": returns})
    (returns,) = rows.columns
    number, out = rows.empty(rows.count, np.int64), rows.empty((len(names), rows.count), float_dtype(returns))
    places = np.array([names.index(name) if name in names else -1 for name in _NAMES], np.int64)
    place = to_side(places, like=rows.offsets)
    if rows.count and rows.device:
        _rolling_cuda[grid_of(rows.count)](returns, rows.offsets, window, least, mode, place, number, out)
    elif rows.count:
        needed = {k for name in names for k in _NEEDS[_NAMES.index(name)]}
        reach = np.array([_REACH[k] if k in needed else 0 for k in range(_SUMS)], np.int64)
        on_cpu(_rolling_cpu, rows.count)(
            returns, rows.offsets, rows.tiles(), TILE_ROWS, window, least, mode, reach, place, number, out
        )
    return number, out


def rolling_measures(
    returns: Array,
    offsets: Array,
    window: int,
    *,
    min_returns: int | None = None,
    finite_sample: FiniteSample = "adjusted",
) -> RealisedMeasures:
    """The measures of `session_measures` at each row, over the last `window` returns of its segment up to the row.

    window       in returns, at least 1; a product of m neighbours lies wholly inside the window, so there are
                 window - m + 1 of them
    min_returns  how many returns must be there, 1 to window; default: window
    returns      RealisedMeasures of (n,) arrays; `observations` is N, at most `window`. Otherwise as
                 in `session_measures`.

    Missing values: NaN returns are stepped over, so a window may span more rows; a row without a return has the values
    of the return before it. NaN where N is below min_returns, and as in `session_measures`.
    Raises: ArgumentError, DeviceError.
    Source: see `session_measures`.
    """
    number, out = _rolling(returns, offsets, window, min_returns, finite_sample, _NAMES)
    return RealisedMeasures(number, *(out[at] for at in range(len(_NAMES))))


def rolling_measure(
    returns: Array,
    offsets: Array,
    window: int,
    name: str,
    *,
    min_returns: int | None = None,
    finite_sample: FiniteSample = "adjusted",
) -> Array:
    """One measure of `rolling_measures`, by its name there, at the cost of its own sums.

    name     "variance", "bipower", "min_rv", "med_rv", "quarticity", "tripower_quarticity", "quadpower_quarticity",
             "min_rq", "med_rq", "semivariance_up", "semivariance_down", "signed_jump", "skewness" or "kurtosis"
    returns  (n,), e.g. with name="variance" the sum of the last `window` squared returns. Otherwise as there.

    Missing values: as in `rolling_measures`.
    Raises: ArgumentError, DeviceError.
    Source: Andersen and Bollerslev (1998), "Answering the skeptics", for the realised variance; see `session_measures`.
    """
    if name not in _NAMES:
        raise ArgumentError(f"name is {name!r}", allowed=", ".join(_NAMES))
    return _rolling(returns, offsets, window, min_returns, finite_sample, (name,))[1][0]  # type: ignore[no-any-return]
