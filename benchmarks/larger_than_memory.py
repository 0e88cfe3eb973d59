"""Minute bars of many entities, a Parquet file each, and the config that reads them: what `trifuse features` is for.

    python -m benchmarks.larger_than_memory FOLDER --entities 500 --sessions 1260
    trifuse features FOLDER/minutes.yaml --lake FOLDER/lake --out FOLDER/features --workers 2

Prices are a random walk with a volatility of its own for each entity and a U-shaped day; nothing in it can be
predicted. Each file depends on its entity's number alone.
"""

import json
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import typer
import yaml

from benchmarks import larger_than_memory  # noqa: PLW0406 - its workers import it by this name
from sources.processes import Workers
from sources.sessions import sessions

_START = "2019-01-02"
_MINUTE = 60 * 10**9


def write_entity(number: int, folder: Path, days: pl.DataFrame) -> int:
    """Writes the bars of one entity; returns how many."""
    draw = np.random.default_rng([20191, number])
    opens, closes = (days[name].dt.epoch("ns").to_numpy() for name in ("open", "close"))
    counts = (closes - opens) // _MINUTE
    minute = np.concatenate([np.arange(count) for count in counts])
    end = np.repeat(opens, counts) + (minute + 1) * _MINUTE
    place = minute / np.repeat(counts, counts)
    shape = 0.7 + 1.8 * (place - 0.55) ** 2
    spread = draw.uniform(2e-4, 1e-3)
    close = draw.uniform(20, 300) * np.exp(np.cumsum(draw.standard_normal(len(end)) * spread * shape))
    opened = np.concatenate([close[:1], close[:-1]])
    wick = np.abs(draw.standard_normal((2, len(end)))) * spread * shape * 0.5 * close
    volume = np.round(draw.lognormal(7, 0.8, len(end)) * shape)
    frame = pl.DataFrame(
        {
            "event_time": pl.Series(end).cast(pl.Datetime("ns", "UTC")),
            "open": opened.round(2),
            "high": (np.maximum(opened, close) + wick[0]).round(2),
            "low": (np.minimum(opened, close) - wick[1]).clip(0.01).round(2),
            "close": close.round(2),
            "volume": volume,
        }
    )
    frame.write_parquet(folder / f"{name_of(number)}.parquet", compression="zstd")
    return frame.height


def name_of(number: int) -> str:
    return f"S{number:03d}"


def main(
    folder: Path,
    entities: Annotated[int, typer.Option(min=1, max=1000)] = 500,
    sessions_: Annotated[int, typer.Option("--sessions", min=1, max=1500)] = 1260,
    workers: Annotated[int, typer.Option(min=1)] = 2,
    step: Annotated[str, typer.Option(help="Between decisions.")] = "5min",
) -> None:
    """Write the files and minutes.yaml into FOLDER."""
    since = time.perf_counter()
    first = pl.Series([_START]).str.to_date()[0]
    days = sessions("XNYS", first, first.replace(year=first.year + 6)).head(sessions_)
    (folder / "bars").mkdir(parents=True, exist_ok=True)
    with Workers(workers) as processes:
        tasks = [(number, folder / "bars", days) for number in range(entities)]
        made = processes.run(larger_than_memory.write_entity, tasks)
    for outcome in made:
        if outcome.error is not None:
            raise outcome.error
    rows = sum(outcome.value for outcome in made)
    source = {"kind": "table_file", "table": "bar", "files": str(folder.resolve() / "bars" / "{entity}.parquet")}
    tree = {
        "name": "minutes",
        "entities": [name_of(number) for number in range(entities)],
        "start": str(days["session"][0]),
        "end": str(days["session"][-1]),
        "sources": {"bars": {**source, "timezone": "UTC", "delay": "1s", "max_age": "10min"}},
        "decisions": {"step": step, "first": "15min", "last": "15min", "delay": "5s"},
        "targets": {"horizons": ["15min"], "primary": "15min"},
        "features": {"bars": ["price"]},
    }
    (folder / "minutes.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    size = sum(path.stat().st_size for path in (folder / "bars").iterdir())
    seconds = round(time.perf_counter() - since, 1)
    typer.echo(json.dumps({"entities": entities, "rows": rows, "bytes": size, "seconds": seconds}))


if __name__ == "__main__":
    typer.run(main)
