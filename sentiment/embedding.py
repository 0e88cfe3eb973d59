"""Texts as vectors whose cosine says how alike they are: sentence embeddings of the plain all-MiniLM-L6-v2 encoder.

    tokens = the text's word pieces between [CLS] and [SEP], the first 256 in all
    mean   = the mean over the tokens of the encoder's last hidden states             (384 numbers, float32)
    v      = round(32767 * mean / |mean|)                                             int16

which is the model's published recipe (Reimers and Gurevych 2019; mean pooling, then unit length), kept to 16 bits. The
encoder was trained for similarity; the adapter that reads tones is not merged in.

Digits: a number is off by at most 1.6e-5, a cosine of two vectors by about 1e-5 (5e-5 in the worst of millions).
A half float takes the same two bytes; whole numbers give dot products that are exact, and so the same bits everywhere.

A text's vector depends on the text alone: batches of one length have one height (sentiment.batches), so that products
of equal shape add in equal order, and rounding hides what is left where other hardware adds otherwise, but for numbers
within 1e-7 of a rounding edge: between kinds of processor about one number in a hundred may move by its last bit.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from gpu_kernels.errors import ArgumentError, ModelError
from sentiment import batches, embedded, precision
from sentiment.cache import EMBEDDINGS, TextCache

if TYPE_CHECKING:
    import torch

WIDTH = 384
SCALE = 32_767
MAX_LENGTH = 256
_WINDOW = 8_192  # texts tokenized and sorted at a time, which bounds the memory
_STORED = 256  # vectors of one transaction: what a kill may lose
_CHARACTERS_PER_TOKEN = 32  # far above what the tokenizer needs; spares it a text of megabytes

Vectors = npt.NDArray[np.int16]
Progress = Callable[[float], None]


class Embedder:
    """The encoder, loaded when the first text is not in the cache.

    cache          file of vectors already computed (sentiment.cache.TextCache); None for none
    device         of torch; default "cuda" where there is one, else "cpu"
    batch_tokens   tokens of one batch; see sentiment.batches.run. 1 gives each text a batch of its own

    Attributes: sha256 of all that decides a vector; from_cache, how many distinct texts the cache has answered so far.
    """

    def __init__(
        self, *, cache: Path | None = None, device: str | None = None, batch_tokens: int | None = None
    ) -> None:
        self._cache, self._device, self._batch_tokens = cache, device, batch_tokens
        self.sha256 = hashlib.sha256(f"{embedded.WEIGHTS_SHA256} {MAX_LENGTH} int16 {SCALE}".encode()).hexdigest()
        self.from_cache = 0

    def embed(self, texts: Sequence[str | None] | pl.Series, *, progress: Progress | None = None) -> Vectors:
        """Vectors of texts; see `embed` of this module."""
        if isinstance(texts, str | bytes):
            raise ArgumentError("texts is one string", allowed="a list or a column of strings", hint="write [text]")
        texts = list(texts)
        distinct = list(dict.fromkeys(text for text in texts if isinstance(text, str) and text.strip()))
        # the last row stays 0: a text that says nothing
        vectors, hit = np.zeros((len(distinct) + 1, WIDTH), np.int16), np.zeros(len(distinct), np.bool_)
        with nullcontext() if self._cache is None else TextCache(self._cache, self.sha256, EMBEDDINGS) as cache:
            if cache is not None:
                vectors[:-1], hit = cache.get(distinct)
            done = int(hit.sum())
            for rows in self._computed(distinct, np.flatnonzero(~hit).tolist(), vectors):
                if cache is not None:  # as they come, so that a killed run goes on from here
                    cache.put([distinct[row] for row in rows], vectors[rows])
                done += len(rows)
                if progress is not None:
                    progress(done / len(distinct))
        if progress is not None:
            progress(1.0)
        self.from_cache += int(hit.sum())
        at = {text: row for row, text in enumerate(distinct)}
        return vectors[[at.get(text, -1) if isinstance(text, str) else -1 for text in texts]]

    def _computed(self, texts: list[str], new: list[int], vectors: Vectors) -> Iterator[list[int]]:
        """Fills `vectors` at the new texts, and tells which rows are filled, some hundreds at a time."""
        for start in range(0, len(new), _WINDOW):
            window = new[start : start + _WINDOW]
            tokenizer, forward, device, independent = self._encoder
            ids = self._tokens(tokenizer, [texts[row] for row in window])
            filled: list[int] = []
            for positions, states in batches.run(
                ids,
                forward,
                padding=tokenizer.pad_token_id,
                max_length=MAX_LENGTH,
                batch_tokens=self._batch_tokens,
                device=device,
                filled=not independent,
            ):
                rows = [window[position] for position in positions]
                vectors[rows] = _fixed_point(states.numpy())
                filled += rows
                if len(filled) >= _STORED:
                    yield filled
                    filled = []
            if filled:
                yield filled

    def _tokens(self, tokenizer: Any, texts: list[str]) -> list[list[int]]:
        found = batches.tokenize(tokenizer, [text[: _CHARACTERS_PER_TOKEN * MAX_LENGTH] for text in texts])
        return [ids if len(ids) <= MAX_LENGTH else [*ids[: MAX_LENGTH - 1], ids[-1]] for ids in found]

    @cached_property
    def _encoder(self) -> tuple[Any, batches.Forward, str, bool]:
        """(tokenizer, function of ids and mask to mean states, device, whether rows are independent)."""
        try:
            import torch
            from safetensors.torch import load_file
            from transformers import AutoTokenizer, BertConfig, BertModel
        except ImportError as error:
            raise ModelError(
                f"embedding texts needs the package {error.name}, which is not installed", hint=embedded.INSTALL
            ) from error
        folder = embedded.encoder_folder()
        device = self._device or ("cuda" if torch.cuda.is_available() else "cpu")
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        encoder: Any = BertModel(BertConfig.from_pretrained(folder, local_files_only=True), add_pooling_layer=False)
        weights = load_file(folder / "model.safetensors")
        encoder.load_state_dict({name: weights[name] for name in encoder.state_dict() if name in weights})
        encoder.to(device).eval()

        def forward(ids: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
            states = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            counts = mask[:, :, None].to(states.dtype)
            mean: torch.Tensor = (states * counts).sum(1) / counts.sum(1)
            return mean

        independent = False

        def probe() -> None:
            nonlocal independent
            independent = batches.rows_independent(tokenizer, forward, device=device)

        precision.convert(encoder, "float32", probe)
        return tokenizer, forward, device, independent


def embed(
    texts: Sequence[str | None] | pl.Series,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
    device: str | None = None,
    batch_tokens: int | None = None,
) -> Vectors:
    """The sentence embedding of each text, (N, 384) int16, in the order of the texts; divided by SCALE it has length 1.

    progress   called with the share done, 0 to 1; the other arguments as in `Embedder`
    Each distinct text is embedded once. Memory: 768 bytes for each text and for each distinct text, a window of 8,192
    tokenized texts, and the encoder (90 MB).

    Missing values: a text that is null, empty, blank or not a string has a vector of zeros.
    Raises ArgumentError, DataError (the cache) and ModelError.
    """
    return Embedder(cache=cache, device=device, batch_tokens=batch_tokens).embed(texts, progress=progress)


def _fixed_point(states: npt.NDArray[np.float32]) -> Vectors:
    """Unit length, in whole numbers of 1 / SCALE."""
    wide = states.astype(np.float64)
    length = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    if not np.isfinite(length).all():
        raise ModelError("the encoder gave numbers that are not finite", hint="its weights are damaged")
    vectors: Vectors = np.round(wide * (SCALE / length)[:, None]).astype(np.int16)
    return vectors
