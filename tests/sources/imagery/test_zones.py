"""Polygons of files: what is kept, repaired, set aside, refused."""

import json
from pathlib import Path

import geopandas
import pytest
import shapely

from gpu_kernels.errors import ConfigError, DataError
from sources.imagery.grid import grid_of, project
from sources.imagery.zones import PIXELS, Zone, read_zones

DAY = 86_400 * 10**9
SQUARE = [[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]]
HOLE = [[0.4, 0.4], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6], [0.4, 0.4]]
BOW_TIE = [[2, 0], [3, 1], [3, 0], [2, 1], [2, 0]]


def geojson(path: Path, *features: tuple[dict[str, object], dict[str, object] | None], **members: object) -> Path:
    rows = [{"type": "Feature", "properties": told, "geometry": shape} for told, shape in features]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": rows, **members}))
    return path


def polygon(*rings: list[list[float]]) -> dict[str, object]:
    return {"type": "Polygon", "coordinates": list(rings)}


def test_holes_and_multipolygons_are_kept(tmp_path: Path) -> None:
    both = {"type": "MultiPolygon", "coordinates": [[SQUARE, HOLE], [[[x + 5, y] for x, y in SQUARE]]]}
    found = read_zones(geojson(tmp_path / "a.geojson", ({"site": "a", "size": 3}, both)))
    (zone,) = found.zones
    assert (zone.site, zone.crs, zone.geometry.geom_type) == ("a", "EPSG:4326", "MultiPolygon")
    assert zone.geometry.area == pytest.approx(1.96)
    assert zone.attributes["size"] == 3
    assert not found.repaired
    parts = read_zones(tmp_path / "a.geojson", parts=True).zones
    assert [part.site for part in parts] == ["a/0", "a/1"]
    assert [part.geometry.area for part in parts] == pytest.approx([0.96, 1.0])


def test_an_invalid_polygon_is_repaired_and_counted(tmp_path: Path) -> None:
    found = read_zones(geojson(tmp_path / "a.geojson", ({"id": 1}, polygon(BOW_TIE)), ({"id": 2}, polygon(SQUARE))))
    assert [zone.site for zone in found.zones] == ["1", "2"]
    assert found.repaired == 1
    assert found.zones[0].geometry.is_valid
    assert found.zones[0].geometry.area == pytest.approx(0.5)


def test_what_is_no_polygon_is_set_aside_with_its_reason(tmp_path: Path) -> None:
    flat = [[0, 0], [1, 1], [2, 2], [0, 0]]
    rows = [
        ({"site": "none"}, None),
        ({"site": "point"}, {"type": "Point", "coordinates": [0, 0]}),
        ({"site": "line"}, {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}),
        ({"site": "flat"}, polygon(flat)),
        ({"site": "far"}, polygon([[x, y + 95] for x, y in SQUARE])),
        ({"site": None}, polygon(SQUARE)),
        ({"site": "good"}, polygon(SQUARE)),
        ({"site": "good"}, polygon(SQUARE)),
    ]
    found = read_zones(geojson(tmp_path / "a.geojson", *rows))
    assert [zone.site for zone in found.zones] == ["good"]
    assert {aside.source: aside.reason for aside in found.set_aside} == {
        "none": "no_geometry",
        "point": "no_area",
        "line": "no_area",
        "flat": "no_area",
        "far": "out_of_range",
        "row 5": "no_id",
        "good": "duplicate_id",
    }


def test_a_site_may_have_one_zone_after_the_other(tmp_path: Path) -> None:
    rows = [
        ({"site": "a", "since": "2019-01-01", "until": "2020-01-01"}, polygon(SQUARE)),
        ({"site": "a", "since": "2020-01-01", "until": None}, polygon([[x * 2, y] for x, y in SQUARE])),
        ({"site": "a", "since": "2019-06-01", "until": "2019-07-01"}, polygon(SQUARE)),
        ({"site": "b", "since": "2020-01-01", "until": "2019-01-01"}, polygon(SQUARE)),
        ({"site": "c", "since": "soon", "until": None}, polygon(SQUARE)),
    ]
    found = read_zones(geojson(tmp_path / "a.geojson", *rows), valid_from="since", valid_to="until")
    first, second = found.zones
    end = 18_262 * DAY  # 2020-01-01
    assert first.valid_at(end - 1)
    assert not first.valid_at(end)
    assert second.valid_at(end)
    assert not second.valid_at(end - 1)
    assert second.valid_at(end + 10**18)
    assert [aside.reason for aside in found.set_aside] == ["duplicate_id", "bad_validity", "bad_validity"]


def test_the_same_zones_of_every_format(tmp_path: Path) -> None:
    shapes = [shapely.box(500_000, 4_000_000, 500_100, 4_000_050), shapely.Point(500_300, 4_000_000).buffer(30)]
    frame = geopandas.GeoDataFrame({"name": ["a", "b"]}, geometry=shapes, crs="EPSG:32614")
    frame.to_file(tmp_path / "a.gpkg")
    frame.to_file(tmp_path / "a.shp")
    (tmp_path / "a.csv").write_text(
        "name,wkt\n" + "\n".join(f'{n},"{s.wkt}"' for n, s in zip("ab", shapes, strict=True))
    )
    for name, crs in (("a.gpkg", None), ("a.shp", None), ("a.csv", "EPSG:32614")):
        zones = read_zones(tmp_path / name, crs=crs).zones
        assert [zone.site for zone in zones] == ["a", "b"]
        assert {zone.crs for zone in zones} == {"EPSG:32614"}
        assert zones[0].geometry.equals(shapes[0])
        assert zones[1].geometry.symmetric_difference(shapes[1]).area < 1e-3


@pytest.mark.parametrize(
    "shape",
    [
        polygon([[179.9, -17], [-179.9, -17], [-179.9, -16.9], [179.9, -16.9], [179.9, -17]]),
        polygon([[-179.9, -17], [-179.9, -16.9], [179.9, -16.9], [179.9, -17], [-179.9, -17]]),
        polygon([[179.9, -17], [180.1, -17], [180.1, -16.9], [179.9, -16.9], [179.9, -17]]),
        {
            "type": "MultiPolygon",
            "coordinates": [
                [[[179.9, -17], [180, -17], [180, -16.9], [179.9, -16.9], [179.9, -17]]],
                [[[-180, -17], [-179.9, -17], [-179.9, -16.9], [-180, -16.9], [-180, -17]]],
            ],
        },
    ],
    ids=["jumps east", "jumps west", "beyond 180", "split"],
)
def test_a_zone_across_the_antimeridian_is_no_belt_around_the_globe(tmp_path: Path, shape: dict[str, object]) -> None:
    (zone,) = read_zones(geojson(tmp_path / "a.geojson", ({"site": "fiji"}, shape))).zones
    grid = grid_of(zone, 100, crs="EPSG:32701")
    # 0.2 degrees of longitude at 17 degrees south by 0.1 of latitude
    assert project(zone, grid.crs).area == pytest.approx(21_300 * 11_070, rel=0.01)
    assert grid.width < 250


def test_a_box_around_the_globe_stays_one(tmp_path: Path) -> None:
    ring = [[-180, -60], [180, -60], [180, 75], [-180, 75], [-180, -60]]
    found = read_zones(geojson(tmp_path / "a.geojson", ({"site": "all"}, polygon(ring))))
    assert found.zones[0].geometry.area == 360 * 135


def test_a_hole_beyond_the_antimeridian_stays_in_its_polygon(tmp_path: Path) -> None:
    outer = [[179, -18], [-178, -18], [-178, -16], [179, -16], [179, -18]]
    hole = [[-179.5, -17.5], [-179.5, -17], [-179, -17], [-179, -17.5], [-179.5, -17.5]]
    found = read_zones(geojson(tmp_path / "a.geojson", ({"site": "a"}, polygon(outer, hole))))
    assert found.zones[0].geometry.area == pytest.approx(6 - 0.25)
    assert not found.repaired


class TestCrs:
    def test_geojson_says_longitude_and_latitude_unless_it_says_otherwise(self, tmp_path: Path) -> None:
        path = geojson(tmp_path / "a.geojson", ({}, polygon(SQUARE)))
        assert read_zones(path).zones[0].crs == "EPSG:4326"
        assert read_zones(path, crs="EPSG:32633").zones[0].crs == "EPSG:32633"
        assert read_zones(path, crs="pixels").zones[0].crs == PIXELS
        told = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
        path = geojson(tmp_path / "b.geojson", ({}, polygon(SQUARE)), crs=told)
        assert read_zones(path).zones[0].crs == "EPSG:32633"
        with pytest.raises(ConfigError, match="leave `crs` out"):
            read_zones(path, crs="EPSG:32634")

    def test_text_must_be_told_its_crs(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text('site,geometry\na,"POLYGON((0 0,0 1,1 1,0 0))"\nb,POLYGON((0 0\nc,\n')
        with pytest.raises(ConfigError, match=r"does not say its CRS; write crs"):
            read_zones(path)
        with pytest.raises(ConfigError, match="none that PROJ knows"):
            read_zones(path, crs="EPSG:99")
        found = read_zones(path, crs="EPSG:4326")
        assert [zone.site for zone in found.zones] == ["a"]
        assert [aside.reason for aside in found.set_aside] == ["bad_geometry", "no_geometry"]

    def test_edges_bend_where_one_crs_is_seen_from_another(self) -> None:
        zone = Zone("a", shapely.box(14, 45, 16, 46), "EPSG:4326")
        moved = project(zone, "EPSG:32633")
        straight = shapely.transform(zone.geometry, lambda points: points)
        assert shapely.get_num_coordinates(moved) > shapely.get_num_coordinates(straight)
        # N cos(46) sin(46) (1 degree)^2 / 2: so far bends the parallel away from the line between its ends
        ends = [point for point in moved.exterior.coords if point[1] > 5_090_000]
        middle = min(moved.exterior.coords, key=lambda point: abs(point[0] - 500_000) - point[1])
        assert max(point[1] for point in ends) - middle[1] == pytest.approx(486, abs=2)

    def test_pixels_of_a_picture(self) -> None:
        grid = grid_of(Zone("a", shapely.box(3, 4, 7.5, 9), PIXELS), 1, margin=1)
        assert grid.transform == (1, 0, 2, 0, 1, 3)
        assert grid.shape == (7, 7)


class TestBadFiles:
    @pytest.mark.parametrize("name", ["a.geojson", "a.gpkg", "a.shp", "a.csv"])
    def test_empty_missing_and_damaged(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(DataError, match="is no file"):
            read_zones(tmp_path / name)
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(DataError, match="is empty"):
            read_zones(tmp_path / name)
        (tmp_path / name).write_bytes(b"\x00\x01{broken" * 9)
        with pytest.raises(DataError) as caught:
            read_zones(tmp_path / name, crs="EPSG:4326")
        assert "\n" not in str(caught.value)

    def test_other_suffixes_and_columns(self, tmp_path: Path) -> None:
        (tmp_path / "a.vrt").write_text("<OGRVRTDataSource/>")
        with pytest.raises(DataError, match="no file of polygons"):
            read_zones(tmp_path / "a.vrt")
        path = geojson(tmp_path / "a.geojson", ({"id": 1}, polygon(SQUARE)))
        for option in ("site", "valid_from", "valid_to"):
            with pytest.raises(ConfigError, match="has no column 'lot'; allowed: id"):
                read_zones(path, **{option: "lot"})

    def test_several_layers_must_be_chosen_from(self, tmp_path: Path) -> None:
        frame = geopandas.GeoDataFrame({"name": ["a"]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:4326")
        frame.to_file(tmp_path / "a.gpkg", layer="lots")
        frame.to_file(tmp_path / "a.gpkg", layer="roads")
        with pytest.raises(ConfigError, match="allowed: lots, roads"):
            read_zones(tmp_path / "a.gpkg")
        assert len(read_zones(tmp_path / "a.gpkg", layer="lots").zones) == 1


@pytest.mark.data
@pytest.mark.parametrize(
    ("city", "parts"), [("columbus-oh", 385), ("milwaukee-wi", 269), ("nashville-tn", 362), ("san-antonio-tx", 317)]
)
def test_real_parking_polygons_of_a_city_centre(data_root: Path, city: str, parts: int) -> None:
    path = data_root / "alt" / "entities" / "parking_polygons" / f"{city}.geojson"
    whole = read_zones(path)
    assert (len(whole.zones), whole.zones[0].crs) == (1, "EPSG:4326")
    lots = read_zones(path, parts=True)
    assert (len(lots.zones), lots.set_aside) == (parts, [])
    areas = [project(zone, grid_of(zone, 0.5).crs).area for zone in lots.zones]
    # slivers of one square metre among them
    assert 500 < sorted(areas)[parts // 2] < 5_000
    assert max(areas) < 200_000
