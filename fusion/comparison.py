"""The run's model beside simpler ones, on the same refits, labels and decisions: what regimes, trees and sources add.

    difference = rank IC of the run - rank IC of the simpler model,    over the same rows

`fusion.paired` has the interval, the test and the words. Looks are the models of one horizon and one family that could
have differed: the first four below are a family, the others another, so that what is said of regimes does not depend on
whether the run was asked about sources. Each simpler model lacks one thing that the run has, and the difference
measures what that thing adds:

    model                what it is                                                        the difference tells of
    static               one regime: selection pooled over them, one learner, weights 1    regimes
    pooled_selection     selection pooled, the mixture by regime                           regime-wise selection
    single_learner       the features that any regime kept, one learner, weights 1         mixture by regime
    ridge                a straight line on the run's features, by regime                  trees
    best_source          at each refit the one source that looked best then (`rivals`)     joining sources
    prices               the prices alone                                                  all but the prices
    without_news         no source of news                                                 news
    without_alternative  no source of alternative data                                     alternative data

Alternative data are the sources that `evaluation.alternative` names; without it sources of sites, and of metrics that
are neither FRED-MD nor ALFRED nor hold an input of the regime. The last four are made where the run asks for
`evaluation.contribution`; `fusion.contribution` judges each source over its own window, these are over all sessions.
"""

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.config import RunConfig
from fusion.horizon import Horizon, horizon_name
from fusion.paired import UNTOLD, Estimate, PairedSample, holm, neutral, numbers, word
from fusion.plan import Plan, Progress, silent
from fusion.rivals import Recipe, Rivals, Sources
from fusion.study import Study

Floats = NDArray[np.float64]

RUN, REGIMES = "run", ("static", "pooled_selection", "single_learner")
"""The run's own model, and those that a run of one regime cannot differ from."""
STRUCTURE = (*REGIMES, "ridge")
"""The family of those that have all sources."""
TELLS = {
    "static": "regimes",
    "pooled_selection": "regime-wise selection",
    "single_learner": "mixture by regime",
    "ridge": "trees",
    "best_source": "joining sources",
    "prices": "all but the prices",
    "without_news": "news",
    "without_alternative": "alternative data",
}
"""What the run has and the model lacks."""
COMPARISON: dict[str, pl.DataType] = {
    "model": pl.String(),
    "tells": pl.String(),
    "horizon": pl.String(),
    "sessions": pl.Int64(),
    "rows": pl.Int64(),
    **{
        name: pl.Float64()
        for name in (
            *("scored", "ic", "ic_low", "ic_high"),
            *("difference", "difference_low", "difference_high", "t", "p_value", "p_holm"),
            *("spread", "spread_low", "spread_high", "spread_difference"),
            *("spread_difference_low", "spread_difference_high"),
        )
    },
    "verdict": pl.String(),
    "reason": pl.String(),
}
_MACRO_KINDS = ("fred_md", "alfred")


def compare(plan: Plan, found: Study, progress: Progress = silent, *, rivals: Rivals | None = None) -> pl.DataFrame:
    """One row for each model and horizon, the run's own first: see `COMPARISON`. `rivals`: as of `contributions`.

    scored   share of the rows at which the model has a score
    ic, spread   rank IC, and top minus bottom quantile of the score (bps), with intervals of `evaluation.confidence`
    difference, spread_difference   the run's less the model's; t and p are those of the rank IC's
    p_holm   adjusted for the looks of the family and horizon; the verdict is the run's against each model

    Rows are the decisions out of sample, neither stale nor withheld, with a return, at which any model has a score.
    Missing values: a model without a score where another has one forecasts nothing: it is given the median of its
    scores there, and one without any score has an IC and a spread of 0. No interval and no p with fewer sessions than
    `fusion.overlap.least_sessions` (5 at least). No row of a model that would be the run's by its sources alone.
    """
    scores = rivals or Rivals(plan, found, progress)
    made = model_scores(plan.config, scores)
    frames = [_at(plan, found, scores, made, horizon) for horizon in plan.config.predicted.horizons]
    return pl.concat([frame.select(pl.col(name).cast(kind) for name, kind in COMPARISON.items()) for frame in frames])


def model_scores(config: RunConfig, scores: Rivals) -> dict[str, Floats]:
    """The scores of each model of the table at the decisions of `scores.signals`, the run's own first."""
    scores.said = "comparison"
    wanted = recipes(config, scores.every)
    scores.make([recipe for recipe in wanted.values() if recipe is not None])
    made = {RUN: scores[scores.run]}
    for name, recipe in wanted.items():
        if recipe is not None:
            made[name] = scores[recipe]
        else:
            made[name] = scores.ridge if name == "ridge" else scores.best_source()[0]
    return made


def alternative_sources(config: RunConfig) -> Sources:
    """The sources of alternative data, by the config's word or, where it is silent, by what they are."""
    named = config.evaluation.alternative
    return frozenset(named) if named is not None else frozenset(filter(_is_alternative(config), config.sources))


def _is_alternative(config: RunConfig) -> Callable[[str], bool]:
    inputs: set[str | None] = set()
    for wanted in config.regime.inputs:
        several = wanted.mean_of if isinstance(wanted.mean_of, tuple) else ()
        inputs |= {wanted.metric, wanted.less, *(name.removeprefix("-") for name in several)} - {None}

    def found(name: str) -> bool:
        source = config.sources[name]
        if source.table != "metric":
            return source.table == "site"
        told = {*getattr(source, "metrics", {}), getattr(source, "constants", {}).get("metric")}
        return source.kind not in _MACRO_KINDS and not told & inputs

    return found


def recipes(config: RunConfig, every: Sources) -> dict[str, Recipe | None]:
    """The simpler models of a run in the order of the table; None: not made by a recipe."""
    found: dict[str, Recipe | None] = {
        "static": Recipe(every, "pooled", "single"),
        "pooled_selection": Recipe(every, "pooled", "mixture"),
        "single_learner": Recipe(every, "by_regime", "single"),
        "ridge": None,
    }
    if not config.evaluation.contribution:
        return found
    news = {name for name, source in config.sources.items() if source.table == "news"}
    if len(every) > 1:
        found["best_source"] = None
    if config.price_source in every and len(every) > 1:
        found["prices"] = Recipe(frozenset({config.price_source}))
    for name, left_out in (("without_news", news), ("without_alternative", alternative_sources(config))):
        if every & left_out:
            found[name] = Recipe(every - left_out)
    return found


def _at(plan: Plan, found: Study, scores: Rivals, made: Mapping[str, Floats], horizon: Horizon) -> pl.DataFrame:
    """The rows of one horizon."""
    settings = plan.config.evaluation
    y, _ = scores.returns(horizon)
    used = np.isfinite(y) & np.any([np.isfinite(score) for score in made.values()], axis=0)
    sample = PairedSample.of(y[used], scores.signals["session"].filter(pl.Series(used)), horizon, settings)
    rows: list[dict[str, object]] = []
    own = None
    for name, score in made.items():
        x = neutral(score[used])
        each = (sample.ic(x), sample.spread(x))
        own = own or each
        row = _of_one(sample, each) | (_less(sample, own, each) if name != RUN else {})
        same = np.array_equal(neutral(made[RUN][used]), x)
        scored = float(np.isfinite(score[used]).mean()) if used.any() else 0.0
        rows.append(
            row | {"model": name, "tells": TELLS.get(name), "scored": scored, "same": same, "rows": int(used.sum())}
        )
    frame = pl.DataFrame(rows, infer_schema_length=None)
    frame = frame.with_columns(
        pl.lit(horizon_name(horizon)).alias("horizon"), pl.lit(sample.sessions).alias("sessions")
    )
    return _judged(frame, 1 - settings.confidence, states=found.regimes.states)


def _of_one(sample: PairedSample, each: tuple[Estimate, Estimate]) -> dict[str, object]:
    row: dict[str, object] = {}
    for name, estimate in zip(("ic", "spread"), each, strict=True):
        low, high = sample.interval(estimate)
        row |= {name: estimate.value, f"{name}_low": low, f"{name}_high": high}
    return row


def _less(sample: PairedSample, own: tuple[Estimate, Estimate], other: tuple[Estimate, Estimate]) -> dict[str, object]:
    ic, spread = (mine.less(theirs) for mine, theirs in zip(own, other, strict=True))
    row: dict[str, object] = dict(zip(("t", "p_value"), sample.t_test(ic), strict=True))
    for name, estimate in (("difference", ic), ("spread_difference", spread)):
        low, high = sample.interval(estimate)
        row |= {name: estimate.value, f"{name}_low": low, f"{name}_high": high}
    return row


def _judged(frame: pl.DataFrame, level: float, *, states: int) -> pl.DataFrame:
    """The rows with p-values by Holm over the models of a family that could have differed, and the verdict in words."""
    frame = frame.with_columns(pl.col("t", "p_value", "difference").cast(pl.Float64))
    # scores that happen to be the run's are a look as well: they could have differed
    alike = pl.col("same") & ~pl.col("p_value").is_finite().fill_null(False)
    p = numbers(frame.select(pl.when(alike).then(1.0).otherwise("p_value")).to_series())
    impossible = [RUN, *(REGIMES if states == 1 else ())]
    adjusted, looks = np.full(len(p), np.nan), np.zeros(len(p), dtype=np.int64)
    for structure in (True, False):
        family = frame["model"].is_in(STRUCTURE) == structure
        mine = (family & ~frame["model"].is_in(impossible)).to_numpy()
        adjusted[mine], looks[mine] = holm(p[mine]), mine.sum()
    frame = frame.with_columns(pl.Series("p_holm", adjusted))
    words = [
        _word(row, level=level, looks=int(count), states=states)
        for row, count in zip(frame.iter_rows(named=True), looks, strict=True)
    ]
    said = [pl.Series(name, [each[k] for each in words], dtype=pl.String) for k, name in enumerate(_WORDS)]
    return frame.with_columns(said).with_columns(pl.col(pl.Float64).fill_nan(None))


_WORDS = ("verdict", "reason")


def _word(row: Mapping[str, object], *, level: float, looks: int, states: int) -> tuple[str | None, str]:
    if row["model"] == RUN:
        return None, "the run's own"
    if row["same"] and not row["rows"]:
        return UNTOLD, "no model has a score out of sample"
    if row["same"] and states == 1 and row["model"] in REGIMES:
        return UNTOLD, "the run has one regime, so that it is this model"
    if row["same"]:
        return UNTOLD, "its scores are the run's at every decision"
    difference = row["difference"]
    assert isinstance(difference, float)
    return word(difference, row["p_holm"], level=level, looks=looks, sessions=row["sessions"])
