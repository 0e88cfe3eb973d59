"""A map of the stores of five chains, and how many of them were known when: docs/store_map.png.

    python scripts/draw_stores.py

Real lists are read from TRIFUSE_DATA (alt/entities); docs/sites.md says what each one knows of closings.
"""

import importlib.util
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer

from fusion.console import note, one_line_errors
from gpu_kernels.errors import ConfigError
from sources.files import expand
from sources.imagery.grid import transformer
from sources.sites import sites_at, store_steps
from sources.sites.load import lists

FOLDER = "${TRIFUSE_DATA}/alt/entities/"
LISTS: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "WMT": ("Walmart", ["walmart_openings_1962_2006.csv"], {}),
    "COST": ("Costco", ["costco_locations.csv"], {}),
    "HD": ("Home Depot", ["home-depot_locations.csv"], {"snapshot": "2024-06-01"}),
    "KR": ("Kroger", ["kroger_locations.csv"], {"snapshot": "2024-06-01"}),
    "DLTR": ("Dollar Tree", ["dollar-tree_locations_2024-03-13.csv", "dollar-tree_locations_2024-06-05.csv"], {}),
}
"""Ticker -> name, its files, and options beyond what is guessed of them. Two lists are dated by the year alone in which
they were made: a day of it is taken."""
ALBERS = "EPSG:5070"  # equal areas over the lower 48 states
SOUTH, NORTH, WEST, EAST = 24.0, 50.5, -125.5, -66.0
LIMITS = (-2.45, 2.35), (0.2, 3.25)  # thousands of kilometres
THEN = datetime(2024, 7, 1, tzinfo=UTC)
COLOURS = {"WMT": "#1f4e79", "COST": "#c0392b"}
PLAIN, OPENED, CLOSED = "#7a8794", "#1f77b4", "#d62728"


def rows_of(ticker: str) -> pl.DataFrame:
    _, files, options = LISTS[ticker]
    return lists([Path(expand(FOLDER + file, {})) for file in files], entity=ticker, options=options).rows


def project(rows: pl.DataFrame) -> tuple[pl.DataFrame, np.ndarray, np.ndarray]:
    """The rows in the lower 48 states, and their coordinates in thousands of kilometres."""
    shown = rows.filter(pl.col("latitude").is_between(SOUTH, NORTH), pl.col("longitude").is_between(WEST, EAST))
    x, y = transformer("EPSG:4326", ALBERS).transform(shown["longitude"].to_numpy(), shown["latitude"].to_numpy())
    return shown, np.asarray(x) / 1e6, np.asarray(y) / 1e6


def draw_map(axis: Any, ticker: str, rows: pl.DataFrame, years: Any) -> Any:
    """The stores of one chain; by the year of opening where its list states it, else what changed between two lists."""
    name = LISTS[ticker][0]
    there, x, y = project(sites_at(rows, THEN))
    beyond = sites_at(rows, THEN).height - there.height
    dots = None
    if ticker in COLOURS:
        order = np.argsort(-there["event_time"].dt.year().to_numpy(), kind="stable")
        dots = axis.scatter(
            x[order], y[order], c=there["event_time"].dt.year().to_numpy()[order], s=5, linewidths=0, norm=years
        )
        told = f"{there.height:,} stores by year of opening"
    else:
        last = rows["known_time"].max()
        fresh = there["event_time"] == last if rows["known_time"].n_unique() > 1 else pl.Series([False] * there.height)
        axis.scatter(x[~fresh.to_numpy()], y[~fresh.to_numpy()], s=2.5, color=PLAIN, linewidths=0, alpha=0.7)
        told = f"{there.height:,} stores of one list, nothing else is told"
        if fresh.any():
            gone, gone_x, gone_y = project(rows.filter(pl.col("valid_to").is_not_null()))
            axis.scatter(
                x[fresh.to_numpy()], y[fresh.to_numpy()], s=9, color=OPENED, linewidths=0, label=f"{fresh.sum()} opened"
            )
            axis.scatter(gone_x, gone_y, s=9, color=CLOSED, linewidths=0, label=f"{gone.height} closed")
            axis.legend(frameon=False, loc="lower left", markerscale=2, handletextpad=0.1, fontsize=9)
            told = f"{there.height:,} stores, and changes since March 2024"
    axis.set_title(f"{name} ({ticker})\n{told}", fontsize=10)
    axis.set(aspect="equal", xlim=LIMITS[0], ylim=LIMITS[1])
    axis.set_axis_off()
    if beyond:
        note(f"{ticker}: {beyond} stores lie beyond the lower 48 states and are not drawn")
    return dots


def draw_counts(axis: Any, rows: dict[str, pl.DataFrame]) -> None:
    """How many stores were known and open at each time, by what the list would have told then."""
    for ticker, colour in COLOURS.items():
        steps = store_steps(rows[ticker].with_columns(region=pl.lit(None, dtype=pl.String)))
        axis.step(steps["time"], steps["sites"], where="post", color=colour, linewidth=1.6)
        axis.annotate(
            f"{ticker} {steps['sites'][-1]:,}",
            (steps["time"][-1], steps["sites"][-1]),
            xytext=(4, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            fontsize=9,
        )
    axis.set_yscale("log")
    axis.set_ylabel("stores")
    axis.set_title(
        "stores known and open, 30 days after each opening\n(survivors only: the lists tell no closings)", fontsize=10
    )
    axis.set_xlim(datetime(1960, 1, 1), datetime(2034, 1, 1))
    axis.set_xticks(
        [datetime(year, 1, 1) for year in range(1960, 2031, 10)], [str(year) for year in range(1960, 2031, 10)]
    )
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25)


def draw(picture: Path) -> None:
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    rows = {ticker: rows_of(ticker) for ticker in LISTS}
    figure = Figure(figsize=(9.0, 9.6), layout="constrained")
    axes = figure.subplots(3, 2)
    years = Normalize(1962, 2024)
    dots = [draw_map(axis, ticker, rows[ticker], years) for axis, ticker in zip(axes.flat, LISTS, strict=False)]
    figure.colorbar(dots[0], ax=axes[0], pad=0.01, shrink=0.8, label="opened")
    draw_counts(axes[2, 1], rows)
    figure.savefig(picture, dpi=130)


def main(
    picture: Annotated[Path, typer.Option("--picture", help="Where the picture goes.")] = Path("docs/store_map.png"),
    debug: Annotated[bool, typer.Option("--debug", envvar="TRIFUSE_DEBUG", help="Show tracebacks.")] = False,
) -> None:
    """Draw the stores of five chains, and how many of two of them were known when."""
    with one_line_errors(debug):
        if importlib.util.find_spec("matplotlib") is None:
            raise ConfigError("matplotlib is not installed, which draws", hint="pip install matplotlib")
        draw(picture)


if __name__ == "__main__":
    typer.run(main)
