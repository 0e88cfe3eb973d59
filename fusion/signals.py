"""The signals of a run: what is said at each out-of-sample decision, and all that one must know to use it.

docs/signals.md tells every column. Scores come from the models; intervals and probabilities from how earlier scores
came true (`fusion.conformal`, `fusion.calibration`), which is stored with the models: later signals go on from it.
"""

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from fusion import features, session_target
from fusion.attribution import attribute, columns_of
from fusion.calibration import probabilities as probabilities_up
from fusion.conformal import intervals
from fusion.flags import flags_of, stale_of
from fusion.horizon import horizon_name
from fusion.model import RefitModel
from fusion.plan import Plan
from fusion.regime import RegimePath, at
from fusion.settlement import settlement, volatility_of
from fusion.signal_state import SignalState
from fusion.target import end_column, return_column
from sources.daily_options import DailyFile

_KEY = ("entity", "decision_time")
DATA_VERSION = "data_version"


@dataclass(frozen=True)
class Forecasts:
    """What signals are made of: the matrix and labels of all decisions, the path of the regimes, predictions of the
    models for the decisions, and the models."""

    matrix: features.Matrix
    labels: pl.DataFrame
    regimes: RegimePath
    predictions: pl.DataFrame
    models: list[RefitModel]


def make_signals(
    plan: Plan, tables: Mapping[str, pl.DataFrame], found: Forecasts, stored: SignalState | None = None
) -> tuple[pl.DataFrame, SignalState]:
    """One row per (entity, decision) of the out-of-sample sessions, sorted by them, and the state that later ones need.

    stored   the state of the run whose models these are: what it had learned by its end is used as it is

    Missing values: a column is null where docs/signals.md says so; whatever is made of the score where that is null.
    """
    config, primary = plan.config, plan.config.predicted.primary
    frame, ages, state = _scored(plan, found)
    refits = [model.refit_session for model in found.models]
    known = frame.select(_KEY).join(found.matrix.frame, on=_KEY, how="left", maintain_order="left")
    embargo = config.walk_forward.embargo_sessions
    settles = settlement(frame, found.labels, plan.periods, (return_column(primary), end_column(primary)), embargo)
    volatility = volatility_of(known, config.model.interval.volatility)
    interval, conformal = intervals(
        frame.with_columns(volatility), settles, refits, config.model.interval, stored.conformal if stored else None
    )
    up, calibrators = probabilities_up(
        frame.with_columns(interval["expected_error"]),
        settles,
        refits,
        config.model.probability,
        stored.calibrators if stored else (),
    )
    stale = stale_of(known, found.matrix.families, tables, config)
    frame = frame.with_columns(interval.get_columns()).with_columns(
        up, *stale, valid_until(plan, frame).alias("valid_until")
    )
    told = []
    if config.signals.contributions:
        # every source that gives candidates, so that the columns do not depend on what was chosen
        sources = list(dict.fromkeys(found.matrix.families[name] for name in found.matrix.candidates))
        of_models = sorted(
            {name for model in found.models for each in model.learners if each for name in each.features}
        )
        shares = attribute(
            found.models,
            frame.select("refit_session", "score").with_columns(known.select(of_models).get_columns()),
            at(found.regimes.weights, frame["decision_time"]),
            found.matrix.families,
            sources,
            threads=config.model.threads,
        )
        frame, told = frame.with_columns(shares.get_columns()), columns_of(sources)
    frame = frame.select(
        "entity", "session", "decision_time", "score", "score_ridge", "low", "high", "expected_error",
        "probability_up", "rank", "status", "flags", *(column.name for column in stale), *told,
        "regime", "regime_probability", *state, "horizon", "valid_until", "refit_session", "model_version", *ages,
    )  # fmt: skip
    return frame, SignalState(conformal, tuple(calibrators))


def _scored(plan: Plan, found: Forecasts) -> tuple[pl.DataFrame, list[str], list[str]]:
    """Scores with what is known of their inputs; the names of the ages, and of the regimes' probabilities."""
    config, matrix, predictions = plan.config, found.matrix, found.predictions
    versions = pl.DataFrame(
        {
            "refit_session": [model.refit_session for model in found.models],
            "model_version": [version_of(model) for model in found.models],
        },
        schema={"refit_session": predictions.schema["refit_session"], "model_version": pl.String},
    )
    ages = [name for name in matrix.families if name.endswith("_age")]
    state = [name for name in found.regimes.probabilities.columns if name.startswith("probability_")]
    age = next((name for name in ages if matrix.families[name] == config.price_source), None)
    stale = pl.lit(False) if age is None else pl.col(age).is_nan()
    flagged = matrix.frame.select(*_KEY, flags_of(matrix.frame, config.flags))
    withheld = pl.any_horizontal(pl.lit(False), *(pl.col("flags").str.contains(flag) for flag in config.flags.withhold))
    frame = (
        predictions.filter(pl.col("refit_session").is_not_null())
        .join(matrix.frame.select(*_KEY, *ages), on=_KEY, how="left", maintain_order="left")
        .join(flagged, on=_KEY, how="left", maintain_order="left")
        .join(
            found.regimes.probabilities.select("session", "regime", *state),
            on="session",
            how="left",
            maintain_order="left",
        )
        .join(versions, on="refit_session", how="left", maintain_order="left")
        .with_columns(
            pl.when(stale)
            .then(pl.lit("stale_price"))
            .when(withheld.fill_null(False))
            .then(pl.lit("withheld"))
            .when(pl.col("score").is_null())
            .then(pl.lit("no_model"))
            .otherwise(pl.lit("ok"))
            .alias("status")
        )
        .with_columns(
            pl.when(pl.col("status") == "ok").then(pl.col(name)).alias(name) for name in ("score", "score_ridge")
        )
        .with_columns(
            pl.coalesce(pl.when(pl.col("regime") == k).then(pl.col(name)) for k, name in enumerate(state)).alias(
                "regime_probability"
            ),
            pl.lit(horizon_name(config.predicted.primary)).alias("horizon"),
            rank_of(pl.col("score")).over("decision_time").alias("rank"),
        )
    )
    return frame.sort(_KEY), ages, state


def with_data_version(signals: pl.DataFrame, version: str) -> pl.DataFrame:
    """The signals with the version of the data that they were made from, beside that of the model."""
    place = signals.columns.index("model_version") + 1
    column = pl.lit(version).alias(DATA_VERSION)
    return signals.select(*signals.columns[:place], column, *signals.columns[place:])


def rank_of(score: pl.Expr) -> pl.Expr:
    """Average rank among the non-null values, scaled to 0..1; 0.5 for a value that is alone."""
    count = score.count()
    return pl.when(count > 1).then((score.rank("average") - 1) / (count - 1)).when(score.is_not_null()).then(0.5)


def version_of(fitted: RefitModel) -> str:
    """First 12 hexadecimal digits of a sha256 over all that a refit learned."""
    with np.printoptions(threshold=sys.maxsize, floatmode="unique"):  # else arrays are told in eight digits
        return hashlib.sha256(repr(fitted).encode()).hexdigest()[:12]


def valid_until(plan: Plan, decisions: pl.DataFrame) -> pl.Series:
    """When the return that a signal forecasts ends: the decision plus the primary horizon, or the exit's close."""
    config, primary = plan.config, plan.config.predicted.primary
    if isinstance(primary, int):
        return decisions.select(pl.col("decision_time") + pl.duration(nanoseconds=primary)).to_series()
    source = config.sources[config.price_source]
    assert isinstance(source, DailyFile)
    if decisions.is_empty():
        return decisions["decision_time"]
    trading = session_target.trading_around(config.calendar, decisions, config.predicted)
    return session_target.exits(decisions["decision_time"], trading, config.predicted, source.delay)
