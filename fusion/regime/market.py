"""What the bars of the last sessions tell of the market: volatility, trend, correlation, liquidity.

Of each entity and session s, from its bars as a live system had them by the open of the next session:

    r_s      log of the last close over the one of the session before, missing where either is
    v_s      sum of the squared log returns from bar to bar, each inside the session; of daily bars r_s^2
    a_s      |r_s| over the money traded, sum of close x volume: Amihud's (2002) illiquidity, per million

and of the last n sessions that had closed at the open, over all entities:

    realised_volatility   sqrt of the mean of v over sessions and entities
    trend                 sum over the sessions of m_s / sqrt(sum m_s^2), m_s the mean of r_s over the entities: from
                          -sqrt(n) to sqrt(n), about Normal(0, 1) where nothing trends
    correlation           mean of the correlations of r between any two entities that have it in all n sessions
    illiquidity           mean of a over sessions and entities

Only ratios of prices, and prices times volumes, count, so that backward-adjusted prices do no harm where their volumes
are adjusted too. A bar that came after the open of the next session never counts.

Missing values: NaN before n sessions have closed, where fewer than half of them have a value, and of correlation with
fewer than two such entities.

Source: Andersen & Bollerslev (1998) for realised volatility; Amihud (2002).
"""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sources.schema import TIME
from sources.stream import in_order

Floats = NDArray[np.float64]
_MILLION = 1e6


def by_session(
    bars: pl.DataFrame, sessions: pl.DataFrame, entities: Sequence[str], *, daily: bool
) -> dict[str, Floats]:
    """r, v and a of each session, (sessions, entities).

    bars      a canonical table of bars
    sessions  session, open, in order: what is known of one by the open of the next counts
    daily     whether there is one bar a session
    """
    ordered, _ = in_order(bars, "bar")
    following = sessions.select("session", pl.col("open").cast(TIME).shift(-1).alias("next_open"))
    used = ordered.join(following, on="session", how="inner", maintain_order="left").filter(
        pl.col("next_open").is_null() | (pl.col("known_time") <= pl.col("next_open"))
    )
    step = (pl.col("close") / pl.col("close").shift(1).over("entity", "session")).log()
    told = (
        used.with_columns(step.alias("step"))
        .group_by("entity", "session", maintain_order=True)
        .agg(
            pl.col("close").last(),
            (pl.col("step") ** 2).sum().alias("v"),
            (pl.col("close") * pl.col("volume")).sum().alias("money"),
        )
    )
    whole = sessions.select("session").join(pl.DataFrame({"entity": entities}), how="cross")
    whole = whole.join(told, on=["session", "entity"], how="left", maintain_order="left")
    shape = (sessions.height, len(entities))
    close, v, money = (
        whole[name].cast(pl.Float64).fill_null(np.nan).to_numpy().reshape(shape) for name in ("close", "v", "money")
    )
    r = np.full(shape, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        r[1:] = np.log(close[1:] / close[:-1])
        a = np.abs(r) / money * _MILLION
    r[~np.isfinite(r)], a[~np.isfinite(a)] = np.nan, np.nan
    return {"r": r, "v": r * r if daily else v, "a": a}


def realised_volatility(told: dict[str, Floats]) -> float:
    return float(np.sqrt(_mean(told["v"])))


def trend(told: dict[str, Floats]) -> float:
    market = np.array([_mean(row) for row in told["r"]])
    market = market[np.isfinite(market)]
    size = np.sqrt((market * market).sum())
    return float(market.sum() / size) if size > 0 else np.nan


def correlation(told: dict[str, Floats]) -> float:
    r = told["r"][:, np.isfinite(told["r"]).all(axis=0)]
    deviation = r - r.mean(axis=0)
    size = np.sqrt((deviation * deviation).sum(axis=0))
    z = deviation[:, size > 0] / size[size > 0]
    count = z.shape[1]
    if count < 2:
        return np.nan
    # the sum of all correlations is the squared length of the sum of the standardised returns
    total = z.sum(axis=1)
    return float(((total * total).sum() - count) / (count * (count - 1)))


def illiquidity(told: dict[str, Floats]) -> float:
    return _mean(told["a"])


MEASURES: dict[str, Callable[[dict[str, Floats]], float]] = {
    "realised_volatility": realised_volatility,
    "trend": trend,
    "correlation": correlation,
    "illiquidity": illiquidity,
}


def over_sessions(told: dict[str, Floats], measure: str, count: int) -> Floats:
    """(sessions + 1,) the measure at the open of each session, from the `count` sessions before it; the last one is
    what comes after all of them."""
    sessions = len(told["r"])
    found = np.full(sessions + 1, np.nan)
    for place in range(count, sessions + 1):
        window = {name: values[place - count : place] for name, values in told.items()}
        if 2 * np.isfinite(window["r"]).any(axis=1).sum() >= count:
            found[place] = MEASURES[measure](window)
    return found


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan
