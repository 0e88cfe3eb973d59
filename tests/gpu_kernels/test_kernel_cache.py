"""A body changed in one file changes the loops of the others, whatever machine code is cached."""

import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from gpu_kernels._jit import cpu_loop

ROOT = Path(__file__).resolve().parents[2]
CODE = (
    "import numpy as np; from gpu_kernels import rolling\n"
    "print(rolling.maximum(np.array([1.0, 3.0, 2.0]), np.array([0, 3]), 2).tolist())"
)


def test_two_processes_that_save_at_one_time_keep_both_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))

    def loop(values: Any) -> None:
        values[:] = 0

    one, other = (cpu_loop(loop)._cache._cache_file for _ in range(2))
    look = one._load_index

    def look_and_wait() -> Any:
        found = look()
        second.start()
        second.join(timeout=1)
        return found

    second = threading.Thread(target=other.save, args=("float32", "code of float32"))
    monkeypatch.setattr(one, "_load_index", look_and_wait)
    one.save("float64", "code of float64")
    second.join()
    monkeypatch.undo()
    assert [one.load(name) for name in ("float64", "float32")] == ["code of float64", "code of float32"]


def test_a_changed_body_is_compiled_again(tmp_path: Path) -> None:
    package = tmp_path / "gpu_kernels"
    shutil.copytree(ROOT / "gpu_kernels", package, ignore=shutil.ignore_patterns("__pycache__"))

    def run() -> str:
        done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, cwd=tmp_path)
        return done.stdout.strip()

    assert run() == "[nan, 3.0, 3.0]"
    (index,) = package.rglob("rolling._extreme_cpu*.nbi")
    saved = index.stat().st_mtime_ns
    with (package / "price.py").open("a") as unused:
        unused.write("# what rolling does not import leaves its code as it is\n")
    assert run() == "[nan, 3.0, 3.0]"
    assert index.stat().st_mtime_ns == saved
    blocks = package / "blocks.py"
    source = blocks.read_text()
    assert "one if one > other else other" in source
    blocks.write_text(source.replace("one if one > other else other", "one if one < other else other"))
    assert run() == "[nan, -inf, -inf]"
