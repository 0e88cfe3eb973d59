"""Newer signals from an existing run's model: no refit, no rewriting of what was already said."""

import os
from datetime import date
from pathlib import Path

import polars as pl

from fusion import config as configs
from fusion import features, model
from fusion import manifest as record
from fusion.grid import decision_grid
from fusion.pipeline import REGIME_MODELS, ingest, load
from fusion.plan import Progress, make_plan, silent
from fusion.regime import RegimeModel, RegimePath
from fusion.study import make_signals, regime_observations
from gpu_kernels.errors import DataError


def signals(run_folder: Path, *, lake: Path, progress: Progress | None = None, end: date | None = None) -> pl.DataFrame:
    """Score every decision after the run's last signal that the data now reaches, with the run's last model.

    Appends to the run's signals.parquet (written under a temporary name, then renamed) and returns the new rows. Rows
    that were there are not touched: what was said at t stays said. The last decision is the last one for which a bar of
    its session is known. Raises DataError where the folder is no finished run or the data reach no further.
    """
    progress, path = progress or silent, run_folder / "signals.parquet"
    if not (run_folder / "manifest.json").is_file() or not path.is_file():
        raise DataError(f"{run_folder} is no finished run", hint="give a folder that `trifuse run` wrote")
    config = configs.load(run_folder / "config.yaml")
    before = pl.read_parquet(path)
    models = model.load(run_folder / "model")
    regime_models = [RegimeModel.from_dict(stored) for stored in record.read_json(run_folder / "model" / REGIME_MODELS)]
    plan = make_plan(config, lake, end=end)
    tables = load(plan, ingest(config, lake=lake, progress=progress, plan=plan), lake=lake, progress=progress)
    bars = tables[config.source_of("bar") or ""]
    reach, last = bars["known_time"].max(), before["decision_time"].max()
    if reach is None or (last is not None and reach <= last):
        raise DataError(
            f"the newest bar is known at {reach}, the run's last signal is of {last}",
            hint="bring newer data, then retry",
        )
    progress("features", None)
    plan = plan.until(pl.col("open") <= reach)
    grid = decision_grid(list(plan.entities), plan.sessions, config.decisions)
    matrix = features.build(config, tables, grid)
    probabilities = RegimePath(regime_observations(plan, tables), tuple(regime_models)).probabilities
    progress("signals", None)
    predictions = model.predict(models, matrix.frame, probabilities, threads=config.model.threads)
    made = make_signals(plan, matrix, probabilities, predictions, models)
    new = made.filter(pl.col("decision_time") <= reach)
    if last is not None:
        new = new.filter(pl.col("decision_time") > last)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    pl.concat([before, new]).sort("entity", "decision_time").write_parquet(temporary, compression="zstd")
    os.replace(temporary, path)
    return new
