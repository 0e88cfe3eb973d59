"""The picture of docs/parking_lots.md, made of the results of evaluate_lots.py.

It holds no pixel of an image: the sets' licences are not ours to pass on.
"""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

OURS, TRUE, GREY = "#1f4e79", "#c0392b", "#7f8c8d"
SHOWN = (4, 9, 19, 24)
"""Frames that are drawn: a morning, evening sun on the empty lot, a morning, a full lot."""
HOME = ZoneInfo("America/Sao_Paulo")


def draw(frames: Any, share: Any, results: dict[str, Any], path: Any) -> Any:
    """Writes the outlines of the spaces with how full each is, the lot's fill, and the counts of rows.

    `share` [frame, space] is the estimated probability that a space is full.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 9.6), layout="constrained")
    above, middle, below = figure.subfigures(3, 1, height_ratios=[4.3, 2.9, 2.6])
    told = results["pklot"]["1/1"]["frames"]
    _spaces(above, frames, share, told)
    _series(middle, told)
    _rows(below, results["spacenet"])
    figure.savefig(path, dpi=140)
    return path


def _time(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).astimezone(HOME)


def _spaces(figure: Any, frames: Any, share: Any, told: list[dict[str, Any]]) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import PolyCollection

    outlines = [np.asarray(stall.geometry.exterior.coords)[:-1] for stall in frames.stalls]
    low, high = np.min([o.min(axis=0) for o in outlines], axis=0), np.max([o.max(axis=0) for o in outlines], axis=0)
    grid = figure.add_gridspec(2, 3, width_ratios=[1.0, 1.0, 0.03])
    axes = [figure.add_subplot(grid[row, column]) for row in (0, 1) for column in (0, 1)]
    for axis, at in zip(axes, SHOWN, strict=True):
        spaces = PolyCollection(outlines, array=share[at], cmap="Blues", clim=(0.0, 1.0), ec="#34495e", lw=0.6)
        axis.add_collection(spaces)
        full = [
            outline.mean(axis=0) for outline, label in zip(outlines, frames.occupied[at], strict=True) if label == 1.0
        ]
        axis.plot(*np.reshape(full, (-1, 2)).T, "o", ms=3.5, mfc=TRUE, mec="white", mew=0.5)
        axis.set_xlim(low[0] - 8, high[0] + 8)
        axis.set_ylim(high[1] + 8, low[1] - 8)
        axis.set_aspect("equal")
        axis.set_axis_off()
        axis.set_title(
            f"{_time(told[at]['time']):%d %b %H:%M}: fill {told[at]['fill']:.2f} ± {told[at]['std']:.2f}, "
            f"true {told[at]['truth']:.2f}",
            fontsize=9,
        )
    bar = figure.colorbar(ScalarMappable(spaces.norm, spaces.cmap), cax=figure.add_subplot(grid[:, 2]))
    bar.set_label("estimated probability that a space is occupied", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    figure.suptitle("PKLot, 40 spaces as the camera sees them; red dot: labelled occupied", fontsize=10)


def _series(figure: Any, told: list[dict[str, Any]]) -> None:
    axis = figure.subplots()
    x, labels, last = [], [], ""
    for at, one in enumerate(told):
        x.append((x[-1] + (2.0 if one["day"] != last else 1.0)) if at else 0.0)
        last = one["day"]
        labels.append(f"{_time(one['time']):%H:%M}")
    fill, std, truth = (np.array([one[name] for one in told]) for name in ("fill", "std", "truth"))
    place = np.array(x)
    _estimates(axis, place, fill, std, "fill ± 1.96 std, fitted on the other days")
    axis.plot(place, truth, "D", ms=5, mfc="none", color=TRUE, label="share of the spaces labelled occupied")
    for day in dict.fromkeys(one["day"] for one in told):
        at = [number for number, one in enumerate(told) if one["day"] == day]
        axis.plot(place[at], truth[at], "-", lw=0.8, color=TRUE)
        axis.text(place[at].mean(), 1.13, f"{_time(told[at[0]]['time']):%d %b %Y}", ha="center", fontsize=9)
    axis.set_xticks(place, labels, rotation=60, fontsize=8)
    axis.set_ylim(-0.1, 1.22)
    axis.set_ylabel("fill (share of the lot)", fontsize=9)
    axis.tick_params(axis="y", labelsize=8)
    axis.axhline(0.0, lw=0.5, color=GREY)
    axis.axhline(1.0, lw=0.5, color=GREY)
    axis.legend(loc="upper left", bbox_to_anchor=(0.0, 0.82), fontsize=9, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)


def _rows(figure: Any, results: dict[str, Any]) -> None:
    axis = figure.subplots()
    begin = 0
    for name, said in (("counted", "method fixed before"), ("uncounted", "method made on these")):
        rows = sorted(results[name], key=lambda row: -row["hand"])
        place = begin + np.arange(len(rows), dtype=float)
        vehicles, std, hand = (np.array([row[key] for row in rows], float) for key in ("vehicles", "std", "hand"))
        _estimates(axis, place, vehicles, std, "vehicles ± 1.96 std" if begin == 0 else None)
        axis.plot(place, hand, "D", ms=5, mfc="none", color=TRUE, label="counted by eye" if begin == 0 else None)
        axis.text(place[0], 50.0, f"{len(rows)} rows: {said}", fontsize=9)
        begin += len(rows) + 2
    axis.axhline(0.0, lw=0.5, color=GREY)
    axis.set_ylim(-5.0, 56.0)
    axis.set_xticks([])
    axis.set_ylabel("vehicles in a row", fontsize=9)
    axis.tick_params(axis="y", labelsize=8)
    axis.legend(loc="upper right", bbox_to_anchor=(1.0, 0.9), fontsize=9, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle("SpaceNet Las Vegas, 0.3 m: rows of stalls in one image, without a past", fontsize=10)


def _estimates(axis: Any, place: Any, value: Any, std: Any, label: str | None) -> None:
    axis.errorbar(place, value, 1.96 * std, fmt="o", ms=4.5, color=OURS, capsize=2.5, lw=1.2, label=label)
