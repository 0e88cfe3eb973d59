"""Lots joined to stores: distances in metres, ties and shared lots, what is set aside, and real lots of a city."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from site_rows import row, table
from test_site_file import DOLLAR_TREE, HOME_DEPOT, KROGER, real

from gpu_kernels.errors import ArgumentError, DataError
from sources.imagery.zones import Zone, read_zones
from sources.sites import sites_at
from sources.sites.join import join_lots, write_zones, zones_of

geopandas = pytest.importorskip("geopandas")
shapely = pytest.importorskip("shapely")

EAST, NORTH, UTM = 550_000.0, 3_255_000.0, "EPSG:32614"  # San Antonio, in metres


def lot(name: str, x: float, y: float = 0.0, size: float = 40.0, crs: str = UTM) -> Zone:
    """A square whose lower left corner lies so many metres east and north."""
    return Zone(name, shapely.box(EAST + x, NORTH + y, EAST + x + size, NORTH + y + size), crs)


def degrees(zone: Zone) -> Zone:
    shape = geopandas.GeoSeries([zone.geometry], crs=zone.crs).to_crs("EPSG:4326")[0]
    return Zone(zone.site, shape, "EPSG:4326")


def store(site: str, x: float, y: float = 20.0, entity: str = "AAA", shape: Any = None) -> dict[str, Any]:
    point = geopandas.GeoSeries([shapely.Point(EAST + x, NORTH + y)], crs=UTM).to_crs("EPSG:4326")[0]
    found = row(site, 0, 0, entity=entity, latitude=point.y, longitude=point.x)
    return found | {"geometry": None if shape is None else shape.wkt}


def pairs(found: pl.DataFrame) -> list[tuple[Any, ...]]:
    return found.select("lot", "entity", "site", pl.col("distance_m").round(1), "sites", "weight").rows()


def test_a_lot_belongs_to_the_nearest_store_within_the_distance() -> None:
    lots = [lot("inside", -20), lot("near", 60), lot("far", 500)]
    found = join_lots(lots, table(store("1", 0), store("2", 900)), distance=100)
    assert pairs(found.pairs) == [("inside", "AAA", "1", 0.0, 1, 1.0), ("near", "AAA", "1", 60.0, 1, 1.0)]
    assert found.unmatched == ["far"]
    assert found.pairs["area_m2"].to_list() == pytest.approx([1600, 1600], rel=1e-3)


def test_degrees_and_metres_give_the_same() -> None:
    lots = [lot("inside", -20), lot("near", 60), lot("far", 500)]
    stores = table(store("1", 0), store("2", 900))
    found = join_lots([*map(degrees, lots)], stores)
    assert pairs(found.pairs) == pairs(join_lots(lots, stores).pairs)


def test_a_tie_gives_a_row_for_each_store() -> None:
    found = join_lots([lot("between", 0)], table(store("1", -30), store("2", 70), store("3", 75)), distance=100)
    assert pairs(found.pairs) == [("between", "AAA", "1", 30.0, 2, 0.5), ("between", "AAA", "2", 30.0, 2, 0.5)]


def test_all_shares_a_lot_among_the_stores_in_reach() -> None:
    stores = table(store("1", -30), store("2", 75), store("3", 75, entity="BBB"), store("4", 400))
    found = join_lots([lot("shared", 0), lot("own", 330)], stores, share="all", distance=100)
    assert pairs(found.pairs) == [
        ("own", "AAA", "4", 30.0, 1, 1.0),
        ("shared", "AAA", "1", 30.0, 3, 1 / 3),
        ("shared", "AAA", "2", 35.0, 3, 1 / 3),
        ("shared", "BBB", "3", 35.0, 3, 1 / 3),
    ]
    assert found.pairs.group_by("lot").agg(pl.col("weight").sum())["weight"].to_list() == pytest.approx([1, 1])


def test_a_stores_polygon_goes_before_its_point() -> None:
    house = degrees(lot("house", 130, size=100)).geometry
    stores = table(store("1", 180, shape=house), store("2", 160, y=-60))
    assert pairs(join_lots([lot("lot", 60)], stores).pairs) == [("lot", "AAA", "1", 30.0, 1, 1.0)]


def test_lots_of_two_utm_zones() -> None:
    denver, austin = (table(row(name, 0, 0, longitude=lon)) for name, lon in (("w", -104.99), ("e", -97.7)))
    lots = [Zone(f"lot {x}", shapely.box(x, 30.0, x + 1e-4, 30.0001), "EPSG:4326") for x in (-104.991, -97.7005)]
    found = join_lots(lots, pl.concat([denver, austin]), distance=200)
    assert found.pairs["site"].to_list() == ["w", "e"]
    assert found.pairs["distance_m"].to_list() == pytest.approx([86.9, 38.6], abs=0.2)


def test_swapped_axes_are_set_aside() -> None:
    right = degrees(lot("right", 0))
    wrong = Zone("wrong", shapely.transform(right.geometry, lambda x, y: (y, x), interleaved=False), "EPSG:4326")
    stores = table(store("1", 0))
    found = join_lots([right, wrong], stores)
    assert [(one.source, one.reason) for one in found.set_aside] == [("wrong", "swapped_coordinates")]
    assert found.unmatched == []
    with pytest.raises(DataError, match="all of them were set aside"):
        join_lots([wrong], stores)


@pytest.mark.parametrize(
    ("lots", "stores", "options", "words"),
    [
        ([], [store("1", 0)], {}, "0 lots and 1 stores"),
        ([lot("a", 0)], [], {}, "1 lots and 0 stores"),
        ([lot("a", 500)], [store("1", 0)], {}, "the nearest is 500 m away"),
        ([lot("a", 0)], [row("1", 0, 0)], {}, r"the nearest is 8\d\d,\d\d\d m"),
        ([lot("a", 0), lot("a", 50)], [store("1", 0)], {}, "1 lots have an id"),
        ([lot("a", 0, crs="pixels")], [store("1", 0)], {}, "pixels"),
        ([lot("a", 0)], [store("1", 0), store("1", 10)], {}, "a site twice"),
        ([lot("a", 0)], [store("1", 0)], {"distance": -1}, "distance -1"),
        ([lot("a", 0)], [store("1", 0)], {"distance": float("nan")}, "distance nan"),
    ],
)
def test_mistakes_are_one_line(lots: list[Zone], stores: list[Any], options: dict[str, Any], words: str) -> None:
    with pytest.raises((DataError, ArgumentError), match=words) as error:
        join_lots(lots, table(*stores), **options)
    assert "\n" not in str(error.value)


class TestZones:
    STORES = table(store("1", -30), store("2", 75), store("9", 75, entity="BBB"))

    def test_a_zone_of_each_site_holds_all_its_lots(self, tmp_path: Path) -> None:
        found = join_lots([lot("a", 0), lot("b", -90, 10)], self.STORES, share="all", distance=50)
        write_zones(zones_of(found), tmp_path / "zones.geojson")
        zones = {zone.site: zone for zone in read_zones(tmp_path / "zones.geojson", valid_from="valid_from").zones}
        assert set(zones) == {"1", "2", "9"}
        first = zones["1"].attributes
        assert (first["entity"], first["lots"], first["lot_ids"], first["shared"]) == ("AAA", 2, "a,b", 1)
        assert first["weight"] == pytest.approx((1 / 3 + 1) / 2, abs=1e-5)
        assert first["area_m2"] == pytest.approx(3200, rel=1e-3)
        assert zones["9"].attributes["entity"] == "BBB"
        assert zones["1"].valid_from == int(datetime(2020, 1, 1, tzinfo=UTC).timestamp() * 1e9)

    def test_a_zone_of_each_lot_has_an_id_of_its_own(self, tmp_path: Path) -> None:
        found = join_lots([lot("a", 0), lot("b", -90)], self.STORES, share="all", distance=50)
        write_zones(zones_of(found, of="lot"), tmp_path / "zones.geojson")
        read = read_zones(tmp_path / "zones.geojson")
        assert [zone.site for zone in read.zones] == ["a@AAA:1", "a@AAA:2", "a@BBB:9", "b"]
        assert [zone.attributes["store"] for zone in read.zones] == ["1", "2", "9", "1"]
        assert read.set_aside == []

    def test_one_id_of_two_tickers_is_refused(self) -> None:
        stores = table(store("1", 0), store("1", 20, entity="BBB"))
        found = join_lots([lot("a", 0)], stores, share="all")
        with pytest.raises(DataError, match="site '1' is one of AAA and one of BBB"):
            zones_of(found)
        assert len(zones_of(found, of="lot")) == 2


@pytest.mark.data
class TestRealLots:
    @pytest.fixture
    def stores(self, data_root: Path, tmp_path: Path) -> pl.DataFrame:
        chains = [real(data_root, tmp_path / str(n), e)[1] for n, e in enumerate((DOLLAR_TREE, HOME_DEPOT, KROGER))]
        return sites_at(pl.concat(chains), datetime(2024, 7, 1, tzinfo=UTC))

    def test_nashvilles_downtown_lots_near_a_kroger(self, data_root: Path, stores: pl.DataFrame) -> None:
        lots = read_zones(data_root / "alt/entities/parking_polygons/nashville-tn.geojson", parts=True).zones
        assert len(lots) == 362
        with pytest.raises(DataError, match="the nearest is 200 m away"):
            join_lots(lots, stores)
        found = join_lots(lots, stores, distance=250)
        assert found.pairs.select("entity", "site").rows() == [("KR", "02600502")] * 3
        zones = zones_of(found)
        assert [(zone["properties"]["site"], zone["properties"]["lots"]) for zone in zones] == [("02600502", 3)]
        assert json.dumps(zones)

    def test_san_antonios_lots_are_of_no_store(self, data_root: Path, stores: pl.DataFrame) -> None:
        lots = read_zones(data_root / "alt/entities/parking_polygons/san-antonio-tx.geojson", parts=True).zones
        with pytest.raises(DataError, match=r"none of 317 lots lies within 100 m .*the nearest is 1,2\d\d m away"):
            join_lots(lots, stores)
        found = join_lots(lots, stores, distance=1500)
        assert found.pairs.height + len(found.unmatched) == 317
        points = geopandas.GeoDataFrame(
            geometry=geopandas.points_from_xy(stores["longitude"], stores["latitude"]), crs="EPSG:4326"
        ).to_crs(UTM)
        for name, distance in found.pairs.select("lot", "distance_m").iter_rows():
            shape = geopandas.GeoSeries([found.lots[name]], crs="EPSG:4326").to_crs(UTM)[0]
            assert points.distance(shape).min() == pytest.approx(distance, abs=0.01)
