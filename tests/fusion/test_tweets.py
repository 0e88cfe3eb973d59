"""News end to end without a price: read, linked, scored, compared, made features of; killed midway, gone on with."""

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from fusion import config as configs
from fusion.partitions import make

ROOT = Path(__file__).resolve().parent.parent.parent
ENTITIES = ["AAPL", "FB", "MSFT"]
NAMES = {"AAPL": "Apple", "FB": "Facebook", "MSFT": "Microsoft"}
VERBS = ["beats estimates", "misses estimates", "falls on weak guidance", "rallies after the report", "hires a new CFO"]
ROWS = 400


def write_posts(folder: Path) -> None:
    """Posts of two days about three companies: some filed under another one than their text names, some said twice."""
    draw, rows = np.random.default_rng(4), []
    start = datetime(2015, 1, 5, 12, tzinfo=UTC)
    for number in range(ROWS):
        filed, named = draw.choice(ENTITIES, 2)
        text = f"{NAMES[named]} {draw.choice(VERBS)}, {draw.integers(1, 40)} % of ${filed.lower()}"
        if number % 10 == 9:
            text = "RT @someone: " + rows[-1]["text"]
        rows.append({"created_at": start + timedelta(seconds=number * 250), "ticker": filed, "text": text})
    pl.DataFrame(rows).write_csv(folder / "posts.csv")


def tree_of(folder: Path) -> dict[str, Any]:
    """configs/tweets.yaml with fewer companies, days and features, on those posts."""
    tree = yaml.safe_load((ROOT / "configs" / "tweets.yaml").read_text())
    tree["sources"] = {"tweets": tree["sources"]["tweets"] | {"files": str(folder / "posts.csv"), "link": True}}
    wanted = ["tone", "novelty", "news_count_1h", "news_attention_1h", "news_market_tone_1h"]
    tree["sentiment"]["names"] = "packaged"
    return tree | {
        **{"entities": ENTITIES, "start": "2015-01-05", "end": "2015-01-06"},
        "features": {"tweets": wanted},
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tweets")
    write_posts(folder)
    (folder / "tweets.yaml").write_text(yaml.safe_dump(tree_of(folder)))
    return folder


def command(place: Path, name: str) -> list[str]:
    made = [sys.executable, "-m", "fusion.cli", "features", str(place / "tweets.yaml"), "--workers", "2", "--json"]
    return [*made, "--lake", str(place / f"lake_{name}"), "--out", str(place / name)]


def run(place: Path, name: str) -> Path:
    done = subprocess.run(command(place, name), capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["complete"], found["failed"]) == (True, {})
    return Path(found["folder"])


@pytest.fixture(scope="module")
def whole(place: Path) -> Path:
    """The folder of a run that nothing disturbed."""
    return run(place, "whole")


def hashes(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def kept(lake: Path, kind: str) -> dict[bytes, int]:
    """The keys that the cache holds of scores or embeddings, and where the row lies, where its table tells."""
    path = lake / "sentiment.sqlite"
    if not path.exists():
        return {}
    place = "rowid" if kind == "embedding" else "0"
    with closing(sqlite3.connect(path, timeout=60)) as cache:
        try:
            return dict(cache.execute(f"SELECT key, {place} FROM {kind}"))
        except sqlite3.OperationalError:  # there is no such table yet
            return {}


def counts_of(lake: Path) -> dict[str, int]:
    (path,) = (lake / "news_items").glob("tweets-*/items.json")
    found: dict[str, int] = json.loads(path.read_text())["counts"]
    return found


def test_features_of_news_alone(place: Path, whole: Path) -> None:
    rows = pl.concat([pl.read_parquet(path) for path in sorted(whole.glob("entity=*/part.parquet"))])
    assert rows.height == 3 * 2 * 7
    for name in ("news_tone_1h", "news_novelty", "news_count_1h", "news_market_tone_1h"):
        assert rows[name].is_not_nan().sum() > 20, name
    assert (
        rows.group_by("decision_time").agg(pl.col("news_market_tone_1h").n_unique())["news_market_tone_1h"].max() == 1
    )
    counts = counts_of(place / "lake_whole")
    assert (counts["rows"], counts["missing"]) == (ROWS, 0)
    # about two companies each, but where the text names the one that it is filed under
    assert ROWS < counts["texts"] < 2 * ROWS
    manifest = json.loads((whole / "manifest.json").read_text())
    assert manifest["sentiment"]["texts"]["tweets"]["links"] == counts["links"]
    assert "may look ahead" in manifest["sentiment"]["look_ahead"]


@pytest.mark.slow
def test_killed_twice_and_gone_on_with(place: Path, whole: Path) -> None:
    lake = place / "lake_killed"
    before: dict[str, dict[bytes, int]] = {}
    for kind in ("score", "embedding"):
        with subprocess.Popen(command(place, "killed"), stdout=subprocess.DEVNULL, start_new_session=True) as dying:
            until(lambda kind=kind, dying=dying: len(kept(lake, kind)) > 20 or dying.poll() is not None)  # type: ignore[misc]
            os.killpg(dying.pid, signal.SIGKILL)
        before[kind], everything = kept(lake, kind), kept(place / "lake_whole", kind)
        assert 20 < len(before[kind]) < len(everything), kind
        assert not list((lake / "news_items").glob("tweets-*"))
    folder = run(place, "killed")
    assert hashes(folder) == hashes(whole)
    for kind, rows in before.items():
        # a row that is there lies where it lay: it was not written again
        assert rows.items() <= kept(lake, kind).items()
        assert set(kept(lake, kind)) == set(kept(place / "lake_whole", kind))
    counts, undisturbed = counts_of(lake), counts_of(place / "lake_whole")
    # the second run had scored them all
    assert counts.pop("from_cache") == counts["texts"]
    assert undisturbed.pop("from_cache") < undisturbed["texts"]
    assert counts == undisturbed


@pytest.mark.data
def test_real_tweets_count_as_they_were_known(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The counts of a week of AAPL against the file, by hand."""
    monkeypatch.setenv("TRIFUSE_DATA", str(data_root))
    changes = ["entities=[AAPL]", "start=2015-01-26", "end=2015-01-30", "sentiment.novelty=words"]
    config = configs.load(
        ROOT / "configs" / "tweets.yaml", [*changes, "features={tweets: [news_count_1d, news_tone_1d]}"]
    )
    found = make(config, lake=tmp_path / "lake", out=tmp_path / "out", workers=1)
    (part,) = found.folder.glob("entity=*/part.parquet")
    rows = pl.read_parquet(part)
    tweets = pl.read_csv(data_root / "news" / "stocknet" / "tweets.csv.gz").filter(pl.col("ticker") == "AAPL")
    tweets = tweets.unique(["created_at", "text"])
    known = tweets["created_at"].str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC", time_unit="ns")
    known = known + timedelta(seconds=5)
    for moment, count, tone in rows.select("decision_time", "news_count_1d", "news_tone_1d").iter_rows():
        assert count == ((known <= moment) & (known > moment - timedelta(days=1))).sum()
        assert -0.5 < tone < 0.5
    assert (rows.height, rows["news_count_1d"].max() > 100) == (35, True)


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 500
    while not condition() and time.monotonic() < end:
        time.sleep(0.001)
