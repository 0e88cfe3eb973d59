"""Batches: one job's failure is its own, a rerun resumes, and being ended leaves nothing behind."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from gpu_kernels.errors import DataError
from sources.processes import Outcome, WorkerError

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "scripts" / "run_batch.py"


@pytest.fixture(scope="module")
def batch() -> ModuleType:
    """The script as a module."""
    specification = importlib.util.spec_from_file_location("run_batch", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["run_batch"] = module
    specification.loader.exec_module(module)
    return module


class TestJobs:
    def test_each_pair_once(self, batch: ModuleType) -> None:
        a, b = Path("a.yaml"), Path("b.yaml")
        assert [job.name for job in batch.jobs_of([a, b, a], [], [])] == ["a", "b"]
        jobs = batch.jobs_of([a, b], ["X", "Y", "X"], ["seed=3"])
        assert [job.name for job in jobs] == ["a:X", "a:Y", "b:X", "b:Y"]
        assert all("seed=3" in job.overrides for job in jobs)

    @pytest.mark.parametrize("entity", ["NO", "1e5", "BRK.B", "null"])
    def test_a_ticker_stays_text_in_yaml(self, batch: ModuleType, entity: str) -> None:
        (job,) = batch.jobs_of([Path("a.yaml")], [entity], [])
        found = dict(override.split("=", 1) for override in job.overrides)
        assert yaml.safe_load(found["entities"]) == [entity]
        assert yaml.safe_load(found["name"]) == f"a_{entity}"


class TestOutcomes:
    """What a process of its own gives; how processes run is tested in tests/sources/test_processes.py."""

    def test_what_each_says(self, batch: ModuleType) -> None:
        job, summary = batch.Job(Path("a.yaml")), {"folder": "here"}
        found = [
            batch.outcome_of(job, Outcome(value, error, 1.26, 0))
            for value, error in (
                (summary | {"reused": False}, None),
                (summary | {"reused": True}, None),
                (None, DataError("the file is bad", hint="fetch it")),
                (None, WorkerError("its process was killed by SIGKILL (out of memory?)")),
                (None, KeyError("x")),
            )
        ]
        assert [each.status for each in found] == ["done", "reused", "failed", "failed", "failed"]
        assert [each.exit_code for each in found] == [0, 0, 3, 1, 70]
        assert [each.seconds for each in found] == [1.3] * 5
        assert found[2].error == "the file is bad; fetch it"
        assert found[3].error == "its process was killed by SIGKILL (out of memory?)"
        assert "KeyError" in found[4].error


class TestProcess:
    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(SCRIPT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)

    def test_all_bad_configs_are_told(self, tmp_path: Path) -> None:
        broken = tmp_path / "broken.yaml"
        broken.write_text("name: [")
        done = self.run(
            str(broken), str(tmp_path / "none.yaml"), "--json", "--lake", str(tmp_path), "--runs", str(tmp_path)
        )
        assert done.returncode == 1
        found = json.loads(done.stdout)
        assert found["failed"] == 2
        assert [job["exit_code"] for job in found["jobs"]] == [2, 2]
        assert "is not YAML" in found["jobs"][0]["error"]
        assert "does not exist" in found["jobs"][1]["error"]

    def test_no_config_is_wrong_usage(self) -> None:
        assert self.run().returncode == 2

    def test_being_ended_ends_the_jobs(self, tmp_path: Path) -> None:
        # the config is a pipe that nobody writes to, so the job waits for as long as it lives
        pipe = tmp_path / "pipe.yaml"
        os.mkfifo(pipe)
        command = [sys.executable, str(SCRIPT), str(pipe), "--runs", str(tmp_path), "--lake", str(tmp_path)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as whole:
            child = _child_of(whole.pid)
            whole.send_signal(signal.SIGTERM)
            _, said = whole.communicate(timeout=60)
        assert whole.returncode == 130
        assert said.strip() == "error: interrupted"
        # whoever takes its parent's place may be slow to collect it
        for _ in range(600):
            if not _lives(child):
                break
            time.sleep(0.05)
        assert not _lives(child)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def _child_of(pid: int) -> int:
    """The first child of a process, once there is one."""
    for _ in range(1200):
        children = [
            int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
        ]
        if children:
            return children[0]
        time.sleep(0.05)
    raise AssertionError(f"{pid} started nothing")
