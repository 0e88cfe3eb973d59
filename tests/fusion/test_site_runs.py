"""Sites and regions in whole runs: configs, the leak test and leaks that it must find, entity by entity, the report."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from small_market import CONFIGS, SMALL

from fusion import features, partitions, pipeline
from fusion.config import RunConfig, load, parse
from fusion.features.choice import chosen
from fusion.grid import decision_grid
from fusion.invariance import InvarianceReport, check, cut_times
from fusion.plan import Plan, make_plan
from fusion.study import Study, study
from gpu_kernels.errors import ConfigError

DAY = 86_400
WANTED = {
    "bars": ["bar_return_5"],
    "fills": ["fill"],
    "visits": ["visits", "region_change_visits_91d"],
    "stores": ["site_count"],
}


def write_places(folder: Path, tickers: list[str], start: datetime, days: int) -> None:
    """Lists of stores, fills of their car parks and visits by region, from two years before `start` on: deliveries
    late, values revised or taken back, stores opened, closed and sorted into other regions in the market's own time."""
    rng, first = np.random.default_rng(5), int(start.timestamp()) - 800 * DAY
    stores, fills, visits = [], [], []

    def text(seconds: float) -> str:
        return datetime.fromtimestamp(seconds, UTC).isoformat()

    for number in range(8 * len(tickers)):
        region = f"R{number % 3}"
        opened = first if number % 4 else first + int(rng.integers(100, 800 + days)) * DAY
        store = {"entity": tickers[number % len(tickers)], "site": f"s{number:02d}", "region": region}
        store |= {"latitude": 40.0, "longitude": -80.0, "opened": text(opened), "closed": None}
        store["known_time"] = text(opened + int(rng.integers(0, 9)) * DAY)
        stores.append(store)
        later = first + (800 + int(rng.integers(0, days))) * DAY + 15 * 3600
        if number % 5 == 1:
            stores.append(store | {"closed": text(later - 6 * DAY), "known_time": text(later)})
        elif number % 5 == 2:
            stores.append(store | {"region": f"R{(number + 1) % 3}", "known_time": text(later)})
        for week in range((800 + days) // 7):
            at = first + week * 7 * DAY + 15 * 3600
            if rng.random() < 0.3:
                continue
            known, value = at + int(rng.integers(1, 6)) * DAY, float(rng.normal(0.5, 0.1))
            row = {"site": store["site"], "metric": "fill", "event_time": text(at), "std": 0.05}
            fills.append(row | {"known_time": text(known), "value": value})
            if rng.random() < 0.4:
                later = known + int(rng.integers(1, 20)) * DAY
                fills.append(row | {"known_time": text(later), "value": None if rng.random() < 0.2 else value + 0.2})
    for region in ("R0", "R1", "R2"):
        for day in range(600, 800 + days):
            at = first + day * DAY
            row = {"entity": region, "metric": "visits", "event_time": text(at), "value": float(rng.normal())}
            visits.append(row | {"known_time": text(at + int(rng.integers(1, 4)) * DAY + 15 * 3600)})
    for name, rows in {"stores": stores, "fills": fills, "visits": visits}.items():
        pl.DataFrame(rows, infer_schema_length=None).write_csv(folder / f"{name}.csv")


def sources(folder: Path) -> dict:
    table = {"kind": "table_file", "table": "metric", "timezone": "UTC", "max_age": "60d"}
    listed = {"kind": "site_file", "timezone": "UTC", "columns": {"region": "region", "known_time": "known_time"}}
    listed["columns"] |= {name: name for name in ("site", "entity", "opened", "closed", "latitude", "longitude")}
    rules = {"shrink": 3, "least": 5}
    return {
        "stores": {**listed, "files": str(folder / "stores.csv")},
        "fills": {**table, "files": str(folder / "fills.csv"), "sites": "stores", "matching": rules},
        "visits": {**table, "files": str(folder / "visits.csv"), "weights": ["stores"], "max_age": "10d"},
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Path]:
    folder = tmp_path_factory.mktemp("places")
    demo = load(CONFIGS / "demo.yaml", SMALL)
    write_places(
        folder, list(demo.simulate.tickers()), datetime.combine(demo.simulate.days()[0], datetime.min.time(), UTC), 34
    )
    tree = yaml.safe_load((CONFIGS / "demo.yaml").read_text())
    tree["sources"] = {name: tree["sources"][name] for name in ("bars", "macro")} | sources(folder)
    overrides = [*SMALL, f"features={yaml.safe_dump(WANTED, default_flow_style=True).strip()}", "decisions.step=30min"]
    (folder / "config.yaml").write_text(yaml.safe_dump(tree))
    return load(folder / "config.yaml", overrides), folder / "lake"


@pytest.fixture(scope="module")
def ready(place: tuple[RunConfig, Path]) -> tuple[Plan, dict[str, pl.DataFrame]]:
    config, lake = place
    plan = make_plan(config, lake)
    return plan, pipeline.load(plan, pipeline.ingest(config, lake=lake, plan=plan), lake=lake)


def leaky(
    ready: tuple[Plan, dict[str, pl.DataFrame]], change: Callable[[Mapping[str, pl.DataFrame]], dict]
) -> set[str]:
    """The columns that differ where a table is changed before the study, as somebody careless would have it."""
    plan, tables = ready

    def run(plan: Plan, left: Mapping[str, pl.DataFrame]) -> Study:
        return study(plan, {**left, **change(left)})

    report = check(plan, tables, cut_times(plan, tables, 1), run=run)
    assert not report.ok
    return set(report.differences["column"])


class TestLeaks:
    def test_what_ships_is_invariant(self, ready: tuple[Plan, dict[str, pl.DataFrame]]) -> None:
        plan, tables = ready
        report: InvarianceReport = check(plan, tables, cut_times(plan, tables, 2))
        assert report.ok, report.differences
        frame = study(plan, tables).matrix.frame
        for name in frame.columns:
            if name.startswith(("site_", "region_")):
                assert frame[name].is_finite().mean() > 0.3, name

    def test_the_latest_vintage_instead_of_the_one_known(self, ready: tuple) -> None:
        def final(tables: Mapping[str, pl.DataFrame]) -> dict:
            key = ("entity", "site", "metric", "event_time")
            rows = tables["fills"].with_columns(pl.col("value").last().over(key))
            return {"fills": rows.unique(key, keep="first", maintain_order=True)}

        found = leaky(ready, final)
        assert {"site_yoy_fill", "site_level_fill", "site_surprise_fill"} <= found

    def test_stores_of_today(self, ready: tuple) -> None:
        def today(tables: Mapping[str, pl.DataFrame]) -> dict:
            rows = tables["stores"].unique(("entity", "site", "event_time"), keep="last", maintain_order=True)
            return {"stores": rows.with_columns(known_time=pl.col("event_time"))}

        found = leaky(ready, today)
        assert {"region_visits", "region_change_visits_28d", "site_coverage_fill", "site_yoy_fill"} <= found

    def test_regions_joined_on_the_day_they_are_about(self, ready: tuple) -> None:
        def captured(tables: Mapping[str, pl.DataFrame]) -> dict:
            rows = tables["visits"].with_columns(known_time=pl.col("event_time"))
            return {"visits": rows.sort("entity", "known_time", maintain_order=True)}

        assert "region_visits" in leaky(ready, captured)


class TestRuns:
    def test_entity_by_entity_has_the_same_bits(
        self, place: tuple[RunConfig, Path], ready: tuple, tmp_path: Path
    ) -> None:
        (config, lake), (plan, tables) = place, ready
        names = {name: wanted for name, wanted in WANTED.items() if name != "bars"}
        config = config.model_copy(update={"features": names})
        made = partitions.make(config, lake=lake, out=tmp_path, workers=2)
        assert made.complete, made.failed
        grid = decision_grid(list(plan.entities), plan.sessions, config.decisions)
        whole = features.build(config, tables, grid).frame
        parts = pl.concat(
            [
                pl.read_parquet(path, hive_partitioning=False)
                for path in sorted(made.folder.glob("entity=*/part.parquet"))
            ]
        )
        assert parts.equals(whole, null_equal=True)

    def test_a_run_reports_them(self, place: tuple[RunConfig, Path], tmp_path: Path) -> None:
        config, lake = place
        done = pipeline.run(config, lake=lake, runs=tmp_path)
        page = (done.folder / "report.html").read_text()
        for name in ("site_yoy_fill", "region_visits"):
            assert name in page


def tree(source: str = "fills", **options: object) -> dict:
    """A config of features alone, some options of a source changed."""
    named = sources(Path("x"))
    named[source] |= options
    one = {"name": "one", "entities": ["A"], "start": "2024-01-02", "end": "2024-01-04", "sources": named}
    return one | {"decisions": {"step": "1h"}, "features": {"fills": ["fill"], "visits": ["visits"]}}


def test_what_no_list_places_is_told(tmp_path: Path) -> None:
    """A site and a region that nobody knows, and a row without a site: said, and never an error."""
    row = {"event_time": "2024-01-01T00:00:00Z", "known_time": "2024-01-02T00:00:00Z", "value": 1.0}
    listed = {"entity": "A", "latitude": 1.0, "longitude": 1.0, "opened": "2020-01-01", "closed": None}
    stores = [listed | {"site": site, "region": region} for site, region in (("1", "R1"), ("2", "R2"), ("3", None))]
    fills = [
        row | {"metric": "fill", "entity": entity, "site": site} for entity, site in (("", "1"), ("", "9"), ("A", ""))
    ]
    visits = [row | {"metric": "visits", "entity": "R1"}]
    pl.DataFrame(stores).with_columns(known_time=pl.lit("2020-01-01")).write_csv(tmp_path / "stores.csv")
    pl.DataFrame(fills).write_csv(tmp_path / "fills.csv")
    pl.DataFrame(visits).write_csv(tmp_path / "visits.csv")
    config = parse(tree() | {"sources": sources(tmp_path)})
    made = partitions.make(config, lake=tmp_path / "lake", out=tmp_path / "out", workers=1)
    assert made.complete, made.failed
    for said in (
        "source fills: some rows name no site",
        "source fills: 1 of 2 sites (9) are in no list of stores",
        "source visits: 2 of 3 sites lie in regions of which it has no row (R2, no region)",
    ):
        assert any(line.startswith(said) for line in made.warnings), made.warnings
    frame = pl.read_parquet(made.folder / "entity=A" / "part.parquet", hive_partitioning=False)
    assert frame["site_level_fill"].tail(1).item() == 1.0
    assert frame["region_coverage_visits"].tail(1).item() == pytest.approx(1 / 3)


@pytest.mark.parametrize(("names", "told"), [(["Walmart", "Target"], True), (["Walmart", "A"], False)])
def test_a_series_of_nobody_in_the_run_is_told(tmp_path: Path, names: list[str], told: bool) -> None:
    row = {"event_time": "2024-01-01T00:00:00Z", "known_time": "2024-01-02T00:00:00Z", "value": 1.0, "metric": "spend"}
    pl.DataFrame([row | {"entity": name} for name in names]).write_csv(tmp_path / "spend.csv")
    source = {"kind": "table_file", "table": "metric", "timezone": "UTC", "max_age": "60d"}
    named = {"spend": source | {"files": str(tmp_path / "spend.csv")}}
    config = parse(tree() | {"sources": named, "features": {"spend": ["spend"]}})
    made = partitions.make(config, lake=tmp_path / "lake", out=tmp_path / "out", workers=1)
    assert made.complete, made.failed
    said = "source spend: its rows are of Target, Walmart, none of which is an entity of this run"
    assert any(line.startswith(said) for line in made.warnings) == told, made.warnings


class TestConfigs:
    @pytest.mark.parametrize(
        ("source", "options", "message"),
        [
            ("fills", {"sites": "shops"}, r"sources\.fills\.sites is 'shops'; allowed: a source of table site"),
            ("fills", {"sites": ["stores", "visits"]}, r"sources\.fills\.sites is 'visits'"),
            ("visits", {"weights": "fills"}, r"sources\.visits\.weights is 'fills'"),
            ("fills", {"weights": "stores"}, "`sites` says that observations are of sites, `weights` of regions"),
            ("fills", {"matching": {"zone": "Mars"}}, "'Mars' is not an IANA time zone"),
            ("fills", {"matching": {"weekday": "monday"}}, "weekday"),
            ("fills", {"matching": {"tolerance": 3}}, "tolerance is not a known key"),
            ("fills", {"sites": []}, "`matching` is used by nothing; write sites or weights"),
            ("stores", {"sites": "stores"}, "`sites`, `weights` and `matching` are for table metric"),
        ],
    )
    def test_mistakes_are_named(self, source: str, options: dict, message: str) -> None:
        with pytest.raises(ConfigError, match=message) as caught:
            parse(tree(source, **options))
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(("name", "option"), [("site_yoy_fill", "sites"), ("region_change_fill_28d", "weights")])
    def test_features_of_sites_need_the_option(self, name: str, option: str) -> None:
        one = tree()
        del one["sources"]["fills"]["sites"], one["sources"]["fills"]["matching"]
        config = parse(one | {"features": {"fills": [name]}})
        with pytest.raises(ConfigError, match=f"names '{name}', which needs `{option}`; write sources.fills.{option}"):
            chosen(config, "fills")
        assert chosen(parse(one), "fills") == ["fill"]

    def test_a_slip_in_a_name_is_told(self) -> None:
        config = parse(tree() | {"features": {"fills": ["site_yoyo_fill"]}})
        message = r"features\.fills: no feature 'site_yoyo_fill'; allowed: site_yoy_<metric>"
        with pytest.raises(ConfigError, match=message):
            chosen(config, "fills")
