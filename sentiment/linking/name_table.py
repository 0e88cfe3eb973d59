"""The table of names: who is called what, from when to when, and what tells a company from a word.

Columns of a table (CSV, Parquet, or YAML with a list of rows):

    entity       what the rest of the project calls it, e.g. the ticker that its prices are filed under
    name         the name as it is written: Apple, Procter & Gamble, AAPL, BRK.B
    kind         name, alias (both are matched alike), ticker (matched bare, with its exchange, and as a cashtag) or
                 cashtag (never bare)
    valid_from   first day, valid_to last day (both of UTC, inclusive) on which texts mean the entity by it; empty: open
    ambiguous    empty: no other word is written like it.   lower: it is a word in lower case (Visa, Apple).
                 capital: and at the start of a sentence, in Title Case and in CAPITALS (Target, Gap).   always
    needs        of these words one must stand near where the name is ambiguous; `*` stands for MARKET_WORDS, which are
                 also what an empty cell means. A row with `needs` and no `ambiguous` is `always`
    never        phrases that rule it out: around the name (apple pie), or near it where they lack it (rainforest)

`needs` and `never` separate their entries by `|` (or are lists). Only entity, name and kind are obligatory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from gpu_kernels.errors import ArgumentError, DataError
from sentiment.linking.words import name_words

if TYPE_CHECKING:
    from sentiment.linking.matcher import Matcher

KINDS = ("name", "alias", "ticker", "cashtag")
AMBIGUOUS = ("", "lower", "capital", "always")
REQUIRED = ("entity", "name", "kind")
COLUMNS = (*REQUIRED, "valid_from", "valid_to", "ambiguous", "needs", "never")
DATES = ("valid_from", "valid_to")
LISTS = ("needs", "never")
MOST_ROWS = 1_000_000
LONGEST_NAME = 100
SCHEMA = {
    column: pl.Date() if column in DATES else pl.List(pl.String()) if column in LISTS else pl.String()
    for column in COLUMNS
}
REASONS = {
    "no_entity": "an entity",
    "no_name": "a name with a letter or a digit",
    "long_name": f"at most {LONGEST_NAME} characters",
    "unknown_kind": ", ".join(KINDS),
    "unknown_ambiguous": "empty, lower, capital or always",
    "bad_date": "days such as 2022-06-09, or empty",
    "reversed_dates": "valid_from up to valid_to",
    "duplicate": "an entity's name once for a kind and its days",
}
"""Why a row is set aside -> what is allowed there."""
_PACKAGED = "us_large.csv"


@dataclass(frozen=True)
class NameTable:
    """Names that may be used, and rows that may not.

    rows        the columns of this module, sorted as given
    set_aside   `line` (1 is the first row after a header), entity, name, kind, `reason`: no_entity, no_name
                (nothing that could be matched), long_name, unknown_kind, unknown_ambiguous, bad_date, reversed_dates,
                duplicate
    """

    rows: pl.DataFrame
    set_aside: pl.DataFrame

    @classmethod
    def read(cls, path: str | Path) -> "NameTable":
        """A table from .csv, .parquet, .yaml or .yml. Raises DataError as `of`, and where the file cannot be read."""
        path = Path(path)
        kind = path.suffix.lower()
        try:
            if kind == ".csv":
                frame = pl.read_csv(path, infer_schema=False)
            elif kind == ".parquet":
                frame = pl.read_parquet(path)
            elif kind in (".yaml", ".yml"):
                frame = _of_yaml(path)
            else:
                raise DataError(f"table of names {path}", allowed=".csv, .parquet, .yaml")
        except (OSError, UnicodeDecodeError, pl.exceptions.PolarsError) as error:
            raise DataError(f"table of names {path} cannot be read: {error}") from None
        return cls.of(frame, str(path))

    @classmethod
    def packaged(cls) -> "NameTable":
        """About 190 large companies and funds listed in America, by the tickers of the time; see docs/linking.md."""
        return cls.read(str(resources.files("sentiment.linking") / "names" / _PACKAGED))

    @classmethod
    def of(cls, frame: pl.DataFrame, what: str = "table of names") -> "NameTable":
        """A table from a frame.

        Missing values: a null cell is an empty one. Rows that cannot be used are set aside with a reason.
        Raises DataError where a column is missing, unknown or of a wrong type, where no row is usable or there are too
        many, and where on one day one ticker or cashtag belongs to two entities.
        """
        rows = _typed(frame, what)
        rows = rows.with_columns(reason=_reasons(rows))
        bad = rows["reason"].is_not_null()
        good = rows.filter(~bad).select(COLUMNS)
        if not good.height:
            first = rows["reason"][0] if rows.height else "empty"
            raise DataError(f"{what}: none of {rows.height} rows can be used (first: {first})")
        _check_tickers(good, what)
        return cls(good, rows.filter(bad).select("line", *REQUIRED, "reason"))

    def renamed(self, names: Mapping[str, str]) -> "NameTable":
        """The same with entities called otherwise, e.g. {"FB": "META"} where prices are filed under the last ticker."""
        return NameTable(self.rows.with_columns(pl.col("entity").replace(dict(names))), self.set_aside)

    def only(self, entities: Sequence[str]) -> "NameTable":
        """The names of some entities. Raises ArgumentError for one that the table does not know."""
        unknown = sorted(set(entities) - set(self.rows["entity"]))
        if unknown:
            raise ArgumentError(
                f"the table of names has no {', '.join(unknown[:5])}", hint="check the entity's spelling"
            )
        return NameTable(self.rows.filter(pl.col("entity").is_in(list(entities))), self.set_aside)

    @cached_property
    def matcher(self) -> "Matcher":
        """What finds the names in texts; made once."""
        from sentiment.linking.matcher import Matcher

        return Matcher(self)


def _of_yaml(path: Path) -> pl.DataFrame:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise DataError(f"table of names {path} is no YAML: {error}") from None
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise DataError(f"table of names {path}", allowed="a list of rows, each with entity, name and kind")

    def cell(value: Any) -> str | None:
        if isinstance(value, list):
            return "|".join(str(entry) for entry in value)
        return None if value is None else str(value)

    columns = list(dict.fromkeys(str(key) for row in content for key in row))
    return pl.DataFrame(
        [[cell(row.get(column)) for column in columns] for row in content],
        schema=dict.fromkeys(columns, pl.String()),
        orient="row",
    )


def _typed(frame: pl.DataFrame, what: str) -> pl.DataFrame:
    """The columns of `COLUMNS` in their types, `line`, and `unread`: a date that is none."""
    unknown = sorted(set(frame.columns) - set(COLUMNS))
    missing = [column for column in REQUIRED if column not in frame.columns]
    if missing or unknown:
        told = f"without {', '.join(missing)}" if missing else f"with the column {unknown[0]!r}"
        raise DataError(f"{what} {told}", allowed=", ".join(COLUMNS))
    if frame.height > MOST_ROWS:
        raise DataError(f"{what} of {frame.height:,} rows", allowed=f"at most {MOST_ROWS:,}", hint="use `only`")
    columns: dict[str, pl.Expr] = {}
    unread = pl.lit(False)
    for column in COLUMNS:
        dtype = frame.schema.get(column, pl.Null())
        text = isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Null)
        given = pl.col(column) if column in frame.columns else pl.lit(None)
        if column in DATES:
            if not (text or isinstance(dtype, pl.Date | pl.Datetime)):
                raise DataError(f"{what}: {column} is {dtype}", allowed="dates, or text such as 2022-06-09")
            cell = given.cast(pl.String).str.strip_chars().replace("", None) if text else given
            columns[column] = cell.str.to_date("%Y-%m-%d", strict=False) if text else cell.cast(pl.Date)
            unread |= cell.is_not_null() & columns[column].is_null()
        elif column in LISTS:
            if not (text or dtype == pl.List(pl.String())):
                raise DataError(f"{what}: {column} is {dtype}", allowed="text with | between entries, or lists of text")
            entries = given.cast(pl.String).str.split("|") if text else given
            stripped = entries.list.eval(pl.element().str.strip_chars())
            columns[column] = stripped.list.eval(pl.element().filter(pl.element() != "")).fill_null([])
        elif text:
            columns[column] = given.cast(pl.String).str.strip_chars().fill_null("")
        else:
            raise DataError(f"{what}: {column} is {dtype}", allowed="text")
    typed = frame.select(**columns, unread=unread).with_row_index("line", 1)
    level = pl.when((pl.col("ambiguous") == "") & (pl.col("needs").list.len() > 0)).then(pl.lit("always"))
    return typed.with_columns(ambiguous=level.otherwise(pl.col("ambiguous")))


def _reasons(rows: pl.DataFrame) -> pl.Series:
    words = [name_words(name[:LONGEST_NAME]) for name in rows["name"]]
    spelled = pl.Series([" ".join(found) for found in words], dtype=pl.String)
    reason = (
        pl.when(pl.col("entity") == "")
        .then(pl.lit("no_entity"))
        .when(pl.col("spelled").is_in(["", "&"]))
        .then(pl.lit("no_name"))
        .when(pl.col("name").str.len_chars() > LONGEST_NAME)
        .then(pl.lit("long_name"))
        .when(~pl.col("kind").is_in(KINDS))
        .then(pl.lit("unknown_kind"))
        .when(~pl.col("ambiguous").is_in(AMBIGUOUS))
        .then(pl.lit("unknown_ambiguous"))
        .when(pl.col("unread"))
        .then(pl.lit("bad_date"))
        .when(pl.col("valid_from") > pl.col("valid_to"))
        .then(pl.lit("reversed_dates"))
        .when(~pl.struct("entity", "spelled", "kind", "valid_from", "valid_to").is_first_distinct())
        .then(pl.lit("duplicate"))
    )
    return rows.with_columns(spelled=spelled).select(reason=reason)["reason"]


def symbol(name: str) -> str:
    """A ticker in the form in which tickers are compared: BRK-B, BRK/B and brk.b are BRK.B."""
    return ".".join(name_words(name)).upper()


def _check_tickers(rows: pl.DataFrame, what: str) -> None:
    tickers = rows.filter(pl.col("kind").is_in(["ticker", "cashtag"]))
    tickers = tickers.with_columns(symbol=pl.Series([symbol(name) for name in tickers["name"]], dtype=pl.String))
    of_symbol: dict[str, list[tuple[Any, Any, str]]] = {}
    for entity, name, start, stop in tickers.select("entity", "symbol", "valid_from", "valid_to").iter_rows():
        of_symbol.setdefault(name, []).append((start.toordinal() if start else 0, stop, entity))
    for name, uses in of_symbol.items():
        if len({entity for _, _, entity in uses}) == 1:
            continue
        uses.sort(key=lambda use: use[0])
        # of one entity's rows several may overlap: the latest end so far counts, with its owner
        for (_, stop, owner), (start, _, entity) in pairwise(_latest_ends(uses)):
            if entity != owner and (stop is None or start <= stop.toordinal()):
                raise DataError(
                    f"{what}: {name} belongs to {owner} and to {entity} on one day",
                    allowed="one entity for a ticker at a time",
                    hint="end the first with valid_to",
                )


def _latest_ends(uses: list[tuple[int, Any, str]]) -> list[tuple[int, Any, str]]:
    """Uses in order of their start, those that end before an earlier use of the same entity does widened to its end."""
    output: list[tuple[int, Any, str]] = []
    for start, stop, entity in uses:
        if output and output[-1][2] == entity:
            before = output[-1][1]
            stop = None if before is None or stop is None else max(before, stop)  # noqa: PLW2901
        output.append((start, stop, entity))
    return output
