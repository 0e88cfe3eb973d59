"""The sites of each ticker as they were known, and were, at a time."""

from datetime import datetime

import polars as pl

from gpu_kernels.errors import ArgumentError
from sources.schema import TABLES, TIME

KEY = TABLES["site"].key


def sites_at(rows: pl.DataFrame, time: datetime) -> pl.DataFrame:
    """The sites valid at a time, as known at it: rows of the site table, each (entity, site) once, sorted by it.

    Of the rows with known_time <= time, each (entity, site, event_time) in its latest vintage (of equal known times the
    later row); of those the ones with event_time <= time < valid_to; where several of one site hold, the one of the
    latest event_time.

    rows  of the site table, in any order but that ties in known_time stand in the order of their files
    time  with a time zone

    Missing values: a site of which nothing is known has no row. Raises ArgumentError for a time without a zone.
    """
    if time.tzinfo is None:
        raise ArgumentError(f"time {time} has no time zone", allowed="a time with one, e.g. UTC")
    moment = pl.lit(time).cast(TIME)
    latest = (
        rows.filter(pl.col("known_time") <= moment)
        .sort("known_time", maintain_order=True)
        .unique(KEY, keep="last", maintain_order=True)
    )
    there = latest.filter(pl.col("event_time") <= moment, pl.col("valid_to").is_null() | (pl.col("valid_to") > moment))
    return there.sort("event_time", maintain_order=True).unique(("entity", "site"), keep="last").sort("entity", "site")
