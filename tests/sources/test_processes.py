"""Work in processes: one's failure or death is its own, they share what was compiled, and none outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import worker_tasks as tasks

from gpu_kernels.errors import DataError
from sources import processes
from sources.processes import Outcome, WorkerError, Workers

ROOT = Path(__file__).resolve().parent.parent.parent


def run(
    function: Callable[..., Any], tasks_: list[tuple[Any, ...]], *, workers: int, fresh: bool = False, **more: Any
) -> list[Outcome]:
    with Workers(workers, fresh=fresh) as processes:
        return processes.run(function, tasks_, **more)


def test_outcomes_in_the_order_of_the_tasks() -> None:
    ended: list[int] = []
    found = run(tasks.double, [(number,) for number in range(7)], workers=2, ended=lambda place, _: ended.append(place))
    assert [outcome.value for outcome in found] == [0, 2, 4, 6, 8, 10, 12]
    assert sorted(ended) == list(range(7))
    assert all(outcome.error is None and outcome.seconds > 0 for outcome in found)
    assert run(tasks.double, [], workers=2) == []


def test_a_failure_or_a_death_stops_no_other() -> None:
    found = run(
        tasks.trouble, [(kind,) for kind in ("none", "data", "odd", "kill", "exit", "value", "none")], workers=2
    )
    assert [outcome.value for outcome in found] == ["fine", None, None, None, None, None, "fine"]
    errors = [outcome.error for outcome in found]
    assert isinstance(errors[1], DataError)
    assert (str(errors[1]), errors[1].hint) == ("no such file; allowed: files; look", "look")
    assert str(errors[2]) == "UnpicklableError: two lines"
    assert str(errors[3]) == "its process was killed by SIGKILL (out of memory?)"
    assert str(errors[4]) == "its process ended with exit code 3"
    assert isinstance(errors[5], WorkerError)


def test_the_first_task_runs_alone_and_others_side_by_side(tmp_path: Path) -> None:
    # each of the later two ends only when it has seen the other; the first one must not see any
    found = run(tasks.meet, [(tmp_path, "a", ""), (tmp_path, "b", "c"), (tmp_path, "c", "b")], workers=2)
    assert [outcome.value for outcome in found] == [["a"], ["a", "b", "c"], ["a", "b", "c"]]


@pytest.mark.parametrize("fresh", [False, True])
def test_a_worker_serves_many_tasks_unless_each_is_to_have_its_own(fresh: bool) -> None:
    found = run(tasks.process, [()] * 3, workers=1, fresh=fresh)
    assert len({outcome.value for outcome in found}) == (3 if fresh else 1)
    assert os.getpid() not in {outcome.value for outcome in found}


def test_workers_stay_from_one_call_to_the_next() -> None:
    with Workers(2) as processes:
        first = {outcome.value for outcome in processes.run(tasks.process, [()])}
        again = processes.run(tasks.process, [()] * 4, at_most=1)
        assert {outcome.value for outcome in again} == first
        # one that died is followed by another
        processes.run(tasks.trouble, [("kill",)])
        assert {outcome.value for outcome in processes.run(tasks.process, [()])} != first
        (living,) = {outcome.value for outcome in processes.run(tasks.process, [()])}
    assert not Path(f"/proc/{living}").exists()


def test_no_more_is_begun_after_an_error() -> None:
    found = run(tasks.trouble, [("data",), ("none",), ("none",)], workers=1, stop_at_error=True)
    assert isinstance(found[0].error, DataError)
    assert [str(outcome.error) for outcome in found[1:]] == ["not begun, as another task had failed"] * 2


def test_cores_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POLARS_MAX_THREADS", raising=False)
    monkeypatch.setattr(processes, "cores", lambda: 8)
    found = run(tasks.threads, [()] * 4, workers=4)
    assert [outcome.value for outcome in found] == ["2"] * 4
    monkeypatch.setenv("POLARS_MAX_THREADS", "3")
    assert run(tasks.threads, [()], workers=1)[0].value == "3"


def test_the_memory_of_a_process_is_its_own() -> None:
    small, large = run(tasks.hold, [(1,), (200,)], workers=1, fresh=True)
    assert 0 < small.peak_bytes < large.peak_bytes - 150 * 2**20


def test_an_interrupt_ends_the_workers(tmp_path: Path) -> None:
    def stop(place: int, _outcome: Outcome) -> None:
        if place == 2:
            assert [path.name for path in tmp_path.iterdir()] != []
            raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(
            tasks.note_and_wait,
            [(str(tmp_path), 0.0), (str(tmp_path), 600.0), (str(tmp_path), 1.0)],
            workers=2,
            ended=stop,
        )
    assert time.monotonic() - start < 300
    assert not any(Path(f"/proc/{path.name}").exists() for path in tmp_path.iterdir())


def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    code = (
        "import worker_tasks\nfrom sources.processes import Workers\nwith Workers(1) as processes:\n"
        f"    processes.run(worker_tasks.note_and_wait, [({str(tmp_path)!r}, 600.0)])"
    )
    paths = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    with subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths}) as parent:
        found = until(lambda: [int(path.name) for path in tmp_path.iterdir()])
        parent.send_signal(signal.SIGKILL)
    until(lambda: not Path(f"/proc/{found[0]}").exists())


def until(condition):  # type: ignore[no-untyped-def]
    for _ in range(6000):
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError("it never came")
