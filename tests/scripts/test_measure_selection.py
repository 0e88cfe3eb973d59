"""scripts/measure_selection.py: seeds are kept, a second run makes none again, figures go to a file."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import typer
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("measure_selection", ROOT / "scripts" / "measure_selection.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(script: ModuleType, *arguments: str) -> str:
    app = typer.Typer()
    app.command()(script.main)
    found = CliRunner().invoke(app, list(arguments))
    assert found.exit_code == 0, found.output
    return found.output


def test_seeds_are_kept_and_not_made_again(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = ["--seeds", "2", "--first", "7000", "--work", str(tmp_path), "--out", str(tmp_path / "out.json"), "-q"]
    text = run(script, *told)
    assert "2 seeds" in text
    assert "< 0.001" in text
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["effects"] == "off"
    assert found["found"]["with_discovery"]["seeds"] == 2
    assert len(list((tmp_path / "records").glob("panel-off-700?-*.json"))) == 2

    def never(*_: object) -> None:
        raise AssertionError("a seed that is there was made again")

    monkeypatch.setattr(script, "one", never)
    assert run(script, *told) == text
