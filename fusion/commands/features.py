"""The command that makes features of more rows than fit in memory. Heavy packages load inside it."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from fusion.commands.options import LAKE, ConfigFile, Json, Lake, Overrides, Quiet, Workers
from fusion.console import answer, complain, explain, note, option_bytes, progress, warn


class At(StrEnum):
    """When features are told."""

    decisions = "decisions"
    bars = "bars"


def features(
    config: ConfigFile,
    out: Annotated[Path, typer.Option("--out", help="Folder of the features.")] = Path("features"),
    workers: Workers = None,
    memory: Annotated[
        str | None, typer.Option("--memory", metavar="SIZE", help="What all processes together may hold, e.g. 4GB.")
    ] = None,
    entities: Annotated[str, typer.Option("--entities", help="Only these, e.g. AAPL,FB.")] = "",
    at: Annotated[At, typer.Option("--at", help="The config's decisions, or whenever a bar was known.")] = At.decisions,
    overrides: Overrides = None,
    lake: Lake = LAKE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a config's features entity by entity, in parallel processes, for more rows than fit in memory.

    Writes features/NAME/KEY/entity=AAPL/part.parquet for each entity, and
    manifest.json when all are there. One that fails stops no other. Run it
    again after a kill, or after a failure: only what is missing is made.

    \b
    Examples:
      trifuse features five_hundred.yaml --workers 8
      trifuse features my.yaml --at bars --memory 4GB
      trifuse features my.yaml --entities AAPL,FB --json | jq .folder
    """
    from fusion import config as configs

    settings = configs.load(config, overrides or [])
    limit = None if memory is None else option_bytes("--memory", memory)
    from fusion.partitions import make
    from fusion.pipeline import look_ahead
    from sources.processes import cores

    warn(look_ahead(settings))

    names = [name for name in entities.split(",") if name]
    with progress(quiet) as advance:
        found = make(
            settings,
            lake=lake,
            out=out,
            workers=workers or cores(),
            at=at.value,
            entities=names or None,
            memory=limit,
            progress=advance,
        )
    failed = {entity: explain(error)[0] for entity, error in found.failed.items()}
    summary: dict[str, Any] = {
        "folder": str(found.folder),
        "complete": found.complete,
        "made": found.made,
        "reused": found.reused,
        "failed": failed,
        "seconds": found.seconds,
        "peak_bytes": found.peak_bytes,
        "workers": found.workers,
        "warnings": found.warnings,
    }
    if as_json:
        answer(summary)
    else:
        counts = {"made": found.made, "found made": found.reused, "failed": failed}
        typer.echo(", ".join(f"{len(names)} {what}" for what, names in counts.items()))
        for line in found.warnings:
            typer.echo(f"warning: {line}")
        typer.echo(f"folder {found.folder}")
        if not found.complete and not failed:
            note("Other entities of the config are missing, so there is no manifest yet.")
    for entity, said in failed.items():
        complain(f"{entity}: {said}")
    if failed:
        raise typer.Exit(1)
