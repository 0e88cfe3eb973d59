"""What a run was made of, so that it can be made again: code, packages, device, inputs, counts, seeds, hashes."""

import hashlib
import json
import os
import platform
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from gpu_kernels.errors import DataError

_PACKAGES = (
    "numpy", "numba", "scipy", "polars", "pyarrow", "pandas", "lightgbm", "scikit-learn", "exchange_calendars",
    "plotly", "torch", "transformers", "numba-cuda", "cupy-cuda13x", "cudf-cu13",
)  # fmt: skip
_FOLDERS = ("gpu_kernels", "sources", "sentiment", "fusion")


@cache
def code_version() -> str:
    """Version of the distribution and the first 12 hexadecimal digits of a hash over the packages' own source files."""
    digest, root = hashlib.sha256(), Path(__file__).resolve().parent.parent
    for folder in _FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode())
            digest.update(path.read_bytes())
    try:
        version = metadata.version("trifuse")
    except metadata.PackageNotFoundError:
        version = "0"
    return f"{version}+{digest.hexdigest()[:12]}"


def package_versions() -> dict[str, str]:
    """Versions of the packages that can change a number; absent ones are left out."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def device() -> dict[str, Any]:
    """What the run ran on. The feature matrix of this version is built on the CPU."""
    return {"kind": "cpu", "machine": platform.machine(), "cores": os.cpu_count()}


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def hashes(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """sha256 of each named file of a folder, sorted by name."""
    return {name: file_hash(folder / name) for name in sorted(names)}


def key(*parts: Any) -> str:
    """First 12 hexadecimal digits of a hash over JSON-able parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def write_json(path: Path, value: Any) -> None:
    """Write JSON under a temporary name, then rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def read_json(path: Path) -> Any:
    """Read a JSON file of a run folder. Raises DataError where it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}", hint="give the folder of a finished run") from None
