"""A body changed in one file changes the loops of the others, whatever machine code is cached."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = (
    "import numpy as np; from gpu_kernels import rolling\n"
    "print(rolling.maximum(np.array([1.0, 3.0, 2.0]), np.array([0, 3]), 2).tolist())"
)


def test_a_changed_body_is_compiled_again(tmp_path: Path) -> None:
    package = tmp_path / "gpu_kernels"
    shutil.copytree(ROOT / "gpu_kernels", package, ignore=shutil.ignore_patterns("__pycache__"))

    def run() -> str:
        done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, cwd=tmp_path)
        return done.stdout.strip()

    assert run() == "[nan, 3.0, 3.0]"
    assert list(package.rglob("rolling._extreme_cpu*.nbi"))
    doubling = package / "doubling.py"
    source = doubling.read_text()
    assert "max(earlier[i], later[i])" in source
    doubling.write_text(source.replace("max(earlier[i], later[i])", "min(earlier[i], later[i])"))
    assert run() == "[nan, 1.0, 2.0]"
