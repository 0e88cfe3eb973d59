"""The whole of a run between its tables and its files: tables in, every result out.

A pure function of (plan, tables), so that the leak test can run it on truncated tables and compare.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from fusion import evaluation, features, model, regime, selection, session_target, target, walk_forward
from fusion.features.metric import market_wide, of_entities
from fusion.flags import flags_of
from fusion.grid import decision_grid, in_periods
from fusion.horizon import horizon_name
from fusion.model import RefitModel
from fusion.plan import Plan, Progress, silent
from fusion.regime import RegimePath
from fusion.walk_forward import Refit
from gpu_kernels.errors import ConfigError, DataError
from sources.daily_options import DailyFile
from sources.sessions import exchange_timezone


@dataclass(frozen=True)
class Study:
    """All results of a run; frames as in ARCHITECTURE.md, "A run folder"."""

    matrix: features.Matrix
    labels: pl.DataFrame
    refits: list[Refit]
    regimes: RegimePath
    ledger: pl.DataFrame
    models: list[RefitModel]
    signals: pl.DataFrame
    evaluation: pl.DataFrame
    session_ic: pl.DataFrame


def study(plan: Plan, tables: Mapping[str, pl.DataFrame], progress: Progress = silent) -> Study:
    """Features, labels, regimes, selection, models, signals and their evaluation.

    `tables` maps each source's name to its rows; news rows carry scores. Raises DataError when no price is there.
    """
    config = plan.config
    source = config.sources[config.price_source]
    if tables[config.price_source].is_empty():
        raise DataError(
            f"source {config.price_source!r} has no {source.table} of {', '.join(plan.entities)} "
            f"in {plan.start} .. {plan.end}",
            hint="check entities, start, end and the source's files",
        )
    progress("features", None)
    grid = decision_grid(list(plan.entities), plan.sessions, config.decisions)
    if grid.is_empty():
        raise ConfigError("no session is long enough for decisions.first and decisions.last", hint="shorten them")
    matrix = features.build(config, tables, grid)
    if not matrix.candidates:
        raise ConfigError("features names no feature", hint="write e.g. features: {bars: all}")
    progress("labels", None)
    labels = make_labels(plan, tables, grid)
    if labels[target.return_column(config.predicted.primary)].null_count() == labels.height:
        raise DataError(
            f"no decision has a {horizon_name(config.predicted.primary)} return"
            + ("" if config.predicted.daily else " inside its session"),
            hint="shorten targets.horizons, or check that the prices are those of the config's sessions",
        )
    progress("regimes", None)
    # from here on `session` is what results are counted by: a session, or a block of one
    periods = plan.periods
    matrix, labels = replace(matrix, frame=in_periods(matrix.frame, periods)), in_periods(labels, periods)
    refits = walk_forward.schedule(periods, config.walk_forward)
    regimes = regime.filter_regimes(regime_observations(plan, tables), refits, config.regime)
    progress("selection", None)
    horizons, primary = config.predicted.horizons, config.predicted.primary
    candidates = matrix.frame.select(*target.KEYS, *matrix.candidates)
    ledger = selection.select(candidates, labels, regimes, refits, config.selection, primary)
    progress("models", None)
    predictions, models = model.walk_forward_predict(candidates, labels, regimes, ledger, refits, config.model, primary)
    signals = make_signals(plan, matrix, regimes.probabilities, predictions, models)
    progress("evaluation", None)
    told = labels.join(signals.select(target.KEYS), on=target.KEYS, how="semi", maintain_order="left")
    table = evaluation.evaluate(
        signals,
        told,
        regimes.probabilities,
        config.evaluation,
        horizons=horizons,
        primary=primary,
        volatility=_volatility(matrix, signals),
        timezone=exchange_timezone(config.calendar),
    )
    by_session = evaluation.session_ic(signals, told, horizons=horizons, min_rows=config.evaluation.min_rows)
    return Study(matrix, labels, refits, regimes, ledger, models, signals, table, by_session)


def make_labels(plan: Plan, tables: Mapping[str, pl.DataFrame], grid: pl.DataFrame) -> pl.DataFrame:
    """The labels of a grid: returns inside sessions, or over sessions where the config says so."""
    config, source = plan.config, plan.config.sources[plan.config.price_source]
    rows = tables[config.price_source]
    if isinstance(source, DailyFile):
        trading = session_target.trading_around(config.calendar, grid, config.predicted)
        bars = session_target.session_prices(rows)
        return session_target.session_returns(grid, bars, trading, config.predicted, source.delay)
    prices = target.price_stream(rows, source.table)
    return target.forward_returns(grid, prices, plan.sessions, config.predicted, source.max_age)


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


def regime_observations(plan: Plan, tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """session, time, one column per regime input: the metric as known at the session's open."""
    grid = plan.history_periods.select("session", pl.col("open").alias("decision_time"))
    columns = []
    for wanted in plan.config.regime.inputs:
        series = {}
        for name, source in plan.config.sources.items():
            if source.table == "metric":
                rows = of_entities(tables[name], wanted.metric).filter(pl.col("entity") == wanted.entity)
                if rows.height:
                    series[name] = rows
        if len(series) != 1:
            raise ConfigError(
                f"regime input {wanted.entity}/{wanted.metric} is in {', '.join(series) or 'no metric source'}",
                allowed="one metric source",
                hint="name a source's metric and entity as `trifuse ingest` stored them",
            )
        ((name, rows),) = series.items()
        values, _ = market_wide(rows, grid, plan.config.sources[name].max_age)
        value = wanted.apply(pl.col("value").fill_nan(None)).alias(wanted.column)
        columns.append(pl.DataFrame({"value": values}).select(value).to_series())
    return grid.rename({"decision_time": "time"}).with_columns(columns)


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
            pl.max_horizontal(state).alias("regime_probability"),
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


def _volatility(matrix: features.Matrix, signals: pl.DataFrame) -> pl.DataFrame | None:
    name = "bar_realised_variance_30"
    if name not in matrix.frame.columns:
        return None
    known = matrix.frame.select(*target.KEYS, pl.col(name).fill_nan(None).alias("volatility"))
    return known.join(signals.select(target.KEYS), on=target.KEYS, how="semi", maintain_order="left")
