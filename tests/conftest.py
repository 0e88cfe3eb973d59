"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data (TRIFUSE_DATA, else ../shared/data); the test skips where there is none."""
    root = Path(os.environ.get("TRIFUSE_DATA") or REPOSITORY.parent / "shared" / "data")
    if not (root / "market").is_dir():
        pytest.skip(f"real data not found at {root}; set TRIFUSE_DATA to its folder")
    return root
