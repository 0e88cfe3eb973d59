"""All measures of a run's scores, and what each session contributes to them."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from fusion.correlation import rank_moments, value_moments
from fusion.evaluation.config import EvaluationConfig
from fusion.evaluation.groups import grouped
from fusion.evaluation.measures import measured
from fusion.evaluation.neutral import NEUTRAL
from fusion.evaluation.sample import Sample, contributions
from fusion.evaluation.stated import stated
from fusion.evaluation.table import EVALUATION, SCORES, SESSION_IC, score_columns, session_offsets, values_of
from fusion.horizon import Horizon, horizon_name
from fusion.selection import labelled
from fusion.target import KEYS, return_column
from gpu_kernels.errors import ConfigError


def evaluate(
    predictions: pl.DataFrame,
    labels: pl.DataFrame,
    probabilities: pl.DataFrame | None,
    config: EvaluationConfig,
    *,
    horizons: Sequence[Horizon],
    primary: Horizon,
    volatility: pl.DataFrame | None = None,
    events: pl.DataFrame | None = None,
    features: pl.DataFrame | None = None,
    timezone: str = "UTC",
) -> pl.DataFrame:
    """Every measure of every score, tidy: metric, score, horizon, group_kind, group, value, low, high, count.

    predictions    entity, session, decision_time, and `score`, `score_ridge` or one of them; `flags`, `low`, `high`,
                   `probability_up` may be there
    labels         the same decisions with return_<horizon> in return units
    probabilities  session, time, probability_0..: a decision's regime is the likeliest one; None: no regimes
    volatility     entity, session, decision_time, volatility: splits the sessions at the median of their mean, in
                   which each entity's volatility is divided by its own median
    events         entity, kind, event_time, known_time of scheduled events: the windows of `config.event_window`
    features       entity, session, decision_time and the columns of `config.neutral_to`
    timezone       of the hours in group_kind `hour`

    A group is all rows (all), or those of a regime, an entity, an hour, volatility high or low, flags, a sector of
    `config.sectors`, or an event window: `<kind> before`, `<kind> after`, none.

    metric             what it is                                                            grouped by
    rank_ic, ic        Spearman's, Pearson's correlation of score and return over all rows   each group;
                       of the group; `lag` k: return of the k-th later decision              lag (rank_ic)
    t_stat             rank_ic over its standard error, clustered by session                 each group
    icir               mean / deviation of the sessions' contributions to rank_ic, see       each group
                       `session_ic`
    rank_ic_difference rank_ic of volatile sessions less that of calm ones                   volatility high - low
    rank_ic_neutral,   of score and return less their means over the decision (market), over neutral
    ic_neutral         the decision's entities of a sector (sector); of the score less what
                       features say of it (features): `fusion.evaluation.neutral`
    cross_sectional_   mean over decision times of Spearman's, Pearson's correlation across  each group but entity
    rank_ic, _ic       the entities: `fusion.evaluation.cross_section`                       and flags
    cross_sectional_   mean / deviation over decision times of that rank IC; its mean over   each group but entity
    icir, _t           its standard error, clustered by session                              and flags
    hit_rate           share of rows where score and return have one sign, neither being 0   all
    quantile_return    mean return (bps) of a quantile of all scores                         quantile 1 (lowest) ..;
                                                                                             regime_quantile k/1 ..
    top_minus_bottom   last quantile less the first, bps                                     all, regime
    turnover           mean change between consecutive decisions of an entity's rank among   all
                       the entities, ranks scaled to 0..1 (0.33: random order of many)
    autocorrelation    correlation of an entity's score with that of its k-th decision       all (k = 1), lag k
                       before in the session, over all such pairs
    What `low`, `high` and `probability_up` said of the primary horizon: `fusion.evaluation.stated`.

    low and high bound the interval of `config.confidence` from resampling sessions; count is rows for hit_rate and
    quantile_return, else sessions.

    Missing values: rows without score or return count nowhere; a measure without a value (constant scores, too few
    rows, turnover of one entity) is null, with count 0; no interval from fewer than 5 sessions.
    Raises DataError when the tables do not hold the same decisions, or columns are absent.
    """
    returns = [return_column(horizon) for horizon in horizons]
    rows = labelled(predictions, labels, returns).sort("session", "entity", "decision_time")
    rows = grouped(rows, probabilities, config, volatility=volatility, events=events, timezone=timezone)
    rows = _with_features(rows, features, config)
    scores = score_columns(predictions)
    found: list[tuple[object, ...]] = []
    for score in scores:
        for horizon in horizons:
            sample = Sample.of(rows, score, horizon, config)
            told = list(measured(sample, primary=horizon == primary))
            if score == SCORES[0] and horizon == primary:
                told += stated(sample)
            found += [(metric, score, horizon_name(horizon), *rest) for metric, *rest in told]
    return pl.DataFrame(found, schema=EVALUATION, orient="row").with_columns(
        pl.col("value", "low", "high").fill_nan(None)
    )


def _with_features(rows: pl.DataFrame, features: pl.DataFrame | None, config: EvaluationConfig) -> pl.DataFrame:
    if not config.neutral_to:
        return rows
    there = [] if features is None else features.columns
    missing = [name for name in config.neutral_to if name not in there]
    if features is None or missing:
        raise ConfigError(
            f"evaluation.neutral_to names {', '.join(missing)}, no feature of the run", hint="name features of the run"
        )
    named = features.select(*KEYS, *(pl.col(name).alias(NEUTRAL + name) for name in config.neutral_to))
    return rows.join(named, on=KEYS, how="left", maintain_order="left")


def session_ic(
    predictions: pl.DataFrame, labels: pl.DataFrame, *, horizons: Sequence[Horizon], min_rows: int = 5
) -> pl.DataFrame:
    """session, horizon, score, rank_ic, ic, rows: what each session contributes to the pooled correlations.

    A contribution is the mean over the session's rows of z_x z_y, both standardised over the whole sample (their ranks
    for rank_ic). So the mean of the contributions, weighted by rows, is the `rank_ic` and `ic` of `evaluate` exactly;
    one contribution alone is no correlation and may exceed 1.

    Missing values: null where a session has no row with score and return, and everywhere where the sample has fewer
    than min_rows or either is constant.
    Raises DataError as `evaluate` does.
    """
    rows = labelled(predictions, labels, [return_column(horizon) for horizon in horizons]).sort(
        "session", "entity", "decision_time"
    )
    days, offsets = session_offsets(rows)
    frames = [pl.DataFrame(schema=SESSION_IC | {"session": days.dtype})]
    for score in score_columns(predictions):
        for horizon in horizons:
            x, y = values_of(rows, score), values_of(rows, return_column(horizon))
            moments = [measure(x, y, offsets) for measure in (rank_moments, value_moments)]
            rank_ic, ic = (contributions(each, min_rows) for each in moments)
            columns = {"session": days, "rank_ic": rank_ic, "ic": ic, "rows": moments[0].rows.astype(np.int64)}
            named = pl.DataFrame(columns).with_columns(
                pl.lit(horizon_name(horizon)).alias("horizon"), pl.lit(score).alias("score")
            )
            frames.append(named.select(*SESSION_IC).with_columns(pl.col("rank_ic", "ic").fill_nan(None)))
    return pl.concat(frames)
