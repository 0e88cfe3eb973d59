"""What the score would have earned: cumulative returns of its quantiles before and after costs, and where it breaks
even."""

import polars as pl

from fusion.report.figures import BLUE, GREEN, SCORE_NAMES, VERMILLION, Trace, layout, numbers
from fusion.report.run_folder import Estimate, RunFolder, number, section
from fusion.report.wording import Figure, Table, interval, measured, percent, plain, signed, when

_SPREAD = "top_minus_bottom"
_FRACTIONS = {2: "half", 3: "third", 4: "quarter", 5: "fifth", 10: "tenth"}
_HEIGHT = 340


def fraction(run: RunFolder) -> str:
    """ "fifth": the share of the scores that a group holds."""
    parts = number(section(run.config, "evaluation").get("quantiles", 5))
    return _FRACTIONS.get(int(parts), f"1/{parts:.0f}") if parts > 0 else "group"


def cumulative(run: RunFolder) -> list[Figure]:
    """Two plots with one scale: before costs and after them."""
    if run.portfolio is None:
        return []
    mine = run.portfolio.filter(
        pl.col("score") == "score", pl.col("horizon") == run.primary, pl.col("gross").is_finite()
    ).sort("session")
    groups = [name for name in mine["quantile"].unique() if name != _SPREAD]
    if not groups:
        return []
    top, bottom = max(groups, key=int), min(groups, key=int)
    part = fraction(run)
    lines = (
        (top, f"highest {part}", BLUE, "dash", 1.5),
        (bottom, f"lowest {part}", VERMILLION, "dot", 1.5),
        (_SPREAD, "highest less lowest", GREEN, "solid", 3),
    )
    paths = {name: mine.filter(pl.col("quantile") == name) for name, *_ in lines}
    ends = [
        number(value)
        for path in paths.values()
        for column in ("gross_cumulative", "net_cumulative")
        for value in path[column].fill_nan(None).drop_nulls()
    ]
    low, high = min(0.0, *ends), max(0.0, *ends)
    margin = 0.05 * (high - low) or 1.0
    found = []
    for column, word in (("gross", "Before costs"), ("net", "After costs")):
        traces: list[Trace] = [
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": [when(session) for session in paths[group]["session"]],
                "y": numbers(paths[group][f"{column}_cumulative"], 3),
                "line": {"color": colour, "dash": dash, "width": width},
                "hovertemplate": "%{y:,.1f} bps",
            }
            for group, name, colour, dash, width in lines
        ]
        each = run.estimate(f"{column}_{_SPREAD}")
        mean = f": {signed(each.value, 1)} bps a {run.period}" if each.known else ""
        reading = (
            f"Sum over the {run.period}s, bps (1/100 %) of the capital, of holding each group of the scores. A line "
            "that rises steadily is skill; one jump is luck."
            if column == "gross"
            else "The same after half the spread, fees and impact of every trade, on the same scale: the gap is what "
            "trading takes."
        )
        found.append(
            Figure(
                f"returns-{column}",
                f"{word}{mean}",
                reading,
                "; ".join(
                    f"{name} ends at {signed(number(paths[group][f'{column}_cumulative'][-1]), 1)} bps"
                    for group, name, *_ in lines
                    if paths[group].height
                ),
                traces,
                layout(
                    _HEIGHT,
                    "",
                    f"bps, summed over {run.period}s",
                    yaxis={"range": [low - margin, high + margin], "zerolinewidth": 2},
                    hovermode="x unified",
                ),
                _HEIGHT,
            )
        )
    return found


def sentence(run: RunFolder) -> list[str]:
    """What is left after costs and where it breaks even; [] where the run judged no portfolios."""
    gross, net = (run.estimate(f"{kind}_{_SPREAD}") for kind in ("gross", "net"))
    even, cost, turnover = (run.estimate(name) for name in ("break_even_bps", "cost_bps", "portfolio_turnover"))
    if not (gross.known and net.known):
        return []
    part, period = fraction(run), run.period
    text = (
        f"{_left(net)}: buying the highest {part} of the scores and selling the lowest earned "
        f"{measured(gross, _digits(gross))} bps a {period} before costs and {measured(net, _digits(net))} after them."
    )
    if even.known and cost.known and turnover.known:
        text += (
            f" It traded {plain(turnover.value, 1)} times its capital a {period} and breaks even where a trade costs "
            f"{plain(even.value, _digits(even))} bps; {plain(cost.value, _digits(cost))} were reckoned."
        )
    return [text]


def _left(net: Estimate) -> str:
    if net.side == 0:
        return "After costs, no profit and no loss is shown"
    return "After costs a profit is left" if net.value > 0 else "After costs it loses"


def _digits(each: Estimate) -> int:
    """More decimals for small figures, so that a cost of 0.0008 bps does not read as none."""
    size = abs(each.value)
    return 1 if size >= 10 else 2 if size >= 0.1 or size == 0 else 4


def table(run: RunFolder) -> Table | None:
    """Before, costs, after, and how lucky it may be, of the model and the baseline."""
    rows = []
    for score in ("score", "score_ridge"):
        find = {
            name: run.estimate(name, score=score)
            for name in (f"gross_{_SPREAD}", f"net_{_SPREAD}", "portfolio_turnover", "cost_bps", "break_even_bps")
        }
        gross, net, turnover, cost, even = find.values()
        if not gross.known:
            continue
        deflated, trials = (run.estimate(name, score=score) for name in ("deflated_sharpe", "trials"))
        rows.append(
            [
                SCORE_NAMES[score],
                signed(gross.value, _digits(gross)),
                interval(gross, _digits(gross)),
                plain(turnover.value, 1),
                plain(cost.value, _digits(cost)),
                plain(even.value, _digits(even)),
                signed(net.value, _digits(net)),
                interval(net, _digits(net)),
                signed(run.estimate("sharpe", score=score).value, 2),
                percent(deflated.value, 0) + (f" of {trials.value:.0f}" if trials.known and deflated.known else ""),
            ]
        )
    if not rows:
        return None
    level = f"{run.confidence} interval"
    columns = ["score", "before", level, "traded", "cost", "breaks even", "after", level, "Sharpe", "not luck"]
    note = (
        f"Highest less lowest {fraction(run)}; bps of the capital a {run.period}. Traded: both ways, in capitals. Cost "
        "and breaks even: bps of what is traded. Sharpe: mean over standard deviation of what is left, not annualised. "
        "Not luck: confidence that it is above what the best of so many tried models without skill shows (deflated "
        "Sharpe ratio)."
    )
    return Table("From score to money", columns, rows, note)
