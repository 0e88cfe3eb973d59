"""Texts that are longer than a model reads: chunks of whole sentences (sentiment.sentences), one answer from several.

    pack         sentences in order into as few chunks as a model's length asks for; none is cut that fits into one
    aggregate    the chunks' probabilities p_k (k = 0, 1, ...) of n_k tokens each, into those of the text:

        mean     sum n_k p_k / sum n_k            every token counts alike
        first    the same with n_k 2^-k           each chunk counts half as much as the one before it
        max      p_k of the largest |positive - negative|, the first of equal ones

`truncate` reads the first chunk's length and no more, as a plain pipeline does.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sentiment import sentences

LONG = ("mean", "first", "max", "truncate")
MAX_CHUNKS = 64
"""Chunks of one text that are read: at 256 tokens some 12,000 words. What follows is truncated."""

RULES = f"{sentences.RULES}\n{MAX_CHUNKS}"
"""What decides where a long text is cut, in writing: part of the hash of scores."""


Chunk = tuple[list[int], int]
"""Tokens, and how many sentences begin among them."""


def pack(pieces: Sequence[Sequence[int]], room: int) -> list[Chunk]:
    """Token lists of sentences, in order, into chunks of at most `room` tokens.

    A sentence goes into the chunk before it where it fits, else into a new one. One that fits into no chunk is cut
    into windows of about equal length. Work stops at more than MAX_CHUNKS chunks.
    """
    chunks: list[Chunk] = []
    for piece in pieces:
        if not piece:
            continue
        if chunks and len(chunks[-1][0]) + len(piece) <= room:
            tokens, begun = chunks[-1]
            chunks[-1] = ([*tokens, *piece], begun + 1)
            continue
        step = -(-len(piece) // -(-len(piece) // room))
        chunks += [(list(piece[k : k + step]), int(k == 0)) for k in range(0, len(piece), step)]
        if len(chunks) > MAX_CHUNKS:
            break
    return chunks


def head(pieces: Sequence[Sequence[int]], room: int) -> Chunk:
    """The first `room` tokens of token lists of sentences."""
    tokens: list[int] = []
    begun = 0
    for piece in pieces:
        if len(tokens) >= room:
            break
        tokens += piece[: room - len(tokens)]
        begun += bool(piece)
    return tokens, begun


def aggregate(probabilities: npt.NDArray[np.float64], tokens: Sequence[int], long: str) -> npt.NDArray[np.float64]:
    """(3,) probabilities of a text from those of its chunks, (k, 3) in the order negative, neutral, positive.

    tokens   (k,) tokens of each chunk, special ones left out;   long   "mean", "first" or "max", see the module
    """
    if long == "max":
        strongest: npt.NDArray[np.float64] = probabilities[np.abs(probabilities[:, 2] - probabilities[:, 0]).argmax()]
        return strongest
    weights = np.asarray(tokens, np.float64)
    if long == "first":
        weights = weights * 0.5 ** np.arange(len(weights))
    return np.asarray(weights @ probabilities / weights.sum())
