"""A Binance USD-M log to canonical Parquet, from the gz to the closed files, on one core: rows are lines of the log.

The log is the one of TRIFUSE_DATA where there is one, else one made here in the same format. Both sides write the book,
the best quotes and the trades with the local clock corrected; the rows of both are compared before anything is timed.
Each side runs in a process of its own that may use one core only, and its seconds are CPU time of that process: what a
core does, however busy the machine is.
"""

import gzip
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.harness import Comparison, Outputs
from sources.config import parse_source
from sources.lake import ingest_all, read
from sources.schema import SET, SNAPSHOT

_REAL = "market/binance_l2/usdm_btcusdt_20240808.gz"
_COLUMNS = {
    "book": ("sequence", "action", "side", "price", "size"),
    "quote": ("bid_price", "bid_size", "ask_price", "ask_size"),
    "trade": ("price", "size", "side"),
}
Write = Callable[[Path, Path, list[str]], None]


# --- the two sides ----------------------------------------------------------------------------------------------------


def write_ours(log: Path, folder: Path, tables: list[str]) -> None:
    entry = {"kind": "binance_raw", "market": "usdm", "files": str(log), "entity": "BTCUSDT", "max_age": "10s"}
    sources = {table: parse_source(table, {**entry, "data": table}) for table in tables}
    ingest_all(sources, calendar="24/7", lake=folder)


def write_peer(log: Path, folder: Path, tables: list[str]) -> None:  # noqa: PLR0912, PLR0915 - one script
    """What one writes for oneself: the JSON library line by line, lists of columns, a frame."""
    columns: dict[str, dict[str, list[Any]]] = {
        table: {name: [] for name in (*_COLUMNS[table], "known_time", "event_time")} for table in tables
    }
    least, known, last_update, rows = None, 0, None, 0
    held: list[tuple[dict[str, Any], int]] = []

    def levels(bids: list[list[str]], asks: list[list[str]], known: int, event: int, action: int) -> None:
        nonlocal rows
        out, count = columns["book"], len(bids) + len(asks)
        out["price"] += [float(price) for price, _ in bids] + [float(price) for price, _ in asks]
        out["size"] += [float(size) for _, size in bids] + [float(size) for _, size in asks]
        out["side"] += [1] * len(bids) + [-1] * len(asks)
        out["action"] += [action] + [SET] * (count - 1)
        out["sequence"] += range(rows, rows + count)
        out["known_time"] += [max(known, event)] * count
        out["event_time"] += [event] * count
        rows += count

    with gzip.open(log, "rb") as lines:
        for line in lines:
            clock, _, body = line.partition(b" ")
            message = json.loads(body)
            message = message.get("data", message)
            local = int(clock)
            if "E" in message:
                latency = local - message["E"] * 10**6
                least = latency if least is None else min(least, latency)
            known = max(known, local + max(-(least or 0), 0))
            kind = message.get("e")
            event = message.get("T", 0) * 10**6 or known
            if kind == "bookTicker" and "quote" in columns:
                out = columns["quote"]
                for name, key in zip(_COLUMNS["quote"], "bBaA", strict=True):
                    out[name].append(float(message[key]))
            elif kind == "trade" and message["X"] == "MARKET" and "trade" in columns:
                out = columns["trade"]
                out["price"].append(float(message["p"]))
                out["size"].append(float(message["q"]))
                out["side"].append(-1 if message["m"] else 1)
            else:
                if "book" not in columns:
                    continue
                if kind is None:
                    last_update = message["lastUpdateId"]
                    levels(message["bids"], message["asks"], known, event, SNAPSHOT)
                    for change, at in held:
                        if change["u"] > last_update:
                            levels(change["b"], change["a"], known, at, SET)
                elif kind == "depthUpdate" and last_update is None:
                    held.append((message, event))
                elif kind == "depthUpdate" and message["u"] > last_update:
                    levels(message["b"], message["a"], known, event, SET)
                continue
            out["known_time"].append(max(known, event))
            out["event_time"].append(event)
    for table, found in columns.items():
        times = [pl.col(name).cast(pl.Datetime("ns")) for name in ("known_time", "event_time")]
        frame = pl.DataFrame(found).with_columns(*times)
        frame.sort("known_time", "event_time", maintain_order=True).write_parquet(folder / f"{table}.parquet")


def rows_of_ours(folder: Path, tables: list[str]) -> Outputs:
    return tuple(
        column
        for table in tables
        for column in _arrays(pl.concat([read(path) for path in folder.glob(f"*/{table}-*")]), table)
    )


def rows_of_peer(folder: Path, tables: list[str]) -> Outputs:
    frames = ((table, pl.read_parquet(folder / f"{table}.parquet")) for table in tables)
    return tuple(column for table, frame in frames for column in _arrays(frame, table))


def _arrays(frame: pl.DataFrame, table: str) -> Iterator[np.ndarray]:
    yield np.array([frame.height])
    for name in _COLUMNS[table]:
        yield frame[name].to_numpy()
    for name in ("known_time", "event_time"):
        # whole nanoseconds since 1970 are more than a float holds
        ticks = frame[name].to_physical().to_numpy()
        yield ticks // 10**9
        yield ticks % 10**9


# --- one core ---------------------------------------------------------------------------------------------------------


class OneCore:
    """A process that may use one core, and runs `write` when told."""

    def __init__(self, write: Write) -> None:
        self._parent, child = get_context("spawn").Pipe()
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(allowed)})
        try:
            # its threads inherit the core
            self._process = get_context("spawn").Process(target=_serve, args=(write, child), daemon=True)
            self._process.start()
        finally:
            os.sched_setaffinity(0, allowed)

    def __call__(self, log: Path, folder: Path, tables: list[str]) -> float:
        """Runs it into an empty folder, and returns its CPU seconds."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self._parent.send((log, folder, tables))
        answer = self._parent.recv()
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return float(answer)

    def close(self) -> None:
        self._parent.close()
        self._process.join()


def _serve(write: Write, connection: Connection) -> None:
    with suppress(EOFError):
        while True:
            arguments = connection.recv()
            started = time.process_time()
            try:
                write(*arguments)
            except Exception as error:
                connection.send(repr(error))
            else:
                connection.send(time.process_time() - started)


# --- the log ----------------------------------------------------------------------------------------------------------


def made_log(path: Path, lines: int) -> Path:
    """A log in the exchange's format: of each 70 lines 50 best quotes, 15 trades and 5 changes of 70 levels."""
    rng = np.random.default_rng(11)
    update, mid, first = 1_000_000, 600_000, True
    with gzip.open(path, "wt", compresslevel=6) as out:
        for number in range(lines):
            local = 1_723_161_255_000_000_000 + number * 3_800_000
            stamp = local // 10**6 + 1270 - int(rng.integers(0, 8))
            mid += int(rng.integers(-1, 2))
            place = number % 70
            if number == 20:
                sides = [
                    [[f"{(mid - side * step) / 10:.2f}", f"{step / 8:.3f}"] for step in range(1, 1001)]
                    for side in (1, -1)
                ]
                message: dict[str, Any] = {"lastUpdateId": update, "E": stamp - 50, "T": stamp - 50}
                message |= dict(zip(("bids", "asks"), sides, strict=True))
            elif place % 14 == 0:
                steps, sizes = rng.integers(1, 3000, 70), rng.integers(0, 9000, 70) / 1000
                sides = [
                    [[f"{(mid - side * int(step)) / 10:.2f}", f"{size:.3f}"] for step, size in zip(*half, strict=True)]
                    for side, half in ((1, (steps[:35], sizes[:35])), (-1, (steps[35:], sizes[35:])))
                ]
                data = {"e": "depthUpdate", "E": stamp, "T": stamp - 1, "s": "BTCUSDT"}
                # the first one reaches back over the snapshot
                data |= {"U": update - 3 if first else update + 1}
                first = first and number < 20
                data |= {"u": update + 40, "pu": update, "b": sides[0], "a": sides[1]}
                update += 40
                message = {"stream": "btcusdt@depth@0ms", "data": data}
            elif place % 5 == 1:
                data = {"e": "trade", "E": stamp, "T": stamp, "s": "BTCUSDT", "t": number, "p": f"{mid / 10:.2f}"}
                data |= {"q": f"{int(rng.integers(1, 900)) / 1000:.3f}", "X": "MARKET", "m": bool(rng.integers(0, 2))}
                message = {"stream": "btcusdt@trade", "data": data}
            else:
                sizes = rng.integers(1, 9000, 2) / 1000
                data = {"e": "bookTicker", "u": update, "s": "BTCUSDT", "b": f"{mid / 10:.2f}", "B": f"{sizes[0]:.3f}"}
                data |= {"a": f"{mid / 10 + 0.1:.2f}", "A": f"{sizes[1]:.3f}", "T": stamp, "E": stamp}
                message = {"stream": "btcusdt@bookTicker", "data": data}
            out.write(f"{local} {json.dumps(message, separators=(',', ':'))}\n")
    return path


def comparisons(quick: bool) -> Iterator[Comparison]:
    folder = Path(tempfile.mkdtemp(prefix="ingest-"))
    ours, peer = OneCore(write_ours), OneCore(write_peer)
    try:
        real = Path(os.environ.get("TRIFUSE_DATA", "../shared/data")) / _REAL
        log = real if real.is_file() and not quick else made_log(folder / "usdm.gz", 4_000 if quick else 90_000)
        with gzip.open(log, "rb") as stream:
            text = stream.read()
        lines, size = text.count(b"\n"), len(text)
        for tables in (["book", "quote", "trade"], ["book"], ["quote"], ["trade"]):

            def our_seconds(tables: list[str] = tables) -> float:
                return ours(log, folder / "ours", tables)

            def peer_seconds(tables: list[str] = tables) -> float:
                return peer(log, folder / "peer", tables)

            def our_rows(tables: list[str] = tables) -> Outputs:
                ours(log, folder / "ours", tables)
                return rows_of_ours(folder / "ours", tables)

            def peer_rows(tables: list[str] = tables) -> Outputs:
                peer(log, folder / "peer", tables)
                return rows_of_peer(folder / "peer", tables)

            yield Comparison(
                f"log.gz to {', '.join(tables)}{'' if log == real else ' (made log)'}",
                lines,
                "float64",
                size,
                our_rows,
                {"json + Polars": peer_rows},
                seconds={"ours": our_seconds, "json + Polars": peer_seconds},
            )
    finally:
        ours.close()
        peer.close()
        shutil.rmtree(folder)
