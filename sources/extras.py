"""Packages that only some sources need: imported when first used, and asked for by one line where they are missing."""

import importlib
from types import ModuleType

from gpu_kernels.errors import ConfigError

_EXTRA = {
    "rasterio": "alt",
    "shapely": "alt",
    "pyproj": "alt",
    "pystac": "alt",
    "pystac_client": "alt",
    "requests": "alt",
    "urllib3": "alt",
    "geopandas": "alt",
    "pyogrio": "alt",
    "exactextract": "alt",
}


def need(module: str) -> ModuleType:
    """The module of that name (`rasterio`, `rasterio.warp`), of a package that one of trifuse's extras brings.

    Raises ConfigError with the command that installs it where it is missing, or cannot be loaded.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:  # OSError: a shared library that the package brings does not load
        told = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be loaded: {error}"
        extra = _EXTRA[package]
        raise ConfigError(
            f"{package.replace('_', '-')} {told}",
            hint=f"pip install 'trifuse[{extra}]'; in a clone .venv/bin/pip install -e '.[{extra}]'",
        ) from error
