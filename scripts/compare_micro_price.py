"""Mid, weighted mid and micro-price as forecasts of a later mid-price, out of sample.

    python scripts/compare_micro_price.py                    # all markets of TRIFUSE_DATA
    python scripts/compare_micro_price.py --market bac --horizons next,100,1s --json

bac: Bank of America's consolidated quotes, 5 days of LEAN ticks; each day's micro-price is fitted on all days before.
spot, usdm, coinm: Binance's BTC best quotes, 5.7 minutes; fitted on the first half, tested on the second. Nothing is
chosen by the results: spreads of 1, 2, 3 and 4 or more ticks, 11 buckets of imbalance. Each quote is one forecast;
horizons are the next change of the mid (next), so many quotes ahead (10), or a time ahead (1s). Quotes that are locked
or crossed are stepped over. Differences have 95 % intervals from resampled blocks of time, and the verdict is by them:
better or worse where the interval leaves 0 out.
"""

from typing import Annotated, Any

import typer

from fusion.console import answer, note, one_line_errors, option_duration, show
from fusion.studies.best_quotes import BestQuotes, lean_tick_quotes, read_best_quotes
from fusion.studies.mid_forecasts import (
    MICRO,
    MID,
    WEIGHTED,
    Comparison,
    Horizon,
    Loss,
    compare,
    splits_of,
    usable,
)
from gpu_kernels.durations import format_duration
from gpu_kernels.errors import ConfigError
from sources.config import BinanceRaw

_LEAN = "${TRIFUSE_DATA}/market/lean/equity/usa/tick/bac/*_quote.zip"
_BINANCE = {"spot": ("spot_btcusdt", 0.01), "usdm": ("usdm_btcusdt", 0.1), "coinm": ("cm_btcusd_perp", 0.1)}
MARKETS = ("bac", *_BINANCE)
LOSSES = {"squared": "ticks²", "absolute": "ticks"}
OTHERS = (MID, WEIGHTED)


def quotes_of(market: str) -> tuple[BestQuotes, str]:
    """The quotes of a market and the length of the blocks to resample."""
    if market == "bac":
        equity = lean_tick_quotes(_LEAN)
        return read_best_quotes(equity, "XNYS", 0.01), "5min"
    if market not in _BINANCE:
        raise ConfigError(f"market {market!r}", allowed=", ".join(MARKETS))
    name, tick = _BINANCE[market]
    files = f"${{TRIFUSE_DATA}}/market/binance_l2/{name}_20240808.gz"
    feed = {"kind": "binance_raw", "files": files, "entity": "BTC", "max_age": 0, "market": market, "data": "quote"}
    return read_best_quotes(BinanceRaw.model_validate(feed), "24/7", tick), "10s"


def horizon_of(text: str) -> Horizon:
    if text == "next":
        return Horizon()
    if text.isdigit() and int(text):
        return Horizon(events=int(text))
    return Horizon(ns=option_duration("--horizons", text))


def name_of(horizon: Horizon) -> str:
    if horizon.events:
        return f"{horizon.events} quotes"
    return format_duration(horizon.ns) if horizon.ns else "next change"


def share_text(loss: Loss, base: float) -> str:
    """A difference and its interval in percent of the mid's loss."""
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * part / base for part in (loss.value, loss.low, loss.high)))


def rows_of(found: Comparison) -> list[dict[str, Any]]:
    """Two lines of the table, one a loss."""
    lines = []
    for loss, unit in LOSSES.items():
        levels = getattr(found, loss)
        base = levels[MID].value
        line = {"ahead": name_of(found.horizon), "forecasts": f"{found.rows:,}", "loss": f"{loss} ({unit})"}
        line |= {name: f"{levels[name].value:.5g}" for name in (MID, WEIGHTED, MICRO)}
        for other in OTHERS:
            difference = found.difference[loss, other]
            line[f"less {other}, %"] = share_text(difference, base)
            line[f"than {other}"] = f"{found.verdict(other, loss)} (t {difference.t:+.1f})"
        lines.append(line)
    return lines


def record_of(found: Comparison) -> dict[str, Any]:
    levels = {loss: {name: each._asdict() for name, each in getattr(found, loss).items()} for loss in LOSSES}
    differences = [
        {"loss": loss, "other": other, **each._asdict(), "verdict": found.verdict(other, loss)}
        for (loss, other), each in found.difference.items()
    ]
    head = {"ahead": name_of(found.horizon), "forecasts": found.rows, "share": found.share}
    return {**head, **levels, "micro_price_less_other": differences}


def verdict_of(market: str, found: list[Comparison]) -> str:
    """In plain words: against which forecasts, and how far ahead, the micro-price has the lower squared error."""
    parts = []
    for other in OTHERS:
        by = {word: [name_of(each.horizon) for each in found if each.verdict(other) == word] for word in _WORDS}
        said = [f"{_WORDS[word]} at {', '.join(ahead)}" for word, ahead in by.items() if ahead]
        parts.append(f"against the {other} {'; '.join(said)}")
    return f"{market}: by squared error the micro-price is, {'. And '.join(parts)}."


_WORDS = {"better": "better", "worse": "WORSE", "neither": "not to be told apart"}


def main(
    markets: Annotated[list[str] | None, typer.Option("--market", help="bac, spot, usdm or coinm; repeat it.")] = None,
    ahead: Annotated[str, typer.Option("--horizons", help="next, numbers of quotes, times.")] = "next,10,100,1s",
    spreads: Annotated[int, typer.Option("--spreads", help="Rows of the model: spreads in ticks.")] = 4,
    buckets: Annotated[int, typer.Option("--buckets", help="Columns of the model: buckets of imbalance.")] = 11,
    block: Annotated[str, typer.Option("--block", help="Blocks resampled; default: 5min of bac, else 10s.")] = "",
    draws: Annotated[int, typer.Option("--draws", min=100, help="Resamples.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    debug: Annotated[bool, typer.Option("--debug", envvar="TRIFUSE_DEBUG", help="Show tracebacks.")] = False,
) -> None:
    """Mean squared and absolute errors of the three forecasts, differences with intervals, and a plain verdict."""
    with one_line_errors(debug):
        horizons = [horizon_of(text) for text in ahead.split(",")]
        records, verdicts = {}, []
        for market in markets or MARKETS:
            quotes, length = quotes_of(market)
            splits = splits_of(usable(quotes))
            settings = {"block_ns": option_duration("--block", block or length), "draws": draws}
            found = [compare(splits, each, **settings, spreads=spreads, buckets=buckets) for each in horizons]
            records[market] = {"block": block or length, "comparisons": [record_of(each) for each in found]}
            verdicts.append(verdict_of(market, found))
            if not as_json:
                rows = [row for each in found for row in rows_of(each)]
                tests = sum(len(split.test.time) for split in splits)
                title = f"{market}: {tests:,} quotes in {len(splits)} tests, blocks of {block or length}"
                show(rows, title=title, numeric=("forecasts", MID, WEIGHTED, MICRO))
                typer.echo("")
        if as_json:
            answer({"markets": records, "verdicts": verdicts})
            return
        for line in verdicts:
            typer.echo(line)
        note("less X, %: the micro-price's mean loss less X's, in percent of the mid's, with its 95 % interval")


if __name__ == "__main__":
    typer.run(main)
