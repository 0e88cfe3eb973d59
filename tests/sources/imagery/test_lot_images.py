"""Lots in images of files."""

import re
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import rasterio
import shapely
from images import write
from lot_pictures_drawn import METRES, NORTH, UTM, WEST, drawn_lot, ground, parked

from gpu_kernels.errors import ArgumentError, DataError
from sources.imagery.lot_cells import Lot
from sources.imagery.lot_images import read_lots
from sources.imagery.lots import LotWatch
from sources.imagery.measures import MaskRule
from sources.imagery.scene import Asset, Scene
from sources.imagery.zones import read_zones


def scene_of(folder: Path, lot: Lot, seed: int = 1, **assets: Asset) -> tuple[Scene, np.ndarray]:
    """A scene of red, green and blue that holds the lot, 20 pixels around it; and its luminance on the lot's grid."""
    rng = np.random.default_rng(seed)
    values = parked(lot, ground(lot, rng), rng.random(lot.count) < 0.4, rng)
    around = np.pad(values, 20, mode="reflect")
    a, _, c, _, e, f = lot.grid.transform
    bands = np.stack([around * factor for factor in (1.1, 1.0, 0.9)]).astype(np.float32)
    image = write(folder / "scene.tif", bands, transform=rasterio.Affine(a, 0, c - 20 * a, 0, e, f - 20 * e))
    of_bands = {name: Asset(image.href, band) for band, name in enumerate(("red", "green", "blue"), start=1)}
    seen = 0.299 * 1.1 * values + 0.587 * values + 0.114 * 0.9 * values
    return Scene("scene", 10, 20, of_bands | assets), seen


def test_luminance_is_the_weighted_sum_on_the_lots_grid(tmp_path: Path) -> None:
    lot = drawn_lot()
    scene, seen = scene_of(tmp_path, lot)
    [found] = read_lots(scene, [lot])
    np.testing.assert_allclose(found.luminance, seen, rtol=1e-5)
    assert found.site == "lot"
    assert found.cloud_frac is None
    assert 0.0 < found.dark < 40.0
    assert read_lots(scene, [lot], dark_object=False)[0].dark == 0.0
    [red] = read_lots(scene, [lot], bands={"red": 1.0})
    np.testing.assert_allclose(red.luminance / found.luminance, 1.1 / (0.299 * 1.1 + 0.587 + 0.114 * 0.9), rtol=1e-5)
    rows = LotWatch([lot]).add([found])
    assert rows["value"].null_count() == 0
    assert rows["gsd"].to_list() == [None, None]


def test_what_is_not_clear_is_left_out_of_the_lot_alone(tmp_path: Path) -> None:
    lot = drawn_lot()
    scene, _ = scene_of(tmp_path, lot)
    height, width = lot.grid.shape
    classes = np.full((height, width), 4, np.uint8)
    classes[:, : width // 3] = 9
    a, _, c, _, e, f = lot.grid.transform
    mask = write(tmp_path / "scl.tif", classes, transform=rasterio.Affine(a, 0, c, 0, e, f))
    scene, seen = scene_of(tmp_path, lot, scl=mask)
    [found] = read_lots(scene, [lot], masks=[MaskRule(asset="scl", values=[8, 9])])
    assert np.isnan(found.luminance[:, : width // 3]).all()
    np.testing.assert_allclose(found.luminance[:, width // 3 :], seen[:, width // 3 :], rtol=1e-5)
    inside = lot.cells >= 0
    assert found.cloud_frac == pytest.approx(inside[:, : width // 3].sum() / inside.sum())
    rows = LotWatch([lot]).add([found])
    assert rows["cloud_frac"][0] == found.cloud_frac
    assert rows["valid_frac"][0] < 0.8


def test_a_lot_outside_of_the_scene_and_of_another_site_gives_no_image(tmp_path: Path) -> None:
    lot = drawn_lot()
    scene, _ = scene_of(tmp_path, lot)
    a, b, c, d, e, f = lot.grid.transform

    away = replace(lot, grid=replace(lot.grid, transform=(a, b, c + 5000.0, d, e, f)))
    assert read_lots(scene, [away]) == []
    assert read_lots(replace(scene, site="other"), [lot]) == []
    assert len(read_lots(replace(scene, site="lot"), [lot])) == 1


def test_a_scene_without_an_asset_is_told_in_one_line(tmp_path: Path) -> None:
    lot = drawn_lot()
    scene, _ = scene_of(tmp_path, lot)
    with pytest.raises(DataError, match="scene scene has no asset nir; allowed: red, green, blue"):
        read_lots(scene, [lot], bands={"nir": 1.0})
    with pytest.raises(DataError, match="has no asset scl"):
        read_lots(scene, [lot], masks=[MaskRule(asset="scl", values=[9])])
    coarse = write(tmp_path / "coarse.tif", np.ones((10, 10), np.float32))

    mixed = replace(scene, assets={"red": scene.assets["red"], "green": coarse})
    with pytest.raises(DataError, match="of several sizes"):
        read_lots(mixed, [lot], bands={"red": 0.5, "green": 0.5})


def test_the_dark_of_a_large_scene_is_measured_on_a_lattice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lot = drawn_lot()
    scene, _ = scene_of(tmp_path, lot)
    whole = read_lots(scene, [lot])[0].dark
    monkeypatch.setattr("sources.imagery.lot_images._WHOLE", 100)
    assert read_lots(scene, [lot])[0].dark == pytest.approx(whole, abs=4.0)
    assert lot.grid.resolution == METRES


def test_the_code_of_the_page_runs(tmp_path: Path) -> None:
    """From files to rows, in two runs with a state between."""
    page = (Path(__file__).resolve().parents[3] / "docs" / "parking_lots.md").read_text()
    code = re.search(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(compile(code[1], "docs/parking_lots.md", "exec"), names)
    lot = drawn_lot(stalls=None)
    for day in (1, 2, 3):
        (tmp_path / str(day)).mkdir()
        scene_of(tmp_path / str(day), lot, seed=1)
        (tmp_path / str(day) / "scene.tif").rename(tmp_path / f"lots_2024030{day}.tif")
    left, low, right, high = (WEST, NORTH - 17.0, WEST + 30.0, NORTH)
    (tmp_path / "lots.csv").write_text(f'site,wkt\nstore,"{shapely.box(left, low, right, high).wkt}"\n')
    options = {
        "kind": "folder",
        "files": str(tmp_path / "*.tif"),
        "name": "lots_{date:%Y%m%d}",
        "known": {"lag": "2d"},
        "assets": {"red": {"band": 1}, "green": {"band": 2}, "blue": {"band": 3}},
        "gsd": METRES,
    }
    zones = partial(read_zones, crs=UTM)
    names["zones"] = SimpleNamespace(read_zones=zones)
    state = tmp_path / "state.npz"
    tables = list(names["watch"](options, tmp_path / "lots.csv", METRES, state))
    assert [table.height for table in tables] == [2, 2, 2]
    rows = pl.concat(tables)
    assert rows["site"].unique().to_list() == ["store"]
    assert rows["value"].null_count() == 0
    assert (rows["known_time"] - rows["event_end"]).to_list() == [timedelta(days=2)] * 6
    assert rows["quality"].to_list()[:2] == ["no_past"] * 2
    assert state.is_file()
    with pytest.raises(ArgumentError, match="was known before"):
        list(names["watch"](options, tmp_path / "lots.csv", METRES, state))
