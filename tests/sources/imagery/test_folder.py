"""Scenes of files whose names tell the capture."""

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
from images import NORTH, WEST, box, write

from gpu_kernels.errors import ConfigError, DataError
from sources.imagery.config import parse_scenes
from sources.imagery.folder import scenes
from sources.imagery.grid import grid_of
from sources.imagery.raster import open_asset
from sources.imagery.scene import Scenes

HOUR = 3600 * 10**9
DAY = 24 * HOUR


def at(*parts: int) -> int:
    return int(dt.datetime(*parts, tzinfo=dt.UTC).timestamp()) * 10**9


def touch(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes([number + 1]) * 9)


def read(folder: Path, name: str, files: str = "*.tif", **options: object) -> Scenes:
    options = {"known": {"lag": "2d"}, **options}
    entry = {"kind": "folder", "files": str(folder / files), "name": name, **options}
    return scenes(parse_scenes("lots", entry), {})


class TestDates:
    def test_a_day_is_all_of_it_and_known_by_the_lag_after_its_end(self, tmp_path: Path) -> None:
        touch(tmp_path, "naip_20180716.tif")
        (scene,) = read(tmp_path, "naip_{date:%Y%m%d}", timezone="America/Chicago").scenes
        assert scene.captured == at(2018, 7, 16, 5)
        assert scene.captured_end == at(2018, 7, 17, 5)
        assert scene.known == scene.captured_end + 2 * DAY
        assert scene.id == "naip_20180716"

    def test_a_year_only_is_known_by_the_lag_after_the_years_end(self, tmp_path: Path) -> None:
        touch(tmp_path, "2015.tif", "2016.tif")
        first, _ = read(tmp_path, "{date:%Y}").scenes
        assert (first.captured, first.captured_end) == (at(2015, 1, 1), at(2016, 1, 1))
        assert first.known == at(2016, 1, 3)

    def test_a_month_and_a_day_of_the_year(self, tmp_path: Path) -> None:
        touch(tmp_path, "201912.tif")
        (scene,) = read(tmp_path, "{date:%Y%m}").scenes
        assert (scene.captured, scene.captured_end) == (at(2019, 12, 1), at(2020, 1, 1))
        touch(tmp_path, "d/LC8_2020146.tif")
        (scene,) = read(tmp_path, "*_{date:%Y%j}", "d/*.tif").scenes
        assert scene.captured == at(2020, 5, 25)

    def test_a_moment_of_local_time(self, tmp_path: Path) -> None:
        touch(tmp_path, "2013-02-24_10_05_04.jpg")
        name = "{date:%Y-%m-%d_%H_%M_%S}"
        (scene,) = read(tmp_path, name, "*.jpg", timezone="America/Sao_Paulo").scenes
        assert (scene.captured, scene.captured_end) == (at(2013, 2, 24, 13, 5, 4), None)
        assert scene.known == scene.captured + 2 * DAY

    def test_a_clock_change_is_read_as_the_later_time(self, tmp_path: Path) -> None:
        touch(tmp_path, "2020-11-01_01_30.tif")
        (scene,) = read(tmp_path, "{date:%Y-%m-%d_%H_%M}", timezone="America/New_York").scenes
        assert scene.captured == at(2020, 11, 1, 6, 30)

    def test_other_names_and_dates_that_are_none_are_set_aside(self, tmp_path: Path) -> None:
        touch(tmp_path, "a_20200101.tif", "a_20200230.tif", "thumbnail.tif", "a_20200102.tif", "a_99991231.tif")
        (tmp_path / "a_20200102.tif").write_bytes(b"")
        found = read(tmp_path, "a_{date:%Y%m%d}")
        assert [scene.id for scene in found.scenes] == ["a_20200101"]
        assert {Path(aside.source).name: aside.reason for aside in found.set_aside} == {
            "a_20200230.tif": "unparsable_time",
            "a_99991231.tif": "unparsable_time",
            "thumbnail.tif": "other_name",
            "a_20200102.tif": "empty_file",
        }


class TestWhichFilesAreOneScene:
    def test_duplicate_dates_are_kept_unless_the_bytes_are_the_same(self, tmp_path: Path) -> None:
        touch(tmp_path, "se_20200101.tif", "sw_20200101.tif", "sw_copy_20200101.tif")
        (tmp_path / "sw_copy_20200101.tif").write_bytes((tmp_path / "sw_20200101.tif").read_bytes())
        found = read(tmp_path, "*_{date:%Y%m%d}")
        assert [scene.id for scene in found.scenes] == ["se_20200101", "sw_20200101"]
        ((aside),) = found.set_aside
        assert (Path(aside.source).name, aside.reason) == ("sw_copy_20200101.tif", "duplicate_scene")

    def test_bands_in_files_of_their_own(self, tmp_path: Path) -> None:
        touch(tmp_path, "20200101_B04.tif", "20200101_B08.tif", "20200111_B04.tif")
        assets = {"red": {"asset": "B04"}, "nir": {"asset": "B08", "scale": 0.0001}}
        found = read(tmp_path, "{date:%Y%m%d}_{asset}", assets=assets)
        (scene,) = found.scenes
        assert scene.id == "20200101"
        assert Path(scene.assets["nir"].href).name == "20200101_B08.tif"
        assert scene.assets["nir"].scale == 1e-4
        ((aside),) = found.set_aside
        assert (aside.source, aside.reason) == ("20200111", "no_asset")

    def test_a_reprocessed_file_is_a_later_vintage(self, tmp_path: Path) -> None:
        names = ("L8_20200114_20200824.tif", "L8_20200114_20200130.tif", "L8_20200201_20200210.tif")
        touch(tmp_path, *names)
        known = {"property": "version", "time_format": "%Y%m%d", "delay": "1h"}
        found = read(tmp_path, "L8_{date:%Y%m%d}_{version}", known=known)
        told = [(scene.vintage, scene.supersedes, scene.known) for scene in found.scenes]
        assert told == [
            ("20200130", "", at(2020, 1, 31, 1)),
            ("20200824", "20200130", at(2020, 8, 25, 1)),
            ("20200210", "", at(2020, 2, 11, 1)),
        ]
        assert found.scenes[0].captured == found.scenes[1].captured

    def test_files_of_one_name_in_two_folders(self, tmp_path: Path) -> None:
        touch(tmp_path, "camera1/20200101.tif", "camera2/20200101.tif")
        found = read(tmp_path, "{date:%Y%m%d}", "*/*.tif")
        assert [scene.id for scene in found.scenes] == ["camera1/20200101", "camera2/20200101"]


class TestKnown:
    def test_a_delivery_log(self, tmp_path: Path) -> None:
        touch(tmp_path, "20200101.tif", "20200102.tif", "20200103.tif", "20200104.tif")
        log = tmp_path / "log.csv"
        log.write_text(
            "scene,delivered\n20200101,2020-01-05T12:00:00Z\n20200102.tif,2020-01-06\n20200101,2020-01-09\n"
            "20200103,2020-01-03T12:00:00Z\n"
        )
        found = read(tmp_path, "{date:%Y%m%d}", known={"log": {"path": str(log)}})
        # the first delivery counts; a bare day is over before anything is known of it
        assert [scene.known for scene in found.scenes] == [at(2020, 1, 5, 12), at(2020, 1, 7)]
        assert {aside.source: aside.reason for aside in found.set_aside} == {
            "20200103": "known_before_capture",
            "20200104": "not_delivered",
        }

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("", "cannot be read"),
            ("scene,when\na,2020-01-01\n", "has no column 'delivered'"),
            ("scene,delivered\na,yesterday\n", "has the time 'yesterday'"),
            ("scene,delivered\na,\n", "has the time None"),
        ],
    )
    def test_a_log_that_tells_no_times_is_an_error(self, tmp_path: Path, text: str, told: str) -> None:
        touch(tmp_path, "20200101.tif")
        (tmp_path / "log.csv").write_text(text)
        with pytest.raises(DataError, match=told):
            read(tmp_path, "{date:%Y%m%d}", known={"log": {"path": str(tmp_path / "log.csv")}})

    @pytest.mark.parametrize(
        "known", [{}, {"lag": "1d", "property": "published"}, {"lag": "1d", "delay": "1h"}, {"lag": "1 fortnight"}]
    )
    def test_exactly_one_rule(self, tmp_path: Path, known: dict[str, str]) -> None:
        touch(tmp_path, "20200101.tif")
        with pytest.raises(ConfigError, match=r"scenes\.lots\.known"):
            read(tmp_path, "{date:%Y%m%d}", known=known)


class TestConfig:
    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("scene_*", "tells no date"),
            ("{date:%m%d}", "tells no year"),
            ("{date:%Y %q}", "%q in a date"),
            ("{date:%Y}_{date:%Y}", "each field once"),
        ],
    )
    def test_a_name_that_tells_no_capture(self, tmp_path: Path, name: str, told: str) -> None:
        touch(tmp_path, "20200101.tif")
        with pytest.raises(ConfigError, match=told):
            read(tmp_path, name)

    def test_no_files(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no file matches"):
            read(tmp_path, "{date:%Y}")

    def test_an_unknown_option_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"scenes\.lots\.lag: Extra inputs"):
            read(tmp_path, "{date:%Y}", lag="1d")


@pytest.mark.data
class TestRealFiles:
    def test_naip_and_landsat(self, data_root: Path) -> None:
        rasters = data_root / "alt" / "rasters"
        naip = read(rasters / "naip_crop", "m_4709963_se_14_1_{date:%Y%m%d}", timezone="America/Chicago")
        assert len(naip.scenes) == 10
        assert not naip.set_aside
        landsat = read(rasters / "landsat_pucallpa", "{date:%Y}", known={"lag": "30d"})
        assert [scene.known for scene in landsat.scenes] == [at(year, 1, 31) for year in range(1986, 2022, 5)]

    def test_a_cameras_pictures(self, data_root: Path) -> None:
        found = read(
            data_root / "alt" / "imagery" / "pklot_ufpr05",
            "{date:%Y-%m-%d_%H_%M_%S}",
            "sequence*/*.jpg",
            timezone="America/Sao_Paulo",
            known={"lag": "1min"},
        )
        assert len(found.scenes) + len(found.set_aside) == 25
        assert not found.set_aside
        # summer time ended on 17 February 2013: three hours behind UTC
        assert found.scenes[0].captured == at(2013, 2, 22, 9, 25)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:

    write(tmp_path / "a_20200101.tif", np.stack([np.full((40, 40), band, "u1") for band in (1, 2)]))
    (scene,) = read(tmp_path, "a_{date:%Y%m%d}", assets={"two": {"band": 2}}).scenes
    with open_asset(scene.assets["two"]) as image:
        pixels = image.read(grid_of(box(WEST, NORTH - 100, WEST + 100, NORTH), 10), "nearest")
    assert (pixels.values == 2).all()
