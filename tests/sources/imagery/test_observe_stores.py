"""From a list of stores and a file of lots to observations of a ticker's sites."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio

from sources.config import parse_source
from sources.imagery.observation_log import ObservationLog
from sources.imagery.observe import observe
from sources.imagery.observe_config import parse_observation
from sources.imagery.zones import read_zones
from sources.lake import ingest, read
from sources.sites import sites_at
from sources.sites.join import join_lots, write_zones, zones_of

geopandas = pytest.importorskip("geopandas")
shapely = pytest.importorskip("shapely")
WEST, NORTH, UTM = 550_000.0, 3_255_000.0, "EPSG:32614"


def test_lots_of_stores_are_observed_as_sites_of_their_ticker(tmp_path: Path) -> None:
    boxes = [shapely.box(WEST + x, NORTH - 80, WEST + x + 40, NORTH - 40) for x in (0, 40, 200)]
    lots = geopandas.GeoDataFrame({"id": ["a", "b", "c"]}, geometry=boxes, crs=UTM)
    lots.to_file(tmp_path / "lots.gpkg")
    points = geopandas.GeoSeries([shapely.Point(WEST + x, NORTH - 60) for x in (41, 290)], crs=UTM).to_crs("EPSG:4326")
    lines = [f"{site},{ticker},{at.y},{at.x}" for site, ticker, at in zip((7, 8), ("AAA", "BBB"), points, strict=True)]
    (tmp_path / "stores_2020-01-01.csv").write_text("\n".join(["site,entity,latitude,longitude", *lines]) + "\n")

    entry = {"kind": "site_file", "files": str(tmp_path / "stores_*.csv"), "timezone": "UTC", "snapshot": "file_name"}
    rows = read(ingest("stores", parse_source("stores", entry), calendar="XNYS", lake=tmp_path / "lake").folder)
    there = sites_at(rows, datetime(2020, 6, 1, tzinfo=UTC))
    write_zones(zones_of(join_lots(read_zones(tmp_path / "lots.gpkg").zones, there)), tmp_path / "zones.geojson")

    # columns of the image tell where a pixel lies: 0 to 3 are lot a's, 4 to 7 b's, 20 to 23 c's
    image = np.broadcast_to(np.arange(32, dtype=np.float32), (8, 32))
    for day in ("20200105", "20191231"):
        with rasterio.open(
            tmp_path / f"light_{day}.tif", "w", driver="GTiff", count=1, height=8, width=32, dtype="float32", crs=UTM,
            transform=rasterio.Affine(10, 0, WEST, 0, -10, NORTH),
        ) as target:  # fmt: skip
            target.write(image, 1)
    tree = {
        "name": "lights",
        "scenes": {
            "kind": "folder",
            "files": str(tmp_path / "light_*.tif"),
            "name": "{asset}_{date:%Y%m%d}",
            "known": {"lag": "5d"},
            "assets": {"light": {}},
        },
        "zones": {
            "file": str(tmp_path / "zones.geojson"),
            "site": "site",
            "entity": "entity",
            "valid_from": "valid_from",
            "valid_to": "valid_to",
        },
        "grid": {"resolution": 10, "resampling": "nearest"},
        "measures": {"lights": {"kind": "band", "asset": "light", "statistics": ["mean"]}},
    }
    observe(parse_observation(tree, "test"), tmp_path / "log", {}, now=datetime(2021, 1, 1, tzinfo=UTC))
    settings = json.loads((tmp_path / "log" / "observation.json").read_text())["config"]
    found = ObservationLog(tmp_path / "log", settings).observations().sort("site")
    # one site of two lots, and one of one; nothing of the day before the list said that the stores were there
    assert found.select("entity", "site").rows() == [("AAA", "7"), ("BBB", "8")]
    assert found["event_time"].dt.date().unique().to_list() == [datetime(2020, 1, 5).date()]
    assert found["value"].to_list() == pytest.approx([3.5, 21.5], abs=0.05)
