"""Imports go down only, and importing a package is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {
    "gpu_kernels": set(),
    "sources": {"gpu_kernels"},
    "sentiment": {"gpu_kernels"},
    "fusion": {"gpu_kernels", "sources", "sentiment"},
}
HEAVY = (
    "torch",
    "cupy",
    "cudf",
    "transformers",
    "rasterio",
    "shapely",
    "pyproj",
    "pystac",
    "geopandas",
    "exactextract",
)


def imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_go_down_only(package: str) -> None:
    for path in sorted((ROOT / package).rglob("*.py")):
        ours = imported(ast.parse(path.read_text())) & (set(ALLOWED) | {"scripts", "tests"})
        assert ours <= ALLOWED[package] | {package}, f"{path.relative_to(ROOT)} imports {ours}"


def test_only_one_module_imports_cuda_and_one_cudf() -> None:
    cuda, cudf = [], []
    for package in ALLOWED:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module in {"numba", "numba.cuda"}:
                    names = {alias.name for alias in node.names}
                    cuda += [path.name] if node.module == "numba.cuda" or "cuda" in names else []
                if isinstance(node, ast.Import | ast.ImportFrom) and "cudf" in imported(node):
                    cudf.append(path.name)
    assert len(set(cuda)) == 1, cuda
    assert len(set(cudf)) == 1, cudf


@pytest.mark.parametrize("package", ALLOWED)
def test_importing_loads_nothing_heavy(package: str) -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sorted((ROOT / package).rglob("*.py"))
    ]
    modules = [name.removesuffix(".__init__") for name in modules]
    code = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.strip() == "[]"
