"""Features of trades that need a fitted model: intensities of a Hawkes process, the probability of informed trading."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fusion.asof import nanoseconds, segment_offsets
from fusion.feature_fit import fits
from fusion.features.ticks import Array
from fusion.features.trade_flow import segment_entities, sums_of_days
from fusion.features.trade_rows import Trades
from gpu_kernels.book.best import imbalance
from gpu_kernels.spec import FeatureSpec
from gpu_kernels.trade import hawkes, hawkes_fit, pin_fit

LEAST_EVENTS = 100
"""Fewer do not make a fit of seven numbers."""
STARTS = 3

_BACRY = "Bacry, Mastromatteo, Muzy 2015"
_FIT = "before the first fit, one without enough trades of both sides, or no trade known within max_age"
_HAWKES = "of a Hawkes process of buys and sells, parameters from the config or the past (feature_fit)"


def _spec(name: str, unit: str, clock: str, meaning: str, missing: str, source: str) -> FeatureSpec:
    return FeatureSpec(name, "trade", unit, clock, meaning, missing, source)


_DAYS = "before `pin_days` sessions of the window, or they have no estimate"
FEATURES: tuple[FeatureSpec, ...] = (
    _spec("trade_hawkes_buys", "1/s", "each decision", f"log(1 + intensity of buys) {_HAWKES}", _FIT, _BACRY),
    _spec("trade_hawkes_sells", "1/s", "each decision", f"log(1 + intensity of sells) {_HAWKES}", _FIT, _BACRY),
    _spec(
        "trade_hawkes_imbalance", "1", "each decision", f"(buys - sells) / both, intensities {_HAWKES}", _FIT, _BACRY
    ),
    _spec(
        "trade_pin",
        "1",
        "each session",
        "share of informed trades, from the buys and sells of past sessions",
        _DAYS,
        "Easley, Hvidkjaer, O'Hara 2002",
    ),
    _spec(
        "trade_pin_adjusted",
        "1",
        "each session",
        "the same in a model that knows shocks to both sides",
        _DAYS,
        "Duarte, Young 2009",
    ),
    _spec(
        "trade_psos", "1", "each session", "share of the trades that those shocks bring", _DAYS, "Duarte, Young 2009"
    ),
)


def plain(trades: Trades) -> dict[str, Callable[[], Array]]:
    """The columns at the decisions; what several share is fitted once."""
    cache: dict[str, tuple[Array, ...]] = {}

    def once(name: str, make: Callable[[], tuple[Array, ...]], part: int) -> Array:
        if name not in cache:
            cache[name] = make()
        return cache[name][part]

    def intensities() -> tuple[Array, ...]:
        buys, sells = _intensities(trades)
        seen = trades.ticks.aligned.index >= 0
        columns = np.log1p(buys), np.log1p(sells), imbalance(buys, sells)
        return tuple(np.where(seen, column, np.nan) for column in columns)

    def informed(model: str) -> Callable[[], tuple[Array, ...]]:
        return lambda: _informed(trades, model)

    return {
        "trade_hawkes_buys": lambda: once("hawkes", intensities, 0),
        "trade_hawkes_sells": lambda: once("hawkes", intensities, 1),
        "trade_hawkes_imbalance": lambda: once("hawkes", intensities, 2),
        "trade_pin": lambda: once("pin", informed("pin"), 0),
        "trade_pin_adjusted": lambda: once("adjusted", informed("adjusted"), 0),
        "trade_psos": lambda: once("adjusted", informed("adjusted"), 1),
    }


def _orders(trades: Trades, entity: str) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """(time, kind) of one entity's aggressive orders: 0 buys, 1 sells. Trades that follow each other with one
    event_time and one side are one order that met several; it is known with the first of them."""
    own = np.flatnonzero((trades.ticks.rows["entity"] == entity).to_numpy() & (trades.side != 0))
    own = own[np.argsort(trades.ticks.time[own], kind="stable")]
    happened, side = nanoseconds(trades.ticks.rows["event_time"])[own], trades.side[own]
    goes_on = np.zeros(len(own), bool)
    goes_on[1:] = (happened[1:] == happened[:-1]) & (side[1:] == side[:-1])
    first = own[~goes_on]
    return trades.ticks.time[first], np.where(trades.side[first] > 0, 0, 1).astype(np.int8)


def _intensities(trades: Trades) -> tuple[Array, Array]:
    """Intensity of buys and of sells just before each decision, from the orders of the fit's window on."""
    settings, at = trades.settings, trades.ticks.at
    out = np.full((2, len(at)), np.nan)
    entities = trades.ticks.grid["entity"].to_numpy()
    bounds = segment_offsets(trades.ticks.grid.select("entity"))
    for begin, end in pairwise(bounds):
        time, kind = _orders(trades, entities[begin])
        for fit in fits(time, at[begin:end], settings.fit_every, settings.fit_window):
            model = _model(trades, time[fit.first : fit.stop], kind[fit.first : fit.stop], fit.moment)
            if model is None:
                continue
            orders, decisions = slice(fit.first, fit.last), slice(begin + fit.begin, begin + fit.end)
            whole = np.array([0, fit.last - fit.first]), np.array([0, fit.end - fit.begin])
            out[:, decisions] = hawkes.intensity(time[orders], kind[orders], whole[0], at[decisions], whole[1], *model)
    return out[0], out[1]


def _model(trades: Trades, time: NDArray[np.int64], kind: NDArray[np.int8], moment: int) -> tuple[Array, ...] | None:
    """(baseline, branching, decay) as `hawkes.intensity` takes them: the config's, else fitted to the orders."""
    given = trades.settings.hawkes
    if given is not None:
        baseline, branching = np.array([given.baseline]), np.array([given.branching])
        return baseline, branching, np.full_like(branching, given.decay)
    if len(time) < LEAST_EVENTS:
        return None
    whole, clock = np.array([0, len(time)]), np.array([moment])
    # one call for each fit, as the bits of one must not depend on how many there are
    found = hawkes_fit.fit(time, kind, whole, time[:1], clock, 2, starts=STARTS)
    if np.isnan(found.baseline).any() or not found.is_stationary.all():
        return None
    return found.baseline, found.branching, found.decay


def _informed(trades: Trades, model: str) -> tuple[Array, Array]:
    """(PIN, PSOS) of each decision's session, from the sessions before it."""
    own = trades.by_session
    days = own.settings.pin_days
    buys, sells = (sums_of_days(own, (own.side == side).astype(np.float64)) for side in (1, -1))
    unseen = buys + sells == 0
    buys[unseen], sells[unseen] = np.nan, np.nan
    entity = segment_entities(own)
    pin, psos = np.full(len(buys), np.nan), np.full(len(buys), np.nan)
    for day in range(days, len(buys)):
        if entity[day - days] == entity[day]:
            past = slice(day - days, day)
            found = pin_fit.fit(buys[past], sells[past], np.array([0, days]), model=model, starts=STARTS)
            pin[day], psos[day] = found.pin[0], found.psos[0]
    counts = np.diff(own.ticks.at_offsets)
    return np.repeat(pin, counts), np.repeat(psos, counts)
