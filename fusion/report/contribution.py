"""What each source adds out of sample: the figure, the table and the sentence."""

import math

import polars as pl

from fusion.contribution import CONTRIBUTION
from fusion.paired import ADDED, TOOK, UNTOLD
from fusion.report.figures import BLUE, VERMILLION, Trace, bars, layout, numbers
from fusion.report.run_folder import Estimate, RunFolder, number
from fusion.report.wording import MISSING, Figure, Table, chance, interval, measured, percent, signed, whole

_WIDTH = 300


def rows_of(run: RunFolder) -> list[dict[str, object]]:
    """The sources, the one that adds most first; [] where the run did not ask."""
    found = run.table("contribution", list(CONTRIBUTION))
    return [] if found is None else found.sort(pl.col("added").fill_null(-math.inf), descending=True).to_dicts()


def estimate(row: dict[str, object], name: str) -> Estimate:
    """`added`, `alone` or `spread` with its interval."""
    value = "spread_added" if name == "spread" else name
    ends = (number(row[f"{name}_low"]), number(row[f"{name}_high"]))
    return Estimate(number(row[value]), *ends, int(number(row["sessions"])))


def figure(run: RunFolder) -> Figure | None:
    """What is lost without each source, and what each adds to the prices alone."""
    rows = [row for row in rows_of(run) if estimate(row, "added").known]
    if not rows:
        return None
    names = [str(row["source"]) for row in rows]
    shown = (
        ("added", "added to all the others", BLUE, "circle"),
        ("alone", "added to the prices", VERMILLION, "diamond"),
    )
    traces: list[Trace] = []
    for name, word, colour, symbol in shown:
        found = [estimate(row, name) for row in rows]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "orientation": "h",
                "name": word,
                "x": numbers([each.value for each in found]),
                "y": names,
                "error_x": bars(found),
                "customdata": [[each.count, measured(each)] for each in found],
                "hovertemplate": "%{y}: %{customdata[1]}, %{customdata[0]:,} sessions<extra></extra>",
                "marker": {"color": colour, "symbol": symbol, "size": 9},
            }
        )
    height = 120 + 46 * len(rows)
    return Figure(
        "contribution",
        "Rank IC that each source adds",
        f"Change of the {run.primary_adjective} rank IC out of sample, over the sessions in which the source has "
        f"values, with {run.confidence} intervals that are not adjusted for the number of sources. Of the prices the "
        "second is their rank IC alone.",
        "; ".join(f"{row['source']}: {measured(estimate(row, 'added'))}, {row['verdict']}" for row in rows),
        traces,
        layout(
            height,
            "change of the rank IC",
            xaxis={"rangemode": "tozero", "zerolinewidth": 2},
            yaxis={"type": "category", "categoryorder": "array", "categoryarray": names[::-1], "automargin": True}
            | {"gridcolor": "@grid", "fixedrange": True, "range": [-0.6, len(names) - 0.4]},
            scattermode="group",
            scattergap=0.6,
        ),
        height,
        min_width=_WIDTH,
        wide=True,
    )


def table(run: RunFolder) -> Table | None:
    """What the run loses without each source, and the verdict in words."""
    found = rows_of(run)
    rows = [
        [
            str(row["source"]),
            str(row["verdict"]),
            signed(number(row["ic_all"])),
            signed(number(row["ic_without"])),
            signed(number(row["added"])),
            interval(estimate(row, "added")),
            chance(number(row["p_holm"])),
            whole(number(row["sessions"])),
            MISSING if row["first_session"] is None else f"{row['first_session']} to {row['last_session']}",
        ]
        for row in found
    ]
    columns = ["source", "verdict", "rank IC, all", "without it", "added", f"{run.confidence} interval", "p (Holm)"]
    note = (
        "Models refitted without the source against the run's own, over the same decisions of the sessions in which "
        "the source has values. p: two-sided, adjusted by Holm for all the sources that were looked at; the verdict is "
        "its word. The regimes stay those of the run."
    )
    # a reason that is more than the p of the table; a column of them would be beyond the page's edge
    note += "".join(f" {row['source']}: {row['reason']}." for row in found if not str(row["reason"]).startswith("p "))
    columns += [f"{run.period}s", "from, to"]
    return Table("What the run loses without each source", columns, rows, note, 2, last_words=1) if rows else None


def beside_prices(run: RunFolder) -> Table | None:
    """What each source adds to the prices alone, and in returns."""
    rows = [
        [
            str(row["source"]),
            signed(number(row["ic_prices"])),
            signed(number(row["ic_with_prices"])),
            signed(number(row["alone"])),
            interval(estimate(row, "alone")),
            signed(number(row["spread_all"]), 1),
            signed(number(row["spread_without"]), 1),
            signed(number(row["spread_added"]), 1),
            interval(estimate(row, "spread"), 1),
            percent(number(row["chosen"]), 0),
        ]
        for row in rows_of(run)
    ]
    level = f"{run.confidence} interval"
    columns = [
        "source",
        "rank IC, prices",
        "and it",
        "added",
        level,
        "bps, all",
        "without it",
        "added",
        level,
        "chosen",
    ]
    note = (
        "Left: models on the prices alone, and on them and the source. Right: top minus bottom quantile of the score, "
        "with all sources and without this one. Chosen: share of the refits that kept a feature of it in any regime."
    )
    return Table("Each source beside the prices, and in returns", columns, rows, note) if rows else None


def sentence(run: RunFolder) -> list[str]:
    """Which sources added information and which did not, for the verdict."""
    found = rows_of(run)
    if not found:
        return ["What each source adds was not measured in this run."]
    parts = []
    for verdict in (ADDED, TOOK, UNTOLD):
        mine = [row for row in found if row["verdict"] == verdict]
        words = [f"{row['source']} ({signed(number(row['added']))})" for row in mine]
        if verdict == UNTOLD:
            words = [str(row["source"]) for row in mine]
        if words:
            parts.append(f"{_LEADS[verdict]} {', '.join(words)}")
    if all(row["verdict"] != ADDED for row in found):
        parts.insert(0, "no source was shown to add information")
    looks = f"{len(found)} sources looked at" if len(found) > 1 else "one source looked at"
    return [f"Out of sample, {'; '.join(parts)} (rank IC with it less that without it; {looks}, Holm)."]


_LEADS = {ADDED: "information was added by", TOOK: "it was better without", UNTOLD: "it cannot be told of"}
