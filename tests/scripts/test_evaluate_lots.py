"""The accuracy of lots is what the real images give now."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = json.loads((REPOSITORY / "benchmarks" / "results" / "lots_accuracy.json").read_text())


@pytest.fixture(scope="module")
def script() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REPOSITORY / "scripts")
        yield importlib.import_module("evaluate_lots")


@pytest.mark.data
def test_the_fill_of_real_frames_with_each_day_held_out(data_root: Path, script: Any) -> None:
    """At a quarter of the scale, which takes a few seconds."""
    frames, told = script.Frames(data_root, 4), RESULTS["pklot"]["1/4"]
    found, share = script.pklot(frames)
    assert ((share > 0.5) == frames.occupied).mean() == pytest.approx(told["pooled"]["space_accuracy"], abs=2e-3)
    assert found["pooled"] == pytest.approx(told["pooled"], abs=2e-3)
    fills = [[frame["fill"] for frame in each["frames"]] for each in (found, told)]
    np.testing.assert_allclose(fills[0], fills[1], atol=2e-3)
    for pooled in (found["pooled"], RESULTS["pklot"]["1/1"]["pooled"]):
        assert pooled["mae"] <= 0.06
        assert pooled["r"] >= 0.95
    assert min(one["mae"] for one in found["rivals"].values()) > found["pooled"]["mae"]


@pytest.mark.data
def test_the_counts_of_real_rows(data_root: Path, script: Any) -> None:
    assert json.loads(json.dumps(script.rows_of(data_root))) == RESULTS["spacenet"]


def test_the_area_under_the_curve_is_the_share_of_pairs_in_order(script: Any) -> None:
    score, label = np.array([0.1, 0.4, 0.4, 0.9, 0.2]), np.array([0.0, 1.0, 0.0, 1.0, 0.0])
    pairs = [(one > other) + 0.5 * (one == other) for one in score[label == 1] for other in score[label == 0]]
    assert script.auc(score, label) == pytest.approx(np.mean(pairs))


def test_measures_are_by_hand(script: Any) -> None:
    found = script.measures(np.array([0.1, 0.5, 0.9]), np.array([0.0, 0.5, 1.0]), np.array([0.2, 0.1, 0.06]))
    assert found["mae"] == pytest.approx(0.2 / 3, abs=1e-4)
    assert found["bias"] == 0.0
    assert found["within_1_std"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["within_1.96_std"] == 1.0
    assert "r" not in script.measures(np.zeros(3), np.array([0.0, 0.5, 1.0]))
