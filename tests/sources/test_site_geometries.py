"""Sites from files of geometries and columns of WKT: in degrees whatever the file's CRS, or set aside."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from gpu_kernels.errors import ConfigError, DataError
from sources.config import parse_source
from sources.lake import IngestResult, ingest, read

geopandas = pytest.importorskip("geopandas")
shapely = pytest.importorskip("shapely")

ENTRY = {"kind": "site_file", "timezone": "UTC", "entity": "AAA", "snapshot": "2024-03-13", "quarantine_limit": 1}
SQUARE = shapely.Polygon([(-98.50, 29.40), (-98.50, 29.41), (-98.49, 29.41), (-98.49, 29.40)])
POINT = shapely.Point(-98.48, 29.43)
STORES = geopandas.GeoDataFrame({"site": ["7", "8"], "state": ["TX", "TX"]}, geometry=[SQUARE, POINT], crs="EPSG:4326")


def made(tmp_path: Path, path: Path, **told: Any) -> IngestResult:
    entry = ENTRY | {"files": str(path)} | told
    return ingest("stores", parse_source("stores", entry), calendar="XNYS", lake=tmp_path / "lake")


@pytest.mark.parametrize("name", ["stores.geojson", "stores.gpkg", "stores.shp", "stores.fgb"])
def test_every_format_gives_the_same_sites(tmp_path: Path, name: str) -> None:
    # metres, as surveys have them: GeoJSON alone is always in degrees
    frame = STORES if name.endswith("geojson") else STORES.to_crs("EPSG:32614")
    if name.endswith("shp"):  # a Shapefile holds one kind of shape
        frame = frame.head(1)
    frame.to_file(tmp_path / name)
    rows = read(made(tmp_path, tmp_path / name, columns={"region": "state"}, region_prefix="US-").folder)
    rows = rows.sort("site")
    assert rows["region"].unique().to_list() == ["US-TX"]
    polygon = shapely.from_wkt(rows["geometry"][0])
    assert polygon.symmetric_difference(SQUARE).area < 1e-9
    assert polygon.contains(shapely.Point(rows["longitude"][0], rows["latitude"][0]))
    if rows.height == 2:
        assert rows["geometry"][1] is None
        assert rows.select("longitude", "latitude").row(1) == pytest.approx((-98.48, 29.43), abs=1e-9)


def test_a_column_of_wkt(tmp_path: Path) -> None:
    lines = [
        "site,shape",
        f'1,"{SQUARE.wkt}"',
        "2,POINT (-98.48 29.43)",
        "3,POLYGON ((1 2",
        "4,",
        "5,POINT (29.4 -98.5)",
    ]
    (tmp_path / "stores.csv").write_text("\n".join(lines))
    found = made(tmp_path, tmp_path / "stores.csv", columns={"geometry": "shape"})
    rows = read(found.folder).sort("site")
    assert rows["site"].to_list() == ["1", "2"]
    assert rows.select("longitude", "latitude").row(1) == (-98.48, 29.43)
    reasons = {"bad_geometry": 1, "missing_coordinates": 1, "swapped_coordinates": 1}
    assert found.counts["quarantined"] == reasons


def test_what_a_feature_lacks_is_set_aside_with_its_attributes(tmp_path: Path) -> None:
    features = [
        {"type": "Feature", "properties": {"site": "1", "name": "empty"}, "geometry": None},
        {
            "type": "Feature",
            "properties": {"site": "2", "name": "zero"},
            "geometry": {"type": "Point", "coordinates": [0, 0]},
        },
        {
            "type": "Feature",
            "properties": {"site": "3", "name": "right"},
            "geometry": {"type": "Point", "coordinates": [1, 2]},
        },
    ]
    (tmp_path / "s.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    found = made(tmp_path, tmp_path / "s.geojson")
    aside = pl.read_parquet(found.quarantine).sort("line")
    assert aside.select("line", "reason").rows() == [(1, "missing_coordinates"), (2, "zero_coordinates")]
    assert json.loads(aside["raw"][1]) == {"site": "2", "name": "zero"}
    assert read(found.folder).select("site", "longitude", "latitude").rows() == [("3", 1.0, 2.0)]


def test_a_file_without_crs_is_refused(tmp_path: Path) -> None:
    STORES.head(1).to_crs("EPSG:32614").to_file(tmp_path / "stores.shp")
    (tmp_path / "stores.prj").unlink()
    with pytest.raises(ConfigError, match="does not say its CRS"):
        made(tmp_path, tmp_path / "stores.shp")
    found = made(tmp_path, tmp_path / "stores.shp", crs="EPSG:32614")
    assert read(found.folder)["latitude"].item() == pytest.approx(29.405, abs=1e-3)


def test_a_shapefile_is_another_when_its_table_is(tmp_path: Path) -> None:
    STORES.head(1).to_file(tmp_path / "stores.shp")
    first = made(tmp_path, tmp_path / "stores.shp")
    STORES.head(1).assign(state="OK").to_file(tmp_path / "stores.shp")
    second = made(tmp_path, tmp_path / "stores.shp")
    assert first.key != second.key


@pytest.mark.parametrize("content", [b"", b"{", b'{"type": "FeatureCollection"'])
def test_a_damaged_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "stores.geojson").write_bytes(content)
    with pytest.raises(DataError) as error:
        made(tmp_path, tmp_path / "stores.geojson")
    assert "stores.geojson" in str(error.value)
    assert "\n" not in str(error.value)
