"""Selection: sums of sessions made once, against ranks made anew at each refit.

    python -m benchmarks.selection [--features 500] [--sessions 1000] [--refit-sessions 3]

runs the whole once, and says its time, the most memory it held, and what ranking anew takes, which is measured on two
features at every 25th refit. In the suite, a few features of a smaller market stand for all. Every tenth feature drives
the return in one regime, every hundredth is a noisy copy of the one before.
"""

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import numpy as np
import polars as pl
import typer

from benchmarks.harness import Comparison
from fusion.correlation import order, rank_moments
from fusion.regime import RegimePath
from fusion.regime.hmm import HiddenMarkovModel
from fusion.selection import SelectionConfig, measure, select
from fusion.selection.table import Sessions
from fusion.walk_forward import Refit, WalkForwardConfig, schedule
from sources.schema import TIME

_MINUTE = 60 * 10**9
_HORIZON = 15 * _MINUTE
_DECISIONS, _STATES = 50, 5
_RANKED = "rank IC and t alone, ranked at each refit"


@dataclass(frozen=True)
class Market:
    features: pl.DataFrame
    labels: pl.DataFrame
    regimes: RegimePath
    refits: list[Refit]


def market(sessions: int, features: int, refit_sessions: int, entities: int = 20) -> Market:
    """50 rows a session and entity. Regimes change slowly, and are told by one noisy input at each open."""
    draw = np.random.default_rng(5)
    days = [date(2015, 1, 1) + timedelta(days=k) for k in range(sessions)]
    opens = [datetime.combine(day, datetime.min.time(), tzinfo=UTC) + timedelta(hours=14) for day in days]
    table = pl.DataFrame(
        {"session": days, "open": opens, "close": [at + timedelta(hours=7) for at in opens]},
        schema={"session": pl.Date, "open": TIME, "close": TIME},
    )
    state = np.cumsum(draw.random(sessions) < 0.02) % _STATES
    count = entities * _DECISIONS
    minutes = np.tile(np.arange(_DECISIONS) * 8 + 5, entities)
    names = [f"E{k:02d}" for k in range(entities)]
    keys = pl.DataFrame(
        {
            "entity": np.tile(np.repeat(names, _DECISIONS), sessions),
            "session": table["session"].gather(np.repeat(np.arange(sessions), count)),
            "decision_time": table["open"].gather(np.repeat(np.arange(sessions), count))
            + pl.Series(np.tile(minutes, sessions) * _MINUTE).cast(pl.Duration("ns")),
        }
    )
    of_row, y = np.repeat(state, count), draw.standard_normal(sessions * count, dtype=np.float32)
    columns: list[pl.Series] = []
    for f in range(features):
        x = draw.standard_normal(len(y), dtype=np.float32)
        if f % 100 == 99:
            x = (columns[-1].to_numpy() + 0.1 * x).astype(np.float32)
        if f % 10 == 0:
            y += np.where(of_row == f // 10 % _STATES, np.float32(0.02), np.float32(0.0)) * x
        columns.append(pl.Series(f"x{f}", x))
    labels = keys.with_columns(
        pl.Series("return_15min", y.astype(np.float64)),
        (pl.col("decision_time") + pl.duration(nanoseconds=_HORIZON)).alias("label_end_15min"),
    )
    refits = schedule(table, WalkForwardConfig(train_sessions=sessions // 4, refit_sessions=refit_sessions))
    observations = table.select("session", pl.col("open").alias("time")).with_columns(
        pl.Series("level", state + 0.4 * draw.standard_normal(sessions))
    )
    models = tuple(
        HiddenMarkovModel(
            refit_session=refit.session,
            refit_time=refit.refit_time,
            inputs=("level",),
            start=np.full(_STATES, 1 / _STATES),
            transition=np.full((_STATES, _STATES), 0.02 / (_STATES - 1)) * (1 - np.eye(_STATES))
            + 0.98 * np.eye(_STATES),
            mean=np.arange(_STATES, dtype=np.float64)[:, None],
            covariance=np.full((_STATES, 1, 1), 0.16),
        )
        for refit in refits
    )
    return Market(keys.with_columns(columns), labels, RegimePath(observations, models, _STATES), refits)


def comparisons(quick: bool) -> Iterator[Comparison]:
    sessions, features, refit_sessions = (60, 3, 5) if quick else (400, 4, 3)
    made = market(sessions, features, refit_sessions)
    names, config = made.features.columns[3:], SelectionConfig()

    def ours() -> tuple[np.ndarray, ...]:
        found = measure(made.features, made.labels, made.regimes, made.refits, config, _HORIZON)
        return (np.stack([each.scores.ic for each in found.refits]).ravel(),)

    def plain() -> tuple[np.ndarray, ...]:
        return (ranked_anew(made, names, made.refits).ravel(),)

    rows = made.features.height
    yield Comparison(
        f"scores of {features} features in {_STATES} regimes at {len(made.refits)} refits",
        rows * features * len(made.refits),
        "float32",
        rows * features * 4,
        ours,
        {_RANKED: plain},
        # values are independent from row to row here, so that both kinds of ranks tell nearly the same
        tolerance=0.02 if quick else 0.003,
        # of all cores: ours takes several threads
        seconds={"ours": lambda: _cores(ours), _RANKED: lambda: _cores(plain)},
    )


def ranked_anew(made: Market, names: list[str], refits: list[Refit]) -> np.ndarray:
    """(refits, regimes, features) rank ICs, their errors, t and p being made as well: every feature is sorted once, and
    ranked at each refit."""
    table = Sessions.of(made.features, made.labels, _HORIZON)
    weights = table.weights(made.regimes, refits)
    columns = [table.column(name) for name in names]
    orders, y_order, ic = [order(x) for x in columns], order(table.y), []
    for refit, weight in zip(refits, weights, strict=True):
        window = table.window(refit)
        y = np.where(window[table.session], table.y, np.nan)
        for x, x_order in zip(columns, orders, strict=True):
            ic.append(rank_moments(x, y, table.offsets, x_order=x_order, y_order=y_order).pooled(weight).ic)
    return np.reshape(ic, (len(refits), len(names), _STATES)).transpose(0, 2, 1)


def _cores(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def main(
    features: Annotated[int, typer.Option(min=1)] = 500,
    sessions: Annotated[int, typer.Option(min=8, help="of 1,000 rows each")] = 1000,
    refit_sessions: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Run the whole once."""
    made = market(sessions, features, refit_sessions)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    used = time.process_time()
    ledger = select(made.features, made.labels, made.regimes, made.refits, SelectionConfig(), _HORIZON)
    seconds, cores = time.perf_counter() - started, time.process_time() - used
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    names, some = made.features.columns[3:5], made.refits[12::25]
    anew = _cores(lambda: ranked_anew(made, names, some)) * features / len(names) * len(made.refits) / len(some)
    typer.echo(
        f"{features} features, {_STATES} regimes, {len(made.refits)} refits, {made.features.height:,} rows: "
        f"{seconds / 60:.1f} minutes ({cores / 60:.1f} of a core; {anew / 60:.0f} with ranks made anew), "
        f"{ledger.height:,} rows of the ledger, {ledger['kept'].sum():,} kept; "
        f"at most {held / 2**20:.2f} GiB, {before / 2**20:.2f} of them the market"
    )


if __name__ == "__main__":
    typer.run(main)
