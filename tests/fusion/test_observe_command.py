"""`trifuse observe`: from a config to a log, and one line for a mistake."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import rasterio
from test_cli import complaint, trifuse

CONFIG = """
name: lights
scenes: {{kind: folder, files: "{folder}/*.tif", name: "{{date:%Y%m%d}}", known: {{lag: 2d}}, assets: {{light: {{}}}}}}
zones: {{file: "{folder}/zones.csv", site: id, crs: "EPSG:32614"}}
grid: {{resolution: 10, resampling: nearest}}
measures: {{lights: {{kind: band, asset: light}}}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    for number, day in enumerate(("20200105", "20200112")):
        with rasterio.open(
            tmp_path / f"{day}.tif", "w", driver="GTiff", count=1, height=4, width=4, dtype="float32",
            crs="EPSG:32614", transform=rasterio.Affine(10, 0, 500_000, 0, -10, 4_000_000),
        ) as image:  # fmt: skip
            image.write(np.full((1, 4, 4), number + 1, np.float32))
    box = "POLYGON ((500000 3999960, 500040 3999960, 500040 4000000, 500000 4000000, 500000 3999960))"
    (tmp_path / "zones.csv").write_text(f'id,wkt\nlot,"{box}"\nline,"LINESTRING (0 0, 1 1)"\n')
    path = tmp_path / "lights.yaml"
    path.write_text(CONFIG.format(folder=tmp_path))
    return path


def test_what_is_new_is_appended(config: Path, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    first = trifuse("observe", str(config), "--out", log)
    assert first.exit_code == 0, first.output
    assert "2 scenes: 2 observed now, 0 before, 0 failed; 1 zones; 2 rows, 0 values set aside" in first.stdout
    assert "line" in first.stdout
    assert f"files: {log}/parts/*/observations.parquet" in first.stdout
    again = json.loads(trifuse("observe", str(config), "--out", log, "--json").stdout)
    assert (again["counts"]["before"], again["counts"]["observed"]) == (2, 0)
    assert [one["reason"] for one in again["set_aside"]] == ["no_area"]


def test_failures_are_told_until_they_are_mended(config: Path, tmp_path: Path) -> None:
    (tmp_path / "20200112.tif").write_bytes(b"II*\0 cut short")
    log = str(tmp_path / "log")
    for _ in range(2):
        told = trifuse("observe", str(config), "--out", log)
        assert "1 scenes of the log could not be read, or not whole; --retry" in told.stderr, told.output


def test_the_snippet_is_a_source(config: Path, tmp_path: Path) -> None:
    import yaml

    from sources.config import parse_source

    told = trifuse("observe", str(config), "--out", str(tmp_path / "log")).stdout
    snippet = yaml.safe_load(told.partition("A source that reads them:")[2])
    assert parse_source("lights", snippet["lights"]).table == "metric"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("measures.lights.kind=fill", "measures.lights"),
        ("zones.file=nowhere.geojson", "nowhere.geojson is no file"),
        ("scenes.files=nowhere/*.tif", "no file matches nowhere/*.tif"),
        ("grid.resolution=-1", "grid.resolution"),
        ("colour=red", "colour"),
    ],
)
def test_a_mistake_is_one_line(config: Path, tmp_path: Path, change: str, said: str) -> None:
    result = trifuse("observe", str(config), "--out", str(tmp_path / "log"), "--set", change)
    assert said in complaint(result)
    assert not (tmp_path / "log").exists()


def test_a_log_is_not_mixed_with_another(config: Path, tmp_path: Path) -> None:
    trifuse("observe", str(config), "--out", str(tmp_path / "log"))
    result = trifuse("observe", str(config), "--out", str(tmp_path / "log"), "--set", "grid.resolution=5")
    assert "log of another config: grid differ" in complaint(result)


def test_a_config_of_an_observation_is_none_of_a_run(config: Path) -> None:
    assert f"{config} is the config of an observation; trifuse observe" in complaint(
        trifuse("config", "--check", str(config), terminal_width=500)
    )


def test_a_scene_that_fails_is_told_by_the_exit_code(config: Path, tmp_path: Path) -> None:
    broken = tmp_path / "20200119.tif"
    broken.write_bytes(b"II*\x00")
    for more in ([], ["--json"]):
        result = trifuse("observe", str(config), "--out", str(tmp_path / f"log{len(more)}"), *more)
        assert result.exit_code == 1
        assert "1 failed" in result.stdout or json.loads(result.stdout)["counts"]["failed"] == 1
    # what failed before is no news
    assert trifuse("observe", str(config), "--out", str(tmp_path / "log0")).exit_code == 0


def test_a_log_of_another_version_is_one_line(config: Path, tmp_path: Path) -> None:
    trifuse("observe", str(config), "--out", str(tmp_path / "log"))
    scenes = tmp_path / "log/parts/000001/scenes.parquet"
    pl.read_parquet(scenes).drop("detail").write_parquet(scenes)
    said = complaint(trifuse("observe", str(config), "--out", str(tmp_path / "log")))
    assert "was written by another version: detail" in said
    scenes.write_bytes(b"no parquet")
    assert "scenes.parquet cannot be read" in complaint(trifuse("observe", str(config), "--out", str(tmp_path / "log")))
