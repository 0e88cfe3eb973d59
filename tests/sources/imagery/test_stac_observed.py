"""STAC items through a whole observation: one bad item, one elsewhere, and the others are observed."""

import json
from pathlib import Path

import numpy as np
from images import NORTH, UTM, WEST, write
from stac_files import item

from sources.imagery.grid import transformer
from sources.imagery.observe import observe
from sources.imagery.observe_config import parse_observation


def test_a_bad_item_and_one_elsewhere_stop_nothing(tmp_path: Path) -> None:
    west, south, east, north = transformer(UTM, "EPSG:4326").transform_bounds(WEST, NORTH - 400, WEST + 400, NORTH)
    here = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    lot = {"type": "Polygon", "coordinates": [here]}
    told = {"type": "Feature", "properties": {"site": "lot"}, "geometry": lot}
    (tmp_path / "zones.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [told]}))
    write(tmp_path / "good.tif", np.full((40, 40), 7, "u1"))
    (tmp_path / "bad.tif").write_bytes(b"II*\x00 and no more")
    (tmp_path / "far.tif").write_bytes(b"II*\x00 never opened")
    for name, day in (("good", 1), ("bad", 2), ("far", 3)):
        image = {"red": {"href": f"{name}.tif", "type": "image/tiff"}}
        one = item(name, assets=image, datetime=f"2020-01-0{day}T10:00:00Z")
        if name != "far":
            one |= {"geometry": lot, "bbox": [west, south, east, north]}
        (tmp_path / f"{name}.json").write_text(json.dumps(one))
    files = [str(tmp_path / f"{name}.json") for name in ("good", "bad", "far")]
    config = {
        "name": "lots",
        "scenes": {"kind": "stac", "files": files, "known": {"lag": "1d"}, "assets": {"red": {}}},
        "zones": {"file": str(tmp_path / "zones.geojson")},
        "grid": {"resolution": 10, "resampling": "nearest"},
        "measures": {"red": {"kind": "band", "asset": "red"}},
    }
    done = observe(parse_observation(config, "test"), tmp_path / "log", {})
    assert {aside.source: aside.reason for aside in done.set_aside} == {"bad": "unreadable", "far": "no_zone"}
    assert (done.counts["observed"], done.counts["failed"], done.counts["rows"]) == (2, 1, 1)
    assert done.counts["outside"] == 1
