"""How far first prints of real series are from what they end as: figures of logs of vintages."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

from sources import vintages
from sources.metric_log import read_file

AGES = tuple(timedelta(weeks=week) for week in (0, 1, 2, 4, 8, 13, 26, 52, 104))
LOGS = {
    "card spend": ("oi_affinity_national_spend_all_vintages.csv.gz", "spend_all"),
    "retail mobility": ("oi_gps_retail_national_vintages.csv.gz", "gps_retail_and_recreation"),
}
"""Daily national series of Opportunity Insights' Economic Tracker, as changes from January 2020 (1 is 100 %)."""


@dataclass(frozen=True)
class Revised:
    """Of a series whose facts were first printed after its log began, so that the first row is the first print.

    facts, vintages, revised         how many, of how many deliveries, and the share of them that were ever revised
    level, change                    correlation of first print and last vintage: of values, and of changes over 7 facts
    mean, mean_size, largest         of last - first, of its size, and the largest size, in the series' unit
    settled                          tolerance -> median days from the first print until it is never left again
    size_by_age                      age -> mean size of what was still to come, and how many facts had come that far
    """

    facts: int
    vintages: int
    revised: float
    level: float
    change: float
    mean: float
    mean_size: float
    largest: float
    settled: dict[float, float]
    size_by_age: dict[timedelta, tuple[float, int]]


def read_log(name: str) -> pl.DataFrame:
    """The rows of one of LOGS, of TRIFUSE_DATA. Raises DataError where the file is not there."""
    file, _ = LOGS[name]
    columns = {"event_time": "event_date", "known_time": "available_time", "metric": "series"}
    return read_file(Path("${TRIFUSE_DATA}/alt/series", file), columns=columns, entity="US").rows


def measured(rows: pl.DataFrame, tolerances: tuple[float, ...] = (0.0, 0.005, 0.02)) -> Revised:
    """The figures of one series. Facts of its first delivery are left out: they may have been printed before."""
    begin = rows["known_time"].min()
    own = vintages.revisions(rows).filter(pl.col("first_known") > begin)
    later = rows.join(own.select(vintages.KEY), on=list(vintages.KEY), how="semi")
    away = vintages.revision_by_age(later, AGES).drop_nulls("away")
    sizes = away.group_by("age").agg(pl.col("away").abs().mean(), pl.len().alias("facts")).sort("age")
    settled = {
        tolerance: vintages.revisions(later, tolerance=tolerance)["days_to_settle"].median() for tolerance in tolerances
    }
    change = own.select(pl.col("first", "last").diff(7)).drop_nulls()
    return Revised(
        facts=own.height,
        vintages=rows["known_time"].n_unique(),
        revised=float((own["revision"] != 0).mean()),  # type: ignore[arg-type]
        level=_correlation(own),
        change=_correlation(change),
        mean=float(own["revision"].mean()),  # type: ignore[arg-type]
        mean_size=float(own["revision"].abs().mean()),  # type: ignore[arg-type]
        largest=float(own["revision"].abs().max()),  # type: ignore[arg-type]
        settled=settled,  # type: ignore[arg-type]
        size_by_age={age: (size, facts) for age, size, facts in sizes.iter_rows()},
    )


def _correlation(pairs: pl.DataFrame) -> float:
    return float(np.corrcoef(pairs["first"], pairs["last"])[0, 1])
