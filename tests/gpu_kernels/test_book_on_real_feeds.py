"""Books rebuilt from Binance's depth changes against its stream of best quotes, which is made independently of them."""

import gzip
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gpu_kernels.book import rebuild
from sources.config import BinanceRaw, parse_source
from sources.files import InputFile
from sources.readers import binance_raw

pytestmark = pytest.mark.data


def rebuilt(path: Path, market: str, ticks: int) -> tuple[np.ndarray, np.ndarray]:
    """The line of each message of the book, and best bid, size, ask, size after it."""
    entry = {"kind": "binance_raw", "market": market, "data": "book", "files": "x", "max_age": "10s"}
    source = parse_source("x", entry)
    assert isinstance(source, BinanceRaw)
    rows = pl.concat([batch.rows for batch in binance_raw.read(source, InputFile(path, "BTC"), 0, "24/7")])
    side, price, size, action, last, line = (
        rows[name].to_numpy() for name in ("side", "price", "size", "action", "last", "line")
    )
    ends = np.flatnonzero(last)
    book = rebuild.rebuild(
        side,
        np.round(price * ticks).astype(np.int64),
        size,
        np.array([0, len(rows)]),
        1,
        action=action,
        last=last,
        starts_empty=False,
        at=ends,
    )
    return line[ends], np.stack([column[0] for column in book], axis=1).astype(float)


def told(path: Path, ticks: int) -> tuple[dict[int, int], np.ndarray]:
    """Read from the file by itself: the last update id of each line of the book, and the best quotes in the order of
    their ids: id, bid, size, ask, size."""
    updates, quotes = {}, []
    with gzip.open(path, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            message = json.loads(line.partition(b" ")[2])
            data = message.get("data", message)
            if "lastUpdateId" in data:
                updates[number] = data["lastUpdateId"]
            elif message["stream"].endswith("bookTicker"):
                prices = [round(float(data[name]) * ticks) for name in "ba"]
                quotes.append((data["u"], prices[0], float(data["B"]), prices[1], float(data["A"])))
            elif "depth" in message["stream"]:
                updates[number] = data["u"]
    return updates, np.array(sorted(quotes))


@pytest.mark.parametrize(
    ("market", "name", "ticks", "share", "least"),
    [
        ("spot", "spot_btcusdt_20240808.gz", 100, 0.999, 3_400),
        ("usdm", "usdm_btcusdt_20240808.gz", 10, 0.995, 6_500),
        ("coinm", "cm_btcusd_perp_20240808.gz", 10, 1.0, 26_800),
    ],
)
def test_the_best_of_the_book_is_the_best_quote(
    data_root: Path, market: str, name: str, ticks: int, share: float, least: int
) -> None:
    """After `share` of the messages of the book both prices and both sizes are those of the best quote.

    Which quote: a change of depth and a best quote both tell the update id that they reach. A message that leaves the
    book as of update u is compared with the quote of the largest id that is not above u: quotes are sent at every
    change of the best, so that one held at u, wherever the two lie in the file (spot's changes come up to 100 ms late).
    Every message is compared, the snapshot too. Spot's snapshot ends at 61,631.55 and the bids never got there, so only
    the best levels are tested.
    """
    path = data_root / "market" / "binance_l2" / name
    line, book = rebuilt(path, market, ticks)
    updates, quotes = told(path, ticks)
    held = np.searchsorted(quotes[:, 0], [updates[number] for number in line], side="right") - 1
    assert len(line) == len(updates) - before_the_book(line, updates) >= least
    assert held.min() >= 0
    assert (book == quotes[held, 1:]).all(axis=1).mean() >= share
    # the book of one message before is another one: the comparison can fail
    assert (book[:-1] == quotes[held[1:], 1:]).all(axis=1).mean() < 0.9


def before_the_book(line: np.ndarray, updates: dict[int, int]) -> int:
    """How many messages came before the snapshot and were in it already."""
    snapshot = line[0]
    return sum(number < snapshot and update <= updates[snapshot] for number, update in updates.items())
