"""What a file holds, before anybody writes a config for it: `trifuse describe FILE`."""

import csv
import json
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from gpu_kernels.errors import DataError
from sources.clocks import read_clock
from sources.files import members, open_member, reading
from sources.guess import ENTITY_NAMES, answer, guess_source, news_text
from sources.guess_feeds import describe_feed
from sources.guess_sites import guess_sites
from sources.readers.news_file import tickers
from sources.readers.records import file_format, records
from sources.sites.geometries import geometries, of_geometries
from sources.table_options import TableFile

ROWS_AT_MOST = 2_000_000
_FORMATS = (None, "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y", "%Y%m%d", "%Y%m%d %H%M%S", "%d.%m.%Y %H:%M:%S")
_EPOCHS = ("epoch_s", "epoch_ms", "epoch_us", "epoch_ns")
# 1980 to 2100: a number in it may be a clock, another cannot
_EPOCH_RANGE = (315_532_800, 4_102_444_800)
# a field that is a day or a moment, which no column is called
_DATED = r"^(\d{4}[-/]\d{2}[-/]\d{2}([T ]\d{2}:\d{2}\S*( ?(Z|UTC))?)?|\d{1,2}[/.]\d{1,2}[/.]\d{4}( \d{1,2}:\d{2}\S*)?)$"
# TIFF of both byte orders, BigTIFF, PNG, JPEG, JPEG 2000
_IMAGES = (
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\0\0\0\x0cjP  "),
)
_POLYGONS = (
    "it holds polygons: if they are lots or fields they are no list of sites, but zones for `trifuse observe`; "
    "`trifuse sites join` finds the stores of lots"
)
_PARSED = 0.95
_MANY = 50


def describe(path: Path | str) -> dict[str, Any]:
    """Facts about a data file, a lake folder or a run folder, as a tree that JSON can hold.

    path, kind (csv, jsonl, parquet, lean_zip, lake, run; a venue's own feed has that of its source, geometries have
    geojson, gpkg, shp or fgb), bytes, rows, and for files and lake folders:
    columns      name, type (clock, number, text, list), nulls, distinct, first and last in order of size; of clocks the
                 time_format, whether they name days only, and the time zone if the values tell it
    warnings     of files: sentences about what must be decided before the file is used
    problems     rows that could not be split into columns, by reason
    duplicates   rows equal to an earlier one
    entities     the column that names them and the rows of each (the 50 with most)
    gaps         of the main clock, per entity: the typical spacing, how many are longer than five times that, and the
                 longest with its place
    source       the kind of source that would read it and YAML to paste, or why there is none

    At most the first 2,000,000 rows are looked at; `rows_seen` says how many.
    Missing values: null for what a kind of file cannot tell.
    Raises DataError for a file that is missing, empty, damaged, an image, or of no known kind.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path} does not exist")
    if path.is_dir():
        return _folder(path)
    _check_not_empty(path)
    _check_no_image(path)
    if _is_zip(path) and (lean := guess_source(path, pl.DataFrame(), [])) is not None:
        names = members(path)
        return {"path": str(path), "kind": "lean_zip", "bytes": path.stat().st_size, "members": names, "source": lean}
    if not _is_zip(path) and (feed := describe_feed(path)) is not None:
        return {"path": str(path), "bytes": path.stat().st_size, **feed}
    layout, said = _layout(path)
    frame = _read(path, layout)
    facts, typical = _facts(frame)
    rows = frame.drop("_line", "_problem")
    if (sites := guess_sites(path, rows, facts["columns"])) is not None:
        guessed: dict[str, Any] | None = answer(path, sites[0] | layout, sites[1])
    else:
        guessed = guess_source(path, rows, facts["columns"], layout, typical)
    if of_geometries(path) and not rows["geometry"].null_count():
        said = [*said, _POLYGONS]
    question = None if guessed is None else guessed.pop("question", None)
    return {
        "path": str(path),
        "kind": path.suffix[1:].lower() if of_geometries(path) else file_format(path),
        "bytes": path.stat().st_size,
        "warnings": said + ([question] if question else []),
        **facts,
        "source": guessed,
    }


def columns_of(path: Path) -> tuple[pl.DataFrame, list[dict[str, Any]], dict[str, Any]]:
    """The first rows of a file of columns, what `describe` tells of each column, and the options that it needs to be
    read, such as its delimiter. Raises DataError as `describe`."""
    _check_not_empty(path)
    layout, _ = _layout(path)
    frame = _read(path, layout)
    return frame.drop("_line", "_problem"), _facts(frame)[0]["columns"], layout


def _check_not_empty(path: Path) -> None:
    with reading(path), open_member(path, _first_member(path)) as stream:
        if not stream.read(1):
            raise DataError(f"{path} is empty (0 bytes)", hint="fetch the file again")


def _check_no_image(path: Path) -> None:
    with open(path, "rb") as stream:
        head = stream.read(12)
    if head.startswith(_IMAGES):
        raise DataError(
            f"{path} is an image, and no table", hint="`trifuse observe CONFIG` reads images: docs/imagery.md"
        )


def _is_zip(path: Path) -> bool:
    with open(path, "rb") as stream:
        return stream.read(2) == b"PK"


def _first_member(path: Path) -> str | None:
    return members(path)[0] if _is_zip(path) else None


def _layout(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The `delimiter` and `header` that a CSV file needs, and a sentence about each."""
    if of_geometries(path) or file_format(path) != "csv":
        return {}, []
    with reading(path), open_member(path, _first_member(path)) as stream:
        line = stream.read(10_000).partition(b"\n")[0].decode("utf-8", "replace").strip("\ufeff\r")
    layout: dict[str, Any] = {}
    said = []
    delimiter = max(",;\t|", key=line.count)
    if line.count(delimiter) > line.count(","):
        layout["delimiter"] = delimiter
        said.append(f"the file looks {delimiter!r}-delimited: delimiter: {delimiter!r}")
    fields = [field.strip() for field in next(csv.reader([line], delimiter=layout.get("delimiter", ",")), [])]
    values = pl.Series(fields).str.contains(r"^[-+]?\d+(\.\d+)?([eE][-+]?\d+)?$|^\d{1,4}[-/.]\d{1,2}[-/.]\d|^\d{8} ")
    # of news a single field is no text; of a table with a column a day many names are dates
    dated = pl.Series(fields, dtype=pl.String).str.contains(_DATED).sum() == 1
    if len(fields) > 1 and (values.sum() > len(fields) / 2 or dated):
        layout["header"] = [f"column_{number}" for number in range(1, len(fields) + 1)]
        said.append("the first line is data: the file has no header; name the columns in order: header: [...]")
    return layout, said


def _read(path: Path, layout: dict[str, Any]) -> pl.DataFrame:
    if of_geometries(path):
        return geometries(path)
    # any source reads a file's columns alike; only the settings of text files matter here
    source = TableFile(kind="table_file", table="metric", files=str(path), timezone="UTC", max_age=0, **layout)
    seen, parts = 0, []
    for frame in records(path, source):
        parts.append(frame.head(ROWS_AT_MOST - seen))
        seen += parts[-1].height
        if seen >= ROWS_AT_MOST:
            break
    return pl.concat(parts, how="diagonal_relaxed")


def _folder(path: Path) -> dict[str, Any]:
    if (path / "ingest.json").is_file():
        from sources.lake import read

        record = _record(path / "ingest.json", ("name", "table", "counts", "window", "inputs", "warnings"))
        rows = read(path)
        plain = rows.with_columns(
            _line=pl.int_range(1, rows.height + 1, dtype=pl.Int64), _problem=pl.lit(None, dtype=pl.String)
        )
        return {
            "path": str(path),
            "kind": "lake",
            "table": record["table"],
            "bytes": sum(file.stat().st_size for file in path.rglob("*.parquet")),
            **_facts(plain)[0],
            "ingest": {name: record[name] for name in ("name", "counts", "window", "inputs", "warnings")},
        }
    if (path / "manifest.json").is_file():
        manifest = _record(path / "manifest.json", ())
        tables = {file.name: _parquet_facts(file) for file in sorted(path.glob("*.parquet"))}
        return {"path": str(path), "kind": "run", "manifest": manifest, "tables": tables}
    raise DataError(f"{path} is a folder of no known kind", allowed="a file, a lake folder (ingest.json), a run folder")


def _record(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Other programs write files of these names too."""
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(name in found for name in names):
        raise DataError(f"{path} is not what trifuse writes", allowed="a lake folder, a run folder, or a file in it")
    return found


def _parquet_facts(path: Path) -> dict[str, Any]:
    scan = pl.scan_parquet(path)
    schema = scan.collect_schema()
    return {
        "rows": scan.select(pl.len()).collect().item(),
        "columns": {name: str(dtype) for name, dtype in schema.items()},
    }


def _facts(frame: pl.DataFrame) -> tuple[dict[str, Any], timedelta | None]:
    """The facts, and the typical time between two rows of an entity."""
    rows = frame.drop("_line", "_problem")
    good = rows.filter(frame["_problem"].is_null())
    clocks: dict[str, pl.Series] = {}
    columns = [_column(good[name], clocks) for name in good.columns]
    if {"Date", "Time"} <= set(good.columns) and good["Time"].dtype == pl.String:
        stamp = (good["Date"].cast(pl.String).str.strip_chars() + " " + good["Time"].str.strip_chars()).alias(
            "Date Time"
        )
        found = _as_clock(stamp)
        # a day and a time of day in two columns are one clock, and the better one
        clocks = clocks if found is None else {"Date Time": found[0]} | clocks
    entity = _entity_column(good, columns)
    hashable = good.with_columns(pl.col(pl.List(pl.String)).list.join("\x1f"))
    problems = frame["_problem"].drop_nulls().value_counts(sort=True)
    main = "event_time" if "event_time" in clocks else next(iter(clocks), None)
    named = None if entity is None else good[entity]
    if entity is not None and news_text(good, [fact["name"] for fact in columns if fact["type"] == "text"]):
        named = tickers(good[entity])
    gaps, typical = (None, None) if main is None else _gaps(clocks[main], main, named)
    return {
        "rows": frame.height,
        "rows_seen": "all" if frame.height < ROWS_AT_MOST else f"the first {ROWS_AT_MOST}",
        "columns": columns,
        "problems": dict(problems.iter_rows()),
        "duplicates": hashable.height - hashable.n_unique() if hashable.width and hashable.height else 0,
        "entities": None if named is None else _counts(named.explode().drop_nulls()),
        "gaps": gaps,
    }, typical


def _column(column: pl.Series, clocks: dict[str, pl.Series]) -> dict[str, Any]:
    """Facts of one column; a clock's times are added to `clocks`."""
    empty = column.null_count() + (int((column == "").sum()) if column.dtype == pl.String else 0)
    facts: dict[str, Any] = {"name": column.name, "type": "text", "nulls": empty}
    if column.dtype == pl.List:
        return facts | {"type": "list"}
    facts["distinct"] = column.n_unique()
    clock = _as_clock(column)
    if clock is not None:
        times, found = clock
        clocks[column.name] = times
        return facts | {"type": "clock", "first": str(times.min()), "last": str(times.max())} | found
    numbers = column.str.strip_chars().cast(pl.Float64, strict=False) if column.dtype == pl.String else column
    if numbers.dtype.is_numeric() and _mostly(numbers, len(column) - empty):
        finite = numbers.cast(pl.Float64).filter(numbers.cast(pl.Float64).is_finite())
        return facts | {"type": "number", "first": finite.min(), "last": finite.max()}
    text = column.cast(pl.String)
    return facts | {"first": _short(text.min()), "last": _short(text.max())}


def _short(value: Any) -> str | None:
    return None if value is None else str(value)[:80]


def _mostly(parsed: pl.Series, present: int) -> bool:
    return present > 0 and len(parsed) - parsed.null_count() >= _PARSED * present


def _as_clock(column: pl.Series) -> tuple[pl.Series, dict[str, Any]] | None:
    """The column as times, with the format and zone that it has; None where it is no clock."""
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        zone = column.dtype.time_zone if isinstance(column.dtype, pl.Datetime) else None
        found = read_clock(column, timezone="UTC")
        return found["time"], {"time_format": None, "days_only": column.dtype == pl.Date, "timezone": zone}
    if column.dtype.is_numeric():
        return _epoch(column)
    if column.dtype != pl.String:
        return None
    present = len(column) - column.null_count() - int((column == "").sum())
    for time_format in _FORMATS:
        if time_format == "%Y%m%d" and not column.str.contains(r"^\d{8}$").all():
            continue
        head = read_clock(column.head(1000), timezone="UTC", time_format=time_format)["time"]
        if not _mostly(head, min(present, 1000)):
            continue
        found = read_clock(column, timezone="UTC", time_format=time_format)
        if _mostly(found["time"], present):
            offset = time_format is None and _mostly(column.str.extract(r"\d ?(Z|UTC|[+-]\d{2}:?\d{2})$"), present)
            return found["time"], {
                "time_format": time_format,
                "days_only": bool(found["whole_day"].all()),
                "timezone": "in the values" if offset else None,
            }
    return _epoch_text(column)


def _epoch_text(column: pl.Series) -> tuple[pl.Series, dict[str, Any]] | None:
    """Whole numbers that never fall may be a clock: other large ones, such as volumes, rise and fall."""
    if not column.str.contains(r"^\d{9,19}$").all():
        return None
    numbers = column.cast(pl.Int64, strict=False)
    return _epoch(numbers) if numbers.null_count() == 0 and numbers.is_sorted() else None


def _epoch(column: pl.Series) -> tuple[pl.Series, dict[str, Any]] | None:
    whole = column.drop_nulls()
    if not column.dtype.is_integer() or whole.is_empty():
        return None
    for power, time_format in zip((0, 3, 6, 9), _EPOCHS, strict=True):
        low, high = (edge * 10**power for edge in _EPOCH_RANGE)
        if whole.is_between(low, high).all():
            times = read_clock(column, timezone="UTC", time_format=time_format)["time"]
            return times, {"time_format": time_format, "days_only": False, "timezone": "UTC"}
    return None


def _entity_column(rows: pl.DataFrame, columns: list[dict[str, Any]]) -> str | None:
    names = {name.lower(): name for name in rows.columns}
    for wanted in ENTITY_NAMES:
        if wanted in names and rows[names[wanted]].dtype in (pl.String, pl.List(pl.String)):
            return names[wanted]
    return None


def _counts(column: pl.Series) -> dict[str, Any]:
    counts = column.value_counts(sort=True).sort("count", column.name, descending=[True, False])
    return {
        "column": column.name,
        "distinct": counts.height,
        "rows": dict(islice(counts.iter_rows(), _MANY)),
    }


def _gaps(
    times: pl.Series, name: str, entity: pl.Series | None
) -> tuple[dict[str, Any], timedelta] | tuple[None, None]:
    frame = pl.DataFrame({"time": times, "entity": entity if entity is not None else pl.Series([""] * len(times))})
    if isinstance(frame.schema["entity"], pl.List):
        frame = frame.explode("entity")
    ordered = frame.drop_nulls("time").unique().sort("entity", "time")
    steps = ordered.with_columns(step=pl.col("time").diff().over("entity")).filter(pl.col("step") > pl.duration())
    if steps.is_empty():
        return None, None
    typical = steps["step"].median()
    assert isinstance(typical, timedelta)
    longest = steps.sort("step", descending=True, maintain_order=True).row(0, named=True)
    return {
        "clock": name,
        "typical": str(typical),
        "beyond_five_times_typical": steps.filter(pl.col("step") > 5 * pl.lit(typical)).height,
        "longest": str(longest["step"]),
        "longest_ends": str(longest["time"]),
        "longest_entity": longest["entity"] or None,
        "goes_back": int((times.diff() < pl.Series([0], dtype=pl.Duration("ns"))).sum()),
    }, typical
