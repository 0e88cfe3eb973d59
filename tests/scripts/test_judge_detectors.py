"""The detectors on small simulated markets: what each of them is there to show."""

import json
from pathlib import Path

import polars as pl
import pytest

from benchmarks.detectors import DEVELOPMENT, REPORTED, Detector, detectors, simulated
from benchmarks.detectors.drought import detectors as drought_detectors
from benchmarks.detectors.frame import DETECTED, Market, judged
from scripts import judge_detectors
from sources.simulate.orders import NOTHING
from sources.simulate.orders.judge import chance_recall, session_bounds

DECOYS = ("short_gap", "jump", "flicker")
PLAN = NOTHING.model_copy(
    update={"drought": 3, "short_gap": 5, "jump": 3, "flicker": 3, "drought_strength": (0.7, 0.95)}
)


@pytest.fixture(scope="module")
def markets() -> list[Market]:
    return simulated((7,), sessions=4, duration=1500.0, plan=PLAN)


def of(name: str) -> Detector:
    return next(one for one in drought_detectors() if one.name == name)


def hits(detector: Detector, markets: list[Market]) -> dict[str, int]:
    decoys = judged(detector, markets, draws=2).decoys
    return {kind: decoys.filter(pl.col("kind") == kind)["hit"].sum() for kind in DECOYS}


def test_the_detector_passes_the_decoys_on_which_depth_alone_fails(markets: list[Market]) -> None:
    full, depth = of("drought"), of("depth below its trailing mean")
    assert hits(full, markets) == dict.fromkeys(DECOYS, 0)
    failed = hits(depth, markets)
    assert failed["short_gap"] >= 8, failed
    assert failed["jump"] >= 2, failed
    found, naive = judged(full, markets, draws=50), judged(depth, markets, draws=2)
    assert found.recall >= 0.6
    assert found.precision > 2 * naive.precision
    # far above what intervals of that number and length find by chance
    assert found.recall > 4 * max(found.chance_recall, found.own_chance_recall)


def test_intervals_in_the_wrong_place_find_what_chance_finds(markets: list[Market]) -> None:
    def shifted(market: Market) -> pl.DataFrame:
        planted = market.found.truth.filter(pl.col("kind") == "drought")
        day = pl.duration(seconds=1500)
        close = pl.lit(session_bounds(market.found.config)["close"][0]).dt.time()
        moved = planted.with_columns(pl.col("start", "end") + pl.duration(seconds=500))
        over = pl.col("end").dt.time() > close
        moved = moved.with_columns(
            pl.when(over).then(pl.col(name) - day).otherwise(pl.col(name)).alias(name) for name in ("start", "end")
        )
        return moved.with_columns(score=1.0).select(list(DETECTED))

    perfect = Detector(
        "planted",
        ("drought",),
        (0.3,),
        lambda market: (
            market.found.truth.filter(pl.col("kind") == "drought").with_columns(score=1.0).select(list(DETECTED))
        ),
    )
    wrong = Detector("shifted", ("drought",), (0.3,), shifted)
    assert judged(perfect, markets, draws=2).recall == 1.0
    truth = markets[0].found.truth.filter(pl.col("kind") == "drought")
    chance = chance_recall(truth, truth, session_bounds(markets[0].found.config), draws=300)
    assert judged(wrong, markets, draws=2).recall <= max(chance)
    assert chance.mean() < 0.3


def test_no_seed_is_both_for_choosing_and_for_reporting() -> None:
    assert not set(DEVELOPMENT) & set(REPORTED)
    assert len({one.name for one in detectors()}) == len(detectors())


def test_the_script_prints_and_writes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], markets: list[Market], tmp_path: Path
) -> None:
    monkeypatch.setattr(judge_detectors, "simulated", lambda *_, **__: markets)
    file = tmp_path / "judged.json"
    assert judge_detectors.main(["--only", "drought", "--draws", "2", "--json", str(file)]) == 0
    told = capsys.readouterr().out
    assert "reported seeds 201" in told
    assert "parameters were chosen on the development seeds 101" in told
    written = json.loads(file.read_text())
    assert written["detectors"][0]["detector"] == "drought"
    assert 0 <= written["detectors"][0]["recall"] <= 1
    drawn = judge_detectors.figure(written["detectors"], "x")
    assert drawn["data"][0]["name"] == "drought"
    with pytest.raises(SystemExit):
        judge_detectors.main(["--only", "nothing like it"])
    assert "allowed: a part of a name" in capsys.readouterr().err


def test_the_picture_has_one_point_for_each_strength() -> None:
    bins = [
        {"kind": kind, "strength_from": low, "strength_to": low + 1, "episodes": episodes, "found": found, "recall": 0}
        for kind, low, episodes, found in (("a", 1.0, 4, 1), ("a", 2.0, 2, 2), ("b", 1.0, 4, 3), ("b", 3.0, 0, 0))
    ]
    points = judge_detectors.of_all_kinds(bins)
    assert [(point["strength_from"], point["recall"]) for point in points] == [(1.0, 0.5), (2.0, 1.0)]
