"""The picture of docs/parking_lots.md, made of the results of evaluate_lots.py."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

OURS, TRUE, GREY = "#1f4e79", "#c0392b", "#7f8c8d"
SHOWN = (4, 9, 19, 24)
"""Frames that are drawn: a morning, evening sun on the empty lot, a morning, a full lot."""
HOME = ZoneInfo("America/Sao_Paulo")
_MARGIN = 8


def draw(frames: Any, results: dict[str, Any], chips: Path, path: Path) -> Path:
    """Writes the frames with their fill, and the counted rows with their counts."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 12.5), layout="constrained")
    above, middle, below = figure.subfigures(3, 1, height_ratios=[1.55, 2.5, 4.0])
    _frames(above, frames, results["pklot"]["1/1"]["frames"])
    _series(middle, results["pklot"]["1/1"]["frames"])
    _rows(below, results["spacenet"]["counted"], chips)
    figure.savefig(path, dpi=110)
    return path


def _time(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).astimezone(HOME)


def _frames(figure: Any, frames: Any, told: list[dict[str, Any]]) -> None:
    from matplotlib.image import imread

    for axis, at in zip(figure.subplots(1, len(SHOWN)), SHOWN, strict=True):
        axis.imshow(imread(Path(frames.scenes[at].assets["red"].href)))
        left, top = frames.lot.grid.transform[2], frames.lot.grid.transform[5]
        for cell in range(frames.lot.count):
            y, x = np.nonzero(frames.lot.cells == cell)
            full = frames.occupied[at, cell] == 1.0
            axis.plot(x.mean() + left, y.mean() + top, "o", ms=3, color=TRUE if full else "white", mew=0)
        axis.set_axis_off()
        axis.set_title(
            f"{_time(told[at]['time']):%d %b %H:%M}: {told[at]['fill']:.2f} ± {told[at]['std']:.2f}, "
            f"true {told[at]['truth']:.2f}",
            fontsize=9,
        )
    figure.suptitle(
        "PKLot, 40 spaces (red: labelled occupied): fill with every number fitted on the other days", fontsize=11
    )


def _series(figure: Any, told: list[dict[str, Any]]) -> None:
    axis = figure.subplots()
    x, labels, last = [], [], ""
    for at, one in enumerate(told):
        x.append((x[-1] + (2.0 if one["day"] != last else 1.0)) if at else 0.0)
        last = one["day"]
        labels.append(f"{_time(one['time']):%H:%M}")
    fill, std, truth = (np.array([one[name] for one in told]) for name in ("fill", "std", "truth"))
    place = np.array(x)
    axis.errorbar(place, fill, 1.96 * std, fmt="o", ms=5, color=OURS, capsize=3, label="fill ± 1.96 std")
    axis.plot(
        place, truth, "D", ms=5, mfc="none", color=TRUE, label="share of the spaces that the labels call occupied"
    )
    for day in dict.fromkeys(one["day"] for one in told):
        at = [number for number, one in enumerate(told) if one["day"] == day]
        axis.plot(place[at], truth[at], "-", lw=0.8, color=TRUE)
        axis.text(place[at].mean(), 1.13, f"{_time(told[at[0]]['time']):%d %b %Y}", ha="center", fontsize=9)
    axis.set_xticks(place, labels, rotation=60, fontsize=8)
    axis.set_ylim(-0.1, 1.22)
    axis.set_ylabel("fill")
    axis.axhline(0.0, lw=0.5, color=GREY)
    axis.axhline(1.0, lw=0.5, color=GREY)
    axis.legend(loc="upper left", bbox_to_anchor=(0.0, 0.92), fontsize=9, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)


def _rows(figure: Any, rows: list[dict[str, Any]], chips: Path) -> None:
    from matplotlib.image import imread

    axes = figure.subplots(5, 2).ravel()
    for axis, row in zip(axes, rows, strict=False):
        chip = imread(chips / f"{row['chip']}.png")[..., :3]
        left, top = max(0, row["xmin"] - _MARGIN), max(0, row["ymin"] - _MARGIN)
        part = chip[top : row["ymax"] + _MARGIN, left : row["xmax"] + _MARGIN]
        axis.imshow(np.clip(part / np.quantile(part, 0.99), 0.0, 1.0) ** 0.7, interpolation="nearest")
        width, depth = row["xmax"] - row["xmin"], row["ymax"] - row["ymin"]
        x0, y0 = row["xmin"] - left - 0.5, row["ymin"] - top - 0.5
        axis.add_patch(_rectangle(x0, y0, width, depth))
        for line, metres in row["places"]:
            axis.plot(
                x0 + metres / 0.3, y0 + (line + 0.5) * depth / row["stall_rows"], "+", ms=6, mew=1.2, color="#ffd166"
            )
        axis.set_axis_off()
        axis.set_title(
            f"{row['vehicles']:.0f} ± {row['std']:.1f} counted, {row['hand']} by hand (chip {row['chip']})", fontsize=9
        )
    for axis in axes[len(rows) :]:
        axis.set_axis_off()
    figure.suptitle("SpaceNet Las Vegas, 0.3 m: the counted rows, with the places taken for vehicles", fontsize=11)


def _rectangle(x: float, y: float, width: float, depth: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, depth, fill=False, lw=0.6, color="white")
