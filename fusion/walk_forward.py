"""When models are refitted, on which sessions, and which labels they may see."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fusion.horizon import Horizon
from fusion.target import end_column, return_column
from gpu_kernels.errors import DataError
from sources.durations import Duration


class WalkForwardConfig(BaseModel):
    """Refits every `refit_sessions`, the first after `train_sessions` sessions of data.

    block              none: a session is a trading day. Else a length of time: days are cut into blocks of it, and
                       wherever this module, the regimes, selection, learning or evaluation say session, a block is
                       meant; for research inside a day. Features and labels cross from one block to the next.
    embargo_sessions   whole sessions before a refit whose labels it does not see
    expanding          True: train on everything since the first session; False: on the last `train_sessions` only
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    block: Annotated[Duration, Field(ge=10**6)] | None = None
    train_sessions: Annotated[int, Field(ge=1)] = 40
    refit_sessions: Annotated[int, Field(ge=1)] = 10
    embargo_sessions: Annotated[int, Field(ge=0)] = 1
    expanding: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> "WalkForwardConfig":
        if self.embargo_sessions >= self.train_sessions:
            raise ValueError(
                f"embargo_sessions {self.embargo_sessions} leaves nothing of train_sessions {self.train_sessions}"
            )
        return self


@dataclass(frozen=True, slots=True)
class Refit:
    """One refit: made at the open of `session`, and used until the session before the next refit.

    session      a date, or the start of a block
    refit_time   open of `session`: nothing known later may enter the fit
    cutoff       open of the session that is `embargo_sessions` before `session`: labels must have ended before it
    train        first and last session of the training window, both inclusive
    predict      first and last session predicted by this refit, both inclusive; the last block may be short
    """

    index: int
    session: date
    refit_time: datetime
    cutoff: datetime
    train: tuple[date, date]
    predict: tuple[date, date]


def schedule(sessions: pl.DataFrame, config: WalkForwardConfig) -> list[Refit]:
    """The refits of a run: at sessions number train_sessions, + refit_sessions, ... counted from the first one.

    `sessions` has session, open, close. The schedule is anchored at the first session and no refit depends on how far
    the data reach, so that cutting the data removes refits and changes none (only the last `predict` gets shorter).

    Missing values: none allowed. Returns [] where there are too few sessions for one refit.
    Raises DataError when a column is absent, or sessions repeat or do not rise.
    """
    missing = [name for name in ("session", "open") if name not in sessions.columns]
    if missing:
        raise DataError(f"sessions lacks {', '.join(missing)}", allowed="columns session, open, close")
    if not sessions["session"].is_sorted() or sessions["session"].is_duplicated().any():
        raise DataError("sessions repeat or go back", allowed="one row per session, in order")
    days: list[date] = sessions["session"].to_list()
    opens: list[datetime] = sessions["open"].to_list()
    refits = []
    for index, position in enumerate(range(config.train_sessions, len(days), config.refit_sessions)):
        last_train = position - 1 - config.embargo_sessions
        refits.append(
            Refit(
                index=index,
                session=days[position],
                refit_time=opens[position],
                cutoff=opens[position - config.embargo_sessions],
                train=(days[0 if config.expanding else position - config.train_sessions], days[last_train]),
                predict=(days[position], days[min(position + config.refit_sessions, len(days)) - 1]),
            )
        )
    return refits


def training_rows(labels: pl.DataFrame, refit: Refit, horizon: Horizon) -> pl.DataFrame:
    """The labels that a refit may learn from: in its window, present, and ended before its cutoff (purge and embargo).

    A label counts by `label_end`, when it was known, not by when its decision was made: a label that overlaps the
    cutoff, or whose exit price arrived late, is purged. Missing values: rows without the horizon's label are left out.
    """
    return labels.filter(
        pl.col("session") >= refit.train[0],
        pl.col(return_column(horizon)).is_not_null(),
        pl.col(end_column(horizon)) < refit.cutoff,
    )


def assign(sessions: pl.Series, refit_sessions: Sequence[date]) -> pl.Series:
    """`refit_session` of each session: the last refit at or before it; null before the first."""
    starts = pl.DataFrame({"refit_session": refit_sessions}, schema={"refit_session": sessions.dtype})
    joined = (
        pl.DataFrame({"session": sessions})
        .with_row_index("_row")
        .sort("session", maintain_order=True)
        .join_asof(starts, left_on="session", right_on="refit_session", coalesce=False)
    )
    return joined.sort("_row")["refit_session"]


def session_of(text: str) -> date:
    """A session as `isoformat` wrote it: a date, or the start of a block. Raises ValueError on anything else."""
    return datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)
