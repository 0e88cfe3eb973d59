"""Stores whose truth is known: more of them come nearer to it, and few are shrunk."""

import numpy as np
import pytest

from fusion.studies.planted_stores import MOVES, errors, estimates, simulate


def test_more_stores_come_nearer_and_few_are_better_shrunk() -> None:
    chains = simulate([2] * 8 + [30] * 4 + [150] * 2, seed=2)
    found = {row["stores"]: row for row in errors(chains, (0, 10)).to_dicts()}
    assert found[150]["error_0"] < found[30]["error_0"] < found[2]["error_0"]
    assert found[150]["error_0"] < 0.5 * MOVES
    assert found[2]["error_10"] < 0.5 * found[2]["error_0"]
    assert found[150]["share"] == 1.0


def test_the_truth_is_what_the_estimates_are_of() -> None:
    chains = simulate([300], seed=3)
    found, truth = estimates(chains, 0)["chain000"], chains.truth["chain000"]
    assert len(found) == len(truth) == 104
    assert np.corrcoef(found, truth)[0, 1] > 0.9
    assert (found - truth).mean() == pytest.approx(0, abs=0.01)
