"""The `trifuse` command: thin callers of the library, one function a command.

stdout carries the answer, stderr the progress and the complaints. Heavy packages load inside the commands.
"""

import signal
from datetime import datetime
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from fusion.console import EXIT_CODES, Commands, answer, note, outline, progress, show

app = typer.Typer(
    cls=Commands,
    name="trifuse",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file, e.g. configs/demo.yaml.")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN_FOLDER", help="A finished run, e.g. runs/demo/0123456789ab.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace one key of the config, e.g. simulate.sessions=60."),
]
Lake = Annotated[Path, typer.Option("--lake", envvar="TRIFUSE_LAKE", help="Folder of the ingested tables.")]
Runs = Annotated[Path, typer.Option("--runs", envvar="TRIFUSE_RUNS", help="Folder of the runs.")]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]

LAKE, RUNS = Path("lake"), Path("runs")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trifuse {metadata.version('trifuse')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", envvar="TRIFUSE_DEBUG", help="Show tracebacks.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Version.")] = False,
) -> None:
    """Point-in-time-correct features and signals from order books, prices, news and alternative data.

    A value is used at time t only if it was known at t.

    \b
    Start here:
      trifuse run configs/demo.yaml        the embedded market, no data needed
      trifuse describe FILE                what is in a file of yours, and how to read it
      trifuse config --check my.yaml       is this config right?
      trifuse run my.yaml                  features, signals and a report
      trifuse signals runs/NAME/ID         newer signals when newer data came
    """


@app.command()
def run(
    config: ConfigFile,
    overrides: Overrides = None,
    lake: Lake = LAKE,
    runs: Runs = RUNS,
    rerun: Annotated[bool, typer.Option("--rerun", help="Run again although an identical run is there.")] = False,
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
    """
    from fusion import config as configs
    from fusion import pipeline, report
    from fusion.report.run_folder import RunFolder
    from fusion.report.verdict import verdict

    settings = configs.load(config, overrides or [])
    with progress(quiet) as advance:
        result = pipeline.run(settings, lake=lake, runs=runs, progress=advance, rerun=rerun)
    page = result.folder / "report.html"
    if not page.is_file():
        report.build(result.folder)
    found = RunFolder(result.folder)
    said, ic = verdict(found), found.estimate("rank_ic")
    summary: dict[str, Any] = {
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
        "warnings": list(result.manifest.get("warnings") or []),
    }
    if as_json:
        answer(summary)
        return
    typer.echo(said.headline)
    for line in summary["warnings"]:
        typer.echo(f"warning: {line}")
    for name in ("report", "signals", "manifest"):
        typer.echo(f"{name:<9} {summary[name]}")
    if result.reused:
        note("This run was there already; --rerun makes it again.")


@app.command()
def ingest(
    config: ConfigFile, overrides: Overrides = None, lake: Lake = LAKE, as_json: Json = False, quiet: Quiet = False
) -> None:
    """Read a config's files into the lake: checked, deduplicated, partitioned; bad rows go to quarantine.

    Only sources whose files, settings or code changed are read again.

    \b
    Examples:
      trifuse ingest configs/tech_news.yaml
      trifuse ingest my.yaml --json | jq '.[] | {name, counts}'
    """
    from fusion import config as configs
    from fusion import pipeline

    settings = configs.load(config, overrides or [])
    with progress(quiet) as advance:
        results = pipeline.ingest(settings, lake=lake, progress=advance)
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


@app.command()
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
    shown = [
        name for name in ("entity", "decision_time", "score", "rank", "status", "valid_until") if name in last.columns
    ]
    show(last.select(shown).to_dicts(), numeric=("score", "rank"))
    note(f"{new.height:,} new rows in {run_folder / 'signals.parquet'}")


@app.command()
def describe(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV, Parquet, JSONL (also .gz), zip, or a lake folder.")
    ],
    as_json: Json = False,
) -> None:
    """Say what is in a file: columns, clocks, entities, gaps, duplicates, and a config snippet that would read it.

    \b
    Examples:
      trifuse describe prices.csv.gz
      trifuse describe runs/demo/0123456789ab/signals.parquet --json
    """
    from sources.describe import describe as look

    found = look(file)
    if as_json:
        answer(found)
        return
    for key, value in found.items():
        outline(key, value)


@app.command()
def schema(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A table, a feature, or a family.")] = None,
    as_json: Json = False,
) -> None:
    """List every table and feature: unit, clock, meaning, missing values, source.

    \b
    Examples:
      trifuse schema                 tables, then features
      trifuse schema bar             the table of bars and the features made from it
      trifuse schema --json | jq -r '.features[].name'
    """
    from dataclasses import asdict

    from fusion.features import REGISTRY
    from gpu_kernels.errors import ConfigError
    from sources.schema import TABLES

    tables = [table for table in TABLES.values() if name in (None, table.name)]
    features = [spec for spec in REGISTRY if name in (None, spec.name, spec.family)]
    if not tables and not features:
        families = sorted({spec.family for spec in REGISTRY})
        raise ConfigError(
            f"{name!r} is no table, family or feature",
            allowed=", ".join(dict.fromkeys([*TABLES, *families])),
            hint="`trifuse schema` lists all features",
        )
    columns = {
        table.name: [
            {"column": c.name, "type": str(c.dtype), "unit": c.unit, "meaning": c.meaning, "nullable": c.nullable}
            for c in table.columns
        ]
        for table in tables
    }
    if as_json:
        facts = [
            {"name": table.name, "meaning": table.meaning, "key": table.key, "partition": table.partition}
            | {"columns": columns[table.name]}
            for table in tables
        ]
        answer({"tables": facts, "features": [asdict(spec) for spec in features]})
        return
    for table in tables:
        show(columns[table.name], title=f"table {table.name}: {table.meaning} Key: {', '.join(table.key)}.")
        typer.echo("")
    show([asdict(spec) for spec in features], title="features")


@app.command("config")
def config_(
    file: ConfigFile,
    check: Annotated[bool, typer.Option("--check", help="Only check it, and that its files exist.")] = False,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Check a config, or print it with every default filled in.

    \b
    Examples:
      trifuse config --check my.yaml
      trifuse config configs/demo.yaml --set model.trees=50

    \b
    A config, at its shortest:
      name: mine
      entities: [AAPL, MSFT]
      start: 2024-01-02
      end: 2024-12-31
      sources:
        bars:
          kind: table_file
          table: bar
          files: data/bars/*.parquet
          columns: {entity: ticker, event_time: end_time}
          timezone: America/New_York
          delay: 1s
          max_age: 10min
      decisions: {step: 5min, first: 15min, last: 15min, delay: 5s}
      targets: {horizons: [5min, 15min], primary: 15min}
      features: {bars: all}
    """
    import yaml

    from fusion import config as configs

    settings = configs.load(file, overrides or [])
    content = settings.model_dump(mode="json", exclude_none=True)
    if check:
        files = _files(settings)
        summary = {"config": str(file), "ok": True, "name": settings.name, "sha256": settings.digest(), "files": files}
        if as_json:
            answer(summary)
        else:
            counted = ", ".join(f"{name} {count}" for name, count in files.items())
            typer.echo(f"{file} is right: {len(settings.sources)} sources (files: {counted})")
    elif as_json:
        answer(content)
    else:
        typer.echo(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), nl=False)


def _files(settings: Any) -> dict[str, int | str]:
    """Files of each source. Raises DataError where there are none. Simulated ones are there only after a run."""
    from sources.files import input_files

    return {
        name: "simulated"
        if settings.simulate is not None and "${SIMULATED}" in str(source.files)
        else len(input_files(source, {}))
        for name, source in settings.sources.items()
    }


@app.command()
def score(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Text file (a text a line), CSV, JSONL or Parquet; - is stdin.")
    ],
    column: Annotated[str, typer.Option("--column", help="Column of the texts, in CSV, JSONL and Parquet.")] = "text",
    model: Annotated[str, typer.Option("--model", help="embedded, a hub name, or a local folder.")] = "embedded",
    out: Annotated[
        Path | None, typer.Option("--out", help="Write .parquet, .csv or .jsonl instead of printing.")
    ] = None,
    cache: Annotated[Path | None, typer.Option("--cache", help="SQLite file that remembers scores.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score texts with the sentiment model: negative, neutral, positive, and score = positive - negative.

    \b
    Examples:
      echo "Loss narrows as sales recover" | trifuse score -
      trifuse score headlines.csv --column headline --out scores.parquet
    """
    from sentiment.score import score as score_texts

    from fusion.table_files import read_texts, write_table

    texts = read_texts(file, column)
    with progress(quiet) as advance:
        scores = score_texts(texts, model, cache=cache, progress=lambda share: advance("sentiment", share))
    scores.insert_column(0, texts)
    if out is not None:
        write_table(scores, out)
        note(f"{scores.height:,} texts scored in {out}")
    elif as_json:
        answer(scores.to_dicts())
    else:
        show(scores.to_dicts(), numeric=scores.columns[1:])


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder that is new or empty.")],
    sessions: Annotated[int | None, typer.Option("--sessions", help="Trading days.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="The same seed gives the same bytes.")] = None,
    effects: Annotated[bool, typer.Option("--effects/--no-effects", help="Planted effects.")] = True,
    as_json: Json = False,
) -> None:
    """Write the embedded market to a folder: books, trades, bars, headlines, satellite counts, macro, and the truth.

    Its planted effects are described in docs/simulated_market.md.

    \b
    Examples:
      trifuse simulate market --sessions 80
      trifuse simulate null --no-effects --seed 11
    """
    from pydantic import ValidationError

    from gpu_kernels.errors import ConfigError
    from sources.simulate import SimulationConfig, write
    from sources.simulate import simulate as make

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there and not empty", allowed="a new or empty folder")
    given = {"sessions": sessions, "seed": seed, "effects": effects}
    try:
        settings = SimulationConfig.model_validate({key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = [f"{detail['loc'][0]}: {detail['msg']} (got {detail['input']!r})" for detail in error.errors()]
        raise ConfigError("; ".join(wrong)) from None
    write(make(settings), folder)
    files = [{"file": path.name, "bytes": path.stat().st_size} for path in sorted(folder.iterdir())]
    if as_json:
        answer({"folder": str(folder), "files": files})
    else:
        show([{"file": item["file"], "bytes": f"{item['bytes']:,}"} for item in files], numeric=("bytes",))


@app.command()
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
    identical to the full run's. Exit code 6 where one is not.

    \b
    Examples:
      trifuse verify configs/demo.yaml --cuts 3
      trifuse verify my.yaml --json | jq .ok
    """
    from fusion import config as configs
    from fusion import invariance
    from gpu_kernels.errors import LeakError

    settings = configs.load(config, overrides or [])
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


def _terminated(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main() -> None:
    """The console script. Being told to end (SIGTERM) removes what is half written, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _terminated)
    app(prog_name="trifuse")


if __name__ == "__main__":
    main()
