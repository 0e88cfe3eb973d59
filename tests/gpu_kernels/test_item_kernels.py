"""Kernels of dated items by hand: decayed moments, moments of a span, attention."""

from collections.abc import Callable

import numpy as np
import pytest

from gpu_kernels.attention import attention
from gpu_kernels.decayed_moments import decayed_moments
from gpu_kernels.errors import ArgumentError
from gpu_kernels.window_moments import window_moments

NONE = -1


def int64s(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def moments(
    time: list[int],
    value: list[float],
    at: list[int],
    *,
    since: list[int] | None = None,
    earlier: list[int] | None = None,
    half_lives: tuple[int, ...] = (10,),
) -> np.ndarray:
    """decayed_moments of one segment, all of weight 1."""
    earlier = earlier or [NONE] * len(time)
    later = [earlier.index(row) if row in earlier else NONE for row in range(len(time))]
    return decayed_moments(
        int64s(*time),
        int64s(*(since or time)),
        int64s(*earlier),
        int64s(*later),
        np.ones(len(time)),
        np.array(value),
        int64s(0, len(time)),
        int64s(*at),
        int64s(0, len(at)),
        half_lives_ns=half_lives,
    )


class TestDecayedMoments:
    def test_by_hand(self) -> None:
        total, mean, deviation = moments([0, 10], [1.0, 4.0], [-1, 0, 10, 20], half_lives=(10, 2**60))
        np.testing.assert_allclose(total[0], [0, 1, 1.5, 0.75])
        np.testing.assert_allclose(mean[0], [np.nan, 1, 3, 3])
        np.testing.assert_allclose(deviation[0], [np.nan, 0, np.sqrt(2), np.sqrt(2)])
        # where nothing fades they are those of statistics
        np.testing.assert_allclose([total[1, -1], mean[1, -1], deviation[1, -1]], [2, 2.5, 1.5])

    def test_a_newer_version_takes_the_place_of_the_older(self) -> None:
        total, mean, deviation = moments(
            [0, 5, 10], [1.0, 2.0, -1.0], [9, 10], since=[0, 5, 0], earlier=[NONE, NONE, 0], half_lives=(5,)
        )
        weights = np.array([0.25, 0.5])
        np.testing.assert_allclose(total[0, 1], weights.sum())
        np.testing.assert_allclose(mean[0, 1], (weights * [-1, 2]).sum() / weights.sum())
        np.testing.assert_allclose(deviation[0, 1], 3 * np.sqrt(1 / 3 * 2 / 3))
        assert mean[0, 0] == pytest.approx((2**-1.8 + 2 * 2**-0.8) / (2**-1.8 + 2**-0.8))

    def test_nothing_is_left_of_what_was_replaced(self) -> None:
        # a weight of 1 taken out of one of 1 + 2^-45 would leave a rounding error
        for value in (-0.3, float("nan")):
            total, mean, deviation = moments(
                [0, 450, 451], [0.7, 0.1, value], [451], since=[0, 450, 450], earlier=[NONE, NONE, 1]
            )
            kept, seen = ([0.7], [2**-45.1]) if np.isnan(value) else ([0.7, value], [2**-45.1, 2**-0.1])
            wanted = np.average(kept, weights=seen)
            np.testing.assert_allclose(total[0, 0], sum(seen), rtol=1e-12)
            np.testing.assert_allclose(mean[0, 0], wanted, rtol=1e-12)
            spread = np.sqrt(np.average((np.array(kept) - wanted) ** 2, weights=seen))
            np.testing.assert_allclose(deviation[0, 0], spread, rtol=1e-9, atol=1e-12)

    def test_what_is_summed_anew_is_what_was_known_then(self) -> None:
        # the third row makes the sum anew, with the first in it, which the fourth replaces
        rows = ([0, 450, 451, 460], [0.7, 0.1, float("nan"), 0.9])
        whole = moments(*rows, [451], since=[0, 450, 450, 0], earlier=[NONE, NONE, 1, 0])
        part = moments(rows[0][:3], rows[1][:3], [451], since=[0, 450, 450], earlier=[NONE, NONE, 1])
        assert whole.tobytes() == part.tobytes()
        assert whole[1, 0, 0] == pytest.approx(0.7)

    def test_equal_values_have_no_spread(self) -> None:
        _, mean, deviation = moments(list(range(0, 3000, 3)), [0.3] * 1000, [3000, 10**6])
        np.testing.assert_allclose(mean, 0.3, rtol=1e-14)
        assert (deviation < 1e-15).all()

    def test_later_rows_move_no_earlier_bit(self) -> None:
        rng = np.random.default_rng(1)
        time = np.cumsum(rng.integers(0, 5, 300)).tolist()
        value, earlier = rng.normal(size=300).tolist(), [NONE] * 300
        since = list(time)
        for row in range(4, 300, 3):  # each row is replaced once at most
            earlier[row], since[row] = row - 3 if earlier[row - 3] == NONE else NONE, time[row]
            if earlier[row] != NONE:
                since[row] = since[row - 3]
        at = list(range(0, time[200], 7))
        whole = moments(time, value, at, since=since, earlier=earlier)
        known = sum(moment <= at[-1] for moment in time)
        part = moments(time[:known], value[:known], at, since=since[:known], earlier=earlier[:known])
        assert known < 300
        assert whole.tobytes() == part.tobytes()


class TestWindowMoments:
    def test_by_hand(self) -> None:
        time, value = int64s(0, 5, 10, 12), np.array([1.0, np.nan, 3.0, -1.0])
        weight = np.array([1.0, 1.0, 0.5, 0.0])
        none, offsets = np.full(4, NONE), int64s(0, 4)
        at = int64s(0, 10, 12, 20)
        counts, found = window_moments(time, time, none, weight, value, offsets, at - 11, at, int64s(0, 4), below=2.0)
        assert counts.tolist() == [[1, 3, 3, 2], [1, 2, 1, 1]]
        np.testing.assert_allclose(found[0], [1, 1.5, 0.5, 0.5])
        np.testing.assert_allclose(found[1], [1, 5 / 3, 3, 3])
        np.testing.assert_allclose(found[2], [0, np.sqrt(8) / 3, 0, 0], atol=1e-15)
        np.testing.assert_allclose(found[3:5], [[1, 1, 3, 3], [1, 3, 3, 3]])
        np.testing.assert_allclose(found[5], [1, 2 / 3, 0, 0])

    def test_a_revised_item_leaves_the_span_with_its_first_version(self) -> None:
        time, since, later = int64s(0, 8), int64s(0, 0), int64s(1, NONE)
        at = int64s(7, 8, 9, 10, 11)
        counts, found = window_moments(
            *(time, since, later, np.ones(2), np.array([1.0, 2.0]), int64s(0, 2)), at - 10, at, int64s(0, 5), below=0.0
        )
        assert counts[0].tolist() == [1, 1, 1, 0, 0]
        np.testing.assert_allclose(found[1], [1, 2, 2, np.nan, np.nan])


class TestAttention:
    opens = np.arange(6) * 100
    closes = opens + int64s(50, 50, 20, 50, 50, 50)
    calendar = (opens, closes, np.zeros(6, np.int64))

    def z(self, time: list[int], at: list[int], **told: int) -> list[float]:
        session = np.searchsorted(self.opens, at, side="right") - 1
        told = {"window_ns": 10, "sessions": 4, "minimum": 2} | told
        one = (int64s(*time), int64s(0, len(time)), int64s(*at), session, int64s(0, len(at)))
        return attention(*one, *self.calendar, **told).tolist()

    def test_by_hand(self) -> None:
        # counts at 30 after the opens: 1, 2, (closed), 0, 3; the last session has 4
        time = [25, 125, 127, 229, 421, 422, 423, 521, 522, 523, 524]
        mean, variance = 1.5, 5 / 3
        found = self.z([0, *time], [530])
        assert found == [pytest.approx((4 - mean) / np.sqrt(variance))]
        # only the last two, of which one more has a floor of its mean
        assert self.z([0, *time], [530], sessions=2) == [pytest.approx((4 - 1.5) / np.sqrt(4.5))]

    def test_counts_that_never_vary_vary_as_poisson_ones(self) -> None:
        time = [open_ + place for open_ in self.opens.tolist() for place in (21, 22)]
        assert self.z([0, *time, 523], [530]) == [pytest.approx(1 / np.sqrt(2))]
        assert self.z([0, 525], [530]) == [pytest.approx(1 / np.sqrt(1 / 4))]

    def test_where_it_is_missing(self) -> None:
        assert np.isnan(self.z([0, 525], [-5, 30, 551])).all()
        assert np.isnan(self.z([321, 525], [530])).all()  # one session since the first item
        assert np.isnan(self.z([0, 525], [530], minimum=5)).all()


def _rows() -> tuple[np.ndarray, ...]:
    return int64s(1, 2), int64s(1, 2), int64s(-1, -1), int64s(-1, -1), np.ones(2), np.ones(2), int64s(0, 2)


def _linked(earlier: np.ndarray, later: np.ndarray) -> object:
    time, since, _, _, weight, value, offsets = _rows()
    one = (time, since, earlier, later, weight, value, offsets)
    return decayed_moments(*one, int64s(3), int64s(0, 1), half_lives_ns=[1])


def _spanned(later: np.ndarray) -> object:
    time, since, _, _, weight, value, offsets = _rows()
    return window_moments(time, since, later, weight, value, offsets, int64s(0), int64s(3), int64s(0, 1), below=0.0)


def _decayed(**told: object) -> object:
    return decayed_moments(*_rows(), int64s(3), int64s(0, 1), **told)  # type: ignore[arg-type]


def _window(at: np.ndarray, below: float = 0.0) -> object:
    time, since, _, later, weight, value, offsets = _rows()
    return window_moments(time, since, later, weight, value, offsets, at - 1, at, int64s(0, len(at)), below=below)


def _attention(session: int = 0, **told: int) -> object:
    one = (int64s(1, 2), int64s(0, 2), int64s(3), int64s(session), int64s(0, 1))
    wanted = {"window_ns": 1, "sessions": 2, "minimum": 2} | told
    return attention(*one, int64s(0), int64s(9), int64s(0), **wanted)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: _decayed(half_lives_ns=()), "half_lives_ns is empty"),
        (lambda: _decayed(half_lives_ns=(5, 0)), "half_lives_ns is 0"),
        (lambda: _window(int64s(3, 2)), "at falls from 3 to 2"),
        (lambda: _window(int64s(3), float("nan")), "below is nan"),
        (lambda: _attention(window_ns=0), "window_ns is 0"),
        (lambda: _attention(sessions=1), "sessions is 1"),
        (lambda: _attention(99), "session spans 99 to 99; allowed: -1 to 0"),
        (lambda: _attention(-2), "session spans -2 to -2"),
        (lambda: _linked(int64s(-1, 2), int64s(-1, -1)), "earlier spans -1 to 2; allowed: -1 to 1"),
        (lambda: _linked(int64s(-1, -1), int64s(-5, -1)), "later spans -5 to -1"),
        (lambda: _spanned(int64s(7, -1)), "later spans -1 to 7"),
    ],
)
def test_arguments(call: Callable[[], object], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        call()
