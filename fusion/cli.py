"""The `trifuse` command. stdout carries the answer, stderr the progress and the complaints."""

import os
import signal
from importlib import metadata
from types import FrameType
from typing import Annotated

import typer

from fusion.commands import evaluate, export, features, files, link, observe, runs, score, sites, vintages
from fusion.console import EXIT_CODES, Commands

app = typer.Typer(
    cls=Commands,
    name="trifuse",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trifuse {metadata.version('trifuse')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", envvar="TRIFUSE_DEBUG", help="Show tracebacks.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Version.")] = False,
) -> None:
    """Point-in-time-correct features and signals from order books, prices, news and alternative data.

    A value is used at time t only if it was known at t.

    \b
    Start here:
      trifuse run configs/demo.yaml        the embedded market, no data needed
      trifuse describe FILE                what is in a file of yours, and how to read it
      trifuse config --check my.yaml       is this config right?
      trifuse run my.yaml                  features, signals and a report
      trifuse signals runs/NAME/ID         newer signals when newer data came
    """


app.command()(runs.run)
app.command()(runs.ingest)
app.command()(features.features)
app.command()(runs.signals)
app.command()(runs.verify)
app.command()(files.describe)
app.command()(files.schema)
app.command("config")(files.config)
app.command()(score.score)
app.command()(evaluate.evaluate)
app.command()(link.link)
app.command()(observe.observe)
app.command()(vintages.vintages)
app.command()(files.simulate)
app.add_typer(sites.app, name="sites")
app.add_typer(export.app, name="export")


def _terminated(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main() -> None:
    """The console script. Being told to end (SIGTERM) removes what is half written, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _terminated)
    # before anything loads OpenMP: threads that spin while they wait stall each other on a busy machine
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app(prog_name="trifuse")


if __name__ == "__main__":
    main()
