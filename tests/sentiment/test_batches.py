"""Batches: a row of its own for each list, the same bits whatever the order, the neighbours and the threads."""

import random
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_kernels.errors import ArgumentError
from sentiment.batches import Forward, padded_length, rows_independent, run, special_tokens, tokenize

PAD = 0


def sums(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(B, 2): the sum of each row's ids, and how many of them count."""
    return torch.stack([(ids * mask).sum(1), mask.sum(1)], dim=1)


def network(seed: int = 0) -> Forward:
    """Mean embeddings through a product that is wide enough to be cut into blocks."""
    generator = torch.Generator().manual_seed(seed)
    table, weight = torch.randn(50, 96, generator=generator), torch.randn(96, 64, generator=generator)

    def forward(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        states = torch.tanh(table[ids] @ weight) * mask[:, :, None]
        return states.sum(1) / mask.sum(1, keepdim=True)

    return forward


def some_lists(seed: int, count: int = 120, longest: int = 70) -> list[list[int]]:
    draw = random.Random(seed)
    return [[draw.randrange(1, 50) for _ in range(draw.randrange(1, longest + 1))] for _ in range(count)]


def rows_of(ids: list[list[int]], forward: Forward, **options: object) -> torch.Tensor:
    found: dict[int, torch.Tensor] = {}
    for positions, rows in run(ids, forward, padding=PAD, **options):  # type: ignore[arg-type]
        assert len(positions) == len(rows)
        assert not found.keys() & set(positions)
        found |= dict(zip(positions, rows, strict=True))
    return torch.stack([found[i] for i in range(len(ids))])


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 140), min_size=1, max_size=40),
    batch_tokens=st.integers(1, 500),
    filled=st.booleans(),
    threads=st.integers(1, 3),
)
def test_each_list_gives_its_own_row(lengths: list[int], batch_tokens: int, filled: bool, threads: int) -> None:
    ids = [[n + 1 + k for k in range(length)] for n, length in enumerate(lengths)]
    found = rows_of(ids, sums, batch_tokens=batch_tokens, filled=filled, threads=threads, max_length=140)
    assert found.tolist() == [[sum(tokens), len(tokens)] for tokens in ids]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("threads", [1, 2])
def test_neither_order_nor_neighbours_nor_threads_move_a_bit(seed: int, threads: int) -> None:
    ids, forward = some_lists(seed), network(seed)
    whole = rows_of(ids, forward, threads=threads)
    alone = torch.cat([rows_of([tokens], forward, threads=1) for tokens in ids])
    assert torch.equal(alone, whole)
    order = random.Random(seed).sample(range(len(ids)), len(ids))
    assert torch.equal(rows_of([ids[i] for i in order], forward, threads=threads), whole[order])


def shapes(ids: list[list[int]], **options: object) -> list[tuple[int, ...]]:
    seen = []

    def forward(batch: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(batch.shape))
        return mask.sum(1)

    rows_of(ids, forward, threads=1, **options)
    return seen


class TestShapes:
    def test_longest_first_and_no_padding_up_to_32(self) -> None:
        seen = shapes([[1] * n for n in (5, 31, 32, 31, 17)], filled=False)
        assert seen == [(1, 32), (2, 31), (1, 17), (1, 5)]

    def test_filled_batches_have_one_height_for_each_length(self) -> None:
        seen = shapes(some_lists(1), batch_tokens=200)
        assert all(height == max(1, 200 // length) for height, length in seen)

    def test_padded_length(self) -> None:
        for tokens in range(1, 1000):
            padded = padded_length(tokens)
            assert padded - tokens <= padded / 9
            assert padded == tokens or tokens > 32
            assert padded_length(padded) == padded

    def test_nothing_is_padded_beyond_what_the_model_takes(self) -> None:
        assert shapes([[1] * 61], max_length=62) == [(4, 62)]

    def test_tokens_of_a_batch(self) -> None:
        assert all(height * length <= 256 for height, length in shapes(some_lists(2, 500)))


class TestRowsIndependent:
    def test_rows_that_see_their_neighbours_are_found(self, tokenizer: object) -> None:
        def centred(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            values = ids.double().sum(1)
            return values - values.mean()

        assert not rows_independent(tokenizer, centred)

    def test_rows_of_their_own(self, tokenizer: object) -> None:
        assert rows_independent(tokenizer, sums)


class TestEnds:
    @pytest.mark.parametrize(
        ("ids", "options", "match"),
        [
            ([[]], {}, "lists of 0 to 0 tokens"),
            ([[1] * 9], {"max_length": 8}, "lists of 9 to 9 tokens; allowed: 1 to 8"),
            ([[1]], {"batch_tokens": 0}, "batch_tokens=0"),
            ([[1]], {"threads": 0}, "threads=0"),
        ],
    )
    def test_bad_arguments(self, ids: list[list[int]], options: dict[str, int], match: str) -> None:
        with pytest.raises(ArgumentError, match=match):
            run(ids, sums, padding=PAD, **options)  # type: ignore[arg-type]

    def test_no_lists(self) -> None:
        assert list(run([], sums, padding=PAD)) == []

    @pytest.mark.parametrize("threads", [1, 2])
    def test_an_error_inside_is_raised_and_threads_are_set_back(self, threads: int) -> None:
        def broken(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("broken")

        before = torch.get_num_threads()
        with pytest.raises(RuntimeError, match="broken"):
            list(run(some_lists(0), broken, padding=PAD, threads=threads))
        assert torch.get_num_threads() == before

    def test_a_caller_that_stops_early_ends_the_work(self) -> None:
        calls = []

        def counted(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            calls.append(1)
            return mask.sum(1)

        batches = run(some_lists(0, 2000), counted, padding=PAD, threads=2)
        next(iter(batches))
        batches.close()  # type: ignore[attr-defined]
        assert len(calls) < 50

    def test_no_gradients(self) -> None:
        weight = torch.ones(1, requires_grad=True)
        ((_, rows),) = run([[1, 2]], lambda ids, mask: ids.sum(1) * weight, padding=PAD)
        assert not rows.requires_grad


def test_tokenize_takes_what_utf8_cannot_say(tokenizer: Callable[..., object]) -> None:
    assert tokenize(tokenizer, []) == []
    ids = tokenize(tokenizer, ["net profit", "lone \ud800", ""])
    assert [len(tokens) for tokens in ids][::2] == [4, 2]
    assert tokenize(tokenizer, ["net profit"], special=False) == [ids[0][1:-1]]
    assert special_tokens(tokenizer) == (ids[0][:1], ids[0][-1:])


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> object:
    from tiny_models import save_tokenizer
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder)
