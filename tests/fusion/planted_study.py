"""A study of a planted market, made without files: what the models beside a run's own are tested on."""

from collections.abc import Mapping
from typing import Any

import polars as pl
from planted import PRIMARY, Planted

from fusion import features, model, selection
from fusion.config import RunConfig, parse
from fusion.conformal import ConformalState
from fusion.plan import Plan
from fusion.regime import RegimeConfig, filter_regimes
from fusion.signal_state import SignalState
from fusion.study import Study
from fusion.target import KEYS
from fusion.walk_forward import schedule

FAMILIES = {"always": "bars", "calm": "bars", "bent": "bars", "noise_0": "wire", "noise_1": "lots"}


def config(**evaluation: Any) -> RunConfig:
    """Of sources that are never read: prices, news and a metric."""
    table = {"kind": "table_file", "timezone": "UTC", "max_age": "1d", "files": "none.csv"}
    return parse(
        {
            "name": "planted",
            "entities": ["E0", "E1", "E2"],
            "start": "2020-01-06",
            "end": "2020-06-30",
            "sources": {
                "bars": table | {"table": "bar"},
                "wire": {"kind": "news_file", "timezone": "UTC", "max_age": "1d", "files": "none.csv", "delay": "1s"},
                "lots": table | {"table": "metric", "constants": {"metric": "fill"}},
            },
            "decisions": {"step": "10min", "first": "15min", "last": "15min"},
            "targets": {"horizons": ["15min"], "primary": "15min"},
            "features": {"bars": ["price"], "wire": ["news_tone_5d"], "lots": ["fill"]},
            "walk_forward": {"train_sessions": 30, "refit_sessions": 15},
            "selection": {"min_features": 2, "min_sessions": 5},
            "model": {"trees": 20, "learning_rate": 0.1, "leaves": 7, "min_rows_leaf": 20},
            "evaluation": {"bootstrap": 100} | evaluation,
        }
    )


def planted_study(
    market: Planted, settings: RunConfig, *, states: int = 2, families: Mapping[str, str] = FAMILIES
) -> tuple[Plan, Study]:
    """As `fusion.study.study` would have found it, without evaluation; features not in `families` are left out."""
    sessions = market.sessions
    plan = Plan(settings, tuple(settings.entities), sessions, sessions, {})
    frame = market.features.select(*KEYS, *families)
    refits = schedule(sessions, settings.walk_forward)
    regimes = filter_regimes(market.observations, refits, RegimeConfig(states=states))
    ledger = selection.select(frame, market.labels, regimes, refits, settings.selection, PRIMARY)
    predictions, models = model.walk_forward_predict(
        frame, market.labels, regimes, ledger, refits, settings.model, PRIMARY
    )
    status = pl.when(pl.col("score").is_null()).then(pl.lit("no_model")).otherwise(pl.lit("ok")).alias("status")
    signals = predictions.filter(pl.col("refit_session").is_not_null()).with_columns(status)
    matrix = features.Matrix(frame, dict(families), {})
    none = pl.DataFrame()
    unsettled = SignalState(ConformalState({}, none), ())
    return plan, Study(matrix, market.labels, refits, regimes, ledger, models, signals, unsettled, none, none, none)
