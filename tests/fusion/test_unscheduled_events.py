"""No config, study or page knows of a decision of the Fed before it was announced.

The calendar file was written down afterwards, and holds the two cuts of March 2020 like the meetings that were planned.
What tells them apart here is not the config's list of days but the clock: planned decisions came at 14:00 New York.
"""

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from fusion.asof import nanoseconds
from fusion.features import event
from fusion.features.bar_slots import known_events
from fusion.studies import volatility_samples
from sources.sessions import sessions

ROOT = Path(__file__).resolve().parents[2]
FILE = "economic_calendar_fxstreet_usd_high_2014_2022.csv.gz"
CUTS = [date(2020, 3, 3), date(2020, 3, 15)]

pytestmark = pytest.mark.data


def calendars() -> dict[str, tuple[dict[str, Any], str]]:
    """config or study -> the entry of its source that reads the file, and its market."""
    found = {"study": (dict(volatility_samples._CALENDAR), volatility_samples.SPY)}
    for path in sorted((ROOT / "configs").rglob("*.yaml")):
        tree = yaml.safe_load(path.read_text())
        for entry in tree.get("sources", {}).values():
            if FILE in str(entry.get("files")):
                found[path.stem] = entry, tree["calendar"]
    return found


CALENDARS = calendars()


@pytest.fixture(params=sorted(CALENDARS))
def decisions(request: pytest.FixtureRequest, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> pl.DataFrame:
    monkeypatch.setenv("TRIFUSE_DATA", str(data_root))
    rows = volatility_samples.read_rows(*CALENDARS[request.param])
    local = pl.col("event_time").dt.convert_time_zone("America/New_York")
    return rows.filter(kind="fomc").with_columns(day=local.dt.date(), planned=local.dt.strftime("%H:%M") == "14:00")


def test_the_file_is_read_by_what_is_thought_to_read_it() -> None:
    configs = {"es_minutes", "es_volatility", "fomc_tweets", "retail_fusion", "spy_volatility", "tech_news"}
    assert set(CALENDARS) == configs | {"study"}
    pages = [page.name for page in (ROOT / "docs").glob("*.md") if FILE in page.read_text()]
    assert pages == ["volatility.md"]
    assert re.search(r'"unscheduled": \["2020-03-03", "2020-03-15"\]', (ROOT / "docs" / "volatility.md").read_text())


def test_a_cut_in_haste_is_known_when_it_comes(decisions: pl.DataFrame) -> None:
    notice = decisions["event_time"] - decisions["known_time"]
    planned = decisions["planned"]
    assert decisions.filter(~planned)["day"].to_list() == CUTS
    assert notice.filter(~planned).to_list() == [timedelta(0)] * 2
    assert len(notice.filter(planned)) == 71
    assert notice.filter(planned).min() >= timedelta(days=7)  # type: ignore[operator]


def test_it_is_no_feature_before(decisions: pl.DataFrame) -> None:
    hours = sessions("XNYS", date(2020, 2, 20), date(2020, 3, 31))
    moments = pl.datetime_ranges("open", "close", "15m", time_zone="UTC")
    grid = hours.select(entity=pl.lit("SPY"), decision_time=moments).explode("decision_time")
    made = event.compute(decisions, grid, ["fomc"])
    # the next planned decision was that of March 18th, in whose place the second cut came: the file lacks it
    assert (made["event_minutes_to_fomc"] == event.CAP_MINUTES).all()
    since = pl.Series(made["event_minutes_since_fomc"])
    first = grid["decision_time"].filter(since < event.CAP_MINUTES)[0]
    assert first == decisions.filter(day=CUTS[0])["event_time"][0]
    # nor does the session that holds it expect it
    found = known_events(decisions, nanoseconds(sessions("XNYS", date(2020, 1, 2), date(2020, 5, 29))["open"]))
    days = np.array(found["fomc"], "datetime64[ns]").astype("datetime64[D]").tolist()
    assert [day for day in days if day.year == 2020 and day.month < 6] == [date(2020, 1, 29), date(2020, 4, 29)]


def test_studies_are_told_of_planned_events_alone(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIFUSE_DATA", str(data_root))
    for kind, times in volatility_samples.scheduled_events().items():
        days = times.astype("datetime64[ns]").astype("datetime64[D]")
        assert not np.isin(days, np.array(CUTS, "datetime64[D]")).any(), kind
        if kind == "fomc":
            clock = pl.Series(times).cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone("America/New_York")
            assert clock.dt.strftime("%H:%M").unique().to_list() == ["14:00"]
            assert len(times) == 71
