"""What the features are asked to predict: forward log returns inside one session."""

from typing import Annotated

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gpu_kernels.durations import format_duration
from gpu_kernels.errors import DataError
from sources.durations import Duration
from sources.schema import TIME
from sources.stream import in_order

KEYS = ("entity", "session", "decision_time")
_PRICE: dict[str, pl.DataType] = {
    "entity": pl.String(),
    "session": pl.Date(),
    "event_time": TIME,
    "known_time": TIME,
    "price": pl.Float64(),
}


class TargetConfig(BaseModel):
    """Horizons of the forward returns; `primary` is the one that selection and learning aim at.

    price   the source whose prices the returns are of: closes of bars, mids of quotes, or trades; none: the bars
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    horizons: Annotated[tuple[Annotated[Duration, Field(gt=0)], ...], Field(min_length=1)]
    primary: Annotated[Duration, Field(gt=0)]
    price: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "TargetConfig":
        names = [format_duration(horizon) for horizon in self.horizons]
        if len(set(names)) < len(names):
            raise ValueError(f"horizons {', '.join(names)} repeat one; name each once")
        if self.primary not in self.horizons:
            raise ValueError(f"primary {format_duration(self.primary)} is none of the horizons {', '.join(names)}")
        return self


PRICES = {
    "bar": pl.col("close"),
    "quote": (pl.col("bid_price") + pl.col("ask_price")) / 2,
    "trade": pl.col("price"),
}
"""The price that a row of a table tells; a quote's is its mid."""


def price_stream(rows: pl.DataFrame, table: str) -> pl.DataFrame:
    """entity, session, event_time, known_time and price of a stream of bars, quotes or trades, as it came in order."""
    ordered, _ = in_order(rows, table)
    return ordered.select("entity", "session", "event_time", "known_time", price=PRICES[table])


def return_column(horizon: int) -> str:
    """The label of a horizon in nanoseconds: `return_5min`."""
    return f"return_{format_duration(horizon)}"


def end_column(horizon: int) -> str:
    """The time from which a horizon's label is known: `label_end_5min`."""
    return f"label_end_{format_duration(horizon)}"


def forward_returns(
    grid: pl.DataFrame, prices: pl.DataFrame, sessions: pl.DataFrame, config: TargetConfig, max_age_ns: int
) -> pl.DataFrame:
    """Label every decision: log(p(t + h) / p(t)) for each horizon h, in return units (0.01 is about 1 %).

    p(t) is the last price of the same entity and session whose event_time is at or before t. label_end is the later of
    t + h and the exit price's known_time. A price that arrived more than max_age after its event_time labels nothing,
    so that a label is settled at t + h + max_age at the latest, whatever arrives afterwards.

    grid       entity, session, decision_time; sorted by (entity, decision_time)
    prices     `price_stream`: event_time never falls within (entity, session); of equal ones the last row counts
    sessions   session, open, close
    max_age_ns a price older than this at t, or at t + h, is missing

    Returns grid with `return_<h>` (Float64) and `label_end_<h>` (timestamp) for each horizon.

    Missing values: return and label_end are null where t + h is after the session's close, or where a price at t or
    t + h is missing, older than max_age, or not a positive number.
    Raises DataError when a column is absent, a decision is given twice, or a session of the grid is not in `sessions`.
    """
    for name, frame, columns in (
        ("grid", grid, KEYS),
        ("prices", prices, tuple(_PRICE)),
        ("sessions", sessions, ("session", "close")),
    ):
        missing = [column for column in columns if column not in frame.columns]
        if missing:
            raise DataError(f"{name} lacks {', '.join(missing)}", allowed=f"columns {', '.join(columns)}")
    if grid.select(KEYS).is_duplicated().any():
        raise DataError("grid holds a decision twice", allowed="one row per entity and decision_time")
    unknown = grid.select("session").unique().join(sessions, on="session", how="anti")["session"].sort()
    if unknown.len():
        raise DataError(
            f"{unknown.len()} sessions of the grid are not in sessions, first {unknown[0]}",
            hint="build both from the same calendar",
        )

    punctual = pl.col("known_time") - pl.col("event_time") <= pl.duration(nanoseconds=max_age_ns)
    prices = (
        prices.select(pl.col(name).cast(dtype) for name, dtype in _PRICE.items())
        .filter(punctual)
        .sort("entity", "session", "event_time", maintain_order=True)
    )
    labels = grid.select(KEYS).join(
        sessions.select("session", pl.col("close").alias("_close")), on="session", how="left", maintain_order="left"
    )
    entry = _price_at(labels, prices, pl.col("decision_time"), max_age_ns)["price"]
    for horizon in config.horizons:
        end = pl.col("decision_time") + pl.duration(nanoseconds=horizon)
        out = _price_at(labels, prices, end, max_age_ns)
        labels = labels.with_columns(
            pl.when(end <= pl.col("_close"), entry > 0, out["price"] > 0)
            .then((out["price"] / entry).log())
            .alias(return_column(horizon)),
            pl.max_horizontal(end, out["known_time"]).alias(end_column(horizon)),
        )
        present = pl.col(return_column(horizon)).is_finite()
        labels = labels.with_columns(
            pl.when(present).then(pl.col(column)).alias(column)
            for column in (return_column(horizon), end_column(horizon))
        )
    return labels.drop("_close")


def _price_at(rows: pl.DataFrame, prices: pl.DataFrame, time: pl.Expr, max_age_ns: int) -> pl.DataFrame:
    """price and known_time of the last row at or before `time`, one row per row of `rows` in its order."""
    asked = rows.select("entity", "session", time.alias("event_time")).with_row_index("_row")
    return (
        asked.sort("entity", "session", "event_time", maintain_order=True)
        .join_asof(
            prices,
            on="event_time",
            by=["entity", "session"],
            strategy="backward",
            tolerance=f"{max_age_ns}ns",
            check_sortedness=False,  # Polars cannot check it within groups; both sides were sorted just above
        )
        .sort("_row")
        .select("price", "known_time")
    )
