"""Newest signals to a file or stdout: whole files, exit codes, and no two at a time."""

import fcntl
import io
import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = str(ROOT / "scripts" / "generate_signals.py")
DEMO = str(ROOT / "configs" / "demo.yaml")


def generate(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, SCRIPT, *arguments]
    return subprocess.run(command, capture_output=True, check=False, timeout=300)


def words(done: subprocess.CompletedProcess[bytes]) -> str:
    text = done.stderr.decode()
    assert "Traceback" not in text
    return text


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with the signals of two entities, the last one half an hour ago."""
    return write_run(tmp_path / "runs" / "demo" / "first")


def write_run(folder: Path, age: timedelta = timedelta(minutes=30)) -> Path:
    folder.mkdir(parents=True)
    last = datetime.now(UTC) - age
    times = [last - timedelta(minutes=5 * k) for k in range(3)]
    rows = [(name, at, k * 0.5) for name in ("BOLT", "ACME") for k, at in enumerate(times)]
    table = pl.DataFrame(rows, schema=["entity", "decision_time", "score"], orient="row")
    table.write_parquet(folder / "signals.parquet")
    (folder / "manifest.json").write_text("{}")
    return folder


class TestOutput:
    def test_newest_row_of_each_entity_to_stdout(self, run: Path) -> None:
        done = generate(str(run), "--no-refresh")
        assert done.returncode == 0, done.stderr
        rows = pl.read_csv(io.BytesIO(done.stdout))
        assert rows["entity"].to_list() == ["ACME", "BOLT"]
        assert rows["score"].to_list() == [0.0, 0.0]

    def test_all_rows_as_json_lines(self, run: Path) -> None:
        done = generate(str(run), "--no-refresh", "--format", "jsonl", "--rows", "all", "--quiet")
        assert len([json.loads(line) for line in done.stdout.splitlines()]) == 6
        assert done.stderr == b""

    def test_new_rows_are_none_without_a_refresh(self, run: Path) -> None:
        done = generate(str(run), "--no-refresh", "--rows", "new")
        assert done.stdout.splitlines() == [b"entity,decision_time,score"]

    @pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
    def test_format_by_suffix(self, run: Path, tmp_path: Path, suffix: str) -> None:
        target = tmp_path / f"out.{suffix}"
        assert generate(str(run), "--no-refresh", "--out", str(target)).returncode == 0
        read = {"csv": pl.read_csv, "jsonl": pl.read_ndjson, "parquet": pl.read_parquet}[suffix]
        assert read(target)["entity"].to_list() == ["ACME", "BOLT"]
        assert {path.name for path in tmp_path.iterdir()} == {"runs", target.name}

    def test_a_failure_leaves_the_old_file(self, run: Path, tmp_path: Path) -> None:
        target = tmp_path / "out.csv"
        target.write_text("old")
        done = generate(str(run), "--no-refresh", "--out", str(target), "--max-age", "10min")
        assert done.returncode == 3
        assert target.read_text() == "old"

    def test_config_means_its_newest_finished_run(self, run: Path) -> None:
        newer = write_run(run.parent / "second", age=timedelta(minutes=1))
        os.utime(run / "manifest.json", ns=(1, 1))
        (write_run(run.parent / "third") / "manifest.json").unlink()
        write_run(run.parent / ".fourth.123")
        done = generate(DEMO, "--no-refresh", "--runs", str(run.parent.parent))
        expected = pl.read_parquet(newer / "signals.parquet")["decision_time"].max()
        assert isinstance(expected, datetime)
        assert expected.isoformat()[:19] in done.stdout.decode()


class TestErrors:
    def test_stale_signals(self, run: Path) -> None:
        assert generate(str(run), "--no-refresh", "--max-age", "2h").returncode == 0
        done = generate(str(run), "--no-refresh", "--max-age", "15min")
        assert done.returncode == 3
        assert re.fullmatch(r"error: the newest signal is of .* UTC; allowed: 15min old at most\n", words(done))

    @pytest.mark.parametrize(
        ("arguments", "code", "said"),
        [
            (("no/such/config.yaml",), 2, "config no/such/config.yaml does not exist"),
            ((DEMO, "--runs", "no/such/folder"), 4, "no finished run of demo in no/such/folder; run `trifuse run"),
            ((str(ROOT / "configs"),), 4, "holds no signals.parquet"),
        ],
    )
    def test_no_run(self, arguments: tuple[str, ...], code: int, said: str) -> None:
        done = generate(*arguments, "--no-refresh")
        assert done.returncode == code
        assert said in words(done)
        assert done.stdout == b""

    def test_wrong_options(self, run: Path) -> None:
        assert generate(str(run), "--no-refresh", "--max-age", "soon").returncode == 2
        assert generate(str(run), "--no-refresh", "--format", "xml").returncode == 2
        assert generate(str(run), "--no-refresh", "--out", "no/such/folder/x.csv").returncode == 2

    def test_folder_that_is_no_run_is_not_refreshed(self, run: Path) -> None:
        (run / "manifest.json").unlink()
        done = generate(str(run))
        assert done.returncode == 3
        assert "no finished run" in words(done)


class TestLock:
    def test_second_gives_up_then_waits(self, run: Path, tmp_path: Path) -> None:
        target = tmp_path / "out.csv"
        arguments = [str(run), "--no-refresh", "--out", str(target)]
        with open(run / ".signals.lock", "w") as held:
            fcntl.flock(held, fcntl.LOCK_SH)  # even a shared lock keeps an exclusive one out
            done = generate(*arguments)
            assert done.returncode == 75
            assert "another process makes signals" in words(done)
            assert not target.exists()
            with subprocess.Popen(
                [sys.executable, SCRIPT, *arguments, "--wait", "120"], stderr=subprocess.PIPE
            ) as waiting:
                # it waits for as long as the lock is held
                _until_it_holds_open(waiting.pid, run / ".signals.lock")
                assert waiting.poll() is None
                fcntl.flock(held, fcntl.LOCK_UN)
                waiting.communicate(timeout=120)
        assert waiting.returncode == 0
        assert target.exists()

    def test_a_killed_one_leaves_no_lock(self, run: Path) -> None:
        code = (
            f"import fcntl, time\nhandle = open({str(run / '.signals.lock')!r}, 'w')\n"
            "fcntl.flock(handle, fcntl.LOCK_EX)\nprint('held', flush=True)\ninput()"
        )
        with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"held\n"
            assert generate(str(run), "--no-refresh").returncode == 75
            child.kill()
        assert generate(str(run), "--no-refresh").returncode == 0


def _until_it_holds_open(pid: int, path: Path) -> None:
    """Waits until a process has opened a file."""
    for _ in range(1200):
        try:
            if path in [Path(os.readlink(link)) for link in Path(f"/proc/{pid}/fd").iterdir()]:
                return
        except FileNotFoundError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{pid} never opened {path}")
