"""What `describe` makes of lists of sites: a source that reads them as it stands, but for the tickers."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from gpu_kernels.errors import DataError, QuarantineError
from sources.config import parse_source
from sources.describe import describe
from sources.lake import ingest, read
from sources.preview import preview
from sources.quality import Window
from sources.sites.load import lists, load


def guessed(path: Path) -> dict[str, Any]:
    found = describe(path)["source"]
    assert found is not None
    entry: dict[str, Any] = next(iter(yaml.safe_load(found["yaml"]).values()))
    assert all(f"{name}:" in found["yaml"] for name in found["check"])
    return entry


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_openings_in_two_digit_years_take_a_lag(tmp_path: Path) -> None:
    path = write(
        tmp_path / "walls.csv", "storenum,OPENDATE,STRSTATE,LAT,LON\n1,7/1/62,AR,36.3,-94.1\n2,11/23/06,TX,30,-97\n"
    )
    entry = guessed(path)
    assert entry["lag"] == "30d"
    assert (entry["time_format"], entry["region_prefix"], entry["entity"]) == ("%m/%d/%y", "US-", "NAME")
    assert entry["columns"]["opened"] == "OPENDATE"
    rows = read(ingest("walls", parse_source("walls", entry), calendar="XNYS", lake=tmp_path / "lake").folder)
    assert rows["event_time"].dt.year().to_list() == [1962, 2006]
    assert rows["region"].to_list() == ["US-AR", "US-TX"]


def test_snapshots_and_brands(tmp_path: Path) -> None:
    path = write(
        tmp_path / "trees.csv",
        "clientkey,brand,latitude,longitude,updated\n7,Tree,30,-97,2024-03-13\n8,Bush,31,-97,2024-03-13\n",
    )
    entry = guessed(path)
    assert entry["tickers"] == {"Bush": "TICKER", "Tree": "TICKER"}
    assert entry["columns"] == {"site": "clientkey", "snapshot": "updated"}
    assert "lag" not in entry
    assert "snapshot" not in entry


def test_a_day_in_the_name_and_semicolons(tmp_path: Path) -> None:
    path = write(
        tmp_path / "shops_20240313.csv", "id;lat;lng;land\n7;48,1;11,5;BY\n".replace(",", ".") + "8;50.1;8.6;HE\n"
    )
    entry = guessed(path)
    assert (entry["snapshot"], entry["delimiter"], entry["columns"]["site"]) == ("file_name", ";", "id")
    assert "region_prefix" not in entry


def test_measurements_with_coordinates_are_no_list(tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", "id,date,lat,lon,value\n1,2020-01-01,30,-97,5\n2,2020-01-02,31,-97,6\n")
    assert "site_file" not in str(describe(path)["source"])


def test_geojson(tmp_path: Path) -> None:
    geopandas = pytest.importorskip("geopandas")
    places = geopandas.points_from_xy([-97.0, -98.0], [30.0, 31.0])
    geopandas.GeoDataFrame({"store_id": ["1", "2"]}, geometry=places, crs=4326).to_file(
        tmp_path / "s_2024-03-13.geojson"
    )
    found = describe(tmp_path / "s_2024-03-13.geojson")
    assert (found["kind"], found["rows"], found["warnings"]) == ("geojson", 2, [])
    entry = guessed(tmp_path / "s_2024-03-13.geojson") | {"entity": "AAA"}
    rows = read(ingest("s", parse_source("s", entry), calendar="XNYS", lake=tmp_path / "lake").folder)
    assert rows.select("entity", "site", "longitude").rows() == [("AAA", "1", -97.0), ("AAA", "2", -98.0)]


def test_polygons_may_be_lots(tmp_path: Path) -> None:
    geopandas, shapely = pytest.importorskip("geopandas"), pytest.importorskip("shapely")
    frame = geopandas.GeoDataFrame({"id": ["1"]}, geometry=[shapely.box(-97, 30, -96.9, 30.1)], crs=4326)
    frame.to_file(tmp_path / "lots.geojson")
    assert "trifuse sites join" in describe(tmp_path / "lots.geojson")["warnings"][0]


class TestMistakes:
    def test_a_missing_column_is_told_before_the_ingest(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "store,latitude,longitude\n1,30,-97\n")
        source = parse_source(
            "a", {"kind": "site_file", "files": str(path), "timezone": "UTC", "entity": "A", "snapshot": "2024-03-13"}
        )
        with pytest.raises(DataError, match="has no column 'site'"):
            preview("a", source, [file for file in _files(source)], Window("XNYS"))

    def test_days_that_need_a_format_name_it(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "site,latitude,longitude,opened\n1,30,-97,7/1/62\n2,30,-97,12/31/99\n")
        entry = {"kind": "site_file", "files": str(path), "timezone": "UTC", "entity": "A", "lag": "1d"}
        source = parse_source("a", entry | {"columns": {"opened": "opened"}})
        with pytest.raises(QuarantineError, match=r"write time_format: '%m/%d/%y'"):
            ingest("a", source, calendar="XNYS", lake=tmp_path / "lake")


def _files(source: Any) -> Any:
    from sources.files import input_files

    return input_files(source, {})


class TestLoad:
    LIST = "site,brand,latitude,longitude,updated\n7,Tree,30,-97,2024-03-13\n8,Tree,31,-97,2024-03-13\n"

    def test_a_raw_list_is_of_its_brand_or_of_the_ticker_told(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", self.LIST)
        assert load(path).rows["entity"].unique().to_list() == ["Tree"]
        assert load(path, entity="TRE").rows["entity"].unique().to_list() == ["TRE"]

    def test_snapshots_of_files(self, tmp_path: Path) -> None:
        first, second = (write(tmp_path / f"{name}.csv", self.LIST) for name in "ab")
        second.write_text(self.LIST.replace("2024-03-13", "2024-06-05").replace("8,Tree", "9,Tree"))
        found = lists([first, second], entity="TRE", options={"most_closed": 0.5})
        assert found.rows.height == 4
        assert found.rows.filter(pl.col("valid_to").is_not_null())["site"].to_list() == ["8"]
        assert found.counts["list"]["read"] == 4

    def test_a_config_a_lake_folder_and_a_table_hold_the_same(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", self.LIST)
        entry = {
            "kind": "site_file",
            "files": str(path),
            "timezone": "UTC",
            "tickers": {"Tree": "TRE"},
            "columns": {"snapshot": "updated"},
        }
        (tmp_path / "c.yaml").write_text(yaml.safe_dump({"sources": {"trees": entry, "other": {"kind": "news_file"}}}))
        folder = ingest("trees", parse_source("trees", entry), calendar="XNYS", lake=tmp_path / "lake").folder
        wanted = read(folder)
        wanted.write_parquet(tmp_path / "t.parquet")
        for one in (tmp_path / "c.yaml", folder, tmp_path / "t.parquet"):
            assert load(one).rows.equals(wanted)
        assert wanted["known_time"].unique().to_list() == [datetime(2024, 3, 14, tzinfo=UTC)]

    @pytest.mark.parametrize(
        ("name", "text", "words"),
        [
            ("a.csv", "a,b\n1,2\n", "looks like no list of sites"),
            ("a.csv", "", "is empty"),
            ("a.yaml", "sources: {x: {kind: news_file}}", "no source of kind site_file"),
            ("a.yaml", "[1, 2", "cannot be read"),
        ],
    )
    def test_what_holds_no_sites_is_one_line(self, tmp_path: Path, name: str, text: str, words: str) -> None:
        from gpu_kernels.errors import TrifuseError

        with pytest.raises(TrifuseError, match=words) as error:
            load(write(tmp_path / name, text))
        assert "\n" not in str(error.value)

    def test_missing_path_and_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="does not exist"):
            load(tmp_path / "none")
        with pytest.raises(DataError, match="holds no finished ingest"):
            load(tmp_path)


@pytest.mark.data
def test_real_lists_are_guessed(data_root: Path) -> None:
    folder = data_root / "alt/entities"
    columns = {path.name.split("_")[0]: guessed(path)["columns"] for path in sorted(folder.glob("*.csv"))}
    assert columns == {
        "costco": {"site": "store_id", "opened": "store_opened", "region": "state"},
        "dollar-tree": {"site": "clientkey", "snapshot": "updated", "region": "state"},
        "home-depot": {"site": "store_id", "name": "store_name", "region": "state"},
        "kroger": {"site": "locationId", "region": "state"},
        "walmart": {
            "site": "storenum",
            "latitude": "LAT",
            "longitude": "LON",
            "opened": "OPENDATE",
            "region": "STRSTATE",
        },
    }
