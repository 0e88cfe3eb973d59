"""How Numba compiles what runs on a CPU.

A division by zero gives what IEEE 754 says: a check that raises would keep the compiler from vector code, and bodies
guard where it matters. Caches lie beside the sources, or in the user's cache folder where those cannot be written.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit, prange

body = njit(error_model="numpy")
"""A formula, or a step of one: called by CPU loops, and by CUDA kernels, which compile it for themselves."""


def _package_stamp() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


_STAMP = _package_stamp()


def cpu_loop(function: Callable[..., Any]) -> Any:
    """A loop over rows, tiles or segments, `prange` over threads that share no output; its machine code is cached."""
    loop = njit(parallel=True, cache=True, nogil=True, error_model="numpy")(function)
    # Numba stamps a cache with the file of the loop alone: a body changed in another file would go unnoticed, and the
    # old numbers come out. Where Numba is told not to compile, there is no cache.
    if hasattr(loop, "_cache"):
        loop._cache._cache_file._source_stamp = _STAMP
    return loop


__all__ = ["body", "cpu_loop", "prange"]
