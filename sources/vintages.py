"""Vintages of metrics: what was known when, what was first printed, how values were revised, and whether a later
delivery tells another past than an earlier one did.

A vintage is a row of the metric table; those of one fact share (entity, site, metric, event_time). Of two rows of a
fact with equal known_time the later row is the later vintage. Every function here takes rows of that table in the
order of `sources.lake.read`, of any entities, sites and metrics.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from sources.schema import TABLES, TIME

SERIES = ("entity", "site", "metric")
KEY = TABLES["metric"].key


def view(rows: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """The series as they were known at a moment: of each fact known by then the latest vintage, in the order of KEY.

    Missing values: a fact whose latest vintage withdraws it (a null value) is left out.
    """
    return latest(rows.filter(pl.col("known_time") <= pl.lit(at, dtype=TIME)))


def latest(rows: pl.DataFrame) -> pl.DataFrame:
    """The last vintage of each fact: the view of all that is known.

    Missing values: as `view`.
    """
    last = _in_order(rows).unique(KEY, keep="last", maintain_order=True)
    return last.filter(pl.col("value").is_not_null()).sort(KEY)


def first_prints(rows: pl.DataFrame) -> pl.DataFrame:
    """The first vintage of each fact that has a value, whether or not it was withdrawn later, in the order of KEY.

    Missing values: a fact that never had a value is left out.
    """
    told = _in_order(rows).filter(pl.col("value").is_not_null())
    return told.unique(KEY, keep="first", maintain_order=True).sort(KEY)


def revisions(rows: pl.DataFrame, *, tolerance: float = 0.0) -> pl.DataFrame:
    """How each fact was revised: KEY, and

    first, last             value of the first print and of the last vintage, in the series' unit
    revision                last - first
    vintages                how many rows tell it
    first_known             known_time of the first print
    settled                 from when on every vintage lies within `tolerance` (in the series' unit) of the last
    days_to_settle          from first_known to settled

    Missing values: facts that are withdrawn, or never had a value, are left out.
    """
    ends = latest(rows).select(*KEY, pl.col("value").alias("last"))
    prints = first_prints(rows).select(*KEY, pl.col("value").alias("first"), first_known="known_time")
    told = _in_order(rows).join(ends, on=KEY)
    # a withdrawal in between is as far from the last value as can be
    away = ((pl.col("value") - pl.col("last")).abs() > tolerance).fill_null(True)
    place = pl.int_range(pl.len()).over(KEY)
    last_away = pl.when(away).then(place).max().over(KEY).fill_null(-1)
    counts = told.group_by(KEY).len("vintages")
    settled = told.filter(place == last_away + 1).select(*KEY, settled="known_time")
    found = ends.join(prints, on=KEY).join(settled, on=KEY).join(counts, on=KEY)
    return found.select(
        *KEY,
        "first",
        "last",
        (pl.col("last") - pl.col("first")).alias("revision"),
        "vintages",
        "first_known",
        "settled",
        ((pl.col("settled") - pl.col("first_known")).cast(pl.Int64) / 86_400e9).alias("days_to_settle"),
    ).sort(KEY)


def summary(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a series: entity, site, metric, and

    facts, vintages           how many facts have a value, and how many known_times told any
    first_event, last_event   of those facts
    first_known, last_known   of all rows
    revised                   share of the facts whose last vintage differs from the first print
    mean_size                 mean of the size of that difference, in the series' unit
    days_to_settle            median over facts, from the first print to the last vintage

    Missing values: null where no fact has a value.
    """
    all_rows = rows.group_by(SERIES).agg(
        vintages=pl.col("known_time").n_unique(),
        first_known=pl.col("known_time").min(),
        last_known=pl.col("known_time").max(),
    )
    facts = (
        revisions(rows)
        .group_by(SERIES)
        .agg(
            facts=pl.len(),
            first_event=pl.col("event_time").min(),
            last_event=pl.col("event_time").max(),
            revised=(pl.col("revision") != 0).mean(),
            mean_size=pl.col("revision").abs().mean(),
            days_to_settle=pl.col("days_to_settle").median(),
        )
    )
    found = all_rows.join(facts, on=SERIES, how="left").with_columns(pl.col("facts").fill_null(0))
    ends = ("first_event", "last_event", "first_known", "last_known", "revised", "mean_size", "days_to_settle")
    return found.select(*SERIES, "facts", "vintages", *ends).sort(SERIES)


def revision_by_age(rows: pl.DataFrame, ages: Sequence[timedelta]) -> pl.DataFrame:
    """What was still to come: KEY, age, and `away`, the value known so long after the first print less the last one, in
    the series' unit; the fan of a series is its quantiles by age.

    Missing values: no row where the last vintage of the series came before that age, which tells of no revision what is
    missing of the log; facts that are withdrawn are left out; null where the fact was withdrawn at that age.
    """
    ends = latest(rows).select(*KEY, pl.col("value").alias("last"))
    prints = first_prints(rows).select(*KEY, first_known="known_time")
    reach = rows.group_by(SERIES).agg(reach=pl.col("known_time").max())
    asked = ends.join(prints, on=KEY).join(reach, on=SERIES).join(_ages(ages), how="cross")
    asked = asked.with_columns(at=pl.col("first_known") + pl.col("age")).filter(pl.col("at") <= pl.col("reach"))
    told = _in_order(rows).select(*KEY, at="known_time", known="value")
    found = asked.sort("at").join_asof(told, on="at", by=list(KEY), check_sortedness=False)
    return found.select(*KEY, "age", away=pl.col("known") - pl.col("last")).sort(*KEY, "age")


def _ages(ages: Sequence[timedelta]) -> pl.DataFrame:
    return pl.DataFrame({"age": ages}, schema={"age": pl.Duration("ns")})


def rewritten(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """What a later delivery of a log tells otherwise of the past that an earlier one had told: KEY, known_time, what,
    before and after (values of that known_time in their order, null: no row).

    gone      a row of the earlier delivery that the later one lacks
    changed   the value of a row
    inserted  a row that was known, as the later one says, before the last row of its series in the earlier one was,
              though the earlier one did not hold it

    A log that is only appended to gives no row: its new rows are known later than its old ones.
    """
    old, new = (_by_time(rows, name) for rows, name in ((before, "before"), (after, "after")))
    reach = before.group_by(SERIES).agg(reach=pl.col("known_time").max())
    both = old.join(new, on=[*KEY, "known_time"], how="full", coalesce=True).join(reach, on=SERIES, how="left")
    what = (
        pl.when(pl.col("after").is_null())
        .then(pl.lit("gone"))
        .when(pl.col("before").is_null() & (pl.col("known_time") <= pl.col("reach")))
        .then(pl.lit("inserted"))
        .when(pl.col("before") != pl.col("after"))
        .then(pl.lit("changed"))
    )
    found = both.with_columns(what.alias("what")).filter(pl.col("what").is_not_null())
    return found.select(*KEY, "known_time", "what", "before", "after").sort(*KEY, "known_time")


def _in_order(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort("known_time", maintain_order=True)


def _by_time(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    return rows.group_by(*KEY, "known_time", maintain_order=True).agg(pl.col("value").alias(name))
