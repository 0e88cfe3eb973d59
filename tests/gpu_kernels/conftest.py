"""One run of the simulator serves all tests that ask what it found, in however many processes they run."""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ALIGN_CASES = 1200


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The report of simulated.py."""
    folder = tmp_path_factory.getbasetemp()
    # pytest-xdist gives each process a folder of its own in one of the run
    report = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "simulated.json"
    with open(report.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not report.exists():
            report.write_text(_simulate())
    return json.loads(report.read_text())


def _simulate() -> str:
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(Path(__file__).with_name("simulated.py")), str(ALIGN_CASES)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
