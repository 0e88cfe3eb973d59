"""Equal and conflicting rows, within a file and between files that overlap."""

import polars as pl

from sources.schema import TableSpec

OVERLAP = "duplicate_of_overlap"


def in_export_order(rows: pl.DataFrame, good: pl.Expr) -> pl.DataFrame:
    """Rows with files in the order of the event_time of their first good row (then of `file`), lines as they stand.

    Of overlapping exports that is the order in which they were made. File names lie, and the last event_time would
    change with where the data are cut.
    """
    first = rows.filter(good).group_by("file").agg(pl.col("event_time").first().alias("_first"))
    ordered = rows.join(first, on="file", how="left", maintain_order="left")
    return ordered.sort("_first", "file", nulls_last=True, maintain_order=True).drop("_first")


def mark_duplicates(rows: pl.DataFrame, table: TableSpec, *, ticks: bool, vintages: bool) -> pl.DataFrame:
    """Fills `reason` and `ignore` of repeated rows; the first of them, in the order of `rows`, stays as it is.

    ignore  duplicate_of_overlap   all values equal a row of another file
    reason  exact_duplicate        all values equal a row of the same file
            conflicting_duplicate  same key and known_time as a row of the same file, other values
            conflicting_overlap    the same, of another file

    ticks     equal rows of one file are distinct facts, and the n-th of one file is the n-th of another; ticks of one
              time do not conflict
    vintages  rows of one key and known_time are vintages in the order of the file and do not conflict

    Rows with a reason or ignore are not looked at.
    """
    values = [column.name for column in table.columns if column.name != "session"]
    good = rows.with_row_index("_row").filter(pl.col("reason").is_null() & pl.col("ignore").is_null())
    if ticks and not files_overlap(spans(good)):
        return rows
    fact = [*table.key, "known_time"]
    # few rows share their fact with another; only those need a closer look
    good = good.filter(pl.struct(values if ticks else fact).is_duplicated())
    if good.is_empty():
        return rows
    if ticks:
        good = good.with_columns(_nth=pl.int_range(pl.len()).over("file", *values))
        values.append("_nth")
    good = _repeated(good, values)
    same_file = pl.col("file") == pl.col("_home")
    marks = good.filter("_again").select(
        "_row",
        _reason=pl.when(same_file).then(pl.lit("exact_duplicate")),
        _ignore=pl.when(~same_file).then(pl.lit(OVERLAP)),
    )
    if not ticks and not vintages:
        rest = _repeated(good.filter(~pl.col("_again")), fact)
        conflicts = rest.filter("_again").select(
            "_row",
            _reason=pl.when(same_file).then(pl.lit("conflicting_duplicate")).otherwise(pl.lit("conflicting_overlap")),
            _ignore=pl.lit(None, dtype=pl.String),
        )
        marks = pl.concat([marks, conflicts])
    return (
        rows.with_row_index("_row")
        .join(marks, on="_row", how="left", maintain_order="left")
        .with_columns(reason=pl.coalesce("reason", "_reason"), ignore=pl.coalesce("ignore", "_ignore"))
        .drop("_row", "_reason", "_ignore")
    )


def _repeated(rows: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Adds _again (an earlier row equals this one in the columns `by`) and _home (the file of the first such row)."""
    return rows.with_columns(_again=pl.int_range(pl.len()).over(by) > 0, _home=pl.col("file").first().over(by))


def spans(rows: pl.DataFrame) -> pl.DataFrame:
    """First and last event_time of each entity in each file."""
    time = pl.col("event_time")
    return rows.group_by("entity", "file", maintain_order=True).agg(first=time.min(), last=time.max())


def files_overlap(spans: pl.DataFrame) -> bool:
    """Whether any two files hold times of one entity in common ranges; comparing every tick is worth it only then."""
    before = pl.col("last").cum_max().shift(1).over("entity")
    found = spans.sort("entity", "first", "last").select((pl.col("first") <= before).any()).item()
    return bool(found)
