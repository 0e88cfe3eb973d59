"""Sentence embeddings: the published recipe and values, one vector for a text whatever stands around it."""

import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from gpu_kernels.errors import ArgumentError, ModelError
from sentiment import embedded
from sentiment.embedding import SCALE, Embedder, embed

TEXTS = [
    "Net profit rises by a tenth.",
    "Net loss narrowed to 4.2 mln euros, from 7.9 mln a year before; analysts had expected more of the same, or less.",
    "ok",
    "Chief executive resigns",
    "Der Gewinn steigt",
    "shares up 3 % in early trade after the company raised its outlook for the year",
]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


def by_hand(texts: list[str]) -> np.ndarray:
    """The encoder written out, one text at a time, in float64: BERT blocks, mean over tokens, unit length."""
    folder = embedded.encoder_folder()
    w = {name: tensor.double() for name, tensor in load_file(folder / "model.safetensors").items() if "ids" not in name}
    tokenizer = AutoTokenizer.from_pretrained(folder)
    vectors = []
    for text in texts:
        ids = tokenizer(text, truncation=True, max_length=256)["input_ids"]
        place = "embeddings."
        x = w[place + "word_embeddings.weight"][ids] + w[place + "position_embeddings.weight"][: len(ids)]
        x = _norm(x + w[place + "token_type_embeddings.weight"][0], w, place + "LayerNorm")
        for block in range(6):
            place = f"encoder.layer.{block}."
            q, k, v = (_linear(x, w, f"{place}attention.self.{name}") for name in ("query", "key", "value"))
            heads = []
            for head in range(12):
                part = slice(head * 32, head * 32 + 32)
                share = torch.softmax(q[:, part] @ k[:, part].T / 32**0.5, dim=1)
                heads.append(share @ v[:, part])
            x = _norm(
                x + _linear(torch.cat(heads, 1), w, place + "attention.output.dense"),
                w,
                place + "attention.output.LayerNorm",
            )
            inner = _linear(x, w, place + "intermediate.dense")
            inner = inner * 0.5 * (1 + torch.erf(inner / 2**0.5))
            x = _norm(x + _linear(inner, w, place + "output.dense"), w, place + "output.LayerNorm")
        mean = x.mean(0).numpy()
        vectors.append(mean / np.linalg.norm(mean))
    return np.array(vectors)


def _linear(x: torch.Tensor, w: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    return x @ w[name + ".weight"].T + w[name + ".bias"]


def _norm(x: torch.Tensor, w: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    centred = x - x.mean(1, keepdim=True)
    return centred / (centred.square().mean(1, keepdim=True) + 1e-12).sqrt() * w[name + ".weight"] + w[name + ".bias"]


def test_equals_the_encoder_by_hand(embedder: Embedder) -> None:
    texts = [*TEXTS, "profit rises and falls again " * 90]  # longer than 256 word pieces
    found, wanted = embedder.embed(texts), by_hand(texts)
    assert found.dtype == np.int16
    assert np.abs(found / SCALE - wanted).max() <= 0.5 / SCALE + 1e-6
    exact = wanted @ wanted.T
    assert np.abs(found / SCALE @ (found / SCALE).T - exact).max() <= 5e-5


def test_equals_the_published_values(embedder: Embedder) -> None:
    """sbert.net, quickstart of Sentence Transformers: three sentences by all-MiniLM-L6-v2."""
    texts = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    vectors = embedder.embed(texts) / SCALE
    published = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    np.testing.assert_allclose(vectors @ vectors.T, published, rtol=0, atol=1e-4)


class TestOneVectorForAText:
    def some(self, count: int) -> list[str]:
        draw = random.Random(0)
        words = " ".join(TEXTS).split()
        return [" ".join(draw.choices(words, k=draw.randrange(1, 14))) for _ in range(count)]

    def test_whatever_the_order_and_the_neighbours(self, embedder: Embedder) -> None:
        texts = self.some(70)
        whole = embedder.embed(texts)
        order = np.random.default_rng(0).permutation(len(texts))
        assert (embedder.embed([texts[i] for i in order]) == whole[order]).all()
        assert (embedder.embed(texts[:23]) == whole[:23]).all()
        assert (embedder.embed([texts[3]] * 2 + texts) == np.concatenate([whole[[3, 3]], whole])).all()

    def test_within_a_bit_whatever_the_batches(self, embedder: Embedder) -> None:
        texts = self.some(30)
        alone = Embedder(batch_tokens=1).embed(texts)
        assert np.abs(alone.astype(int) - embedder.embed(texts)).max() <= 1


class TestCache:
    def test_known_texts_need_no_encoder(
        self, tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = Embedder(cache=tmp_path / "cache")
        done: list[float] = []
        vectors = first.embed([*TEXTS, *TEXTS, None], progress=done.append)
        assert (vectors[: len(TEXTS)] == embedder.embed(TEXTS)).all()
        assert (vectors[len(TEXTS) : -1] == vectors[: len(TEXTS)]).all()
        assert done[-1] == 1
        assert first.from_cache == 0
        monkeypatch.setattr(embedded, "encoder_folder", lambda: pytest.fail("loaded the encoder"))
        again = Embedder(cache=tmp_path / "cache")
        assert (again.embed([*TEXTS[::-1], ""])[:-1] == vectors[: len(TEXTS)][::-1]).all()
        assert again.from_cache == len(TEXTS)

    def test_what_was_stored_before_an_end_is_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sentiment.embedding._STORED", 1)

        def stop(share: float) -> None:
            if share > 0.4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Embedder(cache=tmp_path / "cache").embed(TEXTS, progress=stop)
        again = Embedder(cache=tmp_path / "cache")
        again.embed(TEXTS)
        assert 1 <= again.from_cache < len(TEXTS)


class TestBadTexts:
    def test_nothing_said_is_a_vector_of_zeros(self, embedder: Embedder) -> None:
        vectors = embedder.embed(["", None, " \n", "ok", 7.5])  # type: ignore[list-item]
        assert (vectors != 0).any(axis=1).tolist() == [False, False, False, True, False]
        assert embed([]).shape == (0, 384)
        assert embed(pl.Series([None, ""], dtype=pl.String)).shape == (2, 384)

    def test_odd_texts_have_unit_vectors(self, embedder: Embedder) -> None:
        odd = ["\x00\x07", "😀😀", "利益が増えた", "lone \ud800", "x" * 100_000, "word " * 30_000]
        length = np.linalg.norm(embedder.embed(odd) / SCALE, axis=1)
        np.testing.assert_allclose(length, 1, rtol=0, atol=1e-4)

    def test_one_string(self, embedder: Embedder) -> None:
        with pytest.raises(ArgumentError, match="texts is one string"):
            embedder.embed("profit")

    def test_numbers_that_are_not_finite(self, monkeypatch: pytest.MonkeyPatch) -> None:
        broken = Embedder()
        tokenizer, _, *others = broken._encoder
        broken.__dict__["_encoder"] = (tokenizer, lambda ids, mask: torch.full((len(ids), 384), torch.nan), *others)
        with pytest.raises(ModelError, match="not finite"):
            broken.embed(["profit"])
