"""Venues' and vendors' own feed files, told by their names and first bytes, and the YAML to paste into a config."""

import re
from pathlib import Path
from typing import Any

import polars as pl

from sources.files import open_member, reading
from sources.guess import answer
from sources.readers import lobster
from sources.readers.databento_file import MAGIC, header
from sources.readers.tardis_lines import DATA, Layout, layout
from sources.schema import TIME

_HEAD = 65_536
_BITSTAMP_LINE = re.compile(rb"\d{13} (order_(created|changed|deleted|book)|trade) \{")
_BITSTAMP_TABLE = b"id,timestamp,exchange.timestamp,price,volume,action,direction"


def describe_feed(path: Path) -> dict[str, Any] | None:
    """kind, source and what the file tells of itself, as in `describe`; None for a file of another kind.

    Raises DataError for a damaged file.
    """
    with reading(path), open_member(path) as stream:
        head = stream.read(_HEAD)
    if head.startswith(MAGIC):
        return _databento(path)
    if _BITSTAMP_LINE.match(head) or head.startswith(_BITSTAMP_TABLE):
        return _answer(path, "bitstamp_orders", {"entity": "BTCUSD", "data": "order"}, ["entity", "data"])
    if found := layout(head.partition(b"\n")[0].decode("utf-8", "replace")):
        return _tardis(path, found, head)
    if name := lobster.NAME.match(path.name):
        facts = {"entity": name["entity"], "date": name["date"], "levels": int(name["levels"])}
        own = {"data": "order", "delay": "1ms", "tick": 0.01}
        return {"file": facts} | _answer(path, "lobster", own, ["data", "delay", "tick"])
    return None


def _tardis(path: Path, found: Layout, head: bytes) -> dict[str, Any]:
    first = head.splitlines()[1:2]
    values = dict(zip(found.names, first[0].decode("utf-8", "replace").split(","), strict=False)) if first else {}
    facts = {"data_type": found.kind, "exchange": values.get("exchange"), "symbol": values.get("symbol")}
    # a file of liquidations has the columns of trades
    doubtful = ["data"] if found.kind == "trades" else []
    return {"file": facts | ({"levels": found.depth} if found.depth else {})} | _answer(
        path, "tardis_csv", {"data": DATA[found.kind]}, doubtful
    )


def _databento(path: Path) -> dict[str, Any]:
    found = header(path)
    data = {"mbo": "order", "mbp-1": "quote", "mbp-10": "book"}.get(found.schema, "trade")
    facts = {
        "dataset": found.dataset,
        "schema": found.schema,
        "version": found.version,
        "symbols": found.symbols["name"].unique(maintain_order=True).to_list(),
        "start": str(pl.Series([found.start]).cast(TIME)[0]),
    }
    return {"file": facts} | _answer(path, "databento_dbn", {"data": data}, ["data"])


def _answer(path: Path, kind: str, own: dict[str, Any], doubtful: list[str]) -> dict[str, Any]:
    entry = {"kind": kind, "files": str(path)} | own | {"max_age": "1min"}
    return {"kind": kind, "source": answer(path, entry, [*doubtful, "max_age"])}
