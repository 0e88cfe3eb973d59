"""The signals of a run: what is said at each out-of-sample decision, and all that one must know to use it."""

import hashlib

import polars as pl

from fusion import features, session_target
from fusion.flags import flags_of
from fusion.horizon import horizon_name
from fusion.model import RefitModel
from fusion.plan import Plan
from sources.daily_options import DailyFile


def make_signals(
    plan: Plan,
    matrix: features.Matrix,
    probabilities: pl.DataFrame,
    predictions: pl.DataFrame,
    models: list[RefitModel],
) -> pl.DataFrame:
    """One row per (entity, decision) of the out-of-sample sessions.

    status   ok; stale_price: no price within max_age was known, so there is no score; withheld: the config wants no
             score under one of its flags; no_model: no feature was selected
    flags    what `fusion.flags` says of the book: "", drought, spoofing, or both
    rank     average rank of the score among the entities of the decision, scaled to 0..1 (0.5 where there is one)
    """
    config, key = plan.config, ["entity", "decision_time"]
    versions = pl.DataFrame(
        {"refit_session": [m.refit_session for m in models], "model_version": [version_of(m) for m in models]},
        schema={"refit_session": predictions.schema["refit_session"], "model_version": pl.String},
    )
    ages = [name for name in matrix.families if name.endswith("_age")]
    state = [name for name in probabilities.columns if name.startswith("probability_")]
    age = next((name for name in ages if matrix.families[name] == config.price_source), None)
    stale = pl.lit(False) if age is None else pl.col(age).is_nan()
    horizon = config.predicted.primary
    flagged = matrix.frame.select(*key, flags_of(matrix.frame, config.flags))
    withheld = pl.any_horizontal(pl.lit(False), *(pl.col("flags").str.contains(flag) for flag in config.flags.withhold))
    frame = (
        predictions.filter(pl.col("refit_session").is_not_null())
        .join(matrix.frame.select(*key, *ages), on=key, how="left", maintain_order="left")
        .join(flagged, on=key, how="left", maintain_order="left")
        .join(probabilities.select("session", "regime", *state), on="session", how="left", maintain_order="left")
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
            pl.lit(horizon_name(horizon)).alias("horizon"),
            rank_of(pl.col("score")).over("decision_time").alias("rank"),
        )
    )
    frame = frame.with_columns(valid_until(plan, frame).alias("valid_until"))
    return frame.select(
        "entity", "session", "decision_time", "score", "score_ridge", "rank", "status", "flags",
        "regime", "regime_probability", *state, "horizon", "valid_until", "refit_session", "model_version", *ages,
    ).sort("entity", "decision_time")  # fmt: skip


def rank_of(score: pl.Expr) -> pl.Expr:
    """Average rank among the non-null values, scaled to 0..1; 0.5 for a value that is alone."""
    count = score.count()
    return pl.when(count > 1).then((score.rank("average") - 1) / (count - 1)).when(score.is_not_null()).then(0.5)


def version_of(fitted: RefitModel) -> str:
    """First 12 hexadecimal digits of a sha256 over all that a refit learned."""
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
