"""Features entity by entity: the bits of the whole matrix, whatever is killed, fails or is asked for in pieces."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from small_market import Market

from fusion import config as configs
from fusion import features, pipeline
from fusion.features.peers import Sums
from fusion.grid import decision_grid
from fusion.partitions import key, make
from fusion.plan import make_plan
from gpu_kernels.errors import ConfigError, DataError, TrifuseError
from sources.hold import BusyError, holding
from sources.lake import IngestResult
from sources.sessions import sessions
from sources.stream import in_order

ROOT = Path(__file__).resolve().parent.parent.parent
ENTITIES = [f"S{number:02d}" for number in range(30)]


def write_bars(folder: Path, entities: list[str]) -> None:
    """Three sessions of minute bars of each entity, some minutes missing."""
    days = sessions("XNYS", date(2024, 1, 2), date(2024, 1, 4))
    opens = days["open"].dt.epoch("ns").to_numpy()
    for number, entity in enumerate(entities):
        draw = np.random.default_rng(number)
        end = (opens[:, None] + np.arange(1, 391) * 60 * 10**9).ravel()
        close = 50 * np.exp(np.cumsum(draw.normal(0, 5e-4, len(end))))
        kept = draw.random(len(end)) > 0.05
        frame = pl.DataFrame(
            {
                "event_time": pl.Series(end).cast(pl.Datetime("ns", "UTC")),
                "open": np.concatenate([[50.0], close[:-1]]),
                "high": np.maximum(close, np.concatenate([[50.0], close[:-1]])) + 0.01,
                "low": np.minimum(close, np.concatenate([[50.0], close[:-1]])) - 0.01,
                "close": close,
                "volume": draw.integers(1, 1000, len(end)).astype(float),
            }
        )
        frame.filter(kept).write_parquet(folder / f"{entity}.parquet")


def tree_of(wanted: list[str] | str, entities: list[str], folder: Path) -> dict[str, Any]:
    source = {"kind": "table_file", "table": "bar", "files": f"{folder}/{{entity}}.parquet", "timezone": "UTC"}
    return {
        "name": "many",
        "entities": entities,
        "start": "2024-01-02",
        "end": "2024-01-04",
        "sources": {"bars": {**source, "delay": "1s", "max_age": "10min"}},
        "decisions": {"step": "5min", "first": "15min", "last": "15min", "delay": "5s"},
        "targets": {"horizons": ["15min"], "primary": "15min"},
        "features": {"bars": wanted},
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bars of thirty entities and a config of two features, one of which compares entities."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "bars").mkdir()
    write_bars(folder / "bars", ENTITIES)
    tree = tree_of(["bar_return_1", "bar_relative_return_15"], ENTITIES, folder / "bars")
    (folder / "many.yaml").write_text(yaml.safe_dump(tree))
    return folder


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def parts(folder: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sorted(folder.glob("entity=*/part.parquet"))])


def command(place: Path, out: str, *more: str) -> list[str]:
    start = [sys.executable, "-m", "fusion.cli", "features", str(place / "many.yaml"), "--workers", "2", "--json"]
    return [*start, "--lake", str(place / "lake"), "--out", str(place / out), *more]


@pytest.fixture(scope="module")
def whole(place: Path) -> Path:
    """The folder of a run that nothing disturbed."""
    done = subprocess.run(command(place, "whole"), capture_output=True, text=True, check=True, timeout=500)
    found = json.loads(done.stdout)
    assert (found["complete"], len(found["made"]), found["failed"]) == (True, 30, {})
    assert found["peak_bytes"] > 0
    return Path(found["folder"])


def test_the_parts_are_the_matrix(place: Path, whole: Path) -> None:
    config = configs.load(place / "many.yaml")
    plan = make_plan(config, place / "lake")
    tables = pipeline.load(plan, pipeline.ingest(config, lake=place / "lake", plan=plan), lake=place / "lake")
    grid = decision_grid(list(plan.entities), plan.sessions, config.decisions)
    found, expected = parts(whole), features.build(config, tables, grid).frame
    assert found["bar_relative_return_15"].is_not_nan().sum() > 1000
    same_bits(found, expected)
    manifest = json.loads((whole / "manifest.json").read_text())
    assert manifest["rows"] == found.height
    assert [part["entity"] for part in manifest["parts"]] == ENTITIES
    assert all(hashes(whole)[f"entity={part['entity']}/part.parquet"] == part["sha256"] for part in manifest["parts"])
    assert sorted(path.name for path in whole.iterdir()) == [*(f"entity={name}" for name in ENTITIES), "manifest.json"]


def same_bits(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    assert found.columns == expected.columns
    assert found.select("entity", "session", "decision_time").equals(
        expected.select("entity", "session", "decision_time")
    )
    for name in expected.columns[3:]:
        ours, theirs = (frame[name].to_numpy().view(np.int64) for frame in (found, expected))
        assert np.array_equal(ours, theirs), name


@pytest.mark.slow
def test_every_kind_of_source(market: Market, tmp_path: Path) -> None:
    """Bars, news, events and metrics of the simulated market; news features of the whole market too."""
    names = ("bars", "headlines", "lots", "calendar")
    chosen = {name: market.config.features[name] for name in names}
    config = market.config.model_copy(update={"features": chosen})
    found = make(config, lake=market.lake, out=tmp_path, workers=1, entities=list(market.plan.entities)[2:4])
    grid = decision_grid(list(market.plan.entities), market.plan.sessions, config.decisions)
    expected = features.build(config, market.tables, grid).frame
    assert (found.complete, found.failed) == (False, {})
    same_bits(parts(found.folder), expected.filter(pl.col("entity").is_in(found.made)))


def test_a_market_and_a_history(place: Path) -> None:
    """Features that need another entity's bars, and sessions before the first decision."""
    changes = ["features.bars=[bar_return_1, bar_market_beta_1h, bar_rsi_14_across]", "entities=[S00, S01, S02]"]
    changes += ["volatility.market=S01", "volatility.history=1", "start=2024-01-03"]
    config = configs.load(place / "many.yaml", changes)
    options = {"lake": place / "lake", "out": place / "market"}
    found = make(config, **options, workers=1)  # type: ignore[arg-type]
    assert found.failed == {}
    plan = make_plan(config, place / "lake")
    tables = pipeline.load(plan, pipeline.ingest(config, lake=place / "lake", plan=plan), lake=place / "lake")
    expected = features.build(config, tables, decision_grid(list(plan.entities), plan.sessions, config.decisions)).frame
    assert expected["bar_market_beta_1h"].is_not_nan().sum() > 100
    same_bits(parts(found.folder), expected)
    at_bars = parts(make(config, **options, workers=1, at="bars", entities=["S00"]).folder)  # type: ignore[arg-type]
    assert at_bars["entity"].unique().to_list() == ["S00"]
    assert at_bars["session"].min() == date(2024, 1, 3)


@pytest.mark.parametrize("moment", [".own/entity=*", "entity=*"])
def test_killed_and_gone_on_with(place: Path, whole: Path, moment: str) -> None:
    out = f"killed{moment[0]}"
    with subprocess.Popen(command(place, out), stdout=subprocess.DEVNULL, start_new_session=True) as dying:
        until(lambda: list((place / out).glob(f"many/*/{moment}")))
        os.killpg(dying.pid, signal.SIGKILL)
    (folder,) = (place / out / "many").iterdir()
    made = {path: path.stat().st_mtime_ns for path in folder.glob(f"{moment}/part.parquet")}
    assert 0 < len(made) < 30
    assert not (folder / "manifest.json").exists()
    # what a kill leaves half written
    (folder / ".work").mkdir(exist_ok=True)
    (folder / ".work" / "entity=S29.4242").mkdir()
    (folder / ".manifest.json.4242").touch()
    done = subprocess.run(command(place, out), capture_output=True, text=True, check=True, timeout=500)
    found = json.loads(done.stdout)
    assert found["complete"]
    assert hashes(folder) == hashes(whole)
    if moment == "entity=*":
        assert len(found["made"]) == 30 - len(made)
        assert found["reused"] == sorted(path.parent.name.removeprefix("entity=") for path in made)
        assert all(path.stat().st_mtime_ns == when for path, when in made.items())
    again = subprocess.run(command(place, out), capture_output=True, text=True, check=True, timeout=500)
    assert (json.loads(again.stdout)["made"], len(json.loads(again.stdout)["reused"])) == ([], 30)


def test_in_pieces(place: Path, whole: Path) -> None:
    config, options = configs.load(place / "many.yaml"), {"lake": place / "lake", "out": place / "pieces", "workers": 2}
    first = make(config, **options, entities=["S07", "S03"], memory=2**40)  # type: ignore[arg-type]
    assert (first.made, first.complete) == (["S03", "S07"], False)
    assert not (first.folder / "manifest.json").exists()
    rest = make(config, **options, memory=1)  # type: ignore[arg-type]
    assert (rest.reused, rest.workers) == (["S03", "S07"], 1)
    assert "more than may be used" in rest.warnings[-1]
    assert hashes(rest.folder) == hashes(whole)
    # one that is not as it was written is made again
    (rest.folder / "entity=S05" / "part.parquet").write_bytes(b"")
    assert make(config, **options).made == ["S05"]  # type: ignore[arg-type]
    assert hashes(rest.folder) == hashes(whole)


def test_at_every_bar(place: Path) -> None:
    config = configs.load(place / "many.yaml")
    found = make(config, lake=place / "lake", out=place / "bars_out", workers=1, at="bars", entities=["S01"])
    plan = make_plan(config, place / "lake")
    tables = pipeline.load(plan, pipeline.ingest(config, lake=place / "lake", plan=plan), lake=place / "lake")
    grid = in_order(tables["bars"], "bar")[0].select("entity", "session", decision_time="known_time")
    expected = features.build(config, tables, grid).frame
    same_bits(parts(found.folder), expected.filter(pl.col("entity") == "S01"))
    assert parts(found.folder)["bars_age" if "bars_age" in expected.columns else "bar_age"].max() == pytest.approx(
        1 / 60
    )


def test_other_settings_other_folder(place: Path, whole: Path) -> None:
    config = configs.load(place / "many.yaml")
    ingested: dict[str, IngestResult] = {}

    def key_with(*overrides: str) -> str:
        return key(configs.load(place / "many.yaml", list(overrides)), "decisions", ingested, {})

    own = key(config, "decisions", ingested, {})
    assert key_with("model.trees=7", "targets.horizons=[30min]", "targets.primary=30min") == own
    assert key(config, "bars", ingested, {}) != own
    assert (
        len(
            {key_with(change) for change in ("decisions.step=10min", "features.bars=all", "sources.bars.max_age=1h")}
            | {own}
        )
        == 4
    )


class TestFailures:
    @pytest.fixture
    def broken(self, tmp_path: Path) -> Path:
        """Three entities, one of whose partitions in the lake gets damaged."""
        (tmp_path / "bars").mkdir()
        write_bars(tmp_path / "bars", ["A", "B", "C"])
        tree = tree_of(["bar_return_1"], ["A", "B", "C"], tmp_path / "bars")
        (tmp_path / "many.yaml").write_text(yaml.safe_dump(tree))
        pipeline.ingest(configs.load(tmp_path / "many.yaml"), lake=tmp_path / "lake")
        (lake_file,) = (tmp_path / "lake").glob("bar/*/entity=B/*.parquet")
        (tmp_path / "aside").write_bytes(lake_file.read_bytes())
        lake_file.write_bytes(b"damaged")
        return tmp_path

    def test_one_that_fails_stops_no_other(self, broken: Path) -> None:
        done = subprocess.run(command(broken, "out"), capture_output=True, text=True, check=False, timeout=500)
        assert done.returncode == 1
        (line,) = [line for line in done.stderr.strip().splitlines() if not line.endswith(" ...")]
        assert line.startswith("error: B: ")
        found = json.loads(done.stdout)
        assert (found["made"], list(found["failed"]), found["complete"]) == (["A", "C"], ["B"], False)
        folder = Path(found["folder"])
        assert sorted(path.name for path in folder.iterdir()) == ["entity=A", "entity=C"]
        (lake_file,) = (broken / "lake").glob("bar/*/entity=B/*.parquet")
        lake_file.write_bytes((broken / "aside").read_bytes())
        done = subprocess.run(command(broken, "out"), capture_output=True, text=True, check=True, timeout=500)
        assert json.loads(done.stdout)["made"] == ["B"]
        assert (folder / "manifest.json").is_file()

    def test_a_comparison_needs_them_all(self, broken: Path) -> None:
        wanted = ["features.bars=[bar_relative_return_15]"]
        config = configs.load(broken / "many.yaml", wanted)
        with pytest.raises(TrifuseError, match=r"1 of 3 entities cannot be compared with the others, B first"):
            make(config, lake=broken / "lake", out=broken / "out", workers=1)
        assert not list((broken / "out").rglob("part.parquet.*"))

    def test_two_on_one_folder(self, place: Path, whole: Path) -> None:
        with holding(whole, wait=False), pytest.raises(BusyError, match="another process works in"):
            make(configs.load(place / "many.yaml"), lake=place / "lake", out=place / "whole", workers=1)

    def test_unknown_entity(self, place: Path) -> None:
        with pytest.raises(ConfigError, match="--entities names 'XX'"):
            make(configs.load(place / "many.yaml"), lake=place / "lake", out=place, workers=1, entities=["XX"])

    def test_entity_without_rows_has_missing_values(self, place: Path, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no file matches"):
            make(
                configs.load(place / "many.yaml", [f"sources.bars.files={tmp_path}/{{entity}}.csv"]),
                lake=tmp_path,
                out=tmp_path,
                workers=1,
            )
        config = configs.load(place / "many.yaml", ["entities=[S00, ZZ]"])
        found = make(config, lake=tmp_path, out=tmp_path / "out", workers=1)
        assert found.complete
        assert "source bars has no usable row of ZZ" in found.warnings
        rows = parts(found.folder)
        assert rows.filter(pl.col("entity") == "ZZ")["bar_return_1"].is_nan().all()
        assert rows["bar_relative_return_15"].is_nan().all()


def test_sums_do_not_depend_on_what_is_together() -> None:
    draw = np.random.default_rng(5)
    times = [np.sort(draw.choice(50, 30, replace=False)) for _ in range(6)]
    values = [np.where(draw.random(30) < 0.2, np.nan, draw.normal(size=30)) for _ in range(6)]
    grid = pl.DataFrame(
        {
            "entity": np.repeat([f"E{number}" for number in range(6)], 30),
            "decision_time": pl.Series(np.concatenate(times)).cast(pl.Datetime("ns", "UTC")),
        }
    )
    together, apart = Sums.of(grid, np.concatenate(values)), Sums()
    for at, found in zip(times, values, strict=True):
        apart.add(at, found)
    assert np.array_equal(together.sums.view(np.int64), apart.sums.view(np.int64))
    back = Sums.from_frame(apart.frame())
    for at, own in zip(times, values, strict=True):
        relative = back.relative(at, own)
        for time_, value, result in zip(at, own, relative, strict=True):
            others = [v[t == time_] for t, v in zip(times, values, strict=True)]
            known = [float(v[0]) for v in others if len(v) and not np.isnan(v[0])]
            if np.isnan(value) or len(known) < 2:
                assert np.isnan(result)
            else:
                assert result == pytest.approx(value - sum(known) / len(known), abs=1e-15)


def until(condition: Callable[[], Any]) -> None:
    for _ in range(60_000):
        if condition():
            return
        time.sleep(0.002)
    raise AssertionError("it never came")
