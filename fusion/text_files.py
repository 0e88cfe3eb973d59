"""Files of texts to score, read in pieces so that memory does not grow with the file: a text a line, or a column of a
CSV, JSON Lines or Parquet file, whose other columns come along.

What a file is, is told by its name: .csv and .tsv, .jsonl, .ndjson and .json, .parquet; anything else holds a text a
line. Compressed ones (gz, xz, zst, a zip of one file) are opened. Fields of CSV stay the text that they are, so that
007 stays 007; objects of JSON Lines and columns of Parquet keep their types.
"""

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import ValidationError

from fusion.text_hints import delimiter_hint, header_hint, said_of_options
from gpu_kernels.errors import ConfigError, DataError
from sources.files import reading
from sources.readers.records import UNPARSABLE_JSON, WRONG_FIELD_COUNT, decode, parse_object, records, text_blocks
from sources.table_options import TableFile

STDIN = Path("-")
ROWS = 16_384  # of a piece, at most
_TEXT = "text"
_NOT_TEXT = "not_text"
_JSON = (".jsonl", ".ndjson", ".json")
_COMPRESSED = (".gz", ".xz", ".zst", ".zip")
_PARQUET = b"PAR1"
_CHUNK = 2**20
_SHOWN = 60  # characters of a column's name
_NULS = 0.1  # share of NUL characters from which on a file is not UTF-8 but UTF-16


@dataclass(frozen=True)
class Piece:
    """Consecutive rows of a file, and those of them that had to be left out.

    texts     null where the file has null, or a JSON object lacks the key
    table     the rows' columns; None where they are JSON objects
    objects   the rows as JSON objects; None where they are of a table
    problems  line and reason of each row left out
    """

    texts: Sequence[str | None]
    table: pl.DataFrame | None = None
    objects: list[dict[str, Any]] | None = None
    problems: list[tuple[int, str]] = field(default_factory=list)

    def frame(self, columns: Sequence[str]) -> pl.DataFrame:
        """The rows as a table of these columns. Values of JSON objects that are no text are written as JSON."""
        if self.table is not None:
            return self.table
        rows = self.objects or []
        return pl.DataFrame(
            {name: pl.Series([as_text(row.get(name)) for row in rows], dtype=pl.String) for name in columns}
        )


@dataclass(frozen=True)
class Survey:
    """What one reading of the whole file told: rows that can be scored, its columns, and the rows left out."""

    rows: int
    schema: dict[str, pl.DataType]
    problems: int


class TextFile:
    """The file at `path`; `-` is stdin, a text a line.

    column     of the texts; of a file of lines it is always `text`
    encoding   of a text file
    delimiter  between the fields of a CSV file; default a tab in .tsv, else a comma
    header     names of the columns of a CSV file whose first line is data, with commas between them
    numbered   there the columns are called 1, 2, 3, ...
    quoted     whether fields of a CSV file may stand in double quotes
    skip_bad   leave out rows that cannot be read (too many or too few fields, no JSON object, a text that is no text)
               instead of stopping at the first

    Raises ConfigError on an encoding, delimiter or header that cannot be, DataError where the file is missing.
    """

    def __init__(
        self,
        path: Path,
        column: str = _TEXT,
        *,
        encoding: str = "utf-8",
        delimiter: str = "",
        header: str = "",
        numbered: bool = False,
        quoted: bool = True,
        skip_bad: bool = False,
    ) -> None:
        self.path, self.column, self._skip_bad = path, column, skip_bad
        self.name = "stdin" if path == STDIN else str(path)
        self.kind = _kind(path)
        suffixes = [suffix.lower() for suffix in path.suffixes]
        names = [name.strip() for name in header.split(",")] if header else []
        if names and numbered:
            raise ConfigError("both --header and --no-header", allowed="one of them")
        if (names or numbered or not quoted) and self.kind != "csv":
            option = "--header" if names else "--no-header" if numbered else "--no-quotes"
            raise ConfigError(f"{option}, but {self.name} is no .csv or .tsv file", hint="leave it out")
        if names and (not all(names) or len(set(names)) != len(names)):
            raise ConfigError(f"--header {header!r}", allowed="distinct names with commas between them")
        try:
            self._source = TableFile(
                kind="table_file",
                table="metric",
                files=self.name,
                timezone="UTC",
                max_age=0,
                encoding=encoding,
                delimiter=delimiter or ("\t" if ".tsv" in suffixes else ","),
                quoted=self.kind == "csv" and quoted,
                header=names,
            )
        except ValidationError as error:
            wrong = error.errors()[0]
            said = wrong["msg"].removeprefix("Value error, ")
            raise ConfigError(f"--{wrong['loc'][-1]} {wrong['input']!r}: {said}") from None
        if path != STDIN:
            if path.is_dir():
                raise DataError(f"{path} is a folder", allowed="a file, or - for stdin")
            with reading(path), open(path, "rb") as stream:
                start = stream.read(len(_PARQUET))
            if start and self.kind == "parquet" and start != _PARQUET:
                raise DataError(f"{path} is not a Parquet file", allowed="its first bytes are PAR1")
        if numbered:
            self._source = self._source.model_copy(update={"header": self._numbers()})

    def survey(self) -> Survey | None:
        """Reads the whole file once, so that what is wrong with it is told before hours of scoring; None for stdin.

        Raises DataError for a file that is empty, damaged, wrongly encoded, lacks the column, or has a row that cannot
        be read (unless told to skip those).
        """
        if self.path == STDIN:
            return None
        rows = problems = 0
        schema: dict[str, pl.DataType] = {}
        for piece in self.pieces():
            rows += len(piece.texts)
            problems += len(piece.problems)
            if piece.table is not None:
                schema |= piece.table.schema
            schema |= dict.fromkeys((name for row in piece.objects or [] for name in row), pl.String())
        if self.column not in schema and (rows or self.kind != "jsonl"):
            raise self.no_column(self.column, list(schema))
        return Survey(rows, schema, problems)

    def pieces(self) -> Iterator[Piece]:
        """The rows in order, at most 16,384 at a time. Raises DataError as `survey` does, when it comes to it."""
        empty = True
        for piece in said_of_options(self._read()):
            if empty and sum((text or "").count("\0") for text in piece.texts) > _NULS * sum(
                len(text or "") for text in piece.texts
            ):
                raise DataError(
                    f"{self.name} is full of NUL bytes", allowed="text in UTF-8", hint="UTF-16 must be converted first"
                )
            empty = False
            if piece.problems and not self._skip_bad:
                line, reason = piece.problems[0]
                raise DataError(
                    f"{self.name}, line {line}: {_REASONS[reason].format(self.column)}",
                    hint="mend the file, or leave such rows out with --skip-bad",
                )
            yield piece
        if empty:
            raise DataError(f"{self.name} is empty (0 bytes)", allowed="a text a line, CSV, JSONL or Parquet")

    def _read(self) -> Iterator[Piece]:
        if self.path == STDIN:
            yield from _cut(_stdin_lines(self._source.encoding))
        elif self.kind == "lines":
            yield from _cut(text.split("\n") for _, text in text_blocks(self.path, self._source))
        elif self.kind == "jsonl":
            yield from self._objects()
        else:
            yield from self._tables()

    def _objects(self) -> Iterator[Piece]:
        for first, text in text_blocks(self.path, self._source):
            lines = [(line, piece) for line, piece in enumerate(text.split("\n"), first) if piece.strip()]
            for start in range(0, len(lines), ROWS):
                yield self._parsed(lines[start : start + ROWS])

    def _parsed(self, lines: list[tuple[int, str]]) -> Piece:
        objects: list[dict[str, Any]] = []
        problems: list[tuple[int, str]] = []
        for line, piece in lines:
            row = parse_object(piece)
            if row is None:
                problems.append((line, UNPARSABLE_JSON))
            elif not isinstance(row.get(self.column), str | None):
                problems.append((line, _NOT_TEXT))
            else:
                objects.append(row)
        return Piece([row.get(self.column) for row in objects], objects=objects, problems=problems)

    def _tables(self) -> Iterator[Piece]:
        for frame in records(self.path, self._source):
            rows = frame.drop("_line", "_problem")
            if self.column not in rows.columns:
                raise self.no_column(self.column, list(rows.schema))
            dtype = rows.schema[self.column]
            if dtype != pl.String and not isinstance(dtype, pl.Categorical | pl.Enum):
                raise DataError(f"column {self.column!r} of {self.name} holds {dtype}", allowed="text")
            for start in range(0, max(frame.height, 1), ROWS):
                part = frame.slice(start, ROWS)
                bad = part.filter(pl.col("_problem").is_not_null())
                table = part.filter(pl.col("_problem").is_null()).drop("_line", "_problem")
                texts = table[self.column].cast(pl.String).to_list()
                yield Piece(texts, table=table, problems=bad.select("_line", "_problem").rows())

    def _numbers(self) -> list[str]:
        """The columns' numbers, from 1, as many as the first line has fields."""
        for _, text in said_of_options(text_blocks(self.path, self._source)):
            quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self._source.quoted else csv.QUOTE_NONE
            rows = csv.reader(io.StringIO(text, newline=""), delimiter=self._source.delimiter, quoting=quoting)
            return [str(number) for number, _ in enumerate(next((row for row in rows if row), []), 1)]
        return []

    def no_column(self, column: str, names: Sequence[str], option: str = "--column") -> DataError:
        """The error that there is no such column, with what may be the reason: another delimiter, or no header."""
        hint = f"name it with {option}"
        if self.kind == "csv" and not self._source.header:
            hint = delimiter_hint(column, names, self._source.delimiter) or header_hint(names) or hint
        allowed = ", ".join(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..." for name in names)
        return DataError(f"{self.name} has no column {column!r}", allowed=allowed or "a file with columns", hint=hint)


_REASONS = {
    WRONG_FIELD_COUNT: "not as many fields as the header has names",
    UNPARSABLE_JSON: "not a JSON object",
    _NOT_TEXT: "the value of {!r} is no text",
}


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in _COMPRESSED]
    last = suffixes[-1] if suffixes else ""
    if path == STDIN or last not in (".csv", ".tsv", ".parquet", *_JSON):
        return "lines"
    return "jsonl" if last in _JSON else "parquet" if last == ".parquet" else "csv"


def _cut(blocks: Iterator[list[str]]) -> Iterator[Piece]:
    """Pieces of lines; what follows the last line break of the file is a line unless it is empty."""
    for lines in blocks:
        texts = [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]
        for start in range(0, len(texts), ROWS):
            part = texts[start : start + ROWS]
            yield Piece(part, table=pl.DataFrame({_TEXT: pl.Series(part, dtype=pl.String)}))


def _stdin_lines(encoding: str) -> Iterator[list[str]]:
    """Whole lines as they come: whoever writes them one by one gets them scored one by one."""
    rest, line = b"", 1
    stream: Any = sys.stdin.buffer
    while chunk := stream.read1(_CHUNK):
        rest += chunk
        whole, found, rest = rest.rpartition(b"\n")
        if found:
            yield (decode(whole, "stdin", encoding, line) + "\n").split("\n")
            line += whole.count(b"\n") + 1
    if rest:
        yield [decode(rest, "stdin", encoding, line)]


def as_text(value: object) -> str | None:
    """A value of a JSON object as the text of a table; a lone surrogate, which UTF-8 has no bytes for, as `?`."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode("utf-8")
