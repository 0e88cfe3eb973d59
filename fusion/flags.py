"""What a reader of a signal must know of its inputs: a liquidity drought, suspected spoofing, a source gone silent.

A flag never changes a score. It is said beside it, results are told apart by it, and a config may have scores withheld.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from sources.durations import Duration
from sources.schema import TIME

if TYPE_CHECKING:
    from fusion.config import RunConfig

Flag = Literal["drought", "spoofing"]
_COLUMN: dict[Flag, str] = {"drought": "book_drought", "spoofing": "book_spoofing"}


class FlagsConfig(BaseModel):
    """When a decision is flagged, by the book features of its matrix, and what follows.

    spoofing   `book_spoofing`, what the window score is over the feed's usual one, from which a decision is flagged;
               `book_drought` flags by itself
    withhold   flags under which no score is given; the status says so
    stale      of a source: how old its newest row may be before `stale_<source>` is up; without, up to its max_age
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    spoofing: Annotated[float, Field(gt=0)] = 1.0
    withhold: tuple[Flag, ...] = ()
    stale: dict[str, Duration] = {}


def flag_columns(names: list[str], flag: Flag) -> list[str]:
    """The columns of a matrix that tell a flag: one of each book; several books of one entity carry prefixes."""
    return [name for name in names if name == _COLUMN[flag] or name.endswith(f"_{_COLUMN[flag]}")]


def flags_of(matrix: pl.DataFrame, config: FlagsConfig) -> pl.Series:
    """`flags` of each decision: names joined by commas, "" where none is up, null where no book feature could tell.

    Missing values: a book that is missing at a decision raises no flag there; its age tells that it is missing. Nor
    does a detector that has not seen enough of the feed yet.
    """
    told = {flag: flag_columns(matrix.columns, flag) for flag in _COLUMN}
    if not any(told.values()):
        return pl.Series("flags", [None] * matrix.height, dtype=pl.String)
    limit = {"drought": 0.5, "spoofing": config.spoofing}
    raised = [
        pl.when(pl.any_horizontal(pl.col(name).fill_nan(None) >= limit[flag] for name in columns)).then(pl.lit(flag))
        for flag, columns in told.items()
        if columns
    ]
    return matrix.select(pl.concat_str(raised, separator=",", ignore_nulls=True).alias("flags"))["flags"]


def stale_sources(config: "RunConfig") -> list[str]:
    """The sources that can go stale: all that give features but lists of sites and calendars, which stand until told
    otherwise."""
    return [name for name in config.features if config.sources[name].table not in ("event", "site")]


def stale_of(
    matrix: pl.DataFrame, families: Mapping[str, str], tables: Mapping[str, pl.DataFrame], config: "RunConfig"
) -> list[pl.Series]:
    """`stale_<source>` of each decision, true where the source's newest usable row is missing or older than its limit.

    The age is that of the matrix, of the entity's own rows (of several metrics the youngest); of news, which has none,
    the time since the last item of anybody came: a quiet entity is no stale feed.

    matrix   decisions with their ages in minutes
    tables   the rows of each source

    Missing values: none; where nothing was known yet the source is stale.
    """
    found = []
    for name in stale_sources(config):
        limit = config.flags.stale.get(name, config.sources[name].max_age) / 60e9
        ages = [
            pl.col(column).fill_nan(None)
            for column, source in families.items()
            if source == name and column.endswith("_age") and not column.endswith("book_drought_age")
        ]
        age = matrix.select(pl.min_horizontal(ages)).to_series() if ages else _silence(matrix, tables[name])
        found.append((age > limit).fill_null(True).alias(f"stale_{name}"))
    return found


def _silence(matrix: pl.DataFrame, rows: pl.DataFrame) -> pl.Series:
    """Minutes since the last row of a source became known, whomever it is about."""
    heard = rows.select(pl.col("known_time").cast(TIME).alias("heard")).unique().sort("heard")
    asked = matrix.select(pl.col("decision_time").cast(TIME)).with_row_index("_row").sort("decision_time")
    joined = asked.join_asof(heard, left_on="decision_time", right_on="heard", coalesce=False).sort("_row")
    since = pl.col("decision_time") - pl.col("heard")
    return joined.select(since.dt.total_nanoseconds() / 60e9).to_series()
