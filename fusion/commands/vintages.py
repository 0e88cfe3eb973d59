"""The command that tells what was known of metrics when. Heavy packages load inside it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fusion.commands.options import Json
from fusion.console import answer, note, show
from gpu_kernels.errors import ConfigError, DataError

if TYPE_CHECKING:
    import polars as pl

    from sources.metric_log import MetricLog

_SHOWN = 20


def vintages(
    log: Annotated[
        Path, typer.Argument(metavar="LOG", help="CSV, JSONL (also .gz) or Parquet, or an ingest in the lake.")
    ],
    at: Annotated[
        str | None, typer.Option("--at", help="The series as known at this time (ISO 8601).", show_default=False)
    ] = None,
    first: Annotated[bool, typer.Option("--first", help="The first print of each fact.")] = False,
    latest: Annotated[bool, typer.Option("--latest", help="The last vintage of each fact.")] = False,
    revisions: Annotated[bool, typer.Option("--revisions", help="How each fact was revised.")] = False,
    since: Annotated[
        Path | None,
        typer.Option(
            "--since", metavar="LOG", help="What it tells otherwise than an earlier delivery did.", show_default=False
        ),
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option("--column", metavar="NAME=COLUMN", help="Where a file calls a column otherwise.")
    ] = None,
    constant: Annotated[
        list[str] | None, typer.Option("--constant", metavar="NAME=VALUE", help="What a file need not say in each row.")
    ] = None,
    entity: Annotated[str | None, typer.Option("--entity", help="The entity of a file that tells none.")] = None,
    delay: Annotated[
        str | None, typer.Option("--delay", help="From event to receipt, of a file without known times, e.g. 2d.")
    ] = None,
    timezone: Annotated[str, typer.Option("--timezone", help="Of clocks that do not say theirs.")] = "UTC",
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the rows to .csv, .parquet or .jsonl instead of printing.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what was known of metrics when: a summary of each series, or one of the tables that the options name.

    \b
    Examples:
      trifuse vintages lake/metric/spend-0123456789ab
      trifuse vintages spend.csv.gz --entity US --column known_time=published
      trifuse vintages lots.parquet --at 2021-06-01T13:30Z --out known.csv
      trifuse vintages new.parquet --since old.parquet
    """
    from fusion.table_files import check_other, check_target, write_table
    from sources import vintages as tables
    from sources.schema import TABLES

    asked = {"--at": at, "--first": first, "--latest": latest, "--revisions": revisions, "--since": since}
    if len(named := [option for option, value in asked.items() if value]) > 1:
        raise ConfigError(" and ".join(named), allowed="one of them")
    if out is not None:
        check_target(out)
        check_other("--out", out, [log, since])
    options: dict[str, Any] = {"timezone": timezone, "columns": _pairs("--column", column)}
    options |= {"constants": _pairs("--constant", constant)}
    options |= {name: value for name, value in (("entity", entity), ("delay", delay)) if value is not None}
    rows = _read(log, options).rows
    if rows.is_empty():
        raise DataError(f"{log} holds no rows that can be used")
    makers = {
        "--at": lambda: tables.view(rows, _moment(at or "", timezone)),
        "--first": lambda: tables.first_prints(rows),
        "--latest": lambda: tables.latest(rows),
        "--revisions": lambda: tables.revisions(rows),
        "--since": lambda: tables.rewritten(_read(since or log, options).rows, rows),
    }
    found = makers[named[0]]() if named else tables.summary(rows)
    found = found.drop(
        name
        for name in found.columns
        if name in TABLES["metric"].schema and found.height == found[name].null_count() > 0
    )
    if out is not None:
        write_table(_flat(found), out, check_target(out))
        note(f"{found.height} rows in {out}")
    elif as_json:
        answer(found.to_dicts())
    else:
        _print(found)


def _print(found: "pl.DataFrame") -> None:
    numbers = [name for name, dtype in found.schema.items() if dtype.is_numeric()]
    rows = [
        {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
        for row in _flat(found.head(_SHOWN)).iter_rows(named=True)
    ]
    show(rows, numeric=numbers)
    if found.height > _SHOWN:
        note(f"{found.height - _SHOWN} more rows; --out writes all")
    elif found.is_empty():
        note("no rows")


def _read(path: Path, options: dict[str, Any]) -> "MetricLog":
    from sources.metric_log import read_file, read_ingest

    if path.is_dir():
        return read_ingest(path)
    found = read_file(path, **options)
    if found.set_aside:
        told = ", ".join(f"{reason} {count}" for reason, count in sorted(found.set_aside.items()))
        note(f"{path}: {sum(found.set_aside.values())} rows were set aside: {told}")
    return found


def _pairs(option: str, given: list[str] | None) -> dict[str, str]:
    pairs = [text.partition("=") for text in given or []]
    for name, equals, value in pairs:
        if not (name and equals and value):
            raise ConfigError(f"{option} {name}{equals}{value}", allowed="name=value")
    return {name: value for name, _, value in pairs}


def _moment(text: str, timezone: str) -> Any:
    import polars as pl

    from sources.clocks import read_clock

    clock = read_clock(pl.Series("at", [text]), timezone=timezone)
    if clock["time"][0] is None:
        raise ConfigError(f"--at {text!r} is no time", allowed="e.g. 2021-06-01 or 2021-06-01T13:30Z")
    return clock["time"][0]


def _flat(table: "pl.DataFrame") -> "pl.DataFrame":
    """Lists as text, as CSV holds no lists."""
    import polars as pl

    return table.with_columns(pl.selectors.list().cast(pl.List(pl.String)).list.join(" "))
