"""Loads pages in a real headless Chromium and brings back what they say about themselves. No driver, no network.

The report goes into frames of given widths, because Chromium has a least window width of 500 pixels. A probe appended
to a copy of the page posts its findings to the outer page, whose document Chromium prints.
"""

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND",
    "--virtual-time-budget=30000", "--window-size=1700,1200",
)  # fmt: skip
_LISTEN = "<script>window.problems = []; addEventListener('error', (e) => problems.push(e.message));"
_LISTEN += "addEventListener('unhandledrejection', (e) => problems.push(String(e.reason)));"
_LISTEN += "addEventListener('securitypolicyviolation', (e) => problems.push(e.blockedURI + ' blocked'));</script>"
_PROBE = """<script>
addEventListener("message", () => {
  const root = document.documentElement;
  const plots = [...document.querySelectorAll(".plot")].map((plot) => ({
    name: plot.id,
    width: plot.clientWidth,
    drawn: Number(plot.querySelector(".main-svg")?.getAttribute("width") ?? 0),
    marks: plot.querySelectorAll(".main-svg path, .main-svg image, canvas").length,
  }));
  const style = getComputedStyle(document.body);
  parent.postMessage({
    frame: window.name, width: innerWidth, content: root.scrollWidth, plots, problems: window.problems,
    loaded: performance.getEntriesByType("resource").map((entry) => entry.name),
    colour: style.color, ground: style.backgroundColor, title: document.title,
    ink: document.querySelector(".xtick text")?.style.fill ?? "",
  }, "*");
});
</script>"""
_OUTER = """<!DOCTYPE html><body style="margin:0"><pre id="found"></pre><script>
const widths = %s, found = {};
addEventListener("message", (event) => {
  found[event.data.frame] = event.data;
  document.getElementById("found").textContent = JSON.stringify(found);
});
for (const [name, first, then] of widths) {
  const frame = document.createElement("iframe");
  Object.assign(frame, { name, width: first, height: 900, src: %s });
  frame.onload = () => {
    frame.width = then;
    setTimeout(() => frame.contentWindow.postMessage("report", "*"), 3000);
  };
  document.body.append(frame);
}
</script></body>"""


def chromium() -> str:
    """Path of a Chromium; skips the test where there is none."""
    found = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if not found:
        pytest.skip("no Chromium found; install one or set CHROMIUM to its path")
    return found


def look(page: Path, folder: Path, widths: list[tuple[str, int, int]], *extra: str) -> dict[str, dict[str, Any]]:
    """name -> findings, for frames of (name, width at first, width then)."""
    binary = chromium()
    text = page.read_text(encoding="utf-8")
    probed = folder / "probed.html"
    probed.write_text(
        text.replace("<head>", "<head>" + _LISTEN, 1).replace("</body>", _PROBE + "</body>"), encoding="utf-8"
    )
    outer = folder / "outer.html"
    outer.write_text(_OUTER % (json.dumps(widths), json.dumps(probed.as_uri())), encoding="utf-8")
    command = [binary, *_FLAGS, *extra, f"--user-data-dir={folder / 'profile'}", "--dump-dom", outer.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r'<pre id="found">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, f"the page said nothing: {done.stdout[:500]} {done.stderr[-500:]}"
    findings: dict[str, dict[str, Any]] = json.loads(html.unescape(found[1]))
    return findings
