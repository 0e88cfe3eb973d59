"""Liquidity droughts in real books: the rate of alarms, the surest moments, and pictures of them for a person to judge.

    python scripts/droughts_on_real_books.py [--data FOLDER] [--top N] [--draw FOLDER]

Binance BTC of 2024-08-08, 23:54 to 24:00 UTC (spot, USD-M and COIN-M futures), and Bitstamp's BTC/USD of 2015-05-01,
00:00 to 05:04 UTC. There is no past session, so the baseline is each feed's own past alone. Parameters are the
library's, but for the pace: a Binance file is too short for five minutes of warm-up, and Bitstamp's log tells its whole
book every 3.6 seconds only, in a market whose spread is ten basis points. Nothing here says which alarms are right.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from fusion.console import run_script
from fusion.report.order_book import heat_map
from fusion.report.picture import write_png
from gpu_kernels.book import drought, episodes, liquidity, rebuild
from gpu_kernels.errors import ConfigError, DataError
from sources.config import parse_source
from sources.files import InputFile
from sources.readers import binance_raw, bitstamp_orders

LEVELS = 100
SECOND = 10**9
LOOSE = {"enter": 0.25, "leave": 0.0, "gate": 0.0}
MOMENTS = {
    "start": pl.Int64,
    "end": pl.Int64,
    "seconds": pl.Float64,
    "index": pl.Float64,
    "alarm": pl.Boolean,
    "share_gone": pl.Float64,
    "spread": pl.Float64,
    "usual_spread": pl.Float64,
}


@dataclass(frozen=True)
class Feed:
    """A file, how it is read, and what its market's pace asks for."""

    name: str
    file: str
    entry: dict[str, Any]
    ticks: int
    unit: str
    bps: float
    around: int
    parameters: dict[str, Any] = field(default_factory=dict)


_BINANCE = {"kind": "binance_raw", "files": "x", "max_age": "10s"}
_SHORT = {"warm_up_seconds": 120.0}
_SLOW = {
    "clock_seconds": 5.0,
    "smoothing_seconds": 20.0,
    "replenishment_seconds": 60.0,
    "warm_up_seconds": 900.0,
    "hold_seconds": 30.0,
    "release_seconds": 30.0,
}
FEEDS = (
    Feed(
        "binance_spot", "binance_l2/spot_btcusdt_20240808.gz", _BINANCE | {"market": "spot"}, 100, "BTC", 1, 30, _SHORT
    ),
    Feed(
        "binance_usdm", "binance_l2/usdm_btcusdt_20240808.gz", _BINANCE | {"market": "usdm"}, 10, "BTC", 1, 30, _SHORT
    ),
    Feed(
        "binance_coinm",
        "binance_l2/cm_btcusd_perp_20240808.gz",
        _BINANCE | {"market": "coinm"},
        10,
        "contracts of 100 USD",
        1,
        30,
        _SHORT,
    ),
    Feed(
        "bitstamp",
        "bitstamp_l3_obanalytics/2015-05-01.log.xz",
        {"kind": "bitstamp_orders", "files": {"BTC": "x"}, "max_age": "1min"},
        100,
        "BTC",
        25,
        600,
        _SLOW,
    ),
)


def table_of(feed: Feed, folder: Path, data: str) -> pl.DataFrame:
    reader = binance_raw if feed.entry["kind"] == "binance_raw" else bitstamp_orders
    source: Any = parse_source(feed.name, feed.entry | {"data": data})
    return pl.concat([batch.rows for batch in reader.read(source, InputFile(folder / feed.file, "BTC"), 0, "24/7")])


def book_of(feed: Feed, folder: Path) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """known_time of each whole book, and its levels in ticks."""
    rows = table_of(feed, folder, "book")
    last = rows["last"].to_numpy()
    ends = np.flatnonzero(last)
    books = rebuild.rebuild(
        rows["side"].to_numpy(),
        (rows["price"] * feed.ticks).round().cast(pl.Int64).to_numpy(),
        rows["size"].to_numpy(),
        np.array([0, rows.height]),
        LEVELS,
        action=rows["action"].to_numpy(),
        last=last,
        starts_empty=False,
        at=ends,
    )
    return rows["known_time"].to_physical().to_numpy()[ends], books


def trades_of(feed: Feed, folder: Path) -> tuple[np.ndarray, ...]:
    rows = table_of(feed, folder, "trade")
    return (
        rows["known_time"].to_physical().to_numpy(),
        (rows["price"] * feed.ticks).to_numpy(),
        rows["size"].to_numpy(),
        rows["side"].to_numpy(),
    )


def judged(feed: Feed, time: np.ndarray, near: Sequence[np.ndarray], **parameters: Any) -> tuple[np.ndarray, ...]:
    midnight = time[:1] // (86_400 * SECOND) * 86_400 * SECOND
    return drought.drought(time, *near, np.array([0, len(time)]), midnight, np.array([0, 1]), **parameters)


def found(feed: Feed, time: np.ndarray, books: Sequence[np.ndarray]) -> tuple[pl.DataFrame, float, float]:
    """The moments by their index, how many hours could be judged, and the share of them in alarms."""
    offsets = np.array([0, len(time)])
    near = liquidity.near_touch(*books, offsets, bps=feed.bps)
    alarm, *_ = judged(feed, time, near, **feed.parameters)
    hold = feed.parameters.get("hold_seconds", 3.0) / 3
    flag, depth, age, index = judged(feed, time, near, **feed.parameters | LOOSE | {"hold_seconds": hold})
    rows = []
    for begin, stop, peak in zip(*episodes.episodes(time, flag, index, offsets)[:3], strict=True):
        inside = slice(int(np.searchsorted(time, begin)), int(np.searchsorted(time, stop)) + 1)
        onset = int(begin - round(float(age[inside][0]) * SECOND))
        before = slice(int(np.searchsorted(time, onset - 300 * SECOND)), int(np.searchsorted(time, onset)))
        rows.append(
            {
                "start": onset,
                "end": int(stop),
                "seconds": (stop - onset) / SECOND,
                "index": float(peak),
                "alarm": bool(np.nansum(alarm[inside]) > 0),
                "share_gone": float(np.nanmax(depth[inside])),
                "spread": float(np.nanmax(near[2][inside])) / feed.ticks,
                "usual_spread": float(np.nanmedian(near[2][before])) / feed.ticks,
            }
        )
    steps = np.diff(time) / SECOND
    known = ~np.isnan(alarm[:-1])
    share = float(steps[known & (alarm[:-1] > 0)].sum() / steps[known].sum())
    table = pl.DataFrame(rows, schema=MOMENTS).sort("index", descending=True)
    return table, float(steps[known].sum()) / 3600.0, share


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TRIFUSE_DATA"), help="folder that holds market/")
    parser.add_argument("--top", type=int, default=3, help="episodes of each feed that are listed and drawn")
    parser.add_argument("--draw", type=Path, help="folder for a PNG of each listed episode; needs Chromium")
    options = parser.parse_args(arguments)
    if options.data is None:
        raise ConfigError("TRIFUSE_DATA is not set", hint="set it, or give --data")
    console = Console(width=max(Console().width, 130))
    for feed in FEEDS:
        folder = options.data / "market"
        if not (folder / feed.file).exists():
            raise DataError(f"{feed.name}: {folder / feed.file} is not there", hint="give --data")
        time, books = book_of(feed, folder)
        rows, hours, share = found(feed, time, books)
        alarms = int(rows["alarm"].sum())
        rate = alarms / hours if hours else float("nan")
        console.print(f"{feed.name}: {alarms} alarms in {hours:.2f} h ({rate:.1f} an hour), {share:.1%} of the time")
        if rows.is_empty():
            console.print("at no moment do depth, spread and replenishment all point to a drought\n")
            continue
        console.print(table_for(rows.head(options.top)))
        if options.draw:
            trades = trades_of(feed, folder)
            for place, row in enumerate(rows.head(options.top).iter_rows(named=True), start=1):
                figure = heat_map(
                    time,
                    books,
                    (row["start"], row["end"]),
                    around_ns=feed.around * SECOND,
                    trades=trades,
                    tick=1 / feed.ticks,
                    title=f"{feed.name.replace('_', ' ')}: index {row['index']:.1f}, {row['share_gone']:.0%} of the "
                    "usual depth gone",
                    unit=feed.unit,
                    episode="drought" if row["alarm"] else "below the threshold",
                )
                write_png(figure, options.draw / f"drought_{feed.name}_{place}.png")
    return 0


def table_for(rows: pl.DataFrame) -> Table:
    table = Table()
    for name in ("onset (UTC)", "seconds", "index", "alarm", "depth gone", "widest spread", "usual spread"):
        table.add_column(name, justify="right")
    for row in rows.iter_rows(named=True):
        onset = str(np.datetime64(row["start"], "ns").astype("datetime64[ms]")).replace("T", " ")
        table.add_row(
            onset,
            f"{row['seconds']:.1f}",
            f"{row['index']:.1f}",
            "yes" if row["alarm"] else "no",
            f"{row['share_gone']:.0%}",
            f"{row['spread']:g}",
            f"{row['usual_spread']:g}",
        )
    return table


if __name__ == "__main__":
    run_script(main)
