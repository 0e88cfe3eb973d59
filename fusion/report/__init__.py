"""The report of a run: one HTML file that needs no network and no server.

`build` reads a run folder only; nothing is computed here that the run did not compute, except counts, shares and the
difference between two scores.
"""

import os
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from fusion.report import comparison, contribution, figures, health, maps, regimes, returns, stability, tables
from fusion.report.not_verified import not_verified
from fusion.report.run_folder import RunFolder, section
from fusion.report.verdict import verdict
from fusion.report.wording import Figure

_HERE = Path(__file__).parent


def build(folder: Path) -> Path:
    """Write `report.html` into a run folder and return its path.

    The page holds its style, its data and plotly.js inline, resizes with the window, and follows the reader's light or
    dark setting. A section whose table the run did not write says so.

    Missing values: shown as an en dash in tables and as a gap in plots, never as zero.
    Raises ModelError where the folder is no finished run or one of its files is damaged.
    """
    html = render(RunFolder(Path(folder)))
    target = Path(folder) / "report.html"
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        temporary.write_text(html, encoding="utf-8")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def render(run: RunFolder) -> str:
    """The page as text."""
    # every text from the run (names of files, features, rows as read) passes the escaping; only our own files do not
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    gaps, coverage_words = maps.coverage(run)
    plots: dict[str, list[Figure | None]] = {
        "skill": [figures.by_regime(run), figures.by_horizon(run)],
        "cumulative": [figures.cumulative_ic(run)],
        "groups": [figures.by_group(run)],
        "returns": [*returns.cumulative(run)],
        "quantiles": [figures.quantiles(run)],
        "comparison": [comparison.figure(run)],
        "contribution": [contribution.figure(run)],
        "regimes": [regimes.timeline(run)],
        "selection": [*maps.selection(run)],
        "decay": [figures.decay(run)],
        "coverage": [gaps],
    }
    return environment.get_template("page.html").render(
        run=run,
        verdict=verdict(run),
        plots={name: [plot for plot in found if plot is not None] for name, found in plots.items()},
        tables={
            "skill": tables.skill(run),
            "groups": tables.groups(run),
            "returns": returns.table(run),
            "comparison": comparison.table(run),
            "contribution": contribution.table(run),
            "beside_prices": contribution.beside_prices(run),
            "states": tables.states(run),
            "selection": tables.last_refit(run),
            "stability": stability.table(run),
            "health": health.table(run),
            "sources": tables.sources(run),
            "quarantine": tables.bad_rows(run),
        },
        facts=tables.headline_facts(run),
        coverage_words=coverage_words,
        not_verified=not_verified(run),
        manifest=tables.manifest(run),
        config=tables.config_text(run),
        look_ahead=str(section(run.manifest, "sentiment").get("look_ahead") or ""),
        warnings=[str(line) for line in run.manifest.get("warnings") or []],
        style=Markup((_HERE / "style.css").read_text(encoding="utf-8")),
        plotly=Markup(get_plotlyjs()),
    )
