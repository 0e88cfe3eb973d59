"""The central test: a result at t does not change when everything that was not known at t is taken away.

For each cut the inputs lose every row not known by then, and every observation of something that had not happened yet
(a row whose event_time is later, other than a scheduled event). The study runs on what is left, and every feature,
regime probability, selection and signal up to the cut must be bit-identical to the full run's. Prices that the vendor
adjusts backwards for dividends and splits lose what was not known otherwise: they are rebased (`rebased`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from fusion.config import RunConfig
from fusion.features import Matrix, build
from fusion.grid import decision_grid
from fusion.plan import Plan, Progress, make_plan, silent
from fusion.study import Study, study
from gpu_kernels.errors import ConfigError
from sources.schema import TIME

AHEAD = ("event", "site")
"""Tables whose rows may be about what has not happened yet: planned events, announced openings."""
PARTS = ("features", "regime", "selection", "signals")


@dataclass(frozen=True)
class InvarianceReport:
    """`differences`: cut, part (features, regime, selection, signals), column, rows that differ, and the first of them.
    `compared`: cut, part, how many rows and columns were compared, so that an empty comparison cannot pass unseen.
    `parts`: those that there are; of a config without targets the features alone."""

    differences: pl.DataFrame
    compared: pl.DataFrame
    parts: tuple[str, ...] = PARTS

    @property
    def ok(self) -> bool:
        """No difference, and something was compared in every part at some cut."""
        compared = dict(self.compared.group_by("part").agg(pl.col("rows").sum()).iter_rows())
        return self.differences.is_empty() and all(compared.get(part, 0) > 0 for part in self.parts)


@dataclass(frozen=True)
class _Features:
    """Of a study of a config without targets what there is."""

    matrix: Matrix


def features_alone(plan: Plan, tables: Mapping[str, pl.DataFrame]) -> _Features:
    """The features of a config, whether it has targets or not."""
    grid = decision_grid(list(plan.entities), plan.sessions, plan.config.decisions)
    return _Features(build(plan.config, tables, grid))


Run = Callable[[Plan, Mapping[str, pl.DataFrame]], Study | _Features]


def verify(config: RunConfig, *, lake: Path, cuts: int = 3, progress: Progress = silent) -> InvarianceReport:
    """Ingest a config, and check it at `cuts` times spread over its out-of-sample sessions; one without targets, whose
    features are all that there is, over all of its sessions."""
    from fusion.pipeline import ingest, load

    plan = make_plan(config, lake)
    tables = load(plan, ingest(config, lake=lake, progress=progress), lake=lake, progress=progress)
    run = study if config.targets is not None else features_alone
    return check(plan, tables, cut_times(plan, tables, cuts), run=run, progress=progress)


def cut_times(plan: Plan, tables: Mapping[str, pl.DataFrame], count: int) -> list[datetime]:
    """Decision times to cut at: `count` spread evenly over the out-of-sample sessions (without targets over all), and
    one for each source where it would hurt most: the decision for which the most rows had happened but were not known.

    A value read by the wrong clock differs only when such a row is about, so evenly spread cuts alone could miss it.
    Raises ConfigError where no session comes after the first refit.
    """
    if count < 1:
        raise ConfigError(f"{count} cuts", allowed="1 or more")
    first = 0 if plan.config.targets is None else plan.config.walk_forward.train_sessions
    later = plan.periods.slice(first)
    if later.height < 2:
        raise ConfigError(
            f"{later.height} of {plan.periods.height} sessions come after the first refit, so there is nothing to cut",
            hint="lengthen the window or lower walk_forward.train_sessions",
        )
    grid = decision_grid(list(plan.entities[:1]), plan.sessions, plan.config.decisions)["decision_time"].sort()
    grid = grid.filter(grid >= later["open"][0])
    chosen = {grid[round((k + 0.5) / count * (len(grid) - 1))] for k in range(count)}
    times = grid.dt.epoch("ns").to_numpy()
    for name, rows in tables.items():
        if plan.config.sources[name].table == "event":
            continue
        unknown = rows.filter(pl.col("event_time") < pl.col("known_time"))
        happened = np.searchsorted(times, unknown["event_time"].dt.epoch("ns").to_numpy())
        known = np.searchsorted(times, unknown["known_time"].dt.epoch("ns").to_numpy())
        pending = np.cumsum(
            np.bincount(happened, minlength=len(times) + 1) - np.bincount(known, minlength=len(times) + 1)
        )
        if len(grid) and pending[:-1].max(initial=0) > 0:
            chosen.add(grid[int(np.argmax(pending[:-1]))])
    return sorted(chosen)


def truncate(rows: pl.DataFrame, table: str, cut: datetime) -> pl.DataFrame:
    """The rows known at the cut, of things that had happened by then; what was announced may lie ahead."""
    moment = pl.lit(cut, dtype=TIME)
    known = pl.col("known_time") <= moment
    return rows.filter(known if table in AHEAD else known & (pl.col("event_time") <= moment))


def rebased(bars: pl.DataFrame) -> pl.DataFrame:
    """Bars as a vendor who adjusts backwards would have written them before a later split: prices times, and volumes
    over, a power of 2 that is each entity's own. What is made of ratios keeps its bits; a level does not."""
    factor = 2.0 ** (1 + pl.col("entity").rank("dense").cast(pl.Int64) % 3)
    prices = (pl.col(name) * factor for name in ("open", "high", "low", "close"))
    return bars.with_columns(*prices, volume=pl.col("volume") / factor)


def _at_cut(plan: Plan, name: str, rows: pl.DataFrame, cut: datetime) -> pl.DataFrame:
    """What a source would have held at the cut."""
    source = plan.config.sources[name]
    left = truncate(rows, source.table, cut)
    return rebased(left) if getattr(source, "adjusted", None) is not None else left


def check(
    plan: Plan,
    tables: Mapping[str, pl.DataFrame],
    cuts: list[datetime],
    *,
    run: Run = study,
    progress: Progress = silent,
) -> InvarianceReport:
    """Run on the whole and on each truncation; list what differs. `run` is replaceable so that a planted leak can be
    put in, which this must then find."""
    parts = PARTS if plan.config.targets is not None else ("features",)
    progress("full run", 0.0)
    full = run(plan, tables)
    differences, compared = [], []
    for number, cut in enumerate(cuts):
        progress(f"cut {cut:%Y-%m-%d %H:%M}", (number + 1) / (len(cuts) + 1))
        left = {name: _at_cut(plan, name, rows, cut) for name, rows in tables.items()}
        part = run(plan.until(cut), left)
        for name in parts:
            before, after = (_known_part(result, name, plan, cut) for result in (full, part))
            compared.append({"cut": cut, "part": name, "rows": before.height, "columns": before.width})
            differences += [{"cut": cut, "part": name} | difference for difference in compare(before, after)]
    return InvarianceReport(
        pl.DataFrame(differences, schema=_DIFFERENCE_SCHEMA), pl.DataFrame(compared, schema=_COMPARED_SCHEMA), parts
    )


_CUT = {"cut": TIME, "part": pl.String()}
_DIFFERENCE_SCHEMA = _CUT | {"column": pl.String(), "rows": pl.Int64(), "first": pl.String()}
_COMPARED_SCHEMA = _CUT | {"rows": pl.Int64(), "columns": pl.Int64()}


def _known_part(result: Study | _Features, name: str, plan: Plan, cut: datetime) -> pl.DataFrame:
    """The rows of one part of a study that were there at the cut."""
    moment = pl.lit(cut, dtype=TIME)
    if isinstance(result, _Features):
        return result.matrix.frame.filter(pl.col("decision_time") <= moment)
    if name == "selection":
        # a refit is made at the open of its session
        opened = plan.periods.filter(pl.col("open") <= moment)["session"]
        return result.ledger.filter(pl.col("refit_session").is_in(opened.implode()))
    if name == "regime":
        return result.regimes.probabilities.filter(pl.col("time") <= moment)
    frame = result.matrix.frame if name == "features" else result.signals
    return frame.filter(pl.col("decision_time") <= moment)


def compare(before: pl.DataFrame, after: pl.DataFrame) -> list[dict[str, object]]:
    """Columns that are not identical (null equals null, NaN equals NaN), each with how many rows and the first one."""
    if before.columns != after.columns:
        wrong = sorted(set(before.columns) ^ set(after.columns))
        return [{"column": name, "rows": before.height, "first": "column is only in one run"} for name in wrong]
    if before.height != after.height:
        return [
            {
                "column": "(rows)",
                "rows": abs(before.height - after.height),
                "first": f"{before.height} against {after.height}",
            }
        ]
    found: list[dict[str, object]] = []
    for name in before.columns:
        differs = before[name].ne_missing(after[name])
        if differs.any():
            first = differs.arg_true()[0]
            described = f"row {first}: {before[name][first]!r} in the full run, {after[name][first]!r} in the cut one"
            found.append({"column": name, "rows": int(differs.sum()), "first": described})
    return found
