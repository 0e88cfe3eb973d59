"""The time of day and events over five years of one symbol's minutes.

Polars and pandas make the plain causal mean of each slot; robust means, the Fourier form and event profiles have no
peer: a loop over sessions in pandas would be a strawman.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import polars as pl

from benchmarks.harness import Comparison, Outputs
from gpu_kernels.volatility import diurnal, diurnal_fourier, event_profile

SLOTS, MINUTE = 390, 60 * 10**9


def polars_factor(frame: pl.LazyFrame) -> Outputs:
    """Mean over past sessions of a slot's share of its session, the flat pattern counting as one session."""
    share = pl.col("proxy") / pl.col("proxy").mean().over("session")
    past = pl.col("share").cum_sum().over("slot") - pl.col("share")
    found = frame.with_columns(share=share).with_columns(factor=(1.0 + past) / (1.0 + pl.col("session")))
    found = found.select("factor", deseasonalised=pl.col("returns") / pl.col("factor").sqrt()).collect()
    return tuple(column.to_numpy() for column in found.iter_columns())


def pandas_factor(frame: pd.DataFrame) -> Outputs:
    share = frame["proxy"] / frame.groupby("session", sort=False)["proxy"].transform("mean")
    past = share.groupby(frame["slot"], sort=False).cumsum() - share
    factor = (1.0 + past) / (1.0 + frame["session"])
    return factor.to_numpy(), (frame["returns"] / np.sqrt(factor)).to_numpy()


def comparisons(quick: bool) -> Iterator[Comparison]:
    days = 126 if quick else 1260
    rows = days * SLOTS
    rng = np.random.default_rng(1)
    shape = 0.5 + 1.5 * np.linspace(-1.0, 1.0, SLOTS) ** 2
    returns = (rng.normal(size=(days, SLOTS)) * np.sqrt(shape)).ravel()
    proxy, slot, session = returns**2, np.tile(np.arange(SLOTS), days), np.repeat(np.arange(days), SLOTS)
    offsets, lengths = np.arange(days + 1) * SLOTS, np.full(days, SLOTS)
    table = (proxy, slot, offsets, lengths, np.arange(days) % 5, np.array([0, days]))
    columns = {"session": session, "slot": slot, "proxy": proxy, "returns": returns}
    lazy, frame = pl.LazyFrame(columns), pd.DataFrame(columns)

    def plain() -> Outputs:
        # one class: the pattern of all days, as the peers make it
        alike = (*table[:4], np.zeros(days, np.int64), table[5])
        pattern, _ = diurnal.pattern(*alike, slots=SLOTS, half_life=np.inf, cut=np.inf, minimum_sessions=1)
        pattern[0] = 1.0
        where = (slot, offsets, lengths, pattern)
        return diurnal.factor(*where), diurnal.deseasonalised(returns, *where)

    def robust() -> Outputs:
        return diurnal.pattern(*table, slots=SLOTS, classes=5, smoothing=5)

    def fourier() -> Outputs:
        return (diurnal_fourier.pattern(*table, slots=SLOTS, classes=5),)

    work = f"{days:,} sessions of 390"
    yield Comparison(
        f"causal mean of each slot, deseasonalised, {work}",
        rows,
        "float64",
        40 * rows,
        plain,
        {"Polars": lambda: polars_factor(lazy), "pandas": lambda: pandas_factor(frame)},
    )
    yield Comparison(f"robust time of day by weekday, {work}", rows, "float64", 16 * rows, robust)
    yield Comparison(f"Fourier form by weekday, 13 terms, {work}", rows, "float64", 16 * rows, fourier)
    time = session * 1440 * MINUTE + (slot + 1) * MINUTE
    event_time = np.sort(rng.choice(time, days // 2, replace=False))
    events = (np.arange(len(event_time)) % 12, event_time, event_time - 10**15, np.array([0, len(event_time)]))
    keywords = {
        "types": 12,
        "edges_ns": [edge * MINUTE for edge in (-60, -30, -10, -5, 0, 1, 2, 5, 10, 15, 30, 60, 120)],
        "horizons_ns": [minutes * MINUTE for minutes in (5, 15, 60)],
    }
    yield Comparison(
        f"event multipliers, 12 types, {work}",
        rows,
        "float64",
        (32 + 8 * 16) * rows,
        lambda: event_profile.multiplier(
            time - MINUTE, time, proxy, np.ones(rows), np.array([0, rows]), *events, **keywords
        ),
    )
