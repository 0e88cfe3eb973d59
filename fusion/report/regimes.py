"""The regimes over time: how likely each was as known then, over the price, with the held one and the inputs below."""

import polars as pl

from fusion.report.figures import DASHES, SERIES, Trace, layout, numbers
from fusion.report.run_folder import RunFolder
from fusion.report.wording import Figure, percent, when

_MOST_LINES = 3
_MOST_INPUTS = 3
# heights in pixels
_PRICE, _HELD, _INPUT, _GAP, _EDGES = 270, 16, 84, 14, 96


def timeline(run: RunFolder) -> Figure | None:
    """Prices over bands of the filtered probabilities; the last value of each session."""
    if run.regime is None or run.regime.is_empty() or run.one_regime:
        return None
    last = run.regime.sort("time").group_by("session", maintain_order=True).last().sort("session")
    states = [column for column in last.columns if column.startswith("probability_")]
    known = last.filter(pl.all_horizontal(pl.col(states).is_finite()))
    last = last if known.is_empty() else known  # before the first refit there are inputs, but no regimes
    inputs = [column for column in last.columns if column not in {"session", "time", "regime", *states}]
    inputs = [column for column in inputs if last.schema[column].is_numeric()][:_MOST_INPUTS]
    x = [when(session) for session in last["session"]]
    colours = {state.removeprefix("probability_"): SERIES[index % 6] for index, state in enumerate(states)}
    prices, what = _prices(run, last["session"])

    height = _EDGES + _PRICE + _HELD + _GAP + (_INPUT + _GAP) * len(inputs)
    inner = height - _EDGES
    shapes = layout(height, yaxis=_axis("" if prices else "probability", 1 - _PRICE / inner, 1.0) | {"range": [0, 1]})
    shapes["yaxis"] |= {"showgrid": False, "side": "right" if prices else "left", "tickvals": [0, 0.5, 1]}
    shapes["yaxis"]["tickformat"] = ".0%"
    shapes["legend"]["traceorder"] = "normal"
    shapes["hovermode"] = "x unified"
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": run.regime_name(state),
            "x": x,
            "y": numbers(last[f"probability_{state}"], 4),
            "stackgroup": "probability",
            "line": {"width": 0, "color": colour, "shape": "hv"},
            "fillcolor": _pale(colour),
            "hovertemplate": "%{y:.0%}",
        }
        for state, colour in colours.items()
    ]
    if prices:
        shapes["yaxis2"] = _axis(what, 1 - _PRICE / inner, 1.0) | {"overlaying": "y", "side": "left", "showgrid": False}
        shapes["yaxis2"] |= {"tickmode": "auto", "nticks": 6}
        traces += [
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": x,
                "y": path,
                "yaxis": "y2",
                "line": {"color": "@ink", "width": 1.8, "dash": DASHES[index]},
                "hovertemplate": "%{y:.1f}",
            }
            for index, (name, path) in enumerate(prices.items())
        ]
    top = 1 - (_PRICE + _GAP) / inner
    traces.append(_held(run, last, x, colours))
    shapes["yaxis3"] = _axis("", top - _HELD / inner, top) | {"showticklabels": False, "showgrid": False, "ticks": ""}
    for index, name in enumerate(inputs):
        top -= ((_INPUT if index else _HELD) + _GAP) / inner
        axis = f"y{index + 4}"
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": x,
                "y": numbers(last[name].cast(pl.Float64), 5),
                "yaxis": axis,
                "line": {"color": "@muted", "width": 1.5, "shape": "hv"},
                "showlegend": False,
                "hovertemplate": "%{y:.3g}",
            }
        )
        shapes[f"yaxis{index + 4}"] = _axis("", max(0.0, top - _INPUT / inner), top) | {"nticks": 4}
        shapes.setdefault("annotations", []).append(_label(f"input: {name}", top))
    shapes["xaxis"]["anchor"] = f"y{3 + len(inputs)}"
    words = _shares(run, last)
    drawn = f"Line: {what}, 100 at the start. " if prices else ""
    below = " Below: what the regimes were told from." if inputs else ""
    return Figure(
        "regimes",
        "Regimes over the price" if prices else "Regimes over time",
        f"{drawn}Bands: how likely each regime was, by what was known then (filtered, not smoothed); strip: the regime "
        f"that was held.{below} The last decision of each {run.period}. {'; '.join(words).capitalize()}.",
        "; ".join(words),
        traces,
        shapes,
        height,
        min_width=300,
        wide=True,
    )


def _prices(run: RunFolder, sessions: pl.Series) -> tuple[dict[str, list[float | None]], str]:
    """name -> price with 100 at its first session: of each entity where they are few, else their mean growth."""
    if run.prices is None or run.prices.is_empty():
        return {}, ""
    wide = run.prices.pivot("entity", index="session", values="price", aggregate_function="last").sort("session")
    entities = sorted(name for name in wide.columns if name != "session")
    growth = wide.with_columns(pl.col(entities).forward_fill().log().diff())
    if len(entities) <= _MOST_LINES:
        lines, what = growth, "price" if len(entities) > 1 else f"price of {entities[0]}"
    else:
        lines = growth.select("session", pl.mean_horizontal(pl.col(entities).fill_nan(None)).alias("mean"))
        what = f"mean price of {len(entities)} entities"
    names = [name for name in lines.columns if name != "session"]
    grown = lines.select(pl.col("session").cast(pl.String), pl.col(names).fill_nan(None).fill_null(0.0).cum_sum())
    asked = sessions.cast(pl.String).to_frame("session").join(grown, on="session", how="left", maintain_order="left")
    if asked.select(pl.all_horizontal(pl.col(names).is_null().all())).item():
        return {}, ""
    level = asked.with_columns((pl.col(names) - pl.col(names).drop_nulls().first()).exp() * 100)
    called = {name: what if name == "mean" or len(names) == 1 else name for name in names}
    return {called[name]: numbers(level[name], 2) for name in names}, what


def _held(run: RunFolder, last: pl.DataFrame, x: list[str], colours: dict[str, str]) -> Trace:
    """A strip of one row, coloured by the regime that was held."""
    numbered = {state: index for index, state in enumerate(colours)}
    held = [None if value is None else numbered.get(str(value)) for value in last["regime"]]
    count = len(colours)
    scale = [
        [edge, colour] for index, colour in enumerate(colours.values()) for edge in (index / count, (index + 1) / count)
    ]
    return {
        "type": "heatmap",
        "x": x,
        "y": ["held"],
        "z": [held],
        "text": [["" if value is None else run.regime_name(value) for value in last["regime"]]],
        "hovertemplate": "held: %{text}<extra></extra>",
        "yaxis": "y3",
        "zmin": -0.5,
        "zmax": count - 0.5,
        "colorscale": scale,
        "showscale": False,
    }


def _shares(run: RunFolder, last: pl.DataFrame) -> list[str]:
    share = last.group_by("regime").len().sort("regime").drop_nulls("regime")
    of = share["len"].sum() or 1
    return [
        f"{run.regime_name(row['regime'])} was held in {percent(row['len'] / of, 0)} of the {run.period}s"
        for row in share.to_dicts()
    ]


def _axis(title: str, low: float, high: float) -> dict[str, object]:
    return {
        "title": {"text": title, "font": {"size": 12.5}, "standoff": 8},
        "domain": [max(0.0, low), high],
        "automargin": True,
        "gridcolor": "@grid",
        "zeroline": False,
        "fixedrange": True,
    }


def _label(text: str, top: float) -> dict[str, object]:
    return {"text": text, "xref": "paper", "yref": "paper", "x": 0, "y": top, "xanchor": "left", "yanchor": "top"} | {
        "showarrow": False,
        "font": {"size": 11.5, "color": "@ink"},
    }


def _pale(colour: str) -> str:
    """The colour, see-through, so that a line over it can be read in light and in dark."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.42)"
