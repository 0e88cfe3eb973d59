"""What scripts/measure_selection.py found, as a picture: docs/planted_effects.png.

    python scripts/draw_planted_effects.py                    # from benchmarks/results/planted_effects_{off,on}.json

Left: how often p-values of noise fall below a level, over that level. Middle: how often a driver was told by a kept
feature in a regime where it moves prices. Right: rank ICs out of sample. Bars are 95 % intervals over seeds.
"""

import importlib.util
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fusion.console import one_line_errors
from fusion.studies.planted_effects import LEVELS
from gpu_kernels.errors import ConfigError, DataError

RESULTS = Path("benchmarks/results")
DARK, LIGHT, RED = "#1f4e79", "#8fa8bf", "#c0392b"


def read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text())["found"])
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{path} holds no figures", hint="write it with scripts/measure_selection.py --out") from None


def draw_levels(axis: Any, off: dict[str, Any]) -> None:
    found = next(row for row in off["p"] if row["by"] == "all")
    shares = [found[str(level)] for level in LEVELS]
    axis.plot(LEVELS, [share / level for share, level in zip(shares, LEVELS, strict=True)], "o-", color=DARK)
    for level, share in zip(LEVELS, shares, strict=True):
        axis.annotate(
            f"{100 * share:.3g} %", (level, share / level), xytext=(0, 9), textcoords="offset points", ha="center"
        )
    axis.axhline(1.0, color=RED, linewidth=1)
    axis.set(xscale="log", xlim=(4e-5, 0.13), ylim=(0, 2), xlabel="level", ylabel="share of p below it / level")
    rate = off["with_discovery"]
    axis.set_title(
        f"noise: {found['count']:,} p-values\nrefits with a discovery {100 * rate['mean']:.1f} % "
        f"[{100 * rate['low']:.1f}, {100 * rate['high']:.1f}], asked for 5 %"
    )


def draw_recall(axis: Any, on: dict[str, Any]) -> None:
    names = list(on["recall"])[::-1]
    told = [on["recall"][name] for name in names]
    colours = [RED if name.endswith("stress") else DARK for name in names]
    axis.barh(names, [100 * each["mean"] for each in told], color=colours, height=0.6)
    for i, each in enumerate(told):
        axis.plot([100 * each["low"], min(100 * each["high"], 100)], [i, i], color="black", linewidth=1.2)
    axis.set(xlim=(0, 104), xlabel="% of refits")
    precision = ", ".join(f"{name} {100 * each['mean']:.0f} %" for name, each in on["precision"].items())
    axis.set_title(f"effects: drivers told by a kept feature\nprecision: {precision}")


def draw_ic(axis: Any, on: dict[str, Any]) -> None:
    groups = list(on["ic"])
    for shift, name, colour in ((-0.18, "mixture", DARK), (0.18, "static", LIGHT)):
        told = [on["ic"][group][name] for group in groups]
        at = [i + shift for i in range(len(groups))]
        error = [each["high"] - each["mean"] for each in told]
        label = "mixture by regime" if name == "mixture" else "one static model"
        axis.bar(at, [each["mean"] for each in told], 0.34, yerr=error, color=colour, label=label, capsize=3)
    axis.set_xticks(range(len(groups)), ["all decisions", *(f"in {group}" for group in groups[1:])])
    axis.set_ylabel("rank IC, 15 minutes")
    axis.legend(frameon=False, loc="upper left")
    axis.margins(y=0.25)
    gain = on["ic"]["all"]
    axis.set_title(
        f"out of sample, {gain['mixture']['seeds']} seeds\nmixture better in {100 * gain['better']:.0f} % of them"
    )


def draw(off: dict[str, Any], on: dict[str, Any], picture: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14.5, 4.6), layout="constrained")
    axes = figure.subplots(1, 3)
    draw_levels(axes[0], off)
    draw_recall(axes[1], on)
    draw_ic(axes[2], on)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.title.set_fontsize(11)
    figure.savefig(picture, dpi=110)


def main(
    off: Annotated[Path, typer.Option("--off", help="Figures without effects.")] = RESULTS / "planted_effects_off.json",
    on: Annotated[Path, typer.Option("--on", help="Figures with effects, models too.")] = (
        RESULTS / "planted_effects_on.json"
    ),
    picture: Annotated[Path, typer.Option("--picture", help="Where the picture goes.")] = Path(
        "docs/planted_effects.png"
    ),
    debug: Annotated[bool, typer.Option("--debug", envvar="TRIFUSE_DEBUG", help="Show tracebacks.")] = False,
) -> None:
    """Draw what the study of selection on planted effects found."""
    with one_line_errors(debug):
        if importlib.util.find_spec("matplotlib") is None:
            raise ConfigError("matplotlib is not installed, which draws", hint="pip install matplotlib")
        draw(read(off), read(on), picture)


if __name__ == "__main__":
    typer.run(main)
