"""What a trade costs, decision by decision: half the spread, impact, fees.

    cost = half spread + impact + fee          bps of what is traded, each way

    half spread   half of (ask - bid) / mid as known at the decision
    impact        linear:       coefficient * size / depth
                  square_root:  coefficient * sqrt(size / depth)
                  kyle:         max(lambda, 0) * size
    fee           of the config

Depth is what rests on one side within `depth_bps` of the mid: half of both sides' (`book_depth_near`), or a number.
With the linear rule and half of `depth_bps` as coefficient it is the mean price of walking through a book that is as
thick everywhere; the square root is what large orders that are worked over hours are found to pay, with a coefficient
of about the volatility of that time when depth stands for the volume traded in it. Lambda is a regression's slope of
the mid on signed size (`trade_kyle_lambda_<time>`). Every order has the config's size, whatever the portfolio: cost is
linear in turnover, so that there is a cost at which it breaks even.

Sources: Kyle (1985); Almgren, Thum, Hauptmann & Li (2005) and Toth et al. (2011) for the square root.
"""

import re
from typing import Annotated, Literal

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fusion.target import KEYS
from gpu_kernels.errors import ConfigError, DataError

_SPREADS = (r"(.*_)?book_spread", r"(.*_)?quote_spread")
_DEPTH = r"(.*_)?book_depth_near"
_LAMBDA = r"(.*_)?trade_kyle_lambda_.*"

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ImpactConfig(BaseModel):
    """How an order moves the price that it pays.

    kind         linear or square_root in size over depth, or kyle: a regression's slope times size
    coefficient  bps that an order as large as the depth pays; not of kyle
    depth        from_book (the run's feature book_depth_near), or a number in the unit of size
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["linear", "square_root", "kyle"]
    coefficient: Positive | None = None
    depth: Literal["from_book"] | Positive = "from_book"

    @model_validator(mode="after")
    def _consistent(self) -> "ImpactConfig":
        if (self.coefficient is None) != (self.kind == "kyle"):
            raise ValueError("coefficient goes with linear and square_root, in bps; kyle has its own")
        return self


class CostConfig(BaseModel):
    """What trading costs.

    half_spread  from_book: half of the run's feature book_spread, or quote_spread; or a number in bps
    otherwise    of from_book, the half spread in bps where the run has no such feature, or no value of it yet
    impact       of an order of `size`; none: orders too small to have any
    fee_bps      fees, each way; below 0 where the venue pays
    size         of an order, in the unit of the feed's sizes
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    half_spread: Literal["from_book"] | NotNegative = "from_book"
    otherwise: NotNegative = 1.0
    impact: ImpactConfig | None = None
    fee_bps: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    size: Positive | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "CostConfig":
        if (self.impact is None) != (self.size is None):
            raise ValueError("impact and size go together: write both, or neither")
        return self


def trading_costs(features: pl.DataFrame, config: CostConfig) -> pl.DataFrame:
    """entity, session, decision_time of the features, and half_spread, impact, fee and their sum `cost`, in bps.

    features   the decisions, with the columns that the config asks for: the first whose name ends in book_spread, else
               quote_spread; book_depth_near; trade_kyle_lambda_<time>

    A value that is missing at a decision is the last one that the entity had before.

    Missing values: impact and cost are NaN before the first depth or lambda.
    Raises ConfigError where impact needs a feature that the run does not have, DataError for a decision given twice.
    """
    if features.select(KEYS).is_duplicated().any():
        raise DataError("features hold a decision twice", allowed="one row per entity and decision_time")
    rows = features.with_row_index("_row").sort("entity", "decision_time")
    half = _half_spread(rows, config)
    found = rows.select(
        *KEYS, "_row", half.alias("half_spread"), _impact(rows, config).alias("impact"), fee=pl.lit(config.fee_bps)
    )
    total = pl.col("half_spread") + pl.col("impact") + pl.col("fee")
    return found.with_columns(total.alias("cost")).sort("_row").drop("_row")


def _half_spread(rows: pl.DataFrame, config: CostConfig) -> pl.Series:
    if not isinstance(config.half_spread, str):
        return _constant(rows, config.half_spread)
    names = [name for name in (_named(rows, pattern) for pattern in _SPREADS) if name is not None]
    if not names:
        return _constant(rows, config.otherwise)
    spread = _known(rows, names[0]) / 2
    # a crossed book has a spread below 0, which nobody is paid
    return spread.clip(lower_bound=0.0).fill_null(config.otherwise)


def _impact(rows: pl.DataFrame, config: CostConfig) -> pl.Series:
    impact, size = config.impact, config.size
    if impact is None or size is None:
        return _constant(rows, 0.0)
    if impact.kind == "kyle":
        slope = _known(rows, _needed(rows, _LAMBDA, "trade_kyle_lambda_<time>"))
        return slope.clip(lower_bound=0.0).fill_null(np.nan) * size
    if isinstance(impact.depth, str):
        logarithm = _known(rows, _needed(rows, _DEPTH, "book_depth_near")).to_numpy()
        depth = np.expm1(np.where(np.isfinite(logarithm), logarithm, np.nan)) / 2
    else:
        depth = np.full(rows.height, impact.depth)
    share = np.divide(size, depth, out=np.full(rows.height, np.nan), where=depth > 0)
    return pl.Series((share if impact.kind == "linear" else np.sqrt(share)) * (impact.coefficient or 0.0))


def _constant(rows: pl.DataFrame, value: float) -> pl.Series:
    return pl.Series(np.full(rows.height, value))


def _known(rows: pl.DataFrame, name: str) -> pl.Series:
    """The column as known: what is missing is what the entity had before."""
    value = pl.col(name).cast(pl.Float64)
    finite = pl.when(value.is_finite()).then(value)
    return rows.select(finite.forward_fill().over("entity")).to_series()


def _named(rows: pl.DataFrame, pattern: str) -> str | None:
    return next((name for name in rows.columns if re.fullmatch(pattern, name)), None)


def _needed(rows: pl.DataFrame, pattern: str, name: str) -> str:
    found = _named(rows, pattern)
    if found is None:
        raise ConfigError(
            f"evaluation.costs.impact needs the feature {name}, which the run does not make",
            hint="list it in features, or give depth as a number",
        )
    return found
