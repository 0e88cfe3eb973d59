"""How Numba compiles what runs on a CPU.

A division by zero gives what IEEE 754 says: a check that raises would keep the compiler from vector code, and bodies
guard where it matters. Caches lie beside the sources, or in the user's cache folder where those cannot be written.
"""

from numba import njit, prange

body = njit(error_model="numpy")
"""A formula, or a step of one: called by CPU loops, and by CUDA kernels, which compile it for themselves."""

cpu_loop = njit(parallel=True, cache=True, nogil=True, error_model="numpy")
"""A loop over rows, tiles or segments, `prange` over threads that share no output."""

__all__ = ["body", "cpu_loop", "prange"]
