"""What a score earns after costs: portfolios of its quantiles, session by session.

**Groups.** At each decision the entities are put into Q groups by the place u of their score, 0..1: group 1 has the
lowest, group Q the highest,

    group = floor(u Q) + 1,   u = (number below + half of the number equal) / number

- `cross_section`: among the scores of the same decision; nobody is in a group where there are fewer scores than groups
- `past`: among all scores of all entities in earlier sessions, as far as they were given out-of-sample, a score's own
  session not included; nobody is in a group before `past_rows` of them. For one entity, or a few.

**Positions.** What a decision puts into a group is shared equally by its members, and held to the horizon. A horizon of
K decisions (K = h / step, rounded up; of h sessions: h) has K such positions at once, each of 1 / K of the capital:

    gross of a session = sum over its decisions of  mean over the group of (exp(return) - 1) / K       bps

A decision whose return is missing (too near to the close) takes no position, and where a group is empty its capital
is idle. In horizons of sessions a return is the deciding session's, so that those of h sessions in a row overlap.

**Trades.** At one moment what ends and what begins in one entity and group is netted:

    turnover = sum of |w_t - w_(t-h)| / K,    cost = sum of |w_t - w_(t-h)| / K * cost(entity, t)      both ways

w being weights in the group. A position that ends between decisions pays the cost of its entity's last decision before.
Inside a session everything is closed when it ends. `top_minus_bottom` holds group Q and sells group 1, each with the
whole capital; no entity is in both at one decision, so that its turnover and cost are the two groups' sums.

Nothing here looks ahead: later rows change no earlier session.

Sources: Jegadeesh & Titman (1993) for overlapping portfolios; Grinold & Kahn (2000) for turnover and costs.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from fusion.evaluation.table import BPS, values_of
from fusion.horizon import Horizon, Sessions, horizon_name
from fusion.selection import labelled
from fusion.target import KEYS, return_column
from gpu_kernels.errors import DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SPREAD = "top_minus_bottom"
PORTFOLIO: dict[str, pl.DataType] = {
    "session": pl.Date(),
    "horizon": pl.String(),
    "score": pl.String(),
    "quantile": pl.String(),
    "gross": pl.Float64(),
    "cost": pl.Float64(),
    "net": pl.Float64(),
    "turnover": pl.Float64(),
    "gross_cumulative": pl.Float64(),
    "net_cumulative": pl.Float64(),
}


class PortfolioConfig(BaseModel):
    """How decisions are put into groups.

    by         cross_section: among the scores of one decision; past: among those of earlier sessions; auto: among
               those of one decision where the run has twice as many entities as groups, or more
    past_rows  least scores of earlier sessions, of `past`
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Literal["auto", "cross_section", "past"] = "auto"
    past_rows: Annotated[int, Field(ge=2)] = 100

    def cross_section(self, entities: int, quantiles: int) -> bool:
        return self.by == "cross_section" or (self.by == "auto" and entities >= 2 * quantiles)


def portfolios(
    predictions: pl.DataFrame,
    labels: pl.DataFrame,
    costs: pl.DataFrame,
    *,
    horizon: Horizon,
    step: int | None,
    scores: Sequence[str],
    quantiles: int = 5,
    cross_section: bool = True,
    past_rows: int = 100,
) -> pl.DataFrame:
    """One row for each session, score and group, and for the top group less the bottom one: see `PORTFOLIO`.

    predictions  entity, session, decision_time and the scores
    labels       the same decisions, with return_<horizon>, a log return
    costs        entity, session, decision_time, cost (bps each way), of the same decisions at least
    step         time between decisions (ns); None: one a session
    gross, cost, net, turnover  of the session: bps of the capital, turnover as a share of it, both ways; `cumulative`:
                 sums since the first session

    Missing values: a session without any position is not there. Cost and net are null where a trade's cost is not
    known, and net's sum from there on.
    Raises DataError when tables lack columns or do not hold the same decisions.
    """
    absent = [name for name in (*KEYS, *scores) if name not in predictions.columns]
    absent += [name for name in (*KEYS, "cost") if name not in costs.columns]
    if absent:
        raise DataError(f"predictions or costs lack {', '.join(absent)}", allowed="the columns of `portfolios`")
    label = return_column(horizon)
    rows = (
        labelled(predictions.select(*KEYS, *scores), labels, [label])
        .join(costs.select(*KEYS, "cost"), on=KEYS, how="left", maintain_order="left")
        .sort("decision_time", "entity")
    )
    if not rows["session"].is_sorted():
        raise DataError("sessions overlap in time", allowed="sessions whose decisions follow those of the one before")
    book = _Book(rows, label, horizon, step, quantiles)
    frames = [pl.DataFrame(schema=PORTFOLIO | {"session": rows.schema["session"]})]
    for score in scores:
        x = values_of(rows, score)
        group = _cross_section(book, x) if cross_section else _past(book, x, past_rows)
        frames.append(book.table(group, score))
    return pl.concat(frames)


class _Book:
    """The decisions in the order of time, and what positions in them earn and cost."""

    def __init__(self, rows: pl.DataFrame, label: str, horizon: Horizon, step: int | None, quantiles: int) -> None:
        self.horizon, self.quantiles = horizon, quantiles
        self.days = rows["session"].unique(maintain_order=True)
        self.session = _numbered(rows["session"])
        self.entity = _numbered(rows["entity"])
        self.decision = _numbered(rows["decision_time"])
        self.time: Integers = rows["decision_time"].dt.epoch("ns").to_numpy()
        self.earned = np.expm1(values_of(rows, label)) * BPS
        self.cost = values_of(rows, "cost")
        if isinstance(horizon, Sessions):
            self.held = horizon.count
            self.enter, self.leave = self.session, self.session + horizon.count
        else:
            self.held = max(1, -(-horizon // step)) if step else 1
            self.enter, self.leave = self.time, self.time + horizon

    def sums(self, values: Floats, session: Integers, group: Integers) -> Floats:
        """(sessions, groups) sums, added in the order of the rows."""
        shape = len(self.days), self.quantiles
        place = session * self.quantiles + group - 1
        found: Floats = np.bincount(place, weights=values, minlength=shape[0] * shape[1]).astype(np.float64)
        return found.reshape(shape)

    def table(self, group: Integers, score: str) -> pl.DataFrame:
        held = np.flatnonzero((group > 0) & np.isfinite(self.earned))
        group, session = group[held], self.session[held]
        place = self.decision[held] * self.quantiles + group - 1
        weight = 1 / np.bincount(place)[place] / self.held
        live = np.unique(session)
        gross = self.sums(weight * self.earned[held], session, group)
        turnover, cost = self._traded(held, group, weight, live)
        ends = gross[:, -1] - gross[:, 0], cost[:, -1] + cost[:, 0], turnover[:, -1] + turnover[:, 0]
        columns = [
            np.concatenate([table, end[:, None]], axis=1)[live].T
            for table, end in zip((gross, cost, turnover), ends, strict=True)
        ]
        names = [*(str(q + 1) for q in range(self.quantiles)), SPREAD]
        frame = pl.DataFrame(
            {
                "session": pl.concat([self.days[live]] * len(names)) if len(live) else self.days.clear(),
                "quantile": pl.Series(np.repeat(names, len(live)), dtype=pl.String),
                **{name: table.ravel() for name, table in zip(("gross", "cost", "turnover"), columns, strict=True)},
                "gross_cumulative": columns[0].cumsum(axis=1).ravel(),
                "net_cumulative": (columns[0] - columns[1]).cumsum(axis=1).ravel(),
            }
        ).with_columns(
            pl.lit(score).alias("score"),
            pl.lit(horizon_name(self.horizon)).alias("horizon"),
            (pl.col("gross") - pl.col("cost")).alias("net"),
        )
        return frame.select(*PORTFOLIO).with_columns(pl.col("cost", "net", "net_cumulative").fill_nan(None))

    def _traded(self, held: Integers, group: Integers, weight: Floats, live: Integers) -> tuple[Floats, Floats]:
        """(sessions, groups) turnover and its cost."""
        if not len(held):
            return self.sums(weight, held, group), self.sums(weight, held, group)
        entity, session = self.entity[held], self.session[held]
        if isinstance(self.horizon, Sessions):
            # what ends in a session without decisions is counted with the next one; after the last one not yet
            following = np.searchsorted(live, self.leave[held])
            ends, ended = following < len(live), live[np.minimum(following, len(live) - 1)]
            within = np.zeros(len(self.session), np.int64)
        else:
            ends, ended = np.ones(len(held), bool), session
            within = self.session
        moves = pl.DataFrame(
            {
                "within": np.concatenate([within[held], within[held][ends]]),
                "entity": np.concatenate([entity, entity[ends]]),
                "group": np.concatenate([group, group[ends]]),
                "time": np.concatenate([self.enter[held], self.leave[held][ends]]),
                "session": np.concatenate([session, ended[ends]]),
                "change": np.concatenate([weight, -weight[ends]]),
            }
        )
        # at most one position begins and one ends at a time, so that no order of adding matters
        keys = ("within", "entity", "group", "time")
        net = moves.group_by(keys).agg(pl.col("change").sum().abs(), pl.col("session").first())
        told = pl.DataFrame({"within": within, "entity": self.entity, "time": self.enter, "cost": self.cost})
        priced = net.sort("time", "entity", "group", "within").join_asof(
            told.sort("time", "entity"), on="time", by=["within", "entity"], check_sortedness=False
        )
        size, where = priced["change"].to_numpy(), (priced["session"].to_numpy(), priced["group"].to_numpy())
        price = priced["cost"].fill_null(np.nan).to_numpy()
        # what is not traded costs nothing, known or not
        return self.sums(size, *where), self.sums(np.where(size > 0, size * price, 0.0), *where)


def _cross_section(book: _Book, x: Floats) -> Integers:
    """The group of each row among the scores of its decision; 0: none."""
    score = pl.Series(x).fill_nan(None)
    ranked = pl.DataFrame({"x": score, "decision": book.decision}).select(
        # twice the mean rank is a whole number
        twice=(pl.col("x").rank("average").over("decision") * 2).cast(pl.Int64),
        count=pl.col("x").count().over("decision").cast(pl.Int64),
        varied=pl.col("x").min().over("decision") < pl.col("x").max().over("decision"),
    )
    twice, count = ranked["twice"].fill_null(0).to_numpy(), ranked["count"].to_numpy()
    ok = (twice > 0) & (count >= book.quantiles) & ranked["varied"].fill_null(False).to_numpy()
    return np.where(ok, (twice - 1) * book.quantiles // np.maximum(2 * count, 1) + 1, 0)


def _past(book: _Book, x: Floats, past_rows: int) -> Integers:
    """The group of each row among all scores of earlier sessions; 0: none."""
    group = np.zeros(len(x), np.int64)
    edges = np.searchsorted(book.session, np.arange(len(book.days) + 1))
    past = np.zeros(0)
    for first, last in pairwise(edges):
        own = np.flatnonzero(np.isfinite(x[first:last])) + first
        if len(past) >= past_rows:
            below, upto = (np.searchsorted(past, x[own], side=side) for side in ("left", "right"))
            place = (below + upto) * book.quantiles // (2 * len(past))
            group[own] = np.minimum(place, book.quantiles - 1) + 1
        # two sorted runs, which a stable sort merges
        past = np.sort(np.concatenate([past, np.sort(x[own])]), kind="stable")
    return group


def _numbered(column: pl.Series) -> Integers:
    """Whole numbers from 0 in the order of the values."""
    return column.rank("dense").cast(pl.Int64).to_numpy() - 1
