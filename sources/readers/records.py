"""Files as frames of named columns: CSV and JSON Lines as text, Parquet in its own types.

A frame has the file's columns, `_line` and `_problem`. Line numbers are those of the text (a Parquet file's rows count
from 1), so that a quarantined row can be found again.
"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from gpu_kernels.errors import DataError
from sources.files import blocks, reading
from sources.source_options import JOINT, BaseSource

WRONG_FIELD_COUNT = "wrong_field_count"
UNPARSABLE_JSON = "unparsable_json"
_PARQUET = b"PAR1"
_BLOCK_ROWS = 2**20
_LONGEST_FIELD = 16 * 2**20  # characters; the csv module's own limit is 131,072
_PARTS_OF_DATE = r"^(?P<year>\d{4}) (?P<month>\d{1,2})(?: (?P<day>\d{1,2})(?P<rest> .+)?)?$"
_CLOCKS = (
    "event_time",
    "event_end",
    "known_time",
    "ingested_time",
    "published",
    "received",
    "opened",
    "closed",
    "snapshot",
)
_BOM = "\ufeff"


def file_format(path: Path) -> str:
    """ "parquet", "jsonl" or "csv": Parquet by its first bytes, the others by name (`.gz` aside)."""
    with reading(path), open(path, "rb") as stream:
        if stream.read(4) == _PARQUET:
            return "parquet"
    names = {suffix.lower() for suffix in path.suffixes}
    return "jsonl" if names & {".jsonl", ".ndjson", ".json"} else "csv"


def records(path: Path, source: BaseSource) -> Iterator[pl.DataFrame]:
    """The rows of a CSV, JSON Lines or Parquet file (gz and zip are opened), in blocks. Where `source.columns` names
    several columns for one, a column that joins them is added.

    Raises DataError for an empty, damaged or wrongly encoded file, and for a column to join that is not there.
    """
    joined = {name: columns for name, columns in source.columns.items() if not isinstance(columns, str)}
    for frame in _frames(path, source):
        yield frame.with_columns(_joined(frame, path, source, *item) for item in joined.items()) if joined else frame


def _joined(frame: pl.DataFrame, path: Path, source: BaseSource, name: str, columns: list[str]) -> pl.Series:
    """Several columns as one; year, month and day become a date of ISO 8601. A row that lacks one of them is null."""
    for column in columns:
        if column not in frame.columns:
            raise _no_column(frame, path, name, column)
    parts = [_text(frame[column]) for column in columns]
    joined = pl.select(pl.concat_str(parts, separator=JOINT)).to_series()
    if name in _CLOCKS and source.time_format is None:
        date = joined.str.extract_groups(_PARTS_OF_DATE).struct.unnest()
        month, day = (date[part].fill_null("1").str.zfill(2) for part in ("month", "day"))
        iso = pl.concat_str([date["year"], month, day], separator="-")
        joined = pl.select(pl.coalesce(iso + date["rest"].fill_null(""), joined)).to_series()
    return joined.alias(source.column(name))


def _text(column: pl.Series) -> pl.Series:
    """As a file of text would hold it: a year that is a float for want of some rows is a whole number."""
    if column.dtype.is_float():
        column = column.set(column != column.floor(), None).cast(pl.Int64, strict=False)
    return column.cast(pl.String).str.strip_chars()


def _frames(path: Path, source: BaseSource) -> Iterator[pl.DataFrame]:
    kind = file_format(path)
    if kind == "parquet":
        yield from _parquet(path)
        return
    if path.stat().st_size == 0:
        raise _empty(path)
    yield from _jsonl(path, source) if kind == "jsonl" else _csv(path, source)


def _empty(path: Path) -> DataError:
    return DataError(f"{path} is empty (0 bytes)", hint="fetch the file again, or take it out of `files`")


def find_columns(
    frame: pl.DataFrame, path: Path, source: BaseSource, needed: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, str]:
    """Canonical column -> column of the file, by `source.columns` and else by equal names.

    Raises DataError that names the columns found and the one missing.
    """
    found = {}
    for name in (*needed, *optional):
        column = source.column(name)
        if column in frame.columns:
            found[name] = column
        elif name in needed or name in source.columns:
            raise _no_column(frame, path, name, column)
    return found


def _no_column(frame: pl.DataFrame, path: Path, name: str, column: str) -> DataError:
    names = ", ".join(name for name in frame.columns if name not in {"_line", "_problem"})
    return DataError(
        f"{path} has no column {column!r} for {name}; its columns are: {names or 'none'}",
        hint=f"map it: columns: {{{name}: <column of the file>}}",
    )


def _parquet(path: Path) -> Iterator[pl.DataFrame]:
    """Blocks of whole row groups, at least one: no group is decoded twice."""
    try:
        with pq.ParquetFile(path) as stored:
            sizes = [stored.metadata.row_group(number).num_rows for number in range(stored.num_row_groups)]
        begin = end = 0
        for place, size in enumerate(sizes or [0]):
            end += size
            if end - begin >= _BLOCK_ROWS or place >= len(sizes) - 1:
                frame = pl.scan_parquet(path, glob=False).slice(begin, end - begin).collect()
                yield frame.with_columns(
                    _line=pl.int_range(begin + 1, end + 1, dtype=pl.Int64), _problem=pl.lit(None, dtype=pl.String)
                )
                begin = end
    except (pl.exceptions.PolarsError, pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path} is a damaged Parquet file: {str(error).splitlines()[0]}", hint="write or fetch it again"
        ) from error


def decode(block: bytes, path: Path | str, encoding: str, line: int) -> str:
    """The text of bytes whose first line has this number. Raises DataError for bytes that are not of the encoding."""
    try:
        return block.decode(encoding)
    except UnicodeDecodeError as error:
        at = line + block.count(b"\n", 0, error.start)
        raise DataError(
            f"{path}, line {at}: byte 0x{block[error.start]:02x} is not {encoding}",
            hint="give the file's `encoding`, e.g. latin-1",
        ) from error


def text_blocks(path: Path, source: BaseSource, member: str | None = None) -> Iterator[tuple[int, str]]:
    """Number of the first line, and text, of each block. Raises DataError for bytes that are not of the encoding."""
    line = 1
    for block in blocks(path, member, quoted=source.quoted):
        text = decode(block, path, source.encoding, line)
        yield line, text.removeprefix(_BOM) if line == 1 else text
        line += block.count(b"\n")


def _csv(path: Path, source: BaseSource) -> Iterator[pl.DataFrame]:
    header, seen = list(source.header), False
    if len(set(header)) != len(header):
        raise DataError(f"{path}: `header` names a column twice: {', '.join(header)}", allowed="distinct column names")
    for first, text in text_blocks(path, source):
        body, line, seen = text, first, True
        if not header:
            head, _, body = text.partition("\n")
            header, line = _header(head, path, source), first + 1
        yield split_csv(body, header, path, line, source.delimiter, quoted=source.quoted)
    if not seen:
        raise _empty(path)


def _header(head: str, path: Path, source: BaseSource) -> list[str]:
    names = [name.strip() for name in next(csv.reader([head.rstrip("\r")], delimiter=source.delimiter), [])]
    if "\0" in head or len(set(names)) != len(names) or not all(names):
        shown = head[:80].encode("unicode_escape").decode()
        raise DataError(f"{path}: the first line is not a header: {shown!r}", allowed="distinct column names")
    return names


def split_csv(text: str, names: list[str], path: Path, line: int, delimiter: str, *, quoted: bool) -> pl.DataFrame:
    """Rows of CSV text without its header, every column as text.

    names  of the columns; a row with more or fewer fields gets the problem `wrong_field_count`
    line   number of the first row's line; empty lines are no rows
    """
    if quoted and '"' in text:
        return _split_quoted(text, names, path, line, delimiter)
    lines = text.split("\n")
    frame = pl.DataFrame({"text": pl.Series(lines, dtype=pl.String).str.strip_chars_end("\r")})
    frame = frame.with_columns(line=pl.int_range(line, line + len(lines), dtype=pl.Int64))
    frame = frame.filter(pl.col("text").str.strip_chars() != "")
    fields = frame["text"].str.split_exact(delimiter, len(names)).struct.unnest()
    spare, last = fields.to_series(len(names)), fields.to_series(len(names) - 1)
    wrong = pl.select(pl.when(spare.is_not_null() | last.is_null()).then(pl.lit(WRONG_FIELD_COUNT))).to_series()
    fields = fields.select(fields.columns[:-1])
    fields.columns = names
    return fields.with_columns(_line=frame["line"], _problem=wrong)


def _split_quoted(text: str, names: list[str], path: Path, line: int, delimiter: str) -> pl.DataFrame:
    rows, numbers, problems = [], [], []
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    start = 0
    try:
        for row in reader:
            if row:
                rows.append((row + [None] * len(names))[: len(names)])
                numbers.append(line + start)
                problems.append(None if len(row) == len(names) else WRONG_FIELD_COUNT)
            start = reader.line_num
    except csv.Error as error:
        raise DataError(
            f"{path}, line {line + start}: {error}", hint="a quote is not closed; if quotes mean nothing: quoted: false"
        ) from error
    schema = dict.fromkeys(names, pl.String())
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        _line=pl.Series(numbers, dtype=pl.Int64), _problem=pl.Series(problems, dtype=pl.String)
    )


def _jsonl(path: Path, source: BaseSource) -> Iterator[pl.DataFrame]:
    for first, text in text_blocks(path, source.model_copy(update={"quoted": False})):
        rows: list[dict[str, object]] = []
        numbers: list[int] = []
        problems: list[str | None] = []
        for line, piece in enumerate(text.split("\n"), first):
            if not piece.strip():
                continue
            row = parse_object(piece)
            rows.append(row or {})
            numbers.append(line)
            problems.append(UNPARSABLE_JSON if row is None else None)
        if rows and all(problems):
            raise DataError(f"{path}: line 1 is not a JSON object", allowed="JSON Lines: one object a line")
        names = list(dict.fromkeys(name for row in rows for name in row))
        lists = getattr(source, "table", None) in {"news", None}  # of which an item may name several entities
        frame = pl.DataFrame({name: _json_column([row.get(name) for row in rows], lists) for name in names})
        yield frame.with_columns(
            _line=pl.Series(numbers, dtype=pl.Int64), _problem=pl.Series(problems, dtype=pl.String)
        )


def parse_object(line: str) -> dict[str, Any] | None:
    """The JSON object of a line; None where it is none, or is nested too deep to be read."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _json_column(values: list[object], lists: bool) -> pl.Series:
    """Everything becomes text, so that one odd value cannot change a column's type; but lists of text stay lists where
    they mean something."""
    if lists and any(isinstance(value, list) for value in values):
        return pl.Series([_texts_of(value) for value in values], dtype=pl.List(pl.String))
    return pl.Series([_text_of(value) for value in values], dtype=pl.String)


def _texts_of(value: object) -> list[str] | None:
    items = value if isinstance(value, list) else [] if value is None else [value]
    return [text for item in items if (text := _text_of(item)) is not None]


def _text_of(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
