"""Which sites a ticker has at a time, and since when each has been open, as known then: the site table as tenures."""

from collections.abc import Iterator

import polars as pl

FOREVER = 2**63 - 1
_TIMES = ("event_time", "known_time", "valid_to")
SCHEMA = {
    "entity": pl.String(),
    "site": pl.String(),
    "start": pl.Int64(),
    "stop": pl.Int64(),
    "since": pl.Int64(),
    "longitude": pl.Float64(),
}


def tenures(rows: pl.DataFrame) -> pl.DataFrame:
    """When each site counted for each ticker, told by the site table as it was known at the time: the stays of
    `sources.sites.counts`, cut where what is known of the time before changes.

    At t the latest vintage known of each (entity, site, event_time) holds; the site is the entity's where
    event_time <= t < valid_to, by the latest event_time of those. Between `start` and `stop` (int64 ns, the second
    excluded) that and `since` stay the same.

    since      from when on the site has been open without a gap, as known in the tenure: a time that ends when the next
               begins goes on, also from one ticker to another (a ticker that changed, a chain that was bought whole)
    longitude  of the ticker's first row known of it, which no later row changes; null where that has none

    Returns SCHEMA, sorted by (entity, site, start). Rows known later split or end tenures from then on, and no other.
    """
    if rows.is_empty():
        return pl.DataFrame(schema=SCHEMA)
    facts = rows.with_columns(pl.col(_TIMES).dt.epoch("ns")).with_columns(pl.col("valid_to").fill_null(FOREVER))
    facts = facts.select("entity", "site", *_TIMES, "longitude").sort("known_time", maintain_order=True)
    many = facts.filter(pl.len().over("site") > 1)
    single = facts.filter(pl.len().over("site") == 1).select(
        "entity",
        "site",
        start=pl.max_horizontal("event_time", "known_time"),
        stop="valid_to",
        since="event_time",
        longitude="longitude",
    )
    found = [row for _, part in many.group_by("site", maintain_order=True) for row in _of_site(part.rows())]
    parts = pl.DataFrame(found, schema=SCHEMA, orient="row")
    whole = pl.concat([single.filter(pl.col("start") < pl.col("stop")).cast(SCHEMA), parts])  # type: ignore[arg-type]
    return whole.sort("entity", "site", "start")


_Fact = tuple[str, str, int, int, int, float | None]


def _of_site(facts: list[_Fact]) -> Iterator[tuple[str, str, int, int, int, float | None]]:
    """The tenures of one site, whose facts come in order of known_time."""
    longitude = {fact[0]: fact[5] for fact in reversed(facts)}
    moments = sorted({moment for fact in facts for moment in fact[2:5]} - {FOREVER})
    begun: dict[str, tuple[int, int]] = {}
    for moment in [*moments, FOREVER]:
        now = {} if moment == FOREVER else _at(facts, moment)
        for entity, (start, since) in list(begun.items()):
            if now.get(entity) != since:
                yield entity, facts[0][1], start, moment, since, longitude[entity]
                del begun[entity]
        for entity, since in now.items():
            if entity not in begun:
                begun[entity] = (moment, since)


def _at(facts: list[_Fact], moment: int) -> dict[str, int]:
    """Since when the site has been open, of each ticker that has it at a moment."""
    held = {(fact[0], fact[2]): fact for fact in facts if fact[3] <= moment}
    found = {}
    for entity in {fact[0] for fact in held.values()}:
        own = [fact for fact in held.values() if fact[0] == entity and fact[2] <= moment < fact[4]]
        if own:
            found[entity] = _open_since(max(own, key=lambda fact: fact[2]), list(held.values()))
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
