"""The pictures of docs/sentiment.md on accuracy and calibration, made of the results of evaluate_sentiment.py."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from tone_pages import EMBEDDED, ON_THE_SET, PUBLISHED, SAME_DATA

from gpu_kernels.errors import ConfigError
from sentiment.embedded import TONES

# rivals that have seen the set's own texts are hollow
MARKS = {
    "majority": ("|", "#99a3ad", True),
    "Loughran-McDonald": ("s", "#b5842b", True),
    "VADER": ("^", "#4f8a5b", True),
    SAME_DATA: ("D", "#7d5ba6", True),
    ON_THE_SET: ("D", "#7d5ba6", False),
}
OURS = "#1f4e79"
COLOURS = dict(zip(TONES, ("#c0392b", "#7f8c8d", "#2e8b57"), strict=True))
CURVES = ("PhraseBank 50Agree", "SemEval headlines", "tweets held out")
LEAST = 20  # texts of a bin that is drawn


def draw(results: dict[str, Any], folder: Path) -> list[Path]:
    """Writes sentiment_accuracy.png and sentiment_calibration.png into `folder`."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError("matplotlib is not installed, which draws", hint=".venv/bin/pip install -e '.[dev]'")
    from matplotlib.figure import Figure

    found = []
    for name, size, one in (("accuracy", (9, 5.2), accuracy), ("calibration", (10, 4.1), curves)):
        figure = Figure(figsize=size, layout="constrained")
        one(figure, results)
        found.append(folder / f"sentiment_{name}.png")
        figure.savefig(found[-1], dpi=120)
    return found


def accuracy(figure: Any, results: dict[str, Any]) -> None:
    """Macro-F1 of each model on each set, a row a set, ours with its interval."""
    axis = figure.subplots()
    names = list(results["sets"])
    for model, (mark, colour, full) in MARKS.items():
        at = [
            (results["sets"][n]["models"][model]["macro_f1"][0], y)
            for y, n in enumerate(names)
            if model in results["sets"][n]["models"]
        ]
        x, y = np.array(at).reshape(-1, 2).T
        face = colour if full else "white"
        axis.scatter(
            x, y, marker=mark, color=colour, facecolor=face if mark != "|" else None, s=42, label=model, zorder=3
        )
    ours = np.array([results["sets"][name]["models"][EMBEDDED]["macro_f1"] for name in names])
    axis.errorbar(
        ours[:, 0], np.arange(len(names)), xerr=np.abs(ours[:, 1:] - ours[:, :1]).T, fmt="o", color=OURS, markersize=8,
        elinewidth=2, capsize=4, label="embedded, 95 % interval", zorder=4,
    )  # fmt: skip
    known = [(PUBLISHED[name][1], y) for y, name in enumerate(names) if name in PUBLISHED]
    axis.scatter(
        *np.array(known).reshape(-1, 2).T,
        marker="*",
        s=110,
        color="#17202a",
        facecolor="white",
        label="FinBERT, published",
        zorder=3,
    )
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set(xlim=(0.15, 1), xlabel="macro-F1; hollow: trained on texts of the set itself")
    axis.grid(axis="x", alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, fontsize=9, loc="outside upper center", ncols=4)


def curves(figure: Any, results: dict[str, Any]) -> None:
    """How often a tone comes true, by its probability: the likeliest one with intervals, and each tone's own."""
    names = [name for name in CURVES if name in results["sets"]]
    axes = np.atleast_1d(figure.subplots(1, len(names), sharey=True))
    for axis, name in zip(axes, names, strict=True):
        one = results["sets"][name]["models"][EMBEDDED]["calibration"]
        axis.plot([0, 1], [0, 1], color="#17202a", linewidth=0.8, linestyle=":")
        for tone in TONES:
            bins = [each for each in one["curves"][tone] if each["texts"] >= LEAST]
            axis.plot(
                [each["probability"] for each in bins], [each["frequency"][0] for each in bins],
                color=COLOURS[tone], marker=".", linewidth=1.4, label=f"{tone}: its probability",
            )  # fmt: skip
        bins = [each for each in one["curves"]["likeliest"] if each["texts"] >= LEAST]
        middle = np.array([each["frequency"] for each in bins]).reshape(-1, 3)
        axis.errorbar(
            [each["probability"] for each in bins], middle[:, 0], yerr=np.abs(middle[:, 1:] - middle[:, :1]).T,
            fmt="o-", color=OURS, linewidth=2, markersize=5, capsize=3, label="likeliest tone, 95 % interval", zorder=4,
        )  # fmt: skip
        axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability", aspect="equal")
        axis.set_title(f"{name}\nECE {one['ece'][0]:.3f}, {one['ece_floor']:.3f} if exact", fontsize=10)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("how often it is so")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=9, loc="outside lower center", ncols=4)
