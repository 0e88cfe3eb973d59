"""The detectors of droughts and of spoofing that `scripts/judge_detectors.py` judges, and the ablations beside them.

Each module here has `detectors() -> list[Detector]`. The first of a module is the detector itself, with the library's
default parameters; the others leave something out, or are what somebody would write in an hour.
"""

import importlib
import pkgutil
from itertools import chain

from benchmarks.detectors.frame import DEVELOPMENT, REPORTED, Detector, Market, simulated

__all__ = ["DEVELOPMENT", "REPORTED", "Detector", "Market", "detectors", "simulated"]


def detectors() -> list[Detector]:
    """Every detector, in the order of the modules' names."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "frame")
    return list(chain.from_iterable(importlib.import_module(f"{__name__}.{name}").detectors() for name in names))
