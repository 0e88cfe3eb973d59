"""Suspected spoofing in real order books: alarms an hour and the surest episodes, each with a heat map on demand.

    python scripts/find_spoofing.py FEED FILE [FILE ...] [--top 5] [--plots FOLDER]

FEED is spot, usdm or coinm (Binance's websocket logs: level 2, the lives of orders are inferred), e.g. of
$TRIFUSE_DATA/market/binance_l2/spot_btcusdt_20240808.gz, or bitstamp (its raw log: level 3), e.g. of
$TRIFUSE_DATA/market/bitstamp_l3_obanalytics/2015-05-01.log.xz. An alarm is a group of cancels with a score of at least
1. There is no truth here: a person judges.
Told too is the share of time with a window score of at least 1, and with one over what is usual in the feed, which is
the feature `book_spoofing`; of the latter from a minute of the feed on.
"""

import argparse
import sys
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from fusion.console import run_script
from fusion.features import book_spoofing
from fusion.report.order_book import heat_map
from fusion.report.picture import write_png
from gpu_kernels.book import rebuild, spoofing
from gpu_kernels.book.origins import level_origins
from gpu_kernels.decay import decayed_sum
from gpu_kernels.orders.origins import order_origins
from gpu_kernels.orders.replay import replay
from gpu_kernels.trade.cancels import inferred_cancels
from sources.config import parse_source
from sources.files import input_files
from sources.readers import READERS

LEVELS = 40
SECOND = spoofing.SECOND

FEEDS: dict[str, tuple[dict[str, Any], int, int]] = {
    "spot": ({"kind": "binance_raw", "market": "spot"}, 100, 100_000),
    "usdm": ({"kind": "binance_raw", "market": "usdm"}, 10, 1_000),
    "coinm": ({"kind": "binance_raw", "market": "coinm"}, 10, 1),
    "bitstamp": ({"kind": "bitstamp_orders"}, 100, 10**8),
}
"""Source, ticks in a unit of the price, lots in a unit of the size."""

UNITS = {"coinm": "contracts"}
"""Of sizes, where they are not of bitcoins."""


class Rows(NamedTuple):
    """One feed: a row for each level-2 update or order event, and the book after it."""

    time: np.ndarray
    tick: np.ndarray
    side: np.ndarray
    origins: tuple[np.ndarray, ...]
    books: tuple[np.ndarray, ...]
    trades: tuple[np.ndarray, ...]  # time, tick, lots, aggressor


def table(entry: dict[str, Any], files: list[Path], data: str) -> pl.DataFrame:
    """One table of a feed in the order in which it was known."""
    listed = {"files": {"X": [str(path) for path in files]}, "max_age": "1min", "data": data}
    source = parse_source("feed", entry | listed)
    parts = [
        batch.rows
        for index, file in enumerate(input_files(source, {}))
        for batch in READERS[source.kind](source, file, index, "24/7")
    ]
    rows = pl.concat(parts)
    return rows.filter(pl.col("problem").is_null()) if "problem" in rows.columns else rows


def integers(rows: pl.DataFrame, ticks: int, lots: int) -> tuple[np.ndarray, ...]:
    """Time (known), tick, lots, side."""
    time = np.maximum.accumulate(rows["known_time"].to_physical().to_numpy())
    tick, size = (rows[name].to_numpy() * scale for name, scale in (("price", ticks), ("size", lots)))
    return time, np.rint(tick).astype(np.int64), np.rint(size).astype(np.int64), rows["side"].to_numpy()


def read(feed: str, files: list[Path]) -> Rows:
    entry, ticks, lots = FEEDS[feed]
    trades = integers(table(entry, files, "trade"), ticks, lots)
    rows = table(entry, files, "order" if feed == "bitstamp" else "book")
    time, tick, size, side = integers(rows, ticks, lots)
    offsets, action, last = np.array([0, len(rows)]), rows["action"].to_numpy(), rows["last"].to_numpy()
    if feed == "bitstamp":
        order = rows["order"].to_numpy()
        played = replay(time, order, action, side, tick, size, offsets)
        ends = np.searchsorted(played.event, np.arange(len(rows)), side="right") - 1
        updates = np.array([0, len(played.side)])
        books = rebuild.rebuild(
            played.side, played.price_ticks, played.lots, updates, LEVELS, action=played.action, at=ends
        )
        return Rows(time, tick, side, order_origins(time, order, tick, size, action, offsets), books, trades)
    books = rebuild.rebuild(side, tick, size, offsets, LEVELS, action=action, last=last, starts_empty=False)
    hits, whole = (trades[0], trades[1], trades[2], trades[3]), np.array([0, len(trades[0])])
    split = inferred_cancels(time, tick, size, side, action, offsets, *hits, whole, patience_ns=SECOND)
    memory = 20 * SECOND
    origins = level_origins(time, tick, size, *split, side, action, offsets, memory_ns=memory)
    return Rows(time, tick, side, origins, books, trades)


def episodes(rows: Rows, alarm: float, **parameters: Any) -> tuple[pl.DataFrame, list[float]]:
    """Groups of cancels with a score of at least `alarm`, surest first; and the shares of the time in which both are
    known with a window score of at least 1, and with `book_spoofing` of at least 1, and the most of that."""
    offsets, (time, _, lots, aggressor) = np.array([0, len(rows.time)]), rows.trades
    score, began, group, *_ = spoofing.spoofing(
        rows.time, rows.tick, *rows.origins, rows.side, *rows.books, offsets, time, lots, aggressor,
        np.array([0, len(time)]), **parameters,
    )  # fmt: skip
    row = np.flatnonzero(score > 0)
    origin = rows.origins[1][row]
    touch = np.where(rows.side > 0, rows.books[0][0], rows.books[2][0])
    found = pl.DataFrame(
        {
            "side": rows.side[row],
            "time": rows.time[row],
            "began": began[row],
            "score": score[row],
            "size": group[0, row],
            "traded": group[1, row],
            "lots": rows.origins[0][origin],
            "away": np.abs(rows.tick[origin] - touch[origin]),
        }
    ).sort("side", "time", maintain_order=True)
    fresh = (pl.col("time").diff() > spoofing.SECOND // 10) | (pl.col("side").diff() != 0)
    grouped = (
        found.with_columns(group=fresh.fill_null(True).cum_sum())
        .group_by("side", "group", maintain_order=True)
        .agg(
            start=pl.col("began").min(),
            end=pl.col("time").max(),
            score=pl.col("score").sum(),
            size=pl.col("size").last(),
            traded=pl.col("traded").last(),
            orders=pl.len(),
            lots=pl.col("lots").sum(),
            nearest=pl.col("away").min(),
            farthest=pl.col("away").max(),
        )
        .filter(pl.col("score") >= alarm)
        .sort("score", descending=True)
    )
    clock = np.arange(rows.time[0], rows.time[-1], SECOND // 10)
    at = rows.time, score, offsets, clock, np.array([0, len(clock)])
    window = decayed_sum(*at, book_spoofing.HALF_LIFE)
    over = book_spoofing.excess(*at, np.array([False]), warm_up=60 * SECOND)
    told = ~np.isnan(over)
    return grouped, [*(float((values[told] >= 1.0).mean()) for values in (window, over)), float(over[told].max())]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("feed", choices=FEEDS)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--top", type=int, default=5, help="episodes to list")
    parser.add_argument("--alarm", type=float, default=1.0, help="score of an alarm")
    parser.add_argument("--away", type=int, help="ticks behind the best price; default: the kernel's")
    parser.add_argument("--plots", type=Path, help="draw the listed episodes into this folder")
    options = parser.parse_args(arguments)
    rows = read(options.feed, options.files)
    parameters = {} if options.away is None else {"away_ticks": options.away}
    found, flagged = episodes(rows, options.alarm, **parameters)
    hours = (rows.time[-1] - rows.time[0]) / (3600 * SECOND)
    console, (_, ticks, lots) = Console(width=150), FEEDS[options.feed]
    console.print(
        f"{options.feed}: {len(rows.time):,} rows in {60 * hours:.1f} minutes; {len(found)} alarms, "
        f"{len(found) / hours:.1f} an hour; window score of at least 1 for {flagged[0]:.1%} of the time, "
        f"over what is usual for {flagged[1]:.1%}, at most {flagged[2]:.2f}"
    )
    shown = Table()
    for name in ("UTC", "side", "score", "size", "levels' mean", "orders", "away", "life", "traded against"):
        shown.add_column(name, justify="right")
    for number, one in enumerate(found.head(options.top).iter_rows(named=True)):
        at = pl.Series([one["end"]]).cast(pl.Datetime("ns")).dt.strftime("%H:%M:%S%.3f")[0]
        away = f"{one['nearest'] / ticks:g} to {one['farthest'] / ticks:g}"
        life = f"{(one['end'] - one['start']) / SECOND:.2f} s"
        side = "bid" if one["side"] > 0 else "ask"
        shown.add_row(
            at, side, f"{one['score']:.2f}", f"{one['lots'] / lots:g}", f"{one['size']:.1f}", str(one["orders"]), away,
            life, f"{one['traded']:.2f}",
        )  # fmt: skip
        if options.plots:
            draw(rows, one, options, number, f"{options.feed} {at}: {side}, score {one['score']:.2f}")
    console.print(shown)
    return 0


def draw(rows: Rows, one: dict[str, Any], options: argparse.Namespace, number: int, title: str) -> None:
    _, ticks, lots = FEEDS[options.feed]
    bid, bid_size, ask, ask_size = rows.books
    time, tick, size, side = rows.trades
    options.plots.mkdir(parents=True, exist_ok=True)
    figure = heat_map(
        rows.time,
        (bid, bid_size / lots, ask, ask_size / lots),
        (one["start"], one["end"]),
        around_ns=20 * SECOND,
        trades=(time, tick, size / lots, side),
        tick=1 / ticks,
        reach=float(max(2 * one["farthest"], 20)),
        title=title,
        unit=UNITS.get(options.feed, "BTC"),
        episode="suspected spoof",
    )
    write_png(figure, options.plots / f"{options.feed}_{number + 1}.png")


if __name__ == "__main__":
    run_script(main)
