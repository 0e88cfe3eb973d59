"""The commands that look at one thing: describe, schema, config, simulate. Heavy packages load inside them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fusion.commands.options import ConfigFile, Json, Overrides
from fusion.console import answer, note, outline, show

if TYPE_CHECKING:
    from gpu_kernels.spec import FeatureSpec


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


def schema(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="A table, a feature, a group of features of bars or news, or TA-Lib's name."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List every table and feature, or all about one: unit, clock, meaning, missing values, source.

    \b
    Examples:
      trifuse schema                 tables, then features
      trifuse schema bar             the table of bars and the features made from it
      trifuse schema volatility      the features of a group: of bars
      trifuse schema tone            or of news
      trifuse schema ADX             those that are TA-Lib's ADX
      trifuse schema book_ofi_30s    one feature, of any <time>
      trifuse schema trade_hawkes    the features whose names begin so
      trifuse schema --json | jq -r '.features[].name'
    """
    from dataclasses import asdict

    from fusion.features.lookup import specs_of
    from sources.schema import TABLES, TIME

    tables = [table for table in TABLES.values() if name in (None, table.name)]
    features = specs_of(name, some=not tables)
    columns = {
        table.name: [
            {
                "column": c.name,
                "type": "timestamp[ns, UTC]" if c.dtype == TIME else str(c.dtype),
                "unit": c.unit,
                "meaning": c.meaning,
                "nullable": c.nullable,
            }
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
    if len(features) == 1:
        for key, value in asdict(features[0]).items():
            outline(
                key, "no paper: the meaning is the definition" if (key, value) == ("source", "definition") else value
            )
        return
    show(_rows_of(features), title="features")
    if features:
        note("`trifuse schema NAME` tells the clock, missing values and source of one.")


def _rows_of(specs: Sequence["FeatureSpec"]) -> list[dict[str, str]]:
    """Name, group (of news), unit and meaning of features; what several mean by the same words is told once."""
    from sentiment import features as news
    from sentiment.feature_formulas import WEIGHTS

    group_of = {spec.name: group for group in news.GROUPS.own for spec in news.GROUPS.specs_of(group)}
    seen: set[str] = set()
    rows = []
    for spec in specs:
        meaning = spec.meaning
        for said, again in WEIGHTS.items():
            if said in seen:
                meaning = meaning.replace(said, again)
            elif said in meaning:
                seen.add(said)
        group = group_of.get(spec.name, "market" if spec.family == "news" else "")
        rows.append({"name": spec.name, "group": group, "unit": spec.unit, "meaning": meaning})
    if any(spec.family != "news" for spec in specs):
        rows = [{name: value for name, value in row.items() if name != "group"} for row in rows]
    return rows


def config(
    file: ConfigFile,
    check: Annotated[
        bool, typer.Option("--check", help="Only check it, its features, its files and their first rows.")
    ] = False,
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
        from fusion.features.choice import check as check_features
        from fusion.pipeline import warnings_of_config

        check_features(settings)
        files, doubts = _files(settings)
        warnings = warnings_of_config(settings) + doubts
        summary = {"config": str(file), "ok": True, "name": settings.name, "sha256": settings.digest(), "files": files}
        summary["warnings"] = warnings
        if as_json:
            answer(summary)
        else:
            counted = ", ".join(f"{name} {count}" for name, count in files.items())
            typer.echo(f"{file} is right, and its files are there ({counted}); `trifuse ingest` says what they hold")
            for line in warnings:
                typer.echo(f"warning: {line}")
    elif as_json:
        answer(content)
    else:
        typer.echo(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), nl=False)


def _files(settings: Any) -> tuple[dict[str, int | str], list[str]]:
    """Files of each source, and what nobody can tell of their first rows. Raises DataError where there are none, or
    their first rows cannot be read. Simulated ones are there only after a run."""
    from sources.files import input_files
    from sources.preview import preview
    from sources.quality import Window

    window = Window(settings.calendar, None, settings.start, settings.end)
    counts: dict[str, int | str] = {}
    doubts = []
    for name, source in settings.sources.items():
        if settings.simulate is not None and "${SIMULATED}" in str(source.files):
            counts[name] = "simulated"
            continue
        files = input_files(source, {})
        counts[name] = len(files)
        doubts += preview(name, source, files, window)
    return counts, doubts


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
