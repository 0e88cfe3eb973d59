"""Histories of revised series: by hand, by definition, and cut."""

import align_cases
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import vintages as naive_vintages

from gpu_kernels import align, vintages
from gpu_kernels.errors import ArgumentError

NAN = np.nan


def int64s(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


class TestByHand:
    # known, event, value: event 1 is printed 10 and revised to 12, event 2 printed 20 and withdrawn, event 3 printed 30
    KNOWN, EVENT = int64s(10, 20, 30, 40, 50), int64s(1, 2, 1, 2, 3)
    VALUE = np.array([10.0, 20.0, 12.0, NAN, 30.0])
    AT = int64s(9, 10, 20, 30, 40, 50)

    def of(self, **options: int) -> vintages.History:
        offsets = int64s(0, 5), self.AT, int64s(0, 6)
        return vintages.history(self.KNOWN, self.EVENT, self.VALUE, *offsets, **{"max_age_ns": 100} | options)

    def test_value_and_first_print_and_change(self) -> None:
        found = self.of()
        np.testing.assert_array_equal(found.value, [NAN, 10, 20, 20, NAN, 30])
        np.testing.assert_array_equal(found.first, [NAN, 10, 20, 20, NAN, 30])
        # at 50 the event before is the first one, as the second was withdrawn
        np.testing.assert_array_equal(found.change, [NAN, NAN, 10, 8, NAN, 18])
        np.testing.assert_array_equal(found.mean_revision, [NAN, 0, 0, 0, NAN, 0])
        assert np.isnan(found.surprise).all()

    def test_mean_revision_of_two_events(self) -> None:
        np.testing.assert_array_equal(self.of(window=2).mean_revision, [NAN, NAN, 0, 1, NAN, 1])

    def test_too_old(self) -> None:
        # at 30 the latest event is the second one
        np.testing.assert_array_equal(self.of(max_age_ns=28).value, [NAN, 10, 20, 20, NAN, NAN])

    def test_surprise(self) -> None:
        known, value = int64s(1, 2, 3, 4, 5), np.array([1.0, 3.0, 6.0, 0.1, 0.1])
        found = vintages.history(
            known, known, value, int64s(0, 5), int64s(2, 3, 5), int64s(0, 3), max_age_ns=100, window=2
        )
        np.testing.assert_allclose(found.surprise, [NAN, (6 - 2) / np.sqrt(2), (0.1 - 3.05) / np.std([6, 0.1], ddof=1)])
        alike = np.array([0.1, 0.1, 0.1, 0.1, 5.0])
        found = vintages.history(known, known, alike, int64s(0, 5), int64s(5), int64s(0, 1), max_age_ns=100, window=3)
        assert np.isnan(found.surprise[0])


@st.composite
def tables(draw: st.DrawFn) -> tuple:
    """Arguments of `history`: those of align.gather_map, and values of which some are withdrawn."""
    known, event, *rest = draw(align_cases.tables())
    values = draw(st.lists(st.sampled_from([NAN, -1.0, 0.1, 0.25, 3.0]), min_size=len(known), max_size=len(known)))
    return (known, event, np.array(values, np.float64), *rest), draw(st.integers(1, 4)), draw(st.integers(1, 4))


@settings(deadline=None, max_examples=400)
@given(tables())
def test_equals_its_definition_and_the_as_of_rule(case: tuple) -> None:
    (known, event, value, *rest, max_age), back, window = case
    options = {"max_age_ns": max_age, "back": back, "window": window}
    found = vintages.history(known, event, value, *rest, **options)
    for got, wanted in zip(found, naive_vintages.history(known, event, value, *rest, **options), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(found.value, align.take(value, align.gather_map(known, event, *rest, max_age)))


@settings(deadline=None, max_examples=200)
@given(tables(), st.integers(0, 12))
def test_rows_known_later_change_no_bit(case: tuple, cut: int) -> None:
    (known, event, value, offsets, at, at_offsets, max_age), back, window = case
    options = {"max_age_ns": max_age, "back": back, "window": window}
    whole = vintages.history(known, event, value, offsets, at, at_offsets, **options)
    left, early = known <= cut, at <= cut
    kept = [np.concatenate([[0], np.cumsum(mask)])[ends] for mask, ends in ((left, offsets), (early, at_offsets))]
    part = vintages.history(known[left], event[left], value[left], kept[0], at[early], kept[1], **options)
    for full, cut_off in zip(whole, part, strict=True):
        np.testing.assert_array_equal(full[early], cut_off)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_age_ns": -1}, "max_age_ns is -1"),
        ({"max_age_ns": 1, "back": 0}, "back is 0"),
        ({"max_age_ns": 1, "window": 0}, "window is 0"),
    ],
)
def test_wrong_arguments(options: dict[str, int], words: str) -> None:
    one = int64s(1)
    with pytest.raises(ArgumentError, match=words):
        vintages.history(one, one, np.ones(1), int64s(0, 1), one, int64s(0, 1), **options)


def test_known_times_that_fall() -> None:
    with pytest.raises(ArgumentError, match="known_time falls"):
        vintages.history(int64s(2, 1), int64s(1, 1), np.ones(2), int64s(0, 2), int64s(3), int64s(0, 1), max_age_ns=1)
