"""Newer signals from an existing run's model: no refit, no rewriting of what was already said."""

import os
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from fusion import config as configs
from fusion import features, model, signal_state
from fusion import manifest as record
from fusion.grid import decision_grid, in_periods
from fusion.pipeline import REGIME_MODELS, data_version, ingest, load
from fusion.plan import Plan, Progress, make_plan, silent
from fusion.regime import RegimePath, read_model
from fusion.regime.observations import regime_observations
from fusion.signals import Forecasts, make_signals, with_data_version
from fusion.study import make_labels
from gpu_kernels.errors import DataError, ModelError
from sources.daily_options import DailyFile
from sources.schema import TIME
from sources.sessions import sessions_around


class NoNewDataError(DataError):
    """The data reach no decision that the run does not hold yet; a caller on a timer takes this for no news."""


def signals(run_folder: Path, *, lake: Path, progress: Progress | None = None, end: date | None = None) -> pl.DataFrame:
    """Score every decision after the run's last signal that the data now reaches, with the run's last model.

    Appends to the run's signals.parquet, notes the refresh in its manifest (each written under a temporary name, then
    renamed), and returns the new rows. Rows that were there are not touched: what was said stays said. `end` is the
    last day to look at; by default the config's own or today, whichever is later.
    Raises DataError where the folder is no finished run, NoNewDataError where the data reach no new decision.
    """
    progress, path = progress or silent, run_folder / "signals.parquet"
    if not (run_folder / "manifest.json").is_file() or not path.is_file():
        raise DataError(f"{run_folder} is no finished run", hint="give a folder that `trifuse run` wrote")
    config = configs.load(run_folder / "config.yaml")
    try:
        before = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ModelError(
            f"{path} cannot be read: {str(error).splitlines()[0]}", hint="run `trifuse run` again"
        ) from None
    models = model.load(run_folder / "model")
    state = signal_state.load(run_folder / "model")
    regime_models = [read_model(stored) for stored in record.read_json(run_folder / "model" / REGIME_MODELS)]
    if end is None and config.end is not None:
        end = max(config.end, datetime.now(UTC).date())
    plan = make_plan(config, lake, end=end)
    ingested = ingest(config, lake=lake, progress=progress, plan=plan)
    tables = load(plan, ingested, lake=lake, progress=progress)
    reach = tables[config.price_source].group_by("entity").agg(pl.col("known_time").max().alias("reach"))
    progress("features", None)
    plan = plan.until(_last_moment(plan, reach))
    grid = decision_grid(list(plan.entities), plan.sessions, config.decisions)
    matrix = features.build(config, tables, grid)
    regimes = RegimePath.of(regime_observations(plan, tables, matrix), regime_models, config.regime)
    progress("signals", None)
    decisions = in_periods(matrix.frame, plan.periods)
    predictions = model.predict(models, decisions, regimes.weights, threads=config.model.threads)
    labels = in_periods(make_labels(plan, tables, grid), plan.periods)
    forecasts = Forecasts(matrix, labels, regimes, predictions, models)
    made, _ = make_signals(plan, tables, forecasts, state)
    made = with_data_version(made, data_version(ingested))
    if made.columns != before.columns:
        raise ModelError(f"{path} has other columns than signals have now", hint="run `trifuse run` again")
    said = before.group_by("entity").agg(pl.col("decision_time").max().alias("said"))
    joined = made.join(reach, on="entity", how="left").join(said, on="entity", how="left")
    later = pl.col("said").is_null() | (pl.col("decision_time") > pl.col("said"))
    new = joined.filter(_due(plan, joined), later).select(made.columns)
    if new.is_empty():
        raise NoNewDataError(
            f"the data end before a decision that {path} does not hold yet", hint="bring newer data, then retry"
        )
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    pl.concat([before, new]).sort("entity", "decision_time").write_parquet(temporary, compression="zstd")
    os.replace(temporary, path)
    _note(run_folder, new, {name: result.key for name, result in ingested.items()})
    return new


def _last_moment(plan: Plan, reach: pl.DataFrame) -> datetime:
    """No decision after it is looked at. Of daily decisions it is now: the one before tomorrow's open has today's bar
    long before it is time to make it."""
    last: datetime = reach["reach"].max()  # type: ignore[assignment]
    return last if plan.config.decisions.daily is None else datetime.now(UTC)


def _due(plan: Plan, decisions: pl.DataFrame) -> pl.Series:
    """Whether an entity's own prices reach its decision (another's file may have come earlier): the grid point, from
    which the delay is what the newest price may need to arrive; a daily one the last bar that was due at it."""
    config, source = plan.config, plan.config.sources[plan.config.price_source]
    if not isinstance(source, DailyFile):
        due = pl.col("decision_time") - pl.duration(nanoseconds=config.decisions.delay) <= pl.col("reach")
        return decisions.select(due.fill_null(False)).to_series()
    first, last = decisions["session"].min(), decisions["session"].max()
    trading = sessions_around(config.calendar, first, last)  # type: ignore[arg-type]
    known = trading.select(bar_known=pl.col("close") + pl.duration(nanoseconds=source.delay)).sort("bar_known")
    asked = decisions.select("decision_time", "reach").with_row_index("_row").sort("decision_time")
    found = asked.join_asof(known, left_on="decision_time", right_on="bar_known").sort("_row")
    now = pl.lit(datetime.now(UTC), dtype=TIME)
    due = (pl.col("bar_known") <= pl.col("reach")) & (pl.col("decision_time") <= now)
    return found.select(due.fill_null(False)).to_series()


def _note(run_folder: Path, new: pl.DataFrame, keys: dict[str, str]) -> None:
    manifest = record.read_json(run_folder / "manifest.json")
    manifest["outputs"] |= record.hashes(run_folder, ["signals.parquet"])
    manifest.setdefault("refreshes", []).append(
        {
            "rows": new.height,
            "first": new["decision_time"].min(),
            "last": new["decision_time"].max(),
            "source_keys": keys,
            "code_version": record.code_version(),
        }
    )
    record.write_json(run_folder / "manifest.json", manifest)
