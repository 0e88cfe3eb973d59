"""Windows of images on a common grid, against planes and means that NumPy makes from the definition."""

import socket
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from images import NORTH, UTM, WEST, apply, box, pixel_box, plane, write
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, Resampling

from gpu_kernels.errors import ConfigError, DataError
from sources.imagery import raster
from sources.imagery.grid import Grid, grid_of, transformer
from sources.imagery.raster import open_asset, read
from sources.imagery.scene import Asset

MIDDLE = box(WEST + 100, NORTH - 300, WEST + 300, NORTH - 100)


def centres(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    a, _, c, _, e, f = grid.transform
    return c + a * columns, f + e * rows


class TestWhereThingsLie:
    @pytest.mark.parametrize("shift", [(0, 0), (3, 0), (2.6, -3.2), (-4.9, 4.9)])
    @pytest.mark.parametrize("resolution", [5.0, 10.0, 2.5])
    def test_a_plane_is_a_plane_whatever_the_images_own_grid(
        self, tmp_path: Path, shift: tuple[float, float], resolution: float
    ) -> None:
        transform = Affine(10, 0, WEST + shift[0], 0, -10, NORTH + shift[1])
        asset = write(tmp_path / "a.tif", plane(40, 50, transform, 2.0, 0.5).astype("f4"), transform=transform)
        grid = grid_of(MIDDLE, resolution)
        x, y = centres(grid)
        pixels = read(asset, grid, "bilinear")
        np.testing.assert_allclose(pixels.values, 2 * (x - WEST) + 0.5 * (y - NORTH), atol=2e-3)
        assert pixels.valid.all()
        assert not pixels.outside

    @pytest.mark.parametrize("turn", [0, 90, 180, 30, -17.5])
    @pytest.mark.parametrize("flip", [1, -1])
    def test_rotated_and_flipped_images_lie_where_their_transform_says(
        self, tmp_path: Path, turn: float, flip: int
    ) -> None:
        cosine, sine = 10 * np.cos(np.radians(turn)), 10 * np.sin(np.radians(turn))
        about = Affine(cosine, sine * flip, 0, sine, -cosine * flip, 0)
        x, y = apply(about, -30, -30)  # the middle of the image lies in the middle of the zone
        transform = Affine(*about[:2], WEST + 200 + x, *about[3:5], NORTH - 200 + y)
        asset = write(tmp_path / "a.tif", plane(60, 60, transform, 1.0, -3.0).astype("f4"), transform=transform)
        grid = grid_of(MIDDLE, 10)
        x, y = centres(grid)
        expected = (x - WEST) - 3 * (y - NORTH)
        np.testing.assert_allclose(read(asset, grid, "bilinear").values, expected, atol=0.05)

    def test_degrees_are_read_onto_metres(self, tmp_path: Path) -> None:
        longitude, latitude = transformer(UTM, "EPSG:4326").transform(WEST, NORTH)
        transform = Affine(1e-4, 0, longitude - 0.001, 0, -1e-4, latitude + 0.001)
        columns, rows = np.meshgrid(np.arange(80) + 0.5, np.arange(80) + 0.5)
        x, y = apply(transform, columns, rows)
        values = 1000 * x + 500 * y
        asset = write(tmp_path / "a.tif", values - values.min(), transform=transform, crs="EPSG:4326")
        grid = grid_of(box(WEST + 50, NORTH - 300, WEST + 300, NORTH - 50), 5)
        east, north = transformer(UTM, "EPSG:4326").transform(*centres(grid))
        expected = 1000 * east + 500 * north - values.min()
        # 1000 a degree: a hundredth of a pixel is 0.001
        np.testing.assert_allclose(read(asset, grid, "bilinear").values, expected, atol=3e-3)

    def test_the_same_file_may_be_read_by_columns_and_rows(self, tmp_path: Path) -> None:
        values = np.arange(600, dtype="u2").reshape(20, 30)
        asset = write(tmp_path / "a.tif", values)
        pixels = read(asset, grid_of(pixel_box(3, 5, 9, 12), 1), "nearest")
        np.testing.assert_array_equal(pixels.values, values[5:12, 3:9])

    def test_a_picture_without_georeference_is_read_in_pixels(self, tmp_path: Path) -> None:
        values = np.random.default_rng(0).integers(1, 255, (3, 40, 50)).astype("u1")
        asset = write(tmp_path / "a.png", values, crs=None, driver="PNG")
        with open_asset(asset) as image:
            for band in (1, 2, 3):
                found = image.read(grid_of(pixel_box(-2, 30, 20, 44), 1), "nearest", band=band)
                np.testing.assert_array_equal(found.values[:10, 2:], values[band - 1, 30:40, :20])
                assert np.isnan(found.values[10:]).all()
                assert np.isnan(found.values[:, :2]).all()

    def test_a_mean_over_pixels_of_a_finer_image(self, tmp_path: Path) -> None:
        values = np.random.default_rng(1).normal(size=(40, 40)).astype("f4")
        asset = write(tmp_path / "a.tif", values)
        pixels = read(asset, grid_of(MIDDLE, 50), "average")
        expected = values[10:30, 10:30].astype("f8").reshape(4, 5, 4, 5).mean(axis=(1, 3))
        np.testing.assert_allclose(pixels.values, expected, atol=1e-6)

    def test_the_kernel_is_as_wide_as_a_coarser_pixel(self, tmp_path: Path) -> None:
        values = np.random.default_rng(4).normal(size=(40, 40)).astype("f4")
        grid = grid_of(MIDDLE, 40)
        pixels = read(write(tmp_path / "a.tif", values), grid, "bilinear")
        # a triangle that reaches one pixel of the grid, four of the image, to either side
        for row, column in ((1, 1), (2, 3), (3, 2)):
            middle_row, middle_column = (np.array([row, column]) + 0.5) * 4 + 8  # edges lie at whole 40 m
            down = np.clip(1 - np.abs(np.arange(40) + 0.5 - middle_row) / 4, 0, None)
            across = np.clip(1 - np.abs(np.arange(40) + 0.5 - middle_column) / 4, 0, None)
            expected = down @ values @ across / (down.sum() * across.sum())
            assert pixels.values[row, column] == pytest.approx(expected, abs=1e-5)

    def test_what_is_read_does_not_depend_on_how_the_grid_is_cut(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        values = np.random.default_rng(2).normal(size=(300, 300)).astype("f4")
        asset = write(tmp_path / "a.tif", values)
        zone = box(WEST + 200, NORTH - 2700, WEST + 2600, NORTH - 300)
        for resolution, how in ((4.0, "bilinear"), (35.0, "bilinear"), (35.0, "average"), (7.0, "nearest")):
            grid = grid_of(zone, resolution)
            monkeypatch.setattr(raster, "_PART", 2**22)
            whole = read(asset, grid, how).values
            monkeypatch.setattr(raster, "_PART", 2000)
            np.testing.assert_allclose(read(asset, grid, how).values, whole, rtol=1e-5, atol=1e-6)

    def test_across_the_antimeridian_of_an_image_around_the_globe(self, tmp_path: Path) -> None:
        values = np.tile(np.arange(3600, dtype="f4"), (200, 1))
        asset = write(tmp_path / "a.tif", values, transform=Affine(0.1, 0, -180, 0, -0.1, 10), crs="EPSG:4326")
        zone = box(179.5, -0.5, 180.5, 0.5, crs="EPSG:4326")
        grid = grid_of(zone, 2000)
        longitude, _ = transformer(grid.crs, "EPSG:4326").transform(*centres(grid))
        column = np.floor(((longitude + 180) % 360) / 0.1)
        found = read(asset, grid, "nearest")
        assert found.valid.all()
        assert np.mean(found.values == column) > 0.98  # centres at the edge of a pixel may fall to either side

    def test_beyond_180_degrees(self, tmp_path: Path) -> None:
        values = np.tile(np.arange(200, dtype="f4"), (200, 1))
        asset = write(tmp_path / "a.tif", values, transform=Affine(0.1, 0, 170, 0, -0.1, 10), crs="EPSG:4326")
        grid = grid_of(box(-175.2, 0, -174.8, 0.4, crs="EPSG:4326"), 3000)
        longitude, _ = transformer(grid.crs, "EPSG:4326").transform(*centres(grid))
        found = read(asset, grid, "nearest")
        assert found.valid.all()
        assert np.mean(found.values == np.floor((longitude + 360 - 170) / 0.1)) > 0.98

    def test_overviews_are_read_only_where_the_asset_says_so(self, tmp_path: Path) -> None:
        values = np.random.default_rng(3).normal(size=(512, 512)).astype("f4")
        asset = write(tmp_path / "a.tif", values, tiled=True, blockxsize=128, blockysize=128)
        with rasterio.open(asset.href, "r+") as image:
            image.build_overviews([2, 4, 8], Resampling.average)
        grid = grid_of(box(WEST + 160, NORTH - 3360, WEST + 3360, NORTH - 160), 40)
        expected = values[16:336, 16:336].astype("f8").reshape(80, 4, 80, 4).mean(axis=(1, 3))
        for overviews in (False, True):
            found = read(replace(asset, overviews=overviews), grid, "average")
            np.testing.assert_allclose(found.values, expected, atol=1e-5)
        # overviews that say something else than the image tell which of them was read
        with rasterio.open(asset.href, "r+") as image:
            image.write(np.zeros((1, 512, 512), "f4"))
        assert (read(asset, grid, "average").values == 0).all()
        np.testing.assert_allclose(read(replace(asset, overviews=True), grid, "average").values, expected, atol=1e-5)
        assert (read(replace(asset, overviews=True), grid_of(MIDDLE, 10), "average").values == 0).all()


class TestWhatIsMissing:
    def test_nodata_takes_no_part(self, tmp_path: Path) -> None:
        values = np.full((40, 40), 7, dtype="i2")
        values[:, 20:] = -9999
        asset = write(tmp_path / "a.tif", values, nodata=-9999)
        for how, resolution in (("bilinear", 7.0), ("average", 30.0), ("nearest", 3.0)):
            pixels = read(asset, grid_of(MIDDLE, resolution), how)
            assert set(np.unique(pixels.values[pixels.valid])) == {7}
            assert np.isnan(pixels.values[~pixels.valid]).all()
            assert 0 < pixels.valid.mean() < 1

    def test_the_assets_nodata_replaces_the_files(self, tmp_path: Path) -> None:
        values = np.arange(1600, dtype="u2").reshape(40, 40) % 3
        asset = write(tmp_path / "a.tif", values, nodata=1)
        grid = grid_of(MIDDLE, 10)
        stored = values[10:30, 10:30]
        for nodata, missing in ((None, stored == 1), (0, stored == 0), (np.nan, stored == 9), (-5, stored == 9)):
            found = read(replace(asset, nodata=nodata), grid, "nearest")
            np.testing.assert_array_equal(~found.valid, missing)

    def test_nan_is_missing_in_a_file_without_nodata(self, tmp_path: Path) -> None:
        values = np.ones((40, 40), dtype="f4")
        values[15, 15] = np.nan
        values[16, 16] = np.inf
        pixels = read(write(tmp_path / "a.tif", values), grid_of(MIDDLE, 10), "bilinear")
        assert (~pixels.valid).sum() == 2

    def test_only_missing_pixels(self, tmp_path: Path) -> None:
        for value, kind, nodata in ((0, "u1", 0), (np.nan, "f4", None), (np.nan, "f4", np.nan)):
            asset = write(tmp_path / "a.tif", np.full((40, 40), value, dtype=kind), nodata=nodata)
            pixels = read(asset, grid_of(MIDDLE, 10), "bilinear")
            assert not pixels.valid.any()
            assert not pixels.outside

    def test_the_files_own_mask(self, tmp_path: Path) -> None:
        mask = np.full((40, 40), 255, dtype="u1")
        mask[12:15, 11:18] = 0
        asset = write(tmp_path / "a.tif", np.ones((2, 40, 40), dtype="u1"), mask=mask)
        pixels = read(asset, grid_of(MIDDLE, 10), "nearest")
        np.testing.assert_array_equal(pixels.valid, mask[10:30, 10:30] > 0)

    def test_a_fourth_band_is_a_mask_where_no_nodata_value_is_or_where_told(self, tmp_path: Path) -> None:
        values = np.full((4, 40, 40), 50, dtype="u1")
        values[3, 12, 12] = 0
        kinds = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
        grid = grid_of(MIDDLE, 10)
        asset = write(tmp_path / "a.tif", values, colorinterp=kinds)
        assert (~read(asset, grid, "nearest").valid).sum() == 1
        assert read(replace(asset, alpha=False), grid, "nearest").valid.all()
        # the near infrared of NAIP calls itself alpha, and 0 is nodata there
        asset = write(tmp_path / "b.tif", values, colorinterp=kinds, nodata=0)
        assert read(asset, grid, "nearest").valid.all()
        assert (~read(replace(asset, alpha=True), grid, "nearest").valid).sum() == 1
        assert (read(replace(asset, band=4), grid, "nearest").values == 50).sum() == 399

    def test_scale_and_offset_of_the_file_and_of_the_asset(self, tmp_path: Path) -> None:
        values = np.full((40, 40), 12000, dtype="u2")
        values[10, 10] = 0
        asset = write(tmp_path / "a.tif", values, nodata=0, scales=(1e-4,), offsets=(-0.1,))
        grid = grid_of(MIDDLE, 10)
        pixels = read(asset, grid, "nearest")
        np.testing.assert_allclose(pixels.values[pixels.valid], 1.1, rtol=1e-6)
        assert (~pixels.valid).sum() == 1
        stated = read(replace(asset, scale=0.5, offset=1.0), grid, "nearest")
        np.testing.assert_allclose(stated.values[stated.valid], 6001)

    @pytest.mark.parametrize(
        "zone",
        [box(WEST - 900, NORTH - 200, WEST - 700, NORTH), box(-100, 20, -99.9, 20.1, crs="EPSG:4326")],
        ids=["beside", "far away"],
    )
    def test_a_polygon_outside_is_told(self, tmp_path: Path, zone: object) -> None:
        pixels = read(write(tmp_path / "a.tif", np.ones((40, 40), "u1")), grid_of(zone, 10), "nearest")
        assert pixels.outside
        assert not pixels.valid.any()

    def test_partly_outside(self, tmp_path: Path) -> None:
        asset = write(tmp_path / "a.tif", np.ones((40, 40), "u1"))
        pixels = read(asset, grid_of(box(WEST - 50, NORTH - 100, WEST + 50, NORTH + 50), 10), "nearest")
        assert not pixels.outside
        assert pixels.valid.sum() == 5 * 10

    def test_a_polygon_smaller_than_a_pixel(self, tmp_path: Path) -> None:
        values = np.arange(1600, dtype="f4").reshape(40, 40)
        asset = write(tmp_path / "a.tif", values)
        grid = grid_of(box(WEST + 203, NORTH - 205, WEST + 204, NORTH - 204), 10)
        assert grid.shape == (1, 1)
        assert read(asset, grid, "nearest").values[0, 0] == values[20, 20]


class TestBadFiles:
    def test_each_is_one_line(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        whole = write(
            tmp_path / "whole.tif", np.random.default_rng(0).normal(size=(400, 400)), tiled=True, compress="lzw"
        )
        contents = Path(whole.href).read_bytes()
        vrt = f'<VRTDataset rasterXSize="4" rasterYSize="4"><SRS>{UTM}</SRS></VRTDataset>'
        files = {
            "empty.tif": (b"", "empty"),
            "text.tif": (b"not found", "no image"),
            "html.tif": (b"<html>404</html>", "no image"),
            "vrt.tif": (vrt.encode(), "no image"),
            "head.tif": (contents[:8], "cannot be read"),
            "cut.tif": (contents[: len(contents) // 3], "cannot be read"),
            "noise.tif": (contents[:4] + bytes(range(256)) * 20, "cannot be read"),
        }
        grid = grid_of(box(WEST + 100, NORTH - 3900, WEST + 3900, NORTH - 100), 10)
        for name, (bytes_, told) in files.items():
            (tmp_path / name).write_bytes(bytes_)
            with pytest.raises(DataError, match=told) as caught:
                read(Asset(str(tmp_path / name)), grid, "nearest")
            assert name in str(caught.value)
            assert "\n" not in str(caught.value)
        assert capfd.readouterr() == ("", "")

    def test_whatever_bytes_are_spoilt_it_is_read_or_one_line(self, tmp_path: Path) -> None:
        grid = grid_of(box(WEST, NORTH - 640, WEST + 640, NORTH), 10)
        chance = np.random.default_rng(0)
        told = []
        for compress in ("none", "deflate"):
            values = chance.integers(0, 99, (64, 64)).astype("i2")
            whole = Path(write(tmp_path / "a.tif", values, compress=compress, nodata=0).href).read_bytes()
            for _ in range(150):
                spoilt = bytearray(whole)
                for place in chance.integers(0, min(len(whole), 500), chance.integers(1, 7)):
                    spoilt[place] = chance.integers(0, 256)
                (tmp_path / "b.tif").write_bytes(spoilt)
                try:
                    read(Asset(str(tmp_path / "b.tif")), grid, "nearest")
                except DataError as error:
                    told.append(str(error))
        assert 50 < len(told) < 300
        assert not any("\n" in line for line in told)

    def test_damaged_compressed_data_is_told_when_its_window_is_read(self, tmp_path: Path) -> None:
        asset = write(tmp_path / "a.tif", np.random.default_rng(0).integers(0, 99, (64, 64)), compress="deflate")
        contents = bytearray(Path(asset.href).read_bytes())
        middle = len(contents) // 2
        contents[middle : middle + 2000] = bytes(2000)
        Path(asset.href).write_bytes(contents)
        with pytest.raises(DataError, match="cannot be read"):
            read(asset, grid_of(box(WEST, NORTH - 640, WEST + 640, NORTH), 10), "nearest")

    def test_a_missing_file_and_a_wrong_band(self, tmp_path: Path) -> None:
        grid = grid_of(MIDDLE, 10)
        with pytest.raises(DataError, match=r"gone\.tif is no file"):
            read(Asset(str(tmp_path / "gone.tif")), grid, "nearest")
        asset = write(tmp_path / "a.tif", np.ones((2, 40, 40), "u1"))
        for band in (0, 3):
            with pytest.raises(DataError, match="1 to 2"):
                read(replace(asset, band=band), grid, "nearest")

    def test_no_crs_is_an_error_unless_it_is_told(self, tmp_path: Path) -> None:
        transform = Affine(10, 0, WEST, 0, -10, NORTH)
        asset = write(tmp_path / "a.tif", np.ones((40, 40), "u1"), crs=None, transform=transform)
        with pytest.raises(DataError, match=r"has no CRS.*crs: EPSG"):
            read(asset, grid_of(MIDDLE, 10), "nearest")
        assert read(replace(asset, crs=UTM), grid_of(MIDDLE, 10), "nearest").valid.all()
        with pytest.raises(ConfigError, match="none that PROJ knows"):
            read(replace(asset, crs="EPSG:1"), grid_of(MIDDLE, 10), "nearest")
        nowhere = write(tmp_path / "b.tif", np.ones((40, 40), "u1"), crs=None)
        with pytest.raises(DataError, match="does not say where it lies"):
            read(replace(nowhere, crs=UTM), grid_of(MIDDLE, 10), "nearest")

    @pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
    def test_ground_control_points_alone_are_refused(self, tmp_path: Path) -> None:
        corners = [(0, 0), (0, 40), (40, 0), (40, 40)]
        points = [GroundControlPoint(row, col, WEST + 10 * col, NORTH - 10 * row) for row, col in corners]
        asset = write(tmp_path / "a.tif", np.ones((40, 40), "u1"), crs=None)
        with rasterio.open(asset.href, "r+") as image:
            image.gcps = points, rasterio.crs.CRS.from_string(UTM)
        with pytest.raises(DataError, match=r"only ground control points; .*warp it first"):
            read(asset, grid_of(MIDDLE, 10), "nearest")

    def test_a_picture_lies_in_the_bounds_that_are_stated(self, tmp_path: Path) -> None:
        values = np.random.default_rng(5).integers(0, 255, (40, 40)).astype("u1")
        asset = write(tmp_path / "a.png", values, crs=None, driver="PNG")
        placed = replace(asset, crs=UTM, bounds=(WEST, NORTH - 400, WEST + 400, NORTH))
        np.testing.assert_array_equal(read(placed, grid_of(MIDDLE, 10), "nearest").values, values[10:30, 10:30])

    def test_the_files_own_crs_is_never_overridden(self, tmp_path: Path) -> None:
        asset = write(tmp_path / "a.tif", np.ones((40, 40), "u1"))
        assert read(replace(asset, crs="EPSG:32615"), grid_of(MIDDLE, 10), "nearest").valid.all()

    def test_a_huge_image_is_read_by_its_window_and_a_huge_block_refused(self, tmp_path: Path) -> None:
        size = 300_000
        options = {
            "driver": "GTiff",
            "dtype": "uint8",
            "count": 1,
            "crs": UTM,
            "transform": Affine(10, 0, WEST, 0, -10, NORTH),
            "SPARSE_OK": True,
        }
        with rasterio.open(tmp_path / "a.tif", "w", width=size, height=size, tiled=True, BIGTIFF="YES", **options):
            pass
        huge = Asset(str(tmp_path / "a.tif"))
        assert (read(huge, grid_of(MIDDLE, 10), "nearest").values == 0).all()
        with pytest.raises(DataError, match="lie under the zone"):
            read(huge, grid_of(box(WEST, NORTH - 2.9e6, WEST + 2.9e6, NORTH), 1000), "average")
        with pytest.raises(DataError, match="at most 67108864"):
            grid_of(box(WEST, NORTH - 2.9e6, WEST + 2.9e6, NORTH), 10)
        blocks = {"tiled": True, "BLOCKXSIZE": 32_768, "BLOCKYSIZE": 32_768, "compress": "deflate"}
        with rasterio.open(tmp_path / "b.tif", "w", width=40_000, height=40_000, **options, **blocks):
            pass
        with pytest.raises(DataError, match=r"blocks of 1024 MiB"):
            read(Asset(str(tmp_path / "b.tif")), grid_of(MIDDLE, 10), "nearest")

    def test_flags_of_32_bits_beyond_float32_are_refused(self, tmp_path: Path) -> None:
        asset = write(tmp_path / "a.tif", np.full((40, 40), 2**24 + 1, "u4"))
        with pytest.raises(DataError, match="16777217"):
            read(asset, grid_of(MIDDLE, 10), "nearest")

    def test_complex_numbers_are_refused(self, tmp_path: Path) -> None:
        asset = write(tmp_path / "a.tif", np.ones((40, 40), "c8"))
        with pytest.raises(DataError, match="complex"):
            read(asset, grid_of(MIDDLE, 10), "nearest")


class TestSafety:
    @pytest.mark.parametrize(
        "href",
        [
            "/vsicurl/http://127.0.0.1:1/a.tif",
            "vrt:///etc/passwd?bands=1",
            "zip:///tmp/a.zip!a.tif",
            "GTIFF_DIR:1:/tmp/a.tif",
            "http://127.0.0.1:1/a.tif",
            "s3://bucket/a.tif",
            "relative.tif",
            "<VRTDataset></VRTDataset>",
        ],
    )
    def test_no_other_place_than_a_local_file_unless_told(self, href: str) -> None:
        with pytest.raises(DataError, match=r"is no file|no address|lies in the network"):
            read(Asset(href), grid_of(MIDDLE, 10), "nearest")

    @pytest.mark.parametrize("beside", ["mask", "overview"])
    def test_what_lies_beside_a_file_leads_nowhere_into_the_network(self, tmp_path: Path, beside: str) -> None:
        asset = write(tmp_path / "a.tif", np.ones((40, 40), "u1"))
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"/vsicurl/http://127.0.0.1:{server.getsockname()[1]}/a.tif"
            source = (
                f"<SimpleSource><SourceFilename>{address}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
            )
            band = f'<VRTRasterBand dataType="Byte" band="1">{source}</VRTRasterBand>'
            flags = '<Metadata><MDI key="INTERNAL_MASK_FLAGS_1">2</MDI></Metadata>'
            mask = f'<VRTDataset rasterXSize="40" rasterYSize="40">{flags}{band}</VRTDataset>'
            overview = f'<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{address}</MDI></Metadata>'
            if beside == "mask":
                (tmp_path / "a.tif.msk").write_text(mask)
            else:
                (tmp_path / "a.tif.aux.xml").write_text(f"<PAMDataset>{overview}</PAMDataset>")
            with suppress(DataError):
                read(replace(asset, overviews=True), grid_of(MIDDLE, 100), "average")
            server.setblocking(False)
            with pytest.raises(BlockingIOError):  # nobody has called
                server.accept()

    def test_an_address_where_nobody_answers_is_one_line(self) -> None:
        with pytest.raises(DataError, match="cannot be read") as caught:
            read(Asset("http://127.0.0.1:1/a.tif", remote=True), grid_of(MIDDLE, 10), "nearest")
        assert "\n" not in str(caught.value)


class TestGrids:
    def test_zones_of_one_crs_share_one_lattice(self) -> None:
        for left in (0.0, 3.3, -17.2):
            grid = grid_of(box(WEST + left, NORTH - 20, WEST + left + 9, NORTH - 1.5), 0.5, margin=1.2)
            assert (np.array(grid.transform)[[2, 5]] / 0.5 % 1 == 0).all()
            bounds = grid.bounds
            assert bounds[0] <= WEST + left - 1.2
            assert bounds[2] >= WEST + left + 9 + 1.2
            assert bounds[0] > WEST + left - 1.2 - 0.5

    def test_bounds_on_an_edge_end_there(self) -> None:
        left, low = 0.3 * 1_666_667, 0.3 * 13_333_334
        assert grid_of(box(left, low, left + 0.9, low + 3), 0.3).shape == (10, 3)

    @pytest.mark.parametrize(
        ("zone", "crs"),
        [
            (box(-99, 47, -98.9, 47.1, crs="EPSG:4326"), "EPSG:32614"),
            (box(-74.6, -8.5, -74.5, -8.4, crs="EPSG:4326"), "EPSG:32718"),
            (box(179.9, -17, 180.1, -16.9, crs="EPSG:4326"), "EPSG:32701"),
            (box(10, 85, 11, 86, crs="EPSG:4326"), "EPSG:32661"),
            (box(10, -89, 11, -88, crs="EPSG:4326"), "EPSG:32761"),
            (MIDDLE, UTM),
        ],
    )
    def test_metres(self, zone: object, crs: str) -> None:
        assert grid_of(zone, 1000).crs == crs

    def test_a_stated_crs_must_be_in_metres(self) -> None:
        assert grid_of(MIDDLE, 10, crs="EPSG:26914").crs == "EPSG:26914"
        for bad in ("EPSG:4326", "EPSG:2276", "EPSG:0", "nonsense"):  # degrees, feet
            with pytest.raises(ConfigError):
                grid_of(MIDDLE, 10, crs=bad)
        with pytest.raises(ConfigError, match="pixel coordinates"):
            grid_of(pixel_box(0, 0, 5, 5), 1, crs=UTM)
