"""How Numba compiles what runs on a CPU.

A division by zero gives what IEEE 754 says: a check that raises would keep the compiler from vector code, and bodies
guard where it matters. Caches lie beside the sources, or in the user's cache folder where those cannot be written.
"""

import ast
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, njit, prange, types
from numba.extending import intrinsic

try:
    import fcntl
except ImportError:  # Windows, where processes that compile one loop at one time may still cross
    fcntl = None  # type: ignore[assignment]

body = njit(error_model="numpy")
"""A formula, or a step of one: called by CPU loops, and by CUDA kernels, which compile it for themselves."""

step_body = njit(error_model="numpy", inline="always")
"""A body that runs once per event over many arrays, put into the loop that calls it: to hand the arrays over, and count
references to them, would cost more than the event. Compiling takes longer."""

_ONE, _TWO, _FOUR, _TOP = np.uint64(1), np.uint64(2), np.uint64(4), np.uint64(56)
_PAIRS, _FOURS, _EIGHTS = (np.uint64(0x0101010101010101 * byte) for byte in (0x55, 0x33, 0x0F))
_SUM = np.uint64(0x0101010101010101)


def lowest_bit(word):
    """Place of the lowest bit of a uint64 other than 0: the number of bits below it, counted as compilers know it, so
    that it becomes one instruction."""
    below = ~word & (word - _ONE)
    below = below - ((below >> _ONE) & _PAIRS)
    below = (below & _FOURS) + ((below >> _TWO) & _FOURS)
    below = (below + (below >> _FOUR)) & _EIGHTS
    return np.int64((below * _SUM) >> _TOP)


if config.DISABLE_JIT:
    # NumPy's numbers, unlike machine words, complain where a product wraps
    def lowest_bit(word):
        return (int(word) & -int(word)).bit_length() - 1
else:
    lowest_bit = body(lowest_bit)


def stream_eight(target, place, source, first):
    """Eight numbers of 8 bytes from `source` to `target`, where that lies on a cache line of 64 bytes, past the cache:
    a plain store reads each line from memory before it overwrites all of it."""
    target[place : place + 8] = source[first : first + 8]


def _stream_eight_typed(_, target, place, source, first):
    def generate(context, builder, signature, arguments):
        pointers = []
        for array, index in ((0, 1), (2, 3)):
            data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
            eight = ir.VectorType(ir.IntType(64), 8).as_pointer()
            pointers.append(builder.bitcast(builder.gep(data, [arguments[index]]), eight))
        store = builder.store(builder.load(pointers[1], align=8), pointers[0], align=64)
        store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
        return context.get_dummy_value()

    return types.none(target, place, source, first), generate


if not config.DISABLE_JIT:
    stream_eight = intrinsic(_stream_eight_typed)


_ROOT = Path(__file__).parent.parent


@cache
def _source(path: Path) -> tuple[bytes, tuple[Path, ...]]:
    """Digest of a file, and the files of this project that it imports from."""
    text = path.read_bytes()
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            # what is imported may be a module of the package or something inside it
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    places = (_ROOT.joinpath(*name.split(".")) for name in sorted(names))
    files = (file for place in places for file in (place.with_suffix(".py"), place / "__init__.py"))
    return hashlib.sha256(text).digest(), tuple(file for file in files if file.is_file())


def source_stamp(path: Path) -> str:
    """Hash of a file and of all files of this project that it imports, however far: what a loop in it is made of."""
    found: set[Path] = set()
    left = [path]
    while left:
        file = left.pop()
        if file not in found:
            found.add(file)
            left += _source(file)[1]
    digest = hashlib.sha256()
    for file in sorted(found):
        digest.update(file.name.encode() + _source(file)[0])
    return digest.hexdigest()


def cpu_loop(function: Callable[..., Any]) -> Any:
    """A loop over rows, tiles or segments, `prange` over threads that share no output; its machine code is cached."""
    loop = njit(parallel=True, cache=True, nogil=True, error_model="numpy")(function)
    # Numba stamps a cache with the file of the loop alone: a body changed in another file would go unnoticed, and the
    # old numbers come out. Where Numba is told not to compile, there is no cache.
    if hasattr(loop, "_cache"):
        loop._cache._cache_file._source_stamp = source_stamp(Path(function.__code__.co_filename))
        loop._cache._cache_file.save = _one_at_a_time(loop._cache._cache_file)
    return loop


def _one_at_a_time(cache_file: Any) -> Callable[[Any, Any], None]:
    """Numba's `save`, one process after the other. By itself it reads which files are taken and writes its own later,
    so that two processes may choose one name for two signatures, and the one's calls run the other's code."""
    save = cache_file.save

    def locked(key: Any, data: Any) -> None:
        with _lock(os.path.dirname(cache_file._index_path)):
            save(key, data)

    return locked


@contextmanager
def _lock(folder: str) -> Iterator[None]:
    """Holds a folder against other processes that call this, where the file system can."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system may have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


__all__ = ["body", "cpu_loop", "lowest_bit", "prange", "step_body", "stream_eight"]
