"""Series of images as NumPy arrays."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from gpu_kernels.errors import ConfigError, DataError
from sources.imagery.config import parse_scenes
from sources.imagery.find import find_scenes
from sources.imagery.grid import Grid, grid_of
from sources.imagery.raster import open_asset, read
from sources.imagery.scene import Scenes
from sources.imagery.zones import Zone

DAY = 86_400 * 10**9
WEST, NORTH = 500_000.0, 5_000_000.0


def series(folder: Path, times: list[str], **layers: np.ndarray) -> Path:
    """A series of pixels of 10 m at (WEST, NORTH) in EPSG:32633."""
    first = next(iter(layers.values()))
    south, east = NORTH - 10 * first.shape[1], WEST + 10 * first.shape[2]
    ring = [[WEST, south], [WEST, NORTH], [east, NORTH], [east, south], [WEST, south]]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    folder.mkdir(exist_ok=True)
    (folder / "bbox.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring], "crs": crs}))
    (folder / "timestamps.json").write_text(json.dumps(times))
    (folder / "data").mkdir(exist_ok=True)
    for name, values in layers.items():
        np.save(folder / "data" / f"{name}.npy", values)
    return folder


def read_series(folder: Path, **options: Any) -> Scenes:
    entry = {"kind": "arrays", "folder": str(folder), "known": {"lag": "1d"}, **options}
    entry.setdefault("assets", {"ndvi": {"asset": "data/NDVI"}})
    return find_scenes(parse_scenes("s2", entry), {})


TIMES = ["2020-01-01T10:00:00", "2020-01-11T10:00:00Z", "2020-01-11T10:07:00"]


def test_each_time_is_a_scene_and_a_band_of_its_file(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 20, 30)).astype("f4")
    found = read_series(series(tmp_path / "a", TIMES, NDVI=values))
    assert [scene.known - scene.captured for scene in found.scenes] == [DAY] * 3
    # one day may hold two passes
    assert found.scenes[2].captured - found.scenes[1].captured == 7 * 60 * 10**9
    zone = Zone("z", shapely.box(WEST + 50, NORTH - 120, WEST + 200, NORTH - 40), "EPSG:32633")
    for number, scene in enumerate(found.scenes):
        pixels = read(scene.assets["ndvi"], grid_of(zone, 10), "bilinear")
        np.testing.assert_allclose(pixels.values, values[number, 4:12, 5:20], rtol=1e-6)


def test_several_bands_and_flags(tmp_path: Path) -> None:
    values = np.arange(3 * 20 * 30 * 2, dtype="u2").reshape(3, 20, 30, 2)
    clear = values[..., :1] % 3 == 0
    folder = series(tmp_path / "a", TIMES, BANDS=values, CLEAR=clear)
    told = {"nir": {"asset": "data/BANDS", "band": 2, "scale": 0.5}, "clear": {"asset": "data/CLEAR"}}
    found = read_series(folder, assets=told)
    grid = Grid("EPSG:32633", (10.0, 0.0, WEST, 0.0, -10.0, NORTH), 30, 20)
    for number, scene in enumerate(found.scenes):
        np.testing.assert_array_equal(read(scene.assets["nir"], grid, "nearest").values, values[number, ..., 1] / 2)
        np.testing.assert_array_equal(read(scene.assets["clear"], grid, "nearest").values, clear[number, ..., 0])


def test_times_out_of_order_twice_and_unreadable(tmp_path: Path) -> None:
    times = ["2020-03-01T10:00:00", "2020-01-01T10:00:00", "2020-03-01T10:00:00", "soon"]
    found = read_series(series(tmp_path / "a", times, NDVI=np.zeros((4, 5, 5))))
    assert [scene.assets["ndvi"].band for scene in found.scenes] == [2, 1]
    assert [aside.reason for aside in found.set_aside] == ["duplicate_scene", "unparsable_time"]


class TestBadFiles:
    def test_what_cannot_be_a_series(self, tmp_path: Path) -> None:
        folder = series(tmp_path / "a", TIMES, NDVI=np.zeros((3, 5, 5)), FLAT=np.zeros((2, 5, 5)), TEXT=np.array(["a"]))
        np.save(folder / "data" / "OBJECTS.npy", np.array([{}], dtype=object), allow_pickle=True)
        whole = (folder / "data" / "NDVI.npy").read_bytes()
        (folder / "data" / "CUT.npy").write_bytes(whole[: len(whole) // 2])
        (folder / "data" / "EMPTY.npy").write_bytes(b"")
        for name, told in {
            "FLAT": r"is \(2, 5, 5\)",
            "TEXT": "no real numbers",
            "OBJECTS": "cannot be read",
            "CUT": "cannot be read",
            "EMPTY": "cannot be read",
            "GONE": "No such file",
        }.items():
            with pytest.raises(DataError, match=told) as caught:
                read_series(folder, assets={"x": {"asset": f"data/{name}"}})
            assert "\n" not in str(caught.value)
        with pytest.raises(ConfigError, match="allowed: 1 to 1"):
            read_series(folder, assets={"x": {"asset": "data/NDVI", "band": 2}})
        with pytest.raises(ConfigError, match="leaves"):
            read_series(folder, assets={"x": {"asset": "../NDVI"}})
        with pytest.raises(ConfigError, match="write `assets`"):
            read_series(folder, assets={})
        (folder / "timestamps.json").write_text("{")
        with pytest.raises(DataError, match="no JSON"):
            read_series(folder)
        (folder / "timestamps.json").write_text("[1, 2, 3]")
        with pytest.raises(DataError, match="no list of times"):
            read_series(folder)


@pytest.mark.data
class TestCloudySentinel2:
    """68 passes over one square kilometre, 2015-07 to 2017-12."""

    @pytest.fixture
    def found(self, data_root: Path) -> Scenes:
        assets = {"ndvi": {"asset": "data/NDVI"}, "cloud": {"asset": "mask/CLM"}}
        return read_series(data_root / "alt" / "rasters" / "eopatch_s2", assets=assets)

    def test_gaps_of_69_days_and_a_day_with_two_passes(self, found: Scenes) -> None:
        assert (len(found.scenes), found.set_aside) == (68, [])
        captured = np.array([scene.captured for scene in found.scenes])
        gaps = np.diff(captured) // DAY
        assert (gaps.min(), np.median(gaps), gaps.max()) == (0, 10, 69)
        assert (gaps == 0).sum() == 1
        first = int(np.flatnonzero(gaps == 0)[0])
        two = [dt.datetime.fromtimestamp(time / 1e9, dt.UTC) for time in captured[first : first + 2]]
        assert [f"{time:%Y-%m-%d %H:%M:%S}" for time in two] == ["2015-12-08 10:04:09", "2015-12-08 10:11:25"]

    def test_clouds_of_a_zone_are_not_those_of_the_scene(self, found: Scenes, data_root: Path) -> None:
        folder = data_root / "alt" / "rasters" / "eopatch_s2"
        whole = np.load(folder / "scalar" / "CLOUD_COVERAGE.npy")[:, 0]
        masks = np.load(folder / "mask" / "CLM.npy")[..., 0]
        zone = Zone("corner", shapely.box(465_300, 5_080_000, 465_420, 5_080_120), "EPSG:32633")
        grid = grid_of(zone, 10)
        shares = []
        for scene in found.scenes:
            with open_asset(scene.assets["cloud"]) as image:
                pixels = image.read(grid, "nearest")
            assert pixels.valid.all()
            assert set(np.unique(pixels.values)) <= {0.0, 1.0}
            shares.append(pixels.values.mean())
        # the arrays' own pixels there: rows and columns from the north-west corner
        rows, columns = slice(13, 26), slice(11, 24)
        np.testing.assert_allclose(shares, masks[:, rows, columns].mean(axis=(1, 2)), atol=0.15)
        clear, cloudy = np.array(shares) < 0.01, np.array(shares) > 0.99
        # a fifth of the scene and more under cloud, and the zone clear; under cloud, and the scene not
        assert (clear & (whole > 0.2)).sum() == 4
        assert (cloudy & (whole < 0.8)).sum() == 5

    def test_values_lie_where_the_box_says(self, found: Scenes, data_root: Path) -> None:
        values = np.load(data_root / "alt" / "rasters" / "eopatch_s2" / "data" / "NDVI.npy")[..., 0]
        asset = found.scenes[10].assets["ndvi"]
        left, low, right, high = asset.bounds
        own = Grid("EPSG:32633", ((right - left) / 100, 0.0, left, 0.0, (low - high) / 101, high), 100, 101)
        np.testing.assert_array_equal(read(asset, own, "bilinear").values, values[asset.band - 1])
