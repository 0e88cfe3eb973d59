"""The fit of the micro-price against its definition and against a book whose true micro-price is known."""

from collections import Counter, defaultdict
from fractions import Fraction

import numpy as np
import pytest
from naive.book_micro_price import bucket_of

from gpu_kernels.book import micro_price, micro_price_fit
from gpu_kernels.book.micro_price_fit import MicroPrice, fit
from gpu_kernels.errors import ArgumentError, ModelError

BUCKETS, SPREADS = 5, 2


def chain(rng: np.random.Generator) -> np.ndarray:
    """P[state, way, state'] of a book that is its own mirror image, one or two ticks wide. Ways: mid down, still, up;
    the spread changes only with the mid."""
    states = SPREADS * BUCKETS
    spread, bucket = np.divmod(np.arange(states), BUCKETS)
    mirror = spread * BUCKETS + BUCKETS - 1 - bucket
    lean = np.exp((bucket - BUCKETS // 2) * 0.8)
    table = rng.random((states, 3, states)) * np.stack([0.2 / lean, np.full(states, 3.0), 0.2 * lean], 1)[:, :, None]
    changed = spread[:, None] != spread[None, :]
    table[:, 1][changed] = 0.0
    table += table[mirror][:, ::-1][:, :, mirror]
    return table / table.sum(axis=(1, 2), keepdims=True)


def steps_of(table: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Moves of the mid in ticks: whole ones within a spread, half ones where the spread changes by one."""
    moves = np.array([-1.0, 0.0, 1.0])[None, :, None] * np.ones_like(table)
    changed = spread[:, None] != spread[None, :]
    return np.where(changed[:, None, :], moves / 2, moves)


def walked(rows: int, seed: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """A walk of the chain as books in ticks, and the true adjustment of each state."""
    rng = np.random.default_rng(seed)
    table = chain(np.random.default_rng(1))
    states = SPREADS * BUCKETS
    spread, bucket = np.divmod(np.arange(states), BUCKETS)
    moves = steps_of(table, spread)
    cumulated = table.reshape(states, -1).cumsum(axis=1)
    draws, state, twice_mid = rng.random(rows), np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    state[0], twice_mid[0] = 2, 20_001
    for row in range(1, rows):
        pick = min(int(np.searchsorted(cumulated[state[row - 1]], draws[row])), 3 * states - 1)
        way, after = divmod(pick, states)
        state[row] = after
        twice_mid[row] = twice_mid[row - 1] + round(2 * moves[state[row - 1], way, after])
    bid = (twice_mid - (spread[state] + 1)) // 2
    middle = (bucket[state] - BUCKETS // 2) * 2 / BUCKETS
    books = bid, 1000 * (1 + middle), bid + spread[state] + 1, 1000 * (1 - middle)
    step, drift = table.sum(axis=1), (table * moves).sum(axis=(1, 2))
    return books, far_mid(step, drift).reshape(SPREADS, BUCKETS)


def far_mid(step: np.ndarray, drift: np.ndarray) -> np.ndarray:
    """Expected move of the mid in the long run, by adding up expected moves step by step."""
    total, ahead = np.zeros(len(drift)), drift.copy()
    for _ in range(20_000):
        total += ahead
        ahead = step @ ahead
    return total


def naive_fit(books: tuple[np.ndarray, ...], spreads: int, buckets: int) -> np.ndarray:
    """From the definition: count, mirror, and add up expected moves."""
    bid, bid_size, ask, ask_size = books
    states = [
        (min(int(ask[i] - bid[i]), spreads) - 1, bucket_of(bid_size[i], ask_size[i], buckets)) for i in range(len(bid))
    ]
    steps: dict = defaultdict(Counter)
    drift: Counter = Counter()
    for i in range(len(bid) - 1):
        move = Fraction(int(bid[i + 1] + ask[i + 1] - bid[i] - ask[i]), 2)
        for sign in (1, -1):
            one, two = ((s, b if sign == 1 else buckets - 1 - b) for s, b in (states[i], states[i + 1]))
            steps[one][two] += 1
            drift[one] += sign * move
    names = sorted(steps)
    place = {name: number for number, name in enumerate(names)}
    table, moves = np.zeros((len(names), len(names))), np.zeros(len(names))
    for one in names:
        count = sum(steps[one].values())
        moves[place[one]] = drift[one] / count
        for two, times in steps[one].items():
            table[place[one], place[two]] = times / count
    out = np.full((spreads, buckets), np.nan)
    for name, value in zip(names, far_mid(table, moves), strict=True):
        out[name] = value
    return out


def test_a_known_book_is_recovered() -> None:
    books, truth = walked(120_000, 3)
    model = fit(*books, np.array([0, 120_000]), spreads=SPREADS, buckets=BUCKETS)
    assert np.abs(truth).max() > 0.2
    np.testing.assert_allclose(model.adjustment, truth, atol=0.03)
    # mirror images have opposite adjustments, a balanced book none
    np.testing.assert_array_equal(model.adjustment, -model.adjustment[:, ::-1])
    assert (model.adjustment[:, BUCKETS // 2] == 0).all()
    assert model.count.sum() == 2 * 119_999


def test_the_fit_is_its_definition() -> None:
    books, _ = walked(3000, 5)
    model = fit(*books, np.array([0, 3000]), spreads=SPREADS, buckets=BUCKETS, min_count=1)
    np.testing.assert_allclose(model.adjustment, naive_fit(books, SPREADS, BUCKETS), atol=1e-9)


def test_it_predicts_the_mid_better_than_the_mid_itself() -> None:
    books, _ = walked(60_000, 8)
    past, future = (tuple(book[rows] for book in books) for rows in (slice(0, 30_000), slice(30_000, None)))
    model = fit(*past, np.array([0, 30_000]), spreads=SPREADS, buckets=BUCKETS)
    price = micro_price.micro_price(*future, adjustment=model.adjustment)
    mid = (future[0] + future[2]) / 2
    later = mid[50:]
    assert np.mean((later - price[:-50]) ** 2) < np.mean((later - mid[:-50]) ** 2)


def test_no_step_leads_from_one_segment_to_the_next() -> None:
    books, _ = walked(2000, 9)
    moved = tuple(np.concatenate([book, book + (500 if number % 2 == 0 else 0)]) for number, book in enumerate(books))
    once = fit(*books, np.array([0, 2000]), spreads=SPREADS, buckets=BUCKETS, min_count=1)
    twice = fit(*moved, np.array([0, 2000, 2000, 4000]), spreads=SPREADS, buckets=BUCKETS, min_count=1)
    np.testing.assert_allclose(once.adjustment, twice.adjustment, atol=1e-12)
    np.testing.assert_array_equal(2 * once.count, twice.count)


def test_unseen_states_are_missing_and_missing_rows_are_no_states() -> None:
    books, _ = walked(4000, 10)
    books[1][100:110] = np.nan
    model = fit(*books, np.array([0, 4000]), spreads=3, buckets=BUCKETS)
    assert np.isnan(model.adjustment[2]).all()
    assert model.count.sum() == 2 * (3999 - 11)
    price = micro_price.micro_price(
        np.array([10]), np.array([5.0]), np.array([13]), np.array([5.0]), adjustment=model.adjustment
    )
    assert np.isnan(price[0])


def test_locked_and_crossed_rows_are_stepped_over() -> None:
    books, _ = walked(4000, 11)
    at = np.arange(50, 4000, 50)
    between = tuple(np.insert(book, at, book[at]) for book in books)
    # the ask of an inserted row lies at its bid, then below it
    between[2][at + np.arange(len(at))] = between[0][at + np.arange(len(at))] - np.arange(len(at)) % 2
    offsets = np.array([0, 1000, 4000])
    moved = offsets + np.searchsorted(at, offsets, side="right")
    moved[-1] = len(between[0])
    plain = fit(*books, offsets, spreads=SPREADS, buckets=BUCKETS)
    stepped = fit(*between, moved, spreads=SPREADS, buckets=BUCKETS)
    np.testing.assert_array_equal(plain.adjustment, stepped.adjustment)
    np.testing.assert_array_equal(plain.count, stepped.count)


def test_a_model_is_written_and_read_to_the_bit() -> None:
    books, _ = walked(4000, 11)
    model = fit(*books, np.array([0, 4000]), spreads=3, buckets=BUCKETS)
    again = MicroPrice.from_json(model.to_json())
    np.testing.assert_array_equal(again.adjustment, model.adjustment)
    np.testing.assert_array_equal(again.count, model.count)
    for text in ("", "[]", "{}", '{"adjustment": [1, 2], "count": [1, 2]}', '{"adjustment": [[1]], "count": [[1, 2]]}'):
        with pytest.raises(ModelError):
            MicroPrice.from_json(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"buckets": 4}, "buckets is 4; allowed: an odd number"),
        ({"spreads": 0}, "spreads is 0"),
        ({"min_count": 10**6}, "no state of the book was seen 1000000 times"),
    ],
)
def test_bad_arguments_are_named(change: dict, message: str) -> None:
    books, _ = walked(500, 12)
    with pytest.raises(ArgumentError, match=message):
        fit(*books, np.array([0, 500]), **change)
    with pytest.raises(ArgumentError, match="allowed: int64 ticks"):
        fit(books[0] * 1.0, *books[1:], np.array([0, 500]))
    none = np.zeros(0, np.int64)
    with pytest.raises(ArgumentError, match="in 0 rows"):
        micro_price_fit.fit(none, none, none, none, np.array([0]))
