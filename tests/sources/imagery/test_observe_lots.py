"""Lots observed from files into the log, day by day."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import rasterio
import shapely
import yaml
from images import write
from lot_pictures_drawn import METRES, drawn_lot, ground, parked, stalls

from gpu_kernels.errors import ConfigError, DataError
from sources.config import parse_source
from sources.imagery import observe as module
from sources.imagery.observation_log import ObservationLog
from sources.imagery.observe import PARTLY_UNREADABLE, Observed, observe
from sources.imagery.observe_config import ObservationConfig, parse_observation
from sources.imagery.observe_lots import KNOWN_BEFORE_OTHERS, STALL_OF_NO_LOT
from sources.lake import ingest, read

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FULL = (0, 6, 12, 3, 20)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Five days of one lot, with so many of its 24 stalls full; a cloud over all of it on the fourth."""
    folder, lot = tmp_path / "files", drawn_lot()
    folder.mkdir()
    rng = np.random.default_rng(1)
    asphalt = ground(lot, rng)
    a, _, c, _, e, f = lot.grid.transform
    for day, count in enumerate(FULL, 1):
        full = np.zeros(lot.count, bool)
        full[rng.permutation(lot.count)[:count]] = True
        at = rasterio.Affine(a, 0, c, 0, e, f)
        write(folder / f"pan_2024030{day}.tif", parked(lot, asphalt, full, rng).astype(np.float32), transform=at)
        cloud = np.full(lot.grid.shape, 1 if day == 4 else 0, np.uint8)
        write(folder / f"cloud_2024030{day}.tif", cloud, transform=at)
    places = stalls()
    whole = shapely.union_all([place.geometry for place in places]).envelope
    _geojson(folder / "lots.geojson", [(whole, {"id": "lot", "ticker": "WMT", "spaces": 24})])
    of_lot = [(stall.geometry, {"id": stall.site, "lot": "lot"}) for stall in places]
    _geojson(folder / "stalls.geojson", [*of_lot, (shapely.box(0, 0, 9, 9), {"id": "far", "lot": "closed"})])
    return folder


def _geojson(path: Path, features: list[tuple[Any, dict[str, Any]]]) -> None:
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32614"}}
    told = [{"type": "Feature", "properties": p, "geometry": shapely.geometry.mapping(g)} for g, p in features]
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": told}))


def config(place: Path, lots: dict[str, Any] | None = None, **changes: Any) -> ObservationConfig:
    tree = {
        "name": "lots",
        "scenes": {
            "kind": "folder",
            "files": str(place / "*_*.tif"),
            "name": "{asset}_{date:%Y%m%d}",
            "known": {"lag": "2d"},
            "assets": {"pan": {}, "cloud": {}},
            "gsd": METRES,
        },
        "zones": {"file": str(place / "lots.geojson"), "site": "id", "entity": "ticker"},
        "grid": {"resolution": METRES},
        "lots": {
            "bands": {"pan": 1.0},
            "masks": [{"asset": "cloud", "values": [1]}],
            "stalls": {"file": str(place / "stalls.geojson"), "lot": "lot", "site": "id"},
            **(lots or {}),
        },
    }
    return parse_observation(tree | changes, "observation")


def run(place: Path, target: Path, **changes: Any) -> Observed:
    return observe(config(place, **changes), target, {}, now=NOW)


def log(place: Path, target: Path, **changes: Any) -> ObservationLog:
    return ObservationLog(target, config(place, **changes).model_dump(mode="json"))


def test_lots_of_files_become_rows(place: Path, tmp_path: Path) -> None:
    told = run(place, tmp_path / "log")
    assert dict(told.counts) == {
        **{"scenes": 5, "zones": 1, "before": 0, "observed": 5, "failed": 0, "failed_before": 0},
        **{"outside": 0, "rows": 8, "set_aside": 2},
    }
    assert [(one.source, one.reason) for one in told.set_aside] == [("far", STALL_OF_NO_LOT)]
    rows = log(place, tmp_path / "log").observations()
    fill = rows.filter(pl.col("metric") == "lot_fill")
    off = (fill["value"] - np.array([0, 6, 12, 20]) / 24).abs()
    assert off.max() < 0.2
    assert fill["value"].is_sorted()
    assert fill["std"].is_between(0.01, 0.2).all()
    assert fill["entity"].unique().to_list() == ["WMT"]
    assert fill["cloud_frac"].to_list() == [0.0] * 4
    assert fill["quality"].to_list() == ["no_past", "short_past", "short_past", "ok"]
    assert (fill["known_time"] - fill["event_time"]).unique().to_list() == [timedelta(days=3)]
    assert fill["ingested_time"].unique().to_list() == [NOW]
    vehicles = rows.filter(pl.col("metric") == "lot_vehicles")
    np.testing.assert_allclose(vehicles["value"], 24 * fill["value"])
    aside = log(place, tmp_path / "log").set_aside()
    assert aside["reason"].to_list() == ["few_valid"] * 2
    assert aside["cloud_frac"].to_list() == [1.0] * 2


def test_day_by_day_is_the_same_as_at_once(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(place, tmp_path / "once")
    later = tmp_path / "later"
    later.mkdir()
    target = tmp_path / "log"
    files = sorted(place.glob("*.tif"))
    for day in range(1, 6):
        for path in files:
            if path.stem.endswith(str(day)):
                shutil.copy2(path, later / path.name)
        for name in ("lots.geojson", "stalls.geojson"):
            shutil.copy2(place / name, later / name)
        if day == 3:  # killed when the state was written and the part was not
            with monkeypatch.context() as broken:
                broken.setattr(module.ObservationLog, "append", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
                with pytest.raises(KeyboardInterrupt):
                    run(later, target)
            assert [path.name for path in (target / "lots").iterdir()] != ["000003.npz"]
        assert run(later, target).counts["observed"] == 1
    assert [path.name for path in (target / "lots").iterdir()] == ["000005.npz"]
    assert log(later, target).observations().equals(log(place, tmp_path / "once").observations())
    assert run(later, target).counts["observed"] == 0


def test_a_file_that_comes_after_later_ones_is_set_aside(place: Path, tmp_path: Path) -> None:
    late = [place / "pan_20240302.tif", place / "cloud_20240302.tif"]
    for path in late:
        path.rename(tmp_path / path.name)
    run(place, tmp_path / "log")
    before = log(place, tmp_path / "log").observations()
    for path in late:
        (tmp_path / path.name).rename(path)
    told = run(place, tmp_path / "log")
    assert (told.counts["observed"], told.counts["rows"], told.counts["set_aside"]) == (1, 0, 2)
    assert log(place, tmp_path / "log").observations().equals(before)
    assert log(place, tmp_path / "log").set_aside()["reason"].to_list()[-2:] == [KNOWN_BEFORE_OTHERS] * 2


def test_the_log_is_a_source_of_metrics(place: Path, tmp_path: Path) -> None:
    run(place, tmp_path / "log")
    files = str(tmp_path / "log/parts/*/observations.parquet")
    source = parse_source(
        "lots", {"kind": "table_file", "table": "metric", "files": files, "timezone": "UTC", "max_age": "90d"}
    )
    result = ingest("lots", source, calendar="XNYS", lake=tmp_path / "lake")
    assert read(result.folder).height == 8
    assert result.counts["quarantined"] == {}


def test_lots_and_measures_stand_side_by_side(place: Path, tmp_path: Path) -> None:
    both = {"measures": {"light": {"kind": "band", "asset": "pan"}}}
    told = run(place, tmp_path / "log", **both)
    assert (told.counts["rows"], told.counts["set_aside"]) == (13, 2)
    rows = log(place, tmp_path / "log", **both).observations()
    assert set(rows["metric"]) == {"light_mean", "lot_fill", "lot_vehicles"}
    alone = tmp_path / "alone"
    run(place, alone)
    lots = rows.filter(pl.col("metric") != "light_mean")
    assert lots.equals(log(place, alone).observations())


def test_capacity_is_read_of_the_zones(place: Path, tmp_path: Path) -> None:
    told = {"stalls": None, "capacity": "spaces"}
    run(place, tmp_path / "log", lots=told)
    rows = log(place, tmp_path / "log", lots=told).observations()
    fill, vehicles = (rows.filter(pl.col("metric") == name)["value"] for name in ("lot_fill", "lot_vehicles"))
    np.testing.assert_allclose(vehicles, 24 * fill)
    with pytest.raises(DataError, match="lot lot: ticker is 'WMT'; allowed: a number above 0"):
        run(place, tmp_path / "other", lots={"capacity": "ticker"})


def test_rows_are_counted_where_the_config_says_so(place: Path, tmp_path: Path) -> None:
    told = {"stalls": None, "rows": True, "stall_rows": "spaces"}
    with pytest.raises(DataError, match="ticker"):
        run(place, tmp_path / "log", lots=told | {"stall_rows": "ticker"})
    run(place, tmp_path / "rows", lots=told)
    rows = log(place, tmp_path / "rows", lots=told).observations().filter(pl.col("metric") == "lot_vehicles")
    assert rows["method_version"].unique().to_list() == ["vehicle-rows 1"]
    assert rows["value"][0] < rows["value"][3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lots": None, "measures": {}}, "nothing is measured"),
        ({"measures": {"lot": {"kind": "band", "asset": "pan"}, "lot_fill": {"kind": "band"}}}, "asset"),
    ],
)
def test_a_config_that_says_nothing_or_too_little_is_refused(
    place: Path, changes: dict[str, Any], message: str
) -> None:
    tree = config(place).model_dump(mode="json", exclude_unset=True)
    with pytest.raises(ConfigError, match=message):
        parse_observation(tree | changes, "observation")


def test_stalls_need_a_column_that_names_their_lot(place: Path, tmp_path: Path) -> None:
    wrong = {"stalls": {"file": str(place / "stalls.geojson"), "lot": "parking", "site": "id"}}
    with pytest.raises(ConfigError, match="no column 'parking'"):
        run(place, tmp_path / "log", lots=wrong)


def test_a_broken_scene_fails_alone_and_is_not_remembered(place: Path, tmp_path: Path) -> None:
    whole = place / "pan_20240303.tif"
    kept = whole.read_bytes()
    whole.write_bytes(kept[:2000])
    told = run(place, tmp_path / "log")
    assert (told.counts["observed"], told.counts["failed"]) == (4, 1)
    rows = log(place, tmp_path / "log").observations().filter(pl.col("metric") == "lot_fill")
    (place / "without").mkdir()
    for path in [whole, place / "cloud_20240303.tif"]:
        path.rename(place / "without" / path.name)
    run(place, tmp_path / "other")
    other = log(place, tmp_path / "other").observations().filter(pl.col("metric") == "lot_fill")
    assert rows.equals(other)


def test_pixels_that_cannot_be_read_of_one_lot_leave_the_other(place: Path, tmp_path: Path) -> None:
    """A second lot far below the first, in images in strips of a row whose end is cut off on one day."""
    drawn, gap = drawn_lot(), 400
    a, _, c, _, e, f = drawn.grid.transform
    for path in place.glob("*.tif"):
        with rasterio.open(path) as image:
            values = image.read(1)
        twice = np.concatenate([values, np.zeros((gap, values.shape[1]), values.dtype), values])
        write(path, twice, transform=rasterio.Affine(a, 0, c, 0, e, f), blockysize=1)
    upper = [stall.geometry for stall in stalls()]
    below = (values.shape[0] + gap) * e
    both = {"lot": upper, "low": [shapely.affinity.translate(one, 0, below) for one in upper]}
    whole = [(shapely.union_all(of).envelope, {"id": name, "ticker": "WMT"}) for name, of in both.items()]
    _geojson(place / "lots.geojson", whole)
    each = [(one, {"id": f"{name} {n}", "lot": name}) for name, of in both.items() for n, one in enumerate(of)]
    _geojson(place / "stalls.geojson", each)
    surface = {"dark_object": False}
    broken = place / "pan_20240303.tif"
    kept = broken.read_bytes()
    broken.write_bytes(kept[: len(kept) // 2])
    told = observe(config(place, surface), tmp_path / "log", {}, now=NOW)
    assert [(one.source, one.reason) for one in told.set_aside] == [("20240303", PARTLY_UNREADABLE)]
    settings = config(place, surface).model_dump(mode="json")
    found = ObservationLog(tmp_path / "log", settings).observations()
    for path in (broken, place / "cloud_20240303.tif"):
        path.unlink()
    observe(config(place, surface), tmp_path / "without", {}, now=NOW)
    without = ObservationLog(tmp_path / "without", settings).observations()
    # of the lot that could not be read nothing is remembered; the other one's third day counts
    assert found.filter(site="low").equals(without.filter(site="low"))
    third = pl.col("event_time").dt.day() == 3
    assert found.filter(third)["site"].to_list() == ["lot", "lot"]
    assert found.filter(site="lot").height == without.filter(site="lot").height + 2


def test_the_config_of_the_page_can_be_read() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "parking_lots.md").read_text()
    found = parse_observation(yaml.safe_load(page.split("```yaml")[1].split("```")[0]), "docs/parking_lots.md")
    assert found.lots is not None
    assert found.lots.stalls is not None
    assert found.assets == ["red", "green", "blue"]
