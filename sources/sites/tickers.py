"""Sites of a brand as sites of its owner's tickers, each from its first day to its last."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from sources.clocks import to_utc
from sources.schema import TABLES, TIME

if TYPE_CHECKING:
    from sources.site_options import TickerDays

_KEY = ("site", "event_time")
_FOREVER = 2**63 - 1


def by_ticker(rows: pl.DataFrame, days: Sequence["TickerDays"], timezone: str) -> pl.DataFrame:
    """Rows of one brand's sites as rows of its tickers.

    rows      of the site table, whose entity is the brand; known_time tells vintages of one (site, event_time)
    days      who owned the brand on which days, in order; both days are whole and inclusive in `timezone`

    A site counts for a ticker from the later of its opening and the ticker's first day on, and this is known from
    that day on at the earliest: before a change nobody knows it. On the day after a ticker's last one its rows get
    valid_to, known then, and the next ticker has rows of its own: one for a site, also where it had closed and opened
    before. So at any time the sites known and valid are those of the brand, under the ticker of the day; what was filed
    under an old ticker stays there.

    Missing values: days of no ticker hold no rows; a site that none of the tickers ever had gives none.
    """
    spec = TABLES["site"]
    ordered = rows.sort("known_time", maintain_order=True).with_columns(
        _next=pl.col("known_time").shift(-1).over(_KEY).fill_null(pl.lit(_FOREVER).cast(TIME)), _since="event_time"
    )
    found = []
    for one in days:
        begin, end = _moments(one, timezone)
        owned = ordered.with_columns(entity=pl.lit(one.entity))
        if begin is not None:
            start = pl.lit(begin).cast(TIME)
            owned = owned.with_columns(
                event_time=pl.max_horizontal("event_time", start), known_time=pl.max_horizontal("known_time", start)
            ).filter(pl.col("known_time") < pl.col("_next"))
        if end is not None:
            stop = pl.lit(end).cast(TIME)
            owned = owned.filter(pl.col("event_time") < stop)
            over = owned.filter(pl.col("_next") > stop, pl.col("valid_to").is_null() | (pl.col("valid_to") > stop))
            over = over.with_columns(valid_to=stop, known_time=pl.max_horizontal("known_time", stop))
            # what is told only after the end is told of what has ended
            before = pl.col("known_time") < stop
            ended = pl.col("valid_to").is_not_null() & (pl.col("valid_to") <= stop)
            owned = pl.concat([owned.filter(before | ended), over])
        found.append(_without_empty(owned if begin is None else _merged(owned, start)))
    made = pl.concat(found).sort("known_time", "entity", "site", "event_time", maintain_order=True)
    return made.drop("_next", "_since").cast(
        {name: dtype for name, dtype in spec.schema.items() if name in made.columns}
    )


def _merged(rows: pl.DataFrame, start: pl.Expr) -> pl.DataFrame:
    """Several stays of one site before the ticker's first day become one fact of that day: at each known_time that of
    the stay which is open then, the latest of several."""
    fact = pl.col("event_time") == start
    several = fact & (pl.col("_since").n_unique().over(_KEY) > 1)
    clash = rows.filter(several)
    if clash.is_empty():
        return rows
    clash = clash.sort("known_time", maintain_order=True).with_row_index("_row")
    times = clash.select(*_KEY, at="known_time").unique(maintain_order=True)
    known = times.join(clash, on=_KEY, maintain_order="left_right").filter(pl.col("known_time") <= pl.col("at"))
    latest = known.sort("_row").unique((*_KEY, "at", "_since"), keep="last", maintain_order=True)
    holds = pl.col("valid_to").is_null() | (pl.col("valid_to") > pl.col("event_time"))
    one = (
        latest.sort(holds, "_since", maintain_order=True)
        .unique((*_KEY, "at"), keep="last", maintain_order=True)
        .with_columns(known_time="at")
    )
    return pl.concat([rows.filter(~several), one.select(rows.columns)])


def _without_empty(rows: pl.DataFrame) -> pl.DataFrame:
    """Leaves out what says of a site that it was closed before the ticker had it; once it was told open such a row
    withdraws that, and stays."""
    ordered = rows.sort("known_time", maintain_order=True).with_columns(
        valid_to=pl.when(pl.col("valid_to") < pl.col("event_time")).then("event_time").otherwise("valid_to")
    )
    holds = pl.col("valid_to").is_null() | (pl.col("valid_to") > pl.col("event_time"))
    return ordered.filter(holds.cast(pl.Int64).cum_sum().over(_KEY) > 0)


def _moments(days: "TickerDays", timezone: str) -> tuple[int | None, int | None]:
    """The first moment of the days, and the first after them, in nanoseconds since 1970."""
    bounds = pl.DataFrame({"first": [days.first], "last": [days.last]}, schema={"first": pl.Date, "last": pl.Date})
    local = bounds.select(
        pl.col("first").cast(pl.Datetime("us")), pl.col("last").dt.offset_by("1d").cast(pl.Datetime("us"))
    )
    first, after = (
        local.select(to_utc(pl.col("first"), timezone), to_utc(pl.col("last"), timezone).alias("after"))
        .cast(pl.Int64)
        .row(0)
    )
    return first, after
