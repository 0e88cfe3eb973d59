"""What a finished run holds for its evaluation: decisions, scores, labels, and how they were judged."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from fusion.horizon import Horizon, horizon_name, parse_horizon
from fusion.report.run_folder import RunFolder, section
from fusion.target import KEYS, return_column
from gpu_kernels.errors import ConfigError, DataError, ModelError
from sources.schema import TIME


@dataclass(frozen=True)
class RunScores:
    """The decisions of a run that have a signal, with the score asked for, and their labels; horizons, sectors."""

    predictions: pl.DataFrame
    labels: pl.DataFrame
    horizons: list[Horizon]
    sectors: dict[str, str]


def run_scores(folder: Path, score: str = "score", horizons: Sequence[str] | None = None) -> RunScores:
    """Reads signals.parquet and labels.parquet. Raises ModelError where one is missing or damaged, DataError for a
    score that the run has not, ConfigError for such a horizon."""
    run = RunFolder(folder)
    signals = run.signals
    if signals is None:
        raise ModelError(f"{folder} holds no signals.parquet", hint="give a folder that `trifuse run` wrote")
    if score not in signals.columns or not signals.schema[score].is_numeric():
        numbers = [name for name, dtype in signals.schema.items() if dtype.is_float()]
        raise DataError(f"{folder / 'signals.parquet'} holds no score {score!r}", allowed=", ".join(numbers))
    found = run_horizons(run, horizons)
    labels = run_labels(run, found)
    signals = signals.with_columns(pl.col("decision_time").cast(TIME))
    told = labels.join(signals.select(KEYS), on=KEYS, how="semi", maintain_order="left")
    scored = signals.select(*KEYS, score).join(told.select(KEYS), on=KEYS, how="semi", maintain_order="left")
    return RunScores(scored, told, found, dict(section(section(run.config, "evaluation"), "sectors")))


def run_horizons(run: RunFolder, wanted: Sequence[str] | None = None) -> list[Horizon]:
    """The horizons of a run's labels, or those of them that are wanted. Raises ConfigError for one that it has not."""
    names = wanted or run.horizons
    try:
        found = [parse_horizon(name) for name in names]
    except ValueError as error:
        raise ConfigError(f"horizon: {error}", allowed=", ".join(run.horizons)) from None
    there = [horizon_name(parse_horizon(name)) for name in run.horizons]
    for horizon in found:
        if horizon_name(horizon) not in there:
            raise ConfigError(f"the run has no horizon {horizon_name(horizon)}", allowed=", ".join(run.horizons))
    return list(dict.fromkeys(found))


def run_labels(run: RunFolder, horizons: Sequence[Horizon]) -> pl.DataFrame:
    """labels.parquet of a run. Raises ModelError where it is missing, damaged, or lacks a horizon."""
    labels = run.table("labels", [*KEYS, *(return_column(horizon) for horizon in horizons)])
    if labels is None:
        raise ModelError(f"{run.path} holds no labels.parquet", hint="`trifuse run CONFIG --rerun` writes it")
    return labels.with_columns(pl.col("decision_time").cast(TIME))
