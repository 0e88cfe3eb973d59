"""News features against their naive definition, and what later items may not change."""

from datetime import UTC, datetime, timedelta

import news_naive
import numpy as np
import polars as pl
import pytest

from gpu_kernels.errors import ArgumentError, DataError
from sentiment.features import DAY, FEATURES, HOUR, news_features, specs
from sentiment.novelty import novelty, word_sets

START = datetime(2024, 1, 2, tzinfo=UTC)
WORDS = ["profit", "loss", "rises", "falls", "outlook", "raised", "cut", "shares", "apple", "facebook", "today"]


def make_items(rows: int, seed: int, *, days: float = 40, entities: str = "AAA BBB CCC") -> pl.DataFrame:
    """Items with ties, revisions, repeats, items about several entities, and items without a score."""
    draw = np.random.default_rng(seed)
    names = entities.split()
    texts: list[str] = []
    for _ in range(rows):
        if texts and draw.random() < 0.3:
            texts.append("RT " + texts[draw.integers(len(texts))] + " https://t.co/x")
        else:
            texts.append(" ".join(draw.choice(WORDS, draw.integers(0, 7))))
    seconds = np.sort(draw.integers(0, int(days * 86_400), rows))
    seconds[1::7] = seconds[0::7][: len(seconds[1::7])]
    known = pl.Series(seconds).sort()
    frame = pl.DataFrame(
        {
            "entity": draw.choice(names, rows),
            "item": [f"item-{draw.integers(rows)}" for _ in range(rows)],
            "text": texts,
            "score": np.round(draw.uniform(-1, 1, rows), 4),
            "delay": draw.choice([0, 2, 9 * 3600], rows),
        }
    ).with_columns(known=known)
    return frame.select(
        "entity",
        event_time=(pl.lit(START) + pl.duration(seconds=pl.col("known") - pl.col("delay"))).cast(
            pl.Datetime("ns", "UTC")
        ),
        known_time=(pl.lit(START) + pl.duration(seconds="known")).cast(pl.Datetime("ns", "UTC")),
        item="item",
        text="text",
        score=pl.when(pl.int_range(pl.len()) % 11 == 5).then(None).otherwise(pl.col("score")),
    )


def make_grid(times: list[float], entities: str = "AAA BBB CCC DDD") -> pl.DataFrame:
    """Decisions at `times` (days from START) for each entity."""
    moments = pl.Series([START + timedelta(days=day) for day in times], dtype=pl.Datetime("ns", "UTC"))
    return pl.DataFrame({"entity": entities.split()}).join(pl.DataFrame({"decision_time": moments}), how="cross")


def test_equals_the_naive_definition() -> None:
    items = make_items(260, 1)
    grid = make_grid([-1, 0.01, 0.5, 1, 3, 6.5, 7, 12, 20, 33.3, 39, 40, 41, 44, 60])
    found = news_features(items, grid)
    assert found.columns == [spec.name for spec in FEATURES]
    assert set(found.dtypes) == {pl.Float64}
    np.testing.assert_allclose(
        found.to_numpy(), np.array(news_naive.news_features(items, grid)), rtol=1e-9, atol=1e-12, equal_nan=True
    )
    assert (~np.isnan(found.to_numpy())).any(axis=0).all()  # every feature has been compared somewhere


def test_at_the_very_nanosecond_of_an_item() -> None:
    items = make_items(40, 2, days=2)
    times = items["known_time"].unique().to_list()
    grid = pl.concat(
        [
            pl.DataFrame({"entity": ["AAA"] * len(times), "decision_time": times})
            .with_columns(pl.col("decision_time").cast(pl.Datetime("ns", "UTC")))
            .with_columns(pl.col("decision_time") + pl.duration(nanoseconds=shift))
            for shift in (-1, 0, HOUR, HOUR - 1, DAY, DAY - 1)
        ]
    )
    np.testing.assert_allclose(
        news_features(items, grid).to_numpy(),
        np.array(news_naive.news_features(items, grid)),
        rtol=1e-9,
        atol=1e-12,
        equal_nan=True,
    )


@pytest.mark.parametrize("cut_day", [0.5, 7.25, 19, 33])
def test_later_items_change_nothing(cut_day: float) -> None:
    items, grid = make_items(300, 3), make_grid(list(np.linspace(0, 45, 60)))
    cut = START + timedelta(days=cut_day)
    whole = news_features(items, grid)
    early = grid.filter(pl.col("decision_time") <= cut)
    part = news_features(items.filter(pl.col("known_time") <= cut), early)
    assert part.equals(whole.filter(grid["decision_time"] <= cut))
    assert part.height > 0


def test_what_happened_earlier_but_arrives_later_is_not_seen() -> None:
    items = make_items(1, 4).with_columns(
        pl.lit("AAA").alias("entity"),
        known_time=pl.lit(START + timedelta(days=2)).cast(pl.Datetime("ns", "UTC")),
        event_time=pl.lit(START).cast(pl.Datetime("ns", "UTC")),
    )
    found = news_features(items, make_grid([1, 2], "AAA"))
    assert found["news_count_24h"].to_list() == [0, 1]
    assert np.isnan(found["news_score_decay_1d"][0])


def test_row_order_of_items_and_grid_does_not_matter() -> None:
    items, grid = make_items(200, 5), make_grid([1, 5, 9, 30])
    # ties keep the order of the file, so the shuffle is of items that differ in their clocks
    items = items.unique(["known_time", "event_time"], maintain_order=True)
    order = np.random.default_rng(0).permutation(grid.height)
    shuffled = news_features(items.sample(fraction=1, shuffle=True, seed=1), grid[order])
    assert shuffled.equals(news_features(items, grid)[order])


def test_an_item_about_two_entities_counts_once_for_the_market() -> None:
    item = {"event_time": [START] * 2, "known_time": [START] * 2, "item": ["x"] * 2, "text": ["profit up"] * 2}
    items = pl.DataFrame({"entity": ["AAA", "BBB"], **item, "score": [0.5, 0.5]})
    found = news_features(items, make_grid([0.01], "AAA"))
    assert found["news_market_count_1h"].to_list() == [1]
    assert found["news_market_score_mean_24h"].to_list() == [0.5]


def test_repeats_are_damped() -> None:
    times = [START + timedelta(minutes=minute) for minute in range(11)]
    items = pl.DataFrame(
        {
            "entity": ["AAA"] * 11,
            "event_time": times,
            "known_time": times,
            "item": [str(i) for i in range(11)],
            "text": ["$AAA net profit rises"] + ["rt AT_USER $AAA net profit rises URL"] * 10,
            "score": [1.0] * 11,
        }
    )
    wide = {"1h": 10**9 * 10**9}
    found = news_features(items, make_grid([0.5], "AAA"), half_lives=wide, windows={"24h": DAY})
    assert found["news_score_decay_1h"][0] == pytest.approx(1 + 10 * 0.1, abs=1e-4)
    assert found["news_count_24h"][0] == 11
    assert found["news_novelty"][0] == 0


def test_empty_tables() -> None:
    items, grid = make_items(50, 6), make_grid([1, 2])
    assert news_features(items, grid.clear()).shape == (0, len(FEATURES))
    none = news_features(items.clear(), grid)
    counts = [name for name in none.columns if "_count_" in name and "abnormal" not in name]
    assert none.select(counts).sum().row(0) == (0.0,) * 4
    assert np.isnan(none.drop(counts).to_numpy()).all()
    assert news_features(items.clear(), grid.clear()).height == 0


class TestBadTables:
    def test_missing_column(self) -> None:
        with pytest.raises(DataError, match="without the column 'score'"):
            news_features(make_items(5, 7).drop("score"), make_grid([1]))

    def test_undated_item(self) -> None:
        items = make_items(5, 7).with_columns(known_time=pl.lit(None, pl.Datetime("ns", "UTC")))
        with pytest.raises(DataError, match="5 rows without known_time"):
            news_features(items, make_grid([1]))

    def test_times_that_are_text(self) -> None:
        with pytest.raises(DataError, match="known_time is String"):
            news_features(make_items(5, 7).with_columns(known_time=pl.lit("2024-01-02")), make_grid([1]))

    def test_score_out_of_range(self) -> None:
        with pytest.raises(DataError, match="score of size 7"):
            news_features(make_items(5, 7).with_columns(score=pl.lit(-7.0)), make_grid([1]))

    def test_nan_score_is_an_item_without_tone(self) -> None:
        items, grid = make_items(30, 8), make_grid([3, 30])
        nans = items.with_columns(pl.col("score").fill_null(float("nan")))
        assert news_features(nans, grid).equals(news_features(items, grid))


def test_specs_follow_the_parameters() -> None:
    names = [spec.name for spec in specs({"2h": 2 * HOUR}, {"3d": 3 * DAY})]
    assert names[:2] == ["news_score_decay_2h", "news_count_3d"]
    assert "news_market_count_3d" in names
    assert len(set(names)) == len(names)
    assert all(spec.family == "news" and spec.missing for spec in FEATURES)


class TestNovelty:
    def test_equals_the_naive_definition(self) -> None:
        items = make_items(300, 9, days=3)
        texts = [*items["text"].to_list(), None, "", None]
        time = np.append(
            items["known_time"].dt.epoch("ns").to_numpy(), [3 * DAY + items["known_time"].dt.epoch("ns")[-1]] * 3
        )
        for window, capacity in ((DAY, 200), (10 * DAY, 7), (0, 5)):
            found = novelty(texts, time, np.array([0, len(texts)]), window_ns=window, capacity=capacity)
            np.testing.assert_allclose(
                found, news_naive.novelty(texts, time.tolist(), window, capacity), rtol=0, atol=1e-12
            )

    def test_streams_do_not_see_each_other(self) -> None:
        texts = ["profit rises", "profit rises", "profit rises"]
        found = novelty(texts, np.array([5, 1, 2]), np.array([0, 1, 1, 3]), window_ns=DAY)
        assert found.tolist() == [1, 1, 0]

    def test_bad_arguments(self) -> None:
        with pytest.raises(ArgumentError, match="falls"):
            novelty(["a", "b"], np.array([2, 1]), np.array([0, 2]), window_ns=1)
        with pytest.raises(ArgumentError, match="1 texts, 2 times"):
            novelty(["a"], np.array([1, 2]), np.array([0, 2]), window_ns=1)
        with pytest.raises(ArgumentError, match="capacity=0"):
            novelty(["a"], np.array([1]), np.array([0, 1]), window_ns=1, capacity=0)

    def test_word_sets(self) -> None:
        word, offsets = word_sets(["profit up, profit UP", None, "up @someone https://x.y/z"])
        assert offsets.tolist() == [0, 2, 2, 3]
        assert word[:2].tolist() == sorted(word[:2].tolist())
        assert word[2] in word[:2]
