"""Real series by region, weighted by real lists of stores: visits by state of five chains, night lights by district."""

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small_market import CONFIGS

from fusion import features, pipeline
from fusion.config import load, parse
from fusion.grid import decision_grid
from fusion.plan import make_plan


@pytest.fixture(scope="module")
def frame(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """The features of configs/store_visits.yaml."""
    lake = tmp_path_factory.mktemp("lake")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIFUSE_DATA", str(data_root))
        config = load(CONFIGS / "store_visits.yaml")
        plan = make_plan(config, lake)
        tables = pipeline.load(plan, pipeline.ingest(config, lake=lake, plan=plan), lake=lake)
    return features.build(config, tables, decision_grid(list(plan.entities), plan.sessions, config.decisions)).frame


@pytest.mark.data
class TestVisitsByState:
    def row(self, frame: pl.DataFrame, entity: str, day: str) -> dict:
        return frame.filter(pl.col("entity") == entity, pl.col("session") == pl.lit(day).str.to_date()).to_dicts()[0]

    @pytest.mark.parametrize(
        ("entity", "list_", "state", "day"),
        [
            ("HD", "home-depot_locations", "state", "2020-05-14"),
            ("WMT", "walmart_openings_1962_2006", "STRSTATE", "2020-12-28"),
        ],
    )
    def test_is_the_mean_over_stores(
        self, frame: pl.DataFrame, data_root: Path, entity: str, list_: str, state: str, day: str
    ) -> None:
        stores = pl.read_csv(data_root / f"alt/entities/{list_}.csv", infer_schema=False)
        names = pl.read_csv(data_root / "alt/series/oi_geoids_state.csv")
        visits = pl.read_csv(data_root / "alt/series/google_mobility_state_daily.csv", null_values=".")
        visits = visits.join(names, on="statefips").with_columns(date=pl.date("year", "month", "day"))
        # known thirty days later at nine in New York; the decision is at 10:30
        of_day = visits.filter(pl.col("date") == pl.lit(day).str.to_date().dt.offset_by("-30d"))
        each = stores.join(of_day, left_on=state, right_on="stateabbrev")["gps_retail_and_recreation"].drop_nulls()
        found = self.row(frame, entity, day)
        assert found["region_retail"] == pytest.approx(each.mean(), rel=1e-9)
        assert found["region_coverage_retail"] == pytest.approx(len(each) / stores.height)
        assert found["region_staleness_retail"] == pytest.approx(30 + 10.5 / 24, abs=1e-3)

    def test_the_spring_of_2020_is_seen_and_undone_a_year_later(self, frame: pl.DataFrame) -> None:
        for entity in ("WMT", "COST", "HD", "KR"):
            assert -0.5 < self.row(frame, entity, "2020-05-14")["region_retail"] < -0.4
            assert 0.35 < self.row(frame, entity, "2021-05-14")["region_change_retail_364d"] < 0.45
            assert math.isnan(self.row(frame, entity, "2020-05-14")["region_change_retail_364d"])

    def test_a_list_of_2024_says_nothing_of_2020(self, frame: pl.DataFrame) -> None:
        own = frame.filter(pl.col("entity") == "DLTR")
        assert own.height > 200
        for name in frame.columns:
            if name.startswith("region_"):
                assert np.isnan(own[name].to_numpy()).all(), name


@pytest.mark.data
def test_night_lights_by_district(data_root: Path, tmp_path: Path) -> None:
    """A site in each district, its state for a ticker: Delhi's lights are steady, and those of Maharashtra fall to a
    fraction under the clouds of the monsoon, which the file gives as darkness (sources.metric_screen finds these)."""
    raw = pl.read_csv(data_root / "alt/series/viirs_india_districts_monthly_tidy.csv").filter(pl.col("censuscode") > 0)
    # a month is over at its end
    raw.with_columns(pl.col("month").str.to_date().dt.month_end(), metric=pl.lit("light")).write_csv(tmp_path / "l.csv")
    places = raw.unique("censuscode").select("censuscode", "state", latitude=20.0, longitude=78.0)
    places.with_columns(known_time=pl.lit("2018-06-01"), opened=pl.lit("2018-01-01")).write_csv(tmp_path / "p.csv")
    columns = {"site": "censuscode", "entity": "state", "region": "censuscode"}
    tree = {
        "name": "lights",
        "entities": ["Maharashtra", "NCT of Delhi"],
        "start": "2019-02-01",
        "end": "2020-12-31",
        "sources": {
            "places": {"kind": "site_file", "timezone": "Asia/Kolkata", "files": str(tmp_path / "p.csv")}
            | {"columns": columns | {"opened": "opened", "known_time": "known_time"}},
            "lights": {
                "kind": "table_file",
                "table": "metric",
                "timezone": "Asia/Kolkata",
                "files": str(tmp_path / "l.csv"),
            }
            | {"columns": {"event_time": "month", "entity": "censuscode", "value": "radiance_mean"}}
            | {"delay": "15d", "max_age": "60d", "weights": "places", "matching": {"change": "log"}},
        },
        "decisions": {"step": "24h", "first": "1h"},
        "features": {"lights": ["region_light", "region_change_light_364d", "region_coverage_light"]},
    }
    config = parse(tree)
    plan = make_plan(config, tmp_path)
    tables = pipeline.load(plan, pipeline.ingest(config, lake=tmp_path, plan=plan), lake=tmp_path)
    frame = features.build(config, tables, decision_grid(list(plan.entities), plan.sessions, config.decisions)).frame
    frame = frame.with_columns(month=pl.col("session").dt.strftime("%Y-%m"))
    state = {name: frame.filter(pl.col("entity") == name) for name in config.entities}
    delhi, west = state["NCT of Delhi"]["region_light"], state["Maharashtra"]["region_light"]
    assert delhi.fill_nan(None).min() / delhi.fill_nan(None).max() > 0.6
    assert west.fill_nan(None).min() / west.fill_nan(None).max() < 0.2
    # January's composite is known in the middle of February
    covered = frame.group_by(pl.col("region_light").is_nan()).agg(pl.col("region_coverage_light").unique())
    assert dict(covered.iter_rows()) == {True: [0.0], False: [1.0]}
    # June's composite is known from the middle of July on
    known = state["NCT of Delhi"].filter(pl.col("month") == "2020-07")["region_light"].n_unique()
    assert known == 2
    year = state["NCT of Delhi"].filter(pl.col("month") == "2020-08")["region_change_light_364d"]
    assert -0.2 < year[-1] < 0.1
