"""Scores and forward returns as alphalens wants them: the table that its functions call factor_data.

    date, asset (index)   5m   15m ...   factor   factor_quantile   group (where sectors are given)

The returns are a run's own labels, so none of them crosses a session, and no gap of the night is in them: what
alphalens itself makes of prices counts rows, and at 15:59 reaches into the next morning. They are simple returns, as
there (exp(label) - 1 of a log return), in columns named as alphalens names lengths of time; `5 sessions` is `5D`.

Source: alphalens-reloaded, `utils.get_clean_factor_and_forward_returns`. pandas is used here and nowhere else in the
evaluation, since alphalens is built on it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from fusion.horizon import Horizon, Sessions
from fusion.selection import labelled
from fusion.target import KEYS, return_column
from gpu_kernels.errors import ArgumentError, DataError

if TYPE_CHECKING:
    import pandas as pd

_UNITS = (("D", 86_400 * 10**9), ("h", 3600 * 10**9), ("m", 60 * 10**9), ("s", 10**9), ("ms", 10**6), ("us", 10**3))


def period_name(horizon: Horizon) -> str:
    """A horizon as alphalens calls it: 5m, 1h30m, 5D."""
    if isinstance(horizon, Sessions):
        return f"{horizon.count}D"
    left, name = horizon, ""
    for unit, size in (*_UNITS, ("ns", 1)):
        count, left = divmod(left, size)
        name += f"{count}{unit}" if count else ""
    return name


def factor_data(
    predictions: pl.DataFrame,
    labels: pl.DataFrame,
    *,
    horizons: Sequence[Horizon],
    score: str = "score",
    quantiles: int = 5,
    sectors: Mapping[str, str] | None = None,
) -> "pd.DataFrame":
    """The table that alphalens' functions take, sorted by date and asset.

    predictions  entity, session, decision_time and the column of the score
    labels       the same decisions with return_<horizon>, log returns
    horizons     those whose returns every row must have, as alphalens wants no gaps
    quantiles    of the scores of each date, 1 the lowest: the edges are quantiles by linear interpolation, as
                 pandas.qcut's, and a score on an edge lies below it. Where edges coincide alphalens drops the date;
                 here equal scores lie together in the lowest quantile that they could be in.
    sectors      of entities, as the column group; others are (none)

    Missing values: rows without score, or without one of the returns, are left out.
    Raises DataError where no row is left, columns are absent or the decisions differ; ArgumentError for fewer than two
    quantiles.
    """
    if quantiles < 2:
        raise ArgumentError(f"quantiles is {quantiles}", allowed="2 or more")
    if score not in predictions.columns:
        raise DataError(f"predictions hold no {score}", allowed=", ".join(predictions.columns))
    names = [return_column(horizon) for horizon in horizons]
    rows = labelled(predictions.select(*KEYS, pl.col(score).alias("factor")), labels, names)
    finite = [pl.col(name).is_finite() for name in ("factor", *names)]
    rows = rows.filter(pl.all_horizontal(finite)).sort("decision_time", "entity")
    if rows.is_empty():
        raise DataError(f"no decision has a {score} and a return of each horizon", hint="name fewer horizons")
    edges = [
        (pl.col("factor") > pl.col("factor").quantile(k / quantiles, "linear").over("decision_time")).cast(pl.Int64)
        for k in range(1, quantiles)
    ]
    columns = [
        pl.col("decision_time").alias("date"),
        pl.col("entity").alias("asset"),
        *((pl.col(name).exp() - 1.0).alias(period_name(each)) for name, each in zip(names, horizons, strict=True)),
        pl.col("factor"),
        (1 + pl.sum_horizontal(edges)).alias("factor_quantile"),
    ]
    if sectors:
        group = pl.col("entity").replace_strict(dict(sectors), default="(none)", return_dtype=pl.String)
        columns.append(group.alias("group"))
    table = rows.select(columns)
    import pandas as pd

    dates = pd.DatetimeIndex(table["date"].to_numpy(), tz="UTC")
    index = pd.MultiIndex.from_arrays([dates, table["asset"].to_list()], names=["date", "asset"])
    values = {name: np.array(table[name].to_list()) for name in table.columns if name not in ("date", "asset")}
    found = pd.DataFrame(values, index=index)
    return found.astype({"group": "category"}) if sectors else found
