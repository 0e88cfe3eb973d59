"""What is not in a source of bars: reported, never invented."""

from datetime import date

import polars as pl

from sources.config import Source
from sources.quality import Window
from sources.sessions import sessions

_SHOWN = 3
# of a session's length; a quiet market's first trade may come late
_LATE = 0.05


def held(good: pl.DataFrame) -> pl.DataFrame:
    """What `missing` needs of the good bars of some files: entity, session, first and last event_time, no_volume."""
    return good.group_by("entity", "session", maintain_order=True).agg(
        first=pl.col("event_time").min(),
        last=pl.col("event_time").max(),
        no_volume=(pl.col("volume") == 0).sum(),
    )


def missing(name: str, source: Source, window: Window, found: pl.DataFrame) -> list[str]:
    """Sentences about entities that begin late, about sessions between an entity's first and last that hold no bar,
    that begin late or end early, and about bars without volume.

    found  `held` of all files
    """
    if found.is_empty():
        return []
    first, last = found["session"].min(), found["session"].max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    trading = sessions(window.calendar, window.start or first, window.end or last)
    span = found.group_by("entity").agg(_from=pl.col("session").min(), _to=pl.col("session").max()).sort("entity")
    every = (
        span.join(trading, how="cross")
        .filter(pl.col("session").is_between("_from", "_to"))
        .join(found, on=["entity", "session"], how="left", maintain_order="left")
    )
    newer = span.filter(pl.col("_from") > trading["session"][0]).select("entity", session="_from")
    length = _LATE * (pl.col("close") - pl.col("open")).cast(pl.Int64)
    bar = getattr(source, "bar", None)
    late, early = (
        (edge.cast(pl.Int64) > length + (bar or 0)).fill_null(False)
        for edge in (pl.col("first") - pl.col("open"), pl.col("close") - pl.col("last"))
    )
    said = [("have no bar", pl.col("first").is_null())]
    # information bars say nothing about when trading began
    if bar:
        said += [("begin late: their first bars are missing", late), ("end early: their last bars are missing", early)]
    told = [f"source {name}: {newer.height} entities have no earlier bar ({_shown(newer)})"] if newer.height else []
    told += [
        f"source {name}: {rows.height} of {every.height} sessions of an entity {what} ({_shown(rows)})"
        for what, where in said
        if (rows := every.filter(where)).height
    ]
    stale = found.filter(pl.col("no_volume") > 0)
    if count := int(stale["no_volume"].sum()):
        told.append(f"source {name}: {count} bars have no volume, so their prices are earlier ones ({_shown(stale)})")
    return told


def _shown(rows: pl.DataFrame) -> str:
    names = [f"{entity} {session}" for entity, session in rows.head(_SHOWN).select("entity", "session").iter_rows()]
    return ", ".join(names) + (", ..." if rows.height > _SHOWN else "")
