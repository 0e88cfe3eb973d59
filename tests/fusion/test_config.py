"""Configs: what ships loads, and every mistake is one line that names the key, the value and what to do."""

from pathlib import Path

import pytest
import yaml

from fusion import pipeline
from fusion.commands.files import _files
from fusion.config import load
from gpu_kernels.errors import ConfigError, DataError

ROOT = Path(__file__).resolve().parent.parent.parent
DEMO = ROOT / "configs" / "demo.yaml"


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_in_the_repository_loads(path: Path) -> None:
    assert load(path).name == path.stem


def test_minutes_of_ones_own_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that the head of es_minutes.yaml shows is the file that it reads."""
    path = ROOT / "configs" / "es_minutes.yaml"
    shown = [line.removeprefix("#   ") for line in path.read_text().splitlines() if line.startswith("#   ")]
    others = {"calendar": "Start,Name\n01/09/2015 13:30:00,Nonfarm Payrolls\n", "vix": "DATE,CLOSE\n2015-01-05,19.9\n"}
    (tmp_path / "es").mkdir()
    (tmp_path / "es" / "x.csv").write_text("\n".join([*shown, ""]))
    for name, text in others.items():
        (tmp_path / f"{name}.csv").write_text(text)
    monkeypatch.setenv("MY_DATA", str(tmp_path))
    config = load(path, [f"sources.{name}.files={tmp_path}/{name}.csv" for name in others])
    assert _files(config) == ({"bars": 1, "calendar": 1, "vix": 1}, [])
    (tmp_path / "es" / "x.csv").write_text("\n".join([shown[0], "2015-01-04 17:00,1,1,1,1,1", ""]))
    with pytest.raises(DataError, match="leave time_format out"):
        _files(config)


def test_overrides_reach_nested_keys() -> None:
    config = load(DEMO, ["simulate.sessions=61", "seed=3", "targets.primary=5min"])
    assert config.simulate is not None
    assert (config.simulate.sessions, config.seed, config.targets.primary) == (61, 3, 300 * 10**9)


def test_features_alone_need_no_targets() -> None:
    config = load(ROOT / "configs" / "tweets.yaml")
    assert (config.targets, config.source_of("bar"), len(config.entities)) == (None, None, 87)
    with pytest.raises(ConfigError, match=r"targets is missing.*`trifuse features`"):
        pipeline.run(config, lake=Path("no_lake"), runs=Path("runs"))
    assert not Path("no_lake").exists()


def test_the_digest_ignores_layout_and_follows_content(tmp_path: Path) -> None:
    copy = tmp_path / "copy.yaml"
    copy.write_text(yaml.safe_dump(yaml.safe_load(DEMO.read_text())))
    assert load(copy).digest() == load(DEMO).digest()
    assert load(DEMO, ["seed=8"]).digest() != load(DEMO).digest()


@pytest.mark.parametrize("name", sorted(path.name for path in DEMO.parent.glob("*.yaml")))
def test_a_dumped_config_loads_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A run's folder holds its config with every option; signals are brought up to date by it."""
    monkeypatch.setenv("TRIFUSE_DATA", str(tmp_path))
    config = load(DEMO.parent / name)
    path = tmp_path / "again.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_none=True)))
    assert load(path) == config


MISTAKES = {
    "no_such_key": ("decisions.steps=5min", "decisions.steps is not a known key"),
    "no_unit": ("decisions.step=5", "has no unit"),
    "zero_step": ("decisions.step=0", "decisions.step"),
    "not_a_duration": ("decisions.first=soon", "'soon' is not a duration"),
    "unknown_source": ("features.tweets=all", "which is no source"),
    "bad_kind": ("sources.bars.kind=csvfile", "csvfile"),
    "bad_name": ("name=../up", "name"),
    "end_before_start": ("start=2024-02-01 end=2024-01-01", "is after end"),
    "metrics_of_a_table": ("features.lots=all", "only the file knows which metrics"),
    "no_tick": ("sources.book.tick=null", "has no tick"),
    "far_future": ("end=2400-01-01", "is outside of"),
    "endless": ("decisions.step=99999999999d", "is too long"),
    "entity_twice": ("entities=[BRKH,BRKH]", "holds one twice"),
    "no_entities": ("entities=[]", "entities"),
    "not_an_override": ("decisions.step", "is not key=value"),
}


@pytest.mark.parametrize(("overrides", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_that_names_it(overrides: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(DEMO, overrides.split())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


FILES = {
    "empty": (b"", "holds NoneType"),
    "list": (b"- 1\n- 2\n", "holds list"),
    "not_yaml": (b"a: [1, 2\n", "is not YAML"),
    "a_key_twice": (b"sources: {}\nseed: 1\nsources: {}\n", r"key 'sources' is there twice \(line 3, column 1\)"),
    "python_object": (b"a: !!python/object/apply:os.system ['true']\n", "is not YAML"),
    "binary": (bytes(range(128, 256)), "cannot be read"),
}


@pytest.mark.parametrize(("content", "message"), FILES.values(), ids=FILES)
def test_a_broken_file_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(ConfigError):
            load(path)


def test_a_run_without_bars_is_refused() -> None:
    tree = yaml.safe_load(DEMO.read_text())
    del tree["sources"]["bars"], tree["features"]["bars"]
    from fusion.config import parse  # the mapping form, which the command line does not use

    with pytest.raises(ConfigError, match="name the source of the prices"):
        parse(tree)
