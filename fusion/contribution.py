"""What each source adds out of sample: the run again without it, and with it and the prices alone.

Selection and models are refitted on the reduced candidates, at the same refits, on the same labels, with the regimes of
the run (which a source that feeds the regimes goes on feeding). What cannot differ is not done twice: a feature's
scores do not depend on the other candidates, and where a refit keeps the same features in a regime, its model is the
same. Each source is judged over its own window: the out-of-sample sessions in which any of its features has a value,
between the first row known of it and the last one plus its max_age; elsewhere it cannot add anything, and would dilute
what it does.

    added = rank IC of all sources - rank IC without this one,    over the same rows

`fusion.paired` has the interval, the test and the words; looks are the sources. A source none of whose features was
ever chosen changes nothing at all, and cannot be told.

Two nested models differ by noise too: a useless source that is chosen costs a little, so the rule rather misses a small
addition than finds one that is not there (Clark & West 2007).
"""

from collections.abc import Mapping
from datetime import date

import numpy as np
import polars as pl

from fusion.paired import UNTOLD, PairedSample, holm, neutral, numbers, word
from fusion.plan import Plan, Progress, silent
from fusion.rivals import Recipe, Rivals, Sources
from fusion.study import Study

CONTRIBUTION: dict[str, pl.DataType] = {
    "source": pl.String(),
    "first_session": pl.Date(),
    "last_session": pl.Date(),
    "sessions": pl.Int64(),
    "rows": pl.Int64(),
    "features": pl.Int64(),
    "chosen": pl.Float64(),
    **{
        name: pl.Float64()
        for name in (
            *("ic_all", "ic_without", "added", "added_low", "added_high", "t", "p_value", "p_holm"),
            *("ic_prices", "ic_with_prices", "alone", "alone_low", "alone_high"),
            *("spread_all", "spread_without", "spread_added", "spread_low", "spread_high"),
        )
    },
    "verdict": pl.String(),
    "reason": pl.String(),
}


def contributions(
    plan: Plan,
    tables: Mapping[str, pl.DataFrame],
    found: Study,
    progress: Progress = silent,
    *,
    rivals: Rivals | None = None,
) -> pl.DataFrame:
    """One row for each source that gives features, the prices' among them: see `CONTRIBUTION`. `rivals`: other models
    of this run that were made already.

    chosen   share of the refits at which a feature of it was kept in any regime
    ic_all .. ic_prices  rank ICs over the source's window: of all sources; without it; of it and the prices; of the
             prices alone. For the source of the prices the last two are its own and 0, the IC of no forecast
    alone    ic_with_prices - ic_prices, with its interval; not part of the verdict
    spread   top minus bottom quantile of the score, bps

    Missing values: a model without a score where another one has one forecasts nothing: it is given the median of its
    scores there, and one without any score has an IC and a spread of 0. No interval and no p with fewer sessions in the
    window than `fusion.overlap.least_sessions` (5 at least).
    """
    config = plan.config
    scores = rivals or Rivals(plan, found, progress)
    scores.said = "contribution"
    every = scores.every
    prices: Sources = every & {config.price_source}
    jobs = [(name, every - {name}, prices | {name}) for name in config.features if name in every]
    scores.make([Recipe(sources) for _, without, alone in jobs for sources in (without, alone, prices)])
    rows = [
        _compared(plan, tables, found, scores, source, without=without, alone=alone, prices=prices)
        for source, without, alone in jobs
    ]
    return _judged(rows, 1 - config.evaluation.confidence)


def _compared(
    plan: Plan,
    tables: Mapping[str, pl.DataFrame],
    found: Study,
    scores: Rivals,
    source: str,
    *,
    without: Sources,
    alone: Sources,
    prices: Sources,
) -> dict[str, object]:
    """The row of one source, but for what needs all of them."""
    config, sessions = plan.config, scores.signals["session"]
    y, _ = scores.returns()
    covered = sessions.is_in(_covered(plan, tables[source], found, source).implode()).to_numpy()
    wanted = [Recipe(each) for each in (scores.every, without, alone, prices if source not in prices else frozenset())]
    used = covered & np.isfinite(y) & np.any([np.isfinite(scores[recipe]) for recipe in wanted], axis=0)
    days = sessions.filter(pl.Series(used))
    sample = PairedSample.of(y[used], days, config.predicted.primary, config.evaluation)
    kept = found.ledger.filter(pl.col("kept") & pl.col("feature").is_in(_columns(found, source)))["refit_session"]
    row: dict[str, object] = {
        "source": source,
        "first_session": _day(days[0]) if len(days) else None,
        "last_session": _day(days[-1]) if len(days) else None,
        "sessions": sample.sessions,
        "rows": int(used.sum()),
        "features": len(_columns(found, source)),
        "chosen": kept.n_unique() / len(found.refits) if found.refits else 0.0,
    }
    if not len(days):
        return row
    x = [neutral(scores[recipe][used]) for recipe in wanted]
    whole, less, with_prices, base = (sample.ic(each) for each in x)
    wide, narrow = (sample.spread(each) for each in x[:2])
    added, alone_, spread = whole.less(less), with_prices.less(base), wide.less(narrow)
    t, p = sample.t_test(added)
    (low, high), (alone_low, alone_high) = sample.interval(added), sample.interval(alone_)
    spread_low, spread_high = sample.interval(spread)
    return row | {
        **{"ic_all": whole.value, "ic_without": less.value},
        **{"added": added.value, "added_low": low, "added_high": high},
        **{"t": t, "p_value": p, "ic_prices": base.value, "ic_with_prices": with_prices.value},
        **{"alone": alone_.value, "alone_low": alone_low, "alone_high": alone_high},
        **{"spread_all": wide.value, "spread_without": narrow.value, "spread_added": spread.value},
        **{"spread_low": spread_low, "spread_high": spread_high},
    }


def _covered(plan: Plan, rows: pl.DataFrame, found: Study, source: str) -> pl.Series:
    """The sessions in which the source has values at all."""
    if rows.is_empty():
        return found.matrix.frame["session"].clear()
    first = rows["known_time"].min()
    last = rows.select(pl.max_horizontal(pl.col("known_time").max(), pl.col("event_time").max())).item()
    reach = pl.lit(last).cast(rows.schema["known_time"]) + pl.duration(nanoseconds=plan.config.sources[source].max_age)
    inside = (pl.col("decision_time") >= pl.lit(first)) & (pl.col("decision_time") <= reach)
    there = pl.any_horizontal(pl.col(name).is_finite() for name in _columns(found, source))
    return found.matrix.frame.filter(inside & there)["session"].unique()


def _columns(found: Study, source: str) -> list[str]:
    return [name for name in found.matrix.candidates if found.matrix.families[name] == source]


def _judged(rows: list[dict[str, object]], level: float) -> pl.DataFrame:
    """The rows with p-values by Holm over all sources that were looked at, and the verdict in words."""
    frame = pl.DataFrame(rows, schema={name: kind for name, kind in CONTRIBUTION.items() if name in _OF_ONE})
    p = numbers(frame["p_value"])
    # a source that was never chosen is a look as well: it could have been
    p = np.where(np.isnan(p) & (numbers(frame["chosen"]) == 0), 1.0, p)
    frame = frame.with_columns(pl.Series("p_holm", holm(p)), *(pl.col(pl.Float64).fill_nan(None),))
    verdicts = [_verdict(row, level, frame.height) for row in frame.iter_rows(named=True)]
    columns = [pl.Series(name, [each[k] for each in verdicts]) for k, name in enumerate(("verdict", "reason"))]
    return frame.with_columns(columns).select(pl.col(name).cast(kind) for name, kind in CONTRIBUTION.items())


_OF_ONE = set(CONTRIBUTION) - {"p_holm", "verdict", "reason"}


def _verdict(row: Mapping[str, object], level: float, looks: int) -> tuple[str, str]:
    if not row["sessions"]:
        return UNTOLD, "no out-of-sample session has a value of it"
    if not row["chosen"] and not row["added"]:
        return UNTOLD, "none of its features was chosen at any refit, so it changed nothing"
    added = row["added"]
    assert isinstance(added, float)
    return word(added, row["p_holm"], level=level, looks=looks, sessions=row["sessions"])


def _day(session: date) -> date:
    """The day of a session, or of a block's start."""
    return session if type(session) is date else session.date()  # type: ignore[attr-defined, no-any-return]
