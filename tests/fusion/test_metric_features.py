"""Features of revised metrics: by hand, cut, as a config asks for them, and on real vintages replayed."""

import csv
import gzip
import statistics
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_market import CONFIGS

from fusion.config import load
from fusion.features import metric
from fusion.features.choice import chosen
from fusion.features.metric_names import Asked, asked
from gpu_kernels.errors import ConfigError
from sources.config import parse_source
from sources.lake import ingest, read
from sources.schema import TIME

MINUTE, NAN = 60 * 10**9, np.nan
NAMES = ["m", "m_first", "m_revision", "m_revision_2", "m_change_1", "m_change_2", "m_surprise_2"]


def table(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    """(entity, event minute, known minute, value) of metric m, in the order of the lake."""
    schema = ["entity", "event_time", "known_time", "value"]
    frame = pl.DataFrame(
        rows, schema=dict(zip(schema, (pl.String, pl.Int64, pl.Int64, pl.Float64), strict=True)), orient="row"
    )
    times = (pl.col("event_time", "known_time") * MINUTE).cast(TIME)
    told = frame.with_columns(times, site=pl.lit(""), metric=pl.lit("m"))
    return told.sort("entity", "known_time", "event_time", maintain_order=True)


def grid(entities: list[str], minutes: list[int]) -> pl.DataFrame:
    rows = [(entity, minute) for entity in entities for minute in minutes]
    frame = pl.DataFrame(rows, schema=["entity", "minute"], orient="row")
    return frame.select("entity", (pl.col("minute") * MINUTE).cast(TIME).alias("decision_time"))


LOG = [
    ("A", 0, 1, 1.0),
    ("A", 10, 11, 3.0),
    ("A", 0, 12, 2.0),
    ("A", 20, 21, 7.0),
    ("A", 20, 22, 8.0),
    ("A", 10, 23, None),
]


class TestByHand:
    AT = (0, 1, 11, 12, 21, 22, 23, 90)
    EXPECTED: ClassVar[dict[str, list[float]]] = {
        "metric_m": [NAN, 1, 3, 3, 7, 8, 8, NAN],
        "metric_m_first": [NAN, 1, 3, 3, 7, 7, 7, NAN],
        "metric_m_revision": [NAN, 0, 0, 0, 0, 1, 1, NAN],
        "metric_m_revision_2": [NAN, NAN, 0, 0.5, 0, 0.5, 1, NAN],
        "metric_m_change_1": [NAN, NAN, 2, 1, 4, 5, 6, NAN],
        "metric_m_change_2": [NAN, NAN, NAN, NAN, 5, 6, NAN, NAN],
        "metric_m_surprise_2": [NAN, NAN, NAN, NAN, 4.5 / 0.5**0.5, 5.5 / 0.5**0.5, NAN, NAN],
        "metric_m_age": [NAN, 1, 1, 2, 1, 2, 3, NAN],
    }

    def test_of_the_entity_that_the_rows_name(self) -> None:
        found = metric.compute(table(LOG), grid(["A", "B"], [*self.AT]), NAMES, 60 * MINUTE)
        assert set(found) == set(self.EXPECTED)
        for name, wanted in self.EXPECTED.items():
            np.testing.assert_allclose(found[name], wanted + [NAN] * len(self.AT), rtol=1e-15, err_msg=name)

    def test_of_a_market_for_every_entity(self) -> None:
        rows = table([("US", *row[1:]) for row in LOG] + [("A", 0, 1, 99.0)])
        found = metric.compute(rows, grid(["A", "B"], [*self.AT]), NAMES, 60 * MINUTE, market="US")
        for name, wanted in self.EXPECTED.items():
            np.testing.assert_allclose(found[name], wanted * 2, rtol=1e-15, err_msg=name)

    def test_sites_are_left_out(self) -> None:
        rows = table(LOG).with_columns(site=pl.lit("store"))
        found = metric.compute(rows, grid(["A"], [*self.AT]), NAMES, 60 * MINUTE)
        assert all(np.isnan(values).all() for values in found.values())


_row = st.tuples(
    st.sampled_from(["A", "B"]),
    st.integers(0, 5),
    st.integers(5, 12),
    st.one_of(st.none(), st.sampled_from([-1.0, 0.1, 0.25, 3.0])),
)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(_row, max_size=16, unique_by=lambda row: row[:3]), st.integers(4, 12), st.randoms(use_true_random=False)
)
@pytest.mark.parametrize("market", [None, "A"])
def test_rows_known_later_change_no_feature_in_whatever_order_the_file_has_them(
    market: str | None, rows: list[Any], cut: int, random: Any
) -> None:
    mixed = list(rows)
    random.shuffle(mixed)
    decisions = grid(["A", "B"], [*range(cut + 1)])
    known = metric.compute(table([row for row in rows if row[2] <= cut]), decisions, NAMES, 60 * MINUTE, market=market)
    full = metric.compute(table(mixed), decisions, NAMES, 60 * MINUTE, market=market)
    for name, values in known.items():
        np.testing.assert_array_equal(full[name], values, err_msg=name)


class TestNames:
    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("spend", Asked("spend")),
            ("spend_first", Asked("spend", "first")),
            ("spend_all_revision", Asked("spend_all", "revision")),
            ("spend_revision_5", Asked("spend", "revision", 5)),
            ("lot_fill_change_12", Asked("lot_fill", "change", 12)),
            ("spend_surprise_28", Asked("spend", "surprise", 28)),
            ("spend_change", Asked("spend_change")),
            ("spend_first_5", Asked("spend_first_5")),
            ("prime_first", Asked("prime_first")),
        ],
    )
    def test_what_a_name_stands_for(self, name: str, meant: Asked) -> None:
        assert asked(name, own=["prime_first"]) == meant

    @pytest.mark.parametrize("name", ["spend_change_0", "spend_surprise_1", "spend_revision_1000000"])
    def test_numbers_that_cannot_be(self, name: str) -> None:
        with pytest.raises(ConfigError, match="is of"):
            asked(name)

    LOTS = "sources.lots.constants={metric: lot_fill}"

    @pytest.mark.parametrize(
        ("wanted", "words"),
        [
            ("[lot_fill_change_0]", "features.lots: 'lot_fill_change_0' is of 0 events; allowed: 1 to 100000"),
            ("[lot_fil_change_1]", "features.lots names 'lot_fil_change_1'"),
        ],
    )
    def test_a_config_that_asks_for_what_cannot_be(self, wanted: str, words: str) -> None:
        columns = "sources.lots.columns={entity: ticker, event_time: captured, known_time: delivered}"
        config = load(CONFIGS / "demo.yaml", [f"features.lots={wanted}", self.LOTS, columns])
        with pytest.raises(ConfigError) as caught:
            chosen(config, "lots")
        assert words in str(caught.value)

    def test_a_config_that_asks_for_features_of_vintages(self) -> None:
        names = ["lot_fill", "lot_fill_first", "lot_fill_revision_4", "lot_fill_yoy_change_2"]
        config = load(CONFIGS / "demo.yaml", [f"features.lots=[{', '.join(names)}]"])
        assert chosen(config, "lots") == names


FILES = {
    "spend_all": ("oi_affinity_national_spend_all_vintages.csv.gz", "spend_all"),
    "mobility": ("oi_gps_retail_national_vintages.csv.gz", "gps_retail_and_recreation"),
}


def log(path: Path) -> list[tuple[datetime, str, float]]:
    with gzip.open(path, "rt") as lines:
        rows = [
            (datetime.fromisoformat(row["available_time"]), row["event_date"], float(row["value"]))
            for row in csv.DictReader(lines)
        ]
    return sorted(rows, key=lambda row: row[0])


def features_at(rows: list[tuple[datetime, str, float]], at: datetime) -> list[float]:
    """Of the log in plain Python: what NAMES (with 7 events for 1, and 28 for 2) ask for, at a moment."""
    published: dict[str, float] = {}
    first: dict[str, float] = {}
    for when, event, value in rows:
        if when <= at:
            published[event] = value
            first.setdefault(event, value)
    events = sorted(published, reverse=True)
    known = [published[event] for event in events]
    shifts = [published[event] - first[event] for event in events]
    before = known[1:29]
    return [
        *(
            known[0],
            first[events[0]],
            shifts[0],
            statistics.fmean(shifts[:28]),
            known[0] - known[7],
            known[0] - known[14],
        ),
        (known[0] - statistics.fmean(before)) / statistics.stdev(before),
    ]


@pytest.mark.data
@pytest.mark.parametrize("name", FILES)
def test_features_of_real_vintages_are_those_of_the_log_replayed(data_root: Path, tmp_path: Path, name: str) -> None:
    file, series = FILES[name]
    path = data_root / "alt/series" / file
    columns = {"event_time": "event_date", "known_time": "available_time", "metric": "series"}
    entry = {"kind": "table_file", "table": "metric", "timezone": "UTC", "max_age": "60d", "entity": "US"}
    source = parse_source(name, entry | {"files": str(path), "columns": columns})
    rows = read(ingest(name, source, calendar="XNYS", lake=tmp_path).folder)
    replay = log(path)
    times = sorted({when for when, _, _ in replay})
    # 120 mornings from the first vintage to the last, none chosen by what it says
    mornings = [datetime(2020, 6, 18, 13, 30, tzinfo=UTC) + timedelta(7 * week) for week in range(120)]
    mornings = [at for at in mornings if times[0] < at and (at - times[bisect_right(times, at) - 1]).days < 20]
    assert len(mornings) >= 50
    asked_for = [
        f"{series}{ending}"
        for ending in ("", "_first", "_revision", "_revision_28", "_change_7", "_change_14", "_surprise_28")
    ]
    decisions = pl.DataFrame({"entity": "AAPL", "decision_time": mornings}).cast({"decision_time": TIME})
    found = metric.compute(rows, decisions, asked_for, source.max_age, market="US")
    wanted = np.array([features_at(replay, at) for at in mornings]).T
    for feature, values in zip(asked_for, wanted, strict=True):
        exact = feature in asked_for[:3]
        np.testing.assert_allclose(
            found[f"metric_{feature}"], values, rtol=0 if exact else 1e-9, atol=0 if exact else 1e-12
        )
    if name == "spend_all":
        # the latest days are usually printed anew before the next decision, and months of them are revised
        assert 20 < (wanted[3] != 0).sum() <= len(mornings)
