"""The command that makes observations of images. Heavy packages load inside it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fusion.commands.options import Json, Overrides, Quiet
from fusion.console import answer, note, progress, show, warn

_SHOWN = 20


def observe(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file, e.g. configs/observe/ndvi.yaml.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the log; default observations/NAME.", show_default=False)
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Try again what could not be read before: scenes, and zones of others.")
    ] = False,
    overrides: Overrides = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure zones (lots, fields, districts) in images, scene by scene, and append what is new to a log.

    The log's observations are rows of the table `metric`, each with when it
    was captured and when the image was delivered. It is only appended to:
    after a kill, or when new images came, run the same command again. A value
    of too few clear pixels goes to set_aside.parquet with its reason; a scene
    that cannot be read fails alone (exit code 1), and so does a zone of which
    it cannot. Needs pip install 'trifuse\\[alt]'.

    \b
    Examples:
      trifuse observe configs/observe/ndvi.yaml
      trifuse observe lots.yaml --out observations/lots --json
      trifuse observe lots.yaml --retry
    """
    from fusion.config import read_tree
    from sources.imagery.observe import observe as look
    from sources.imagery.observe_config import parse_observation

    settings = parse_observation(read_tree(config, overrides), str(config))
    folder = out or Path("observations") / settings.name
    with progress(quiet) as advance:
        found = look(settings, folder, {}, retry=retry, progress=advance)
    warn(found.warnings)
    aside = [{"what": one.source, "reason": one.reason, "detail": one.detail} for one in found.set_aside]
    files = f"{folder}/parts/*/observations.parquet"
    summary: dict[str, Any] = {"folder": str(folder), "files": files, "counts": dict(found.counts), "set_aside": aside}
    counts = found.counts
    if as_json:
        answer(summary | {"warnings": found.warnings})
        _end(counts["failed"])
        return
    typer.echo(
        f"{counts['scenes']} scenes: {counts['observed']} observed now, {counts['before']} before, {counts['failed']} "
        f"failed; {counts['zones']} zones; {counts['rows']} rows, {counts['set_aside']} values set aside"
    )
    show(aside[:_SHOWN], title="not used")
    if len(aside) > _SHOWN:
        note(f"and {len(aside) - _SHOWN} more; --json tells all")
    if failed := counts["failed"] + counts["failed_before"]:
        note(f"{failed} scenes of the log could not be read, or not whole; --retry tries again once they are mended")
    typer.echo(f"\nA source that reads them:\n\n  {settings.name}:\n    kind: table_file\n    table: metric")
    typer.echo(f"    files: {files}\n    timezone: UTC\n    max_age: 30d")
    if settings.zones.entity is None:
        typer.echo("    # sites: NAME    the source of the list that tells whose the sites are")
    _end(counts["failed"])


def _end(failed: int) -> None:
    """A scene that failed stops no other, and is told by the exit code, as cron needs it."""
    if failed:
        raise typer.Exit(1)
