"""Folders that one process at a time works in."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpu_kernels.errors import TrifuseError

try:
    import fcntl
except ImportError:  # Windows: two processes in one folder are then up to the user
    fcntl = None  # type: ignore[assignment]


class BusyError(TrifuseError):
    """Another process works in a folder."""


@contextmanager
def holding(folder: Path, *, wait: bool) -> Iterator[None]:
    """Holds a folder, which is made where it is missing, against other processes that call this. The system frees it
    when this process ends, however it ends.

    Raises BusyError where another process holds it, unless told to wait.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    while True:
        handle = os.open(folder, os.O_RDONLY)
        try:
            _lock(handle, folder, wait)
            if _is_still(handle, folder):
                yield
                return
        finally:
            os.close(handle)
        # it was renamed or removed by the process that had held it
        folder.mkdir(parents=True, exist_ok=True)


def _lock(handle: int, folder: Path, wait: bool) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise BusyError(f"another process works in {folder}", hint="wait until it is done") from None


def _is_still(handle: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(folder))
    except FileNotFoundError:
        return False
