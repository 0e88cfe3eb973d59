"""The picture of a report's first page, for the README.

    python scripts/draw_report.py runs/tech_news/<id>                 # into docs/report_tech_news.png
    python scripts/draw_report.py runs/demo/<id> --out demo.png --width 1400 --height 2000

The report is built anew from the run folder, which is otherwise left as it is.
"""

from pathlib import Path
from typing import Annotated

import typer

from fusion import report
from fusion.console import note, one_line_errors
from fusion.report.picture import photograph

OUT = Path(__file__).resolve().parent.parent / "docs" / "report_tech_news.png"


def main(
    run: Annotated[Path, typer.Argument(help="folder of a finished run")],
    out: Annotated[Path, typer.Option(help="where the PNG goes")] = OUT,
    width: Annotated[int, typer.Option(min=500, help="CSS pixels")] = 1280,
    height: Annotated[int, typer.Option(min=200, help="CSS pixels")] = 1500,
    debug: Annotated[bool, typer.Option("--debug", envvar="TRIFUSE_DEBUG", help="Show tracebacks.")] = False,
) -> None:
    """Draw the top of a run's report."""
    with one_line_errors(debug):
        photograph(report.build(run), out, width=width, height=height)
        note(f"{out}: {width} x {height}")


if __name__ == "__main__":
    typer.run(main)
