"""Short parallel calls on one thread: waking the others costs more than they could save."""

from collections.abc import Iterator
from contextlib import contextmanager

import numba


@contextmanager
def single_thread(when: bool = True) -> Iterator[None]:
    """Inside, Numba's parallel loops run on the calling thread. Results do not change, as they never depend on it.

    A parallel region that other processes compete with takes milliseconds to start, and an EM fit starts hundreds.
    """
    if not when:
        yield
        return
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(threads)
