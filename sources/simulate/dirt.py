"""Bad rows for the vendors' files: extra copies of good rows, damaged so that a reader must set them aside.

When a reader has set aside exactly those, what is left is the market as simulated.
"""

import json
from collections.abc import Callable
from datetime import datetime, timedelta

import polars as pl

from sources.simulate.draws import Stream, key_of, words

# kinds of damage by file; they take turns
KINDS = {
    "bars.csv": ("duplicate", "unparsable", "not_a_number", "crossed", "outlier", "negative_volume", "cut_short"),
    "trades.csv": ("unparsable", "negative_size", "zero_price"),
    "lots.csv": ("duplicate", "unparsable"),
    "headlines.jsonl": ("duplicate", "cut_short", "no_time"),
    "book_updates.parquet": ("duplicate", "not_a_number", "negative_size"),
}
_SHARE = 10**6
_RECEIVED, _OPEN, _HIGH, _LOW, _VOLUME = 3, 4, 5, 6, 8


def plant(lines: list[str], name: str, seed: int, share: float) -> tuple[list[str], list[tuple[int, str]]]:
    """The lines of a text file with damaged copies of some of them right after these, and (line of each damaged one,
    its kind). Lines count from 1."""
    done: list[str] = []
    bad, start = [], 0
    for row, kind in _places(len(lines), name, seed, share):
        done += lines[start : row + 1]
        done.append(_DAMAGE[name](lines[row], kind))
        bad.append((len(done), kind))
        start = row + 1
    return done + lines[start:], bad


def plant_updates(updates: pl.DataFrame, seed: int, share: float) -> tuple[pl.DataFrame, list[tuple[int, str]]]:
    """The same for the table of book updates, at a tenth of the share."""
    places = _places(updates.height, "book_updates.parquet", seed, share / 10)
    if not places:
        return updates, []
    rows = [row for row, _ in places]
    kind = pl.Series("kind", [kind for _, kind in places])
    damaged = updates[rows].with_columns(
        price=pl.when(kind == "not_a_number").then(float("nan")).otherwise("price"),
        size=pl.when(kind == "negative_size").then(-pl.col("size") - 100.0).otherwise("size"),
        order=2 * pl.Series(rows, dtype=pl.Int64) + 1,
    )
    good = updates.with_columns(order=2 * pl.int_range(pl.len(), dtype=pl.Int64))
    table = pl.concat([good, damaged]).sort("order", maintain_order=True).drop("order")
    return table, [(row + number + 2, kind) for number, (row, kind) in enumerate(places)]


def _places(count: int, name: str, seed: int, share: float) -> list[tuple[int, str]]:
    """(row after which a bad one is planted, its kind) in the order of the file; no two after one row."""
    # a short file still shows each kind once, if that is less than one row in 150
    wanted = max(count * round(share * _SHARE) // _SHARE, min(len(KINDS[name]), count // 150) if share else 0)
    if not wanted:
        return []
    drawn = (words(seed, Stream.DIRT, key_of(name), count=4 * wanted) % count).tolist()
    rows = list(dict.fromkeys(drawn))[:wanted]
    return sorted((row, KINDS[name][number % len(KINDS[name])]) for number, row in enumerate(rows))


def _bar(line: str, kind: str) -> str:
    fields = line.split(",")
    match kind:
        case "unparsable":
            fields[_OPEN] = "n/a"
        case "not_a_number":
            fields[_HIGH] = "NaN"
        case "crossed":  # the high below the low
            fields[_HIGH], fields[_LOW] = fields[_LOW], f"{float(fields[_HIGH]) + 0.05:.3f}"
        case "outlier":  # as if it were a revision
            fields[_OPEN:_VOLUME] = [f"{10 * float(price):.2f}" for price in fields[_OPEN:_VOLUME]]
            later = datetime.fromisoformat(fields[_RECEIVED]) + timedelta(milliseconds=1)
            fields[_RECEIVED] = later.isoformat(timespec="milliseconds")
        case "negative_volume":
            fields[_VOLUME] = f"-{int(fields[_VOLUME]) + 100}"
        case "cut_short":
            fields = fields[:_HIGH]
    return ",".join(fields)


def _trade(line: str, kind: str) -> str:
    fields = line.split(",")
    position, value = {"unparsable": (1, "??"), "negative_size": (4, f"-{fields[4]}"), "zero_price": (3, "0.0")}[kind]
    fields[position] = value
    return ",".join(fields)


def _lot(line: str, kind: str) -> str:
    return line.rsplit(",", 1)[0] + ",cloudy" if kind == "unparsable" else line


def _item(line: str, kind: str) -> str:
    if kind == "cut_short":
        return line[: len(line) // 2]
    return json.dumps({**json.loads(line), "received": None}) if kind == "no_time" else line


_DAMAGE: dict[str, Callable[[str, str], str]] = {
    "bars.csv": _bar,
    "trades.csv": _trade,
    "lots.csv": _lot,
    "headlines.jsonl": _item,
}
