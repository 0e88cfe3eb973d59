"""The tables of the report."""

from typing import Any

import polars as pl
import yaml

from fusion.report.figures import GROUP_KINDS, SCORE_NAMES
from fusion.report.run_folder import RunFolder, number, section
from fusion.report.wording import (
    MISSING,
    Table,
    chance,
    interval,
    percent,
    plain,
    signed,
    significant_digits,
    size,
    when,
    whole,
)

_LONGEST = 120  # characters of a quarantined row that are shown
_EXAMPLES = 2
_LEFT_OUT = ("expected_observations", "matched")  # expected_sessions in another unit; how the number was given
_FIRST = ("refit_session", "regime", "name", "share", "expected_sessions")
_ALLOWED = ", with the variance that labels spanning several of them leave between neighbours"
_SKILL = ("rank_ic", "ic", "icir", "hit_rate", "top_minus_bottom")


def skill(run: RunFolder) -> Table | None:
    """Every whole-sample figure of each score and horizon."""
    rows = []
    for score in run.scores:
        for horizon in run.horizons:
            find = {name: run.estimate(name, score=score, horizon=horizon) for name in _SKILL}
            t_stat = run.estimate("t_stat", score=score, horizon=horizon)
            if not find["rank_ic"].known:
                continue
            rows.append(
                [
                    SCORE_NAMES.get(score, score),
                    horizon + (" (primary)" if horizon == run.primary else ""),
                    signed(find["rank_ic"].value),
                    interval(find["rank_ic"]),
                    signed(t_stat.value, 2),
                    signed(find["ic"].value),
                    interval(find["ic"]),
                    signed(find["icir"].value, 2),
                    percent(find["hit_rate"].value),
                    signed(find["top_minus_bottom"].value, 2),
                    interval(find["top_minus_bottom"], 2),
                    whole(find["rank_ic"].count),
                ]
            )
    if not rows:
        return None
    columns = [
        "score",
        "horizon",
        "rank IC",
        f"{run.confidence} interval",
        "t",
        "IC",
        f"{run.confidence} interval",
        "ICIR",
        "hit rate",
        "spread, bps",
        f"{run.confidence} interval",
        f"{run.period}s",
    ]
    note = (
        "Rank IC: Spearman; IC: Pearson; both over all decisions, as a session's own mean holds the future. t: errors "
        f"clustered by session{_ALLOWED if run.spanned > 1 else ''}. ICIR: mean over standard deviation of the "
        "sessions' contributions to the rank IC, not annualised. Hit rate: share of decisions whose return had the "
        "sign of the score. Spread: mean return of the top quantile of all scores less that of the bottom one, before "
        "costs."
    )
    return Table("Skill by horizon", columns, rows, note, text_columns=2)


def groups(run: RunFolder) -> Table | None:
    """The numbers behind the plot by group."""
    rows = [
        [word, group, signed(each.value), interval(each), whole(each.count)]
        for kind, word in GROUP_KINDS.items()
        for group, each in run.estimates("rank_ic", group_kind=kind).items()
    ]
    if not rows:
        return None
    return Table(
        "Rank IC by group",
        ["kind", "group", "rank IC", f"{run.confidence} interval", f"{run.period}s"],
        rows,
        text_columns=2,
    )


def states(run: RunFolder) -> Table | None:
    """The described regimes of regime_states.json, whatever figures it holds."""
    records = [_flat(record) for record in run.regime_states]
    newest = max((str(record.get("refit_session", "")) for record in records), default="")
    records = [record for record in records if str(record.get("refit_session", "")) == newest]
    found = dict.fromkeys(key for record in records for key in record)
    others = [name for name in found if name not in (*_FIRST, *_LEFT_OUT)]
    columns = [*(name for name in _FIRST if name in found), *others]
    if not columns:
        return None
    rows = [[_cell(column, record.get(column)) for column in columns] for record in records]
    note = "Parameters of the last refit; means and deviations in the unit of the transformed input."
    words = 3 if "name" in columns else 1
    return Table("Regimes as fitted", [column.replace("_", " ") for column in columns], rows, note, text_columns=words)


def _flat(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in record.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat |= _flat(value, f"{name} ")
        elif isinstance(value, list):
            flat |= _flat({str(index): item for index, item in enumerate(value)}, f"{name} ")
        else:
            flat[name] = value
    return flat


def _cell(column: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return MISSING if value is None else str(value)
    if isinstance(value, int):
        return whole(value)
    if column == "share":
        return percent(value)
    return plain(value, 1) if column == "expected_sessions" else significant_digits(value)


def last_refit(run: RunFolder) -> Table | None:
    """What the model now in use was given, feature by feature."""
    if run.selection is None or run.selection.is_empty():
        return None
    rows = run.selection.filter(pl.col("kept"), pl.col("refit_session") == pl.col("refit_session").max())
    rows = rows.sort(["regime", "q_value"], nulls_last=True)
    columns = ["regime", "feature", "status", "IC", "t", "q", "reason"]
    cells = [
        [
            str(row["regime"]),
            row["feature"],
            "significant" if row["significant"] else "kept, not significant",
            signed(number(row["ic"])),
            signed(number(row["t_stat"]), 2),
            chance(number(row["q_value"])),
            row["reason"] or "",
        ]
        for row in rows.iter_rows(named=True)
    ]
    refit = when(run.selection["refit_session"].max())
    if not cells:
        cells = [["–", "no feature was kept", "", "", "", "", ""]]
    return Table(f"Features of the last refit ({refit})", columns, cells, text_columns=3, last_words=1)


def sources(run: RunFolder) -> Table | None:
    """Rows read, used and set aside, source by source."""
    rows = []
    known = {"table", "read", "used", "quarantined"}
    for name, source in section(run.manifest, "sources").items():
        if not isinstance(source, dict):
            continue
        reasons = section(source, "quarantined")
        bad, read = sum(reasons.values()), source.get("read") or 0
        words = ", ".join(f"{reason.replace('_', ' ')} {count:,}" for reason, count in reasons.items() if count)
        flat = {key: value for key, value in _flat(source).items() if not key.startswith("quarantined ")}
        others = {key.removeprefix("ignored "): value for key, value in flat.items() if key not in known}
        counts = {key: value for key, value in others.items() if isinstance(value, int) and value}
        rest = ", ".join(f"{key.replace('_', ' ')} {value:,}" for key, value in counts.items())
        share = percent(bad / read, 2) if read else MISSING
        numbers = [whole(number(read)), whole(number(source.get("used"))), whole(bad), share]
        rows.append([name, str(source.get("table", "")), *numbers, words or "none", rest or "none"])
    if not rows:
        return None
    columns = ["source", "table", "read", "used", "set aside", "share", "set aside, by reason", "other counts"]
    note = "Rows set aside are in quarantine.parquet with file and line. Late: arrived after a later one; not used."
    return Table("Rows by reason", columns, rows, note, text_columns=2, last_words=2)


def bad_rows(run: RunFolder) -> Table | None:
    """A few examples of each reason, as they stood in the file."""
    if run.quarantine is None or run.quarantine.is_empty():
        return None
    first = run.quarantine.group_by(["source", "reason"], maintain_order=True).head(_EXAMPLES)
    rows = []
    for row in first.sort(["source", "reason"]).iter_rows(named=True):
        raw = str(row.get("raw") or "")
        text = raw if len(raw) <= _LONGEST else raw[:_LONGEST] + "…"
        line = "" if row["line"] is None else str(row["line"])
        rows.append(
            [row["source"], str(row["reason"]).replace("_", " "), str(row["file"]).rsplit("/", 1)[-1], text, line]
        )
    columns = ["source", "reason", "file", "row as read", "line"]
    return Table("Examples of rows set aside", columns, rows[:60], text_columns=4)


def manifest(run: RunFolder) -> list[Table]:
    """Where the figures came from, so that somebody else can get the same."""
    content = run.manifest
    skip = {"config", "inputs", "sources", "packages", "stages", "outputs", "warnings", "sentiment"}
    facts = [[key.replace("_", " "), _words(value)] for key, value in content.items() if key not in skip]
    tables = [Table("Run", ["fact", "value"], facts, text_columns=2)] if facts else []
    if text := section(content, "sentiment"):
        told = section(text, "card") | {key: value for key, value in text.items() if key not in {"card", "texts"}}
        told |= {f"texts of {name}": counts for name, counts in section(text, "texts").items()}
        rows = [[key.replace("_", " "), _words(value)] for key, value in told.items()]
        tables.append(Table("Text model", ["fact", "value"], rows, last_words=1))
    stages = section(content, "stages")
    if stages:
        longest = sorted(stages.items(), key=lambda stage: (-number(stage[1]), stage[0]))
        rows = [[name, plain(number(seconds), 1)] for name, seconds in longest]
        rows.append(["all", plain(sum(number(seconds) for seconds in stages.values()), 1)])
        tables.append(Table("Time of each stage", ["stage", "seconds"], rows))
    inputs = [item for item in content.get("inputs") or [] if isinstance(item, dict)]
    if inputs:
        rows = [[str(item.get("path")), str(item.get("sha256")), size(number(item.get("bytes")))] for item in inputs]
        tables.append(Table("Input files", ["path", "sha256", "size"], rows, text_columns=2))
    outputs = section(content, "outputs")
    if outputs:
        rows = [[name, str(digest)] for name, digest in outputs.items()]
        tables.append(Table("Output files", ["file", "sha256"], rows, text_columns=2))
    packages = section(content, "packages")
    if packages:
        rows = [[name, str(version)] for name, version in packages.items()]
        tables.append(Table("Packages", ["package", "version"], rows, text_columns=2))
    return tables


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_words(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_words(item) for item in value)
    return MISSING if value is None else str(value)


def config_text(run: RunFolder) -> str:
    return yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True, width=100)


def headline_facts(run: RunFolder) -> list[tuple[str, str, str]]:
    """(name, value, detail) of the figures that stand under the verdict."""
    ic, ratio, spread = run.estimate("rank_ic"), run.estimate("icir"), run.estimate("top_minus_bottom")
    facts = [(f"rank IC, {run.primary}", signed(ic.value), f"{run.confidence}: {interval(ic)}")]
    if ratio.known:
        facts.append(("ICIR", signed(ratio.value, 2), "mean / deviation over sessions"))
    if spread.known:
        detail = f"{run.confidence}: {interval(spread, 2)}"
        facts.append(("top − bottom, bps", signed(spread.value, 2), detail))
    if (net := run.estimate("net_top_minus_bottom")).known:
        facts.append(
            (f"after costs, bps a {run.period}", signed(net.value, 1), f"{run.confidence}: {interval(net, 1)}")
        )
    if run.selection is not None and not run.selection.is_empty():
        last = run.selection.filter(pl.col("refit_session") == pl.col("refit_session").max())
        kept, good = last.filter(pl.col("kept")).height, last.filter(pl.col("kept") & pl.col("significant")).height
        words = "0" if not kept else f"{kept:,}, {'all' if good == kept else good or 'none'} significant"
        facts.append(("kept at last refit", words, "features, counted by regime"))
    if run.signals is not None:
        scored = run.signals["score"].drop_nulls().drop_nans().len()
        facts.append(("signals", whole(run.signals.height), f"{whole(scored)} with a score"))
    window = section(run.manifest, "window")
    if window:
        facts.append((f"{run.period}s", whole(number(window.get("sessions"))), _window(run, window)))
    entities = run.manifest.get("entities") or []
    if entities:
        shown = ", ".join(str(name) for name in entities[:6]) + (", …" if len(entities) > 6 else "")
        facts.append(("entities", whole(len(entities)), shown))
    return facts


def _window(run: RunFolder, window: dict[str, Any]) -> str:
    """From when to when; moments where the config names such, and a day once where it is the only one."""
    edges = [str(run.config.get(name) or window.get(name)) for name in ("start", "end")]
    if not any("T" in edge for edge in edges):
        edges = list(dict.fromkeys(str(window.get(name)) for name in ("start", "end")))
    return " to ".join(edge.replace("T", " ").removesuffix("Z") for edge in edges)
