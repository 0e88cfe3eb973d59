"""One call of every public kernel over generated data: what the tests run on the CPU, in the simulator and through the
PTX compiler, and what `scripts/gpu_check.py` runs on a device.

Each module here has `works(data) -> list[Work]` for one family of kernels, and may have `NARROW`, the names of CUDA
kernels that must not widen float32 to float64: prices and positions pass through them as they came, where others hold
sums or logs in float64 by design.
"""

import importlib
import pkgutil
from itertools import chain
from types import ModuleType

from benchmarks.works.data import Data, Work

__all__ = ["Data", "Work", "narrow", "works"]


def _families() -> list[ModuleType]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "data")
    return [importlib.import_module(f"{__name__}.{name}") for name in names]


def works(rows: int, segments: int, dtype: str, seed: int = 0) -> list[Work]:
    """Every public kernel over generated data with gaps, ties, revisions, and empty segments."""
    data = Data(rows, segments, dtype, seed)
    return list(chain.from_iterable(family.works(data) for family in _families()))


def narrow() -> set[str]:
    """Names of CUDA kernels that must not widen float32."""
    return set(chain.from_iterable(getattr(family, "NARROW", ()) for family in _families()))
