"""Align against Feast's point-in-time join, as its documentation writes it: `get_historical_features` on Parquet files.

    python -m venv feast && feast/bin/pip install feast
    python scripts/compare_feast.py --feast feast/bin/python [--decisions 100000] [--rows 10000] [--entities 100]

Feast caps other versions than ours, so it runs in an environment of its own, from files that both read. The data hold
no revisions and no late rows, which Feast's join (one clock, and the time of creation for ties) would get wrong; the
outputs are compared before anything is timed. Times are medians of five warmed runs, both sides' reading of the files
included. What Feast does besides (registry, schema checks) is a part of its documented approach and of its time.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from fusion.asof import align

SECOND = 10**9
MAX_AGE = 3600 * SECOND

FEAST = """
import json, statistics, sys, time
from datetime import timedelta
from pathlib import Path
import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feast.types import Float64
from feast.value_type import ValueType

folder, repeats = Path(sys.argv[1]), int(sys.argv[2])
source = FileSource(path=str(folder / "rows.parquet"), timestamp_field="event_timestamp")
entity = Entity(name="entity", join_keys=["entity"], value_type=ValueType.STRING)
view = FeatureView(name="view", entities=[entity], ttl=timedelta(hours=1), schema=[Field(name="value", dtype=Float64)],
                   source=source, online=False)
store = FeatureStore(config=RepoConfig(project="peer", provider="local", registry=str(folder / "registry.db"),
                     online_store=None, offline_store={"type": sys.argv[3]}, entity_key_serialization_version=3))
store.apply([entity, view])
seconds = []
for _ in range(repeats + 1):
    began = time.perf_counter()
    asked = pd.read_parquet(folder / "decisions.parquet")
    found = store.get_historical_features(entity_df=asked, features=["view:value"]).to_df()
    seconds.append(time.perf_counter() - began)
found.sort_values("place")[["place", "value"]].to_parquet(folder / "feast.parquet")
print(json.dumps(statistics.median(seconds[1:])))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--feast", required=True, help="a Python that has feast")
    parser.add_argument("--decisions", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--entities", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--store", default="dask", choices=["dask", "duckdb"], help="Feast's store; dask is its default"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, asked.decisions, asked.rows, asked.entities)
        run = [asked.feast, "-c", FEAST, str(folder), str(asked.repeats), asked.store]
        done = subprocess.run(run, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"feast failed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
            return 1
        theirs = float(done.stdout.strip().splitlines()[-1])
        seconds = []
        for _ in range(asked.repeats + 1):
            began = time.perf_counter()
            ours = _ours(folder)
            seconds.append(time.perf_counter() - began)
        # the dask store drops decisions for which it finds nothing
        given = pl.read_parquet(folder / "feast.parquet").cast({"place": pl.UInt32})
        both = ours.join(given, on="place", how="left", suffix="_theirs", maintain_order="left")
        ordered = both["value"].to_numpy()
        np.testing.assert_array_equal(ordered, both["value_theirs"].to_numpy())
    mine = statistics.median(seconds[1:])
    figures = {
        "work": f"align {asked.decisions:,} decisions to {asked.rows:,} rows of {asked.entities} entities, from files",
        "peer": f"Feast get_historical_features ({asked.store})",
        "ratio": theirs / mine,
        "found": float(np.isfinite(ordered).mean()),
    }
    print(f"{figures['work']}: {figures['ratio']:.0f} times {figures['peer']}; {figures['found']:.0%} of values found")
    if asked.json:
        asked.json.write_text(json.dumps([figures], indent=1) + "\n")
    return 0


def _write(folder: Path, decisions: int, rows: int, entities: int) -> None:
    rng = np.random.default_rng(3)
    start, span = 1_700_000_000 * SECOND, 10 * 86400
    names = np.array([f"E{k:03d}" for k in range(entities)])

    def drawn(count: int, more: str) -> pl.DataFrame:
        seconds = rng.choice(span, size=count, replace=count > span)
        frame = pl.DataFrame({"entity": names[rng.integers(0, entities, count)], "at": start + seconds * SECOND})
        return frame.with_columns(pl.col("at").cast(pl.Datetime("ns", "UTC"))).unique().rename({"at": more})

    table = drawn(rows, "event_timestamp")
    table.with_columns(value=pl.Series(rng.normal(size=table.height))).write_parquet(folder / "rows.parquet")
    asked = drawn(decisions, "event_timestamp")
    asked.with_row_index("place").write_parquet(folder / "decisions.parquet")


def _ours(folder: Path) -> pl.DataFrame:
    rows = pl.read_parquet(folder / "rows.parquet").rename({"event_timestamp": "event_time"})
    grid = pl.read_parquet(folder / "decisions.parquet").rename({"event_timestamp": "decision_time"})
    return align(rows.with_columns(known_time="event_time"), grid, ["value"], max_age_ns=MAX_AGE)


if __name__ == "__main__":
    sys.exit(main())
