"""The rows that selection scores on, in the order of sessions, with their labels and the weights of their sessions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.horizon import Horizon
from fusion.horizon import Sessions as SessionCount
from fusion.regime import RegimePath, at
from fusion.target import KEYS, end_column, return_column
from fusion.walk_forward import Refit
from gpu_kernels.errors import DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


def candidates(features: pl.DataFrame) -> list[str]:
    """The feature columns of a table of decisions. Raises DataError where one is not numeric."""
    names = [name for name in features.columns if name not in KEYS]
    wrong = [name for name in names if not features.schema[name].is_numeric()]
    if wrong:
        raise DataError(f"feature {wrong[0]} is {features.schema[wrong[0]]}", allowed="numbers")
    return names


def labelled(features: pl.DataFrame, labels: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """features with the label `columns`, same rows and order. Raises DataError where their decisions differ."""
    for name, frame, needed in (("features", features, KEYS), ("labels", labels, (*KEYS, *columns))):
        missing = [column for column in needed if column not in frame.columns]
        if missing:
            raise DataError(f"{name} lack {', '.join(missing)}", allowed=f"columns {', '.join(needed)}")
        if frame.select(KEYS).is_duplicated().any():
            raise DataError(f"{name} hold a decision twice", allowed="one row per entity and decision_time")
    clash = [column for column in columns if column in features.columns]
    if clash:
        raise DataError(f"the label {clash[0]} is among the features", hint="a label as a feature is a leak")
    joined = features.join(labels.select(*KEYS, *columns), on=KEYS, how="inner", maintain_order="left")
    if not joined.height == features.height == labels.height:
        raise DataError(
            f"features hold {features.height} decisions, labels {labels.height}, {joined.height} in both",
            allowed="the same decisions",
            hint="build both on one grid",
        )
    return joined


@dataclass(frozen=True)
class Sessions:
    """What all refits share: the label in the order of sessions, and where each row of the features is.

    The features themselves stay where they are, and are read column by column: a million rows of 500 are 4 GB.

    features  as given
    place     (rows,) the row of `features` that comes at this place by session, entity and decision time
    keys      the decisions in that order
    previous  (rows,) the row of the same entity's decision before: in the same session, or in whichever where labels
              are counted in sessions; -1 where there is none
    """

    features: pl.DataFrame
    place: Integers
    keys: pl.DataFrame
    days: pl.Series
    offsets: Integers
    session: Integers
    previous: Integers
    ends: pl.Series
    y: Floats

    @classmethod
    def of(cls, features: pl.DataFrame, labels: pl.DataFrame, primary: Horizon) -> "Sessions":
        target, end = return_column(primary), end_column(primary)
        if target in features.columns or end in features.columns:
            labelled(features.head(0), labels.head(0), (target, end))
        given = features.select(name for name in KEYS if name in features.columns)
        rows = (
            labelled(given, labels, (target, end)).with_row_index("_place").sort("session", "entity", "decision_time")
        )
        sessions = rows.group_by("session", maintain_order=True).agg(pl.len(), pl.col(end).max())
        counts = sessions["len"].to_numpy().astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        within = ["entity"] if isinstance(primary, SessionCount) else ["entity", "session"]
        before = (
            rows.select("entity", "session", "decision_time")
            .with_row_index("_here")
            .select(pl.col("_here").cast(pl.Int64).shift(1).over(within, order_by="decision_time").fill_null(-1))
        )
        return cls(
            features=features,
            place=rows["_place"].cast(pl.Int64).to_numpy(),
            keys=rows.select(KEYS),
            days=sessions["session"],
            offsets=offsets,
            session=np.repeat(np.arange(len(counts)), counts),
            previous=before["_here"].to_numpy(),
            ends=sessions[end],
            y=rows[target].cast(pl.Float64).to_numpy(),
        )

    def column(self, name: str) -> Floats:
        values: Floats = self.features[name].cast(pl.Float64).to_numpy()[self.place]
        return values

    def window(self, refit: Refit) -> Booleans:
        """(sessions,) whether a refit may see the session's labels, all of them."""
        frame = pl.DataFrame({"session": self.days, "end": self.ends})
        allowed = (pl.col("session") >= refit.train[0]) & (pl.col("end") < refit.cutoff)
        return frame.select(allowed.fill_null(False).alias("allowed"))["allowed"].to_numpy()

    def weights(self, regimes: RegimePath, refits: Sequence[Refit]) -> list[Floats]:
        """For each refit (regimes, sessions): mean filtered probability of the session's decisions, by the refit's own
        parameters."""
        times = self.keys.select("session", "decision_time").unique().sort("decision_time")
        day = times.select(pl.col("session").rle_id())["session"].to_numpy()
        count = np.bincount(day, minlength=len(self.days))
        found: list[Floats] = []
        for refit in refits:
            # decisions after the refit take the last probability before it; no window holds them
            probability = at(regimes.training(refit), times["decision_time"])
            # bincount adds row after row: a session's mean must not depend on how many sessions follow it
            means = [np.bincount(day, weights=column, minlength=len(self.days)) / count for column in probability.T]
            found.append(np.nan_to_num(np.stack(means)))
        return found
