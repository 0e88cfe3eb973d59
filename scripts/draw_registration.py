"""How far two images of the same ground lie beside each other, as their files hold them and on the common grid.

    python scripts/draw_registration.py                 # docs/imagery_registration.png, and the table
    python scripts/draw_registration.py --picture r.png

NAIP over North Dakota, pixels of 5 m, five dates on three grids, from TRIFUSE_DATA.
"""

import importlib.util
import os
from itertools import combinations
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from scipy.ndimage import gaussian_filter

from fusion.console import note, one_line_errors
from gpu_kernels.errors import ConfigError
from sources.extras import need
from sources.imagery.grid import grid_of
from sources.imagery.raster import read
from sources.imagery.scene import Asset
from sources.imagery.zones import Zone

YEARS = (2016, 2017, 2018, 2019, 2020)
PIXEL = 5.0
Image = np.ndarray


def detail(values: Image) -> Image:
    """What is left of an image without its broad changes of light and season."""
    values = values.astype(np.float64)
    return np.asarray(values - gaussian_filter(values, 8))


def shift(one: Image, other: Image) -> Image:
    """Metres to the east and to the north by which what one image shows lies beside where the other shows it."""
    from skimage.registration import phase_cross_correlation

    rows, columns = phase_cross_correlation(detail(one), detail(other), upsample_factor=50)[0]
    return PIXEL * np.array([columns, -rows])


def main(
    picture: Annotated[Path, typer.Option("--picture", help="Where it goes.")] = Path("docs/imagery_registration.png"),
    debug: Annotated[bool, typer.Option("--debug", envvar="TRIFUSE_DEBUG", help="Show tracebacks.")] = False,
) -> None:
    """Draw what the common grid mends, and print it."""
    with one_line_errors(debug):
        for name in ("matplotlib", "skimage"):
            if importlib.util.find_spec(name) is None:
                raise ConfigError(f"{name} is not installed", hint="pip install matplotlib scikit-image")
        from matplotlib.figure import Figure

        shapely, rasterio = need("shapely"), need("rasterio")
        folder = Path(os.environ.get("TRIFUSE_DATA", "../shared/data")) / "alt" / "rasters" / "naip_crop"
        paths = {year: path.absolute() for year in YEARS for path in folder.glob(f"*_{year}*.tif")}
        if len(paths) < len(YEARS):
            raise ConfigError(f"no NAIP images in {folder}", hint="set TRIFUSE_DATA to the folder of real data")
        zone = Zone("farms", shapely.box(487_620, 5_206_830, 488_840, 5_208_040), "EPSG:26914")
        grid = grid_of(zone, PIXEL)
        stored, common, corners = {}, {}, {}
        for year, path in paths.items():
            with rasterio.open(path) as image:
                stored[year], corners[year] = image.read(1), np.array([image.transform.c, image.transform.f])
            common[year] = read(Asset(str(path)), grid, "bilinear").values
        before, after = [], []
        for one, other in combinations(YEARS, 2):
            apart = corners[other] - corners[one]
            if not apart.any():
                continue
            before.append(shift(stored[one], stored[other]))
            after.append(shift(common[one], common[other]))
            note(
                f"{one} and {other}: grids {apart[0]:+.1f} m east, {apart[1]:+.1f} m north apart; the ground "
                f"{np.hypot(*before[-1]):.1f} m before, {np.hypot(*after[-1]):.1f} m after"
            )
        lengths = [np.hypot(*np.array(each).T) for each in (before, after)]
        note(f"median {np.median(lengths[0]):.2f} m before, {np.median(lengths[1]):.2f} m after")

        figure = Figure(figsize=(5.6, 5.2), layout="constrained")
        axis = figure.subplots()
        for points, colour, told in ((before, "#c0392b", "as stored"), (after, "#1f4e79", "on the common grid")):
            axis.scatter(*np.array(points).T, color=colour, s=36, label=told, zorder=3)
        axis.axhline(0, color="#999999", linewidth=0.8)
        axis.axvline(0, color="#999999", linewidth=0.8)
        axis.set(
            xlabel="metres east",
            ylabel="metres north",
            title="the ground in one image beside that in another",
            aspect="equal",
        )
        axis.set(xlim=(-4.5, 4.5), ylim=(-4.5, 4.5))
        axis.legend(frameon=False, loc="lower left", fontsize=9)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        figure.savefig(picture, dpi=130)


if __name__ == "__main__":
    typer.run(main)
