"""Bars into bins: by hand, with holes, and with hours cut out of a longer day."""

import numpy as np
import pytest

from fusion.volatility.bins import SessionBins, ahead, bins_of
from gpu_kernels.errors import ArgumentError

MINUTE = 60 * 10**9
OPENS, CLOSES = np.array([0, 1000]) * MINUTE, np.array([10, 1010]) * MINUTE


def bars(minutes: list[int], close: list[float], opening: list[float] | None = None) -> tuple:
    return np.array(minutes) * MINUTE, np.array(opening or close, float), np.array(close, float), OPENS, CLOSES


def test_returns_and_variances_by_hand() -> None:
    close = [101.0, 102.0, 101.0, 103.0, 104.0, 100.0]
    found = bins_of(*bars([1, 2, 5, 6, 10, 1001], close, [100.0, *close[1:5], 99.0]), step=5 * MINUTE, fine=MINUTE)
    log = np.log([100.0, *close[:5]])
    moves = np.diff(log)
    np.testing.assert_allclose(found.returns[0], [moves[:3].sum(), moves[3:].sum()])
    np.testing.assert_allclose(found.variance[0], [(moves[:3] ** 2).sum(), (moves[3:] ** 2).sum()])
    np.testing.assert_allclose(found.returns[1], [np.log(100 / 99), np.nan])
    np.testing.assert_array_equal(found.lengths, [2, 2])
    np.testing.assert_array_equal(found.starts[1], np.array([1000, 1005]) * MINUTE)


def test_where_the_first_return_starts() -> None:
    time, opening, close, *hours = bars([3, 8, 1002], [100.0, 101.0, 105.0], [99.0, 100.0, 104.0])
    bins = {
        first: bins_of(time, opening, close, *hours, step=5 * MINUTE, fine=5 * MINUTE, first=first).returns
        for first in ("open", "before", "none")
    }
    np.testing.assert_allclose(bins["open"][:, 0], np.log([100 / 99, 105 / 104]))
    np.testing.assert_allclose(bins["before"][:, 0], [np.nan, np.log(105 / 101)])
    assert np.isnan(bins["none"][:, 0]).all()
    np.testing.assert_allclose(bins["none"][0, 1], np.log(101 / 100))


def test_a_missing_bar_is_spanned_or_stands_still() -> None:
    arguments = bars([1, 4, 9, 10], [100.0, 102.0, 103.0, 101.0])
    spanned = bins_of(*arguments, step=MINUTE, fine=MINUTE).returns[0]
    still = bins_of(*arguments, step=MINUTE, fine=MINUTE, repeat=True).returns[0]
    expected = np.full(10, np.nan)
    expected[[0, 3, 8, 9]] = [0.0, np.log(1.02), np.log(103 / 102), np.log(101 / 103)]
    np.testing.assert_allclose(spanned, expected)
    np.testing.assert_allclose(still, np.nan_to_num(expected))


def test_ranges_are_of_all_bars_of_a_bin() -> None:
    time, opening, close, *hours = bars([1, 2, 7], [100.0, 101.0, 100.0])
    found = bins_of(
        time, opening, close, *hours, step=5 * MINUTE, fine=MINUTE,
        high=np.array([101.0, 103.0, 100.0]), low=np.array([99.0, 100.0, 98.0]),
    ).ranges  # fmt: skip
    assert found is not None
    np.testing.assert_allclose(found[0], np.log([103 / 99, 100 / 98]) ** 2 / (4 * np.log(2)))
    assert np.isnan(found[1]).all()


def test_sums_ahead_stay_inside_the_session() -> None:
    values = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, np.nan, 7.0, 8.0]])
    np.testing.assert_array_equal(ahead(values, 2), [[3, 5, 7, np.nan], [np.nan, np.nan, 15, np.nan]])
    assert np.isnan(ahead(values, 5)).all()


def test_a_cut_knows_nothing_later() -> None:
    table = np.arange(12.0).reshape(3, 4)
    times = np.arange(3) * 100 * MINUTE
    cut = SessionBins(times, times + 4 * MINUTE, MINUTE, table, table, table).cut(1, 2)
    np.testing.assert_array_equal(cut.variance, [[0, 1, 2, 3], [4, 5, np.nan, np.nan]])
    assert len(cut.opens) == 2


@pytest.mark.parametrize(
    ("change", "said"), [({"step": 7 * MINUTE}, "multiple"), ({"fine": 0}, "multiple"), ({"first": "x"}, "before")]
)
def test_bad_settings_are_told(change: dict, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        bins_of(*bars([1], [100.0]), **({"step": 10 * MINUTE, "fine": 5 * MINUTE} | change))


def test_bad_prices_are_no_prices_and_times_must_rise() -> None:
    time, opening, close, *hours = bars([1, 2, 3], [100.0, -1.0, 101.0])
    found = bins_of(time, opening, close, *hours, step=10 * MINUTE, fine=MINUTE)
    np.testing.assert_allclose(found.variance[0, 0], np.log(1.01) ** 2)
    with pytest.raises(ArgumentError, match="rising"):
        bins_of(time[::-1], opening, close, *hours, step=10 * MINUTE, fine=MINUTE)
