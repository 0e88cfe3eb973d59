"""What a reader of a signal must know of the book it was made from: a liquidity drought, or suspected spoofing.

A flag never changes a score. It is said beside it, results are told apart by it, and a config may have scores withheld.
"""

from typing import Annotated, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

Flag = Literal["drought", "spoofing"]
_COLUMN: dict[Flag, str] = {"drought": "book_drought", "spoofing": "book_spoofing"}


class FlagsConfig(BaseModel):
    """When a decision is flagged, by the book features of its matrix, and what follows.

    spoofing   `book_spoofing`, what the window score is over the feed's usual one, from which a decision is flagged;
               `book_drought` flags by itself
    withhold   flags under which no score is given; the status says so
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    spoofing: Annotated[float, Field(gt=0)] = 1.0
    withhold: tuple[Flag, ...] = ()


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
