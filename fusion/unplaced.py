"""What no feature is made of: rows of other entities than the run's, observations that no list places, sites in regions
without any."""

from collections.abc import Iterable, Mapping

import polars as pl

from fusion.config import RunConfig
from sources import lake
from sources.lake import IngestResult

_SHOWN = 5


def unplaced(config: RunConfig, ingested: Mapping[str, IngestResult]) -> list[str]:
    """A sentence for each source of a metric that has rows, or whose lists have sites, which nothing is made of. Told
    of the whole ingest, whenever each row was known: it moves no feature."""
    said = []
    for name in config.features:
        stores = config.sources[name].stores
        if name not in ingested:
            continue
        if not stores:
            said += _of_others(config, name, ingested[name])
            continue
        listed = pl.concat([_distinct(ingested[other], ["site", "region"]) for other in stores])
        rows = _distinct(ingested[name], ["entity", "site"])
        if config.sources[name].sites:
            said += _of_sites(name, stores, rows["site"], listed["site"])
        else:
            region = pl.when(pl.col("entity") != "").then("entity").otherwise("site")
            said += _of_regions(name, rows.select(region).to_series(), listed)
    return said


def _of_others(config: RunConfig, name: str, result: IngestResult) -> list[str]:
    source = config.sources[name]
    if result.table != "metric" or source.entity is not None or isinstance(config.entities, str):
        return []
    seen = _distinct(result, ["entity"])["entity"]
    if seen.is_empty() or seen.is_in(list(config.entities)).any():
        return []
    return [
        f"source {name}: its rows are of {_some(seen.sort())}, none of which is an entity of this run, so that its "
        "features are missing throughout; `entity_names` says which ticker each name is"
    ]


def _of_sites(name: str, stores: Iterable[str], seen: pl.Series, listed: pl.Series) -> list[str]:
    said = []
    if (seen == "").any():
        said.append(f"source {name}: some rows name no site, and no feature of sites is made of them")
    sites = seen.filter(seen != "").unique().sort()
    unknown = sites.filter(~sites.is_in(listed.unique().implode()))
    if len(unknown):
        said.append(
            f"source {name}: {len(unknown)} of {len(sites)} sites ({_some(unknown)}) are in no list of "
            f"{', '.join(stores)}, and nothing is made of them"
        )
    return said


def _of_regions(name: str, seen: pl.Series, listed: pl.DataFrame) -> list[str]:
    without = listed.filter(pl.col("region").is_null() | ~pl.col("region").is_in(seen.unique().implode()))
    if without.is_empty():
        return []
    regions = without["region"].fill_null("no region").unique().sort()
    return [
        f"source {name}: {without['site'].len()} of {listed.height} sites lie in regions of which it has no row "
        f"({_some(regions)}): they count in coverage alone"
    ]


def _some(names: pl.Series) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _distinct(result: IngestResult, columns: list[str]) -> pl.DataFrame:
    """The different values of columns, read batch by batch."""
    schema = {name: pl.String() for name in columns}
    parts = [rows.select(columns).unique() for rows in lake.batches(result.folder)]
    return pl.concat([pl.DataFrame(schema=schema), *parts]).unique(maintain_order=True)
