"""The commands that write a run's results for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from fusion.commands.options import Json, RunPath
from fusion.console import answer

app = typer.Typer(no_args_is_help=True, help="A run's results for other programs: alphalens.")


@app.command()
def alphalens(
    run_folder: RunPath,
    out: Annotated[Path, typer.Option("--out", help="A .parquet file of pandas, with its index.")],
    score: Annotated[str, typer.Option("--score", help="Column of signals.parquet.")] = "score",
    horizons: Annotated[
        list[str] | None,
        typer.Option("--horizon", metavar="HORIZON", help="May be repeated; default: all that the run has."),
    ] = None,
    quantiles: Annotated[int, typer.Option("--quantiles", min=2, help="Of the scores of each date.")] = 5,
    as_json: Json = False,
) -> None:
    """Write a run's scores and forward returns as alphalens' factor_data.

    A date is a decision time. Returns are the run's labels, so none crosses a
    session unless its horizon is counted in sessions; rows without one of the
    returns are left out.

    \b
    Examples:
      trifuse export alphalens runs/demo/0123456789ab --out factor_data.parquet
      trifuse export alphalens runs/demo/0123456789ab --horizon 5min --out five.parquet
      python -c "import pandas as pd, alphalens; \\
        print(alphalens.performance.mean_information_coefficient(pd.read_parquet('factor_data.parquet')))"
    """
    from fusion.evaluation.alphalens import factor_data
    from fusion.run_scores import run_scores
    from fusion.table_files import check_parquet, replacing

    check_parquet("--out", out)
    run = run_scores(run_folder, score, horizons)
    table = factor_data(
        run.predictions, run.labels, horizons=run.horizons, score=score, quantiles=quantiles, sectors=run.sectors
    )
    with replacing(out) as temporary:
        table.to_parquet(temporary)
    dates = table.index.get_level_values("date")
    if as_json:
        answer({"file": str(out), "rows": len(table), "dates": dates.nunique(), "columns": list(table.columns)})
        return
    typer.echo(f"{out}: {len(table):,} rows, {dates.nunique():,} dates, columns {', '.join(table.columns)}")
