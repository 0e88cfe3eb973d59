"""Lists of stores as files: columns, clocks, brands, what is set aside, and the real lists of five chains."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

from gpu_kernels.errors import ConfigError, DataError, QuarantineError
from sources.config import parse_source
from sources.lake import IngestResult, ingest, ingest_all, read
from sources.sites import facts, sites_at

LIST = {"kind": "site_file", "timezone": "UTC", "entity": "AAA"}
HEADER = "site,latitude,longitude,opened,closed,brand,region\n"


def made(tmp_path: Path, entry: dict[str, Any], **files: str) -> IngestResult:
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text)
    entry = {"files": str(tmp_path / "*.csv"), "quarantine_limit": 1} | entry
    return ingest("stores", parse_source("stores", entry), calendar="XNYS", lake=tmp_path / "lake")


def days(rows: pl.DataFrame) -> list[tuple[Any, ...]]:
    clocks = pl.col("event_time", "known_time", "valid_to").dt.strftime("%Y-%m-%d %H")
    return rows.sort("known_time", "entity", "site").select("entity", "site", clocks).rows()


class TestClocks:
    def test_a_lag_tells_openings_and_closings_apart(self, tmp_path: Path) -> None:
        entry = LIST | {"lag": "10d", "columns": {"opened": "opened", "closed": "closed"}}
        found = made(tmp_path, entry, stores=HEADER + "1,30,-90,2020-01-01,2021-01-01,,\n2,30,-90,2020-06-01,,,\n")
        assert days(read(found.folder)) == [
            ("AAA", "1", "2020-01-01 00", "2020-01-12 00", None),
            ("AAA", "2", "2020-06-01 00", "2020-06-12 00", None),
            ("AAA", "1", "2020-01-01 00", "2021-01-12 00", "2021-01-02 00"),
        ]
        assert found.warnings == []

    def test_a_list_without_closings_says_that_only_survivors_are_in_it(self, tmp_path: Path) -> None:
        entry = LIST | {"lag": "10d", "columns": {"opened": "opened"}}
        found = made(tmp_path, entry, stores=HEADER + "1,30,-90,2020-01-01,2021-01-01,,\n")
        assert read(found.folder)["valid_to"].to_list() == [None]
        assert "openings only: no closings (survivorship)" in found.warnings[0]

    def test_a_snapshot_is_known_at_the_end_of_its_day(self, tmp_path: Path) -> None:
        entry = LIST | {"snapshot": "2024-03-13", "timezone": "America/New_York", "columns": {"opened": "opened"}}
        found = made(tmp_path, entry, stores=HEADER + "1,30,-90,2010-01-01,,,\n2,30,-90,,,,\n")
        assert days(read(found.folder)) == [
            ("AAA", "1", "2010-01-01 05", "2024-03-14 04", None),
            ("AAA", "2", "2024-03-14 04", "2024-03-14 04", None),
        ]
        assert len(found.warnings) == 1
        assert "survivorship" in found.warnings[0]

    def test_an_opening_that_is_not_mapped_is_not_read(self, tmp_path: Path) -> None:
        found = made(tmp_path, LIST | {"snapshot": "2024-03-13"}, stores=HEADER + "1,30,-90,2010-01-01,2011-01-01,,\n")
        assert days(read(found.folder)) == [("AAA", "1", "2024-03-14 00", "2024-03-14 00", None)]

    def test_snapshots_by_name_of_file_come_in_order_of_their_days(self, tmp_path: Path) -> None:
        text = {
            "b_20240313": HEADER + "1,30,-90,,,,\n2,30,-90,,,,\n",
            "a_20240605": HEADER + "2,30,-90,,,,\n3,30,-90,,,,\n",
        }
        found = made(tmp_path, LIST | {"snapshot": "file_name", "most_closed": 0.5}, **text)
        assert days(read(found.folder)) == [
            ("AAA", "1", "2024-03-14 00", "2024-03-14 00", None),
            ("AAA", "2", "2024-03-14 00", "2024-03-14 00", None),
            ("AAA", "1", "2024-03-14 00", "2024-06-06 00", "2024-06-06 00"),
            ("AAA", "3", "2024-06-06 00", "2024-06-06 00", None),
        ]
        assert found.counts["read"] == 4 == found.counts["used"] + found.counts["ignored"]["unchanged"]

    def test_a_truncated_list_stops_the_ingest(self, tmp_path: Path) -> None:
        text = {"a_20240313": HEADER + "1,30,-90,,,,\n2,30,-90,,,,\n", "b_20240605": HEADER + "2,30,-90,,,,\n"}
        with pytest.raises(DataError, match=r"lacks 1 of the 2 sites .*truncated"):
            made(tmp_path, LIST | {"snapshot": "file_name"}, **text)

    def test_one_snapshot_of_several_to_come_says_that_nothing_closes_yet(self, tmp_path: Path) -> None:
        found = made(tmp_path, LIST | {"snapshot": "file_name"}, a_20240313=HEADER + "1,30,-90,,,,\n")
        assert found.warnings == [f"source stores: 1 {facts.NOTES['one_snapshot']}"]

    def test_a_file_whose_name_holds_no_day_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"stores\.csv: its name holds no day"):
            made(tmp_path, LIST | {"snapshot": "file_name"}, stores=HEADER + "1,30,-90,,,,\n")

    def test_known_times_of_the_file_make_vintages(self, tmp_path: Path) -> None:
        text = "site,latitude,longitude,valid_from,valid_to,known\n"
        text += (
            "1,30,-90,2020-01-01,,2020-02-01T12:00:00Z\n1,30,-90,2020-01-01,2020-12-31T00:00:00Z,2021-01-05T12:00:00Z\n"
        )
        columns = {"opened": "valid_from", "closed": "valid_to", "known_time": "known"}
        found = made(tmp_path, LIST | {"columns": columns}, stores=text)
        assert days(read(found.folder)) == [
            ("AAA", "1", "2020-01-01 00", "2020-02-01 12", None),
            ("AAA", "1", "2020-01-01 00", "2021-01-05 12", "2020-12-31 00"),
        ]


class TestParts:
    FILES: ClassVar[dict[str, str]] = {
        "AAA": HEADER + "1,30,-90,2010-01-01,,,\n",
        "BBB": HEADER + "1,31,-90,2011-01-01,,,\n2,0,0,2011-01-01,,,\n",
    }

    @pytest.mark.parametrize("workers", [1, 2])
    def test_lists_of_several_entities_are_parts_of_one_source(self, tmp_path: Path, workers: int) -> None:
        for name, text in self.FILES.items():
            (tmp_path / f"{name}.csv").write_text(text)
        entry = LIST | {"entity": None, "lag": "1d", "columns": {"opened": "opened"}, "quarantine_limit": 1}
        source = parse_source("stores", entry | {"files": str(tmp_path / "{entity}.csv")})
        found = ingest_all({"stores": source}, calendar="XNYS", lake=tmp_path / "lake", workers=workers)["stores"]
        assert read(found.folder).select("entity", "site", "latitude").rows() == [
            ("AAA", "1", 30.0),
            ("BBB", "1", 31.0),
        ]
        assert found.counts["quarantined"] == {"zero_coordinates": 1}
        assert ingest("stores", source, calendar="XNYS", lake=tmp_path / "lake").reused


class TestBrands:
    ENTRY: ClassVar[dict[str, Any]] = {
        "kind": "site_file",
        "timezone": "UTC",
        "lag": "0s",
        "columns": {"opened": "opened"},
        "tickers": {"Family Dollar": [{"entity": "FDO", "to": "2015-07-06"}, {"entity": "DLTR", "from": "2015-07-07"}]}
        | {"Dollar Tree": "DLTR"},
    }

    def test_two_brands_come_to_one_ticker_in_time(self, tmp_path: Path) -> None:
        text = "1,30,-90,2010-01-01,,FAMILY DOLLAR ,\n1,30,-90,2010-01-01,,Dollar Tree,\n"
        text = HEADER + text + "3,30,-90,2016-01-01,,family dollar,\n"
        found = made(tmp_path, self.ENTRY, stores=text)
        rows = read(found.folder)
        at = [datetime(year, 6, 1, tzinfo=UTC) for year in (2011, 2015, 2017)]
        held = [sites_at(rows, time).select("entity", "site").rows() for time in at]
        assert held == [
            [("DLTR", "Dollar Tree:1"), ("FDO", "Family Dollar:1")],
            [("DLTR", "Dollar Tree:1"), ("FDO", "Family Dollar:1")],
            [("DLTR", "Dollar Tree:1"), ("DLTR", "Family Dollar:1"), ("DLTR", "Family Dollar:3")],
        ]
        assert (found.counts["read"], found.counts["used"]) == (3, 3)
        # one file of each ticker, whichever brand the rows came from
        assert sorted(path.name for path in found.folder.glob("entity=*")) == [
            "entity=DLTR.parquet",
            "entity=FDO.parquet",
        ]

    def test_brands_of_different_tickers_keep_their_identifiers(self, tmp_path: Path) -> None:
        text = HEADER + "1,30,-90,2010-01-01,,Kroger,\n1,30,-90,2010-01-01,,Costco,\n"
        found = made(tmp_path, self.ENTRY | {"tickers": {"Kroger": "KR", "Costco": "COST"}}, stores=text)
        assert read(found.folder).select("entity", "site").rows() == [("COST", "1"), ("KR", "1")]

    def test_a_brand_of_nobody_is_set_aside(self, tmp_path: Path) -> None:
        tickers = {"Kmart": [{"entity": "KM", "from": "2003-05-06", "to": "2005-03-24"}]}
        text = "1,30,-90,2010-01-01,,Kmart,\n2,30,-90,2010-01-01,,Target,\n3,30,-90,2010-01-01,,,\n"
        text = HEADER + text + "4,30,-90,2004-01-01,,Kmart,\n"
        found = made(tmp_path, self.ENTRY | {"tickers": tickers}, stores=text)
        assert found.counts["quarantined"] == {"missing_brand": 1, "no_ticker_then": 1, "unknown_brand": 1}
        assert pl.read_parquet(found.quarantine).sort("line")["raw"].str.slice(0, 1).to_list() == ["1", "2", "3"]
        assert read(found.folder)["site"].unique().to_list() == ["4"]

    def test_a_column_of_brands_is_needed(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="has no column 'brand'"):
            made(tmp_path, self.ENTRY, stores="site,latitude,longitude,opened\n1,2,3,2010-01-01\n")


def test_what_is_set_aside(tmp_path: Path) -> None:
    lines = {
        "1,30,-90,2010-01-01,,,": None,
        "1,31,-91,2010-01-01,,,": "conflicting_duplicate",
        "1,31,-91,2011-01-01,,,": "duplicate_site",
        "2,,,2010-01-01,,,": "missing_coordinates",
        "3,x,-90,2010-01-01,,,": "unparsable_number",
        "4,0,0,2010-01-01,,,": "zero_coordinates",
        "5,-93,44,2010-01-01,,,": "swapped_coordinates",
        "6,95,200,2010-01-01,,,": "coordinates_out_of_range",
        "7,30,-90,soon,,,": "unparsable_time",
        ",30,-90,2010-01-01,,,": "missing_site",
        "8,30,-90,2010-01-01,2009-01-01,,": "closed_before_opened",
        "9,30,-90": "wrong_field_count",
    }
    columns = {"opened": "opened", "closed": "closed"}
    found = made(tmp_path, LIST | {"snapshot": "2024-03-13", "columns": columns}, stores=HEADER + "\n".join(lines))
    aside = pl.read_parquet(found.quarantine)
    assert dict(zip(aside["raw"], aside["reason"], strict=True)) == {k: v for k, v in lines.items() if v}
    assert found.counts["used"] == 1


def test_only_some_rows_are_wanted(tmp_path: Path) -> None:
    text = HEADER + "1,30,-90,2010-01-01,,Tree,\n2,30,-90,2010-01-01,,,\n3,30,-90,2010-01-01,,Bush,\n"
    found = made(tmp_path, LIST | {"snapshot": "2024-03-13", "only": {"brand": ["Tree", ""]}}, stores=text)
    assert read(found.folder)["site"].to_list() == ["1", "2"]
    assert found.counts["ignored"] == {"other_kind": 1}


def test_without_a_lag_rule_days_are_needed(tmp_path: Path) -> None:
    entry = LIST | {"lag": "1d", "columns": {"opened": "opened"}}
    found = made(tmp_path, entry, stores=HEADER + "1,30,-90,,,,\n2,30,-90,2010-01-01,,,\n")
    assert found.counts["quarantined"] == {"missing_opened": 1}


def test_too_many_bad_rows_stop_the_ingest(tmp_path: Path) -> None:
    with pytest.raises(QuarantineError, match="zero_coordinates 1"):
        made(tmp_path, LIST | {"snapshot": "2024-03-13", "quarantine_limit": 0.1}, stores=HEADER + "1,0,0,,,,\n")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, "known_time: nothing tells it"),
        ({"lag": "1d"}, "give columns.opened"),
        ({"lag": "1d", "snapshot": "file_name", "columns": {"opened": "o"}}, "lag and snapshot tells it"),
        ({"snapshot": "sometime"}, "snapshot"),
        ({"snapshot": "file_name", "tickers": {"A": "B"}}, "`tickers` tells the entity"),
        ({"snapshot": "file_name", "entity": None, "tickers": {"A": []}}, "tickers.A"),
        ({"snapshot": "file_name", "entity": None, "tickers": {"A": "X", "a ": "Y"}}, "listed twice"),
        (
            {"snapshot": "file_name", "entity": None, "tickers": {"A": [{"entity": "X"}, {"entity": "Y"}]}},
            "not one after the other",
        ),
        (
            {
                "snapshot": "file_name",
                "entity": None,
                "tickers": {"A": [{"entity": "X", "from": "2020-01-02", "to": "2020-01-01"}]},
            },
            "from 2020-01-02 is after to 2020-01-01",
        ),
        (
            {"snapshot": "file_name", "entity": None, "brand": "A", "tickers": {"A": "X"}, "columns": {"brand": "b"}},
            "`brand`",
        ),
        ({"snapshot": "file_name", "bounds": [10, 20, -10, 30]}, "west, south, east, north"),
        ({"snapshot": "file_name", "bounds": [10, 20, 200, 30]}, "bounds"),
    ],
)
def test_mistake_is_one_line(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_source("mine", LIST | {"files": "x.csv"} | entry)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


# --- the real lists ---------------------------------------------------------------------------------------------------

US = {"kind": "site_file", "timezone": "America/New_York", "region_prefix": "US-"}
WALMART = US | {
    "files": "walmart_openings_1962_2006.csv",
    "entity": "WMT",
    "lag": "30d",
    "time_format": "%m/%d/%y",
    "columns": {"site": "storenum", "opened": "OPENDATE", "latitude": "LAT", "longitude": "LON", "region": "STRSTATE"},
}
COSTCO = US | {
    "files": "costco_locations.csv",
    "entity": "COST",
    "lag": "30d",
    "columns": {"site": "store_id", "opened": "store_opened", "region": "state"},
}
DOLLAR_TREE = US | {
    "files": "dollar-tree_locations_*.csv",
    "tickers": {"Dollar Tree": "DLTR"},
    "columns": {"site": "clientkey", "region": "state", "snapshot": "updated"},
}
HOME_DEPOT = US | {
    "files": "home-depot_locations.csv",
    "entity": "HD",
    "snapshot": "2024-05-01",
    "columns": {"site": "store_id", "region": "state", "name": "store_name"},
}
KROGER = US | {
    "files": "kroger_locations.csv",
    "tickers": {"Kroger": "KR"},
    "snapshot": "2024-05-01",
    "columns": {"site": "locationId", "region": "state"},
}


def real(data_root: Path, tmp_path: Path, entry: dict[str, Any]) -> tuple[IngestResult, pl.DataFrame]:
    entry = entry | {"files": str(data_root / "alt/entities" / entry["files"])}
    found = ingest("stores", parse_source("stores", entry), calendar="XNYS", lake=tmp_path)
    return found, read(found.folder)


@pytest.mark.data
class TestRealLists:
    def test_walmart_opens_from_1962_on(self, data_root: Path, tmp_path: Path) -> None:
        found, rows = real(data_root, tmp_path, WALMART)
        assert found.counts["used"] == rows.height == rows["site"].n_unique() == 2992
        source = pl.read_csv(data_root / "alt/entities" / WALMART["files"], infer_schema=False)
        year = dict(zip(source["storenum"], source["YEAR"].cast(int), strict=True))
        local = rows["event_time"].dt.convert_time_zone("America/New_York")
        assert local.dt.year().to_list() == [year[site] for site in rows["site"]]
        assert local.min() == pl.Series([datetime(1962, 7, 1)]).dt.replace_time_zone("America/New_York").item()
        assert [sites_at(rows, datetime(at, 1, 1, tzinfo=UTC)).height for at in (1962, 1963, 2007)] == [0, 1, 2992]
        assert "survivorship" in found.warnings[0]

    def test_walmarts_day_in_three_columns_is_that_of_one(self, data_root: Path, tmp_path: Path) -> None:
        parts = WALMART | {"time_format": None, "columns": WALMART["columns"] | {"opened": ["YEAR", "MONTH", "DAY"]}}
        assert real(data_root, tmp_path, parts)[1].equals(real(data_root, tmp_path, WALMART)[1])

    def test_costco(self, data_root: Path, tmp_path: Path) -> None:
        found, rows = real(data_root, tmp_path, COSTCO)
        assert found.counts["used"] == rows.height == 588
        opened = rows.filter(pl.col("site") == "1087")["event_time"].dt.convert_time_zone("America/New_York").dt.date()
        assert opened.item() == date(2010, 11, 23)

    def test_dollar_tree_opens_304_and_closes_111(self, data_root: Path, tmp_path: Path) -> None:
        found, rows = real(data_root, tmp_path, DOLLAR_TREE)
        assert found.counts["read"] == 8159 + 8352
        first, second = (datetime(2024, 3, 14, 4, tzinfo=UTC), datetime(2024, 6, 6, 4, tzinfo=UTC))
        counts = {time: sites_at(rows, time).height for time in (first, second)}
        assert counts == {first: 8159, second: 8352}
        news = rows.filter(pl.col("known_time") == second)
        assert rows.height - 8159 == news.height
        assert news.filter(pl.col("event_time") == second).height == 304
        assert news.filter(pl.col("valid_to") == second).height == 111
        # 8 moved by more than 0.001 degrees of latitude, 13 by more than that of latitude or longitude
        moved = news.filter(pl.col("valid_to").is_null(), pl.col("event_time") == first)
        old = moved.join(rows.filter(pl.col("known_time") == first), on="site", suffix="_old")
        assert moved.height == 13
        assert old.filter((pl.col("latitude") - pl.col("latitude_old")).abs() > 0.001).height == 8
        # the first list alone tells the same until the second one comes
        _, before = real(data_root, tmp_path, DOLLAR_TREE | {"files": "dollar-tree_locations_2024-03-13.csv"})
        assert before.equals(rows.filter(pl.col("known_time") < second))
        # nothing of it was known a moment before
        assert sites_at(rows, datetime(2024, 6, 6, 3, 59, tzinfo=UTC)).equals(sites_at(rows, first))

    def test_a_snapshot_of_today_is_unknown_ten_years_ago(self, data_root: Path, tmp_path: Path) -> None:
        for entry, ticker, count in ((HOME_DEPOT, "HD", 2002), (KROGER, "KR", 1246)):
            found, rows = real(data_root, tmp_path, entry)
            assert found.counts["used"] == rows.height == count
            assert rows["entity"].unique().to_list() == [ticker]
            assert sites_at(rows, datetime(2014, 5, 1, tzinfo=UTC)).is_empty()
            assert any("survivorship" in line for line in found.warnings)
