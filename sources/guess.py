"""Which kind of source would read a file, and the YAML to paste into a config."""

import re
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from sources.quality import outside_by_zone
from sources.sessions import sessions_around

_LEAN_NAME = re.compile(r"^\d{8}_(trade|quote)$")
_THINKORSWIM = ["Date", "Time", "Open", "High", "Low", "Close", "Volume"]
_SECURITIES = ("equity", "future", "crypto", "index", "forex")
# canonical column -> what vendors call it, in small letters
_NAMES = {
    "entity": ("entity", "ticker", "symbol", "tickers", "asset"),
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
    "known_time": ("known_time", "received", "received_time", "available_time", "released", "delivered", "known"),
    "text": ("text", "headline", "title", "body", "tweet"),
    "item": ("item", "id"),
    "name": ("name", "event"),
    "metric": ("metric", "series"),
}
_TABLES = {
    "bar": ("open", "high", "low", "close", "volume"),
    "book_update": ("sequence", "side", "price", "size"),
    "quote": ("bid_price", "bid_size", "ask_price", "ask_size"),
    "trade": ("price", "size"),
    "metric": ("value",),
}


def guess_source(path: Path, rows: pl.DataFrame, columns: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The likeliest kind of source for a file, as {kind, yaml, check}; None where none fits.

    path     of the file; LEAN zips are told by their names
    rows     its columns
    columns  the facts of `describe` about them

    `check` lists what the file cannot tell and a person must look at: the lines marked in the YAML.
    """
    if path.suffix == ".zip" and (name := _LEAN_NAME.match(path.stem)):
        return _lean(path, name[1])
    lower = {column["name"].lower(): column["name"] for column in columns}
    clocks = {column["name"]: column for column in columns if column["type"] == "clock"}
    if rows.columns == _THINKORSWIM:
        return _thinkorswim(path, rows)
    event = _find("event_time", lower, clocks) or next(iter(clocks), None)
    if event is None:
        return None
    known = _find("known_time", lower, {name for name in clocks if name != event})
    entry = _entry(path, rows, columns, lower, event, known)
    if entry is None:
        return None
    if time_format := clocks[event]["time_format"]:
        entry["time_format"] = time_format
    return _answer(entry, ["timezone"] + ([] if known else ["delay", "known", "announced"]) + ["entity", "max_age"])


def _find(canonical: str, lower: dict[str, str], allowed: Any) -> str | None:
    return next((lower[name] for name in _NAMES[canonical] if name in lower and lower[name] in allowed), None)


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
    entity = _find("entity", lower, [name for name, kind in types.items() if kind in {"text", "list"}])
    if entity:
        mapping["entity"] = entity
    own = {} if entity else {"entity": "NAME"}
    common = {"files": str(path), "timezone": "UTC", "max_age": "1d"}
    text = _find("text", lower, texts)
    # a headline is longer than a name
    if text is not None and rows[text].str.len_chars().cast(pl.Float64).fill_null(0).sum() > 25 * rows.height:
        item = _find("item", lower, texts)
        mapping |= {"text": text} | ({"item": item} if item else {})
        return {
            "kind": "news_file",
            **common,
            "columns": _changed(mapping),
            **({} if known else {"delay": "5s"}),
            **own,
        }
    for table, needed in _TABLES.items():
        if not all(name in lower for name in needed):
            continue
        mapping |= {name: lower[name] for name in needed}
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
    rule = {} if known else {"known": {"days": 1, "time": "09:00", "business": True}}
    metrics = {re.sub(r"\W+", "_", name.lower()).strip("_"): name for name in numbers}
    return {"kind": "series_file", **common, "columns": _changed(mapping), "metrics": metrics, **rule, **own}


def _changed(mapping: dict[str, str]) -> dict[str, str]:
    return {name: column for name, column in mapping.items() if name != column}


def _lean(path: Path, data: str) -> dict[str, Any]:
    parts = [part.lower() for part in path.parts]
    resolution = next((name for name in ("tick", "second", "minute") if name in parts), "minute")
    security = next((name for name in _SECURITIES if name in parts), "equity")
    zone = "America/New_York" if security == "equity" else "America/Chicago" if security == "index" else "UTC"
    entry = {"kind": "lean_zip", "files": str(path.parent / f"*_{data}.zip"), "security": security}
    entry |= {"resolution": resolution, "data": data, "timezone": zone, "delay": "1s", "max_age": "10min"}
    return _answer(entry, ["timezone", "delay", "max_age"])


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
    entry = {"kind": "thinkorswim_csv", "files": {"NAME": str(path)}, "timezone": zone, "bar": "1min", "delay": "1s"}
    return _answer(entry | {"max_age": "10min"}, ["files", "timezone", "delay", "max_age"])


def _answer(entry: dict[str, Any], doubtful: list[str]) -> dict[str, Any]:
    check = [name for name in doubtful if name in entry]
    text = yaml.safe_dump({"my_source": entry}, sort_keys=False, allow_unicode=True, width=1000)
    marked = re.sub(rf"^(  (?:{'|'.join(check)}):.*)$", r"\1  # check", text, flags=re.MULTILINE)
    return {"kind": entry["kind"], "yaml": marked, "check": check}
