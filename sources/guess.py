"""Which kind of source would read a file, and the YAML to paste into a config."""

import re
from collections.abc import Iterable
from datetime import timedelta
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from gpu_kernels.durations import format_duration
from sources.clocks import read_clock
from sources.daily_options import YAHOO
from sources.guess_macro import macro_entry
from sources.quality import outside_by_zone
from sources.sessions import sessions_around
from sources.stamps import after_start, evidence, spacing, undecided

_LEAN_NAME = re.compile(r"^\d{8}_(trade|quote)$")
_THINKORSWIM = ["Date", "Time", "Open", "High", "Low", "Close", "Volume"]
_SECURITIES = ("equity", "future", "crypto", "index", "forex")
ENTITY_NAMES = ("entity", "ticker", "symbol", "tickers", "asset", "sym", "instrument", "security", "secid", "sec_id")
# canonical column -> what vendors call it, in small letters
_NAMES = {
    "entity": ENTITY_NAMES,
    "event_time": (
        "event_time",
        "time",
        "timestamp",
        "datetime",
        "date_time",
        "date",
        "end_time",
        "created_at",
        "start",
    ),
    "known_time": (
        *("known_time", "known_at", "known", "available_time", "available_at", "delivered", "delivered_at"),
        *("delivery_time", "received", "received_time", "received_at", "released", "released_at", "published"),
        "published_at",
    ),
    "published": (
        *("published", "published_at", "published_time", "publish_time", "publish_date", "publication_date"),
        *("publishedat", "pub_date", "pubdate", "release_time", "released", "released_at"),
    ),
    "received": (
        *("received", "received_at", "received_time", "receipt_time", "receivedat", "arrived", "arrived_at", "known"),
        *("known_time", "available_time", "delivered", "ingested_at", "ingest_time", "fetched_at", "crawled_at"),
    ),
    "text": ("text", "headline", "title", "body", "tweet"),
    "item": ("item", "id", "story_id", "headline_id", "news_id", "item_id"),
    "name": ("name", "event"),
    "metric": ("metric", "series"),
}
# what the words of a bar's columns mean, whatever stands before or after them: px_open, open_price, AAPL.h
_BAR_WORDS = {
    "open": ("open", "o", "op"),
    "high": ("high", "h", "hi"),
    "low": ("low", "l", "lo"),
    "close": ("close", "c", "cl", "last"),
    "volume": ("volume", "vol", "v", "qty", "quantity"),
}
_TABLES = {
    "bar": ("open", "high", "low", "close", "volume"),
    "book_update": ("sequence", "side", "price", "size"),
    "quote": ("bid_price", "bid_size", "ask_price", "ask_size"),
    "trade": ("price", "size"),
    "metric": ("value",),
}
# a guess by values needs this many rows, of which this share agree, and turns of the price both ways
_BAR_ROWS, _BAR_SHARE, _BAR_TURNS = 20, 0.98, 0.1
_BAR_NUMBERS = 10
_ROWS_AN_ENTITY = 5
_OUTSIDE = 0.05
_MINUTE = 60 * 10**9
_DAY = timedelta(days=1)
_ADJUSTED = ("adj close", "adj_close", "adjclose", "adjusted close", "adjusted_close", "close_adj")
_RULE = {"days": 1, "time": "09:00", "business": True}
# news: a day, or a round number of days that holds two typical gaps; and how many values a column of kinds has
_MAX_AGES = (1, 3, 7, 14, 30, 60, 90, 180, 365)
_KINDS, _ROWS_A_KIND, _LONGEST_KIND = 12, 3, 40


def guess_source(
    path: Path,
    rows: pl.DataFrame,
    columns: list[dict[str, Any]],
    layout: dict[str, Any] | None = None,
    typical: timedelta | None = None,
) -> dict[str, Any] | None:
    """The likeliest kind of source for a file, as {kind, yaml, check}, with a `question` where nobody can tell whether
    bars are stamped at their starts or ends; None where none fits.

    path     of the file; LEAN zips are told by their names
    rows     its columns
    columns  the facts of `describe` about them
    layout   options that the file needs to be split, such as its delimiter
    typical  the typical time between two rows of an entity

    `check` lists what the file cannot tell and a person must look at: the lines marked in the YAML.
    """
    if path.suffix == ".zip" and (name := _LEAN_NAME.match(path.stem)):
        return _lean(path, name[1])
    lower = {column["name"].lower(): column["name"] for column in columns}
    clocks = {column["name"]: column for column in columns if column["type"] == "clock"}
    if rows.columns == _THINKORSWIM:
        return _thinkorswim(path, rows)
    event = _find("event_time", lower, clocks) or next(iter(clocks), None)
    known = _find("known_time", lower, {name for name in clocks if name != event})
    macro = macro_entry(path, rows)
    entry = None if event is None or macro else _entry(path, rows, columns, lower, event, known)
    if event is None or entry is None:
        dated = _of_date_parts(path, columns, lower, layout or {}) if event is None else None
        return dated if macro is None else answer(path, macro[0] | (layout or {}), macro[1])
    entry |= layout or {}
    if entry["kind"] == "news_file":
        answered = _news(path, entry, lower, clocks, typical)
        answered["yaml"] += _only(rows, columns, set(entry["columns"].values()))
        return answered
    if time_format := clocks[event]["time_format"]:
        entry["time_format"] = time_format
    doubtful = ["timezone"] + ([] if known else ["delay", "known", "announced"]) + ["entity", "max_age"]
    if entry.get("table") != "bar":
        return answer(path, entry, doubtful)
    times = read_clock(rows[event], timezone="UTC", time_format=clocks[event]["time_format"])["time"].drop_nulls()
    daily = clocks[event]["days_only"] and known is None and spacing(times) == 86_400 * 10**9
    zone = clocks[event]["timezone"]
    return _daily(path, entry, lower) if daily else _bars(path, entry, lower, doubtful, times, moved=zone is None)


def _bars(
    path: Path, entry: dict[str, Any], lower: dict[str, str], doubtful: list[str], times: pl.Series, *, moved: bool
) -> dict[str, Any]:
    """Of bars inside a session, of which the stamps may tell where in them they lie."""
    entry["timezone"], place, between = _bar_stamps(times, moved=moved)
    named = all(name in lower for name in _TABLES["bar"])
    lines = _bar_lines(times, place == "starts", between)
    found = answer(path, entry, [*doubtful, *([] if named else ["columns"])], lines)
    if lines is not None and place is None and not between:
        found["question"] = undecided(format_duration(spacing(times) or _MINUTE))
    return found


def _daily(path: Path, entry: dict[str, Any], lower: dict[str, str]) -> dict[str, Any]:
    """Of bars whose stamps are days, one after the other: bars of one a session."""
    columns, adjusted = entry["columns"], next((lower[name] for name in _ADJUSTED if name in lower), None)
    found = {"kind": "daily_file", "files": entry["files"], "timezone": "America/New_York", "delay": "15min"}
    found |= {"max_age": "1d"} | ({} if columns == YAHOO else {"columns": columns})
    found |= {} if adjusted is None else {"adjusted": adjusted}
    found |= {name: value for name, value in entry.items() if name not in {*found, "table", "columns"}}
    return answer(path, found, ["timezone", "delay", "entity", "columns"])


def _find(canonical: str, lower: dict[str, str], allowed: Any) -> str | None:
    return next((lower[name] for name in _NAMES[canonical] if name in lower and lower[name] in allowed), None)


def news_text(rows: pl.DataFrame, texts: Iterable[str]) -> str | None:
    """The column of the texts of news: by its name (without a header the longest one), and longer than a name is; None
    where there is none."""
    lower = {name.lower(): name for name in texts}
    length = {
        name: rows[name].cast(pl.String).str.len_chars().cast(pl.Float64).fill_null(0).sum() for name in lower.values()
    }
    found = _find("text", lower, lower.values())
    if found is None and length and all(name.startswith("column_") for name in rows.columns):
        found = max(length, key=lambda name: length[name])
    return None if found is None or length[found] <= 25 * rows.height else found


def _entry(
    path: Path,
    rows: pl.DataFrame,
    columns: list[dict[str, Any]],
    lower: dict[str, str],
    event: str,
    known: str | None,
) -> dict[str, Any] | None:
    types = {column["name"]: column["type"] for column in columns}
    texts = {name for name, kind in types.items() if kind == "text"}
    mapping = {"event_time": event} | ({"known_time": known} if known else {})
    entity = _find("entity", lower, [name for name, kind in types.items() if kind != "clock"])
    if entity:
        mapping["entity"] = entity
    own = {} if entity else {"entity": "NAME"}
    common = {"files": str(path), "timezone": "UTC", "max_age": "1d"}
    text = news_text(rows, texts)
    if text is not None:
        item = _find("item", lower, {name for name, kind in types.items() if kind != "clock"} - {text})
        told = {"entity": entity} if entity else {}
        mapping = told | {"text": text} | ({"item": item} if item else {})
        return {"kind": "news_file", **common, "columns": mapping, **own}
    bar = _bar_columns(rows, columns)
    for table, needed in _TABLES.items():
        found = bar if table == "bar" and bar else {name: lower[name] for name in needed if name in lower}
        if len(found) < len(needed):
            continue
        mapping |= found
        if table == "bar" and entity is None and (group := _grouping(rows, columns)):
            mapping["entity"], own = group, {}
        metric = _find("metric", lower, texts)
        if table == "metric":
            if metric is None:
                continue
            mapping["metric"] = metric
        delay = {} if known else {"delay": "1s"}
        return {"kind": "table_file", "table": table, **common, "columns": _changed(mapping), **delay, **own}
    name = _find("name", lower, texts)
    if name is not None:
        top = rows[name].value_counts(sort=True).sort("count", name, descending=[True, False])[name].to_list()[:2]
        kinds = {f"kind_{number}": [value] for number, value in enumerate(top, 1)}
        mapping["name"] = name
        announced = {} if known else {"announced": "7d"}
        return {"kind": "calendar_file", **common, "columns": _changed(mapping), **announced, **own, "kinds": kinds}
    numbers = [name for name, kind in types.items() if kind == "number"]
    if not numbers:
        return None
    rule = {} if known else {"known": _RULE}
    metrics = _metrics(numbers)
    return {"kind": "series_file", **common, "columns": _changed(mapping), "metrics": metrics, **rule, **own}


def _metrics(columns: list[str]) -> dict[str, str]:
    return {re.sub(r"\W+", "_", name.lower()).strip("_"): name for name in columns}


def _of_date_parts(
    path: Path, columns: list[dict[str, Any]], lower: dict[str, str], layout: dict[str, Any]
) -> dict[str, Any] | None:
    """The answer for series whose dates are columns of year, month and day."""
    numbers = [column["name"] for column in columns if column["type"] == "number"]
    parts = [lower[name] for name in ("year", "month", "day") if lower.get(name) in numbers]
    values = [name for name in numbers if name not in parts]
    if len(parts) < 2 or not values:
        return None
    entity = _find("entity", lower, [column["name"] for column in columns if column["name"] not in parts])
    entry: dict[str, Any] = {"kind": "series_file", "files": str(path), "timezone": "UTC", "max_age": "1d"}
    entry["columns"] = {"event_time": parts} | ({"entity": entity} if entity else {})
    entry |= {"metrics": _metrics([name for name in values if name != entity]), "known": _RULE}
    entry |= {} if entity else {"entity": "NAME"}
    return answer(path, entry | layout, ["timezone", "columns", "metrics", "known", "entity", "max_age"])


def _news(
    path: Path,
    entry: dict[str, Any],
    lower: dict[str, str],
    clocks: dict[str, dict[str, Any]],
    typical: timedelta | None,
) -> dict[str, Any]:
    """The answer for news, whose clocks may be up to three; in one format, that of the latest."""
    found: dict[str, str] = {}
    for name in ("received", "published", "event_time"):
        column = _find(name, lower, set(clocks) - set(found.values()))
        if column is not None:
            found[name] = column
    found = found or {"event_time": next(iter(clocks))}
    latest = clocks[next(iter(found.values()))]
    unlike = [column for column in found.values() if clocks[column]["time_format"] != latest["time_format"]]
    found = {name: column for name, column in reversed(found.items()) if column not in unlike}
    # clocks are written out even where they bear that name: they are what a reader must look at
    entry = entry | {"columns": found | _changed(entry["columns"])}
    if typical is not None and 2 * typical > _DAY:
        days = next((days for days in _MAX_AGES if 2 * typical <= days * _DAY), _MAX_AGES[-1])
        entry["max_age"] = f"{days}d"
    if latest["time_format"]:
        entry["time_format"] = latest["time_format"]
    if "received" not in found:
        entry["delay"] = "5s"
    if latest["days_only"]:
        entry["date_only"] = "end_of_day"
    answered = answer(path, entry, ["timezone", "delay", "date_only", "entity", "max_age"])
    if unlike:
        answered["question"] = (
            f"the clocks are written in different formats, which one source cannot read: {', '.join(unlike)} left out"
        )
    return answered


def _only(rows: pl.DataFrame, columns: list[dict[str, Any]], used: set[str]) -> str:
    """A line of comment for each column of few values, of which perhaps only some are wanted."""
    lines = ""
    for column in columns:
        name = column["name"]
        if column["type"] != "text" or name in used or not 1 < column["distinct"] <= _KINDS:
            continue
        values = rows[name].drop_nulls().unique().sort().to_list()
        if rows.height >= _ROWS_A_KIND * len(values) and all(0 < len(value) <= _LONGEST_KIND for value in values):
            told = yaml.safe_dump({name: values}, default_flow_style=True, allow_unicode=True, width=10_000).strip()
            lines += f"  # only: {told}   # keep those that are wanted\n"
    return lines


def _bar_columns(rows: pl.DataFrame, columns: list[dict[str, Any]]) -> dict[str, str]:
    """The columns of a bar by the words in their names, else by their values; empty where there are none."""
    numbers = {column["name"]: column for column in columns if column["type"] == "number"}
    named: dict[str, str] = {}
    for field, words in _BAR_WORDS.items():
        # a column of that very name goes before one that only holds the word
        ranked = [name for name in numbers if name.lower() == field]
        ranked += [name for name in numbers if set(words) & set(re.split(r"[^a-z]+", name.lower()))]
        if ranked:
            named[field] = ranked[0]
    if len(set(named.values())) == len(_BAR_WORDS):
        return named
    intraday = any(column["type"] == "clock" and not column["days_only"] for column in columns)
    return _bar_values(rows, list(numbers)) if intraday and len(numbers) <= _BAR_NUMBERS else {}


def _bar_values(rows: pl.DataFrame, numbers: list[str]) -> dict[str, str]:
    """Four columns with low <= open, close <= high, and a fifth, not negative, as the volume.

    The open is the one that stands first. It must lie above the close in some rows and below it in others: the yields
    of a curve are in order too, and always in the same one.
    """
    values = rows.select(pl.col(numbers).cast(pl.Float64, strict=False)).drop_nulls()
    if values.height < _BAR_ROWS:
        return {}
    for four in combinations(numbers, 4):
        for high, low in permutations(four, 2):
            opens, close = (name for name in four if name not in {high, low})
            rising = (values[close] > values[opens]).mean()
            falling = (values[close] < values[opens]).mean()
            inside = values.select(
                (pl.col(low) > 0)
                & (pl.col(low) <= pl.min_horizontal(opens, close))
                & (pl.max_horizontal(opens, close) <= pl.col(high))
                & (pl.col(high) < 2 * pl.col(low))
            ).to_series()
            left = [name for name in numbers if name not in four and bool((values[name] >= 0).all())]
            if left and inside.mean() >= _BAR_SHARE and min(rising, falling) > _BAR_TURNS:  # type: ignore
                return {"open": opens, "high": high, "low": low, "close": close, "volume": left[0]}
    return {}


def _grouping(rows: pl.DataFrame, columns: list[dict[str, Any]]) -> str | None:
    """The text column of few values that tells most rows apart: the likeliest to name the entity."""
    few = [
        (column["distinct"], column["name"])
        for column in columns
        if column["type"] == "text" and not column["nulls"] and column["distinct"] <= rows.height / _ROWS_AN_ENTITY
    ]
    return max(few, key=lambda item: item[0])[1] if few else None


def _bar_stamps(times: pl.Series, moved: bool) -> tuple[str, str | None, int]:
    """The zone in which bars lie in the sessions of New York, else in those of Chicago's futures (of wall clocks;
    `moved` false: they carry theirs), whether the stamps look like "starts" or "ends" (None: nobody can tell), and how
    long after the starts those lie that are named by their last minute (else 0). UTC where they lie in none."""
    if times.is_empty():
        return "UTC", None, 0
    days = times.dt.date()
    wall = times.dt.replace_time_zone(None)
    for calendar in ("XNYS", "CMES"):
        trading = sessions_around(calendar, days.min(), days.max())  # type: ignore[arg-type]
        shares = outside_by_zone(wall, trading, "tick")
        zones = ["UTC"] if not moved else list(shares) if calendar == "XNYS" else ["America/Chicago", *shares]
        zone = min(zones, key=lambda name: shares[name])
        if shares[zone] > _OUTSIDE:
            continue
        read = wall.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null").dt.convert_time_zone("UTC")
        read = read.drop_nulls()
        between = after_start(read, trading)
        return zone, evidence(read, trading).place, 0 if between is None else between[1]
    return "UTC", None, 0


def _bar_lines(times: pl.Series, starts: bool, after: int) -> str | None:
    step = spacing(times)
    if step is None:
        return None
    line = f"  {'' if starts or after else '# '}bar: {format_duration(step)}        # check: only if a stamp is the "
    if not after:
        return line + "bar's START"
    return f"{line}bar's START plus stamp_after\n  stamp_after: {format_duration(after)}  # check"


def _changed(mapping: dict[str, str]) -> dict[str, str]:
    return {name: column for name, column in mapping.items() if name != column}


def _lean(path: Path, data: str) -> dict[str, Any]:
    parts = [part.lower() for part in path.parts]
    resolution = next((name for name in ("tick", "second", "minute") if name in parts), "minute")
    security = next((name for name in _SECURITIES if name in parts), "equity")
    zone = "America/New_York" if security == "equity" else "America/Chicago" if security == "index" else "UTC"
    entry = {"kind": "lean_zip", "files": str(path.parent / f"*_{data}.zip"), "security": security}
    entry |= {"resolution": resolution, "data": data, "timezone": zone, "delay": "1s", "max_age": "10min"}
    if security == "future" and data == "trade" and resolution != "tick":
        entry |= {"contract": "front"}
    return answer(path, entry, ["timezone", "delay", "max_age", "contract"])


def _thinkorswim(path: Path, rows: pl.DataFrame) -> dict[str, Any]:
    stamps = (rows["Date"].str.strip_chars() + " " + rows["Time"].str.strip_chars()).str.to_datetime(
        "%m/%d/%Y %H:%M", time_unit="ns", strict=False
    )
    wall = stamps.drop_nulls()
    zone = "America/New_York"
    if len(wall):
        days = wall.dt.date()
        trading = sessions_around("XNYS", days.min(), days.max())  # type: ignore[arg-type]
        shares = outside_by_zone(wall, trading, "tick")
        zone = min(shares, key=lambda name: shares[name])
    bar = format_duration(spacing(wall) or _MINUTE)
    lowest = rows["Low"].str.strip_chars().cast(pl.Float64, strict=False).min()
    # no price is zero or negative; an indicator of the market, such as $TICK, may be
    series = lowest is not None and lowest <= 0  # type: ignore[operator]
    entity = "US" if series else "NAME"
    entry = {"kind": "thinkorswim_csv", "files": {entity: str(path)}, "timezone": zone, "bar": bar, "delay": "1s"}
    entry |= {"max_age": "10min"} | ({"metrics": {_source_name(path): "Close"}} if series else {})
    return answer(path, entry, ["files", "timezone", "delay", "max_age", "metrics"])


def answer(path: Path, entry: dict[str, Any], doubtful: list[str], bar: str | None = None) -> dict[str, Any]:
    """{kind, yaml, check} of an entry, in whose YAML the `doubtful` options are marked; `bar` is a line of its own."""
    check = [name for name in doubtful if name in entry]
    text = yaml.safe_dump({_source_name(path): entry}, sort_keys=False, allow_unicode=True, width=1000)
    marked = re.sub(rf"^(  (?:{'|'.join(check)}):.*)$", r"\1  # check", text, flags=re.MULTILINE)
    if bar is not None:
        # safe_dump writes no comments, so that a line that may be one is put in by hand
        marked = marked.replace("  table: bar\n", f"  table: bar\n{bar}\n", 1)
        check = ["bar", *check]
    return {"kind": entry["kind"], "yaml": marked, "check": check}


def _source_name(path: Path) -> str:
    """The file's stem as a name: My-Bars.2015.csv.gz -> my_bars_2015."""
    stem = re.sub(r"\.(csv|txt|log|dbn|jsonl|ndjson|json|parquet|zip)?(\.(gz|zip|zst|bz2|xz))?$", "", path.name.lower())
    name = re.sub(r"[^a-z0-9]+", "_", stem).strip("_")
    return name if name[:1].isalpha() else f"source_{name}".rstrip("_")
