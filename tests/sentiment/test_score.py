"""Scores: in order, the same in any batch and from the cache, and right on plain sentences."""

import dataclasses
import math
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tiny_models import WORDS, save_classifier
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from gpu_kernels.errors import ArgumentError
from sentiment.cache import TONE, TextCache
from sentiment.score import SCHEMA, TOLERANCE, Scorer, counts, entropy, score
from sentiment.text import clean, words

pytestmark = pytest.mark.usefixtures("one_thread")


SWAPPED = {"negative": "positive", "neutral": "neutral", "positive": "negative"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("models") / "tiny", ["negative", "neutral", "positive"])


@pytest.fixture(scope="module")
def tiny(folder: Path) -> Scorer:
    return Scorer(folder, precision="float32")


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer("embedded")


def some_texts(count: int, seed: int = 0, longest: int = 50) -> list[str]:
    draw = random.Random(seed)
    lengths = [draw.randrange(1, longest) for _ in range(count)]
    return [" ".join(draw.choices(WORDS, k=length)) + f" {draw.randrange(999)}" for length in lengths]


def naive_scores(folder: Path, texts: list[str]) -> list[list[float]]:
    """One text at a time through the classifier as transformers loads it, without padding, cut where it ends."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    classifier = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    rows = []
    for text in texts:
        ids = tokenizer(text, truncation=True, max_length=62, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            negative, neutral, positive = classifier(ids).logits.softmax(1)[0].tolist()
        rows.append([negative, neutral, positive, positive - negative])
    return rows


def assert_close(found: pl.DataFrame, expected: list[list[float]], tolerance: float = 1e-4) -> None:
    for row, wanted in zip(found.select("negative", "neutral", "positive", "score").rows(), expected, strict=True):
        assert row == pytest.approx(wanted, abs=1.6 * tolerance)  # the score is a difference of two


class TestOrderAndBatches:
    def test_equals_one_text_at_a_time(self, folder: Path, tiny: Scorer) -> None:
        texts = some_texts(60)
        found = tiny.score(texts)
        assert found.schema == SCHEMA
        assert_close(found, naive_scores(folder, texts))
        assert found["score"].n_unique() > 50

    @pytest.mark.parametrize("precision", ["bfloat16", "int8"])
    def test_precisions_keep_to_their_tolerance(self, precision: str) -> None:
        texts = [text for text, _ in PLAIN_SENTENCES]
        found, exact = (Scorer(precision=name).score(texts) for name in (precision, "float32"))
        assert_close(found, exact.select("negative", "neutral", "positive", "score").rows(), TOLERANCE[precision])
        assert not found["score"].equals(exact["score"])

    @pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
    @pytest.mark.parametrize("independent", [True, False])
    def test_neither_neighbours_nor_order_nor_threads_change_a_value(
        self, folder: Path, precision: str, independent: bool
    ) -> None:
        scorer = Scorer(folder, precision=precision)
        # False, batches of one height, is what processors get whose products are not of oneDNN
        scorer.model = dataclasses.replace(scorer.model, independent=independent and scorer.model.independent)
        texts = [*some_texts(40, 1), *some_texts(20, 2, longest=300)]
        found = scorer.score(texts)
        assert pl.concat([scorer.score([text]) for text in texts]).equals(found)
        for seed in range(3):
            order = random.Random(seed).sample(range(60), 60)
            assert scorer.score([texts[i] for i in order]).equals(found[order])
        torch.set_num_threads(2)  # the fixture one_thread sets it back
        assert scorer.score(texts).equals(found)

    @pytest.mark.parametrize("batch_tokens", [1, 300, 4000])
    def test_the_size_of_batches_shows_in_the_last_decimal_at_most(
        self, folder: Path, tiny: Scorer, batch_tokens: int
    ) -> None:
        texts = some_texts(50, 1)
        found = Scorer(folder, batch_tokens=batch_tokens, precision="float32").score(texts)
        assert_close(found, tiny.score(texts).select("negative", "neutral", "positive", "score").rows())

    def test_embedded_one_by_one_equals_all_at_once(self, scorer: Scorer) -> None:
        texts = [text for text, _ in PLAIN_SENTENCES[:4]] + ["Shares " + "fall " * n for n in (1, 30)]
        found = scorer.score(texts)
        assert pl.concat([scorer.score([text]) for text in texts]).equals(found)

    def test_windows_are_bounded_in_texts_and_characters(self, tiny: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
        texts = [*some_texts(25, 6), *some_texts(25, 6, longest=12)]
        found = tiny.score(texts)
        monkeypatch.setattr("sentiment.score._WINDOW", 7)
        monkeypatch.setattr("sentiment.score._WINDOW_CHARACTERS", 1000)
        sizes = []
        plans = Scorer._plans
        monkeypatch.setattr(Scorer, "_plans", lambda self, window: sizes.append(window) or plans(self, window))
        assert tiny.score(texts).equals(found)
        assert max(map(len, sizes)) == 7
        assert all(len(window) == 1 or sum(map(len, window)) <= 1000 for window in sizes)


class TestColumns:
    def test_entropy_is_in_nats(self, tiny: Scorer) -> None:
        found = tiny.score(some_texts(30, 7))
        for row in found.iter_rows(named=True):
            three = [row["negative"], row["neutral"], row["positive"]]
            assert row["entropy"] == pytest.approx(-sum(p * math.log(p) for p in three if p > 0), abs=6e-5)
            assert row["score"] == pytest.approx(row["positive"] - row["negative"], abs=1e-9)
        assert entropy(np.array([[1.0, 0, 0], [1 / 3] * 3])).tolist() == pytest.approx([0.0, math.log(3)])

    def test_model_and_its_hash(self, tiny: Scorer) -> None:
        found = tiny.score(["net profit", None])
        assert found["model"].to_list() == ["tiny"] * 2
        assert found["model_sha256"].to_list() == [tiny.sha256] * 2

    def test_the_hash_tells_apart_what_decides_a_result(self, folder: Path, tiny: Scorer) -> None:
        others = [
            Scorer(folder, precision="float32", **{name: value})  # type: ignore[arg-type]
            for name, value in (("long", "max"), ("max_length", 20), ("labels", SWAPPED))
        ]
        hashes = {scorer.sha256 for scorer in [tiny, Scorer(folder, precision="int8"), *others]}
        assert len(hashes) == 5
        assert Scorer(folder, precision="float32", batch_tokens=9).sha256 == tiny.sha256


class TestUnusualTexts:
    def test_missing_texts(self, tiny: Scorer) -> None:
        found = tiny.score([None, "net profit", "", "  \n\t", 7, float("nan"), "net profit"])  # type: ignore[list-item]
        assert found["score"].is_null().to_list() == [True, False, True, True, True, True, False]
        assert found.filter(pl.col("score").is_null()).drop("model", "model_sha256").null_count().row(0) == (5,) * 7
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

    @pytest.mark.parametrize(
        "text",
        [
            "\x00\x01\x1f",
            "lone \ud800 surrogate",
            "利益が増えた",
            "مكاسب",
            "🚀" * 400,
            "a\u200bb",
            "x" * 99_999,
            "\x00",
        ],
    )
    def test_odd_characters_give_a_score(self, tiny: Scorer, text: str) -> None:
        row = tiny.score([text, "net profit"]).row(0)
        assert row[0] is None or sum(row[:3]) == pytest.approx(1, abs=2e-4)

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"batch_tokens": 0}, "batch_tokens=0"),
            ({"long": "sum"}, "long='sum'; allowed: mean, first, max, truncate"),
            ({"precision": "float16"}, "precision='float16'; allowed: auto, float32, bfloat16, int8"),
            ({"device": "cuda:77"}, "device='cuda:77'"),
            ({"device": "abacus"}, "device='abacus'"),
        ],
    )
    def test_bad_arguments(self, folder: Path, options: dict[str, Any], match: str) -> None:
        with pytest.raises(ArgumentError, match=match) as caught:
            Scorer(folder, **options)
        assert "\n" not in str(caught.value)


class TestLongTexts:
    """The tiny model reads 62 tokens, two of them special."""

    def test_what_fits_is_read_whole(self, folder: Path, tiny: Scorer) -> None:
        found = tiny.score(["net " * 60, "profit" + " " * 50_000 + "loss", "net profit. Loss rises"])
        assert found["truncated"].to_list() == [False] * 3
        assert found["sentences"].to_list() == [1, 1, 2]
        assert_close(found[:1], naive_scores(folder, ["net " * 60]))

    def test_truncated_as_transformers_does(self, folder: Path) -> None:
        texts = ["net " * 60, "net " * 61, "net " * 61 + "loss", "loss " * 200_000, "profit beat. The " * 30]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = Scorer(folder, precision="float32", long="truncate").score(texts)
        assert found["truncated"].to_list() == [False, True, True, True, True]
        assert counts(found)["truncated"] == 4
        assert_close(found, naive_scores(folder, texts))

    @pytest.mark.parametrize("long", ["mean", "first", "max"])
    def test_chunks_of_sentences_put_together(self, folder: Path, tiny: Scorer, long: str) -> None:
        sentences = [f"{text} 77." for text in some_texts(9, 8, longest=40)]
        sentences = [sentence[0].upper() + sentence[1:] for sentence in sentences]
        lengths = [len(tiny.model.tokenizer(sentence)["input_ids"]) - 2 for sentence in sentences]
        chunks: list[list[int]] = [[0]]
        for k in range(1, 9):
            fits = sum(lengths[i] for i in chunks[-1]) + lengths[k] <= 60
            chunks = [*chunks[:-1], [*chunks[-1], k]] if fits else [*chunks, [k]]
        parts = np.array(naive_scores(folder, [" ".join(sentences[i] for i in chunk) for chunk in chunks]))
        sizes = np.array([sum(lengths[i] for i in chunk) for chunk in chunks])
        assert len(chunks) > 3
        if long == "max":
            wanted = parts[np.abs(parts[:, 3]).argmax()]
        else:
            weights = sizes * (1 if long == "mean" else 0.5 ** np.arange(len(chunks)))
            wanted = (weights[:, None] * parts).sum(0) / weights.sum()
        found = Scorer(folder, precision="float32", long=long).score([" ".join(sentences), "net profit"])
        assert_close(found[:1], [wanted.tolist()])
        assert found["sentences"].to_list() == [9, 1]
        assert not found["truncated"].any()

    def test_one_sentence_longer_than_the_model_reads(self, folder: Path, tiny: Scorer) -> None:
        found = tiny.score(["net " * 121])  # three windows of 41, 41 and 39
        parts = np.array(naive_scores(folder, ["net " * 41, "net " * 39]))
        assert_close(found, [((82 * parts[0] + 39 * parts[1]) / 121).tolist()])
        assert found["sentences"].item() == 1

    def test_max_length_is_respected(self, folder: Path, tiny: Scorer) -> None:
        text = "net profit rises and shares beat the outlook of a"
        short = Scorer(folder, max_length=8, long="truncate", precision="float32").score([text])
        assert short["truncated"].item()
        assert short["score"].item() == tiny.score(["net profit rises and shares beat"])["score"].item()

    @pytest.mark.parametrize("text", ["Loss rises. " * 9_000, "loss " * 2_000_000, "x" * 10_000_000, "\n" * 10_000_000])
    def test_texts_of_megabytes_end(self, tiny: Scorer, text: str) -> None:
        found = tiny.score([text, "net profit"])
        assert found["truncated"].to_list() == [True if text.strip() else None, False]
        assert found["score"][1] == tiny.score(["net profit"])["score"].item()

    def test_only_white_space_after_what_is_read_is_no_loss(self, tiny: Scorer) -> None:
        assert not tiny.score(["net profit" + " " * 200_000])["truncated"].item()
        assert tiny.score(["net profit" + " " * 200_000 + "loss"])["truncated"].item()
        assert tiny.score(["net. " * 61 * 64, "net. " * 30 * 64])["truncated"].to_list() == [True, False]

    def test_lines_are_ends_of_sentences(self, scorer: Scorer) -> None:
        found = scorer.score(["Profit rose sharply\nThe dividend was cut", "https://t.co/a\n@someone\n"])
        assert found["sentences"].to_list() == [2, None]


class TestCache:
    def test_a_hit_equals_a_miss(self, folder: Path, tmp_path: Path) -> None:
        texts = [*some_texts(60, 3), None, "net " * 100]
        path = tmp_path / "cache.sqlite"
        cold = score(texts, folder, cache=path)
        assert cold.equals(Scorer(folder).score(texts))
        assert score(texts, folder, cache=path).equals(cold)

    def test_what_is_in_the_cache_is_what_is_returned(self, folder: Path, tmp_path: Path) -> None:
        cached = Scorer(folder, cache=tmp_path / "cache.sqlite")
        with TextCache(tmp_path / "cache.sqlite", cached.sha256) as cache:
            cache.put(["net profit"], np.array([(0.0, 0.25, 0.75, True, 1)], TONE))
        found = cached.score(["net profit", "loss"])
        assert found.row(0) == (0.0, 0.25, 0.75, 0.75, 0.5623, True, 1, "tiny", cached.sha256)
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
