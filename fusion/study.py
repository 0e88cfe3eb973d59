"""The whole of a run between its tables and its files: tables in, every result out.

A pure function of (plan, tables), so that the leak test can run it on truncated tables and compare.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from fusion import evaluation, features, model, regime, selection, session_target, target, walk_forward
from fusion.evaluation import SCORES
from fusion.grid import decision_grid, in_periods
from fusion.horizon import horizon_name
from fusion.model import RefitModel
from fusion.plan import Plan, Progress, silent
from fusion.regime import RegimePath
from fusion.regime.observations import regime_observations
from fusion.signal_state import SignalState
from fusion.signals import Forecasts, make_signals
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
    signal_state: SignalState
    evaluation: pl.DataFrame
    session_ic: pl.DataFrame
    portfolio: pl.DataFrame


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
    if unknown := [name for name in config.evaluation.neutral_to if name not in matrix.candidates]:
        raise ConfigError(f"evaluation.neutral_to names {unknown[0]}, no feature of the run", hint="name its features")
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
    regimes = regime.filter_regimes(regime_observations(plan, tables, matrix), refits, config.regime)
    progress("selection", None)
    horizons, primary = config.predicted.horizons, config.predicted.primary
    candidates = matrix.frame.select(*target.KEYS, *matrix.candidates)
    ledger = selection.select(candidates, labels, regimes, refits, config.selection, primary)
    progress("models", None)
    predictions, models = model.walk_forward_predict(candidates, labels, regimes, ledger, refits, config.model, primary)
    forecasts = Forecasts(matrix, labels, regimes, predictions, models)
    signals, state = make_signals(plan, tables, forecasts)
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
        events=_events(plan, tables),
        features=matrix.frame,
        timezone=exchange_timezone(config.calendar),
    )
    by_session = evaluation.session_ic(signals, told, horizons=horizons, min_rows=config.evaluation.min_rows)
    held = make_portfolios(plan, matrix, signals, told)
    table = pl.concat([table, evaluation.judged(held, config.evaluation, primary)])
    return Study(matrix, labels, refits, regimes, ledger, models, signals, state, table, by_session, held)


def make_portfolios(
    plan: Plan, matrix: features.Matrix, predictions: pl.DataFrame, labels: pl.DataFrame, scores: Sequence[str] = SCORES
) -> pl.DataFrame:
    """What portfolios of the scores' quantiles earn, over the primary horizon, before and after the config's costs."""
    config, settings = plan.config, plan.config.evaluation
    return evaluation.portfolios(
        predictions,
        labels,
        evaluation.trading_costs(matrix.frame, settings.costs),
        horizon=config.predicted.primary,
        step=config.decisions.step,
        scores=scores,
        quantiles=settings.quantiles,
        cross_section=settings.portfolio.cross_section(len(plan.entities), settings.quantiles),
        past_rows=settings.portfolio.past_rows,
    )


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


def _volatility(matrix: features.Matrix, signals: pl.DataFrame) -> pl.DataFrame | None:
    name = "bar_realised_variance_30"
    if name not in matrix.frame.columns:
        return None
    known = matrix.frame.select(*target.KEYS, pl.col(name).fill_nan(None).alias("volatility"))
    return known.join(signals.select(target.KEYS), on=target.KEYS, how="semi", maintain_order="left")


def _events(plan: Plan, tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame | None:
    """The scheduled events of all calendars of the run."""
    found = [tables[name] for name, source in plan.config.sources.items() if source.table == "event"]
    columns = ("entity", "kind", "event_time", "known_time")
    return pl.concat([rows.select(columns) for rows in found]) if found else None
