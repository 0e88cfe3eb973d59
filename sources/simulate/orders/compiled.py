"""How Numba compiles this package: steps without a cache, and loops with one that any file of the package outdates.

Numba stamps a cache with the file of the loop alone: a step changed in another file would go unnoticed.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

step = njit
"""A function that loops call: compiled into them."""

_STAMP = hashlib.sha256(
    b"".join(path.name.encode() + path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
).hexdigest()


def loop(function: Callable[..., Any]) -> Any:
    """A function that Python calls; its machine code is cached."""
    compiled = njit(cache=True)(function)
    # where Numba is told not to compile, there is no cache
    if hasattr(compiled, "_cache"):
        compiled._cache._cache_file._source_stamp = _STAMP
    return compiled
