"""Evaluation: ICs across the entities of each decision, against alphalens on the same rows."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
from alphalens.performance import factor_information_coefficient
from alphalens.utils import get_clean_factor_and_forward_returns

from benchmarks.harness import Comparison
from fusion.evaluation import cross_sectional_ic
from fusion.target import TargetConfig, forward_returns
from sources.schema import TIME

MINUTE = 60 * 10**9
TARGETS = TargetConfig(horizons=("5min", "15min"), primary="15min")
COLUMNS = {"5min": "5m", "15min": "15m"}


def comparisons(quick: bool) -> Iterator[Comparison]:
    """3,885 minutes of ten sessions, the last of which closes early, 20 assets, returns over 5 and 15 minutes."""
    sessions, bars, score, prices = _market([390, 375] if quick else [390] * 9 + [375], 20)
    grid = bars.select("entity", "session", pl.col("event_time").alias("decision_time"))
    predictions = grid.with_columns(pl.Series("score", score.ravel()))
    factor = predictions.select("decision_time", "entity", "score").to_pandas().set_index(["decision_time", "entity"])
    factor.index.names = ["date", "asset"]
    labels = forward_returns(grid, bars, sessions, TARGETS, MINUTE)
    theirs = _alphalens_table(factor["score"], prices)
    # the decisions whose returns lie inside a session for both: the only ones of which the two say the same
    longest = labels.filter(pl.col("return_15min").is_not_null())
    times = longest["decision_time"].unique().sort()
    index = pd.DatetimeIndex(times.to_pandas())
    inside = theirs[theirs.index.get_level_values("date").isin(index)]
    told = labels.join(longest.select("entity", "decision_time"), on=["entity", "decision_time"], how="semi")
    scored = predictions.join(told.select("entity", "decision_time"), on=["entity", "decision_time"], how="semi")

    def ours(scored: pl.DataFrame, told: pl.DataFrame) -> tuple[npt.NDArray[np.float64], ...]:
        found = cross_sectional_ic(scored, told, horizons=TARGETS.horizons)
        kept = found.filter(pl.col("decision_time").is_in(times.implode())).sort("decision_time")
        return tuple(kept.filter(pl.col("horizon") == name)["rank_ic"].to_numpy() for name in COLUMNS)

    def alphalens(data: pd.DataFrame) -> tuple[npt.NDArray[np.float64], ...]:
        found = factor_information_coefficient(data).reindex(index)
        return tuple(found[name].to_numpy() for name in COLUMNS.values())

    size = f"{len(prices):,} bars x {prices.shape[1]} assets x {len(COLUMNS)} horizons"
    yield Comparison(
        f"rank IC of each decision, {size}, from prepared tables",
        len(told),
        "float64",
        len(told) * 8 * 3,
        lambda: ours(scored, told),
        {"alphalens": lambda: alphalens(inside)},
    )
    yield Comparison(
        f"the same with the forward returns, {size}",
        predictions.height,
        "float64",
        predictions.height * 8 * 2,
        lambda: ours(predictions, forward_returns(grid, bars, sessions, TARGETS, MINUTE)),
        {"alphalens": lambda: alphalens(_alphalens_table(factor["score"], prices))},
    )


def _alphalens_table(factor: "pd.Series[float]", prices: pd.DataFrame) -> pd.DataFrame:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.filterwarnings("ignore", message="Factor dates do not conform")
        return get_clean_factor_and_forward_returns(factor, prices, quantiles=5, periods=(5, 15), max_loss=1.0)


def _market(
    minutes: list[int], entities: int
) -> tuple[pl.DataFrame, pl.DataFrame, npt.NDArray[np.float64], pd.DataFrame]:
    """sessions, bars, (entities, bars) scores that know a little, and prices as alphalens wants them."""
    rng = np.random.default_rng(0)
    first = datetime(2024, 1, 8, 14, 30, tzinfo=UTC)
    opens = [first + timedelta(days=i + 2 * (i // 5)) for i in range(len(minutes))]
    sessions = pl.DataFrame(
        [(at.date(), at, at + timedelta(minutes=length)) for at, length in zip(opens, minutes, strict=True)],
        schema={"session": pl.Date, "open": TIME, "close": TIME},
        orient="row",
    )
    times = [
        (at.date(), at + timedelta(minutes=m + 1))
        for at, length in zip(opens, minutes, strict=True)
        for m in range(length)
    ]
    clock = pl.DataFrame(times, schema={"session": pl.Date, "event_time": TIME}, orient="row")
    names = [f"A{i:02}" for i in range(entities)]
    change = 1e-3 * rng.standard_normal((entities, clock.height))
    score = np.roll(change, -1, axis=1) + 1e-2 * rng.standard_normal(change.shape)
    price = 100 * np.exp(np.cumsum(change, axis=1))
    bars = pl.concat(clock.with_columns(pl.lit(name).alias("entity")) for name in names).with_columns(
        pl.col("event_time").alias("known_time"), pl.Series("price", price.ravel())
    )
    index = pd.DatetimeIndex(clock["event_time"].to_pandas())
    return sessions, bars, score, pd.DataFrame(price.T, index=index, columns=names)
