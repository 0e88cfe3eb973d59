"""Which sites a ticker has at a time, as known then: the site table as stays."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

FOREVER = 2**63 - 1
_TIMES = ("event_time", "known_time", "valid_to")
SCHEMA = {
    "entity": pl.String(),
    "site": pl.String(),
    "start": pl.Int64(),
    "stop": pl.Int64(),
    "since": pl.Int64(),
    "region": pl.String(),
    "longitude": pl.Float64(),
}


def stays(rows: pl.DataFrame) -> pl.DataFrame:
    """When each site counted for each ticker, told by the site table as it was known at the time.

    At t the latest vintage known of each (entity, site, event_time) holds; the site is the entity's where
    event_time <= t < valid_to, by the latest event_time of those. Between `start` and `stop` (int64 ns, the second
    excluded) that, `since` and `region` stay the same.

    since      from when on the site has been open without a gap, as known in the stay: a time that ends when the next
               begins goes on, also from one ticker to another (a ticker that changed, a chain that was bought whole)
    longitude  of the ticker's first row known of it, which no later row changes; null where that has none

    Returns SCHEMA, sorted by (entity, site, start). Rows known later split or end stays from then on, and no other.
    """
    if rows.is_empty():
        return pl.DataFrame(schema=SCHEMA)
    facts = rows.with_columns(pl.col(_TIMES).dt.epoch("ns")).with_columns(pl.col("valid_to").fill_null(FOREVER))
    facts = facts.select("entity", "site", *_TIMES, "region", "longitude").sort("known_time", maintain_order=True)
    many = facts.filter(pl.len().over("site") > 1)
    single = facts.filter(pl.len().over("site") == 1).select(
        "entity",
        "site",
        start=pl.max_horizontal("event_time", "known_time"),
        stop="valid_to",
        since="event_time",
        region="region",
        longitude="longitude",
    )
    found = [row for _, part in many.group_by("site", maintain_order=True) for row in _of_site(part.rows())]
    parts = pl.DataFrame(found, schema=SCHEMA, orient="row")
    whole = pl.concat([single.filter(pl.col("start") < pl.col("stop")).cast(SCHEMA), parts])  # type: ignore[arg-type]
    return whole.sort("entity", "site", "start")


_Fact = tuple[str, str, int, int, int, str | None, float | None]


def _of_site(facts: list[_Fact]) -> Iterator[tuple[str, str, int, int, int, str | None, float | None]]:
    """The stays of one site, whose facts come in order of known_time."""
    first = {fact[0]: fact[6] for fact in reversed(facts)}
    moments = sorted({moment for fact in facts for moment in fact[2:5]} - {FOREVER})
    open_stays: dict[str, tuple[int, int, str | None]] = {}
    for moment in [*moments, FOREVER]:
        now = {} if moment == FOREVER else _at(facts, moment)
        for entity, (start, since, region) in list(open_stays.items()):
            if now.get(entity) != (since, region):
                yield entity, facts[0][1], start, moment, since, region, first[entity]
                del open_stays[entity]
        for entity, (since, region) in now.items():
            if entity not in open_stays:
                open_stays[entity] = (moment, since, region)


def _at(facts: list[_Fact], moment: int) -> dict[str, tuple[int, str | None]]:
    """(since, region) of each ticker that has the site at a moment."""
    held = {(fact[0], fact[2]): fact for fact in facts if fact[3] <= moment}
    found = {}
    for entity in {fact[0] for fact in held.values()}:
        own = [fact for fact in held.values() if fact[0] == entity and fact[2] <= moment < fact[4]]
        if own:
            latest = max(own, key=lambda fact: fact[2])
            found[entity] = (_open_since(latest, list(held.values())), latest[5])
    return found


def _open_since(fact: _Fact, held: list[_Fact]) -> int:
    since, before = fact[2], True
    while before:
        # of its own ticker a time that overlaps goes on too; of another only one that ends as this begins
        earlier = [
            other[2]
            for other in held
            if other[2] < since and (other[4] == since or (other[0] == fact[0] and other[4] > since))
        ]
        before = bool(earlier)
        since = min(earlier, default=since)
    return since


def counted(parts: pl.DataFrame, at: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of the stays hold at each time."""
    start, stop = (np.sort(parts[edge].to_numpy()) for edge in ("start", "stop"))
    return np.searchsorted(start, at, side="right") - np.searchsorted(stop, at, side="right")
