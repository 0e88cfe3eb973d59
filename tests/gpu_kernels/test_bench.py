"""The benchmark harness: outputs first, honest records, whole files."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.harness import Comparison, OutputsDifferError, measure, require_equal  # noqa: E402

FIELDS = {"suite", "work", "rows", "dtype", "seconds", "peer", "peer_seconds", "ratio", "bandwidth_fraction"}


def test_quick_run_writes_the_records_of_the_contract(tmp_path: Path) -> None:
    target = tmp_path / "bench.json"
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "bench.py"), "--suite", "fusion", "--quick", "--json", str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "copy bandwidth" in done.stdout
    records = json.loads(target.read_text())
    assert all(set(record) == FIELDS for record in records)
    align = next(record for record in records if record["peer"] == "Polars join_asof")
    assert align["ratio"] == pytest.approx(align["peer_seconds"] / align["seconds"])
    assert list(tmp_path.iterdir()) == [target]


def test_unknown_suite_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "bench.py"), "--suite", "sattelite"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "choose from" in done.stderr


def test_outputs_that_differ_stop_the_comparison() -> None:
    ones = (np.array([1.0, np.nan, 2.0]),)
    work = Comparison("toy", 3, "float64", 24, lambda: ones, {"peer": lambda: (np.array([1.0, np.nan, 2.1]),)})
    with pytest.raises(OutputsDifferError, match="toy: output 0 differs from peer's in 1 of 3 rows, first at 2"):
        list(measure("toys", work, 5, 1e9))
    with pytest.raises(OutputsDifferError):
        require_equal(work, "peer", ones, (np.array([1.0, 3.0, 2.0]),))


def test_work_without_a_peer_claims_no_ratio() -> None:
    (record,) = measure("toys", Comparison("toy", 3, "float64", 24, lambda: (np.zeros(3),)), 5, 1e9)
    assert record["peer"] is None
    assert record["ratio"] is None
