"""Order-flow imbalance against the price change of the same and of the next interval (Cont, Kukanov, Stoikov 2014).

    python scripts/replicate_ofi.py                        # Bank of America, five days of LEAN ticks in TRIFUSE_DATA
    python scripts/replicate_ofi.py --files 'spy/*_quote.zip' --tick 0.01 --png ofi.png --json

Flow is the imbalance of the consolidated best bid and offer (`best.order_flow_imbalance`), change that of the mid in
ticks. An interval [a, b) holds the quotes stamped a or later and before b; the mid at an edge is that of the last quote
strictly before it. One regression a session, from open to close; means over sessions. The same flow beside the NEXT
interval's change says how little of it one could have traded on.
"""

import importlib.util
from pathlib import Path
from typing import Annotated, Any

import typer

from fusion.console import answer, note, one_line_errors, option_duration, show
from fusion.studies.best_quotes import BestQuotes, lean_tick_quotes, read_best_quotes
from fusion.studies.price_impact import Estimate, Impact, intervals_of, price_impact
from gpu_kernels.durations import format_duration
from gpu_kernels.errors import ConfigError

BAC = "${TRIFUSE_DATA}/market/lean/equity/usa/tick/bac/*_quote.zip"
PUBLISHED = "published: mean R2 of 0.65 at 10 s (50 US stocks, April 2010, half-hour regressions)"


def quotes_of(files: str, tick: float, calendar: str) -> BestQuotes:
    """The tick quotes of LEAN zips of an equity."""
    source = lean_tick_quotes(files)
    return read_best_quotes(source, calendar, tick)


def interval_text(estimate: Estimate, *, days: bool = False, sign: str = "", digits: int = 3) -> str:
    low, high = (estimate.days_low, estimate.days_high) if days else (estimate.low, estimate.high)
    return f"[{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"


def row_of(impact: Impact) -> dict[str, Any]:
    """A line of the table."""
    return {
        "interval": format_duration(impact.interval_ns),
        "intervals": f"{impact.rows:,}",
        "R2": f"{impact.r2.value:.3f}",
        "95 % blocks": interval_text(impact.r2),
        "95 % days": interval_text(impact.r2, days=True),
        "by day": " ".join(f"{value:.2f}" for value in impact.by_session),
        "next r": f"{impact.next_correlation.value:+.3f}",
        "next 95 %": interval_text(impact.next_correlation, sign="+"),
        "next R2": f"{impact.next_correlation.value**2:.4f}",
        "ticks per 10,000": f"{impact.slope.value * 1e4:.3f}",
    }


def record_of(impact: Impact) -> dict[str, Any]:
    names = ("r2", "correlation", "next_correlation", "slope")
    return {
        "interval": format_duration(impact.interval_ns),
        "intervals": impact.rows,
        **{name: getattr(impact, name)._asdict() for name in names},
        "r2_by_session": impact.by_session,
    }


def require_matplotlib() -> None:
    """Told before the work, not after it."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError("matplotlib is not installed, which --png needs", hint="pip install matplotlib")


def draw(quotes: BestQuotes, impact: Impact, path: Path) -> None:
    """Flow against the change of the same interval, and against the next one's, side by side."""
    import numpy as np
    from matplotlib.figure import Figure

    flow, change, offsets = intervals_of(quotes, impact.interval_ns)
    follows = np.ones(len(flow), bool)
    follows[offsets[1:][offsets[1:] > 0] - 1] = False
    now = np.flatnonzero(follows)
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    length = format_duration(impact.interval_ns)
    lagged = interval_text(impact.next_correlation, sign="+", digits=2)
    panels = (
        (flow, change, f"the same {length}: mean R² {impact.r2.value:.2f} {interval_text(impact.r2, digits=2)}"),
        (
            flow[now],
            change[now + 1],
            f"the next {length}: mean correlation {impact.next_correlation.value:+.2f} {lagged}",
        ),
    )
    # the few extreme intervals would squeeze all others into the middle
    reach, height = (float(np.quantile(np.abs(values), 0.999)) for values in (flow, change))
    # the mid moves by half ticks: drawn where they are, the points of a line would hide each other
    shift = np.random.default_rng(0).uniform(-0.15, 0.15, len(flow))
    for axis, (x, y, title) in zip(axes, panels, strict=True):
        axis.scatter(x / 1e3, y + shift[: len(y)], s=6, alpha=0.25, linewidths=0, color="#1f4e79", rasterized=True)
        slope, level = np.polyfit(x, y, 1)
        line = np.array([-reach, reach])
        axis.plot(line / 1e3, slope * line + level, color="#c0392b", linewidth=1.5)
        axis.set(xlim=(-reach / 1e3, reach / 1e3), ylim=(-height - 0.4, height + 0.4), title=title)
        axis.set_xlabel("order-flow imbalance, thousand shares")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("change of the mid, ticks (points spread by ±0.15)")
    figure.savefig(path, dpi=130)


def main(
    files: Annotated[str, typer.Option("--files", help="Glob of LEAN tick quote zips of one equity.")] = BAC,
    tick: Annotated[float, typer.Option("--tick", help="Price step.")] = 0.01,
    calendar: Annotated[str, typer.Option("--calendar", help="Exchange calendar of the sessions.")] = "XNYS",
    lengths: Annotated[str, typer.Option("--intervals", help="Lengths of the intervals.")] = "1s,10s,30s,60s",
    block: Annotated[str, typer.Option("--block", help="Length of the blocks that are resampled.")] = "5min",
    draws: Annotated[int, typer.Option("--draws", min=100, help="Resamples.")] = 1000,
    png: Annotated[Path | None, typer.Option("--png", help="Draw flow against price change to this file.")] = None,
    drawn: Annotated[str, typer.Option("--png-interval", help="The length that is drawn.")] = "10s",
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    debug: Annotated[bool, typer.Option("--debug", envvar="TRIFUSE_DEBUG", help="Show tracebacks.")] = False,
) -> None:
    """R2 of the mid's change on order-flow imbalance, per session, with intervals; the next interval's beside it."""
    with one_line_errors(debug):
        spans = [option_duration("--intervals", text) for text in lengths.split(",")]
        settings = {"block_ns": option_duration("--block", block), "draws": draws}
        if png is not None:
            require_matplotlib()
        quotes = quotes_of(files, tick, calendar)
        found = [price_impact(quotes, span, **settings) for span in spans]
        if png is not None:
            draw(quotes, price_impact(quotes, option_duration("--png-interval", drawn), **settings), png)
        sessions = [day.isoformat() for day in quotes.sessions]
        if as_json:
            header = {"sessions": sessions, "quotes": len(quotes.time), "left_out": dict(quotes.left_out)}
            answer({**header, "block": block, "draws": draws, "impact": [record_of(impact) for impact in found]})
            return
        show(
            [row_of(impact) for impact in found],
            title=f"{len(quotes.time):,} quotes of {len(sessions)} sessions, {sessions[0]} to {sessions[-1]}",
            numeric=("intervals", "R2", "next r", "next R2", "ticks per 10,000"),
        )
        typer.echo(f"\nMeans over sessions; {PUBLISHED}.")
        typer.echo(
            "Interval [a, b): a quote stamped b is of the next one; a mid is that of the last quote before the edge."
        )
        typer.echo(f"Blocks: {block} of intervals resampled within each session. Days: whole sessions resampled.")
        left = ", ".join(f"{count} {reason}" for reason, count in quotes.left_out.items()) or "none"
        note(f"rows left out: {left}")


if __name__ == "__main__":
    typer.run(main)
