"""What the features are asked to predict: forward log returns inside one session.

`fusion.session_target` has those from session to session.
"""

from typing import Annotated, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fusion.horizon import Horizon, HorizonField, Sessions, horizon_name
from gpu_kernels.errors import ArgumentError, DataError
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
    """Horizons of the forward returns, all times inside a session (15min) or all numbers of sessions (5 sessions);
    `primary` is the one that selection and learning aim at.

    price     the source whose prices the returns are of: closes of bars, mids of quotes, or trades; none: the bars
    entry     of horizons in sessions, which price the return starts from: the first that one could still get after
              the decision (next_open, next_close), or the last one known at it, which nobody can trade at (last)
    relative  less the mean of the entities' returns from the same decision, each of them weighing the same
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    horizons: Annotated[tuple[HorizonField, ...], Field(min_length=1)]
    primary: HorizonField
    price: str | None = None
    entry: Literal["next_open", "next_close", "last"] | None = None
    relative: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> "TargetConfig":
        names = [horizon_name(horizon) for horizon in self.horizons]
        if len(set(names)) < len(names):
            raise ValueError(f"horizons {', '.join(names)} repeat one; name each once")
        if self.primary not in self.horizons:
            raise ValueError(f"primary {horizon_name(self.primary)} is none of the horizons {', '.join(names)}")
        counted = [isinstance(horizon, Sessions) for horizon in self.horizons]
        if any(counted) != all(counted):
            raise ValueError(f"horizons {', '.join(names)} mix times inside a session with sessions; write one sort")
        if not self.daily and self.entry is not None:
            raise ValueError(f"entry is {self.entry} with horizons inside a session; it is for horizons in sessions")
        return self

    @property
    def daily(self) -> bool:
        """Whether the horizons are numbers of sessions."""
        return isinstance(self.primary, Sessions)


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


def return_column(horizon: Horizon) -> str:
    """The label of a horizon: `return_5min`, `return_5sessions`."""
    return f"return_{horizon_name(horizon).replace(' ', '')}"


def end_column(horizon: Horizon) -> str:
    """The time from which a horizon's label is known: `label_end_5min`, `label_end_5sessions`."""
    return f"label_end_{horizon_name(horizon).replace(' ', '')}"


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
    check_tables(grid, prices, tuple(_PRICE), sessions, ("session", "close"))
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
        if isinstance(horizon, Sessions):
            raise ArgumentError(f"horizon {horizon}", allowed="times", hint="fusion.session_target has sessions")
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
    labels = labels.drop("_close")
    return relative_to_mean(labels, config) if config.relative else labels


def check_tables(
    grid: pl.DataFrame, prices: pl.DataFrame, columns: tuple[str, ...], sessions: pl.DataFrame, clocks: tuple[str, ...]
) -> None:
    """Raises DataError when a column is absent, a decision is given twice, or a session of the grid is not in
    `sessions`."""
    for name, frame, needed in (("grid", grid, KEYS), ("prices", prices, columns), ("sessions", sessions, clocks)):
        missing = [column for column in needed if column not in frame.columns]
        if missing:
            raise DataError(f"{name} lacks {', '.join(missing)}", allowed=f"columns {', '.join(needed)}")
    if grid.select(KEYS).is_duplicated().any():
        raise DataError("grid holds a decision twice", allowed="one row per entity and decision_time")
    unknown = grid.select("session").unique().join(sessions, on="session", how="anti")["session"].sort()
    if unknown.len():
        raise DataError(
            f"{unknown.len()} sessions of the grid are not in sessions, first {unknown[0]}",
            hint="build both from the same calendar",
        )


def relative_to_mean(labels: pl.DataFrame, config: TargetConfig) -> pl.DataFrame:
    """Each return less the mean of all entities' returns from the same decision; known when the last of them is.

    Missing values: an entity without a return counts nowhere; the label of a decision at which only one has one is
    null, since it would be 0 whatever happened.
    """
    for horizon in config.horizons:
        label, end = return_column(horizon), end_column(horizon)
        several = pl.col(label).count().over("decision_time") > 1
        # Polars adds in the order of the rows, which is that of the entities' names
        mean = pl.col(label).sum().over("decision_time") / pl.col(label).count().over("decision_time")
        known = several & pl.col(label).is_not_null()
        labels = labels.with_columns(
            pl.when(known).then(pl.col(label) - mean).alias(label),
            pl.when(known).then(pl.col(end).max().over("decision_time")).alias(end),
        )
    return labels


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
