"""The command that says which companies the texts of a file name. Heavy packages load inside it."""

from collections import Counter
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fusion.commands.options import Delimiter, Encoding, Header, Json, NoHeader, NoQuotes, Quiet
from fusion.console import answer, note, progress, show
from gpu_kernels.errors import ConfigError, DataError

if TYPE_CHECKING:
    import polars as pl

    from fusion.text_files import Piece, TextFile
    from sentiment.linking import NameTable

_SHOWN = 1000
_ROWS_TOLD = 10
PACKAGED = "us_large"


def link(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Text (one a line), CSV, JSONL (also .gz), Parquet; - is stdin.")
    ],
    column: Annotated[str, typer.Option("--column", help="Column of the texts, in CSV, JSONL and Parquet.")] = "text",
    time: Annotated[
        str | None, typer.Option("--time", help="Column of when each text became known.", show_default=False)
    ] = None,
    day: Annotated[
        str | None, typer.Option("--day", help="Or the one day for all texts, e.g. 2019-06-03.", show_default=False)
    ] = None,
    timezone: Annotated[str, typer.Option("--timezone", help="Of times that do not say theirs.")] = "UTC",
    item: Annotated[
        str | None, typer.Option("--item", help="Column that names each text; default: the row, from 0.")
    ] = None,
    names: Annotated[
        str, typer.Option("--names", help=f"Table of names: .csv, .parquet, .yaml, or {PACKAGED}, the packaged one.")
    ] = PACKAGED,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the links to .parquet, .csv or .jsonl instead of printing.")
    ] = None,
    rejected: Annotated[
        Path | None, typer.Option("--rejected", help="Write what was not taken for a name, and why.")
    ] = None,
    passages: Annotated[bool, typer.Option("--passages", help="Add the sentences about each company.")] = False,
    mask: Annotated[bool, typer.Option("--mask", help="Add the text with the companies' names hidden.")] = False,
    encoding: Encoding = "utf-8",
    delimiter: Delimiter = "",
    header: Header = "",
    no_header: NoHeader = False,
    no_quotes: NoQuotes = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out rows that cannot be read or have no time, and count them.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find the companies that texts name, by the names that were theirs on the day when each text became known.

    One row for each text and company: relevance, mentions, the words before
    the first of them, and the name. docs/linking.md tells what a table of
    names holds and what the rules are.

    \b
    Examples:
      echo "Apple sues Microsoft" | trifuse link - --day 2019-06-03
      trifuse link headlines.csv --column headline --time date
      trifuse link tweets.csv.gz --time created_at --out links.parquet
      trifuse link news.jsonl --time received --names mine.csv --mask --json
    """
    from contextlib import ExitStack
    from zoneinfo import available_timezones

    from fusion.table_files import appending, check_other, check_target
    from fusion.text_files import TextFile
    from sentiment.linking import NameTable

    if (time is None) == (day is None):
        raise ConfigError(
            "both --time and --day" if time else "neither --time nor --day",
            allowed="one of them",
            hint="names are those of the day on which a text became known",
        )
    for option, target, others in (("--out", out, [file]), ("--rejected", rejected, [file, out])):
        if target is not None:
            check_target(target)
            check_other(option, target, others)
    if timezone not in available_timezones():
        raise ConfigError(f"--timezone {timezone!r}", allowed="a name such as UTC or America/New_York")
    table = NameTable.packaged() if names == PACKAGED else NameTable.read(names)
    if table.set_aside.height:
        _tell_set_aside(names, table)
    source = TextFile(
        file,
        column,
        encoding=encoding,
        delimiter=delimiter,
        header=header,
        numbered=no_header,
        quoted=not no_quotes,
        skip_bad=skip_bad,
    )
    run = _Run(source, table, time, _day(day), timezone, item, skip_bad=skip_bad, passages=passages, mask=mask)
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        advance = stack.enter_context(progress(quiet))
        append = None if out is None else stack.enter_context(appending(out))
        append_rejected = None if rejected is None else stack.enter_context(appending(rejected))
        for piece in source.pieces():
            links, turned_down = run.linked(piece)
            advance(f"linking: {run.counts['items']:,} texts", None)
            if append_rejected is not None:
                append_rejected(turned_down)
            if append is not None:
                append(links)
                continue
            rows += links.to_dicts()
            if not as_json and len(rows) > _SHOWN:
                raise ConfigError(f"more than {_SHOWN:,} links to show", hint="write them: --out links.parquet")
    if as_json:
        answer(dict(run.counts) if out is not None else {"counts": dict(run.counts), "links": rows})
        return
    rows = [row | {"relevance": f"{row['relevance']:.3f}"} for row in rows]
    show(rows, numeric=("relevance", "mentions", "first_position"))
    turned = sum(count for name, count in run.counts.items() if name.startswith("rejected_"))
    note(
        f"{run.counts['items']:,} texts: {run.counts['linked']:,} linked ({run.counts['links']:,} links), "
        f"{run.counts['unnamed']:,} name nobody, {run.counts['without_text']:,} without text, "
        f"{run.counts['skipped']:,} left out; {turned:,} candidates turned down"
    )


class _Run:
    """One file against one table, and what is counted on the way."""

    def __init__(
        self,
        source: "TextFile",
        table: "NameTable",
        time: str | None,
        day: date | None,
        timezone: str,
        item: str | None,
        *,
        skip_bad: bool,
        passages: bool,
        mask: bool,
    ) -> None:
        self._source, self._table, self._skip_bad = source, table, skip_bad
        self._time, self._day, self._timezone, self._item = time, day, timezone, item
        self._passages, self._mask = passages, mask
        self._rows = 0
        counted = ("items", "linked", "links", "unnamed", "without_text", "skipped")
        self.counts: Counter[str] = Counter(dict.fromkeys(counted, 0))

    def linked(self, piece: "Piece") -> "tuple[pl.DataFrame, pl.DataFrame]":
        """Links and rejected candidates of a piece."""
        from sentiment.linking import link as link_items

        items = self._items(piece)
        self.counts["skipped"] += len(piece.problems) + len(piece.texts) - items.height
        found = link_items(items, self._table, passages=self._passages, mask=self._mask)
        self.counts.update(found.counts)
        return found.links.drop("row"), found.rejected.drop("row")

    def _items(self, piece: "Piece") -> "pl.DataFrame":
        import polars as pl

        from fusion.text_files import as_text

        wanted = [name for name in (self._time, self._item) if name is not None]
        table = piece.frame(wanted)
        for name in wanted:
            rows, known = piece.objects or [], table.columns
            if rows and self._rows == 0 and not any(name in row for row in rows):
                known = list(dict.fromkeys(key for row in rows for key in row))
            if name not in known:
                raise self._source.no_column(name, known, "--time" if name == self._time else "--item")
        size = len(piece.texts)
        numbers = pl.Series(range(self._rows, self._rows + size), dtype=pl.Int64)
        self._rows += size
        items = pl.DataFrame(
            {
                "item": numbers if self._item is None else table[self._item],
                "known_time": self._known(table, size),
                "text": pl.Series(map(as_text, piece.texts), dtype=pl.String),
            }
        )
        undated = items["known_time"].is_null()
        if undated.any() and not self._skip_bad:
            at = undated.to_list().index(True)
            raise DataError(
                f"{self._source.name}: text {numbers[at]:,} (from 0) has no time that can be read in {self._time!r}",
                allowed="ISO 8601, e.g. 2019-06-03 or 2019-06-03T14:30:00Z",
                hint="leave such rows out with --skip-bad",
            )
        return items.filter(~undated)

    def _known(self, table: "pl.DataFrame", size: int) -> "pl.Series":
        import polars as pl

        from sources.clocks import read_clock

        if self._time is None:
            return pl.Series([self._day] * size, dtype=pl.Date)
        clock = read_clock(table[self._time], timezone=self._timezone)
        # a day without a time is that day everywhere; its midnight in Tokyo would be the day before in UTC
        local = pl.col("time").dt.convert_time_zone(self._timezone).dt.date()
        return clock.select(known=pl.when("whole_day").then(local).otherwise(pl.col("time").dt.date()))["known"]


def _tell_set_aside(names: str, table: "NameTable") -> None:
    """Rows of the table that are not used: the first ten, then how many."""
    from sentiment.linking.name_table import REASONS

    rows = table.set_aside.head(_ROWS_TOLD).to_dicts()
    note(f"{names}: {table.set_aside.height:,} rows set aside")
    for row in rows:
        said = ", ".join(f"{name} {row[name]!r}" for name in ("entity", "name", "kind"))
        note(f"  row {row['line']:,}: {row['reason']} ({said}); allowed: {REASONS[row['reason']]}")
    if table.set_aside.height > len(rows):
        note(f"  and {table.set_aside.height - len(rows):,} more")


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--day {text!r}", allowed="a day such as 2019-06-03") from None
