"""One run of the simulator serves all tests that ask what it found."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ALIGN_CASES = 1200


@pytest.fixture(scope="session")
def simulated() -> dict:
    """The report of simulated.py."""
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(Path(__file__).with_name("simulated.py")), str(ALIGN_CASES)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)
