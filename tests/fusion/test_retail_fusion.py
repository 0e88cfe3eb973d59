"""configs/retail_fusion.yaml on its real files: a year of three tickers, against values worked out from the files."""

import csv
import gzip
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from small_market import CONFIGS

from fusion.config import load
from fusion.invariance import check, cut_times
from fusion.pipeline import ingest
from fusion.pipeline import load as load_tables
from fusion.plan import Plan, make_plan
from fusion.study import Study, study
from sources.sessions import sessions

pytestmark = pytest.mark.data
SMALL = [
    "entities=[COST,GME,WMT]",
    "start=2020-04-01",
    "end=2021-03-31",
    "regime.history_start=2017-01-03",
    "walk_forward.train_sessions=120",
    "walk_forward.refit_sessions=60",
    "selection.min_sessions=20",
    "model.trees=10",
    "model.min_rows_leaf=30",
    "evaluation.bootstrap=100",
]


@dataclass(frozen=True)
class Made:
    plan: Plan
    tables: Mapping[str, pl.DataFrame]
    study: Study


@pytest.fixture(scope="module")
def made(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("retail")
    papers = data_root / "news" / "headlines_dated"
    wanted = []
    for path in sorted(papers.glob("*.csv.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            lately = [line for line in stream if "2020-03" <= line < "2020-07"]
            wanted += [
                line for line in lately if any(name in line for name in ("Costco", "GameStop", "Walmart", "rise"))
            ]
    (folder / "papers.csv").write_text("".join(wanted), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIFUSE_DATA", str(data_root))
        patch.setenv("XDG_CACHE_HOME", str(folder))
        config = load(CONFIGS / "retail_fusion.yaml", [*SMALL, f"sources.headlines.files={folder / 'papers.csv'}"])
        plan = make_plan(config, folder / "lake")
        tables = load_tables(plan, ingest(config, lake=folder / "lake", plan=plan), lake=folder / "lake")
    return Made(plan, tables, study(plan, tables))


def lines(path: Path) -> list[dict[str, str]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as stream:  # type: ignore[operator]
        return list(csv.DictReader(stream))


def at(made: Made, day: date, entity: str = "COST") -> dict[str, float]:
    frame = made.study.matrix.frame.filter((pl.col("session") == day) & (pl.col("entity") == entity))
    return frame.row(0, named=True)


DAYS = [date(2020, 7, 6), date(2020, 9, 25), date(2020, 11, 27), date(2021, 1, 4), date(2021, 3, 12)]


def test_every_source_gives_features_where_it_has_something_to_say(made: Made) -> None:
    frame, families = made.study.matrix.frame, made.study.matrix.families
    said = {
        source: frame.select(pl.any_horizontal(pl.col(name).is_not_nan() for name in names)).to_series()
        for source in made.plan.config.features
        if (names := [name for name in made.study.matrix.candidates if families[name] == source])
    }
    assert set(said) == set(made.plan.config.features)
    share = {source: flags.mean() for source, flags in said.items()}
    assert all(share[source] > 0.98 for source in ("bars", "fred", "vix", "calendar")), share  # type: ignore[operator]
    assert all(0.6 < share[source] < 1 for source in ("mobility", "spend")), share  # type: ignore[operator]
    assert 0.1 < share["headlines"] < 0.5  # type: ignore[operator]
    first = {source: frame.filter(flags)["decision_time"].min() for source, flags in said.items()}
    assert first["spend"] == first["mobility"]  # one file was published with the other
    assert datetime(2020, 6, 17, tzinfo=UTC) < first["spend"] < datetime(2020, 6, 20, tzinfo=UTC)  # type: ignore[operator]
    # GameStop has no list of stores: no region is its own, and no zero stands in
    by_entity = frame.group_by("entity").agg(pl.col("region_mobility_revised").is_not_nan().any()).sort("entity")
    assert by_entity.rows() == [("COST", True), ("GME", False), ("WMT", True)]


def _available(line: dict[str, str]) -> str:
    return line["available_time"]


@pytest.mark.parametrize("name", ["spend", "mobility"])
def test_card_spend_and_mobility_are_the_vintage_then_published(made: Made, data_root: Path, name: str) -> None:
    file = {"spend": "oi_affinity_national_spend_all_vintages", "mobility": "oi_gps_retail_national_vintages"}[name]
    rows = lines(data_root / f"alt/series/{file}.csv.gz")
    for day in DAYS:
        row = at(made, day)
        known = [line for line in rows if datetime.fromisoformat(line["available_time"]) <= row["decision_time"]]
        vintage: dict[str, float] = {}
        for line in sorted(known, key=_available):
            vintage[line["event_date"]] = float(line["value"])
        latest = max(vintage)
        assert row[f"metric_{name}"] == vintage[latest]
        first = {line["event_date"]: float(line["value"]) for line in sorted(known, key=_available, reverse=True)}
        last = sorted(vintage)[-28:]
        revised = sum(vintage[event] - first[event] for event in last) / 28
        assert row[f"metric_{name}_revision_28"] == pytest.approx(revised, abs=1e-12)


def test_prices_of_the_day_and_vix_are_known_but_jobs_only_when_released(made: Made, data_root: Path) -> None:
    vix = {line["DATE"]: float(line["CLOSE"]) for line in lines(data_root / "macro/vix-daily.csv.gz")}
    jobs = {line["sasdate"]: line["UNRATE"] for line in lines(data_root / "macro/fred_md_2026-02.csv.gz")}
    month_of = {DAYS[0]: 5, DAYS[1]: 8, DAYS[2]: 10, DAYS[3]: 11, DAYS[4]: 2}  # the last one released for ten days
    for day in DAYS:
        row = at(made, day)
        # the day after Thanksgiving closes at 13:00, before VIX is told
        shown = date(2020, 11, 25) if day == date(2020, 11, 27) else day
        assert row["metric_vix_close"] == vix[next(text for text in vix if _day(text) == shown)]
        month, year = month_of[day], 2021 if day == DAYS[4] else 2020
        before = (month - 2) % 12 + 1
        change = float(jobs[f"{month}/1/{year}"]) - float(jobs[f"{before}/1/{year}"])
        assert row["metric_UNRATE_revised"] == pytest.approx(change), day


def _day(text: str) -> date:
    form = "%m/%d/%Y" if "/" in text else "%b %d, %Y" if "," in text else "%Y-%m-%d"
    return datetime.strptime(text, form).date()


def test_states_count_by_the_stores_known_there(made: Made, data_root: Path) -> None:
    names = {line["statefips"]: line["stateabbrev"] for line in lines(data_root / "alt/series/oi_geoids_state.csv")}
    values = {
        (names[line["statefips"]], date(int(line["year"]), int(line["month"]), int(line["day"]))): line
        for line in lines(data_root / "alt/series/google_mobility_state_daily.csv")
    }
    stores = lines(data_root / "alt/entities/costco_locations.csv")
    for day in DAYS[1:]:
        # known a month after its opening, and for mobility a month after its day, at nine
        before = day - timedelta(days=30)
        opened = [line for line in stores if _day(line["store_opened"]) < before]
        total = weight = 0.0
        for state, count in Counter(line["state"] for line in opened).items():
            line = values.get((state, before))
            if line is not None and line["gps_retail_and_recreation"] != ".":
                total += count * float(line["gps_retail_and_recreation"])
                weight += count
        assert weight > 400
        assert at(made, day)["region_mobility_revised"] == pytest.approx(total / weight)


def test_a_headline_of_a_day_counts_from_the_next_session_on(made: Made) -> None:
    news = made.tables["headlines"].filter(pl.col("entity").is_in(["COST", "WMT"]))
    assert news.height > 5
    first = news.sort("known_time").row(0, named=True)
    assert first["known_time"].astimezone(UTC).hour in {4, 5}  # midnight in New York
    tones = made.study.matrix.frame.filter((pl.col("entity") == first["entity"]) & pl.col("news_tone_5d").is_not_nan())
    trading = sessions("XNYS", date(2020, 4, 1), date(2020, 6, 30))
    named = {row["known_time"] for row in news.filter(pl.col("entity") == first["entity"]).iter_rows(named=True)}
    expected = [
        close
        for close in trading["close"]
        if any(known <= close + timedelta(minutes=30) for known in named if close - known < timedelta(days=5))
    ]
    assert tones["session"].min() == expected[0].date()


def test_it_has_scores_and_nothing_leaks(made: Made) -> None:
    assert made.study.signals.filter(pl.col("status") == "ok").height > 0
    found = check(made.plan, made.tables, cut_times(made.plan, made.tables, 1)[:4])
    assert found.ok, found.differences
