"""Small files as vendors write them, made in the tests."""

import gzip
import zipfile
from pathlib import Path
from typing import Any

THINKORSWIM_HEADER = "Date, Time, Open, High, Low, Close, Volume"


def minute_rows(day: str, first: str, count: int, price: float = 100.0, step: int = 1) -> list[str]:
    """thinkorswim rows of one day from `first` (hh:mm), each closing one cent higher."""
    hour, minute = map(int, first.split(":"))
    rows = []
    for number in range(count):
        at = hour * 60 + minute + number * step
        low, close = price + number / 100, price + (number + 1) / 100
        rows.append(f"{day}, {at // 60:02d}:{at % 60:02d}, {low:.4f}, {close:.4f}, {low:.4f}, {close:.4f}, 100.0000")
    return rows


def thinkorswim(path: Path, rows: list[str]) -> Path:
    text = "\n".join([THINKORSWIM_HEADER, *rows]) + "\n"
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
    else:
        path.write_text(text)
    return path


def lean_zip(path: Path, members: dict[str, list[str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, rows in members.items():
            archive.writestr(name, "\n".join(rows))
    return path


def bars_entry(files: Any, **options: Any) -> dict[str, Any]:
    entry = {"kind": "thinkorswim_csv", "files": files, "timezone": "America/Chicago", "bar": "1min", "delay": "1s"}
    return entry | {"max_age": "10min", "quarantine_limit": 1.0} | options


def table_entry(table: str, path: Path, **options: Any) -> dict[str, Any]:
    entry = {"kind": "table_file", "table": table, "files": str(path), "timezone": "UTC", "max_age": "1d"}
    return entry | {"quarantine_limit": 1.0} | options
