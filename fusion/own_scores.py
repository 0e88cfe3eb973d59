"""Scores of one's own, judged by the labels of a finished run or by the prices of a file: `trifuse evaluate`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
from pydantic import ValidationError

from fusion.evaluation import EvaluationConfig, evaluate
from fusion.horizon import Horizon, Sessions, parse_horizon
from fusion.report.run_folder import RunFolder, section
from fusion.run_scores import run_horizons, run_labels
from fusion.target import KEYS, TargetConfig, forward_returns
from gpu_kernels.errors import ConfigError, DataError, ModelError
from sources.schema import TIME
from sources.sessions import assign_session, exchange_timezone, sessions_around

_VOLATILITY = "bar_realised_variance_30"
_YEARS = 1678, 2261
_READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    "parquet": pl.read_parquet,
    "csv": lambda path: pl.read_csv(path, infer_schema_length=None),
    "jsonl": lambda path: pl.read_ndjson(path, infer_schema_length=None),
}


@dataclass(frozen=True)
class Judged:
    """The table of `fusion.evaluation.evaluate`, the primary horizon, how many scores were used, and warnings."""

    table: pl.DataFrame
    primary: Horizon
    used: int
    given: int
    warnings: list[str] = field(default_factory=list)


def read_scores(path: Path, *, column: str = "score", timezone: str | None = None) -> pl.DataFrame:
    """entity, decision_time, score of a .parquet, .csv or .jsonl file, each decision once.

    column    the score's name in the file
    timezone  of times that name none

    Missing values: a score that is null, NaN or infinite is missing.
    Raises DataError for a file that cannot be read, lacks a column, holds something else in one, a row without entity
    or time, a decision twice, or no row; ConfigError for another suffix.
    """
    rows = _read(path, ("entity", "decision_time", column))
    _check_entity(rows, path)
    if not rows.schema[column].is_numeric() and rows.schema[column] != pl.Null:
        raise DataError(f"{path}: {column} is {rows.schema[column]}", allowed="numbers")
    found = rows.select(
        pl.col("entity").cast(pl.String),
        _times(rows["decision_time"], path, timezone),
        pl.col(column).cast(pl.Float64).alias("score"),
    )
    found = found.with_columns(pl.when(pl.col("score").is_finite()).then("score"))
    _once(found, ("entity", "decision_time"), path)
    return found


def by_run(scores: pl.DataFrame, folder: Path, *, horizons: Sequence[str] | None = None) -> Judged:
    """Judged by a run's labels, regimes and settings, split by the volatility that the run knew.

    Decisions of the run without a score have none. Raises as `fusion.run_scores`, and DataError where no score is of a
    decision of the run.
    """
    run = RunFolder(folder)
    found = run_horizons(run, horizons)
    if not found:
        raise ModelError(f"{folder} names no horizon", hint="give a folder that `trifuse run` wrote")
    labels = run_labels(run, found)
    primary = parse_horizon(run.primary) if run.primary else found[0]
    primary = primary if primary in found else found[0]
    try:
        config = EvaluationConfig.model_validate(section(run.config, "evaluation"))
    except ValidationError as error:
        raise ModelError(f"{folder}: its evaluation.{error.errors()[0]['loc'][0]} is not one of this version") from None
    features = run.lazy("features")
    columns = [] if features is None else features.collect_schema().names()
    wanted = [name for name in (*config.neutral_to, _VOLATILITY) if name in columns]
    known = None
    if features is not None and wanted:
        known = (
            features.select(*KEYS, *dict.fromkeys(wanted)).collect().with_columns(pl.col("decision_time").cast(TIME))
        )
        known = known.join(labels.select(KEYS), on=KEYS, how="semi", maintain_order="left")
    volatility = None
    if known is not None and _VOLATILITY in wanted:
        volatility = known.select(*KEYS, pl.col(_VOLATILITY).fill_nan(None).alias("volatility"))
    return _judged(
        scores, labels, config, found, primary, "decision of the run",
        regimes=run.regime, volatility=volatility, features=known,
        timezone=exchange_timezone(str(run.config.get("calendar", "XNYS"))),
    )  # fmt: skip


def by_prices(
    scores: pl.DataFrame,
    path: Path,
    *,
    horizons: Sequence[str],
    calendar: str = "XNYS",
    max_age_ns: int = 600 * 10**9,
    timezone: str | None = None,
    config: EvaluationConfig | None = None,
) -> Judged:
    """Judged by forward returns of prices: entity, event_time (a bar's end), price or close, and known_time if it is
    later. No return crosses a session of the calendar; scores outside of all sessions are left out, and counted.

    Raises ConfigError for a horizon that is none, or in sessions; DataError as `read_scores` does.
    """
    try:
        targets = TargetConfig.model_validate({"horizons": list(horizons), "primary": next(iter(horizons), "")})
    except ValidationError as error:
        raise ConfigError(f"horizon: {str(error.errors()[0]['msg']).removeprefix('Value error, ')}") from None
    if isinstance(targets.primary, Sessions):
        raise ConfigError("horizons in sessions need a calendar of exits", hint="give --run, or a time such as 15min")
    prices = _prices(path, timezone)
    days = [scores["decision_time"].min().date(), scores["decision_time"].max().date()]  # type: ignore[union-attr]
    sessions = sessions_around(calendar, *days)
    grid = scores.select("entity", "decision_time").with_columns(
        assign_session(scores["decision_time"], sessions).alias("session")
    )
    grid = grid.filter(pl.col("session").is_not_null()).select(KEYS).sort("entity", "decision_time")
    prices = prices.with_columns(assign_session(prices["event_time"], sessions).alias("session"))
    prices = prices.filter(pl.col("session").is_not_null()).sort("entity", "event_time", maintain_order=True)
    labels = forward_returns(grid, prices, sessions, targets, max_age_ns)
    return _judged(
        scores, labels, config or EvaluationConfig(), targets.horizons, targets.primary, f"session of {calendar}",
        timezone=exchange_timezone(calendar),
    )  # fmt: skip


def _judged(
    scores: pl.DataFrame,
    labels: pl.DataFrame,
    config: EvaluationConfig,
    horizons: Sequence[Horizon],
    primary: Horizon,
    place: str,
    *,
    regimes: pl.DataFrame | None = None,
    volatility: pl.DataFrame | None = None,
    features: pl.DataFrame | None = None,
    timezone: str,
) -> Judged:
    key = ["entity", "decision_time"]
    matched = scores.join(labels.select(key), on=key, how="semi").height
    if not matched:
        raise DataError(
            f"none of {scores.height} scores is of a {place}", hint="compare entities, times and their time zone"
        )
    predictions = labels.select(KEYS).join(scores, on=key, how="left", maintain_order="left")
    table = evaluate(
        predictions, labels, regimes, config, horizons=horizons, primary=primary,
        volatility=volatility, features=features, timezone=timezone,
    )  # fmt: skip
    left = scores.height - matched
    warnings = [f"{left:,} of {scores.height:,} scores are of no {place} and were left out"] if left else []
    return Judged(table, primary, matched, scores.height, warnings)


def _prices(path: Path, timezone: str | None) -> pl.DataFrame:
    rows = _read(path, ("entity", "event_time"))
    _check_entity(rows, path)
    name = next((name for name in ("price", "close") if name in rows.columns), None)
    if name is None or not rows.schema[name].is_numeric():
        raise DataError(f"{path} holds no prices", allowed="a column price or close, of numbers")
    at = _times(rows["event_time"], path, timezone)
    known = _times(rows["known_time"], path, timezone) if "known_time" in rows.columns else at.alias("known_time")
    found = rows.select(pl.col("entity").cast(pl.String), at, known, pl.col(name).cast(pl.Float64).alias("price"))
    _once(found, ("entity", "event_time"), path)
    return found


def _read(path: Path, needed: Sequence[str]) -> pl.DataFrame:
    kind = path.suffix.removeprefix(".")
    if kind not in _READERS:
        raise ConfigError(f"{path} tells no format", allowed=", ".join(f".{name}" for name in _READERS))
    try:
        rows = _READERS[kind](path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}", allowed=f"a {kind} file") from None
    missing = [name for name in needed if name not in rows.columns]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}", allowed=f"columns {', '.join(needed)}")
    if rows.is_empty():
        raise DataError(f"{path} holds no rows")
    return rows


def _check_entity(rows: pl.DataFrame, path: Path) -> None:
    kind = rows.schema["entity"]
    if not (kind in (pl.String, pl.Categorical, pl.Enum, pl.Null) or kind.is_integer()):
        raise DataError(f"{path}: entity is {kind}", allowed="text")


def _times(column: pl.Series, path: Path, timezone: str | None) -> pl.Series:
    """A column of times in UTC. Raises DataError where it holds something else, or times without a zone."""
    name, far = column.name, None
    if column.dtype == pl.String:
        zoned = column.str.contains(r"(Z|[+-]\d\d:?\d\d)$").all()
        try:
            parsed = column.str.to_datetime(time_unit="ns", time_zone="UTC" if zoned else None, strict=False)
        except pl.exceptions.PolarsError:  # not one of them looks like a time
            parsed = pl.Series(name, [None] * len(column), dtype=pl.Datetime("ns"))
        if wrong := column.filter(parsed.is_null() & column.is_not_null()).to_list():
            raise DataError(f"{path}: {name} holds {wrong[0]!r}", allowed="times, e.g. 2024-01-08T14:45:00Z")
        # nanoseconds of a year beyond these would be those of another one
        far = column.filter(~column.str.slice(0, 4).cast(pl.Int64, strict=False).is_between(*_YEARS).fill_null(True))
        column = parsed
    if not isinstance(column.dtype, pl.Datetime):
        raise DataError(f"{path}: {name} is {column.dtype}", allowed="times, e.g. 2024-01-08T14:45:00Z")
    if far is None:
        far = column.filter(~column.dt.year().is_between(*_YEARS).fill_null(True))
    if len(far):
        raise DataError(f"{path}: {name} holds {far[0]}", allowed=f"times of the years {_YEARS[0]} to {_YEARS[1]}")
    if column.dtype.time_zone is None:
        if timezone is None:
            raise DataError(f"{path}: {name} names no time zone", hint="say it: --timezone America/New_York")
        try:
            ZoneInfo(timezone)
        except (KeyError, OSError, ValueError):
            raise ConfigError(f"time zone {timezone!r} is not known", allowed="e.g. UTC, America/New_York") from None
        column = column.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    return column.dt.convert_time_zone("UTC").cast(TIME)


def _once(rows: pl.DataFrame, key: tuple[str, str], path: Path) -> None:
    empty = rows.filter(pl.any_horizontal(pl.col(key).is_null())).height
    if empty:
        raise DataError(f"{path}: {empty:,} rows have no {' or no '.join(key)}", hint="take them out")
    twice = rows.filter(rows.select(key).is_duplicated())
    if twice.height:
        entity, at = twice.select(key).row(0)
        raise DataError(f"{path} holds {entity} at {at} {twice.filter(entity=entity).height} times", allowed="once")
