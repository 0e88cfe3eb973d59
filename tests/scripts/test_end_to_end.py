"""A batch that dies and is started again, and signals that are brought up to date, on a tiny simulated market."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
BATCH, SIGNALS = (str(ROOT / "scripts" / name) for name in ("run_batch.py", "generate_signals.py"))
LAST = "2024-09-18"  # of the run; the market goes on for two more sessions


@dataclass(frozen=True)
class Workplace:
    """A config without books and headlines, so that it is quick, beside one that is broken."""

    folder: Path

    @property
    def options(self) -> list[str]:
        return ["--lake", str(self.folder / "lake"), "--runs", str(self.folder / "runs")]

    @property
    def batch(self) -> list[str]:
        configs = [str(self.folder / name) for name in ("tiny.yaml", "broken.yaml")]
        return [sys.executable, BATCH, *configs, "--set", f"end={LAST}", "--json", *self.options]

    def finished(self) -> list[Path]:
        return [path.parent for path in (self.folder / "runs").glob("*/[!.]*/manifest.json")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    folder = tmp_path_factory.mktemp("batch")
    tree = yaml.safe_load((ROOT / "configs" / "demo.yaml").read_text())
    for source in ("book", "headlines"):
        del tree["sources"][source]
    tree |= {
        "name": "tiny",
        "features": {"bars": ["bar_return_5", "bar_return_15", "bar_rsi_14"], "lots": ["lot_fill", "lot_fill_yoy"]},
        "simulate": {"seed": 3, "sessions": 14, "entities": _entities()},
        "walk_forward": {"train_sessions": 6, "refit_sessions": 3, "embargo_sessions": 1},
        "model": {"trees": 5, "min_rows_leaf": 20},
        "selection": {"min_features": 2},
        "evaluation": {"bootstrap": 100},
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(tree))
    (folder / "broken.yaml").write_text("name: [")
    return Workplace(folder)


def _entities() -> list[dict[str, str]]:
    return [
        {"ticker": "BRKH", "name": "Brackenhall Stores", "kind": "retailer"},
        {"ticker": "QVNT", "name": "Quorvant Systems", "kind": "tech"},
    ]


def run(command: list[str]) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.slow
def test_a_batch_that_died_resumes_and_its_signals_go_on(place: Workplace) -> None:
    # 1. the machine dies after the first source is in the lake
    with subprocess.Popen(place.batch, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as dying:
        _until(lambda: list((place.folder / "lake").glob("*/[!.]*/ingest.json")))
        os.killpg(dying.pid, signal.SIGKILL)
    assert place.finished() == []

    # 2. started again, the good run is made and the broken one told
    code, found = run(place.batch)
    assert code == 1
    assert found["failed"] == 1
    assert [job["status"] for job in found["jobs"]] == ["done", "failed"]
    assert "is not YAML" in found["jobs"][1]["error"]
    folder = Path(found["jobs"][0]["summary"]["folder"])
    assert place.finished() == [folder]
    files = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {"signals.parquet", "report.html", "manifest.json"} <= set(files)

    # 3. and once more, nothing is repeated
    code, found = run(place.batch)
    assert [job["status"] for job in found["jobs"]] == ["reused", "failed"]
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == files

    # 4. two crons at once on newer data: one does the work, the other waits for it, both hand out the same rows
    before = pl.read_parquet(folder / "signals.parquet")
    outputs = [place.folder / name for name in ("one.parquet", "two.parquet")]
    command = [sys.executable, SIGNALS, str(folder), "--end", "2024-09-20", "--lake", str(place.folder / "lake")]
    both = [subprocess.Popen([*command, "--out", str(out), "--wait", "400"], stderr=subprocess.PIPE) for out in outputs]
    said = [each.communicate(timeout=450)[1].decode() for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    one, two = (pl.read_parquet(out) for out in outputs)
    assert one.equals(two)
    assert one["entity"].to_list() == ["BRKH", "QVNT"]
    after = pl.read_parquet(folder / "signals.parquet")
    added = after.height - before.height
    assert sorted(line.split(" new rows")[0] for line in said) == ["0", str(added)]
    assert after.filter(pl.col("decision_time") <= before["decision_time"].max()).equals(before)
    assert not after.select("entity", "decision_time").is_duplicated().any()
    assert str(one["session"].max()) == "2024-09-20"


def _until(condition: Any) -> None:
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came")
