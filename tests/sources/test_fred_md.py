"""FRED-MD: transformations, the table of publication lags, one revised history, and vintages."""

import csv
import gzip
import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from gpu_kernels.errors import ConfigError, DataError
from sources.config import parse_source
from sources.lake import IngestResult, ingest, read
from sources.macro.lags import PublicationLag, SeriesLag, known_times, packaged, packaged_delays
from sources.macro.options import metric_name
from sources.macro.transforms import by_code, year_on_year

MONTHS = [date(2018 + n // 12, n % 12 + 1, 1) for n in range(30)]
DATA = "macro/fred_md_2026-02.csv.gz"


def md_file(path: Path, series: dict[str, tuple[int, list[object]]], months: list[date] = MONTHS) -> Path:
    lines = ["sasdate," + ",".join(series), "Transform:," + ",".join(str(code) for code, _ in series.values())]
    for place, month in enumerate(months):
        cells = ("" if values[place] is None else str(values[place]) for _, values in series.values())
        lines.append(f"{month.month}/{month.day}/{month.year}," + ",".join(cells))
    path.write_text("\n".join([*lines, "," * len(series), ""]))
    return path


def entry(files: object, **more: object) -> dict[str, Any]:
    return {"kind": "fred_md", "files": str(files) if isinstance(files, Path) else files, "series": "all"} | more


def taken(tmp_path: Path, files: object, **more: object) -> tuple[pl.DataFrame, IngestResult]:
    source = parse_source("fred", entry(files, **{"quarantine_limit": 1, **more}))
    result = ingest("fred", source, calendar="XNYS", lake=tmp_path / "lake")
    return read(result.folder), result


def naive(x: list[float], code: int) -> list[float]:
    """By the definition, one month after the other, a missing or impossible step being NaN."""

    def log(v: float) -> float:
        return math.log(v) if v > 0 else math.nan

    def at(t: int) -> float:
        return x[t] if t >= 0 else math.nan

    def growth(t: int) -> float:
        return at(t) / at(t - 1) - 1 if at(t - 1) else math.nan

    def value(t: int) -> float:
        return {
            1: lambda: at(t),
            2: lambda: at(t) - at(t - 1),
            3: lambda: (at(t) - at(t - 1)) - (at(t - 1) - at(t - 2)),
            4: lambda: log(at(t)),
            5: lambda: log(at(t)) - log(at(t - 1)),
            6: lambda: (log(at(t)) - log(at(t - 1))) - (log(at(t - 1)) - log(at(t - 2))),
            7: lambda: growth(t) - growth(t - 1),
        }[code]()

    return [value(t) for t in range(len(x))]


class TestTransforms:
    VALUES = (3.0, 4.0, math.nan, 5.0, 6.5, 7.0, 0.0, -2.0, 5.0, 5.5, 5.0, 8.0, 9.0, 1.0, 2.0, 4.0, 8.0)

    @pytest.mark.parametrize("code", range(1, 8))
    def test_by_the_definition(self, code: int) -> None:
        np.testing.assert_allclose(by_code(np.array(self.VALUES), code), naive([*self.VALUES], code), atol=1e-12)

    @pytest.mark.parametrize("code", range(1, 8))
    @pytest.mark.parametrize("length", [0, 1, 2, 13])
    def test_a_later_month_changes_no_earlier_one(self, code: int, length: int) -> None:
        x = np.array(self.VALUES)
        for function in (by_code, year_on_year):
            np.testing.assert_array_equal(function(x[:length], code), function(x, code)[:length])

    def test_year_on_year(self) -> None:
        x = np.exp(np.arange(14) * 0.5)
        assert year_on_year(x, 5)[12:] == pytest.approx([6.0, 6.0])
        assert year_on_year(x, 2)[13] == pytest.approx(x[13] - x[1])
        assert np.isnan(year_on_year(x, 5)[:12]).all()


class TestLags:
    def test_counted_from_the_months_end_and_off_weekends(self) -> None:
        month = pl.Series([date(2018, 11, 1), None, date(2024, 2, 1)], dtype=pl.Date)
        ten = SeriesLag(PublicationLag(days=10, time="08:30"))
        # 10 December 2018 is a Monday; 29 February + 10 is Sunday 10 March 2024, on which clocks change
        assert known_times(month, ten, "America/New_York").to_list() == [
            datetime(2018, 12, 10, 13, 30, tzinfo=UTC),
            None,
            datetime(2024, 3, 11, 12, 30, tzinfo=UTC),
        ]
        two = SeriesLag(PublicationLag(days=2, time="16:30", business=True))
        # June 2024 ends on a Sunday: Monday and Tuesday follow
        assert known_times(pl.Series([date(2024, 6, 1)]), two, "UTC")[0] == datetime(2024, 7, 2, 16, 30, tzinfo=UTC)

    def test_a_release_that_came_late(self) -> None:
        lag = packaged()["RETAILx"]
        months = pl.Series([date(2018, 11, 1), date(2018, 12, 1)])
        assert [time.date() for time in known_times(months, lag, "UTC")] == [date(2018, 12, 20), date(2019, 2, 14)]

    def test_every_late_release_is_of_a_release_of_the_table(self) -> None:
        assert set(packaged_delays()) <= {found.release for found in packaged().values()}

    def test_every_series_has_group_release_and_source(self) -> None:
        assert len(packaged()) == 126
        assert all(found.group and found.release and found.source for found in packaged().values())
        assert len({found.group for found in packaged().values()}) == 8

    @pytest.mark.data
    def test_no_release_of_nine_years_is_later_than_its_lag(self, data_root: Path) -> None:
        calendar = pl.read_csv(data_root / "macro/economic_calendar_fxstreet_usd_high_2014_2022.csv.gz").with_columns(
            pl.col("Start").str.to_datetime("%m/%d/%Y %H:%M:%S", time_zone="UTC")
        )
        for event, series in (
            ("Nonfarm Payrolls", "PAYEMS"),
            ("Unemployment Rate", "UNRATE"),
            ("Consumer Price Index ex Food & Energy (YoY)", "CPIAUCSL"),
        ):
            released = calendar.filter(pl.col("Name") == event)["Start"]
            assert released.len() >= 50
            known = known_times(
                released.dt.date().dt.offset_by("-1mo").dt.truncate("1mo"), packaged()[series], "America/New_York"
            )
            assert (known >= released.cast(known.dtype)).all()
            assert ((known - released.cast(known.dtype)) < timedelta(days=20)).all()

    @pytest.mark.data
    def test_what_the_file_does_not_hold_was_not_known_when_it_was_made(self, data_root: Path) -> None:
        # the vintage has January's money stock, which came on 24 February; so each series' next month came after it
        for series, last in last_months(data_root / DATA).items():
            after = pl.Series([last]).dt.offset_by("1mo")
            assert known_times(after, packaged()[series], "UTC")[0] > datetime(2026, 2, 24, 21, 30, tzinfo=UTC), series


def last_months(path: Path) -> dict[str, date]:
    with gzip.open(path, "rt") as stream:
        rows = list(csv.reader(stream))
    names, found = rows[0][1:], {}
    for row in rows[2:]:
        month, day, year = map(int, row[0].split("/"))
        found |= {name: date(year, month, day) for name, cell in zip(names, row[1:], strict=True) if cell}
    return found


class TestOneVintage:
    def test_golden(self, tmp_path: Path) -> None:
        rates = [5.0 + n / 4 for n in range(30)]
        path = md_file(
            tmp_path / "2020-06-MD.csv", {"UNRATE": (2, rates), "S&P 500": (5, [100.0 * 2**n for n in range(30)])}
        )
        rows, result = taken(tmp_path, path, series=["UNRATE", "S&P 500"])
        assert set(rows["metric"]) == {"UNRATE_revised", "SP_500_revised"}
        first = rows.filter(pl.col("metric") == "UNRATE_revised").row(0, named=True)
        assert first["entity"] == "US"
        assert first["event_time"] == datetime(2018, 2, 1, 5, tzinfo=UTC)
        assert first["known_time"] == datetime(2018, 3, 12, 12, 30, tzinfo=UTC)  # 10 March is a Saturday
        assert first["value"] == 0.25
        assert rows.filter(pl.col("metric") == "SP_500_revised")["value"].to_list() == pytest.approx([math.log(2)] * 29)
        # the first month of each has no change
        assert result.counts["ignored"] == {"no_value": 2}
        assert "revised" in result.warnings[0]

    def test_the_past_does_not_depend_on_what_follows(self, tmp_path: Path) -> None:
        values = [100.0 + (7 * n) % 11 for n in range(30)]
        series: dict[str, tuple[int, list[object]]] = {
            "M2SL": (6, [*values]),
            "NONBORRES": (7, [*values[:20], *[-1.0] * 10]),
        }
        whole, _ = taken(tmp_path, md_file(tmp_path / "a.csv", series), series=["M2SL", "NONBORRES"])
        cut = {name: (code, cells[:18]) for name, (code, cells) in series.items()}
        part, _ = taken(tmp_path, md_file(tmp_path / "b.csv", cut, MONTHS[:18]), series=["M2SL", "NONBORRES"])
        until = part["event_time"].max()
        assert part.height == 32
        assert part.drop("vintage", strict=False).equals(
            whole.filter(pl.col("event_time") <= until).drop("vintage", strict=False)
        )

    def test_a_change_is_known_no_earlier_than_the_months_it_is_made_of(self, tmp_path: Path) -> None:
        late = packaged_delays()[packaged()["CPIAUCSL"].release][-1]
        months = pl.date_range(date(2024, 1, 1), pl.lit(late.last).dt.offset_by("1mo"), "1mo", eager=True).to_list()
        path = md_file(tmp_path / "a.csv", {"CPIAUCSL": (5, [100.0 + n for n in range(len(months))])}, months)
        assert known_times(pl.Series(months[-1:]), packaged()["CPIAUCSL"], "UTC")[0].date() < late.known
        for transform in ("tcode", "yoy", "none"):
            rows, _ = taken(tmp_path, path, series=["CPIAUCSL"], transform=transform)
            known = rows.sort("event_time")["known_time"]
            assert known.is_sorted()
            assert known[-1].date() >= late.known

    def test_a_missing_month_spreads_as_far_as_the_transformation_reaches(self, tmp_path: Path) -> None:
        cells: list[object] = [float(n + 1) for n in range(30)]
        cells[10] = "."
        months = [month for month in MONTHS if month != MONTHS[20]]
        kept = [cell for cell, month in zip(cells, MONTHS, strict=True) if month != MONTHS[20]]
        rows, _ = taken(tmp_path, md_file(tmp_path / "a.csv", {"M2SL": (6, kept)}, months), series=["M2SL"])
        there = {time.astimezone(UTC).month + 12 * (time.year - 2018) - 1 for time in rows["event_time"]}
        assert set(range(30)) - there == {0, 1, 10, 11, 12, 20, 21, 22}

    def test_bad_cells_and_lines_are_set_aside_with_their_line(self, tmp_path: Path) -> None:
        path = md_file(tmp_path / "a.csv", {"UNRATE": (1, [1.0, "x", "inf", *[2.0] * 27])})
        path.write_text(path.read_text() + "13/1/2020,1\n1/1/2018,9\n1/1/9999,1\n6/1/2020,1,2\n")
        rows, result = taken(tmp_path, path, series=["UNRATE"])
        set_aside = pl.read_parquet(result.quarantine).select("line", "reason").sort("line").rows()
        assert set_aside == [
            (4, "unparsable_number"),
            (5, "not_finite"),
            (34, "unparsable_month"),
            (35, "same_month_twice"),
            (36, "unparsable_month"),
            (37, "wrong_field_count"),
        ]
        assert rows["value"].to_list() == [1.0, *[2.0] * 27]

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"series": ["UNRATEE"]}, "did you mean UNRATE"),
            ({"series": ["MINE"]}, "lags: {MINE: {days: 45"),
            ({"series": []}, "names no series"),
            ({"series": ["UNRATE"], "lag_table": "none"}, "has no publication lag"),
            ({"release": {"days": 3, "time": "10:00"}}, "`release` is for vintages: each"),
            ({"vintages": "each", "lags": {"UNRATE": {"days": 1, "time": "10:00"}}}, "for vintages: one"),
            ({"lags": {"UNRATE": {"days": -1, "time": "10:00"}}}, "greater than or equal to 0"),
            ({"entity": None}, "one `entity`"),
            ({"columns": {"value": "x"}}, "whose layout is known"),
        ],
    )
    def test_wrong_options(self, more: dict[str, object], words: str) -> None:
        with pytest.raises(ConfigError) as error:
            parse_source("fred", entry("a.csv", **more))
        assert words in str(error.value)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("a,b\n1,2\n", "not laid out as FRED-MD"),
            ("sasdate,UNRATE\n1/1/2018,4\n", "not laid out as FRED-MD"),
            ("sasdate,UNRATE\nTransform:,9\n1/1/2018,4\n", "the code of UNRATE is '9'"),
            ("sasdate,RPI\nTransform:,5\n1/1/2018,4\n", "has no series 'UNRATE'"),
            ("sasdate,UNRATE\n", "not laid out as FRED-MD"),
            ("", "is empty"),
        ],
    )
    def test_wrong_files(self, tmp_path: Path, text: str, words: str) -> None:
        (tmp_path / "a.csv").write_text(text)
        with pytest.raises(DataError) as error:
            taken(tmp_path, tmp_path / "a.csv", series=["UNRATE"])
        assert words in str(error.value)

    def test_two_files_are_no_single_history(self, tmp_path: Path) -> None:
        for name in ("a.csv", "b.csv"):
            md_file(tmp_path / name, {"UNRATE": (1, [1.0] * 30)})
        with pytest.raises(ConfigError, match="vintages: each"):
            taken(tmp_path, str(tmp_path / "*.csv"), series=["UNRATE"])

    def test_ones_own_lags(self, tmp_path: Path) -> None:
        path = md_file(tmp_path / "a.csv", {"MINE": (1, [1.0] * 30), "UNRATE": (1, [1.0] * 30)})
        table = tmp_path / "lags.csv.txt"
        table.write_text("series,days,time\nMINE,3,09:00\n")
        own = {"UNRATE": {"days": 20, "time": "12:00"}}
        more = {"series": ["MINE", "UNRATE"], "lag_table": str(table), "lags": own, "timezone": "UTC"}
        rows, result = taken(tmp_path, path, **more)
        known = rows.group_by("metric").agg(pl.col("known_time").min()).sort("metric")
        assert known.rows() == [
            ("MINE_revised", datetime(2018, 2, 5, 9, tzinfo=UTC)),  # the 3rd is a Saturday
            ("UNRATE_revised", datetime(2018, 2, 20, 12, tzinfo=UTC)),
        ]
        table.write_text("series,days,time\nMINE,4,09:00\nUNRATE,5,09:00\n")
        rows, again = taken(tmp_path, path, **more)
        assert again.key != result.key
        assert not again.reused
        table.write_text("series,days,time\nOTHER,4,09:00\n")
        with pytest.raises(ConfigError, match="no publication lag is known for MINE"):
            taken(tmp_path, path, **more)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("series,days,time\nA,-1,09:00\n", "line 2: days"),
            ("series,days,time\nA,1,9 am\n", "line 2: time"),
            ("series,days\nA,1\n", "line 2: time"),
            ("series,days,time\nA,1,09:00\nA,2,09:00\n", "line 3: A is there twice"),
            ("series,days,time\n", "holds no lags"),
        ],
    )
    def test_wrong_tables_of_lags(self, tmp_path: Path, text: str, words: str) -> None:
        path = md_file(tmp_path / "a.csv", {"A": (1, [1.0] * 30)})
        (tmp_path / "lags.txt").write_text(text)
        with pytest.raises(DataError) as error:
            taken(tmp_path, path, series=["A"], lag_table=str(tmp_path / "lags.txt"))
        assert words in str(error.value)

    @pytest.mark.data
    def test_real_file(self, tmp_path: Path, data_root: Path) -> None:
        rows, result = taken(tmp_path, data_root / DATA, transform="none", quarantine_limit=0)
        with gzip.open(data_root / DATA, "rt") as stream:
            lines = list(csv.reader(stream))
        told = {
            (metric_name(name, revised=True), line[0]): float(cell)
            for line in lines[2:]
            for name, cell in zip(lines[0][1:], line[1:], strict=True)
            if cell
        }
        month = rows["event_time"].dt.convert_time_zone("America/New_York")
        found = dict(zip(zip(rows["metric"], month.dt.strftime("%-m/%-d/%Y"), strict=True), rows["value"], strict=True))
        assert found == told
        assert result.counts["used"] == len(told)
        assert rows["metric"].n_unique() == 126


class TestVintages:
    @pytest.fixture
    def files(self, tmp_path: Path) -> Path:
        """Two years of vintages, with revisions, a benchmark revision, a value withdrawn, and a series that joins."""
        draw = np.random.default_rng(5)
        level = 100 + draw.normal(size=40).cumsum()
        for place in range(12, 24):
            shown = level[:place].round(3)
            shown[-3:] += draw.normal(size=3).round(3) / 10
            if place >= 18:
                shown += 7
            cells: list[object] = [*shown]
            if place == 20:
                cells[5] = None
            series: dict[str, tuple[int, list[object]]] = {"PAYEMS": (5, cells)}
            if place >= 15:
                series["VIXCLSx"] = (1, [*(level[:place] / 5).round(2)])
            md_file(tmp_path / f"{MONTHS[place]:%Y-%m}.csv", series, MONTHS[:place])
        return tmp_path

    @pytest.mark.parametrize("transform", ["tcode", "none", "yoy"])
    def test_what_was_known_is_the_vintage_then_published(self, files: Path, transform: str) -> None:
        rows, _ = taken(files, str(files / "*.csv"), series=["PAYEMS", "VIXCLSx"], vintages="each", transform=transform)
        assert set(rows["metric"]) == {"PAYEMS", "VIXCLSx"}
        code = {"PAYEMS": 5, "VIXCLSx": 1}
        for path in sorted(files.glob("*.csv")):
            known = known_times(
                pl.Series([date.fromisoformat(f"{path.stem}-01")]),
                SeriesLag(PublicationLag(days=5, time="16:30", business=True)),
                "America/New_York",
            )[0]
            with open(path) as stream:
                lines = list(csv.reader(stream))
            for name in lines[0][1:]:
                column = [float(line[lines[0].index(name)] or "nan") for line in lines[2:-1]]
                if transform == "tcode":
                    column = naive(column, code[name])
                elif transform == "yoy":
                    logged = [math.log(v) for v in column] if code[name] == 5 else column
                    column = [logged[t] - logged[t - 12] if t >= 12 else math.nan for t in range(len(logged))]
                expected = {
                    line[0]: value for line, value in zip(lines[2:-1], column, strict=True) if not math.isnan(value)
                }
                for moment in (known, known + timedelta(days=20)):
                    then: dict[str, float | None] = {}
                    series = rows.filter((pl.col("metric") == name) & (pl.col("known_time") <= moment))
                    for event, value in series.sort("known_time").select("event_time", "value").iter_rows():
                        then[f"{event.month}/1/{event.year}"] = value
                    shown = {month: value for month, value in then.items() if value is not None}
                    assert shown == pytest.approx(expected, abs=1e-12)

    def test_an_unchanged_value_is_no_new_row(self, files: Path) -> None:
        rows, result = taken(files, str(files / "*.csv"), series=["VIXCLSx"], vintages="each", transform="none")
        assert rows.height == 23
        # five business days after the month of the first file that has it, 30 April 2019
        assert rows["known_time"].min() == datetime(2019, 5, 7, 20, 30, tzinfo=UTC)
        assert result.counts["ignored"]["unchanged_since_last_vintage"] == sum(range(15, 23))
        assert result.counts["ignored"]["series_not_in_vintage"] == 3
        assert result.warnings == []

    def test_vintages_out_of_order_or_without_a_month(self, files: Path) -> None:
        names = [str(files / "2019-05.csv"), str(files / "2019-04.csv")]
        with pytest.raises(DataError, match="not after 2019-05"):
            taken(files, names, series=["PAYEMS"], vintages="each")
        (files / "2019-05.csv").rename(files / "current.csv")
        with pytest.raises(DataError, match="its name tells none"):
            taken(files, str(files / "c*.csv"), series=["PAYEMS"], vintages="each")

    def test_a_month_after_its_vintage_is_set_aside(self, tmp_path: Path) -> None:
        path = md_file(tmp_path / "2019-01.csv", {"VIXCLSx": (1, [1.0] * 30)})
        _, result = taken(tmp_path, path, series=["VIXCLSx"], vintages="each")
        assert result.counts["quarantined"] == {"known_before_event": 16}
