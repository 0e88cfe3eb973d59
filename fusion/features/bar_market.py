"""Features of bars: how an entity moves with the market that `volatility.market` names. The group `market`."""

import numpy as np
import polars as pl

from fusion.asof import nanoseconds
from fusion.features.bar_names import BarFeature
from fusion.features.bar_rows import Array, BarRows, Int64s
from fusion.features.bar_slots import Slots, slots_in, slots_of
from gpu_kernels.spec import FeatureSpec
from gpu_kernels.volatility import covariance

_HOUR = 3600 * 10**9


def _market_row(slots: Slots, rows: BarRows) -> Int64s:
    """The market's row of each session's day, or -1."""
    opens = rows.stream[rows.offsets[:-1].tolist()]
    entity, session = opens["entity"].to_list(), opens["session"].to_list()
    market = {day: row for row, (name, day) in enumerate(zip(entity, session, strict=True)) if name == _name(rows)}
    return np.array([market.get(day, -1) for day in session], dtype=np.int64)


def _name(rows: BarRows) -> str:
    assert rows.settings.volatility.market is not None  # the config's own check
    return rows.settings.volatility.market


def _covariance(rows: BarRows, slots: int) -> covariance.Covariance:
    """At each slot, over the last so many of the session in which both have a return."""
    table: Slots = rows.once(slots_of)
    partner = _market_row(table, rows)
    other = np.where(partner[:, None] >= 0, table.returns[np.maximum(partner, 0)], np.nan)
    offsets = np.arange(len(table.returns) + 1, dtype=np.int64) * table.width
    least = max(2, slots // 2)
    return covariance.rolling_covariance(other.ravel(), table.returns.ravel(), offsets, slots, min_periods=least)


def _at(rows: BarRows, name: str, time: int) -> Array:
    """At each decision, of the slots that both have closed by then."""
    table: Slots = rows.once(slots_of)
    values = getattr(rows.once(_covariance, max(2, slots_in(rows, time))), name).reshape(table.returns.shape)
    return table.at(values, np.minimum(table.closed, _market_closed(rows)) - 1)


def _market_closed(rows: BarRows) -> Int64s:
    """How many slots of its session the market's own bar closes that is known at each decision."""
    table: Slots = rows.once(slots_of)
    bars = rows.stream.filter(pl.col("entity") == _name(rows))
    known, time = nanoseconds(bars["known_time"]), nanoseconds(bars["event_time"])
    last = np.searchsorted(np.maximum.accumulate(known), nanoseconds(rows.grid["decision_time"]), side="right") - 1
    opened = table.at(table.opens.astype(np.float64))
    there = (last >= 0) & ~np.isnan(opened)
    begun = np.where(there, table.opens[np.maximum(table.row, 0)], 0) if len(table.opens) else np.zeros(len(last), int)
    closed = (time[np.maximum(last, 0)] - begun) // table.interval if len(time) else np.zeros(len(last), np.int64)
    return np.where(there, np.maximum(closed, 0), 0)


def _spec(name: str, meaning: str) -> FeatureSpec:
    return FeatureSpec(
        f"bar_market_{name}_<time>", "bar", "1", "each slot",
        f"{meaning} slot returns of the entity and of volatility.market over the last <time> of the session, which is "
        "two slots at least",
        "half of the slots have not both a return, the market stands still, or no bar known within max_age",
        "Barndorff-Nielsen, Shephard 2004",
    )  # fmt: skip


FEATURES: tuple[BarFeature, ...] = (
    BarFeature(
        _spec("correlation", "realised correlation of the"),
        lambda rows, time: _at(rows, "correlation", time),
        ((_HOUR,),),
        needs="market",
    ),
    BarFeature(
        _spec("beta", "realised beta of the"),
        lambda rows, time: _at(rows, "beta", time),
        ((_HOUR,),),
        needs="market",
    ),
)
