"""Small site tables for tests, and slow obvious answers to what they mean."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import strategies as st

from sources.schema import TABLES

SCHEMA = TABLES["site"].schema
START = datetime(2020, 1, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    """So many days after the start of 2020."""
    return START + timedelta(days=number)


def row(
    site: str,
    event: float,
    known: float,
    ends: float | None = None,
    *,
    entity: str = "AAA",
    latitude: float = 30.0,
    longitude: float = -90.0,
    region: str | None = "US-TX",
) -> dict[str, Any]:
    found = {"entity": entity, "site": site, "event_time": day(event), "known_time": day(known)}
    found |= {"valid_to": None if ends is None else day(ends), "latitude": latitude, "longitude": longitude}
    return found | {"region": region, "geometry": None, "name": None, "brand": None}


def table(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=SCHEMA)


def listing(at: float, sites: dict[str, dict[str, Any]]) -> pl.DataFrame:
    """A snapshot: site -> what is other than usual (`opened` states an opening)."""
    return table(
        *(
            row(site, told.get("opened", at), at, **{name: value for name, value in told.items() if name != "opened"})
            for site, told in sites.items()
        )
    )


def slow_sites_at(rows: pl.DataFrame, time: datetime) -> dict[tuple[str, str], dict[str, Any]]:
    """(entity, site) -> the row in force at a time, by looking at every row."""
    latest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in rows.iter_rows(named=True):
        if one["known_time"] > time:
            continue
        key = (one["entity"], one["site"], one["event_time"])
        if key not in latest or one["known_time"] >= latest[key]["known_time"]:
            latest[key] = one
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for (entity, site, event), one in latest.items():
        if event > time or (one["valid_to"] is not None and one["valid_to"] <= time):
            continue
        if (entity, site) not in found or event > found[entity, site]["event_time"]:
            found[entity, site] = one
    return found


def as_dict(rows: pl.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    found = {(one["entity"], one["site"]): one for one in rows.iter_rows(named=True)}
    assert len(found) == rows.height
    return found


def told(rows: pl.DataFrame) -> Sequence[tuple[Any, ...]]:
    """Site, days of event, known and end, of rows in order of what is known."""
    days = [
        ((pl.col(name) - START).dt.total_seconds() / 86_400).alias(name)
        for name in ("event_time", "known_time", "valid_to")
    ]
    return rows.sort("known_time", "site", "event_time").select("site", *days).rows()


DAYS = st.integers(0, 12)
FACTS = st.builds(
    lambda site, event, known, length, region, entity: row(
        site, event, known, None if length is None else event + length, region=region, entity=entity
    ),
    st.sampled_from("ab"),
    DAYS,
    DAYS,
    st.none() | st.integers(0, 8),
    st.sampled_from(["US-TX", "US-OH", None]),
    st.sampled_from(["AAA", "BBB"]),
)
"""Rows in any order, of facts that may overlap, be revised, withdrawn or told before they hold."""
