"""Repeats: found by words and by meaning, against the right earlier items, never against later ones or themselves."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import news_naive
import numpy as np
import polars as pl
import pytest

from gpu_kernels.errors import ArgumentError, DataError
from sentiment import repeats
from sentiment.embedding import Embedder, Vectors

START = datetime(2024, 3, 4, 9, tzinfo=UTC)
HOUR = 3600 * 10**9


class Directions:
    """Stands for the encoder: one direction for each word, and the sum of its words' for a text."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str | None], *, progress: object = None) -> Vectors:
        self.asked += [text for text in texts if text]
        return np.array([self._vector(text or "") for text in texts], np.int16).reshape(len(texts), 384)

    @staticmethod
    def _vector(text: str) -> np.ndarray:
        total = np.zeros(384)
        for word in text.lower().split():
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little")
            total += np.random.default_rng(seed).normal(size=384)
        length = np.linalg.norm(total)
        return np.round(total / length * 32_767) if length else total


def table(*rows: tuple[str, float, str, str | None]) -> pl.DataFrame:
    """(entity, hours after START, item, text)."""
    entity, hours, item, text = zip(*rows, strict=True) if rows else ((),) * 4
    times = pl.Series([START + timedelta(hours=hour) for hour in hours], dtype=pl.Datetime("ns", "UTC"))
    return pl.DataFrame(
        {"entity": entity, "event_time": times, "known_time": times, "item": item, "text": text},
        schema_overrides={"entity": pl.String, "item": pl.String, "text": pl.String},
    )


def some_items(seed: int, count: int = 300) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    words = [*(f"word{k}" for k in range(20)), "7", "30", "4.5"]
    return table(
        *(
            (
                f"E{rng.integers(3)}",
                float(rng.integers(0, 400)) / 4,
                f"i{rng.integers(count)}",
                None if rng.random() < 0.05 else " ".join(rng.choice(words, rng.integers(0, 5))),
            )
            for _ in range(count)
        )
    ).with_columns(score=pl.Series(rng.choice([-0.9, 0.0, 0.4, np.nan], count)))


def compare(items: pl.DataFrame, measure: str = "embedding", **options: object) -> pl.DataFrame:
    return repeats.compare(items, measure=measure, embedder=Directions(), **options)  # type: ignore[arg-type]


@pytest.fixture(params=repeats.MEASURES)
def measure(request: pytest.FixtureRequest) -> str:
    return request.param


class TestWhatCounts:
    def test_a_reprint(self, measure: str) -> None:
        items = table(
            ("A", 0, "1", "net profit rises"),
            ("A", 1, "2", "rt AT_USER: net profit rises https://x.y/z"),
            ("A", 2, "3", "chief executive resigns"),
            ("A", 3, "4", "net profit rises"),
        )
        found = compare(items, measure)
        assert found["novelty"].round(6).to_list()[:2] == [1, 0]
        assert found["novelty"][2] > 0.7
        assert found["repeats"].to_list() == [0, 1, 0, 2]
        assert found["repeat_of"].to_list() == [None, "1", None, "2"]

    def test_streams_do_not_see_each_other_but_the_market_sees_all(self, measure: str) -> None:
        items = table(("A", 0, "1", "net profit rises"), ("B", 1, "2", "net profit rises"))
        assert compare(items, measure)["novelty"].to_list() == [1, 1]
        assert compare(items, measure, by=None)["novelty"].to_list() == [1, 0]

    def test_a_day_or_the_last_ten(self, measure: str) -> None:
        text = "net profit rises"
        busy = [("A", 0.0, "0", text), *(("A", k / 10, f"f{k}", f"filler{k} story{k}") for k in range(1, 40))]
        items = table(*busy, ("A", 23.9, "again", text), ("Q", 0, "q", text), ("Q", 999, "r", text))
        found = items.with_columns(compare(items, measure))
        assert dict(found.select("item", "novelty").rows())["again"] == 0
        assert dict(found.select("item", "novelty").rows())["r"] == 0
        both = dict(zip(items["item"], compare(items, measure, either=False)["novelty"], strict=True))
        assert both["again"] > 0.7
        assert both["r"] == 1
        ten = dict(zip(items["item"], compare(items, measure, window_ns=None)["novelty"], strict=True))
        assert (ten["again"] > 0.7, ten["r"]) == (True, 0)
        day = dict(zip(items["item"], compare(items, measure, capacity=None)["novelty"], strict=True))
        assert (day["again"], day["r"]) == (0, 1)

    def test_a_revision_is_no_repeat_of_itself(self, measure: str) -> None:
        items = table(
            ("A", 0, "1", "net profit rises"),
            ("A", 1, "1", "net profit rises"),
            ("A", 2, "2", "net profit rises"),
            ("A", 3, "1", "net profit rises by a tenth"),
            ("A", 4, "3", "net profit rises by a tenth"),
            ("B", 5, "1", "net profit rises"),
        )
        found = compare(items, measure)
        assert found["novelty"].to_list() == [1, 1, 0, 1, 0, 1]
        assert found["repeat_of"].to_list() == [None, None, "1", None, "1", None]

    def test_texts_that_say_nothing(self, measure: str) -> None:
        items = table(*(("A", k, str(k), text) for k, text in enumerate(["", "profit", None, "  ", "https://x.y"])))
        assert compare(items, measure)["novelty"].to_list() == [1, 1, 0, 0, 0]

    def test_cashtags_alone_say_nothing_to_the_encoder(self) -> None:
        embedder = Directions()
        items = table(("A", 0, "1", "$AAPL $MSFT"), ("A", 1, "2", "$GOOG profit up"), ("A", 2, "3", "$FB"))
        found = repeats.compare(items, embedder=embedder)
        assert embedder.asked == ["profit up"]
        assert found["novelty"].to_list() == [1, 1, 0]


class TestContradictions:
    def test_another_tone_is_no_repeat(self, measure: str) -> None:
        items = table(*(("A", k, str(k), "bank passes stress test") for k in range(4)))
        found = compare(items.with_columns(score=pl.Series([0.8, 0.1, -0.5, None])), measure)
        assert found["novelty"].to_list() == [1, 1, 0, 0]
        assert found["repeat_of"].to_list() == [None, None, "1", "2"]
        assert found["repeats"].to_list() == [0, 0, 1, 3]

    def test_other_numbers_are_no_repeat(self, measure: str) -> None:
        texts = ["sells 4,000 cars in May", "sells 900 cars in May", "sells 4000 cars in May", "sells cars in May"]
        found = compare(table(*(("A", k, str(k), text) for k, text in enumerate(texts))), measure)
        assert found["novelty"][1] == 1
        assert found["novelty"][2] < 0.6
        assert 0 < found["novelty"][3] < 0.5


class TestInvariance:
    @pytest.mark.parametrize("seed", range(3))
    def test_later_items_change_nothing(self, seed: int, measure: str) -> None:
        items = some_items(seed).sort("known_time")
        whole = compare(items, measure)
        for cut in (START + timedelta(hours=hour) for hour in (1, 30, 77.25)):
            kept = (items["known_time"] <= cut).sum()
            assert compare(items[:kept], measure).equals(whole[:kept])

    @pytest.mark.parametrize("seed", range(3))
    def test_the_order_of_rows_changes_nothing(self, seed: int, measure: str) -> None:
        items = some_items(seed)
        order = np.random.default_rng(seed).permutation(items.height)
        assert compare(items[order], measure).equals(compare(items, measure)[order])


def test_words_equal_the_naive_definition() -> None:
    items = some_items(9).drop("score").unique("item", maintain_order=True).sort("known_time", "item")
    for entity in ("E0", "E1"):
        part = items.filter(pl.col("entity") == entity)
        time = part["known_time"].dt.epoch("ns").to_list()
        naive = news_naive.novelty(part["text"].to_list(), time, 5 * HOUR, 4)
        found = compare(part, "words", window_ns=5 * HOUR, capacity=4, either=False)
        np.testing.assert_allclose(found["novelty"], naive, rtol=0, atol=1e-12)


def test_discount_rises_with_novelty() -> None:
    weight = repeats.discount(np.linspace(0, 1, 1001))
    assert (weight[:101] == 0.1).all()
    assert (weight[300:] == 1).all()
    assert (np.diff(weight[100:301]) > 0).all()
    assert np.abs(np.diff(weight)).max() < 0.008
    assert weight[200] == pytest.approx(0.55)
    assert np.isnan(repeats.discount(np.array([np.nan]))[0])


class TestBadTables:
    def test_no_rows(self, measure: str) -> None:
        found = compare(table(), measure)
        assert (found.height, found.columns) == (0, ["novelty", "repeats", "repeat_of"])

    @pytest.mark.parametrize("column", ["known_time", "item", "entity"])
    def test_nulls_and_missing_columns(self, column: str, measure: str) -> None:
        items = table(("A", 0, "1", "profit"))
        with pytest.raises(DataError, match=f"without the column '{column}'"):
            compare(items.drop(column), measure)
        with pytest.raises(DataError, match=f"1 rows without {column}"):
            compare(items.with_columns(pl.lit(None, items.schema[column]).alias(column)), measure)

    def test_times_that_are_text(self) -> None:
        with pytest.raises(DataError, match="known_time is String"):
            compare(table(("A", 0, "1", "profit")).with_columns(known_time=pl.lit("2024-01-02")))

    def test_arguments(self) -> None:
        with pytest.raises(ArgumentError, match="measure is 'cosine'; allowed: embedding or words"):
            compare(some_items(1), "cosine")
        with pytest.raises(ArgumentError, match="window_ns and capacity are None"):
            compare(some_items(1), window_ns=None, capacity=None)


class TestMeaning:
    """With the encoder itself."""

    def test_paraphrases_are_found_that_words_miss(self, one_thread: None) -> None:
        pairs = pl.read_csv(Path(__file__).with_name("repeat_pairs.tsv"), separator="\t", quote_char=None)
        reported = pairs.filter(pl.col("part") == "reported")
        similar = {
            "embedding": 1 - self._novelty(reported, "embedding"),
            "words": 1 - self._novelty(reported, "words"),
        }
        repeat = (reported["kind"] == "repeat").to_numpy()
        areas = {name: self._area(values, repeat) for name, values in similar.items()}
        assert areas["embedding"] > areas["words"] + 0.05
        found = {name: (values >= repeats.REPEAT)[repeat].mean() for name, values in similar.items()}
        assert found["words"] == 0
        assert found["embedding"] >= 0.4

    def _novelty(self, pairs: pl.DataFrame, measure: str) -> np.ndarray:
        names = [str(k) for k in range(pairs.height)]
        first = table(*((name, 0, "1", text) for name, text in zip(names, pairs["earlier"], strict=True)))
        second = table(*((name, 1, "2", text) for name, text in zip(names, pairs["later"], strict=True)))
        found = repeats.compare(pl.concat([first, second]), measure=measure)
        return found["novelty"][pairs.height :].to_numpy()

    def _area(self, values: np.ndarray, positive: np.ndarray) -> float:
        """The share of (repeat, new) pairs that the measure puts in the right order."""
        return float((values[positive][:, None] > values[~positive]).mean())

    def test_other_languages_are_told_apart_and_reprints_found(self, one_thread: None) -> None:
        texts = [
            "Der Gewinn steigt um ein Zehntel",
            "社長が辞任",
            "Der Gewinn steigt um ein Zehntel",
            "😀😀",
            "\x00\x07",
        ]
        found = repeats.compare(table(*(("A", k, str(k), text) for k, text in enumerate(texts))), embedder=Embedder())
        assert found["novelty"][2] == 0
        assert (found["novelty"].to_numpy()[[1, 3, 4]] > 0.3).all()

    def test_batches_do_not_show(self, one_thread: None) -> None:
        embedder = Embedder()
        words = ["profit", "loss", "rises", "falls", "outlook", "cut", "shares", "beat", "net", "up", "by"]
        rng = np.random.default_rng(0)
        items = table(*(("A", k, str(k), " ".join(rng.choice(words, rng.integers(1, 9)))) for k in range(60)))
        whole = repeats.compare(items, embedder=embedder)
        for cut in (1, 7, 41):
            assert repeats.compare(items[:cut], embedder=embedder).equals(whole[:cut])
