"""The command that judges scores of one's own. Heavy packages load inside it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fusion.commands.options import Json
from fusion.console import answer, option_duration, show, warn
from gpu_kernels.errors import ConfigError

_SHOWN = (
    ("rank_ic", "all", "rank IC"),
    ("ic", "all", "IC"),
    ("t_stat", "all", "t of the rank IC"),
    ("icir", "all", "ICIR"),
    ("rank_ic", "volatility", "rank IC, volatility"),
    ("rank_ic_difference", "volatility", "rank IC, volatility"),
    ("rank_ic", "regime", "rank IC, regime"),
    ("rank_ic_neutral", "neutral", "rank IC neutral to"),
    ("cross_sectional_rank_ic", "all", "rank IC across entities"),
    ("cross_sectional_t", "all", "its t"),
    ("top_minus_bottom", "all", "top less bottom, bps"),
    ("hit_rate", "all", "hit rate"),
    ("turnover", "all", "turnover"),
    ("autocorrelation", "all", "autocorrelation"),
)


def evaluate(
    scores: Annotated[
        Path, typer.Argument(metavar="SCORES", help=".parquet, .csv or .jsonl: entity, decision_time, score.")
    ],
    run: Annotated[Path | None, typer.Option("--run", help="A finished run, whose labels judge them.")] = None,
    prices: Annotated[
        Path | None, typer.Option("--prices", help="Or a file of prices: entity, event_time, price or close.")
    ] = None,
    horizons: Annotated[
        list[str] | None,
        typer.Option("--horizon", metavar="HORIZON", help="May be repeated; the first is told. Default: the run's."),
    ] = None,
    column: Annotated[str, typer.Option("--column", help="Of the score.")] = "score",
    calendar: Annotated[str, typer.Option("--calendar", help="Of the prices' sessions.")] = "XNYS",
    max_age: Annotated[str, typer.Option("--max-age", help="A price older than this labels nothing.")] = "10min",
    timezone: Annotated[str | None, typer.Option("--timezone", help="Of times that name none.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write every measure to .parquet, .csv or .jsonl.")] = None,
    as_json: Json = False,
) -> None:
    """Judge scores of your own: ICs with intervals, by hour, regime, entity and volatility, decay, quantiles.

    What a score is compared with comes from a run (its labels, regimes and
    settings) or from prices, of which no return crosses a session.

    \b
    Examples:
      trifuse evaluate scores.parquet --run runs/demo/0123456789ab
      trifuse evaluate scores.csv --prices bars.parquet --horizon 15min --horizon 5min
      trifuse evaluate scores.csv --prices bars.csv --horizon 5min --json | jq .measures
    """
    if (run is None) == (prices is None):
        raise ConfigError("give --run or --prices, one of them", hint="`trifuse evaluate --help` shows both")
    if prices is not None and not horizons:
        raise ConfigError("--prices needs --horizon", hint="e.g. --horizon 15min")
    oldest = option_duration("--max-age", max_age)
    from fusion import own_scores
    from fusion.horizon import horizon_name
    from fusion.table_files import check_other, check_target, write_table

    if out is not None:
        check_target(out)
        check_other("--out", out, (scores, prices))
    read = own_scores.read_scores(scores, column=column, timezone=timezone)
    if run is not None:
        found = own_scores.by_run(read, run, horizons=horizons)
    else:
        assert prices is not None
        found = own_scores.by_prices(
            read, prices, horizons=horizons or (), calendar=calendar, max_age_ns=oldest, timezone=timezone
        )
    warn(found.warnings)
    if out is not None:
        write_table(found.table, out)
    primary = horizon_name(found.primary)
    told = found.table.filter(horizon=primary)
    rows: list[dict[str, Any]] = []
    for metric, kind, name in _SHOWN:
        for row in told.filter(metric=metric, group_kind=kind).iter_rows(named=True):
            if row["value"] is not None:
                rows.append({"measure": name if kind == "all" else f"{name} {row['group']}", **row})
    if as_json:
        fields = ("metric", "group_kind", "group", "value", "low", "high", "count")
        measures = [{name: row[name] for name in fields} for row in rows]
        answer({"horizon": primary, "used": found.used, "given": found.given, "measures": measures})
        return
    typer.echo(f"{found.used:,} scores against the return of {primary}")
    show(
        [
            {
                "measure": row["measure"],
                "value": f"{row['value']:+.4f}",
                "interval": "" if row["low"] is None else f"[{row['low']:+.4f}, {row['high']:+.4f}]",
                "of": f"{row['count']:,} {'rows' if row['metric'] == 'hit_rate' else 'sessions'}",
            }
            for row in rows
        ],
        numeric=("value", "of"),
    )
