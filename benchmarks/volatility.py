"""Measures of volatility over one long series of minutes, and over its sessions."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
import polars as pl

from benchmarks import volatility_diurnal, volatility_noise
from benchmarks.harness import Comparison, Outputs
from gpu_kernels.volatility import ranges
from gpu_kernels.volatility.realised import RealisedMeasures, rolling_measures, session_measures
from gpu_kernels.volatility.returns import session_returns

WINDOW, SESSION = 30, 390
K = 0.34 / (1.34 + (WINDOW + 1) / (WINDOW - 1))


def minute_bars(rows: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    close = 100.0 * np.exp(np.cumsum(rng.normal(scale=1e-4, size=rows)))
    opening = np.append(100.0, close[:-1]) * (1 + 2e-5 * rng.normal(size=rows))
    high = np.maximum(opening, close) * (1 + 1e-4 * rng.random(rows))
    return {
        "open": opening,
        "high": high,
        "low": np.minimum(opening, close) * (1 - 1e-4 * rng.random(rows)),
        "close": close,
    }


def polars_ranges(frame: pl.LazyFrame, engine: str) -> Outputs:
    opening, high, low, close = (pl.col(name) for name in ("open", "high", "low", "close"))
    u, d, c, g, satchell = (pl.col(name) for name in ("u", "d", "c", "g", "satchell"))
    span = (u - d) ** 2
    logs = frame.select(
        u=(high / opening).log(), d=(low / opening).log(), c=(close / opening).log(), g=(opening / close.shift(1)).log()
    ).with_columns(satchell=(u * (u - c) + d * (d - c)).rolling_mean(WINDOW))
    found = logs.select(
        parkinson=span.rolling_mean(WINDOW) / (4 * math.log(2)),
        garman_klass=(0.5 * span - (2 * math.log(2) - 1) * c**2).rolling_mean(WINDOW),
        rogers_satchell=satchell,
        yang_zhang=g.rolling_var(WINDOW) + K * c.rolling_var(WINDOW) + (1 - K) * satchell,
    ).collect(engine=engine)  # type: ignore[call-overload]
    return tuple(column.to_numpy() for column in found.iter_columns())


def pandas_ranges(bars: pd.DataFrame) -> Outputs:
    u, d, c = (np.log(bars[name] / bars["open"]) for name in ("high", "low", "close"))
    g = np.log(bars["open"] / bars["close"].shift(1))
    span, satchell = (u - d) ** 2, (u * (u - c) + d * (d - c)).rolling(WINDOW).mean()
    return (
        (span.rolling(WINDOW).mean() / (4 * math.log(2))).to_numpy(),
        (0.5 * span - (2 * math.log(2) - 1) * c**2).rolling(WINDOW).mean().to_numpy(),
        satchell.to_numpy(),
        (g.rolling(WINDOW).var() + K * c.rolling(WINDOW).var() + (1 - K) * satchell).to_numpy(),
    )


def ranges_of(bars: dict[str, np.ndarray], offsets: np.ndarray) -> Outputs:
    return tuple(ranges.range_variances(*bars.values(), offsets, WINDOW))


def pandas_terms(bars: pd.DataFrame) -> pd.DataFrame:
    """What each return adds to the sums behind `session_measures`, as a careful user of pandas writes it: columns of
    products inside each session. Nothing is looped over in Python."""
    by_session = bars.groupby("session", sort=False)["close"]
    r = np.log(bars["close"] / by_session.shift())
    size = r.abs().groupby(bars["session"], sort=False)
    one, two, three, here = size.shift(1), size.shift(2), size.shift(3), r.abs()
    low = np.minimum(here, one)
    median = np.maximum(low, np.minimum(np.maximum(here, one), two))
    # a minimum or maximum with NaN is NaN in NumPy, so that a term without all its neighbours is left out of the sums
    return pd.DataFrame(
        {
            "n": r.notna(),
            "up": r.clip(lower=0.0) ** 2,
            "down": r.clip(upper=0.0) ** 2,
            "cubes": r**3,
            "fourths": r**4,
            "pairs": here * one,
            "low2": low**2,
            "low4": low**4,
            "median2": median**2,
            "median4": median**4,
            "triples": (here * one * two) ** (4 / 3),
            "fours": here * one * two * three,
        }
    )


def pandas_measures(s: pd.DataFrame) -> Outputs:
    """The measures from their sums."""
    n, variance = s["n"], s["up"] + s["down"]
    two_of, three_of, four_of = n / (n - 1), n / (n - 2), n / (n - 3)
    root, moment = math.sqrt(3.0), 2 ** (2 / 3) * math.gamma(7 / 6) / math.gamma(0.5)
    measures = RealisedMeasures(
        observations=n,
        variance=variance,
        bipower=math.pi / 2 * two_of * s["pairs"],
        min_rv=math.pi / (math.pi - 2) * two_of * s["low2"],
        med_rv=math.pi / (6 - 4 * root + math.pi) * three_of * s["median2"],
        quarticity=n / 3 * s["fourths"],
        tripower_quarticity=n * three_of * moment**-3 * s["triples"],
        quadpower_quarticity=n * four_of * math.pi**2 / 4 * s["fours"],
        min_rq=math.pi * n / (3 * math.pi - 8) * two_of * s["low4"],
        med_rq=3 * math.pi * n / (9 * math.pi + 72 - 52 * root) * three_of * s["median4"],
        semivariance_up=s["up"],
        semivariance_down=s["down"],
        signed_jump=s["up"] - s["down"],
        skewness=n**0.5 * s["cubes"] / variance**1.5,
        kurtosis=n * s["fourths"] / variance**2,
    )
    return tuple(column.to_numpy() for column in measures)


def pandas_realised(bars: pd.DataFrame) -> Outputs:
    return pandas_measures(pandas_terms(bars).groupby(bars["session"], sort=False).sum())


def pandas_rolling(bars: pd.DataFrame) -> Outputs:
    """The set over the last WINDOW returns. As every session has as many bars, one moving sum over all of them does,
    its first rows in each session taken out, in place of a slower one for each group."""
    terms, at = pandas_terms(bars), np.arange(len(bars)) % SESSION
    reach = {"pairs": 2, "low2": 2, "low4": 2, "median2": 3, "median4": 3, "triples": 3, "fours": 4}
    sums = pd.DataFrame(
        {name: terms[name].rolling(WINDOW + 1 - reach.get(name, 1)).sum() for name in terms if name != "n"}
    )
    measures = pandas_measures(sums.assign(n=np.minimum(at, WINDOW)))
    return measures[0], *(np.where(at < WINDOW, np.nan, measure) for measure in measures[1:])


def in_percent(outputs: Outputs) -> Outputs:
    """Variances per cent², quarticities per cent⁴: as they are, all would lie below the tolerance of the comparison."""
    scale = dict.fromkeys(RealisedMeasures._fields, 1e4) | {"observations": 1.0, "skewness": 1.0, "kurtosis": 1.0}
    scale |= {name: 1e8 for name in scale if name.endswith(("quarticity", "_rq"))}
    return tuple(array * scale[name] for name, array in zip(scale, outputs, strict=True))


def realised_of_years(quick: bool) -> Iterator[Comparison]:
    sessions = 126 if quick else 1260
    rows = sessions * SESSION
    rng = np.random.default_rng(1)
    close = 100.0 * np.exp(np.cumsum(rng.standard_t(4, size=rows) * 5e-4))
    close[rng.random(rows) < 0.002] *= 1.01
    offsets = np.arange(0, rows + 1, SESSION)
    bars = pd.DataFrame({"session": np.repeat(np.arange(sessions), SESSION), "close": close})
    yield Comparison(
        f"realised set, {sessions:,} sessions of 390",
        rows,
        "float64",
        8 * rows,
        lambda: in_percent(session_measures(session_returns(close, offsets), offsets)),
        {"pandas": lambda: in_percent(pandas_realised(bars))},
    )
    yield Comparison(
        f"realised set at each minute, {WINDOW} returns",
        rows,
        "float64",
        8 * (1 + len(RealisedMeasures._fields)) * rows,
        lambda: in_percent(rolling_measures(session_returns(close, offsets), offsets, WINDOW)),
        {"pandas": lambda: in_percent(pandas_rolling(bars))},
        tolerance=1e-6,  # what pandas carries along from window to window
    )


def comparisons(quick: bool) -> Iterator[Comparison]:
    rows = 400_000 if quick else 4_000_000
    bars, offsets = minute_bars(rows), np.array([0, rows])
    lazy, frame = pl.LazyFrame(bars), pd.DataFrame(bars)
    yield Comparison(
        f"four range variances, {WINDOW} bars",
        rows,
        "float64",
        64 * rows,
        lambda: ranges_of(bars, offsets),
        {
            "Polars": lambda: polars_ranges(lazy, "in-memory"),
            "Polars streaming": lambda: polars_ranges(lazy, "streaming"),
            "pandas": lambda: pandas_ranges(frame),
        },
        # variances of 1e-8, of which ten digits count
        tolerance=1e-18,
    )
    yield from realised_of_years(quick)
    yield from volatility_noise.comparisons(quick)
    yield from volatility_diurnal.comparisons(quick)
