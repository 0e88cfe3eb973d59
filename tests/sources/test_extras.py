"""Packages of the extras."""

import sys

import pytest

from gpu_kernels.errors import ConfigError
from sources.extras import need


def test_a_package_that_is_there_is_returned() -> None:
    assert need("rasterio.warp").__name__ == "rasterio.warp"


def test_a_missing_package_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pystac_client", None)
    with pytest.raises(ConfigError, match=r"pystac-client is not installed; pip install 'trifuse\[alt\]'"):
        need("pystac_client")


def test_a_package_whose_library_does_not_load_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ImportError("libgdal.so: cannot open shared object file")

    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(ConfigError, match=r"rasterio cannot be loaded: libgdal"):
        need("rasterio")
