"""PNGs of Plotly figures, and of the tops of pages, drawn by a headless Chromium."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import plotly.offline

from gpu_kernels.errors import ConfigError

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def write_png(figure: dict[str, Any], path: Path, *, width: int = 1100, height: int = 560, scale: float = 1.0) -> None:
    """Draw a figure of plain mappings ({"data", "layout"}) at a size in CSS pixels.

    Raises ConfigError where no browser is found.
    """
    layout = {**figure["layout"], "width": width, "height": height}
    page = (
        "<!doctype html><meta charset='utf-8'><body style='margin:0;background:white'><div id='figure'></div>"
        f"<script>{plotly.offline.get_plotlyjs()}</script><script>Plotly.newPlot('figure', "
        f"{json.dumps(figure['data'])}, {json.dumps(layout)}, {{staticPlot: true}})</script>"
    )
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "figure.html"
        source.write_text(page)
        photograph(source, path, width=width, height=height, scale=scale)


def photograph(page: Path, path: Path, *, width: int, height: int, scale: float = 1.0) -> None:
    """Make a PNG of the top of a page, once its scripts have run; width (500 at least) and height in CSS pixels.

    Raises ConfigError where no browser is found.
    """
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise ConfigError(
            "no browser found, which draws the pictures",
            allowed=f"one of {', '.join(BROWSERS)} on the PATH",
            hint="install Chromium, or leave the pictures out",
        )
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / "page.png"
        subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                f"--force-device-scale-factor={scale:g}",
                f"--window-size={width},{height}",
                "--virtual-time-budget=10000",
                f"--user-data-dir={folder}/profile",
                f"--screenshot={drawn}",
                page.resolve().as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
        shutil.copyfile(drawn, path)
