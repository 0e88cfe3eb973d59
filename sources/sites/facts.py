"""From the rows of a list of sites, each judged by itself, to facts: what changed, and whose the sites were."""

from collections import Counter

import polars as pl

from sources.quality import Checked
from sources.site_options import SiteFile
from sources.sites.changes import changes
from sources.sites.tickers import by_ticker

DUPLICATE = "duplicate_site"
NO_TICKER = "no_ticker_then"
UNCHANGED = "unchanged"
SURVIVORS = (
    "openings only: no closings (survivorship): sites that had closed before the list was made are not in it, and "
    "none closes after it"
)
NOTES = {
    "one_snapshot": "sites are known by one snapshot only: what closed before it is missing, and nothing closes after "
    "it (survivorship)",
    **{
        f"sites_{what}": f"sites {told} between two snapshots, known as of the later one"
        for what, told in (
            ("opened", "opened"),
            ("closed", "closed (their last row has valid_to, and stands in no file)"),
            ("moved", "moved"),
            ("reopened", "came back"),
            ("redated", "got another opening day"),
            ("corrected", "got another region, polygon or closing day"),
        )
    },
}
"""What is told of a list: so many of what."""
_PLACE = ("file", "member", "line")


def facts_of(found: Checked, source: SiteFile) -> Checked:
    """The facts that the good rows of one entity or brand tell, as RawBatch.rows has them: `good` holds the rows of the
    site table, those among them that stand in no file are counted as `added`.

    Set aside: `duplicate_site` (a site again in one snapshot, or again while it is open by an earlier row of the
    list), `no_ticker_then` (none of the brand's tickers had it at any time). Rows of a snapshot that change nothing
    are counted as `unchanged`.
    Raises DataError where a snapshot lacks more than `most_closed` of the sites of the one before.
    """
    rows, bad, ignored, notes = found.good, [found.bad], dict(found.ignored), Counter[str]()
    read = rows.height
    if rows.height:
        rows, twice = _once(rows, source)
        bad.append(twice)
    if rows.height and source.of_snapshots:
        snapshots = rows.partition_by("known_time", maintain_order=True)
        snapshots.sort(key=lambda snapshot: snapshot["known_time"][0])
        changed = changes(*snapshots, moved=source.moved, most_closed=source.most_closed)
        if len(snapshots) == 1 and source.knows_closings:
            notes["one_snapshot"] = rows.height
        notes.update({f"sites_{what}": count for what, count in changed.counts.items() if count})
        own = changed.rows.join(
            rows.select(*_PLACE, "known_time"), on=[*_PLACE, "known_time"], how="semi", nulls_equal=True
        )
        if unchanged := rows.height - own.select(_PLACE).n_unique():
            ignored[UNCHANGED] = unchanged
        rows = changed.rows
    if rows.height and source.tickers:
        brand = rows["entity"][0]
        tickers = by_ticker(rows, source.tickers[brand], source.timezone)
        nobody = rows.join(tickers, on=_PLACE, how="anti", nulls_equal=True)
        bad.append(nobody.with_columns(reason=pl.lit(NO_TICKER)).unique(_PLACE, maintain_order=True))
        rows = tickers
    set_aside = pl.concat([part.select(found.bad.columns) for part in bad])
    used = read - (set_aside.height - found.bad.height) - (sum(ignored.values()) - sum(found.ignored.values()))
    return Checked(rows, set_aside, ignored, rows.height - used, notes)


def _once(rows: pl.DataFrame, source: SiteFile) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows without those of sites that the list holds already."""
    if source.of_snapshots:
        again = rows.select(pl.int_range(pl.len()).over("known_time", "site") > 0).to_series()
    elif source.lag is not None:
        # a line gives an opening, and a closing where it tells one: together they are one stay
        stay = rows.group_by(_PLACE, maintain_order=True).agg(
            pl.col("site").first(), pl.col("event_time").min(), end=pl.col("valid_to").max()
        )
        stay = stay.sort("event_time", maintain_order=True).with_columns(
            end=pl.col("end").cast(pl.Int64).fill_null(2**63 - 1)
        )
        before = pl.col("end").cum_max().shift(1).over("site")
        late = stay.filter(pl.col("event_time").cast(pl.Int64) < before)
        again = rows.join(
            late.select(*_PLACE, again=True), on=_PLACE, how="left", nulls_equal=True, maintain_order="left"
        )["again"].fill_null(False)
    else:
        return rows, rows.clear().with_columns(reason=pl.lit(DUPLICATE))
    return rows.filter(~again), rows.filter(again).with_columns(reason=pl.lit(DUPLICATE))
