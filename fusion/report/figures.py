"""The plots of the skill of the score: by horizon, over time, by group, by quantile.

A plot is a plain mapping, as Plotly reads it from JSON. Colours are Okabe and Ito's (2008), which colour-blind readers
can tell apart; a second sign (symbol, dash, position) always goes with the colour. A string "@ink" is resolved by
the page from its light or dark theme.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from fusion.report.run_folder import Estimate, RunFolder
from fusion.report.wording import Figure, measured, plural, signed, when

BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
SERIES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x")
FONT = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', sans-serif"
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SCORE_NAMES = {"score": "model (LightGBM)", "score_ridge": "baseline (ridge)"}
GROUP_KINDS = {"regime": "regime", "entity": "entity", "hour": "hour", "volatility": "volatility", "flags": "flags"}
GROUP_KINDS |= {"event": "event", "sector": "sector"}
VOLATILITY = {"low": "calm sessions", "high": "volatile sessions"}
_ELSEWHERE = ("regime", "volatility")  # drawn by `by_regime`
_MOST_GROUPS = 40

# points of two scores at one category stand beside each other
_DODGED: dict[str, Any] = {"xaxis": {"type": "category"}, "scattermode": "group", "scattergap": 0.8}
# an axis without zero hides whether anything is there
_WITH_ZERO = {"rangemode": "tozero", "zerolinewidth": 2}

Trace = dict[str, object]


def numbers(values: Iterable[float | None], digits: int = 6) -> list[float | None]:
    """JSON has no NaN: null, and no more digits than a plot can show."""
    return [None if value is None or not math.isfinite(value) else round(value, digits) for value in values]


def layout(height: int, x: str = "", y: str = "", **more: Any) -> dict[str, Any]:
    """The shared look: no frame, quiet grid, legend above the plot, margins that fit the labels."""
    axis = {
        "gridcolor": "@grid",
        "zerolinecolor": "@muted",
        "linecolor": "@grid",
        "automargin": True,
        "fixedrange": True,
    }
    result: dict[str, Any] = {
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 36, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 12.5, "color": "@ink"},
        "hoverlabel": {"bgcolor": "@surface", "bordercolor": "@muted", "font": {"color": "@ink"}},
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "xanchor": "left"},
        "xaxis": {**axis, "title": {"text": x, "standoff": 8, "font": {"size": 12.5}}} | more.pop("xaxis", {}),
        "yaxis": {**axis, "title": {"text": y, "standoff": 8, "font": {"size": 12.5}}} | more.pop("yaxis", {}),
    }
    return result | more


def bars(estimates: Sequence[Estimate]) -> dict[str, object]:
    """Plotly's asymmetric error bars; a missing interval has none."""

    def reach(ends: list[float]) -> list[float | None]:
        return numbers([end if math.isfinite(end) else 0.0 for end in ends])

    return {
        "type": "data",
        "symmetric": False,
        "array": reach([each.high - each.value for each in estimates]),
        "arrayminus": reach([each.value - each.low for each in estimates]),
        "thickness": 1.5,
        "width": 4,
    }


def by_horizon(run: RunFolder) -> Figure | None:
    """Rank IC against the horizon of the return."""
    traces: list[Trace] = []
    for index, score in enumerate(run.scores):
        found = [(horizon, run.estimate("rank_ic", score=score, horizon=horizon)) for horizon in run.horizons]
        found = [(horizon, each) for horizon, each in found if each.known]
        if found:
            traces.append(_points(index, score, [horizon for horizon, _ in found], [each for _, each in found]))
    if not traces:
        return None
    words = [f"{horizon}: {measured(run.estimate('rank_ic', horizon=horizon))}" for horizon in run.horizons]
    return Figure(
        "by-horizon",
        "Rank IC by horizon",
        "The same for returns over other times. Bars: intervals from drawing whole sessions anew.",
        "Rank IC of the model. " + "; ".join(words),
        traces,
        layout(
            320, "horizon of the return", "rank IC", xaxis={"type": "category"}, scattermode="group", scattergap=0.8
        ),
        320,
    )


def by_regime(run: RunFolder) -> Figure | None:
    """Rank IC over everything, in each regime, and in the calm and the volatile half of the sessions."""
    told = [] if run.one_regime else run.estimates("rank_ic", group_kind="regime")
    regimes = {group: run.regime_name(group) for group in told}
    kinds = {"all": {"all": f"all {run.period}s"}, "regime": regimes, "volatility": VOLATILITY}
    traces: list[Trace] = []
    words: list[str] = []
    labels: list[str] = []
    for index, score in enumerate(run.scores):
        found = {
            names[group]: each
            for kind, names in kinds.items()
            for group, each in run.estimates("rank_ic", group_kind=kind, score=score).items()
            if each.known and group in names
        }
        if not found:
            continue
        labels = list(dict.fromkeys([*labels, *found]))
        words = words or [f"{name} {measured(each)}" for name, each in found.items()]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "orientation": "h",
                "name": SCORE_NAMES.get(score, score),
                "x": numbers([each.value for each in found.values()]),
                "y": list(found),
                "error_x": bars(list(found.values())),
                "customdata": [[each.count, measured(each)] for each in found.values()],
                "hovertemplate": "%{y}: %{customdata[1]}, %{customdata[0]:,} sessions<extra></extra>",
                "marker": {"color": SERIES[index % 6], "symbol": SYMBOLS[index % 6], "size": 9},
            }
        )
    if not traces:
        return None
    height = max(320, 110 + 46 * len(labels))
    return Figure(
        "by-regime",
        "Rank IC" + (" by regime" if regimes else ""),
        "How well the order of the scores matched that of the returns: 1 always, 0 by chance, below 0 the wrong way "
        f"round. Bars: {run.confidence} intervals; one that crosses the zero line shows nothing.",
        "; ".join(words),
        traces,
        layout(
            height,
            f"rank IC, {run.primary_adjective} returns",
            xaxis=_WITH_ZERO,
            yaxis={"type": "category", "categoryorder": "array", "categoryarray": labels[::-1], "automargin": True}
            | {"gridcolor": "@grid", "fixedrange": True, "range": [-0.6, len(labels) - 0.4]},
            scattermode="group",
            scattergap=0.6,
        ),
        height,
    )


def decay(run: RunFolder) -> Figure | None:
    """Rank IC when the score is acted on one, two, ... decisions late."""
    traces: list[Trace] = []
    for index, score in enumerate(run.scores):
        found = run.estimates("rank_ic", group_kind="lag", score=score)
        if found:
            traces.append(_points(index, score, list(found), list(found.values()), mode="lines+markers"))
    if not traces:
        return None
    words = [f"lag {lag}: {signed(each.value)}" for lag, each in run.estimates("rank_ic", group_kind="lag").items()]
    return Figure(
        "decay",
        "How fast the score goes stale",
        f"Decay: rank IC against the {run.primary_adjective} return that starts that many decisions later"
        + ("." if run.spanned else ", in the same session."),
        "Rank IC by lag in decisions. " + "; ".join(words),
        traces,
        layout(320, "decisions waited", "rank IC", yaxis=_WITH_ZERO, **_DODGED),
        320,
    )


def _points(index: int, score: str, x: list[str], estimates: list[Estimate], *, mode: str = "markers") -> Trace:
    return {
        "type": "scatter",
        "mode": mode,
        "name": SCORE_NAMES.get(score, score),
        "x": x,
        "y": numbers([each.value for each in estimates]),
        "error_y": bars(estimates),
        "marker": {"color": SERIES[index % 6], "symbol": SYMBOLS[index % 6], "size": 9},
        "line": {"color": SERIES[index % 6], "dash": DASHES[index % 6], "width": 1.5},
    }


def cumulative_ic(run: RunFolder) -> Figure | None:
    """The running sum of what each session contributes: a steady slope is a steady relation, a single jump is luck."""
    if run.session_ic is None:
        return None
    rows = run.session_ic.filter(pl.col("horizon").cast(pl.String) == run.primary).sort("session")
    traces: list[Trace] = []
    ends = []
    for index, score in enumerate(run.scores):
        path = rows.filter(pl.col("score") == score, pl.col("rank_ic").is_finite())
        if path.is_empty():
            continue
        total = path["rank_ic"].cum_sum()
        ends.append(f"{SCORE_NAMES.get(score, score)} ends at {signed(total[-1], 2)}")
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": SCORE_NAMES.get(score, score),
                "x": [when(session) for session in path["session"]],
                "y": numbers(total),
                "line": {"color": SERIES[index % 6], "dash": DASHES[index % 6], "width": 2},
            }
        )
    if not traces:
        return None
    return Figure(
        "cumulative-ic",
        f"Cumulative rank IC by {run.period}",
        f"Sum of the {run.period}s' parts so far at {run.primary}. A steady slope is a steady relation; "
        "a jump is an event.",
        "; ".join(ends),
        traces,
        layout(340, run.period, "sum of contributions"),
        340,
        wide=True,
    )


def by_group(run: RunFolder) -> Figure | None:
    """Rank IC inside each regime, entity, hour, half of volatility, and under each flag."""
    labels: list[str] = []
    traces: list[Trace] = []
    left_out = 0
    for index, (kind, word) in enumerate(GROUP_KINDS.items()):
        if kind in _ELSEWHERE:
            continue
        found = {group: each for group, each in run.estimates("rank_ic", group_kind=kind).items() if each.known}
        shown = list(found.items())[:_MOST_GROUPS]
        left_out += len(found) - len(shown)
        if not shown:
            continue
        names = [f"{word} {group}" for group, _ in shown]
        labels += names
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": word,
                "x": numbers([each.value for _, each in shown]),
                "y": names,
                "error_x": bars([each for _, each in shown]),
                "customdata": [[each.count, measured(each)] for _, each in shown],
                "hovertemplate": "%{y}: %{customdata[1]}, %{customdata[0]:,} sessions<extra></extra>",
                "marker": {"color": SERIES[index % 6], "symbol": SYMBOLS[index % 6], "size": 9},
            }
        )
    if not traces:
        return None
    height = 96 + 24 * len(labels)
    note = (
        f"Model, {run.primary}, {run.confidence} intervals; one that crosses the zero line shows nothing. "
        "A point without an interval rests on too few sessions. Hours are those of the exchange."
    )
    if left_out:
        note += f" {plural(left_out, 'more group')} not drawn."
    return Figure(
        "by-group",
        "Rank IC by entity, hour, event and flags",
        note,
        "; ".join(f"{name} {words}" for trace in traces for name, words in _pairs(trace)),
        traces,
        layout(
            height,
            "rank IC",
            xaxis=_WITH_ZERO,
            yaxis={"type": "category", "categoryorder": "array", "categoryarray": labels[::-1], "automargin": True}
            | {"gridcolor": "@grid", "fixedrange": True},
        ),
        height,
        wide=True,
    )


def _pairs(trace: Trace) -> list[tuple[str, str]]:
    names, custom = trace["y"], trace["customdata"]
    assert isinstance(names, list)
    assert isinstance(custom, list)
    return [(name, words) for name, (_, words) in zip(names, custom, strict=True)]


def quantiles(run: RunFolder) -> Figure | None:
    """Mean forward return of each quantile of the score."""
    traces: list[Trace] = []
    words: list[str] = []
    for index, score in enumerate(run.scores):
        found = run.estimates("quantile_return", group_kind="quantile", score=score)
        if not found:
            continue
        values = list(found.values())
        if not words:
            words = [f"quantile {name}: {signed(each.value, 2)} bps" for name, each in found.items()]
        traces.append(
            {
                "type": "bar",
                "name": SCORE_NAMES.get(score, score),
                "x": list(found),
                "y": numbers([each.value for each in values]),
                "error_y": bars(values) | {"color": "@ink"},
                "marker": {"color": SERIES[index % 6], "pattern": {"shape": "" if index == 0 else "/"}},
            }
        )
    if not traces:
        return None
    return Figure(
        "quantiles",
        "Forward return by quantile of the score",
        f"Mean {run.primary_adjective} log return before costs, and its {run.confidence} interval; 1 holds the lowest "
        "scores.",
        "; ".join(words),
        traces,
        layout(340, "quantile of the score", f"bps per {run.primary}", xaxis={"type": "category"}, barmode="group"),
        340,
        wide=True,
    )
