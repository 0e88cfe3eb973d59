"""Work in parallel processes, one of which may fail or be killed without taking others along.

A worker is a Python process of its own that is sent one task after the other, so that what it imported and compiled
serves all of them. One that dies (of its memory, of a fault in native code) loses its own task alone, and another takes
its place. Workers end when the process that started them ends, however it ends.
"""

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from gpu_kernels.errors import TrifuseError

# each library starts as many threads as there are cores unless told otherwise
_THREADS = ("NUMBA_NUM_THREADS", "POLARS_MAX_THREADS", "OMP_NUM_THREADS", "RAYON_NUM_THREADS")
# Ctrl-C reaches the whole group of processes: the one that began the workers ends them
_START = (
    "import signal, sys\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    "from sources.processes import serve\nserve(int(sys.argv[1]))"
)


class WorkerError(TrifuseError):
    """A worker died, or what it did cannot be told."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended: its value, or the error that it raised; its seconds, and the most memory that its process ever
    held (bytes; 0 where the system does not tell)."""

    value: Any
    error: Exception | None
    seconds: float
    peak_bytes: int


Ended = Callable[[int, Outcome], None]


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """Up to `count` processes, begun when they are needed; a context manager, which ends them.

    fresh   every task gets a process of its own
    """

    def __init__(self, count: int, *, fresh: bool = False) -> None:
        self.count, self._fresh = count, fresh
        self._share = max(1, cores() // max(1, count))
        self._running: list[_Worker] = []
        self._idle: list[_Worker] = []

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._running:
            worker.process.terminate()
        for worker in self._running + self._idle:
            worker.end()
        self._running, self._idle = [], []

    def run(
        self,
        function: Callable[..., Any],
        tasks: Sequence[tuple[Any, ...]],
        ended: Ended | None = None,
        *,
        at_most: int | None = None,
        stop_at_error: bool = False,
    ) -> list[Outcome]:
        """Calls `function(*task)` for each task; outcomes in the order of the tasks.

        function       of a module that can be imported; tasks and values must pickle
        ended          called with (place of the task, outcome) as each one ends
        at_most        so many side by side
        stop_at_error  begin no more tasks once one failed; the outcome of those is an error that says so

        Unless processes are fresh, the first task runs alone, so that what has to be compiled is compiled once and
        the others find it in the cache. A task's exception is its outcome's error.
        """
        outcomes: list[Outcome | None] = [None] * len(tasks)
        left = list(range(len(tasks)))[::-1]
        most = min(self.count, at_most or self.count)
        failed = False
        while left or self._running:
            allowed = most if self._fresh or any(outcomes) else 1
            while left and len(self._running) < allowed and not (failed and stop_at_error):
                worker = self._idle.pop() if self._idle else _Worker(self._share)
                self._running.append(worker)
                worker.begin(left.pop(), function, tasks)
            if not self._running:
                break
            ready = wait([worker.pipe for worker in self._running])
            for worker in [worker for worker in self._running if worker.pipe in ready]:
                outcome, alive = worker.outcome()
                self._running.remove(worker)
                if alive and not self._fresh:
                    self._idle.append(worker)
                else:
                    worker.end()
                outcomes[worker.place] = outcome
                failed = failed or outcome.error is not None
                if ended is not None:
                    ended(worker.place, outcome)
        skipped = Outcome(None, WorkerError("not begun, as another task had failed"), 0.0, 0)
        return [outcome or skipped for outcome in outcomes]


class _Worker:
    """One worker process, and the place of the task that it works on."""

    def __init__(self, threads: int) -> None:
        self.pipe, theirs = Pipe()
        self.place, self._since = -1, 0.0
        environment = dict.fromkeys(_THREADS, str(threads)) | os.environ
        # what this process can import, its workers can
        environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=environment,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()

    def begin(self, place: int, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> None:
        self.place, self._since = place, time.monotonic()
        with suppress(BrokenPipeError, ConnectionResetError):  # it died before: `outcome` tells of what
            self.pipe.send((function, tasks[place]))

    def outcome(self) -> tuple[Outcome, bool]:
        """What became of the task, and whether the worker lives."""
        try:
            value, error, peak = self.pipe.recv()
            return Outcome(value, error, time.monotonic() - self._since, peak), True
        except (EOFError, ConnectionResetError):
            code = self.process.wait()
            said = f"its process ended with exit code {code}"
            if code < 0:
                name = signal.Signals(-code).name
                said = f"its process was killed by {name}" + (" (out of memory?)" if code == -signal.SIGKILL else "")
            return Outcome(None, WorkerError(said), time.monotonic() - self._since, 0), False

    def end(self) -> None:
        """A worker ends when its pipe is closed."""
        self.pipe.close()
        self.process.wait()


# --- in the worker ----------------------------------------------------------------------------------------------------


def serve(handle: int) -> None:
    """What a worker does: tasks from the pipe, outcomes into it."""
    pipe = Connection(handle)
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, tasks), daemon=True).start()
    while True:
        content = tasks.get()
        value, error = None, None
        try:
            function, task = pickle.loads(content)
            value = function(*task)
        except Exception as raised:
            error = raised
        pipe.send_bytes(_pickled(value, error))


def _receive(pipe: Connection, tasks: "queue.SimpleQueue[bytes]") -> None:
    """Ends this process as soon as nobody is there any more to tell the outcome to, in the middle of a task too."""
    while True:
        try:
            tasks.put(pipe.recv_bytes())
        except (EOFError, OSError):
            os._exit(1)


def _pickled(value: Any, error: Exception | None) -> bytes:
    peak = peak_bytes()
    try:
        content = pickle.dumps((value, error, peak))
        pickle.loads(content)
        return content
    except Exception as trouble:
        said = error if error is not None else trouble
        told = WorkerError(" ".join(f"{type(said).__name__}: {said}".split()))
        return pickle.dumps((None, told, peak))


def peak_bytes() -> int:
    """The most memory that this process ever held at once; 0 where the system does not tell."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
