"""Flags of the book: what raises them, what they hold back, and that results are told apart by them."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError
from small_market import CONFIGS

from fusion.config import load
from fusion.evaluation import EvaluationConfig, evaluate
from fusion.flags import FlagsConfig, flag_columns, flags_of, stale_of, stale_sources
from gpu_kernels.errors import ConfigError
from sources.schema import TIME

NAN = float("nan")


def test_a_flag_is_up_where_any_book_says_so_and_down_where_the_book_is_missing() -> None:
    matrix = pl.DataFrame(
        {
            "book_drought": [0.0, 1.0, NAN, 0.0, 1.0],
            "perp_book_drought": [1.0, 0.0, NAN, 0.0, 0.0],
            "book_spoofing": [0.0, 2.0, NAN, 1.9, 2.1],
            "book_drought_age": [9.0] * 5,
        }
    )
    assert flags_of(matrix, FlagsConfig(spoofing=2.0)).to_list() == [
        "drought", "drought,spoofing", "", "", "drought,spoofing",
    ]  # fmt: skip
    assert flag_columns(matrix.columns, "drought") == ["book_drought", "perp_book_drought"]


def test_without_a_book_nothing_can_be_said() -> None:
    matrix = pl.DataFrame({"bar_return_1": [0.1, 0.2]})
    assert flags_of(matrix, FlagsConfig()).to_list() == [None, None]


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(ValidationError, match="drought"):
        FlagsConfig(withhold=("weather",))


def test_evaluation_tells_flagged_decisions_apart() -> None:
    rng, rows = np.random.default_rng(2), 600
    score = rng.normal(size=rows)
    flagged = np.arange(rows) % 3 == 0
    # the score foretells where nothing is flagged and errs where a flag is up
    returns = np.where(flagged, -score, score) + rng.normal(size=rows) * 0.1
    start = datetime(2024, 1, 2, 15, tzinfo=UTC)
    frame = pl.DataFrame(
        {
            "entity": ["A"] * rows,
            "session": [date(2024, 1, 2) + timedelta(days=i // 60) for i in range(rows)],
            "decision_time": pl.Series(
                [start + timedelta(days=i // 60, minutes=i % 60) for i in range(rows)], dtype=TIME
            ),
        }
    )
    predictions = frame.with_columns(score=score, flags=np.where(flagged, "drought", ""))
    labels = frame.with_columns(return_5min=returns)
    probabilities = frame.select("session", time="decision_time").with_columns(probability_0=pl.lit(1.0))
    table = evaluate(
        predictions, labels, probabilities, EvaluationConfig(bootstrap=100), horizons=[300 * 10**9], primary=300 * 10**9
    )
    found = table.filter(pl.col("metric") == "rank_ic", pl.col("group_kind") == "flags")
    by_flag = dict(found.select("group", "value").iter_rows())
    assert set(by_flag) == {"none", "drought"}
    assert by_flag["none"] > 0.9
    assert by_flag["drought"] < -0.9


def test_ages_over_their_limit_and_feeds_that_went_silent() -> None:
    config = load(CONFIGS / "demo.yaml", ["flags.stale={bars: 2min, headlines: 1h}"])
    assert stale_sources(config) == ["bars", "book", "headlines", "lots"]
    start = datetime(2024, 1, 2, 15, tzinfo=UTC)
    times = [start + timedelta(minutes=minutes) for minutes in (0, 30, 90, 100)]
    matrix = pl.DataFrame(
        {
            "decision_time": times,
            "bar_age": [1.0, 2.0, 2.5, np.nan],
            "book_age": [4.0, np.nan, 0.0, 0.0],
            "book_drought_age": [0.0, 0.0, 0.0, 0.0],
            "metric_lot_fill_age": [np.nan, 1e5, 60.0, 60.0],
            "metric_lot_cars_age": [np.nan, np.nan, np.nan, 60.0],
        }
    )
    families = {"bar_age": "bars", "book_age": "book", "book_drought_age": "book", "book_spread": "book"}
    families |= {"metric_lot_fill_age": "lots", "metric_lot_cars_age": "lots", "news_tone_1h": "headlines"}
    heard = pl.Series("known_time", [start + timedelta(minutes=35), start + timedelta(minutes=10)])
    found = stale_of(matrix, families, {"headlines": pl.DataFrame({"known_time": heard})}, config)
    assert {column.name: column.to_list() for column in found} == {
        "stale_bars": [False, False, True, True],
        "stale_book": [False, True, False, False],
        # nothing yet; 20 minutes ago; 55; 65
        "stale_headlines": [True, False, False, True],
        "stale_lots": [True, True, False, False],
    }


def test_a_source_that_cannot_go_stale() -> None:
    for name in ("calendar", "nothing"):
        with pytest.raises(ConfigError, match=r"flags\.stale"):
            load(CONFIGS / "demo.yaml", [f"flags.stale={{{name}: 1h}}"])
    with pytest.raises(ConfigError, match=r"flags\.stale"):
        load(CONFIGS / "demo.yaml", ["flags.stale={bars: soon}"])
