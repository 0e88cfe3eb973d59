"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file, e.g. configs/demo.yaml.")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN_FOLDER", help="A finished run, e.g. runs/demo/0123456789ab.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace one key of the config, e.g. simulate.sessions=60."),
]
Lake = Annotated[Path, typer.Option("--lake", envvar="TRIFUSE_LAKE", help="Folder of the ingested tables.")]
Runs = Annotated[Path, typer.Option("--runs", envvar="TRIFUSE_RUNS", help="Folder of the runs.")]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes at a time; default: the cores.", show_default=False)
]
Encoding = Annotated[str, typer.Option("--encoding", help="Of text files, e.g. latin-1.")]
Delimiter = Annotated[str, typer.Option("--delimiter", help="Of CSV; default: comma, in .tsv a tab.")]
Header = Annotated[
    str, typer.Option("--header", metavar="NAME,...", help="Columns of a CSV file whose first line is data.")
]
NoHeader = Annotated[bool, typer.Option("--no-header", help="The same, its columns called 1, 2, 3, ...")]
NoQuotes = Annotated[bool, typer.Option("--no-quotes", help='A " in a CSV file is a character like others.')]

LAKE, RUNS = Path("lake"), Path("runs")
