"""The log of observations: appended to and never changed, whatever is killed, broken or delivered late."""

import json
import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import rasterio
import yaml
from polars.testing import assert_frame_equal
from rasterio.features import geometry_mask
from rasterio.warp import transform_geom

from gpu_kernels.errors import ConfigError, DataError
from sources.config import parse_source
from sources.hold import BusyError, holding
from sources.imagery import observe as module
from sources.imagery.observation_log import ObservationLog
from sources.imagery.observe import CHANGED, OUTSIDE_ALL, PARTLY_UNREADABLE, TOO_LARGE, UNREADABLE, observe
from sources.imagery.observe_config import ObservationConfig, parse_observation
from sources.lake import ingest, read

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "observe"
WEST, NORTH = 500_000.0, 4_000_000.0
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = ("20200105", "20200112", "20200119")


def write(path: Path, values: np.ndarray, **options: Any) -> None:
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=values.shape[0], width=values.shape[1], dtype="float32",
        crs="EPSG:32614", transform=rasterio.Affine(10, 0, WEST, 0, -10, NORTH), **options,
    ) as image:  # fmt: skip
        image.write(values.astype(np.float32), 1)


def zone(name: str, left: float, low: float, right: float, high: float, **properties: Any) -> dict[str, Any]:
    """A box in pixels from the upper left corner of the images."""
    x0, x1, y0, y1 = WEST + 10 * left, WEST + 10 * right, NORTH - 10 * high, NORTH - 10 * low
    ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
    return {
        "type": "Feature",
        "properties": {"id": name, **properties},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }


def write_zones(path: Path, *features: dict[str, Any]) -> None:
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32614"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": list(features)}))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of three images of 8 x 8 pixels and two zones; the left half of the n-th image is n, the right 10 n; a
    cloud of 3 x 4 pixels lies over the right zone of the second."""
    for number, day in enumerate(DAYS, 1):
        values = np.full((8, 8), number, np.float32)
        values[:, 4:] = 10 * number
        cloud = np.zeros((8, 8), np.float32)
        if number == 2:
            cloud[:3, 4:] = 1
        write(tmp_path / f"light_{day}.tif", values)
        write(tmp_path / f"cloud_{day}.tif", cloud)
    write_zones(
        tmp_path / "zones.geojson", zone("left", 0, 0, 4, 4, ticker="WMT"), zone("right", 4, 0, 8, 4, ticker=None)
    )
    return tmp_path


def config(place: Path, **changes: Any) -> ObservationConfig:
    tree = {
        "name": "lights",
        "scenes": {
            "kind": "folder",
            "files": str(place / "*_*.tif"),
            "name": "{asset}_{date:%Y%m%d}",
            "known": {"lag": "5d"},
            "assets": {"light": {}, "cloud": {}},
            "sensor": "made",
            "gsd": 10,
        },
        "zones": {"file": str(place / "zones.geojson"), "site": "id"},
        "grid": {"resolution": 10, "resampling": "nearest"},
        "measures": {
            "lights": {
                "kind": "band",
                "asset": "light",
                "statistics": ["mean", "max"],
                "masks": [{"asset": "cloud", "above": 0.5}],
                "unit": "nW/cm2/sr",
            }
        },
    }
    for key, value in changes.items():
        node = tree
        for part in key.split("__")[:-1]:
            node = node[part]
        node[key.split("__")[-1]] = value
    return parse_observation(tree, "test")


def rows(folder: Path) -> pl.DataFrame:
    return ObservationLog(folder, json.loads((folder / "observation.json").read_text())["config"]).observations()


class TestRows:
    def test_are_rows_of_the_metric_table(self, place: Path) -> None:
        told = observe(config(place), place / "log", {}, now=NOW)
        found = rows(place / "log").filter(metric="lights_mean").sort("event_time", "site")
        assert found["site"].to_list() == ["left", "right", "left", "left", "right"]
        assert found["value"].to_list() == [1, 10, 2, 3, 30]
        first = found.row(0, named=True)
        assert first["event_time"] == datetime(2020, 1, 5, tzinfo=UTC)
        assert first["event_end"] == datetime(2020, 1, 6, tzinfo=UTC)
        # the lag counts from the end of the day that the name tells
        assert first["known_time"] == datetime(2020, 1, 11, tzinfo=UTC)
        told_columns = ("unit", "std", "n_obs", "valid_frac", "cloud_frac", "sensor", "gsd", "entity", "ingested_time")
        assert [first[name] for name in told_columns] == ["nW/cm2/sr", 0, 16, 1, 0, "made", 10, "", NOW]
        assert told.counts == {
            "scenes": 3, "zones": 2, "before": 0, "observed": 3, "failed": 0, "failed_before": 0,
            "outside": 0, "rows": 10, "set_aside": 2,
        }  # fmt: skip

    def test_an_image_whose_lag_is_not_over_is_read_back_as_known_after_it(self, place: Path, tmp_path: Path) -> None:
        observe(config(place), place / "log", {}, now=datetime(2020, 1, 8, tzinfo=UTC))
        files = str(place / "log/parts/*/observations.parquet")
        entry = {"kind": "table_file", "table": "metric", "files": files, "timezone": "UTC", "max_age": "30d"}
        result = ingest("lights", parse_source("lights", entry), calendar="XNYS", lake=tmp_path / "lake")
        assert result.counts["quarantined"] == {}
        assert result.counts["used"] == rows(place / "log").height
        assert read(result.folder)["known_time"].min() == datetime(2020, 1, 11, tzinfo=UTC)

    def test_a_cloudy_zone_is_set_aside_and_its_neighbour_is_not(self, place: Path) -> None:
        observe(config(place), place / "log", {}, now=NOW)
        aside = pl.read_parquet(place / "log/parts/*/set_aside.parquet")
        assert aside.select("site", "metric", "reason", "cloud_frac").rows() == [
            ("right", "lights_mean", "few_clear_pixels", 0.75),
            ("right", "lights_max", "few_clear_pixels", 0.75),
        ]

    def test_a_cloud_that_leaves_enough_is_left_out(self, place: Path) -> None:
        settings = config(place, measures__lights__minimum_valid=0.25)
        observe(settings, place / "log", {}, now=NOW)
        found = rows(place / "log").filter(site="right", metric="lights_mean").sort("event_time")
        assert found["value"].to_list() == [10, 20, 30]
        assert found["n_obs"].to_list() == [16, 4, 16]

    def test_entity_comes_from_a_column_of_zones(self, place: Path) -> None:
        observe(config(place, zones__entity="ticker"), place / "log", {}, now=NOW)
        found = rows(place / "log").select("site", "entity").unique().sort("site")
        assert found.rows() == [("left", "WMT"), ("right", "")]

    def test_a_zone_is_observed_while_it_stands(self, place: Path) -> None:
        new = zone("new", 0, 4, 4, 8, opened="2020-01-10", closed="2020-01-15")
        write_zones(place / "zones.geojson", zone("left", 0, 0, 4, 4), new)
        settings = config(place, zones__valid_from="opened", zones__valid_to="closed")
        observe(settings, place / "log", {}, now=NOW)
        found = rows(place / "log").filter(site="new", metric="lights_mean")
        assert found["event_time"].to_list() == [datetime(2020, 1, 12, tzinfo=UTC)]

    def test_a_zone_beyond_all_images_is_told(self, place: Path) -> None:
        write_zones(place / "zones.geojson", zone("left", 0, 0, 4, 4), zone("away", 900, 900, 904, 904))
        told = observe(config(place), place / "log", {}, now=NOW)
        assert [(one.source, one.reason) for one in told.set_aside] == [("away", OUTSIDE_ALL)]
        assert told.counts["outside"] == 3

    def test_a_zone_on_the_other_side_of_the_globe_is_told(self, place: Path) -> None:
        box = {"type": "Polygon", "coordinates": [[[0, 0], [0.01, 0], [0.01, 0.01], [0, 0.01], [0, 0]]]}
        far = {"type": "Feature", "properties": {"id": "far"}, "geometry": box}
        (place / "zones.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [far]}))
        told = observe(config(place), place / "log", {}, now=NOW)
        assert ("far", OUTSIDE_ALL) in [(one.source, one.reason) for one in told.set_aside]

    def test_a_zone_that_reaches_beyond_the_image_says_how_much_was_seen(self, place: Path) -> None:
        write_zones(place / "zones.geojson", zone("edge", -4, 0, 4, 4), zone("corner", -8, 0, 1, 4))
        observe(config(place), place / "log", {}, now=NOW)
        found = rows(place / "log").filter(metric="lights_mean")
        assert found.select("site", "valid_frac").unique().rows() == [("edge", 0.5)]


class TestAppending:
    def test_again_appends_nothing(self, place: Path) -> None:
        observe(config(place), place / "log", {}, now=NOW)
        before = rows(place / "log")
        told = observe(config(place), place / "log", {}, now=NOW)
        assert (told.counts["before"], told.counts["observed"]) == (3, 0)
        assert_frame_equal(rows(place / "log"), before)

    def test_a_new_image_is_appended(self, place: Path) -> None:
        late = [(place / f"{name}_{DAYS[1]}.tif") for name in ("light", "cloud")]
        for path in late:
            path.rename(path.with_suffix(".later"))
        observe(config(place), place / "log", {}, now=NOW)
        before = rows(place / "log")
        for path in late:
            path.with_suffix(".later").rename(path)
        observe(config(place), place / "log", {}, now=NOW)
        after = rows(place / "log")
        assert_frame_equal(after.head(before.height), before)
        observe(config(place), place / "whole", {}, now=NOW)
        order = ["event_time", "site", "metric"]
        assert_frame_equal(after.sort(order), rows(place / "whole").sort(order))

    def test_killed_anywhere_it_goes_on(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        observe(config(place), place / "whole", {}, now=NOW)
        monkeypatch.setattr(module, "_PART_ROWS", 1)  # a part for each scene
        append = ObservationLog.append
        calls = 0

        def killed(self: ObservationLog, *frames: pl.DataFrame) -> None:
            nonlocal calls
            calls += 1
            if calls == 2:  # in the middle of a part
                filling = self.folder / "parts" / ".000002"
                filling.mkdir()
                (filling / "observations.parquet").write_bytes(b"PAR1")
                raise KeyboardInterrupt
            append(self, *frames)

        monkeypatch.setattr(ObservationLog, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            observe(config(place), place / "log", {}, now=NOW)
        assert rows(place / "log").height == 4
        told = observe(config(place), place / "log", {}, now=NOW)
        assert (told.counts["before"], told.counts["observed"]) == (1, 2)
        assert_frame_equal(rows(place / "log"), rows(place / "whole"))
        assert not list((place / "log/parts").glob(".*"))

    def test_scenes_are_taken_in_the_order_in_which_they_became_known(self, place: Path) -> None:
        told = [f"light_{day},2020-03-0{9 - number}" for number, day in enumerate(DAYS)]
        (place / "deliveries.csv").write_text("\n".join(["scene,delivered", *told]))
        known = {"log": {"path": str(place / "deliveries.csv")}, "delay": "2h"}
        observe(config(place, scenes__known=known), place / "log", {}, now=NOW)
        found = pl.read_parquet(place / "log/parts/000001/scenes.parquet")
        assert found["captured"].is_sorted(descending=True)
        # a delivery that names a day is known at its end, and two hours later here
        assert found["known"].to_list() == [datetime(2020, 3, day, 2, tzinfo=UTC) for day in (8, 9, 10)]

    def test_a_file_that_changed_is_told_and_not_read_again(self, place: Path) -> None:
        observe(config(place), place / "log", {}, now=NOW)
        before = rows(place / "log")
        write(place / f"light_{DAYS[0]}.tif", np.full((8, 8), 99))
        told = observe(config(place), place / "log", {}, now=NOW)
        assert [one.reason for one in told.set_aside] == [CHANGED]
        assert_frame_equal(rows(place / "log"), before)

    def test_a_later_version_of_an_image_is_a_later_vintage(self, place: Path) -> None:
        for path in place.glob("*.tif"):
            path.unlink()
        write(place / "light_20200105_v20200110.tif", np.full((8, 8), 5))
        write(place / "light_20200105_v20200301.tif", np.full((8, 8), 6))
        settings = config(
            place,
            scenes__name="{asset}_{date:%Y%m%d}_v{version}",
            scenes__known={"property": "version", "time_format": "%Y%m%d"},
            scenes__assets={"light": {}},
            measures__lights={"kind": "band", "asset": "light"},
        )
        observe(settings, place / "log", {}, now=NOW)
        found = rows(place / "log").filter(site="left").sort("known_time")
        assert found.select("value", "vintage", "supersedes").rows() == [
            (5, "20200110", None), (6, "20200301", "20200110"),
        ]  # fmt: skip
        assert found["event_time"].n_unique() == 1

    def test_two_processes_do_not_append_at_once(self, place: Path) -> None:
        with holding(place / "log", wait=False), pytest.raises(BusyError):
            observe(config(place), place / "log", {}, now=NOW)


class TestBadInput:
    @pytest.mark.parametrize("content", [b"", b"II*\x00", b"no image at all"])
    def test_a_broken_image_fails_alone(self, place: Path, content: bytes) -> None:
        (place / f"light_{DAYS[1]}.tif").write_bytes(content)
        told = observe(config(place), place / "log", {}, now=NOW)
        assert rows(place / "log").filter(metric="lights_mean", site="left")["value"].to_list() == [1, 3]
        assert told.set_aside
        assert all("\n" not in one.detail for one in told.set_aside)

    def test_half_an_image_leaves_nothing_of_the_scene(self, place: Path) -> None:
        values = np.random.default_rng(0).normal(size=(300, 300))
        path = place / f"light_{DAYS[1]}.tif"
        write(path, values)
        path.write_bytes(path.read_bytes()[:4000])
        told = observe(config(place), place / "log", {}, now=NOW)
        assert [one.reason for one in told.set_aside] == [UNREADABLE]
        assert rows(place / "log")["event_time"].n_unique() == 2
        write(path, np.full((8, 8), 2))
        assert observe(config(place), place / "log", {}, now=NOW).counts["before"] == 3
        assert observe(config(place), place / "log", {}, now=NOW, retry=True).counts["observed"] == 1
        assert rows(place / "log")["event_time"].n_unique() == 3

    def test_pixels_that_cannot_be_read_leave_the_other_zones(self, place: Path) -> None:
        """Images in strips of a row, of which the lower half of the second is cut off; then it comes whole."""
        features = json.loads((place / "zones.geojson").read_text())["features"]
        write_zones(place / "zones.geojson", *features, zone("low", 0, 50, 4, 54))
        for number, day in enumerate(DAYS, 1):
            write(place / f"light_{day}.tif", np.full((64, 8), number), blockysize=1)
            write(place / f"cloud_{day}.tif", np.zeros((64, 8)))
        observe(config(place), place / "whole", {}, now=NOW)
        broken = place / f"light_{DAYS[1]}.tif"
        kept = broken.read_bytes()
        broken.write_bytes(kept[: len(kept) // 2])

        told = observe(config(place), place / "log", {}, now=NOW)
        ((scene, reason, detail),) = [(one.source, one.reason, one.detail) for one in told.set_aside]
        assert (scene, reason) == (DAYS[1], PARTLY_UNREADABLE)
        assert detail.startswith("1 zones; the first: ")
        assert (told.counts["observed"], told.counts["failed"], told.counts["set_aside"]) == (3, 0, 2)
        whole = rows(place / "whole")
        lost = (pl.col("site") == "low") & (pl.col("event_time").dt.day() == 12)
        assert_frame_equal(rows(place / "log"), whole.filter(~lost))
        aside = pl.read_parquet(place / "log/parts/*/set_aside.parquet")
        columns = ("site", "metric", "reason", "known_time", "value")
        known = datetime(2020, 1, 18, tzinfo=UTC)
        assert aside.select(columns).rows() == [
            ("low", "lights_mean", UNREADABLE, known, None), ("low", "lights_max", UNREADABLE, known, None),
        ]  # fmt: skip

        later = observe(config(place), place / "log", {}, now=NOW).counts
        assert (later["before"], later["failed_before"]) == (3, 1)
        again = observe(config(place), place / "log", {}, now=NOW, retry=True)
        assert [one.reason for one in again.set_aside] == [PARTLY_UNREADABLE]
        broken.write_bytes(kept)
        for count in (1, 0):  # only what failed is tried again, until it did not
            mended = observe(config(place), place / "log", {}, now=NOW, retry=True)
            assert mended.counts["observed"] == count
        order = ["event_time", "site", "metric"]
        assert_frame_equal(rows(place / "log").sort(order), whole.sort(order))

    def test_a_zone_that_is_too_large_is_set_aside_alone(self, place: Path) -> None:
        features = json.loads((place / "zones.geojson").read_text())["features"]
        write_zones(place / "zones.geojson", *features, zone("county", -1e5, -1e5, 1e5, 1e5))
        told = observe(config(place), place / "log", {}, now=NOW)
        assert [(one.source, one.reason) for one in told.set_aside] == [("county", TOO_LARGE)]
        assert (told.counts["observed"], told.counts["failed"]) == (3, 0)

    def test_grids_that_cannot_be_are_told_before_there_is_a_log(self, place: Path) -> None:
        wrong: tuple[tuple[dict[str, Any], str], ...] = (
            ({"grid__resolution": 1e-9}, "no zone can be read"),
            ({"grid__crs": "x"}, "crs 'x'"),
        )
        for changes, said in wrong:
            with pytest.raises((ConfigError, DataError), match=said):
                observe(config(place, **changes), place / "log", {}, now=NOW)
            assert not (place / "log").exists()

    def test_a_zone_of_earlier_scenes_is_not_outside_of_every_scene(self, place: Path) -> None:
        observe(config(place), place / "log", {}, now=NOW)
        far = np.full((2, 2), 1.0)
        write(place / "light_20200126.tif", far)
        write(place / "cloud_20200126.tif", far)
        write_zones(place / "zones.geojson", zone("left", 0, 0, 4, 4), zone("right", 4, 0, 8, 4))
        told = observe(config(place), place / "log", {}, now=NOW)
        assert (told.counts["observed"], told.counts["outside"], told.set_aside) == (1, 1, [])

    def test_a_scene_without_a_band_fails_alone(self, place: Path) -> None:
        (place / f"cloud_{DAYS[1]}.tif").unlink()
        told = observe(config(place), place / "log", {}, now=NOW)
        assert len(told.set_aside) == 1
        assert rows(place / "log")["event_time"].n_unique() == 2

    def test_the_log_of_another_config_is_refused(self, place: Path) -> None:
        observe(config(place), place / "log", {}, now=NOW)
        with pytest.raises(ConfigError, match="log of another config: grid differ"):
            observe(config(place, grid__resolution=20), place / "log", {}, now=NOW)

    def test_a_folder_of_something_else_is_refused(self, place: Path) -> None:
        with pytest.raises(ConfigError, match="is not empty and holds no log"):
            observe(config(place), place, {}, now=NOW)

    def test_a_damaged_record(self, place: Path) -> None:
        observe(config(place), place / "log", {}, now=NOW)
        (place / "log/observation.json").write_text("{")
        with pytest.raises(DataError, match="cannot be read"):
            observe(config(place), place / "log", {}, now=NOW)

    def test_zones_of_which_none_can_be_used(self, place: Path) -> None:
        write_zones(place / "zones.geojson", zone("flat", 0, 0, 0, 4))
        with pytest.raises(DataError, match="no zone that can be used; the first: no_area"):
            observe(config(place), place / "log", {}, now=NOW)
        assert not (place / "log").exists()

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"zones__entity": "brand"}, "no column 'brand'"),
            ({"measures": {}}, "nothing is measured"),
            ({"scenes__assets": {"cloud": {}}}, "asset 'light' is read, and scenes.assets has only cloud"),
            ({"measures__lights__statistics": ["average"]}, "statistic 'average'"),
            ({"measures__lights__minimum_observations": 3}, "needs `observations`"),
            ({"grid__resolution": 0}, "greater than 0"),
            ({"scenes__known": {}}, "exactly one of lag, property, log"),
            ({"name": "../x"}, "match pattern"),
        ],
    )  # fmt: skip
    def test_configs(self, place: Path, changes: dict[str, Any], said: str) -> None:
        with pytest.raises(ConfigError, match=said):
            observe(config(place, **changes), place / "log", {}, now=NOW)


def test_the_log_is_what_a_source_reads(place: Path) -> None:
    """The files of the log go through ingest as they are."""
    from sources.config import parse_source
    from sources.lake import ingest

    observe(config(place, zones__entity="ticker"), place / "log", {}, now=NOW)
    files = str(place / "log/parts/*/observations.parquet")
    entry = {"kind": "table_file", "table": "metric", "files": files, "timezone": "UTC", "max_age": "30d"}
    source = parse_source("lots", entry)
    result = ingest("lots", source, calendar="XNYS", start=date(2020, 1, 1), end=date(2020, 3, 1), lake=place / "lake")
    assert result.counts["used"] == result.counts["read"] == 10
    shutil.rmtree(place / "lake")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_example_configs_hold(path: Path) -> None:
    assert parse_observation(yaml.safe_load(path.read_text()), str(path)).name


@pytest.mark.data
class TestRealImages:
    """NAIP over six fields of North Dakota, ten dates whose two grids lie 3 m apart."""

    def test_ndvi_of_naip(self, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRIFUSE_DATA", str(data_root))
        monkeypatch.chdir(CONFIGS.parent.parent)
        settings = parse_observation(yaml.safe_load((CONFIGS / "ndvi.yaml").read_text()), "ndvi")
        told = observe(settings, tmp_path / "log", {}, now=NOW)
        assert told.counts["observed"] == 10
        assert not told.set_aside
        found = rows(tmp_path / "log").filter(metric="ndvi_mean")
        assert found.height == 60
        assert found["valid_frac"].min() == 1  # type: ignore[comparison-overlap]
        # against the polygons' pixels of the image's own grid: pixels at the edge differ, and bilinear smooths
        for feature in json.loads((CONFIGS / "ndvi.geojson").read_text())["features"]:
            shape = transform_geom("EPSG:4326", "EPSG:26914", feature["geometry"])
            for path in sorted((data_root / "alt/rasters/naip_crop").glob("*.tif")):
                with rasterio.open(path) as image:
                    red, nir = image.read([1, 4]).astype(float)
                    inside = geometry_mask([shape], image.shape, image.transform, invert=True)
                expected = ((nir - red) / (nir + red))[inside].mean()
                day = datetime.strptime(path.stem[-8:], "%Y%m%d").date()
                (value,) = found.filter(pl.col("site") == feature["properties"]["id"], _day(day))["value"]
                assert value == pytest.approx(expected, abs=0.02)


def _day(day: date) -> pl.Expr:
    return pl.col("event_time").dt.convert_time_zone("America/Chicago").dt.date() == day


@pytest.mark.data
class TestCloudySentinel2:
    """68 images in two and a half years, 69 days apart at most, two of them of one day, more than half under clouds."""

    def settings(self, data_root: Path, place: Path, minimum: float) -> ObservationConfig:
        left, low = 465_181.1, 5_079_244.9
        boxes = {"north": (100, 600, 400, 900), "south": (600, 100, 900, 400)}
        features = []
        for name, (x0, y0, x1, y1) in boxes.items():
            ring = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
            polygon = {"type": "Polygon", "coordinates": [[(left + x, low + y) for x, y in ring]]}
            features.append({"type": "Feature", "properties": {"id": name}, "geometry": polygon})
        crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
        (place / "fields.geojson").write_text(
            json.dumps({"type": "FeatureCollection", "crs": crs, "features": features})
        )
        tree = {
            "name": "s2",
            "scenes": {
                "kind": "arrays",
                "folder": str(data_root / "alt/rasters/eopatch_s2"),
                "known": {"lag": "1d"},
                "assets": {"ndvi": {"asset": "data/NDVI"}, "cloud": {"asset": "data/CLP"}},
            },
            "zones": {"file": str(place / "fields.geojson"), "site": "id"},
            "grid": {"resolution": 10, "resampling": "nearest"},
            "measures": {
                "ndvi": {
                    "kind": "band",
                    "asset": "ndvi",
                    "masks": [{"asset": "cloud", "above": 0.4}],
                    "minimum_valid": minimum,
                }
            },
        }
        return parse_observation(tree, "s2")

    def test_clouds_are_judged_by_field_and_gaps_stay_gaps(self, data_root: Path, tmp_path: Path) -> None:
        told = observe(self.settings(data_root, tmp_path, 0.9), tmp_path / "log", {}, now=NOW)
        assert told.counts["observed"] == 68
        found = rows(tmp_path / "log")
        aside = pl.read_parquet(tmp_path / "log/parts/*/set_aside.parquet")
        assert found.height + aside.height == 2 * 68
        assert set(aside["reason"]) == {"few_clear_pixels"}
        # on some days one field is clear and the other is not, which a scene's own cloud cover could not tell
        clear = found.group_by("event_time").len()
        assert clear.filter(pl.col("len") == 1).height > 0
        assert found["valid_frac"].min() >= 0.9  # type: ignore[operator]
        gaps = found.filter(site="north").sort("event_time")["event_time"].diff().drop_nulls()
        assert gaps.dt.total_days().max() >= 69  # type: ignore[operator]

    def test_clouds_would_have_been_read_as_bare_ground(self, data_root: Path, tmp_path: Path) -> None:
        observe(self.settings(data_root, tmp_path, 0.9), tmp_path / "log", {}, now=NOW)
        clear = rows(tmp_path / "log")["value"]
        aside = pl.read_parquet(tmp_path / "log/parts/*/set_aside.parquet")
        under_clouds = aside.filter(pl.col("cloud_frac") > 0.5)["value"].drop_nulls()
        # even the pixels that the mask leaves of a cloudy field are no measurement of it
        assert under_clouds.len() > 0
        assert clear.median() > under_clouds.median() + 0.1  # type: ignore[operator]

    def test_two_images_of_one_day_are_two_observations(self, data_root: Path, tmp_path: Path) -> None:
        observe(self.settings(data_root, tmp_path, 0.0), tmp_path / "log", {}, now=NOW)
        log = tmp_path / "log"
        both = pl.concat([rows(log), pl.read_parquet(log / "parts/*/set_aside.parquet").drop("scene", "reason")])
        day = both.filter(pl.col("event_time").dt.date() == date(2015, 12, 8), pl.col("site") == "north")
        assert day["event_time"].n_unique() == day.height == 2
