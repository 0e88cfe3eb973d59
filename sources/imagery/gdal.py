"""How GDAL is let at a file: by which name and driver, with which options, and how it tells what went wrong."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpu_kernels.errors import DataError, TrifuseError, one_line
from sources.extras import need
from sources.imagery.scene import Asset

_REMOTE = {"https": "/vsicurl/", "http": "/vsicurl/", "s3": "/vsis3/", "gs": "/vsigs/"}
NUMPY = "numpy"
_MAGIC = {
    b"\x93NUMPY": NUMPY,
    b"II*\x00": "GTiff",
    b"MM\x00*": "GTiff",
    b"II+\x00": "GTiff",
    b"MM\x00+": "GTiff",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"\x00\x00\x00\x0cjP": "JP2OpenJPEG",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",
}


def place_of(asset: Asset) -> tuple[str, str]:
    """The name by which GDAL opens the file, and the driver that alone may read it."""
    scheme = asset.href.partition("://")[0].lower() if "://" in asset.href else ""
    if scheme:
        if scheme not in _REMOTE:
            raise DataError(f"{asset.href[:200]}: no address that is read", allowed=", ".join(_REMOTE))
        if not asset.remote:
            raise DataError(f"{asset.href[:200]} lies in the network", hint="write remote: true to read such")
        path = asset.href if scheme.startswith("http") else asset.href.partition("://")[2]
        return _REMOTE[scheme] + path, "JP2OpenJPEG" if path.split("?")[0].lower().endswith(".jp2") else "GTiff"
    file = Path(asset.href)
    if not file.is_absolute() or not file.is_file():
        raise DataError(f"{asset.href[:200]} is no file", hint="check the path")
    try:
        with open(file, "rb") as stream:
            start = stream.read(8)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    if not start:
        raise DataError(f"{file} is empty (0 bytes)", hint="fetch the file again")
    driver = next((name for magic, name in _MAGIC.items() if start.startswith(magic)), None)
    if driver is None:
        raise DataError(
            f"{file} is no image that is read: it begins with {start!r}", allowed="GeoTIFF, PNG, JPEG, JPEG 2000"
        )
    return str(file), driver


def environment(asset: Asset, name: str) -> dict[str, object]:
    """GDAL's options: nothing from the network but the asset's own address, and limits to waiting for that."""
    return {
        "CPL_VSIL_CURL_ALLOWED_FILENAME": name if asset.remote else "/vsicurl/none",
        # TRUE: files beside it are looked for by name, without reading the folder; EMPTY_DIR: they are not looked for
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR" if asset.remote else "TRUE",
        "GDAL_HTTP_CONNECTTIMEOUT": 10,
        "GDAL_HTTP_TIMEOUT": 60,
        "GDAL_HTTP_MAX_RETRY": 3,
        "GDAL_HTTP_RETRY_DELAY": 1,
        "GDAL_NUM_THREADS": 1,
    }


@contextmanager
def telling(href: str) -> Iterator[None]:
    """Turns the errors of reading an image into a DataError of one line, and GDAL's warnings into nothing: what they
    warn of, such as a missing CRS, is told where it matters."""
    errors = need("rasterio.errors")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", errors.NotGeoreferencedWarning)
            yield
    except TrifuseError:
        raise
    except (errors.RasterioError, OSError, ValueError, MemoryError) as error:
        told = one_line(error.__cause__ or error)
        raise DataError(f"{href[:200]} cannot be read: {told}", hint="fetch the file again") from error
