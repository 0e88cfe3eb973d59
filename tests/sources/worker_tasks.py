"""What the tests have workers do: functions that another process can import."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from gpu_kernels.errors import DataError


class UnpicklableError(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one}\n{two}")


def double(number: int) -> int:
    return 2 * number


def trouble(kind: str) -> Any:
    if kind == "data":
        raise DataError("no such file", allowed="files", hint="look")
    if kind == "odd":
        raise UnpicklableError("two", "lines")
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "exit":
        os._exit(3)
    return (lambda: None) if kind == "value" else "fine"


def meet(folder: Path, me: str, other: str) -> list[str]:
    (folder / me).touch()
    for _ in range(6000):
        if not other or (folder / other).exists():
            break
        time.sleep(0.01)
    return sorted(path.name for path in folder.iterdir())


def process() -> int:
    sys.stdout.write("what a task prints goes nowhere")
    return os.getpid()


def threads() -> str:
    return os.environ["POLARS_MAX_THREADS"]


def hold(mebibytes: int) -> int:
    return len(b"x" * (mebibytes * 2**20))


def note_and_wait(folder: str, seconds: float) -> None:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(seconds)
