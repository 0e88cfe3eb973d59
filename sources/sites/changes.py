"""What changed between two snapshots of one list of sites, and when that could be known."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from gpu_kernels.errors import ArgumentError, DataError
from sources.schema import TABLES, TIME

SITE = ("entity", "site")
_TABLE = TABLES["site"]
_COMPARED = ("region", "geometry")


@dataclass(frozen=True)
class Changes:
    """`rows` of the site table, and how many sites (first snapshot aside) `opened`, `closed`, `moved`, `reopened`,
    were `redated` (another opening day) or `corrected` (another region, polygon or closing day)."""

    rows: pl.DataFrame
    counts: Mapping[str, int]


def snapshot_changes(
    first: pl.DataFrame, *later: pl.DataFrame, moved: float = 0.001, most_closed: float = 1.0
) -> pl.DataFrame:
    """Rows of the site table that several snapshots of one list tell: all of `first`, then what each later one changes.

    first, later  rows of the site table, of each site once in a snapshot, with the known_time of the snapshot.
                  event_time is the stated opening, or equals known_time where the list states none
    moved         of latitude or longitude, in degrees: a larger difference is a move
    most_closed   the largest share of a snapshot's sites that the next one may lack

    Everything that a later snapshot tells is known at its known_time, neither at the one before nor between them:

        a site that was not there before   a row as the snapshot has it
        a site that is gone                the same key with valid_to = that known_time: it closed at some time since
                                           the snapshot before
        one that comes back                a new key, valid since that known_time (or since a stated opening after the
                                           closing)
        moved, or another region, polygon  the same key with the new values. The move is told against the place as it
        or stated closing                  stands in the rows, so that a slow drift is a move in the end
        another stated opening             the old key with valid_to = event_time (withdrawn), and a row of the new one

    What stays the same gives no row. Columns beyond the table's are kept as the snapshots have them; those of a closing
    are of the site's last row.
    Missing values: as the table says. Raises ArgumentError where snapshots are not in order or hold a site twice,
    DataError where one lacks more than `most_closed` of the sites of the one before.
    """
    return changes(first, *later, moved=moved, most_closed=most_closed).rows


def changes(first: pl.DataFrame, *later: pl.DataFrame, moved: float = 0.001, most_closed: float = 1.0) -> Changes:
    """`snapshot_changes` with the counts of what changed."""
    before, rows = _known(first), [first]
    counts = dict.fromkeys(("opened", "closed", "moved", "reopened", "redated", "corrected"), 0)
    state = first.with_columns(_stated=_stated())
    ended = pl.DataFrame(schema={"entity": pl.String, "site": pl.String, "_ended": TIME})
    for snapshot in later:
        at = _known(snapshot)
        if at <= before:
            raise ArgumentError(f"a snapshot of {at} after one of {before}", allowed="snapshots in order of known_time")
        before = at
        gone = state.join(snapshot, on=SITE, how="anti", maintain_order="left")
        closing = gone.filter(pl.col("valid_to").is_null() | (pl.col("valid_to") > at))
        if closing.height > most_closed * state.height:
            raise DataError(
                f"the list of {at:%Y-%m-%d} lacks {closing.height} of the {state.height} sites that the one before had",
                allowed=f"most_closed: {most_closed}, as a share",
                hint="look whether the file is truncated; if they did close, allow more",
            )
        closed = closing.with_columns(valid_to=pl.lit(at, dtype=TIME), known_time=pl.lit(at, dtype=TIME))
        old = state.select(*SITE, *(pl.col(name).alias(f"_{name}") for name in _REMEMBERED), _was="_stated")
        seen = snapshot.with_columns(_stated=_stated()).join(old, on=SITE, how="left", maintain_order="left")
        seen = seen.join(ended, on=SITE, how="left", maintain_order="left")
        new = pl.col("_event_time").is_null()
        after_end = pl.col("_stated").is_not_null() & (pl.col("_stated") > pl.col("_ended"))
        back = new & pl.col("_ended").is_not_null()
        since = pl.when(back & ~after_end.fill_null(False)).then(pl.lit(at, dtype=TIME)).otherwise("event_time")
        redated = (
            ~new
            & pl.col("_stated").is_not_null()
            & pl.col("_stated").ne_missing(pl.col("_was"))
            & (pl.col("_stated") != pl.col("_event_time"))
            & (pl.col("_ended").is_null() | (pl.col("_stated") > pl.col("_ended")))
        )
        far = ~new & pl.any_horizontal(*((pl.col(axis) - pl.col(f"_{axis}")).abs() > moved for axis in _PLACE))
        other = ~new & pl.any_horizontal(
            *(pl.col(name).ne_missing(pl.col(f"_{name}")) for name in (*_COMPARED, "valid_to"))
        )
        seen = seen.with_columns(_new=new, _back=back, _redated=redated, _far=far, _other=other).with_columns(
            event_time=pl.when(new).then(since).when("_redated").then("event_time").otherwise("_event_time"),
        )
        withdrawn = state.join(seen.filter("_redated").select(SITE), on=SITE, how="semi", maintain_order="left")
        told = seen.filter(pl.any_horizontal("_new", "_redated", "_far", "_other")).select(first.columns)
        rows += [
            closed.select(first.columns),
            withdrawn.with_columns(valid_to="event_time", known_time=pl.lit(at, dtype=TIME)).select(first.columns),
            told,
        ]
        same = seen.filter(~pl.any_horizontal("_new", "_redated", "_far", "_other"))
        # of what did not change the row that stands is kept: a drift is measured against it
        kept = state.join(same.select(*SITE, now="_stated"), on=SITE, how="inner", maintain_order="left")
        kept = kept.with_columns(_stated=pl.coalesce("now", "_stated")).drop("now")
        changed = seen.filter(pl.any_horizontal("_new", "_redated", "_far", "_other")).select(state.columns)
        state = pl.concat([kept.select(state.columns), changed])
        over = gone.select(*SITE, _ended=pl.min_horizontal("valid_to", pl.lit(at, dtype=TIME)))
        ended = pl.concat([ended, over]).unique(SITE, keep="last", maintain_order=True)
        counts["opened"] += seen.filter(new & ~pl.col("_back")).height
        counts["closed"] += closed.height
        for name, column in (("moved", "_far"), ("reopened", "_back"), ("redated", "_redated")):
            counts[name] += int(seen[column].sum())
        counts["corrected"] += seen.filter(pl.col("_other") & ~pl.col("_far") & ~pl.col("_redated")).height
    return Changes(pl.concat(rows), counts)


_PLACE = ("latitude", "longitude")
_REMEMBERED = ("event_time", "valid_to", *_PLACE, *_COMPARED)


def _stated() -> pl.Expr:
    """The opening that a list states; null where it states none."""
    return pl.when(pl.col("event_time") != pl.col("known_time")).then("event_time")


def _known(snapshot: pl.DataFrame) -> datetime:
    """The one known_time of a snapshot, each of whose sites it holds once."""
    if missing := [column.name for column in _TABLE.columns if column.name not in snapshot.columns]:
        raise ArgumentError(f"a snapshot without the column {missing[0]!r}", allowed=", ".join(_TABLE.schema))
    times = snapshot["known_time"].unique()
    if len(times) != 1 or times.null_count():
        raise ArgumentError(f"a snapshot of {len(times)} known times", allowed="one known_time, and at least one site")
    if twice := snapshot.height - snapshot.n_unique(list(SITE)):
        raise ArgumentError(f"a snapshot that holds {twice} sites twice", allowed="each (entity, site) once")
    at: Any = times[0]
    return at  # type: ignore[no-any-return]
