"""The commands about lists of stores: what changed between two, which were there at a time, whose a lot is."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fusion.commands.options import Json
from fusion.console import answer, note, show, warn
from gpu_kernels.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

    from sources.sites.load import Sites

app = typer.Typer(
    no_args_is_help=True, help="Lists of stores: what changed, which were there at a time, whose a lot is."
)

_SHOWN = 20
Entity = Annotated[str | None, typer.Option("--entity", help="Ticker of all sites, or of those that are wanted.")]
Columns = Annotated[
    str,
    typer.Option("--columns", metavar="OURS=THEIRS,...", help="Of raw lists, e.g. site=clientkey,region=state."),
]
Stores = Annotated[
    Path,
    typer.Argument(
        metavar="STORES", help="A list (CSV, Parquet, GeoJSON, ...), a config, lake/site/NAME-KEY, or a table of sites."
    ),
]
At = Annotated[
    str | None,
    typer.Option("--at", metavar="TIME", help="As known and valid then, e.g. 2024-06-06; default: all that is known."),
]
Out = Annotated[Path | None, typer.Option("--out", help="Write the rows to .parquet, .csv or .jsonl.")]


@app.command()
def changes(
    files: Annotated[list[Path], typer.Argument(metavar="LIST LIST...", help="Snapshots of one list of stores.")],
    entity: Entity = None,
    columns: Columns = "",
    timezone: Annotated[str, typer.Option("--timezone", help="Of the days.")] = "UTC",
    moved: Annotated[float, typer.Option("--moved", help="Degrees beyond which a store has moved.")] = 0.001,
    most_closed: Annotated[
        float, typer.Option("--most-closed", help="Share of stores that a list may lack before it counts as truncated.")
    ] = 0.2,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Tell what changed between snapshots of a list of stores: openings, closings, moves.

    The day of each snapshot is in a column (updated, snapshot, ...) or in the
    file's name; a change is known at the end of the later day. Columns are
    guessed as `trifuse describe` does; --columns says otherwise.

    \b
    Examples:
      trifuse sites changes dollar-tree_2024-03-13.csv dollar-tree_2024-06-05.csv --entity DLTR
      trifuse sites changes stores-*.csv --columns site=clientkey --out changes.parquet
    """
    import polars as pl

    from fusion.table_files import appending, check_other, check_target
    from sources.sites.load import lists

    if len(files) < 2:
        raise ConfigError(f"{len(files)} list", allowed="two or more snapshots of one list")
    if len({path.resolve() for path in files}) < len(files):
        raise ConfigError("a list is named twice", allowed="two or more snapshots of one list")
    if out is not None:
        check_target(out)
        check_other("--out", out, files)
    options = {"timezone": timezone, "moved": moved, "most_closed": most_closed}
    found = lists(files, entity=entity, columns=_columns(columns), options=options)
    rows = found.rows.sort("known_time", "entity", "site", "event_time")
    first = rows["known_time"].min()
    # a list that has the day of each opening tells that, and not the later snapshot's
    rows = rows.with_columns(new=pl.struct("entity", "site", "event_time").is_first_distinct())
    later = rows.filter(pl.col("known_time") > first)
    told = {
        "sites": rows.filter(pl.col("known_time") == first).height,
        "opened": later.filter(pl.col("new") & pl.col("valid_to").is_null()).height,
        "closed": later["valid_to"].count(),
    }
    told["other"] = later.height - told["opened"] - told["closed"]
    rows, later = rows.drop("new"), later.drop("new")
    if out is not None:
        with appending(out) as append:
            append(rows.to_arrow())
    _finish(found, told, later, as_json=as_json, out=out)


@app.command("at")
def at_time(
    stores: Stores,
    at: At = None,
    entity: Entity = None,
    columns: Columns = "",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Count the stores of each ticker and region as they were known and valid at a time.

    \b
    Examples:
      trifuse sites at configs/retail_fusion.yaml --at 2019-06-28
      trifuse sites at lake/site/walmart-0123456789ab --at 2005-01-03T14:30:00Z --out stores.csv
    """
    from fusion.table_files import appending, check_other, check_target

    if out is not None:
        check_target(out)
        check_other("--out", out, [stores])
    time, found, there = _there(stores, at, entity, columns)
    if out is not None:
        with appending(out) as append:
            append(there.to_arrow())
    counts = there.group_by("entity", "region").len("sites").sort("entity", "region", nulls_last=True)
    if as_json:
        answer({"at": time, "sites": there.height, "counts": counts.to_dicts(), "warnings": found.warnings})
        return
    show(counts.to_dicts(), numeric=("sites",))
    warn(found.warnings)
    note(f"{there.height:,} sites were known and valid at {time:%Y-%m-%d %H:%M} UTC, of {_facts(found)}")


@app.command()
def join(
    lots: Annotated[Path, typer.Argument(metavar="LOTS", help="Polygons: GeoJSON, GPKG, Shapefile, CSV with WKT.")],
    stores: Stores,
    out: Annotated[Path, typer.Option("--out", help="The zones, as GeoJSON.")] = Path("zones.geojson"),
    at: At = None,
    distance: Annotated[float, typer.Option("--distance", help="Metres from a lot to its store, at most.")] = 100.0,
    share: Annotated[
        str, typer.Option("--share", help="nearest: a lot is the nearest store's; all: of every store in reach.")
    ] = "nearest",
    of: Annotated[str, typer.Option("--of", help="A zone of each site (all its lots) or of each lot.")] = "site",
    entity: Entity = None,
    columns: Columns = "",
    lot: Annotated[str | None, typer.Option("--lot", help="Column of the lots' ids.", show_default=False)] = None,
    crs: Annotated[str | None, typer.Option("--crs", help="Of lots whose file tells none, e.g. EPSG:32614.")] = None,
    layer: Annotated[str | None, typer.Option("--layer", help="Of a GeoPackage that holds several.")] = None,
    whole: Annotated[bool, typer.Option("--whole", help="A MultiPolygon is one lot; default: each part is.")] = False,
    as_json: Json = False,
) -> None:
    """Find the lots of stores, and write them as zones that `trifuse observe` reads.

    A zone has the properties site and entity, so that what is observed there
    is of the store and its ticker.

    \b
    Examples:
      trifuse sites join lots.geojson dollar-tree_2024-06-05.csv --entity DLTR --out zones.geojson
      trifuse sites join lots.gpkg configs/retail_fusion.yaml --at 2019-06-28 --distance 60 --share all
    """
    from fusion.table_files import check_other
    from sources.imagery.zones import read_zones
    from sources.sites.join import join_lots, write_zones, zones_of

    sharing, zone = _one_of("--share", share, ("nearest", "all")), _one_of("--of", of, ("site", "lot"))
    if out.suffix.lower() not in {".geojson", ".json"} or not out.parent.is_dir():
        raise ConfigError(f"--out {out}", allowed="a .geojson file in a folder that exists")
    check_other("--out", out, [lots, stores])
    polygons = read_zones(lots, site=lot, crs=crs, layer=layer, parts=not whole)
    _, found, there = _there(stores, at, entity, columns)
    joined = join_lots(polygons.zones, there, distance=distance, share=sharing)  # type: ignore[arg-type]
    features = zones_of(joined, of=zone)  # type: ignore[arg-type]
    write_zones(features, out)
    aside = [*polygons.set_aside, *joined.set_aside]
    told = {
        "zones": len(features),
        "lots": joined.pairs["lot"].n_unique(),
        "shared": joined.pairs.filter(joined.pairs["sites"] > 1)["lot"].n_unique(),
        "unmatched": len(joined.unmatched),
        "repaired": polygons.repaired,
        "set_aside": len(aside),
    }
    if as_json:
        lost = [{"lot": one.source, "reason": one.reason, "detail": one.detail} for one in aside]
        answer(
            {"out": str(out), **told, "set_aside": lost, "pairs": joined.pairs.to_dicts(), "warnings": found.warnings}
        )
        return
    shown = joined.pairs.head(_SHOWN).to_dicts()
    show([{**one, "distance_m": f"{one['distance_m']:.1f}", "area_m2": f"{one['area_m2']:.0f}"} for one in shown])
    for one in aside[:_SHOWN]:
        note(f"set aside: {one.source}: {one.reason} {one.detail}".rstrip())
    warn(found.warnings)
    note(f"{out}: " + ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in told.items()))


def _there(path: Path, at: str | None, entity: str | None, columns: str) -> tuple[datetime, "Sites", "pl.DataFrame"]:
    """The time, what a path holds, and the sites that were known and valid then. Of a raw list a ticker is that of all
    its rows; of a table it tells which are wanted."""
    import polars as pl

    from gpu_kernels.errors import DataError
    from sources.sites import sites_at
    from sources.sites.load import load

    asked = None if at is None else _time(at)
    found = load(path, entity=entity, columns=_columns(columns))
    last: Any = found.rows["known_time"].max()
    time = asked or max(last or datetime.now(UTC), datetime.now(UTC))
    there = sites_at(found.rows, time)
    if entity is not None:
        there = there.filter(pl.col("entity") == entity)
    if there.is_empty():
        known: Any = found.rows["known_time"].min()
        raise DataError(
            f"{path}: no site{f' of {entity}' if entity else ''} was known and valid at {time:%Y-%m-%d %H:%M} UTC",
            hint=f"the first row of it was known at {known:%Y-%m-%d %H:%M} UTC" if known is not None else "it is empty",
        )
    return time, found, there


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"--at {text!r}", allowed="a day or a moment such as 2024-06-06 or 2024-06-06T14:30:00Z"
        ) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _one_of(option: str, got: str, allowed: tuple[str, ...]) -> str:
    if got not in allowed:
        raise ConfigError(f"{option} {got!r}", allowed=" or ".join(allowed))
    return got


def _columns(text: str) -> dict[str, str]:
    found = {}
    for part in filter(None, text.split(",")):
        ours, equals, theirs = part.partition("=")
        if not (equals and ours.strip() and theirs.strip()):
            raise ConfigError(f"--columns {part!r}", allowed="OURS=THEIRS, e.g. site=clientkey")
        found[ours.strip()] = theirs.strip()
    return found


def _facts(found: "Sites") -> str:
    aside = sum(sum(counts["quarantined"].values()) for counts in found.counts.values())
    return f"{found.rows.height:,} rows" + (f"; {aside:,} rows of the files were set aside" if aside else "")


def _finish(found: "Sites", told: dict[str, int], later: "pl.DataFrame", *, as_json: bool, out: Path | None) -> None:
    import polars as pl

    names = ["entity", "site", "event_time", "known_time", "valid_to", "latitude", "longitude", "region"]
    if as_json:
        shown: dict[str, Any] = {} if out is not None else {"changes": later.select(names).to_dicts()}
        answer({**told, "counts": found.counts, "warnings": found.warnings, **shown})
        return
    if out is None:
        show(later.select(names).head(_SHOWN).with_columns(pl.selectors.datetime().dt.strftime("%Y-%m-%d")).to_dicts())
        if later.height > _SHOWN:
            note(f"... and {later.height - _SHOWN:,} more: --out changes.csv writes all")
    for source in found.counts.values():
        for reason, count in source["quarantined"].items():
            note(f"set aside: {count:,} rows, {reason}")
    warn(found.warnings)
    note(", ".join(f"{count:,} {name}" for name, count in told.items()))
