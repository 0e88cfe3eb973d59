"""The market as its vendors' files, made once for a config."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import polars as pl

from gpu_kernels.errors import DataError
from sources.simulate.config import SimulationConfig
from sources.simulate.dirt import plant, plant_updates
from sources.simulate.market import SimulatedMarket, simulate

_ISO = "%Y-%m-%dT%H:%M:%S%.3f"
# the truth that a reader of truth.json wants to see at a glance; every table is in truth/ as Parquet
_IN_JSON = ("effects", "measured", "regimes", "policy")


def write(market: SimulatedMarket, folder: Path) -> None:
    """Write a market into `folder`, which is made where it is missing.

    bars.csv, trades.csv, lots.csv, macro.csv, calendar.csv, headlines.jsonl, book_updates.parquet: what vendors
    deliver, with `config.quality.bad` of extra bad rows in all but macro.csv and calendar.csv. Times are UTC without an
    offset. truth.json: the config, row counts, the planted effects and their measured rank ICs; truth/: every table of
    the truth, and bad_rows (file, line, kind). Raises DataError where the folder cannot be written.
    """
    try:
        (folder / "truth").mkdir(parents=True, exist_ok=True)
        truth = {**market.truth, "bad_rows": _write_deliveries(market, folder)}
        for name, table in truth.items():
            _replace(folder / "truth" / f"{name}.parquet", table.write_parquet)
        summary = {
            "config": market.config.model_dump(mode="json"),
            "rows": {name: table.height for name, table in market.tables.items()},
            "bad_rows": dict(truth["bad_rows"].group_by("file").len().sort("file").iter_rows()),
            **{name: json.loads(truth[name].write_json()) for name in _IN_JSON},
        }
        _replace_text(folder / "truth.json", json.dumps(summary, indent=1) + "\n")
    except OSError as error:
        raise DataError(f"the simulated market cannot be written to {folder}: {error}") from error


def ensure(config: SimulationConfig, cache: Path) -> Path:
    """The folder under `cache` that holds this config's market; generated first where it is not there yet.

    The folder's name is a hash of the config and of the simulator's code, and appears only when it is complete.
    Raises DataError where it cannot be written, ConfigError where the exchange calendar does not reach.
    """
    key = sha256(config.model_dump_json().encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        key.update(path.name.encode() + b"\0" + path.read_bytes())
    folder = cache / f"market-{key.hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    building = None
    try:
        cache.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix="building-", dir=cache))
        write(simulate(config), building / "market")
        _publish(building / "market", folder)
    except OSError as error:
        raise DataError(f"the simulated market cannot be written to {cache}: {error}") from error
    finally:
        if building is not None:
            shutil.rmtree(building, ignore_errors=True)
    return folder


def _publish(complete: Path, folder: Path) -> None:
    try:
        os.replace(complete, folder)
    except OSError:
        # another process was faster, and its files are the same
        if not folder.is_dir():
            raise


def _write_deliveries(market: SimulatedMarket, folder: Path) -> pl.DataFrame:
    """Writes the vendors' files; returns the bad rows: file, line (1 is the first, a CSV file's header), kind."""
    seed, share = market.config.seed, market.config.quality.bad
    for name, table in (("macro.csv", market.macro), ("calendar.csv", market.calendar)):
        _replace_text(folder / name, table.write_csv(datetime_format=_ISO))
    found: list[tuple[str, int, str]] = []
    for name, table in (("bars.csv", market.bars), ("trades.csv", market.trades), ("lots.csv", market.lots)):
        head, *rows = table.write_csv(datetime_format=_ISO).splitlines()
        lines, bad = plant(rows, name, seed, share)
        _replace_text(folder / name, "\n".join([head, *lines, ""]))
        found += [(name, line + 1, kind) for line, kind in bad]
    items = market.headlines.with_columns(pl.col("published", "received").dt.strftime(_ISO))
    lines, bad = plant([json.dumps(item) for item in items.iter_rows(named=True)], "headlines.jsonl", seed, share)
    _replace_text(folder / "headlines.jsonl", "\n".join([*lines, ""]))
    found += [("headlines.jsonl", line, kind) for line, kind in bad]
    updates, bad = plant_updates(market.book_updates, seed, share)
    _replace(folder / "book_updates.parquet", updates.write_parquet)
    found += [("book_updates.parquet", line, kind) for line, kind in bad]
    return pl.DataFrame(found, schema={"file": pl.String(), "line": pl.Int64(), "kind": pl.String()}, orient="row")


def _replace(path: Path, save: Callable[[Path], object]) -> None:
    """Saves under a temporary name in the same folder, then renames."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _replace_text(path: Path, text: str) -> None:
    # newlines as they are, whatever the platform
    _replace(path, lambda temporary: temporary.write_bytes(text.encode()))
