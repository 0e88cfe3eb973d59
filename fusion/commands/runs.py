"""The commands that work on a config as a whole: run, ingest, signals, verify. Heavy packages load inside them."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from fusion.commands.options import LAKE, RUNS, ConfigFile, Json, Lake, Overrides, Quiet, RunPath, Runs
from fusion.console import answer, note, progress, show, warn


def run(
    config: ConfigFile,
    overrides: Overrides = None,
    lake: Lake = LAKE,
    runs: Runs = RUNS,
    rerun: Annotated[bool, typer.Option("--rerun", help="Run again although an identical run is there.")] = False,
    contribution: Annotated[
        bool, typer.Option("--contribution", help="Refit without each source, and tell what each one adds.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a config end to end: ingest, features, regimes, selection, model, signals, report.

    Writes runs/NAME/ID/ with features.parquet, signals.parquet, report.html
    and manifest.json. The ID is made from the config, the input files and the
    code: the same run is not made twice. The folder appears when complete.

    \b
    Examples:
      trifuse run configs/demo.yaml
      trifuse run configs/demo.yaml --set simulate.effects=false --set seed=11
      trifuse run configs/tech_news.yaml --json | jq -r .report
      trifuse run configs/tech_news.yaml --contribution
    """
    overrides = [*(overrides or []), *(["evaluation.contribution=true"] if contribution else [])]
    with progress(quiet) as advance:
        summary = run_summary(config, overrides, lake, runs, rerun=rerun, advance=advance)
    if as_json:
        answer(summary)
        return
    typer.echo(summary["verdict"]["headline"])
    for row in summary["comparison"]:
        ends = (
            "" if row["difference_low"] is None else f" [{row['difference_low']:+.3f}, {row['difference_high']:+.3f}]"
        )
        typer.echo(f"{row['tells']} added {row['difference']:+.3f}{ends}: {row['verdict']} ({row['reason']})")
    for row in summary["contribution"]:
        added = "" if row["added"] is None else f", rank IC {row['added']:+.3f}"
        typer.echo(f"{row['source']}: {row['verdict']}{added} ({row['reason']})")
    if summary["contribution"] and all(row["verdict"] != "added information" for row in summary["contribution"]):
        typer.echo("none of the sources was shown to add information")
    for line in summary["warnings"]:
        typer.echo(f"warning: {line}")
    for name in ("report", "signals", "manifest"):
        typer.echo(f"{name:<9} {summary[name]}")
    if summary["reused"]:
        note("This run was there already; --rerun makes it again.")


def run_summary(
    config: Path,
    overrides: list[str],
    lake: Path,
    runs: Path,
    *,
    rerun: bool = False,
    advance: Callable[[str, float | None], None] = lambda _stage, _share: None,
) -> dict[str, Any]:
    """Runs a config, or finds it run; what `trifuse run --json` prints of it."""
    from fusion import config as configs

    settings = configs.load(config, overrides)  # a mistake is told before the slow imports
    from fusion import pipeline, report
    from fusion.report import comparison, contribution
    from fusion.report.run_folder import RunFolder
    from fusion.report.verdict import verdict

    warn(pipeline.look_ahead(settings))
    result = pipeline.run(settings, lake=lake, runs=runs, progress=advance, rerun=rerun)
    page = result.folder / "report.html"
    if not page.is_file():
        report.build(result.folder)
    found = RunFolder(result.folder)
    said, ic = verdict(found), found.estimate("rank_ic")
    return {
        "folder": str(result.folder),
        "report": str(page),
        "signals": str(result.folder / "signals.parquet"),
        "manifest": str(result.folder / "manifest.json"),
        "reused": result.reused,
        "verdict": {"tone": said.tone, "headline": said.headline},
        "primary": {
            "horizon": found.primary,
            "rank_ic": ic.value,
            "low": ic.low,
            "high": ic.high,
            "sessions": ic.count,
        },
        "comparison": [
            {name: row[name] for name in _COMPARISON} for row in comparison.rows_of(found) if row["tells"] is not None
        ],
        "contribution": [{name: row[name] for name in _CONTRIBUTION} for row in contribution.rows_of(found)],
        "warnings": list(result.manifest.get("warnings") or []),
    }


_COMPARISON = ("model", "tells", "verdict", "difference", "difference_low", "difference_high", "p_holm", "reason")
_CONTRIBUTION = ("source", "verdict", "added", "added_low", "added_high", "p_holm", "sessions", "reason")


def ingest(
    config: ConfigFile,
    overrides: Overrides = None,
    lake: Lake = LAKE,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes at a time, for files of different entities.")
    ] = 1,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read a config's files into the lake: checked, deduplicated, partitioned; bad rows go to quarantine.

    Only sources whose files, settings or code changed are read again. One that
    was killed goes on with the entities that are missing.

    \b
    Examples:
      trifuse ingest configs/tech_news.yaml
      trifuse ingest five_hundred.yaml --workers 8
      trifuse ingest my.yaml --json | jq '.[] | {name, counts}'
    """
    from fusion import config as configs
    from fusion import pipeline

    settings = configs.load(config, overrides or [])
    with progress(quiet) as advance:
        results = pipeline.ingest(settings, lake=lake, progress=advance, workers=workers)
    if as_json:
        fields = ("table", "folder", "quarantine", "counts", "inputs", "reused", "warnings")
        answer(
            [{"name": name} | {field: getattr(result, field) for field in fields} for name, result in results.items()]
        )
        return
    rows: list[dict[str, Any]] = []
    for name, result in results.items():
        counts, bad = result.counts, result.counts.get("quarantined", {})
        row = {"source": name, "table": result.table, "read": f"{counts['read']:,}", "used": f"{counts['used']:,}"}
        words = ", ".join(f"{reason} {count:,}" for reason, count in bad.items() if count)
        rows.append(
            row | {"set aside": words or "none", "": "reused" if result.reused else "new", "folder": result.folder}
        )
    show(rows, numeric=("read", "used"))
    for name, result in results.items():
        for line in result.warnings:
            typer.echo(f"warning: {name}: {line}")


def signals(
    run_folder: RunPath,
    end: Annotated[
        datetime | None, typer.Option("--end", formats=["%Y-%m-%d"], help="Last day; default: what the data reach.")
    ] = None,
    lake: Lake = LAKE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring a run's signals up to date with newer data, using its last model; nothing is fitted again.

    New rows are appended to the run's signals.parquet; rows that were there do
    not change. Prints the newest signal of each entity. For cron, see
    scripts/generate_signals.py.

    \b
    Examples:
      trifuse signals runs/tech_news/0123456789ab --end 2015-08-31
      trifuse signals runs/tech_news/0123456789ab --json | jq '.newest[] | [.entity, .score]'
    """
    from fusion import refresh
    from fusion.table_files import newest

    with progress(quiet) as advance:
        new = refresh.signals(run_folder, lake=lake, progress=advance, end=end.date() if end else None)
    last = newest(new)
    if as_json:
        answer({"folder": str(run_folder), "new_rows": new.height, "newest": last.to_dicts()})
        return
    rows = [
        {
            "entity": row["entity"],
            "decision_time": row["decision_time"],
            "score, bps": None if row["score"] is None else f"{row['score'] * 1e4:+.3f}",
            "status": row["status"],
            "valid_until": row["valid_until"],
        }
        for row in last.iter_rows(named=True)
    ]
    show(rows, numeric=("score, bps",))
    note(f"{new.height:,} new rows in {run_folder / 'signals.parquet'}")


def verify(
    config: ConfigFile,
    cuts: Annotated[int, typer.Option("--cuts", min=1, help="Times at which the inputs are cut.")] = 3,
    overrides: Overrides = None,
    lake: Lake = LAKE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check that nothing was used before it was known: cut the inputs, run again, compare.

    Every feature, regime probability, selection and signal up to a cut must be
    identical to the full run's; of a config without targets the features.
    Exit code 6 where one is not.

    \b
    Examples:
      trifuse verify configs/demo.yaml --cuts 3
      trifuse verify my.yaml --json | jq .ok
    """
    from fusion import config as configs
    from fusion import invariance
    from fusion.pipeline import look_ahead
    from gpu_kernels.errors import LeakError

    settings = configs.load(config, overrides or [])
    warn(look_ahead(settings))
    with progress(quiet) as advance:
        found = invariance.verify(settings, lake=lake, cuts=cuts, progress=advance)
    if as_json:
        answer({"ok": found.ok, "compared": found.compared.to_dicts(), "differences": found.differences.to_dicts()})
    else:
        show(found.compared.to_dicts(), title="compared", numeric=("rows", "columns"))
        show(found.differences.to_dicts(), title="differences", numeric=("rows",))
    if not found.ok:
        columns = sorted(set(found.differences["column"].to_list()))
        problem = f"results change when later data are taken away: {', '.join(columns[:8])}"
        raise LeakError(
            problem if columns else "nothing could be compared", hint="fix the clock or the feature, then verify again"
        )
    if not as_json:
        typer.echo("ok: nothing changes when later data are taken away")
