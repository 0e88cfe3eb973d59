"""The calls of scripts/gpu_check.py, which every test of the twins runs, and what the naive references say of them."""

import ast
import importlib
import importlib.util
import sys
from pathlib import Path
from types import FunctionType

import naive

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / "scripts" / "gpu_check.py"
_spec = importlib.util.spec_from_file_location("gpu_check", PATH)
gpu_check = importlib.util.module_from_spec(_spec)
sys.modules["gpu_check"] = gpu_check
_spec.loader.exec_module(gpu_check)

works, largest_difference = gpu_check.works, gpu_check.largest_difference

# they serve the kernels: checks of arguments, where a row lies, a moving mean that is then scaled
_SERVING = {
    "gpu_kernels.dispatch",
    "gpu_kernels.segments",
    "gpu_kernels.book.updates",
    "gpu_kernels.blocks",
    "gpu_kernels.doubling",
    "gpu_kernels.volatility.path",
    "gpu_kernels.rolling.scaled_mean",
    "gpu_kernels.book.spoofing.parameters",
    "gpu_kernels.volatility.jumps.gumbel_threshold",
    "gpu_kernels.volatility.event_times.checked_events",
    "gpu_kernels.technical.bar_price.combine",
}

TOLERANCE = {"float64": 1e-10, "float32": 2e-6}
"""Relative, or absolute below 1: summation order for float64, the rounding of the output for float32."""


def expected(work):
    return work.run(work.arrays, naive.reference(work.function))


def cuda_kernels() -> set[tuple[str, str]]:
    """(module, name) of each function under `@cuda.jit` in the package."""
    found = set()
    for path in (ROOT / "gpu_kernels").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and any("cuda.jit" in ast.unparse(d) for d in node.decorator_list):
                found.add((".".join(path.relative_to(ROOT).with_suffix("").parts), node.name))
    return found


def public_functions() -> set:
    """Every public function of a module that has a CUDA kernel."""
    modules = {importlib.import_module(name) for name, _ in cuda_kernels() if name not in _SERVING}
    return {
        value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, FunctionType) and value.__module__ == module.__name__ and not name.startswith("_")
        if f"{module.__name__}.{name}" not in _SERVING
    }
