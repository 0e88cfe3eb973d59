"""The pictures of alternative data, and the figures beside them."""

import csv
import gzip
import importlib.util
import statistics
import sys
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from fusion.studies.revised_series import measured, read_log

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.data


@pytest.fixture
def script(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("TRIFUSE_DATA", str(data_root))
    spec = importlib.util.spec_from_file_location("draw_alternative", ROOT / "scripts" / "draw_alternative.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "draw_alternative", module)
    spec.loader.exec_module(module)
    return module


def test_the_fan_of_vintages_is_drawn(script: ModuleType, tmp_path: Path) -> None:
    done = CliRunner().invoke(script.app, ["vintages", "--picture", str(tmp_path / "v.png")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "v.png").stat().st_size > 50_000
    assert "card spend: 842 days first printed in 150 vintages, 99.0 % revised" in done.output


def test_figures_of_card_spend_are_those_of_the_log_in_plain_python(
    data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIFUSE_DATA", str(data_root))
    prints: dict[str, list[tuple[datetime, float]]] = {}
    with gzip.open(data_root / "alt/series/oi_affinity_national_spend_all_vintages.csv.gz", "rt") as lines:
        for row in csv.DictReader(lines):
            when = datetime.fromisoformat(row["available_time"])
            prints.setdefault(row["event_date"], []).append((when, float(row["value"])))
    everything = [when for told in prints.values() for when, _ in told]
    begin, end = min(everything), max(everything)
    told = [sorted(prints[day]) for day in sorted(prints) if min(prints[day])[0] > begin]
    first, last = [each[0][1] for each in told], [each[-1][1] for each in told]
    shifts = [b - a for a, b in zip(first, last, strict=True)]
    found = measured(read_log("card spend"))
    assert found.facts == len(told)
    assert found.vintages == len(set(everything))
    assert found.level == pytest.approx(statistics.correlation(first, last), abs=1e-12)
    weeks = [[values[i] - values[i - 7] for i in range(7, len(values))] for values in (first, last)]
    assert found.change == pytest.approx(statistics.correlation(*weeks), abs=1e-9)
    assert found.mean == pytest.approx(statistics.fmean(shifts), abs=1e-12)
    assert found.mean_size == pytest.approx(statistics.fmean(map(abs, shifts)), abs=1e-12)
    for tolerance, days in found.settled.items():
        waits = []
        for each in told:
            away = [place for place, (_, value) in enumerate(each) if abs(value - each[-1][1]) > tolerance]
            waits.append((each[away[-1] + 1 if away else 0][0] - each[0][0]) / timedelta(days=1))
        assert days == pytest.approx(statistics.median(waits), abs=1e-9)
    age = timedelta(weeks=13)
    left = [
        abs([value for when, value in each if when <= each[0][0] + age][-1] - each[-1][1])
        for each in told
        if each[0][0] + age <= end
    ]
    size, facts = found.size_by_age[age]
    assert facts == len(left)
    assert size == pytest.approx(statistics.fmean(left), abs=1e-12)
