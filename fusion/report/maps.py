"""The plots of what went in: which features were selected when, and where features are missing."""

from typing import Any

import polars as pl

from fusion.report.figures import BLUE, VERMILLION, Trace, layout, numbers
from fusion.report.run_folder import RunFolder, is_redundant, number
from fusion.report.wording import Figure, chance, labels, percent, plain, plural

_FEATURES, _MOST_FEATURES = 24, 40
_PERIODS = 24
_FULL = 0.995
_NO_AGE = "book_drought_age"


def selection(run: RunFolder) -> list[Figure]:
    """One map per regime: IC of each feature at each refit, with a sign where it was kept."""
    if run.selection is None or run.selection.is_empty():
        return []
    parts = run.selection.sort("regime").partition_by("regime", maintain_order=True)
    return [_ledger(run, part, str(part["regime"][0])) for part in parts]


def _ledger(run: RunFolder, ledger: pl.DataFrame, regime: str) -> Figure:
    order = (
        ledger.group_by("feature")
        .agg(pl.col("kept").sum(), pl.col("significant").sum(), pl.col("t_stat").abs().fill_nan(None).mean().alias("t"))
        .sort(["kept", "significant", "t", "feature"], descending=[True, True, True, False], nulls_last=True)
    )
    # all that were ever kept, as far as they fit, and the best of the others
    ever = order.filter(pl.col("kept") > 0).height
    features = order["feature"].head(min(_MOST_FEATURES, max(_FEATURES, ever))).to_list()
    refits = ledger["refit_session"].unique().sort().to_list()
    label = dict(zip(refits, labels(refits), strict=True))
    cells = {(row["feature"], row["refit_session"]): row for row in ledger.iter_rows(named=True)}
    rows = [[cells.get((feature, refit), {}) for refit in refits] for feature in features]
    ic = [numbers([number(cell.get("ic")) for cell in row], 4) for row in rows]
    sizes = sorted(abs(value) for row in ic for value in row if value is not None)
    # a few values of short windows would make all others pale; beyond it the colour stays
    bound = (sizes[int(0.98 * (len(sizes) - 1))] if sizes else 0.0) or 0.01
    hover = [
        [_hover(feature, label[refit], cell) for refit, cell in zip(refits, row, strict=True)]
        for feature, row in zip(features, rows, strict=True)
    ]
    x = list(label.values())
    traces: list[Trace] = [
        {
            "type": "heatmap",
            "x": x,
            "y": features,
            "z": ic,
            "text": hover,
            "hovertemplate": "%{text}<extra></extra>",
            "zmin": -bound,
            "zmax": bound,
            "colorscale": [[0, VERMILLION], [0.5, "@surface"], [1, BLUE]],
            "colorbar": {"title": {"text": "IC"}, "thickness": 10, "outlinewidth": 0},
            "xgap": 1,
            "ygap": 1,
        }
    ]
    kept, significant = pl.col("kept"), pl.col("significant")
    kinds = (
        ("significant and kept", "circle", "@surface", kept & significant),
        ("kept, not significant", "circle-open", "@ink", kept & ~significant),
        ("significant, redundant", "x-thin", "@ink", is_redundant()),
        ("significant, not kept otherwise", "cross-thin", "@ink", significant & ~kept & ~is_redundant()),
    )
    drawn = ledger.filter(pl.col("feature").is_in(features)).sort("feature", "refit_session")
    for name, symbol, edge, member in kinds:
        at = [
            (label[refit], feature) for refit, feature in drawn.filter(member).select("refit_session", "feature").rows()
        ]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [refit for refit, _ in at] or [None],
                "y": [feature for _, feature in at] or [None],
                "marker": {"symbol": symbol, "color": "@ink", "size": 9, "line": {"width": 1.5, "color": edge}},
                "hoverinfo": "skip",
            }
        )
    height = 120 + 20 * len(features)
    left_out = order.height - len(features)
    more = f" {plural(left_out, 'weaker feature')} not drawn." if left_out else ""
    never = "" if ledger["kept"].any() else " No feature was kept."
    return Figure(
        f"selection-{regime}",
        "Which features were kept" + ("" if run.one_regime else f" in {run.regime_name(regime)}"),
        "A column is a refit, a row a feature. Blue: high values came before high returns in the training window (rank "
        "IC above 0); orange: before low ones. Circle: kept, filled where significant. Thin cross: significant, "
        f"but so close to a better one that it was dropped as redundant.{never}{more}",
        f"{plural(int(order.filter(pl.col('significant') > 0).height), 'feature')} significant at some refit: "
        + ", ".join(order.filter(pl.col("significant") > 0)["feature"].head(10).to_list()),
        traces,
        layout(
            height,
            f"first {run.period} of the refit",
            xaxis={"type": "category", "tickvals": _some(x), "tickangle": -45, "showgrid": False},
            yaxis={
                "type": "category",
                "autorange": "reversed",
                "tickfont": {"size": 11},
                "showgrid": False,
            },
        ),
        height,
        min_width=300 + 14 * len(refits),
        wide=True,
    )


def _some(labels: list[str]) -> list[str]:
    """At most eight labels of an axis, evenly spread."""
    return labels[:: -(-len(labels) // 8)]


def _hover(feature: str, refit: str, cell: dict[str, Any]) -> str:
    ic, t_stat, q_value = (number(cell.get(name)) for name in ("ic", "t_stat", "q_value"))
    figures = f"IC {plain(ic, 3)}, t {plain(t_stat)}, q {chance(q_value)}"
    return f"{feature}<br>refit {refit}<br>{figures}<br>{cell.get('reason') or ''}"


def feature_columns(table: pl.LazyFrame) -> tuple[list[str], list[str]]:
    """(features, ages): the Float columns of features.parquet; ages are those named `<source>_age`."""
    schema = table.collect_schema()
    numeric = [name for name, dtype in schema.items() if dtype.is_float()]
    ages = [name for name in numeric if name.endswith("_age")]
    # how long ago a book was last dry is no age of its source
    return [name for name in numeric if name not in ages], [name for name in ages if not name.endswith(_NO_AGE)]


def coverage(run: RunFolder) -> tuple[Figure | None, str]:
    """Share of decisions at which each feature had a value, by period; and one sentence on the rest."""
    table = run.lazy("features")
    if table is None:
        return None, "This run wrote no features.parquet."
    features, _ = feature_columns(table)
    if not features:
        return None, "This run has no feature columns."
    present = [(pl.col(name).is_not_null() & pl.col(name).is_not_nan()).mean().alias(name) for name in features]
    sessions = table.group_by("session").agg(present).sort("session").collect()
    if sessions.is_empty():
        return None, "features.parquet holds no rows."
    period = pl.int_range(pl.len()) * min(_PERIODS, sessions.height) // sessions.height
    parts = sessions.group_by(period.alias("period"), maintain_order=True).agg(
        pl.col("session").first().alias("first session"), pl.col(features).mean()
    )
    partial = [name for name in features if number(parts[name].min()) < _FULL]
    full = len(features) - len(partial)
    words = f"{full:,} of {plural(len(features), 'feature')} had a value at (nearly) every decision of every period."
    if not partial:
        return None, words
    partial.sort(key=lambda name: number(parts[name].mean()))
    shown = partial[:_MOST_FEATURES]
    if len(shown) < len(partial):
        words += f" Of the others, the {len(shown)} with the fewest values are drawn."
    height = 150 + 20 * len(shown)
    x = labels(parts["first session"])
    figure = Figure(
        "coverage",
        "Features with gaps: share of decisions with a value",
        f"Each column is a period, named by its first {run.period}. A missing value is passed on as missing, "
        "never filled.",
        "; ".join(f"{name} {percent(number(parts[name].mean()))}" for name in shown[:15]),
        [
            {
                "type": "heatmap",
                "x": x,
                "y": shown,
                "z": [numbers(parts[name], 3) for name in shown],
                "zmin": 0,
                "zmax": 1,
                "colorscale": [[0, "@surface"], [1, BLUE]],
                "colorbar": {"title": {"text": "share"}, "thickness": 10, "outlinewidth": 0, "tickformat": ".0%"},
                "hovertemplate": "%{y}<br>from %{x}: %{z:.1%}<extra></extra>",
                "xgap": 1,
                "ygap": 1,
            }
        ],
        layout(
            height,
            xaxis={"type": "category", "tickvals": _some(x), "tickangle": -45, "showgrid": False},
            yaxis={"type": "category", "tickfont": {"size": 11}, "showgrid": False},
        ),
        height,
        min_width=560,
        wide=True,
    )
    return figure, words
