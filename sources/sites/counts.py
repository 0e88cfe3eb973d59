"""How many sites each ticker has, by region, as known and valid at each time: steps that change where a fact does.

All of it is made of events, a few for each site, and never of sites times days: what a hundred thousand sites are at a
million decisions takes the memory of the sites plus that of the decisions.
"""

import polars as pl

from gpu_kernels.errors import ArgumentError
from sources.schema import TIME
from sources.sites.asof import KEY

_SITE = ("entity", "site")
_FOREVER = 2**63 - 1
Step = ("entity", "region", "time")


def vintages(rows: pl.DataFrame) -> pl.DataFrame:
    """Each row of the site table with `until`, the moment at which the next vintage of its key is known (null: never).

    Of equal known times the later row counts; the others are left out. Sorted by key and known_time.
    """
    ordered = rows.unique((*KEY, "known_time"), keep="last", maintain_order=True).sort(*KEY, "known_time")
    return ordered.with_columns(until=pl.col("known_time").shift(-1).over(KEY))


def stays(rows: pl.DataFrame) -> pl.DataFrame:
    """When each site counts: entity, site, region, start, end (null: open), sorted by entity, site and start.

    From `start` on and before `end`, `sources.sites.sites_at` gives the site with that region. The stays of one site do
    not overlap: where several of its facts hold, that of the latest event_time does.
    """
    found = vintages(rows).select(
        *_SITE,
        "event_time",
        "region",
        start=pl.max_horizontal("known_time", "event_time"),
        end=pl.min_horizontal("until", "valid_to"),
    )
    found = found.filter(pl.col("end").is_null() | (pl.col("start") < pl.col("end")))
    several = pl.col("event_time").n_unique().over(_SITE) > 1
    one = found.filter(~several).drop("event_time")
    return pl.concat([one, _latest_of(found.filter(several))]).sort(*_SITE, "start")


def _latest_of(found: pl.DataFrame) -> pl.DataFrame:
    """Stays of sites with several facts, cut at every start and end; each piece is of the latest event_time's fact."""
    forever = pl.lit(_FOREVER).cast(TIME)
    found = found.with_columns(pl.col("end").fill_null(forever))
    cuts = pl.concat([found.select(*_SITE, start="start"), found.select(*_SITE, start="end")]).unique()
    pieces = cuts.sort(*_SITE, "start").with_columns(end=pl.col("start").shift(-1).over(_SITE)).drop_nulls("end")
    held = pieces.join(found, on=_SITE, suffix="_of").filter(
        pl.col("start_of") <= pl.col("start"), pl.col("start") < pl.col("end_of")
    )
    latest = held.sort("event_time").unique((*_SITE, "start"), keep="last")
    return latest.select(*_SITE, "region", "start", end=pl.when(pl.col("end") < forever).then("end"))


def store_steps(rows: pl.DataFrame) -> pl.DataFrame:
    """The number of sites of each ticker and region as steps: entity, region, time, sites.

    From `time` on, and until the next row of the same entity and region, there were `sites` of them known and valid.
    Sorted by entity, region and time; `sites` differs from row to row. A region of null are the sites without one.
    Before its first row an entity has no known site, which is not the same as none.

    Missing values: none. A time at which nothing changes has no row.
    """
    found = stays(rows)
    begin = found.select("entity", "region", time="start", change=pl.lit(1, dtype=pl.Int64))
    over = found.drop_nulls("end").select("entity", "region", time="end", change=pl.lit(-1, dtype=pl.Int64))
    steps = pl.concat([begin, over]).group_by(Step).agg(pl.col("change").sum()).filter(pl.col("change") != 0)
    return steps.sort(Step, nulls_last=True).select(*Step, sites=pl.col("change").cum_sum().over("entity", "region"))


def store_weights(rows: pl.DataFrame, decision_times: pl.Series) -> pl.DataFrame:
    """The sites of each ticker in each region at decisions: entity, region, decision_time, sites, total.

    rows            of the site table, of any number of entities
    decision_times  timestamp[ns, UTC], in any order, each counted once

    `sites` are those of the region known and valid at the decision (`sources.sites.sites_at`, counted), `total` those
    of all regions of the entity, sites without a region (null) among them; sites / total is the region's weight.

    Missing values: a region without a site at a decision has no row, nor has an entity of which none is known. So a
    weighted mean over regions knows what part of the sites it covers.
    Raises ArgumentError where decision_times are not timestamps with a zone.
    """
    if not isinstance(decision_times.dtype, pl.Datetime) or decision_times.dtype.time_zone is None:
        raise ArgumentError(f"decision_times of {decision_times.dtype}", allowed="timestamp[ns, UTC]")
    times = pl.DataFrame({"decision_time": decision_times.cast(TIME).unique().sort()})
    steps = store_steps(rows)
    found = []
    for (entity, region), own in steps.group_by("entity", "region", maintain_order=True):
        at = times.join_asof(own.select("time", "sites").set_sorted("time"), left_on="decision_time", right_on="time")
        found.append(
            at.filter(pl.col("sites") > 0).select(
                pl.lit(entity).alias("entity"),
                pl.lit(region, dtype=pl.String).alias("region"),
                "decision_time",
                "sites",
            )
        )
    schema = {"entity": pl.String(), "region": pl.String(), "decision_time": TIME, "sites": pl.Int64()}
    made = pl.concat(found) if found else pl.DataFrame(schema=schema)
    made = made.with_columns(total=pl.col("sites").sum().over("entity", "decision_time"))
    return made.sort("entity", "decision_time", "region", nulls_last=True)
