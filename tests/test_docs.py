"""The code of the docs runs as it stands: docs/order_book.md on the log that it names."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusion.report.picture import BROWSERS

REPOSITORY = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.data
def test_the_walk_along_an_order_book_runs(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIFUSE_DATA", str(data_root))
    monkeypatch.chdir(tmp_path)
    code = "\n".join(BLOCK.findall((REPOSITORY / "docs" / "order_book.md").read_text()))
    drawing = next(line for line in code.splitlines() if line.startswith("write_png("))
    browser = any(shutil.which(name) for name in BROWSERS)
    names: dict[str, Any] = {}
    exec(compile(code if browser else code.replace(drawing, ""), "docs/order_book.md", "exec"), names)

    bid, bid_size, ask, _ = (names[name] for name in ("bid", "bid_size", "ask", "ask_size"))
    known = ~np.isnan(bid_size[0])
    assert not known[0]  # the snapshot is a message of many rows
    assert known.mean() > 0.95
    assert (bid[0, known] < ask[0, known]).all()
    # the log's last quote
    assert (bid[0, -1], ask[0, -1]) == (6_168_599, 6_168_600)
    assert names["sampled"][0].shape == (10, len(names["every_100_ms"].time))
    assert names["ten"]["spread"][-1] == pytest.approx(0.01, abs=1e-9)
    assert names["by_level"].shape == bid.shape
    assert len(names["picture"]["data"]) == 5
    assert not browser or (tmp_path / "book.png").stat().st_size > 20_000


def test_the_measures_of_volatility_run() -> None:
    code = "\n".join(BLOCK.findall((REPOSITORY / "docs" / "volatility_measures.md").read_text()))
    names: dict[str, Any] = {}
    exec(compile(code, "docs/volatility_measures.md", "exec"), names)
    true = 390 * 5e-4**2
    for estimate in ("kernel", "two"):
        assert names[estimate].mean() == pytest.approx(true, rel=0.3)
    assert np.isnan(names["hour"][:60]).all()
    assert np.isfinite(names["hour"][60:390]).all()
    assert names["days"].shape == (4, 3)


def test_the_time_of_day_in_variance_runs() -> None:
    code = "\n".join(BLOCK.findall((REPOSITORY / "docs" / "volatility_time_of_day.md").read_text()))
    names: dict[str, Any] = {}
    exec(compile(code, "docs/volatility_time_of_day.md", "exec"), names)
    for pattern in (names["pattern"], names["curve"]):
        assert np.isfinite(pattern[5:]).all()
        assert np.corrcoef(pattern[-1], names["shape"])[0, 1] > 0.8
    assert np.nanvar(names["calm"]) == pytest.approx(1e-6, rel=0.2)
    assert names["ahead"].shape == (2, 60 * 78)
    # nothing was planted at the events
    assert 0.3 < names["own"].min() <= 1.0 <= names["own"].max() < 3.0
