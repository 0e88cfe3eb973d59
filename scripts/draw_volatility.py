"""Pictures of what is learned of variance on the real samples: the time of day, and the hours around events.

    python scripts/draw_volatility.py                              # both, into docs/
    python scripts/draw_volatility.py --diurnal d.png --events e.png

SPY in five-minute bars of 2018 to 2020 and ES of 2015 and 2016, from TRIFUSE_DATA.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from fusion.console import note, one_line_errors
from fusion.studies.volatility_profiles import EDGES, DiurnalCurves, EventCurve, diurnal_curves, event_curve
from fusion.studies.volatility_samples import MINUTE, read_samples
from gpu_kernels.errors import ConfigError

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
COLOURS = ("#1f4e79", "#27ae60", "#7f8c8d", "#e67e22", "#c0392b")
SHOWN = (0.05, 100.0)  # of the events' ratios
DOTS = {"color": "#1f4e79", "alpha": 0.4}
EVENTS = {"fomc": "the FOMC's decision", "nfp": "payrolls"}


def finish(figure: Any, path: Path) -> None:
    for axis in figure.axes:
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


def clock(axis: Any, opens: int, slots: int, minutes: int) -> None:
    """Hours of New York below an axis that counts slots."""
    hours = range(-(-opens // 60), (opens + slots * minutes) // 60 + 1)
    axis.set_xticks([(60 * hour - opens) / minutes for hour in hours], [f"{hour}:00" for hour in hours])
    axis.set(xlim=(0, slots), xlabel="New York")


def draw_diurnal(curves: DiurnalCurves, title: str, path: Path) -> None:
    """The estimators on all days, and the weekdays' shapes beside each other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    slots = len(curves.robust)
    place = np.arange(slots) + 0.5
    # broad and below, so that it shows on both sides of the curve that it mostly equals
    left.plot(place, curves.plain, color="#bdc3c7", linewidth=5.0, label="plain mean a slot")
    left.plot(place, curves.robust, color="#1f4e79", linewidth=1.8, label="robust mean a slot")
    left.plot(place, curves.fourier, color="#c0392b", linewidth=1.4, label="flexible Fourier form")
    left.plot(place, curves.short, color="black", linewidth=1.2, linestyle=":", label="a session that closes at 13:00")
    left.set(ylabel="variance over the session's mean", title=f"{title}: the time of day")
    for day, curve, colour in zip(DAYS, curves.weekdays, COLOURS, strict=True):
        right.plot(place, curve, color=colour, linewidth=1.2, label=day)
    right.set(title="by weekday, shrunk towards the shape of all days")
    for axis in (left, right):
        axis.axhline(1.0, color="black", linewidth=0.6)
        axis.set(ylim=(0, None))
        axis.legend(frameon=False, fontsize=9)
        clock(axis, 570, slots, 5)
    finish(figure, path)


def draw_events(panels: Sequence[tuple[str, EventCurve]], path: Path) -> None:
    """Each event's bins, their mean, and the multiplier that is learned."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(4.6 * len(panels), 5.0), layout="constrained")
    edges = EDGES / MINUTE
    middle = (edges[:-1] + edges[1:]) / 2
    axes = figure.subplots(1, len(panels), sharey=True)
    dots = cut = 0
    for axis, (title, curve) in zip(axes, panels, strict=True):
        count = len(curve.ratios)
        spread = np.random.default_rng(0).uniform(-1.6, 1.6, curve.ratios.shape)
        there = np.isfinite(curve.ratios)
        inside = there & (curve.ratios >= SHOWN[0]) & (curve.ratios <= SHOWN[1])
        dots, cut = dots + int(there.sum()), cut + int((there & ~inside).sum())
        shown = np.where(inside, curve.ratios, np.nan)
        axis.scatter(middle + spread, shown, s=9, linewidths=0, **DOTS)
        axis.stairs(curve.mean, edges, baseline=None, color="#7f8c8d", linewidth=1.2, label="their mean")
        axis.stairs(curve.multiplier, edges, baseline=None, color="#c0392b", linewidth=1.8, label="multiplier learned")
        axis.axhline(1.0, color="black", linewidth=0.6)
        axis.axvline(0.0, color="black", linewidth=0.8, linestyle=":")
        axis.set(yscale="log", ylim=SHOWN, xlim=(edges[0], edges[-1]))
        axis.set(xlabel="minutes from the event", title=f"{title}: {count} events")
    axes[0].set_ylabel("variance over level × time of day")
    # below the panels, where it hides no event
    seen = f"each event ({cut} of {dots:,} are not shown: 0, or outside {SHOWN[0]:g} to {SHOWN[1]:g})"
    handles = [Line2D([], [], marker="o", markersize=5, markeredgewidth=0, linestyle="", label=seen, **DOTS)]
    handles += axes[0].get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    finish(figure, path)


def main(
    diurnal: Annotated[Path, typer.Option("--diurnal", help="Picture of the time of day.")] = Path(
        "docs/volatility_diurnal.png"
    ),
    events: Annotated[Path, typer.Option("--events", help="Picture of the events.")] = Path(
        "docs/volatility_events.png"
    ),
    debug: Annotated[bool, typer.Option("--debug", envvar="TRIFUSE_DEBUG", help="Show tracebacks.")] = False,
) -> None:
    """Draw the time of day and the profiles of events that the real samples leave."""
    with one_line_errors(debug):
        if importlib.util.find_spec("matplotlib") is None:
            raise ConfigError("matplotlib is not installed, which draws", hint="pip install matplotlib")
        spy, es = read_samples(["spy_5min", "es_full"])
        draw_diurnal(diurnal_curves(spy), "SPY 2018 to 2020, 5 min", diurnal)
        panels = [
            (f"{name}, {EVENTS[kind]}", event_curve(sample, kind))
            for name, sample, kind in (("SPY", spy, "fomc"), ("ES", es, "fomc"), ("ES", es, "nfp"))
        ]
        draw_events(panels, events)
        for title, curve in panels:
            place = int(np.searchsorted(EDGES, 0))
            note(
                f"{title}: {len(curve.ratios)} events, first five minutes {curve.mean[place]:.1f} times what was "
                f"expected, multiplier {curve.multiplier[place]:.1f}"
            )


if __name__ == "__main__":
    typer.run(main)
