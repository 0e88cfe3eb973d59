"""Real images: NAIP whose grids lie 3 m apart, Landsat in degrees, chips without georeference."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from scipy.ndimage import gaussian_filter
from skimage.registration import phase_cross_correlation

from sources.imagery.grid import Grid, grid_of, project
from sources.imagery.raster import open_asset, read
from sources.imagery.scene import Asset
from sources.imagery.zones import PIXELS, Zone

pytestmark = pytest.mark.data


def detail(values: np.ndarray) -> np.ndarray:
    """What is left of an image without its broad changes of light and season."""
    values = values.astype(np.float64)
    return values - gaussian_filter(values, 8)


def residual(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """By how many rows and columns one image lies beside the other."""
    return np.array(phase_cross_correlation(detail(one), detail(other), upsample_factor=20)[0])


class TestNaipsTwoGrids:
    """Pixels of 5 m; grids up to 3 m apart in x and in y."""

    ZONE = Zone("farms", shapely.box(487_620, 5_206_830, 488_840, 5_208_040), "EPSG:26914")

    def images(self, data_root: Path, *years: int) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
        """Two images as their files hold them, on the common grid, and by how many pixels their grids differ."""
        folder = data_root / "alt" / "rasters" / "naip_crop"
        paths = [next(folder.glob(f"*_{year}*.tif")) for year in years]
        stored, transforms = [], []
        for path in paths:
            with rasterio.open(path) as image:
                stored.append(image.read(1))
                transforms.append(image.transform)
        common = [read(Asset(str(path)), grid_of(self.ZONE, 5), "bilinear").values for path in paths]
        one, other = transforms
        return stored, common, np.array([(one.f - other.f) / 5, (other.c - one.c) / 5])

    @pytest.mark.parametrize(
        ("years", "apart"),
        [
            ((2016, 2017), (0.64, 0.28)),
            ((2016, 2018), (0.64, 0.28)),
            ((2017, 2019), (-0.6, -0.6)),
            ((2017, 2020), (-0.6, -0.6)),
            ((2018, 2019), (-0.6, -0.6)),
            ((2018, 2020), (-0.6, -0.6)),
        ],
    )
    def test_images_that_lie_up_to_3_m_apart_agree_on_the_common_grid(
        self, data_root: Path, years: tuple[int, int], apart: tuple[float, float]
    ) -> None:
        stored, common, between = self.images(data_root, *years)
        np.testing.assert_allclose(between, apart, atol=1e-6)
        before, after = residual(*stored), residual(*common)
        # the ground itself tells how far the grids lie apart, and that they no longer do
        np.testing.assert_allclose(before, between, atol=0.3)
        assert np.abs(after).max() <= 0.2
        assert np.hypot(*after) < 0.4 * np.hypot(*before)

    def test_images_of_one_grid_were_never_apart(self, data_root: Path) -> None:
        stored, common, between = self.images(data_root, 2017, 2018)
        assert not between.any()
        assert np.abs(residual(*stored)).max() <= 0.1
        assert np.abs(residual(*common)).max() <= 0.1

    def test_stable_ground_differs_less_after(self, data_root: Path) -> None:
        folder = data_root / "alt" / "rasters" / "naip_crop"
        grid = grid_of(self.ZONE, 5)
        inner = (slice(20, -20), slice(20, -20))
        for years in ((2016, 2017), (2016, 2018), (2017, 2020), (2018, 2019)):
            one, other = (Asset(str(next(folder.glob(f"*_{year}*.tif")))) for year in years)
            _, _, (rows, columns) = self.images(data_root, *years)
            a, b, c, d, e, f = grid.transform
            # the other image as if its array began where the first one's does, resampled all the same
            beside = Grid(grid.crs, (a, b, c + 5 * columns, d, e, f - 5 * rows), grid.width, grid.height)
            first = detail(read(one, grid, "bilinear").values)
            before = np.median(np.abs(first - detail(read(other, beside, "bilinear").values))[inner])
            after = np.median(np.abs(first - detail(read(other, grid, "bilinear").values))[inner])
            assert after < before, years

    def test_the_near_infrared_that_calls_itself_alpha_masks_nothing(self, data_root: Path) -> None:
        (path,) = (data_root / "alt" / "rasters" / "naip_crop").glob("*_2018*.tif")
        grid = grid_of(self.ZONE, 5)
        with open_asset(Asset(str(path))) as image:
            red, infrared = (image.read(grid, "nearest", band=band) for band in (1, 4))
        with rasterio.open(path) as plain:
            assert plain.colorinterp[3].name == "alpha"
            stored = plain.read()
        assert abs(red.valid.mean() - (stored[0] > 0).mean()) < 0.02
        assert infrared.values[infrared.valid].mean() == pytest.approx(stored[3].mean(), rel=0.05)


class TestLandsatInDegrees:
    """Pixels of 0.000808 degrees: 89.0 m by 89.4 m at 8 degrees south. Years only."""

    @pytest.fixture
    def image(self, data_root: Path) -> Asset:
        return Asset(str(data_root / "alt" / "rasters" / "landsat_pucallpa" / "2020.tif"), band=2)

    ZONE = Zone("river", shapely.box(-74.60, -8.50, -74.45, -8.35), "EPSG:4326")

    def test_a_share_of_an_area_is_one_of_ground(self, image: Asset) -> None:
        """Water (dark in the near infrared) in square kilometres: on metres, and by the geodesic area of each pixel."""
        grid = grid_of(self.ZONE, 30)
        assert grid.crs == "EPSG:32718"
        pixels = read(image, grid, "nearest")
        inside = shapely.contains_xy(
            project(self.ZONE, grid.crs),
            *np.meshgrid(
                grid.bounds[0] + 30 * (np.arange(grid.width) + 0.5),
                grid.bounds[3] - 30 * (np.arange(grid.height) + 0.5),
            ),
        )
        dark = inside & pixels.valid & (pixels.values < 40)
        found = dark.sum() * grid.pixel_area / 1e6
        with rasterio.open(image.href) as plain:
            values, transform = plain.read(2), plain.transform
        columns, rows = np.arange(values.shape[1]), np.arange(values.shape[0])
        x = transform.c + transform.a * (columns + 0.5)
        y = transform.f + transform.e * (rows + 0.5)
        here = ((x > -74.60) & (x < -74.45)) & ((y > -8.50) & (y < -8.35))[:, None]
        geodesic = pyproj.Geod(ellps="WGS84")
        step = transform.a
        areas = [
            abs(geodesic.polygon_area_perimeter([0, step, step, 0], [lat, lat, lat + step, lat + step])[0]) for lat in y
        ]
        expected = (here & (values > 0) & (values < 40)).sum(axis=1) @ np.array(areas) / 1e6
        assert expected > 5
        assert found == pytest.approx(expected, rel=5e-3)

    def test_the_whole_zone_has_its_geodesic_area(self) -> None:
        area, _ = pyproj.Geod(ellps="WGS84").geometry_area_perimeter(self.ZONE.geometry)
        grid = grid_of(self.ZONE, 30)
        # UTM: the scale is 0.9996 in the middle of the zone, and more towards its edges
        assert project(self.ZONE, grid.crs).area == pytest.approx(abs(area), rel=1.5e-3)

    def test_years_lie_on_one_grid(self, data_root: Path) -> None:
        grid = grid_of(self.ZONE, 90)
        folder = data_root / "alt" / "rasters" / "landsat_pucallpa"
        found = [read(Asset(str(path), band=2), grid, "average") for path in sorted(folder.glob("*.tif"))]
        assert len(found) == 8
        assert {pixels.values.shape for pixels in found} == {grid.shape}
        for one, other in pairwise(found):
            assert np.abs(residual(np.nan_to_num(one.values), np.nan_to_num(other.values))).max() < 0.5


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
class TestChipsWithoutGeoreference:
    @pytest.mark.parametrize("chip", ["380", "423", "468"])
    def test_lots_in_pixels_of_a_satellite_chip(self, data_root: Path, chip: str) -> None:
        path = data_root / "alt" / "imagery" / "spacenet_vegas" / f"{chip}.png"
        lot = Zone("lot", shapely.box(100, 200, 180, 260), PIXELS)
        with rasterio.open(path) as plain:
            stored = plain.read(2)
        with open_asset(Asset(str(path), band=2)) as image:
            assert (image.width, image.height) == (650, 650)
            pixels = image.read(grid_of(lot, 1), "nearest")
            half = image.read(grid_of(lot, 2), "average")
        np.testing.assert_array_equal(pixels.values, stored[200:260, 100:180])
        means = stored[200:260, 100:180].reshape(30, 2, 40, 2).mean(axis=(1, 3))
        np.testing.assert_allclose(half.values, means, atol=1e-4)
