"""Judge the detectors of droughts and of spoofing on simulated markets in which the truth is known.

    python scripts/judge_detectors.py [--only TEXT] [--seeds development|reported] [--json FILE] [--plot FILE.png]

Precision, recall, average precision, false alarms an hour, decoys hit, recall by strength; beside them the recall that
chance gives, and the same detectors with less to see. Parameters were chosen on the development seeds alone; the
figures to be reported come from the others.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from benchmarks.detectors import DEVELOPMENT, REPORTED, Detector, detectors, simulated
from benchmarks.detectors.frame import judged
from fusion.console import run_script
from fusion.report.figures import DASHES, FONT, SERIES, SYMBOLS
from fusion.report.picture import write_png
from sources.simulate.orders.judge import Judgement

SURE = 0.6  # detectors are compared at this precision, too: a threshold of its own for each
SEEDS = {"development": DEVELOPMENT, "reported": REPORTED}


def record(detector: Detector, judgement: Judgement) -> dict[str, Any]:
    """A judgement as plain numbers."""
    curve = judgement.curve
    # a curve of some thousand points is drawn with a hundred
    kept = np.unique(np.linspace(0, curve.height - 1, min(curve.height, 100)).astype(int)) if curve.height else []
    sure = curve.filter(pl.col("precision") >= SURE)["recall"].max() if curve.height else None
    return {
        "detector": detector.name,
        "role": detector.role,
        "kinds": list(detector.kinds),
        "precision": judgement.precision,
        "recall": judgement.recall,
        "average_precision": judgement.average_precision,
        "recall_when_sure": 0.0 if sure is None else sure,
        "false_alarms_per_hour": judgement.false_alarms_per_hour,
        "detected_share": judgement.detected_share,
        "chance_recall": judgement.chance_recall,
        "chance_recall_high": judgement.chance_recall_high,
        "own_chance_recall": judgement.own_chance_recall,
        "by_strength": [
            {**row, "strength_to": row["strength_to"] if np.isfinite(row["strength_to"]) else None}
            for row in judgement.by_strength.iter_rows(named=True)
        ],
        "decoys": judgement.decoys.to_dicts(),
        "curve": curve[kept].select("precision", "recall").to_dicts() if len(kept) else [],
    }


def summary(records: list[dict[str, Any]]) -> Table:
    table = Table(title="all strengths", title_justify="left")
    table.add_column("detector")
    names = ("precision", "recall", "AP", f"recall at {SURE:.0%} precision", "false/h", "time in alarms")
    for name in (*names, "chance recall", "own chance"):
        table.add_column(name, justify="right")
    for one in records:
        table.add_row(
            one["detector"],
            f"{one['precision']:.2f}",
            f"{one['recall']:.2f}",
            f"{one['average_precision']:.2f}",
            f"{one['recall_when_sure']:.2f}",
            f"{one['false_alarms_per_hour']:.2f}",
            f"{one['detected_share']:.1%}",
            f"{one['chance_recall']:.2f} (97.5 %: {one['chance_recall_high']:.2f})",
            f"{one['own_chance_recall']:.2f}",
        )
    return table


def by_strength(records: list[dict[str, Any]]) -> Table:
    bins = [(row["kind"], row["strength_from"], row["strength_to"]) for row in records[0]["by_strength"]]
    table = Table(title="recall by strength: found / planted", title_justify="left")
    table.add_column("detector")
    for kind, low, high in bins:
        table.add_column(f"{kind} {low:g}" + (f" to {high:g}" if high is not None else " on"), justify="right")
    for one in records:
        table.add_row(one["detector"], *(f"{row['found']}/{row['episodes']}" for row in one["by_strength"]))
    return table


def decoys(records: list[dict[str, Any]]) -> Table:
    table = Table(title="decoys hit by an alarm that hit no episode", title_justify="left")
    table.add_column("detector")
    for row in records[0]["decoys"]:
        table.add_column(f"{row['kind']} (of {row['decoys']})", justify="right")
    for one in records:
        table.add_row(one["detector"], *(str(row["hit"]) for row in one["decoys"]))
    return table


def of_all_kinds(bins: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Recall by strength, the kinds together: one point for each strength."""
    sums: dict[float, dict[str, Any]] = {}
    for row in sorted(bins, key=lambda row: row["strength_from"]):
        one = sums.setdefault(row["strength_from"], {**row, "episodes": 0, "found": 0})
        one["episodes"] += row["episodes"]
        one["found"] += row["found"]
    return [{**one, "recall": one["found"] / one["episodes"]} for one in sums.values() if one["episodes"]]


def figure(records: list[dict[str, Any]], title: str) -> dict[str, Any]:
    """Recall over strength on the left, precision over recall on the right, each detector's own threshold marked."""
    traces: list[dict[str, Any]] = []
    for place, one in enumerate(records):
        colour, symbol = SERIES[place % len(SERIES)], SYMBOLS[place % len(SYMBOLS)]
        look = {"color": colour, "width": 3 if one["role"] == "detector" else 1.5, "dash": DASHES[place % len(DASHES)]}
        shared = {"type": "scatter", "name": one["detector"], "legendgroup": one["detector"]}
        bins = of_all_kinds(one["by_strength"])
        traces.append(
            shared
            | {
                "mode": "lines+markers",
                "x": [f"{row['strength_from']:g}" + ("+" if row["strength_to"] is None else "") for row in bins],
                "y": [row["recall"] for row in bins],
                "line": look,
                "marker": {"symbol": symbol, "size": 9, "color": colour},
            }
        )
        curve = one["curve"]
        right = {"xaxis": "x2", "yaxis": "y2", "showlegend": False}
        x, y = [row["recall"] for row in curve], [row["precision"] for row in curve]
        traces.append(shared | right | {"mode": "lines", "x": x, "y": y, "line": look})
        end = {"x": x[-1:], "y": y[-1:], "marker": {"symbol": symbol, "size": 10, "color": colour}}
        traces.append(shared | right | end | {"mode": "markers"})
    chance = records[0]["chance_recall"]
    bins = of_all_kinds(records[0]["by_strength"])
    traces.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": f"chance ({chance:.2f})",
            "x": [f"{row['strength_from']:g}" + ("+" if row["strength_to"] is None else "") for row in bins],
            "y": [chance] * len(bins),
            "line": {"color": "#777", "width": 1, "dash": "dot"},
        }
    )
    axis = {"gridcolor": "#e4e4e4", "zeroline": False, "automargin": True}
    unit = {**axis, "range": [-0.03, 1.03]}
    return {
        "data": traces,
        "layout": {
            "title": {"text": title, "x": 0.01, "xanchor": "left", "y": 0.98, "yanchor": "top", "font": {"size": 15}},
            "font": {"family": FONT, "size": 13, "color": "#222"},
            "paper_bgcolor": "white",
            "plot_bgcolor": "white",
            "margin": {"l": 8, "r": 12, "t": 130, "b": 8},
            "legend": {"orientation": "h", "x": 0, "y": 1.03, "yanchor": "bottom", "xanchor": "left"},
            "xaxis": {**axis, "title": {"text": "strength from"}, "domain": [0, 0.46], "type": "category"},
            "yaxis": {**unit, "title": {"text": "recall"}},
            "xaxis2": {**unit, "title": {"text": "recall"}, "domain": [0.56, 1.0]},
            "yaxis2": {**unit, "title": {"text": "precision"}, "anchor": "x2"},
        },
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="detectors whose name contains this; default: all")
    parser.add_argument("--seeds", choices=SEEDS, default="reported")
    parser.add_argument("--sessions", type=int, default=6, help="sessions of each seed, the first without episodes")
    parser.add_argument("--hours", type=float, default=1.0, help="length of a session")
    parser.add_argument("--draws", type=int, default=200, help="random shifts for the chance recall")
    parser.add_argument("--json", type=Path, help="write the records to this file")
    parser.add_argument(
        "--plot", type=Path, help="draw recall over strength and precision over recall to this .png; needs Chromium"
    )
    options = parser.parse_args(arguments)
    chosen = [one for one in detectors() if not options.only or options.only in one.name]
    if not chosen:
        names = ", ".join(one.name for one in detectors())
        parser.error(f"--only is {options.only!r}; allowed: a part of a name among {names}")
    seeds = SEEDS[options.seeds]
    markets = simulated(seeds, sessions=options.sessions, duration=3600 * options.hours)
    console = Console(width=max(Console().width, 160))
    console.print(
        f"{options.seeds} seeds {', '.join(map(str, seeds))}; {options.sessions} sessions of {options.hours:g} h each; "
        f"parameters were chosen on the development seeds {', '.join(map(str, DEVELOPMENT))}"
    )
    records = [record(one, judged(one, markets, draws=options.draws)) for one in chosen]
    for kinds in dict.fromkeys(one.kinds for one in chosen):
        mine = [row for row in records if tuple(row["kinds"]) == kinds]
        console.print(f"\nto find: {', '.join(kinds)}", style="bold")
        for table in (summary(mine), by_strength(mine), decoys(mine)):
            console.print(table)
        if options.plot:
            title = f"Simulated {' and '.join(kinds)}, {options.seeds} seeds {seeds[0]} to {seeds[-1]}"
            path = options.plot.with_stem(f"{options.plot.stem}_{'_'.join(kinds)}")
            write_png(figure(mine, title), path, height=520)
    if options.json:
        result = {
            "seeds": list(seeds),
            "development_seeds": list(DEVELOPMENT),
            "sessions": options.sessions,
            "hours": options.hours,
            "detectors": records,
        }
        temporary = options.json.with_name(f".{options.json.name}.{os.getpid()}")
        temporary.write_text(json.dumps(result, indent=1) + "\n")
        os.replace(temporary, options.json)
    return 0


if __name__ == "__main__":
    run_script(main)
