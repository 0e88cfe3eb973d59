"""What the book without suspected volume is worth, on simulated markets: how far the imbalance leans with a planted
spoof, raw and cleaned; and what cleaning costs elsewhere.

    python scripts/measure_cleaned_book.py [--seeds 201 202 ...] [--sessions 3] [--plot FILE.png]

The lean is the imbalance of the shown levels while a spoof rests, less its mean over the ten seconds before, signed by
the spoof's side. Elsewhere: the correlation of raw and cleaned imbalance, and the R2 of order-flow imbalance (all
levels, each with weight one) with the mid's move in the same interval.
"""

import argparse
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import polars as pl

from benchmarks.detectors.frame import REPORTED, Market, simulated
from benchmarks.detectors.spoofing import KINDS, feed
from fusion.console import run_script
from fusion.report.picture import write_png
from gpu_kernels.book.flow import weighted_flow
from gpu_kernels.book.levels import exponential_weights
from gpu_kernels.book.state import weighted_imbalance

SECOND = 10**9
AROUND = np.arange(-10 * SECOND, 15 * SECOND, SECOND // 5)
STRENGTHS = (1.0, 2.0, 5.0, np.inf)


def values_at(time: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    row = np.searchsorted(time, at, side="right") - 1
    return np.where(row >= 0, values[np.maximum(row, 0)], np.nan)


def explained(flow: np.ndarray, move: np.ndarray) -> float:
    there = np.isfinite(flow) & np.isfinite(move)
    return float(np.corrcoef(flow[there], move[there])[0, 1] ** 2)


def measure(market: Market) -> dict[str, Any]:
    """Leans and paths of each spoof, and what the rest of the time gives."""
    rows = feed(market)
    *_, clean_bids, clean_asks = rows.scored(rows.from_orders())
    bid, bid_size, ask, ask_size = rows.books
    levels = np.ones(len(bid))
    books = {"raw": (bid_size, ask_size), "cleaned": (clean_bids, clean_asks)}
    lean = {name: weighted_imbalance(*sizes, weights=levels) for name, sizes in books.items()}
    flow_weights = exponential_weights(len(bid), 0.5)
    flow = {
        name: np.nan_to_num(weighted_flow(bid, sizes[0], ask, sizes[1], rows.offsets, weights=flow_weights))
        for name, sizes in books.items()
    }
    truth = market.found.truth.filter(pl.col("kind").is_in(KINDS))
    start, end = (truth[name].to_physical().to_numpy() for name in ("start", "end"))
    side, strength = truth["side"].to_numpy(), truth["strength"].to_numpy()
    spoofed = np.zeros(len(rows.time), bool)
    leans, paths = [], []
    for begin, stop, way in zip(start, end, side, strict=True):
        inside, before = np.arange(begin, stop, SECOND // 20), np.arange(begin - 10 * SECOND, begin, SECOND // 20)
        spoofed |= (rows.time >= begin) & (rows.time <= stop + SECOND)
        one, path = [], []
        for values in lean.values():
            usual = np.nanmean(values_at(rows.time, values, before))
            one.append(way * (np.nanmean(values_at(rows.time, values, inside)) - usual))
            path.append(way * (values_at(rows.time, values, begin + AROUND) - usual))
        leans.append(one)
        paths.append(path)
    free = ~spoofed & np.isfinite(lean["raw"]) & np.isfinite(lean["cleaned"])
    fits: dict[tuple[str, int], list[tuple[np.ndarray, np.ndarray]]] = {}
    mid = 0.5 * (bid[0] + ask[0])
    for first, last in pairwise(rows.offsets):
        for seconds in (1, 10):
            edges = np.arange(rows.time[first] + 60 * SECOND, rows.time[last - 1], seconds * SECOND)
            at = first + np.searchsorted(rows.time[first:last], edges) - 1
            clear = np.add.reduceat(spoofed, at)[:-1] == 0
            for name, values in flow.items():
                total = np.append(0.0, np.cumsum(values[first:last]))[at - first + 1]
                fits.setdefault((name, seconds), []).append((np.diff(total)[clear], np.diff(mid[at])[clear]))
    return {
        "leans": np.array(leans),
        "paths": np.array(paths),
        "strength": strength,
        "pair": (lean["raw"][free], lean["cleaned"][free]),
        "fits": {key: tuple(map(np.concatenate, zip(*parts, strict=True))) for key, parts in fits.items()},
    }


def figure(paths: np.ndarray) -> dict[str, Any]:
    """Mean path of the imbalance around the start of spoofs, signed by their side."""
    colours = (("raw", "#D55E00"), ("cleaned", "#0072B2"))
    seconds = (AROUND / SECOND).tolist()
    traces = [
        {
            "type": "scatter", "mode": "lines", "name": name, "x": seconds,
            "y": np.nanmean(paths[:, k], axis=0).round(4).tolist(), "line": {"color": colour, "width": 2.5},
        }
        for k, (name, colour) in enumerate(colours)
    ]  # fmt: skip
    layout = {
        "title": {"text": f"Imbalance of 20 levels around {len(paths)} planted spoofs of 2 level sizes or more"},
        "font": {"family": "Arial, Helvetica, sans-serif", "size": 15},
        "xaxis": {"title": {"text": "seconds after the spoof's first order (it rests for 1 to 10 s)"}},
        "yaxis": {"title": {"text": "change towards the spoof's side"}, "zeroline": True, "zerolinecolor": "#999"},
        "plot_bgcolor": "white", "legend": {"x": 0.82, "y": 0.95},
        "shapes": [
            {"type": "line", "x0": 0, "x1": 0, "y0": 0, "y1": 1, "yref": "paper", "line": {"dash": "dot"}},
        ],
    }  # fmt: skip
    return {"data": traces, "layout": layout}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(REPORTED))
    parser.add_argument("--sessions", type=int, default=3, help="of an hour each, the first without spoofs")
    parser.add_argument("--plot", type=Path, help="draw the mean path of the imbalance to this .png")
    options = parser.parse_args(arguments)
    found = [measure(market) for market in simulated(options.seeds, sessions=options.sessions)]
    leans, strength = (np.concatenate([one[name] for one in found]) for name in ("leans", "strength"))
    print(f"seeds {', '.join(map(str, options.seeds))}: {len(leans)} spoofs and layerings")
    for low, high in pairwise(STRENGTHS):
        chosen = (strength >= low) & (strength < high)
        raw, clean = leans[chosen].mean(axis=0)
        error = leans[chosen].std(axis=0, ddof=1) / np.sqrt(chosen.sum())
        print(
            f"lean at {low:g} to {high:g} level sizes ({chosen.sum()}): raw {raw:+.3f} (standard error "
            f"{error[0]:.3f}), cleaned {clean:+.3f} ({error[1]:.3f})"
        )
    raw, clean = (np.concatenate([one["pair"][k] for one in found]) for k in (0, 1))
    print(f"elsewhere: correlation of raw and cleaned imbalance {np.corrcoef(raw, clean)[0, 1]:.3f}")
    for seconds in (1, 10):
        shares = [
            explained(*(np.concatenate([one["fits"][name, seconds][k] for one in found]) for k in (0, 1)))
            for name in ("raw", "cleaned")
        ]
        print(f"R2 of order-flow imbalance with the same {seconds} s: raw {shares[0]:.3f}, cleaned {shares[1]:.3f}")
    if options.plot:
        write_png(figure(np.concatenate([one["paths"] for one in found])[strength >= 2.0]), options.plot)
    return 0


if __name__ == "__main__":
    run_script(main)
