"""The rows that selection scores on, in the order of sessions, with their labels and the weights of their sessions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.correlation import ranks
from fusion.horizon import Horizon
from fusion.regime import RegimePath, at
from fusion.target import KEYS, end_column, return_column
from fusion.walk_forward import Refit
from gpu_kernels.errors import DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

# rows that redundancy is measured on: every n-th of the window, at most this many
_REDUNDANCY_ROWS = 20_000


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
    """What all refits share: the rows in the order of sessions, their label and the position of their session."""

    rows: pl.DataFrame
    names: list[str]
    days: pl.Series
    offsets: Integers
    session: Integers
    ends: pl.Series
    y: Floats

    @classmethod
    def of(cls, features: pl.DataFrame, labels: pl.DataFrame, names: list[str], primary: Horizon) -> "Sessions":
        target, end = return_column(primary), end_column(primary)
        rows = labelled(features, labels, (target, end)).sort("session", "entity", "decision_time")
        sessions = rows.group_by("session", maintain_order=True).agg(pl.len(), pl.col(end).max())
        counts = sessions["len"].to_numpy().astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        session = np.repeat(np.arange(len(counts)), counts)
        return cls(rows, names, sessions["session"], offsets, session, sessions[end], column(rows, target))

    def column(self, name: str) -> Floats:
        return column(self.rows, name)

    def window(self, refit: Refit) -> Booleans:
        """(sessions,) whether a refit may see the session's labels, all of them."""
        frame = pl.DataFrame({"session": self.days, "end": self.ends})
        allowed = (pl.col("session") >= refit.train[0]) & (pl.col("end") < refit.cutoff)
        return frame.select(allowed.fill_null(False).alias("allowed"))["allowed"].to_numpy()

    def weights(self, regimes: RegimePath, refit: Refit) -> Floats:
        """(regimes, sessions): mean filtered probability of the session's decisions, by the refit's own parameters."""
        times = self.rows.select("session", "decision_time").unique().sort("decision_time")
        # decisions after the refit take the last probability before it; no window holds them
        probability = at(regimes.training(refit), times["decision_time"])
        day = times.select(pl.col("session").rle_id())["session"].to_numpy()
        count = np.bincount(day, minlength=len(self.days))
        # bincount adds row after row: a session's mean must not depend on how many sessions follow it
        means = [np.bincount(day, weights=column, minlength=len(self.days)) / count for column in probability.T]
        found: Floats = np.nan_to_num(np.stack(means))
        return found

    def similarity(self, window: Booleans) -> Floats:
        """(features, features) rank correlation over the window's rows where both are present; 0 where undefined.

        Ranks are taken among all of a feature's rows, so that one matrix product serves every pair, and what two
        features have in common does not depend on a third.
        """
        f = len(self.names)
        picked = np.flatnonzero(window[self.session])
        if not len(picked) or not f:
            return np.zeros((f, f))
        picked = picked[:: -(-len(picked) // _REDUNDANCY_ROWS)]
        rows = self.rows[picked]
        ranked = np.stack([ranks(column(rows, name)) for name in self.names], axis=1)
        both = np.isfinite(ranked).astype(np.float64)
        r = np.nan_to_num(ranked)
        # ranks are whole numbers, so that these sums are exact whatever order a BLAS adds them in
        n, x, xx, xy = both.T @ both, r.T @ both, (r * r).T @ both, r.T @ r
        with np.errstate(invalid="ignore", divide="ignore"):
            covariance, variance = n * xy - x * x.T, n * xx - x * x
            found: Floats = np.nan_to_num(covariance / np.sqrt(variance * variance.T), posinf=0.0, neginf=0.0)
        return found


def column(rows: pl.DataFrame, name: str) -> Floats:
    return rows[name].cast(pl.Float64).to_numpy()
