"""Token lists in, one tensor row for each out: batches of one length, for scoring and for embedding.

    ids = tokenize(tokenizer, texts)
    for positions, rows in run(ids, forward, padding=tokenizer.pad_token_id):
        vectors[positions] = rows

Lists are sorted by length, longest first, so that memory shows at the start what it will need, and cut into batches of
one length and about `batch_tokens` tokens. Up to 32 tokens, where headlines lie, a batch holds one exact length and no
padding at all; above, lengths are rounded up (`padded_length`), by less than a ninth. On a CPU a batch is one thread's:
two threads that wait for each other inside a matrix product are many times slower where the machine is busy, and whole
batches side by side give the same bits as one after the other.

A row does not depend on its neighbours: its padded length is its own. Only matrix products could add in another order
in a batch of another height. So batches of a length are `filled` with copies to one fixed height, products of equal
shape adding in equal order, unless `rows_independent` has found that the height does not matter.
"""

import itertools
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from gpu_kernels.errors import ArgumentError, ModelError

if TYPE_CHECKING:
    import torch

Forward = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""(input_ids, attention_mask), int64 (B, L) on the device -> (B, ...), a row for each list."""

# A CPU's core then works from its own cache; fewer tokens give the same speed, and more calls. Measured for 384 wide.
BATCH_TOKENS = {"cpu": 256, "cuda": 32_768}
_EXACT = 32
_DIGITS = 4


def tokenize(tokenizer: Any, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
    """The ids of each text, uncut, with the model's special tokens unless told otherwise.

    A lone surrogate, which has no UTF-8, becomes "?". Missing values: none; an empty text has no ids of its own.
    """
    if not texts:
        return []
    clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
    ids: list[list[int]] = tokenizer(
        clean, add_special_tokens=special, verbose=False, return_attention_mask=False, return_token_type_ids=False
    )["input_ids"]
    return ids


def padded_length(tokens: int) -> int:
    """The length of the batch that a list of so many tokens goes into: exact to 32, then up to a multiple of 4 (to 64),
    8 (to 128), 16 (to 256), ..."""
    step = 1 if tokens <= _EXACT else 1 << ((tokens - 1).bit_length() - _DIGITS)
    return -(-tokens // step) * step


def run(
    ids: Sequence[Sequence[int]],
    forward: Forward,
    *,
    padding: int,
    max_length: int | None = None,
    batch_tokens: int | None = None,
    device: str = "cpu",
    filled: bool = True,
    threads: int | None = None,
) -> Iterator[tuple[list[int], "torch.Tensor"]]:
    """Apply `forward` to lists of ids, batch by batch: (positions in `ids`, rows on the CPU), the longest first.

    padding        the id that lists are filled up with, under a mask of 0
    max_length     the most tokens that the model takes: no list may be longer, and none is padded beyond it
    batch_tokens   tokens of one batch, padding included; bounds the memory. Default 256 on a CPU, 32,768 elsewhere
    device         of torch
    filled         all batches of a length have the same height, see `rows_independent`
    threads        batches at a time; default torch's number of threads on a CPU, and 1 elsewhere

    Missing values: none. Raises ArgumentError on an empty or too long list, or a number below 1.
    """
    import torch

    on_cpu = torch.device(device).type == "cpu"
    batch_tokens = BATCH_TOKENS["cpu" if on_cpu else "cuda"] if batch_tokens is None else batch_tokens
    threads = (torch.get_num_threads() if on_cpu else 1) if threads is None else threads
    for name, value in (("batch_tokens", batch_tokens), ("threads", threads)):
        if value < 1:
            raise ArgumentError(f"{name}={value}", allowed="at least 1")
    lengths = [len(tokens) for tokens in ids]
    if lengths and not 1 <= min(lengths) <= max(lengths) <= (max_length or max(lengths)):
        raise ArgumentError(
            f"lists of {min(lengths)} to {max(lengths)} tokens", allowed=f"1 to {max_length or 'any number'}"
        )

    def work(batch: list[int], length: int, height: int) -> tuple[list[int], "torch.Tensor"]:
        rows = [ids[i] for i in batch]
        inputs = _padded(rows + [rows[0]] * (height - len(rows)), length, padding)
        with torch.inference_mode():
            return batch, forward(*(tensor.to(device) for tensor in inputs))[: len(batch)].cpu()

    batches = _batches(lengths, max_length, batch_tokens, filled)
    if threads == 1:
        return itertools.starmap(work, batches)
    return _side_by_side(work, batches, threads)


def special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The ids that the model wants before a text and after it, such as [CLS] and [SEP]."""
    whole, plain = (tokenize(tokenizer, ["a b"], special=special)[0] for special in (True, False))
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return whole[:start], whole[start + len(plain) :]
    raise ModelError("the tokenizer changes a text where it adds special tokens", allowed="a sequence classifier")


def rows_independent(tokenizer: Any, forward: Forward, *, device: str = "cpu") -> bool:
    """Whether rows are the same bits in batches of 1, 2, 3, 7 and 16, on random ids of 8, 16 and 31 tokens.

    True for the linear layers of `sentiment.precision` on oneDNN, which adds along the inner dimension in one order
    whatever the height; False, as a rule, for those of MKL and cuBLAS.
    """
    import torch

    before, after = special_tokens(tokenizer)
    words = sorted(set(range(len(tokenizer))) - set(tokenizer.all_special_ids))
    draw = random.Random(0)
    with torch.inference_mode():
        for length in (8, 16, 31):
            room = length - len(before) - len(after)
            ids = torch.tensor([[*before, *draw.choices(words, k=room), *after] for _ in range(16)]).to(device)
            mask = torch.ones_like(ids)
            whole = forward(ids, mask)
            for height in (1, 2, 3, 7):
                parts = [forward(ids[i : i + height], mask[i : i + height]) for i in range(0, len(ids), height)]
                if not torch.equal(torch.cat(parts), whole):
                    return False
    return True


def _batches(
    lengths: list[int], max_length: int | None, batch_tokens: int, filled: bool
) -> Iterator[tuple[list[int], int, int]]:
    """(positions, length, height) of each batch."""
    padded = [min(padded_length(length), max_length or 2 * length) for length in lengths]
    order = sorted(range(len(lengths)), key=lambda i: (-padded[i], i))
    for length, group in itertools.groupby(order, key=padded.__getitem__):
        members, height = list(group), max(1, batch_tokens // length)
        for start in range(0, len(members), height):
            batch = members[start : start + height]
            yield batch, length, height if filled else len(batch)


def _padded(rows: list[Sequence[int]], length: int, padding: int) -> tuple["torch.Tensor", "torch.Tensor"]:
    import torch

    if all(len(row) == length for row in rows):
        ids = torch.tensor(rows, dtype=torch.int64)
        return ids, torch.ones_like(ids)
    ids = torch.tensor([[*row, *[padding] * (length - len(row))] for row in rows], dtype=torch.int64)
    counts = torch.tensor([len(row) for row in rows])
    return ids, (torch.arange(length) < counts[:, None]).to(torch.int64)


def _side_by_side(
    work: Callable[..., tuple[list[int], "torch.Tensor"]], batches: Iterator[tuple[list[int], int, int]], threads: int
) -> Iterator[tuple[list[int], "torch.Tensor"]]:
    """Batches on `threads` threads of one core each, results in the order of the batches."""
    import torch

    before = torch.get_num_threads()
    pending: deque[Future[tuple[list[int], torch.Tensor]]] = deque()
    with ThreadPoolExecutor(threads, "batches", torch.set_num_threads, (1,)) as pool:
        try:
            for batch in batches:
                pending.append(pool.submit(work, *batch))
                if len(pending) > 2 * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
            torch.set_num_threads(before)
