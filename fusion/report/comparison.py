"""The run's model beside simpler ones: the figure, the table and the sentences."""

import polars as pl

from fusion.comparison import COMPARISON, REGIMES, RUN, TELLS
from fusion.paired import ADDED, TOOK
from fusion.report.figures import BLUE, bars, layout, numbers
from fusion.report.run_folder import Estimate, RunFolder, number
from fusion.report.wording import MISSING, Figure, Table, chance, interval, measured, percent, signed

MODELS = {
    RUN: "this run",
    "static": "one static model",
    "pooled_selection": "selection pooled over regimes",
    "single_learner": "selection by regime, one model",
    "ridge": "ridge",
    "best_source": "best single source",
    "prices": "prices alone",
    "without_news": "without news",
    "without_alternative": "without alternative data",
}
_WIDTH = 300


def rows_of(run: RunFolder, horizon: str | None = None) -> list[dict[str, object]]:
    """The models at one horizon (the primary one unless told), the run's own first; [] where the run did not ask."""
    found = run.table("comparison", list(COMPARISON))
    wanted = run.primary if horizon is None else horizon
    return [] if found is None else found.filter(pl.col("horizon") == wanted).to_dicts()


def estimate(row: dict[str, object], name: str) -> Estimate:
    """`ic`, `difference`, `spread` or `spread_difference` with its interval."""
    ends = (number(row[f"{name}_low"]), number(row[f"{name}_high"]))
    return Estimate(number(row[name]), *ends, int(number(row["sessions"])))


def _one_regime(row: dict[str, object]) -> bool:
    """Whether the run is this model, having one regime."""
    return row["model"] in REGIMES and "one regime" in str(row["reason"])


def figure(run: RunFolder) -> Figure | None:
    """What the run's rank IC has more than each simpler model's."""
    rows = [row for row in rows_of(run) if row["model"] != RUN and estimate(row, "difference").has_interval]
    if not rows:
        return None
    names = [MODELS.get(str(row["model"]), str(row["model"])) for row in rows]
    found = [estimate(row, "difference") for row in rows]
    trace: dict[str, object] = {
        "type": "scatter",
        "mode": "markers",
        "orientation": "h",
        "x": numbers([each.value for each in found]),
        "y": names,
        "error_x": bars(found),
        "customdata": [[str(row["tells"]), measured(each)] for row, each in zip(rows, found, strict=True)],
        "hovertemplate": "%{customdata[0]} added %{customdata[1]} to %{y}<extra></extra>",
        "marker": {"color": BLUE, "symbol": "circle", "size": 9},
    }
    height = 96 + 38 * len(rows)
    return Figure(
        "comparison",
        "Rank IC of the run less that of simpler models",
        f"{run.primary_adjective} rank IC out of sample over the same decisions, with paired {run.confidence} "
        "intervals that are not adjusted for the number of models. Right of zero the run does better.",
        "; ".join(
            f"than {name}: {measured(each)}, {row['verdict']}"
            for name, each, row in zip(names, found, rows, strict=True)
        ),
        [trace],
        layout(
            height,
            "run less model",
            xaxis={"rangemode": "tozero", "zerolinewidth": 2},
            yaxis={"type": "category", "categoryorder": "array", "categoryarray": names[::-1], "automargin": True}
            | {"gridcolor": "@grid", "fixedrange": True, "range": [-0.6, len(names) - 0.4]},
            showlegend=False,
        ),
        height,
        min_width=_WIDTH,
        wide=True,
    )


def table(run: RunFolder) -> Table | None:
    """Each model at the primary horizon, what the run has and it lacks, and the verdict in words."""
    rows = [
        [
            MODELS.get(str(row["model"]), str(row["model"])),
            MISSING if row["model"] == RUN else TELLS.get(str(row["model"]), MISSING),
            MISSING if row["verdict"] is None else str(row["verdict"]),
            signed(number(row["ic"])),
            signed(number(row["difference"])),
            interval(estimate(row, "difference")),
            chance(number(row["p_holm"])),
            signed(number(row["spread"]), 1),
            percent(number(row["scored"]), 0),
        ]
        for row in rows_of(run)
    ]
    level = f"{run.confidence} interval"
    columns = ["model", "the run adds", "verdict", "rank IC", "run less it", level, "p (Holm)", "bps", "scored"]
    note = (
        "Each model is fitted at the run's refits, on its labels, and judged on the same decisions out of sample; "
        "where it has no score it forecasts nothing. p: two-sided, adjusted by Holm, for the models that have all "
        "sources and for the others apart. bps: top minus bottom quantile of its score, before cost. The best single "
        "source is chosen at each refit by what was known then."
    )
    alike = [row for row in rows_of(run) if row["model"] != RUN and not str(row["reason"]).startswith("p ")]
    note += "".join(f" {MODELS.get(str(row['model']), row['model'])}: {row['reason']}." for row in alike)
    return Table("The run beside simpler models", columns, rows, note, 3) if rows else None


def sentences(run: RunFolder) -> list[str]:
    """What selection by regime, and regimes as a whole, added: for the verdict."""
    found = {str(row["model"]): row for row in rows_of(run)}
    if not found:
        return []
    said = []
    for name, than in (("pooled_selection", "selection pooled over the regimes"), ("static", "one static model")):
        row = found.get(name)
        if row is None or not row["rows"]:
            continue
        if _one_regime(row):
            return ["The run has one regime, so that choosing features by regime adds nothing."]
        what = "Regime-wise selection" if name == "pooled_selection" else "Regimes as a whole"
        end = f"the run's rank IC less that of {than} is {measured(estimate(row, 'difference'))}, {row['reason']}."
        said.append(f"{what} {_VERBS.get(str(row['verdict']), 'cannot be told to add anything')}: {end}")
    return said


_VERBS = {ADDED: "added information", TOOK: "took away"}
