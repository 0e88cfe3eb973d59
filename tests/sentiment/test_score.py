"""Scores: in order, the same in any batch and from the cache, and right on plain sentences."""

import random
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from tiny_models import WORDS, save_classifier

from gpu_kernels.errors import ArgumentError
from sentiment.cache import TONE, TextCache
from sentiment.score import SCHEMA, Scorer, counts, score
from sentiment.text import clean, words

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("models") / "tiny", ["negative", "neutral", "positive"])


@pytest.fixture(scope="module")
def tiny(folder: Path) -> Scorer:
    return Scorer(folder)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer("embedded")


def some_texts(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randrange(1, 60))) + f" {draw.randrange(999)}" for _ in range(count)]


def naive_scores(scorer: Scorer, texts: list[str]) -> list[list[float]]:
    """One text at a time, without padding."""
    rows = []
    for text in texts:
        ids = scorer.model.tokenizer(
            scorer.model.prepare(text), truncation=True, max_length=scorer.model.max_length, return_tensors="pt"
        )["input_ids"]
        with torch.inference_mode():
            negative, neutral, positive = scorer.model.forward(ids, torch.ones_like(ids)).softmax(1)[0].tolist()
        rows.append([negative, neutral, positive, positive - negative])
    return rows


def assert_close(found: pl.DataFrame, expected: list[list[float]]) -> None:
    for row, wanted in zip(found.select("negative", "neutral", "positive", "score").rows(), expected, strict=True):
        assert row == pytest.approx(wanted, abs=1.6e-4)


class TestOrderAndBatches:
    def test_equals_one_text_at_a_time(self, tiny: Scorer) -> None:
        texts = some_texts(60)
        found = tiny.score(texts)
        assert found.schema == SCHEMA
        assert_close(found, naive_scores(tiny, texts))
        assert found["score"].n_unique() > 50

    def test_neither_neighbours_nor_order_nor_threads_change_a_value(self, tiny: Scorer) -> None:
        texts = some_texts(60, 1)
        found = tiny.score(texts)
        assert pl.concat([tiny.score([text]) for text in texts]).equals(found)
        order = random.Random(2).sample(range(60), 60)
        assert tiny.score([texts[i] for i in order]).equals(found[order])
        torch.set_num_threads(2)  # the fixture one_thread sets it back
        assert tiny.score(texts).equals(found)

    @pytest.mark.parametrize("batch_tokens", [1, 300, 4000])
    def test_the_size_of_batches_shows_in_the_last_decimal_at_most(
        self, folder: Path, tiny: Scorer, batch_tokens: int
    ) -> None:
        texts = some_texts(50, 1)
        found = Scorer(folder, batch_tokens=batch_tokens).score(texts)
        assert_close(found, tiny.score(texts).select("negative", "neutral", "positive", "score").rows())

    def test_embedded_one_by_one_equals_all_at_once(self, scorer: Scorer) -> None:
        texts = [text for text, _ in PLAIN_SENTENCES[:4]] + ["Shares " + "fall " * n for n in (1, 30)]
        found = scorer.score(texts)
        assert pl.concat([scorer.score([text]) for text in texts]).equals(found)
        assert_close(found, naive_scores(scorer, texts))


class TestUnusualTexts:
    def test_missing_texts(self, tiny: Scorer) -> None:
        found = tiny.score([None, "net profit", "", "  \n\t", 7, float("nan"), "net profit"])  # type: ignore[list-item]
        assert found["score"].is_null().to_list() == [True, False, True, True, True, True, False]
        assert found.filter(pl.col("score").is_null()).null_count().row(0) == (5,) * 5
        assert counts(found) == {"texts": 7, "missing": 5, "truncated": 0}

    def test_nothing_but_links_is_missing_for_the_embedded_model(self, scorer: Scorer) -> None:
        found = scorer.score(["https://t.co/abc @someone $AAPL", "$AAPL beats estimates https://t.co/abc", "👍"])
        assert found["score"].is_null().to_list() == [True, False, False]

    def test_no_texts(self, tiny: Scorer) -> None:
        assert tiny.score([]).schema == SCHEMA
        assert tiny.score(pl.Series([], dtype=pl.String)).height == 0
        assert counts(tiny.score([])) == {"texts": 0, "missing": 0, "truncated": 0}

    def test_a_single_string_is_refused(self, tiny: Scorer) -> None:
        with pytest.raises(ArgumentError, match="one string"):
            tiny.score("net profit")

    def test_long_texts_are_cut_and_flagged(self, tiny: Scorer) -> None:
        fits, long = "net " * 60, "net " * 61
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = tiny.score([fits, long, long + "loss", "profit" + " " * 5000 + "loss", "loss " * 200_000])
        assert found["truncated"].to_list() == [False, True, True, True, True]
        assert found.row(1) == found.row(2)
        assert counts(found)["truncated"] == 4
        assert_close(found[:3], naive_scores(tiny, [fits, long, long]))

    def test_max_length_is_respected(self, folder: Path, tiny: Scorer) -> None:
        text = "net profit rises and shares beat the outlook of a"
        short = Scorer(folder, max_length=8).score([text])
        assert short["truncated"].item()
        assert short["score"].item() == tiny.score(["net profit rises and shares beat"])["score"].item()

    @pytest.mark.parametrize(
        "text",
        ["\x00\x01\x1f", "lone \ud800 surrogate", "利益が増えた", "مكاسب", "🚀" * 400, "a\u200bb", "x" * 99_999],
    )
    def test_odd_characters_give_a_score(self, tiny: Scorer, text: str) -> None:
        row = tiny.score([text]).row(0)
        assert row[0] is None or sum(row[:3]) == pytest.approx(1, abs=2e-4)

    def test_bad_batch_size(self, folder: Path) -> None:
        with pytest.raises(ArgumentError, match="batch_tokens=0"):
            Scorer(folder, batch_tokens=0)


class TestCache:
    def test_a_hit_equals_a_miss(self, folder: Path, tiny: Scorer, tmp_path: Path) -> None:
        texts = [*some_texts(60, 3), None, "net " * 100]
        path = tmp_path / "cache.sqlite"
        cold = score(texts, folder, cache=path)
        assert cold.equals(tiny.score(texts))
        assert score(texts, folder, cache=path).equals(cold)

    def test_what_is_in_the_cache_is_what_is_returned(self, folder: Path, tmp_path: Path) -> None:
        cached = Scorer(folder, cache=tmp_path / "cache.sqlite")
        with TextCache(tmp_path / "cache.sqlite", cached.sha256) as cache:
            cache.put(["net profit"], np.array([(0.0, 0.25, 0.75, True, 1)], TONE))
        found = cached.score(["net profit", "loss"])
        assert found.row(0) == (0.0, 0.25, 0.75, 0.75, True)
        assert found.row(1) == Scorer(folder).score(["loss"]).row(0)

    def test_a_killed_run_goes_on_where_it_was(self, folder: Path, tmp_path: Path) -> None:
        texts, path = some_texts(80, 4), tmp_path / "cache.sqlite"

        def stop(share: float) -> None:
            if share > 0.4:
                raise KeyboardInterrupt

        cached = Scorer(folder, cache=path, batch_tokens=256)
        with pytest.raises(KeyboardInterrupt):
            cached.score(texts, progress=stop)
        with TextCache(path, cached.sha256) as cache:
            done = cache.get(texts)[1].sum()
        assert 0.4 * len(texts) < done < len(texts)
        assert cached.score(texts).equals(Scorer(folder).score(texts))


def test_progress_rises_to_one(tiny: Scorer) -> None:
    shares: list[float] = []
    tiny.score(some_texts(100, 5), progress=shares.append)
    assert shares == sorted(shares)
    assert len(shares) > 3
    assert shares[-1] == 1.0


PLAIN_SENTENCES = [
    ("Quarterly profit fell sharply as sales declined", "negative"),
    ("The company raised its guidance after record revenue", "positive"),
    ("Shares plunge after the retailer issues a profit warning", "negative"),
    ("Operating loss widened in the third quarter", "negative"),
    ("The bank was downgraded to sell on weak growth", "negative"),
    ("Analyst upgrades the stock to buy and lifts its price target", "positive"),
    ("The chip maker beat earnings estimates", "positive"),
    ("The airline missed revenue expectations and cut its outlook", "negative"),
    ("The annual general meeting will be held on 12 May", "neutral"),
    ("The company appointed a new chief financial officer", "neutral"),
    ("Factory to close with the loss of 400 jobs", "negative"),
    ("The firm will publish its interim report on Thursday", "neutral"),
]


class TestEmbedded:
    def test_plain_sentences(self, scorer: Scorer) -> None:
        found = scorer.score([text for text, _ in PLAIN_SENTENCES])
        best = [max(("negative", "neutral", "positive"), key=row.__getitem__) for row in found.to_dicts()]
        assert best == [tone for _, tone in PLAIN_SENTENCES]

    def test_identity(self, scorer: Scorer) -> None:
        assert scorer.identifier == "embedded"
        assert len(scorer.sha256) == 64
        assert Scorer("embedded", max_length=64).sha256 != scorer.sha256


def test_clean_and_words() -> None:
    assert clean("RT @user: $AAPL - beats  estimates https://t.co/x") == "beats estimates"
    assert clean("rt AT_USER $ fb up 3% URL") == "up 3%"
    assert clean("$5 billion deal; $ 5 a share") == "$5 billion deal; $ 5 a share"
    assert clean("Artificial art, mail a@b.com") == "Artificial art, mail a@b.com"
    assert clean("$BRK.B") == ""
    assert words("rt AT_USER $ FB Up, up URL") == {"fb", "up"}
