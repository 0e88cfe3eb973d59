"""A text model that may have read the future is told in the log, in the manifest and at the head of the report."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from example_run import write_run
from typer.testing import CliRunner

from fusion import report
from fusion.cli import app
from fusion.config import RunConfig, parse
from fusion.pipeline import look_ahead, warnings_of_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def config(**sentiment: Any) -> RunConfig:
    tree = yaml.safe_load((CONFIGS / "tech_news.yaml").read_text())
    return parse(tree | {"sentiment": sentiment})


def test_decisions_before_the_model_was_trained_are_warned_about() -> None:
    said = look_ahead(config(model="embedded"))
    assert len(said) == 1
    assert said == warnings_of_config(config(model="embedded"))[:1]
    assert "decisions from 2014-11-19 to that day may look ahead through the model itself" in said[0]


def test_an_unknown_model_is_warned_about_until_the_config_tells() -> None:
    assert "nobody says up to when some/model was trained" in look_ahead(config(model="some/model"))[0]
    assert look_ahead(config(model="some/model", trained_through="2014-11-18")) == []


def test_no_warning_where_no_news_is_read() -> None:
    tree = yaml.safe_load((CONFIGS / "tech_news.yaml").read_text())
    del tree["features"]["tweets"]
    assert look_ahead(parse(tree)) == []


def test_the_log_tells_it_before_the_work_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIFUSE_DATA", str(tmp_path / "absent"))
    done = CliRunner().invoke(app, ["run", str(CONFIGS / "tech_news.yaml"), "--lake", str(tmp_path / "lake")])
    assert done.exit_code == 3
    assert done.stderr.startswith("warning: texts are scored by the embedded model, which was trained on text up to 20")


def test_the_head_of_the_report(tmp_path: Path) -> None:
    write_run(tmp_path)
    page = report.build(tmp_path).read_text()
    head = page[page.index('<header id="verdict">') : page.index("</header>")]
    said = "Texts are scored by the embedded model, which was trained on text up to 2024-12-31"
    assert f"May look ahead.</strong> {said}" in head
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["sentiment"] = None
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert "May look ahead" not in report.build(tmp_path).read_text()
