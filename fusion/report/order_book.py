"""A picture of an order book around an interval: what rested at which price, the best prices, trades, the episode."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fusion.report.figures import FONT, VERMILLION, Trace

Array = npt.NDArray[Any]

# light to dark, legible in print and to colour-blind readers (Cividis, Nunez et al. 2018, from white)
_SIZES = [[0.0, "#f7f7f2"], [0.25, "#d9d3b0"], [0.5, "#9d9a86"], [0.75, "#57657f"], [1.0, "#00224e"]]
_BID, _ASK, _BUY, _SELL = "#0072B2", "#D55E00", "#009E73", "#CC3377"
_COLUMNS, _ROWS = 480, 60
NS = 1e9


def heat_map(
    time: Array,
    books: Sequence[Array],
    interval: tuple[int, int],
    *,
    around_ns: int = 60 * 10**9,
    trades: tuple[Array, Array, Array, Array] | None = None,
    tick: float = 1.0,
    reach: float | None = None,
    title: str = "",
    unit: str = "",
    episode: str = "episode",
) -> dict[str, Any]:
    """The book as a heat map, as a Plotly figure; `fusion.report.picture` makes PNGs of it.

    Any detector may call it: price against time, colour the logarithm of the size that rests, best bid and ask as
    lines, trades as triangles, the interval between two dashed lines.
    time      (n,) int64 ns, never falling
    books     bid price, bid size, ask price, ask size, level-major (levels, n), as `book.rebuild` gives them
    interval  start and end in ns; the picture reaches `around_ns` further on both sides
    trades    time (int64 ns), price, size, side (+1 a buyer took, -1 a seller)
    tick      what one unit of the prices is worth in the axis' currency (of the trades, too)
    reach     prices shown beyond the best ones of the picture, in units of `books`; default: half their range, and at
              least ten of the smallest steps between levels
    unit      of the sizes; episode: what the interval is called, "" to leave it unmarked

    Missing values: where the book is unknown (a size of NaN) or lies behind its last level, the picture is blank.
    """
    begin, end = int(interval[0]) - around_ns, int(interval[1]) + around_ns
    edges = np.linspace(begin, end, _COLUMNS + 1)
    rows = np.searchsorted(time, edges[1:].astype(np.int64), side="right") - 1
    bid, bid_size, ask, ask_size = (np.asarray(book)[:, np.maximum(rows, 0)].astype(np.float64) for book in books)
    for size in (bid_size, ask_size):
        size[:, rows < 0] = np.nan
    bid, ask = (np.where(size > 0, price, np.nan) for price, size in ((bid, bid_size), (ask, ask_size)))
    low, high = _range(bid, ask, reach)
    step = max(_step(bid, ask), (high - low) / _ROWS)
    # cells lie around multiples of the step, so that a level of a coarse tick fills its own
    levels = step * np.arange(np.floor(low / step), np.ceil(high / step) + 1)
    sizes = _grid(bid, bid_size, -1, levels, step) + _grid(ask, ask_size, 1, levels, step)
    shown = np.log10(np.where(sizes > 0, sizes, np.nan))
    seconds = (edges[1:] - interval[0]) / NS
    figure = _figure(shown, seconds, levels * tick, unit, title, begin, interval)
    figure["layout"]["yaxis"]["range"] = [low * tick, high * tick]
    if trades is not None:
        figure["data"] += _trades(trades, begin, end, interval[0], (low * tick, high * tick), tick)
    # above the trades, which would hide them where there are many
    for name, line, colour in (("best ask", ask[0], _ASK), ("best bid", bid[0], _BID)):
        figure["data"].append(_line(name, seconds, line * tick, colour))
    if episode:
        _mark(figure["layout"], (interval[1] - interval[0]) / NS, episode)
    return figure


def _range(bid: Array, ask: Array, reach: float | None) -> tuple[float, float]:
    known = np.isfinite(bid[0]) & np.isfinite(ask[0])
    if not known.any():
        return 0.0, 1.0
    # a moment's outlier must not make the rest small
    low, high = np.quantile(bid[0][known], 0.005), np.quantile(ask[0][known], 0.995)
    if reach is None:
        reach = max(0.5 * (high - low), 10 * _step(bid, ask))
    return float(low - reach), float(high + reach)


def _step(bid: Array, ask: Array) -> float:
    """The smallest step between neighbouring levels that is common."""
    steps = np.concatenate([np.abs(np.diff(side, axis=0)).ravel() for side in (bid, ask)])
    steps = steps[np.isfinite(steps) & (steps > 0)]
    return float(np.quantile(steps, 0.05)) if len(steps) else 1.0


def _grid(price: Array, size: Array, way: int, levels: Array, step: float) -> Array:
    """(prices, columns): the size of one side in each cell; NaN where that side's book is not shown, 0 elsewhere."""
    grid = np.zeros((len(levels), price.shape[1]))
    cells = np.floor((price - levels[0]) / step + 0.5)
    inside = np.isfinite(cells) & (cells >= 0) & (cells < len(levels)) & (size > 0)
    level, column = np.nonzero(inside)
    np.add.at(grid, (cells[level, column].astype(int), column), size[level, column])
    full = np.isfinite(price).all(axis=0)
    last = np.where(full, price[-1], way * np.inf)
    grid[way * (levels[:, None] - last[None, :]) > step] = np.nan
    grid[:, np.isnan(size[0])] = np.nan
    return grid


def _line(name: str, x: Array, y: Array, colour: str) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x.round(3).tolist(),
        "y": [None if not np.isfinite(value) else round(float(value), 6) for value in y],
        "line": {"color": colour, "width": 1.6, "shape": "hv"},
    }


def _trades(
    trades: tuple[Array, Array, Array, Array], begin: int, end: int, zero: int, prices: tuple[float, float], tick: float
) -> list[Trace]:
    time, price, size, side = (np.asarray(array) for array in trades)
    price = price * tick
    inside = (time >= begin) & (time <= end) & (price >= prices[0]) & (price <= prices[1])
    largest = size[inside].max(initial=0.0)
    traces: list[Trace] = []
    for name, way, symbol, colour in (("bought", 1, "triangle-up", _BUY), ("sold", -1, "triangle-down", _SELL)):
        chosen = inside & (side == way)
        if chosen.any():
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": name,
                    "x": ((time[chosen] - zero) / NS).round(3).tolist(),
                    "y": price[chosen].tolist(),
                    "marker": {
                        "symbol": symbol,
                        "color": colour,
                        # area tells the size
                        "size": (4 + 9 * np.sqrt(size[chosen] / largest)).round(1).tolist(),
                        "line": {"color": "white", "width": 0.4},
                    },
                }
            )
    return traces


def _mark(layout: dict[str, Any], seconds: float, episode: str) -> None:
    for x in (0.0, seconds):
        layout["shapes"].append(
            {
                "type": "line",
                "x0": x,
                "x1": x,
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "line": {"color": VERMILLION, "width": 1.5, "dash": "dash"},
            }
        )
    layout["shapes"].append(
        {
            "type": "rect",
            "x0": 0,
            "x1": seconds,
            "yref": "paper",
            "y0": 1.0,
            "y1": 1.018,
            "fillcolor": VERMILLION,
            "line": {"width": 0},
        }
    )
    layout["annotations"].append(
        {
            "text": episode,
            "x": seconds / 2,
            "yref": "paper",
            "y": 1.02,
            "yanchor": "bottom",
            "showarrow": False,
            "font": {"color": VERMILLION, "size": 13},
        }
    )


def _figure(
    shown: Array, seconds: Array, prices: Array, unit: str, title: str, begin: int, interval: tuple[int, int]
) -> dict[str, Any]:
    finite = shown[np.isfinite(shown)]
    low, high = (np.quantile(finite, [0.02, 0.995]) if len(finite) else np.array([0.0, 1.0])).tolist()
    powers = np.arange(np.ceil(low), np.floor(high) + 1).tolist() or [low, high]
    zero = np.datetime64(int(interval[0]), "ns").astype("datetime64[ms]")
    grid = "rgba(0,0,0,0.10)"
    return {
        "data": [
            {
                "type": "heatmap",
                "x": seconds.round(3).tolist(),
                "y": prices.tolist(),
                "z": [[None if not np.isfinite(value) else round(float(value), 3) for value in row] for row in shown],
                "colorscale": _SIZES,
                "zmin": low,
                "zmax": high,
                "hoverongaps": False,
                "colorbar": {
                    "title": {"text": f"size{f' ({unit})' if unit else ''}", "side": "right"},
                    "tickvals": powers,
                    "ticktext": [f"{10**power:g}" for power in powers],
                    "thickness": 14,
                    "len": 0.9,
                },
            }
        ],
        "layout": {
            "title": {"text": title, "x": 0.01, "xanchor": "left", "y": 0.985, "yanchor": "top", "font": {"size": 15}},
            "font": {"family": FONT, "size": 13, "color": "#222"},
            "paper_bgcolor": "white",
            "plot_bgcolor": "white",
            "margin": {"l": 8, "r": 8, "t": 92, "b": 8},
            "legend": {"orientation": "h", "x": 0, "y": 1.05, "yanchor": "bottom", "xanchor": "left"},
            "xaxis": {
                "title": {"text": f"seconds after {str(zero).replace('T', ' ')} UTC"},
                "range": [(begin - interval[0]) / NS, seconds[-1]],
                "gridcolor": grid,
                "automargin": True,
                "zeroline": False,
            },
            "yaxis": {"title": {"text": "price"}, "automargin": True, "gridcolor": grid, "tickformat": ",~f"},
            "shapes": [],
            "annotations": [],
        },
    }
