"""Pictures of alternative data, for docs/.

    python scripts/draw_alternative.py vintages                    # docs/vintages.png, and the figures of real logs
    python scripts/draw_alternative.py stores                      # docs/stores.png, and the errors behind it

Real files are read from TRIFUSE_DATA.
"""

import importlib.util
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer

from fusion import features, pipeline
from fusion.config import load
from fusion.console import note, one_line_errors
from fusion.grid import decision_grid
from fusion.plan import make_plan
from fusion.studies import planted_stores
from fusion.studies.revised_series import LOGS, Revised, measured, read_log
from gpu_kernels.errors import ConfigError
from sources import vintages
from sources.site_rules import MatchingRules

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
Debug = Annotated[bool, typer.Option("--debug", envvar="TRIFUSE_DEBUG", help="Show tracebacks.")]
LINES = 40  # of all vintages, evenly in time: more could not be told apart
WEEKS = range(0, 157)
CONFIG = Path(__file__).resolve().parent.parent / "configs" / "store_visits.yaml"
SIZES = {1: 30, 2: 30, 5: 30, 10: 30, 20: 30, 50: 12, 100: 12, 400: 6}
SHRINK = MatchingRules().shrink
SHOWN = {400: "#1f4e79", 20: "#c0392b"}
CHAINS = {"WMT": "#1f4e79", "HD": "#e69f00", "COST": "#c0392b", "KR": "#56b4e9"}
BANDS = ((0.05, 0.95, "#d6e4f0"), (0.25, 0.75, "#8fb4d6"))


def need_matplotlib() -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError("matplotlib is not installed, which draws", hint="pip install matplotlib")


def finish(figure: Any, path: Path) -> None:
    for axis in figure.axes:
        axis.grid(alpha=0.25 * (axis.get_label() != "<colorbar>"))
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


def draw_vintages(rows: pl.DataFrame, title: str, path: Path) -> None:
    """Above, the series as it was published at different times, and as it ended; below, by how much a value was still
    to change, by the time since its first print. `rows` are of one series, in shares."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.dates import ConciseDateFormatter, date2num
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.2, 8.6), layout="constrained")
    left, right = figure.subplots(2, 1, height_ratios=(1.2, 1))
    times = rows["known_time"].unique().sort()
    first, last = (date2num(times[place]) for place in (0, -1))
    colours, scale = colormaps["viridis_r"], Normalize(first, last)
    for place in np.unique(np.linspace(0, len(times) - 1, LINES).round().astype(int)):
        seen = vintages.view(rows, times[int(place)])
        colour = colours(scale(date2num(times[int(place)])))
        left.plot(seen["event_time"], 100 * seen["value"], color=colour, linewidth=0.7)
        left.plot(seen["event_time"][-1], 100 * seen["value"][-1], ".", color=colour, markersize=5)
    final = vintages.latest(rows)
    left.plot(final["event_time"], 100 * final["value"], color="black", linewidth=1.1, label="last vintage")
    left.axhline(0, color="black", linewidth=0.6)
    left.xaxis.set_major_formatter(ConciseDateFormatter(left.xaxis.get_major_locator()))
    left.set(ylabel="% from January 2020", title=f"{title}: {LINES} of {len(times)} vintages")
    left.legend(frameon=False, loc="lower right")
    halves = pl.date_range(times[0].date(), times[-1].date(), "1d", eager=True)
    halves = halves.filter((halves.dt.month() % 6 == 1) & (halves.dt.day() == 1))
    bar = figure.colorbar(ScalarMappable(scale, colours), ax=left, pad=0.01, ticks=date2num(halves.to_list()))
    bar.ax.set_yticklabels(halves.dt.strftime("%b %Y").to_list())
    bar.set_label("published; the dot is its latest day")

    later = rows.join(
        vintages.first_prints(rows).filter(pl.col("known_time") > times[0]).select(vintages.KEY),
        on=list(vintages.KEY),
        how="semi",
    )
    away = vintages.revision_by_age(later, [timedelta(weeks=week) for week in WEEKS]).drop_nulls("away")
    by_age = away.group_by("age").agg(
        *(pl.col("away").quantile(q, "linear").alias(str(q)) for low, high, _ in BANDS for q in (low, high)),
        pl.col("away").median().alias("median"),
        pl.len().alias("days"),
    )
    by_age = by_age.filter(pl.col("days") >= 100).sort("age")
    weeks = by_age["age"].dt.total_days() / 7
    for low, high, colour in BANDS:
        words = f"middle {100 * (high - low):.0f} % of days"
        right.fill_between(
            weeks, 100 * by_age[str(low)], 100 * by_age[str(high)], color=colour, label=words, linewidth=0
        )
    right.plot(weeks, 100 * by_age["median"], color="#1f4e79", linewidth=1.5, label="median")
    right.axhline(0, color="black", linewidth=0.6)
    right.set(
        xlabel="weeks since the day was first printed",
        ylabel="known value less the last one, percentage points",
        title=f"what was still to be revised ({by_age['days'].max()} days)",
        xlim=(0, weeks.max()),
    )
    right.legend(frameon=False, loc="upper right")
    finish(figure, path)


def say(name: str, found: Revised) -> None:
    """One paragraph of figures."""
    note(
        f"{name}: {found.facts} days first printed in {found.vintages} vintages, {100 * found.revised:.1f} % revised; "
        f"first print against the last vintage: correlation {found.level:.3f}, of changes over 7 days "
        f"{found.change:.3f}; revision {100 * found.mean:+.2f} points in the mean, {100 * found.mean_size:.2f} in "
        f"size, at most {100 * found.largest:.1f}"
    )
    within = ", ".join(f"{days:.0f} days to {100 * size:g} points" for size, days in found.settled.items())
    note(f"  settled for good (median): {within}")
    told = (f"{age.days // 7} w {100 * size:.2f} ({facts})" for age, (size, facts) in found.size_by_age.items())
    note(f"  mean size of what was still to come, by weeks since the first print (days): {', '.join(told)}")


@app.command("vintages")
def draw_vintages_of_spend(
    picture: Annotated[Path, typer.Option("--picture", help="Where the picture goes.")] = Path("docs/vintages.png"),
    debug: Debug = False,
) -> None:
    """Draw card spend as it was published over four years, and tell how far real first prints were off."""
    with one_line_errors(debug):
        need_matplotlib()
        logs = {name: read_log(name) for name in LOGS}
        draw_vintages(logs["card spend"], "US card spend", picture)
        for name, rows in logs.items():
            say(name, measured(rows))


def draw_stores(chains: planted_stores.Chains, off: pl.DataFrame, visits: pl.DataFrame, path: Path) -> None:
    """Left, the planted change of two chains and what is told of it; right the errors by the number of stores; below,
    visits to shops weighted by the stores of real chains."""
    from matplotlib.dates import ConciseDateFormatter
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 7.6), layout="constrained")
    grid = figure.add_gridspec(2, 2)
    one, errors, real = (figure.add_subplot(place) for place in (grid[0, 0], grid[0, 1], grid[1, :]))
    found = planted_stores.estimates(chains, SHRINK)
    for size, colour in SHOWN.items():
        name = next(name for name, stores in chains.sizes.items() if stores == size)
        weeks = np.arange(len(found[name]))
        one.plot(weeks, 100 * chains.truth[name], color=colour, linewidth=1.0, linestyle="--")
        one.plot(weeks, 100 * found[name], color=colour, linewidth=1.3, label=f"{size} stores")
    one.plot([], [], color="#555555", linewidth=1.0, linestyle="--", label="truth")
    one.axhline(0, color="black", linewidth=0.6)
    one.set(xlabel="weeks", ylabel="fill, change over the year, points", title="two chains, planted and told")
    one.legend(frameon=False)
    for column, words, colour in (
        ("error_0", "as it is", "#c0392b"),
        (f"error_{SHRINK:g}", f"shrunk by n / (n + {SHRINK:g})", "#1f4e79"),
        ("truth", "saying 0", "#888888"),
    ):
        errors.loglog(off["stores"], 100 * off[column], ".-", color=colour, label=words)
    ticks = off["stores"].to_list()
    errors.set_xticks(ticks, [str(tick) for tick in ticks])
    errors.set_yticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
    errors.minorticks_off()
    errors.set(xlabel="stores", ylabel="root mean square error, points", title="error of the change")
    errors.legend(frameon=False)
    for entity, colour in CHAINS.items():
        own = visits.filter(pl.col("entity") == entity).sort("decision_time")
        real.plot(own["decision_time"], 100 * own["region_retail"], color=colour, linewidth=1.0, label=entity)
    real.axhline(0, color="black", linewidth=0.6)
    real.xaxis.set_major_formatter(ConciseDateFormatter(real.xaxis.get_major_locator()))
    real.set(ylabel="% from January 2020", title="visits to shops by state as known, by stores")
    real.legend(frameon=False, loc="lower right")
    finish(figure, path)


@app.command("stores")
def draw_stores_of_chains(
    picture: Annotated[Path, typer.Option("--picture", help="Where the picture goes.")] = Path("docs/stores.png"),
    lake: Annotated[Path, typer.Option("--lake", help="Where the real lists are ingested to.")] = Path("lake"),
    debug: Debug = False,
) -> None:
    """Draw how near the same-store change comes to a planted one, and visits weighted by the stores of real chains."""
    with one_line_errors(debug):
        need_matplotlib()
        chains = planted_stores.simulate([size for size, count in SIZES.items() for _ in range(count)])
        off = planted_stores.errors(chains, (0, SHRINK))
        for row in off.iter_rows(named=True):
            shrunk = 100 * row[f"error_{SHRINK:g}"]
            note(
                f"{row['stores']} stores: error {100 * row['error_0']:.2f} points, shrunk {shrunk:.2f}, of saying 0 "
                f"{100 * row['truth']:.2f}; told at {100 * row['share']:.0f} % of decisions"
            )
        plan = make_plan(load(CONFIG), lake)
        tables = pipeline.load(plan, pipeline.ingest(plan.config, lake=lake, plan=plan), lake=lake)
        grid = decision_grid(list(plan.entities), plan.sessions, plan.config.decisions)
        visits = features.build(plan.config, tables, grid).frame
        draw_stores(chains, off, visits, picture)
        table = visits.pivot(on="entity", index="decision_time", values="region_retail").select(*CHAINS).drop_nans()
        pairs = np.corrcoef(table.to_numpy().T)[np.triu_indices(len(CHAINS), 1)]
        note(f"visits of {', '.join(CHAINS)}: correlations of {pairs.min():.3f} to {pairs.max():.3f}")


if __name__ == "__main__":
    app()
