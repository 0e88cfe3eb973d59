"""What noise does to realised variance, and what sees through it: on simulated prices whose variance is known, and on
the minutes of SPY.

    python scripts/draw_signature.py                    # docs/volatility_signature.png, and the table of the left panel
    python scripts/draw_signature.py --picture s.png

SPY from November 2014 to July 2015, from TRIFUSE_DATA.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from fusion.console import note, one_line_errors
from fusion.studies.volatility_samples import read_samples
from gpu_kernels.errors import ConfigError
from gpu_kernels.volatility.noise import NoiseMeasures, noise_measures, signature, subsampled_variance
from gpu_kernels.volatility.preaveraging import preaveraged_variance
from gpu_kernels.volatility.realised_kernel import realised_kernel
from gpu_kernels.volatility.scales import multi_scale_variance, two_scale_variance

SESSIONS, SECONDS, VARIANCE, NOISE = 500, 23_400, 1e-4, 1e-7
STEPS = (1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800)
MINUTES = (1, 2, 3, 5, 10, 15, 20, 30, 60)
DECADE = (1, 2, 5, 10, 20, 50)
COLOURS = ("#1f4e79", "#f0b27a", "#c0392b", "#17202a")

Returns = np.ndarray
ESTIMATORS: dict[str, Callable[[Returns, Returns, NoiseMeasures, int], Returns]] = {
    "realised variance": lambda r, o, m, five: subsampled_variance(r, o, 1),
    "five minutes": lambda r, o, m, five: subsampled_variance(r, o, five, edge="first"),
    "five minutes, subsampled": lambda r, o, m, five: subsampled_variance(r, o, five),
    "two scales": lambda r, o, m, five: two_scale_variance(r, o, m.slow),
    "many scales": lambda r, o, m, five: multi_scale_variance(r, o, max(2, round(five / 5))),
    "realised kernel": lambda r, o, m, five: realised_kernel(r, o, m.bandwidth),
    "pre-averaging, theta 1/3": lambda r, o, m, five: preaveraged_variance(r, o, theta=1 / 3),
}
DRAWN = ("realised kernel", "two scales", "pre-averaging, theta 1/3")


def simulated() -> tuple[Returns, Returns]:
    """Sessions by the second: variance three times as high at both ends as in the middle, each price seen with an
    error."""
    rng = np.random.default_rng(0)
    share = 1 + 2 * np.linspace(-1, 1, SECONDS) ** 2
    true = rng.normal(size=(SESSIONS, SECONDS)) * np.sqrt(VARIANCE * share / share.sum())
    error = rng.normal(scale=np.sqrt(NOISE), size=(SESSIONS, SECONDS + 1))
    return (true + np.diff(error, axis=1)).ravel(), np.arange(SESSIONS + 1) * SECONDS


def draw(
    axis: Any,
    steps: tuple[int, ...],
    mean: Returns,
    levels: dict[str, float],
    unit: str,
    ylabel: str,
    title: str,
    digits: int,
) -> None:
    """Realised variance by step, and `levels` of estimators that see through noise, to so many digits."""
    axis.plot(steps, mean, color=COLOURS[0], marker="o", markersize=4, zorder=5, label="realised variance")
    # the first is the broadest, so that lines that lie on each other all show
    for (name, level), colour, width in zip(levels.items(), COLOURS[1:], (4.5, 2.5, 1.2), strict=True):
        axis.axhline(level, color=colour, linewidth=width, label=f"{name}, {level:.{digits}f}")
    axis.set(xscale="log", xlabel=f"{unit} to a step", ylabel=ylabel, title=title)
    axis.set_xticks(steps[::2], [str(step) for step in steps[::2]])
    axis.minorticks_off()
    if mean.max() > 10 * mean.min():
        axis.set(yscale="log")
        axis.set_yticks(DECADE, [str(tick) for tick in DECADE])
        axis.minorticks_off()
    else:
        axis.set(ylim=(0.75 * mean.min(), 1.04 * mean.max()))
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=9, loc="upper right" if mean.max() > 10 * mean.min() else "lower left")


def main(
    picture: Annotated[Path, typer.Option("--picture", help="Where it goes.")] = Path("docs/volatility_signature.png"),
    debug: Annotated[bool, typer.Option("--debug", envvar="TRIFUSE_DEBUG", help="Show tracebacks.")] = False,
) -> None:
    """Draw the signature of noise, and print how the estimators do."""
    with one_line_errors(debug):
        if importlib.util.find_spec("matplotlib") is None:
            raise ConfigError("matplotlib is not installed, which draws", hint="pip install matplotlib")
        from matplotlib.figure import Figure

        figure = Figure(figsize=(12, 4.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        returns, offsets = simulated()
        measures = noise_measures(returns, offsets, sparse=1200)
        found = {name: f(returns, offsets, measures, 300) / VARIANCE for name, f in ESTIMATORS.items()}
        for name, values in found.items():
            note(f"{name}: mean {values.mean():.3f}, root mean squared error {np.sqrt(np.mean((values - 1) ** 2)):.3f}")
        levels = {name: float(found[name].mean()) for name in DRAWN}
        mean = signature(returns, offsets, STEPS)[1] / VARIANCE
        draw(left, STEPS, mean, levels, "seconds", "mean variance / true variance", "simulated, by the second", 3)
        (spy,) = read_samples(["spy_1min"])
        bins = spy.finer if spy.finer is not None else spy.bins
        minutes = np.asarray(bins.returns, np.float64)
        offsets = np.arange(len(minutes) + 1) * minutes.shape[1]
        measures = noise_measures(minutes.ravel(), offsets, sparse=20)
        scale = 1e4 * 252
        levels = {
            name: scale * float(np.nanmean(ESTIMATORS[name](minutes.ravel(), offsets, measures, 5))) for name in DRAWN
        }
        mean = scale * signature(minutes.ravel(), offsets, MINUTES)[1]
        draw(right, MINUTES, mean, levels, "minutes", "mean variance, % squared a year", "SPY, by the minute", 1)
        figure.savefig(picture, dpi=130)
        noise = 1e4 * np.sqrt(max(float(np.nanmean(measures.oomen)), 0.0))
        note(f"SPY: {len(minutes)} sessions, noise {noise:.2f} basis points")
        for name, level in {"realised variance": mean[0], "five minutes, subsampled": mean[3], **levels}.items():
            note(f"SPY, {name}: {level:.1f} % squared a year")


if __name__ == "__main__":
    typer.run(main)
