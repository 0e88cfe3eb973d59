"""The heat map of a book: what is drawn where, and what is left blank."""

import numpy as np

from fusion.report.order_book import heat_map

SECOND = 10**9
# bids of 99 and 98, asks of 101 and 102; after 10 s the book is unknown
BOOKS = [
    np.array([[99.0, 99.0, -1.0], [98.0, 98.0, -1.0]]),
    np.array([[1.0, 10.0, np.nan], [5.0, 5.0, np.nan]]),
    np.array([[101.0, 101.0, -1.0], [102.0, -1.0, -1.0]]),
    np.array([[2.0, 2.0, np.nan], [4.0, 0.0, np.nan]]),
]
TIME = np.array([0, 5, 10]) * SECOND


def drawn(price: float, seconds: float) -> float | None:
    figure = heat_map(TIME, BOOKS, (4 * SECOND, 6 * SECOND), around_ns=8 * SECOND, reach=4.0)
    cells = figure["data"][0]
    row, column = cells["y"].index(price), int(np.searchsorted(cells["x"], seconds - 4))
    return cells["z"][row][column]


def test_sizes_lie_at_their_price_and_time() -> None:
    assert drawn(99.0, 3.0) == 0.0
    assert drawn(99.0, 7.0) == 1.0
    assert drawn(98.0, 7.0) == 0.699
    assert drawn(102.0, 3.0) == 0.602


def test_nothing_and_nobody_knows_are_blank() -> None:
    for price, seconds in ((100.0, 3.0), (102.0, 7.0), (97.0, 3.0), (99.0, 11.0), (99.0, -1.0)):
        assert drawn(price, seconds) is None, (price, seconds)


def test_lines_trades_and_the_episode() -> None:
    trades = (np.array([2, 5, 99]) * SECOND, np.array([101.0, 99.0, 99.0]), np.ones(3), np.array([1, -1, 1]))
    figure = heat_map(TIME, BOOKS, (4 * SECOND, 6 * SECOND), around_ns=4 * SECOND, trades=trades, tick=0.5, episode="x")
    named = {trace["name"]: trace for trace in figure["data"][1:]}
    assert set(named) == {"best ask", "best bid", "bought", "sold"}
    assert named["bought"]["x"] == [-2.0]
    assert named["bought"]["y"] == [50.5]
    assert set(named["best bid"]["y"]) <= {49.5, None}
    assert named["best bid"]["y"][0] == 49.5
    assert [shape["x0"] for shape in figure["layout"]["shapes"]] == [0.0, 2.0, 0]
    assert figure["layout"]["annotations"][0]["text"] == "x"
