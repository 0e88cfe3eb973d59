"""The map of stores, and the figures of docs/sites.md that stand beside it."""

import importlib.util
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from gpu_kernels.errors import DataError
from sources.imagery.zones import read_zones
from sources.sites import sites_at
from sources.sites.join import join_lots

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.data


@pytest.fixture
def script(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("TRIFUSE_DATA", str(data_root))
    spec = importlib.util.spec_from_file_location("draw_stores", ROOT / "scripts" / "draw_stores.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_map_is_drawn(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    script.draw(tmp_path / "stores.png")
    assert (tmp_path / "stores.png").stat().st_size > 100_000
    assert "HD: 28 stores lie beyond the lower 48 states" in capsys.readouterr().err


def test_the_figures_of_the_page(script: ModuleType, data_root: Path) -> None:
    rows = {ticker: script.rows_of(ticker) for ticker in script.LISTS}
    there = pl.concat([sites_at(one, script.THEN) for one in rows.values()])
    assert there.height == 15_180
    opened = rows["DLTR"].filter(pl.col("event_time") == rows["DLTR"]["known_time"].max())
    assert opened.height == 304
    assert opened["region"].is_in(["US-PA", "US-NJ", "US-NY"]).sum() == 174
    lots, nearest = 0, []
    for path in sorted((data_root / "alt/entities/parking_polygons").glob("*.geojson")):
        zones = read_zones(path, parts=True).zones
        lots += len(zones)
        with pytest.raises(DataError) as error:
            join_lots(zones, there)
        nearest.append(str(error.value).partition("the nearest is ")[2].partition(" m away")[0])
    assert lots == 1333
    assert nearest[0] == "427"
    assert float(nearest[1].replace(",", "")) > 1500
    assert nearest[2] == "200"
    assert nearest[3].startswith("1,2")
