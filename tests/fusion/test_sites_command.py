"""`trifuse sites`: what a person sees of lists, counts and lots; every mistake is one line."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from fusion.cli import app

LIST = "site,brand,latitude,longitude,state,updated\n7,Tree,30.0,-97,TX,2024-03-13\n8,Tree,31,-97,TX,2024-03-13\n"
LATER = "site,brand,latitude,longitude,state,updated\n7,Tree,30.1,-97,TX,2024-06-05\n9,Tree,31,-97,OK,2024-06-05\n"


def trifuse(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["sites", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    (tmp_path / "a.csv").write_text(LIST)
    (tmp_path / "b.csv").write_text(LATER)
    return [tmp_path / "a.csv", tmp_path / "b.csv"]


def test_changes(two: list[Path], tmp_path: Path) -> None:
    result = trifuse("changes", *two, "--entity", "TRE", "--most-closed", "0.5")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines() if line.startswith("TRE")]
    assert [line[1] for line in lines] == ["7", "8", "9"]
    assert "2 sites, 1 opened, 1 closed, 1 other" in result.stderr
    found = json.loads(trifuse("changes", *two, "--most-closed", "0.5", "--json").stdout)
    assert (found["opened"], found["closed"], len(found["changes"])) == (1, 1, 3)
    out = tmp_path / "changes.parquet"
    assert trifuse("changes", *two, "--entity", "TRE", "--most-closed", "0.5", "--out", out).exit_code == 0
    assert pl.read_parquet(out).height == 5
    # the table is one that the other commands take
    at = json.loads(trifuse("at", out, "--at", "2024-04-01", "--json").stdout)
    assert at["counts"] == [{"entity": "TRE", "region": "US-TX", "sites": 2}]


def test_openings_count_where_the_list_tells_their_days(tmp_path: Path) -> None:
    files = [tmp_path / f"stores_2022-0{month}-30.csv" for month in (1, 6)]
    rows = [f"{site},Tree,3{site},-97,TX,2010-01-0{site}," for site in range(1, 8)]
    changed = [*rows[1:], "9,Tree,39,-97,TX,2022-04-01,"]
    for file, listed in zip(files, (rows, changed), strict=True):
        file.write_text("\n".join(["store_id,brand,lat,lon,state,opened,closed", *listed]) + "\n")
    assert "7 sites, 1 opened, 1 closed, 0 other" in trifuse("changes", *files).stderr


def test_at_the_end_of_the_snapshots_day(two: list[Path]) -> None:
    assert trifuse("at", two[0], "--at", "2024-03-14").exit_code == 3
    found = trifuse("at", two[0], "--at", "2024-03-14T04:00:00Z")
    assert found.exit_code == 0
    assert "survivorship" in found.stderr


def test_join(tmp_path: Path, two: list[Path]) -> None:
    pytest.importorskip("geopandas")
    square = [[-97.0001, 29.9999], [-97.0001, 30.0001], [-96.9999, 30.0001], [-96.9999, 29.9999], [-97.0001, 29.9999]]
    far = [[x + 1, y] for x, y in square]
    lots = {"type": "MultiPolygon", "coordinates": [[square], [far]]}
    feature = {"type": "Feature", "properties": {"id": "lots"}, "geometry": lots}
    (tmp_path / "lots.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    out = tmp_path / "zones.geojson"
    result = trifuse("join", tmp_path / "lots.geojson", two[0], "--entity", "TRE", "--out", out)
    assert result.exit_code == 0, result.output
    told = json.loads(out.read_text())["features"]
    assert [(zone["properties"]["site"], zone["properties"]["entity"]) for zone in told] == [("7", "TRE")]
    assert "1 zones, 1 lots, 0 shared, 1 unmatched" in result.stderr
    by_lot = json.loads(
        trifuse("join", tmp_path / "lots.geojson", two[0], "--of", "lot", "--out", out, "--json").stdout
    )
    assert by_lot["pairs"][0]["lot"] == "lots/0"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["changes", "a.csv"], "1 list; allowed: two or more"),
        (["changes", "a.csv", "b.csv"], "lacks 1 of the 2 sites"),
        (["changes", "a.csv", "b.csv", "--columns", "site"], "--columns 'site'"),
        (["changes", "a.csv", "b.csv", "--columns", "site=none"], "has no column 'none'"),
        (["changes", "a.csv", "b.csv", "--out", "x.xls"], "tells no format"),
        (["changes", "a.csv", "none.csv"], "none.csv"),
        (["changes", "a.csv", "./a.csv"], "a list is named twice"),
        (["changes", "a.csv", "b.csv", "--out", "b.csv"], "is the file b.csv of the same command"),
        (["at", "a.csv", "--out", "a.csv"], "is the file a.csv of the same command"),
        (["at", "empty.csv"], "holds no rows"),
        (["at", "none.csv"], "does not exist"),
        (["at", "a.csv", "--at", "soon"], "--at 'soon'"),
        (["at", "a.csv", "--at", "2020-01-01"], "the first row of it was known at 2024-03-14 04:00"),
        (["join", "none.geojson", "a.csv"], "none.geojson is no file"),
        (["join", "none.geojson", "a.csv", "--share", "some"], "--share 'some'"),
        (["join", "none.geojson", "a.csv", "--of", "city"], "--of 'city'"),
        (["join", "none.geojson", "a.csv", "--out", "zones.csv"], "--out zones.csv"),
    ],
)
def test_a_mistake_is_one_line(
    two: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.csv").write_text("site,latitude,longitude\n")
    result = trifuse(*arguments)
    assert result.exit_code in {2, 3}
    assert words in result.stderr.replace("\n", " ")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
