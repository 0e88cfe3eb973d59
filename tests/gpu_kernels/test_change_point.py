"""Change points: planted ones are found soon, quiet series stay quiet, few hypotheses are enough, bad calls told."""

import math

import numpy as np
import pytest

from gpu_kernels.change_point import run_lengths
from gpu_kernels.errors import ArgumentError

LAW = {"hazard": 0.005, "weight": 0.1, "shape": 2.0, "within": 20}
MEAN, SCALE = np.zeros(1), np.full(1, 2.0)


def whole(rows: int) -> np.ndarray:
    return np.array([0, rows], np.int64)


def series(seed: int, rows: int, every: int, shift: float, spread: float = 1.0) -> np.ndarray:
    """Level and spread change to another pair and back, each `every` rows."""
    odd = np.arange(rows) // every % 2 == 1
    noise = np.random.default_rng(seed).normal(size=rows)
    return (np.where(odd, shift, 0.0) + noise * np.where(odd, spread, 1.0))[None, :]


class TestPlantedChanges:
    @pytest.mark.parametrize(("shift", "spread", "median", "latest"), [(3.0, 1.0, 3, 10), (0.0, 4.0, 4, 20)])
    def test_are_found_soon(self, shift: float, spread: float, median: int, latest: int) -> None:
        delays, lengths = [], []
        for seed in range(30):
            changed, length, _, _ = run_lengths(series(seed, 400, 200, shift, spread), MEAN, SCALE, whole(400), **LAW)
            delays.append(int(np.argmax(changed[200:] > 0.5)) if (changed[200:] > 0.5).any() else 200)
            assert changed[195:200].max() < 0.5
            lengths.append(length[399])
        assert np.median(delays) <= median
        assert max(delays) <= latest
        # the run that the detector sees is most often the true one
        assert np.median(lengths) == pytest.approx(200, abs=10)

    def test_a_quiet_series_gives_few_alarms(self) -> None:
        alarms, rows = np.zeros(2), 1000
        for seed in range(40):
            changed, _, _, _ = run_lengths(series(seed, rows, 10_000, 0.0), MEAN, SCALE, whole(rows), **LAW)
            for which, level in enumerate((0.5, 0.9)):
                above = changed > level
                alarms[which] += (above[1:] & ~above[:-1]).sum()
        # the law that the detector holds would change 5 times in each; half of what it calls even should happen
        assert alarms[0] / 40 < 2.0
        assert alarms[1] / 40 < 0.2

    def test_probabilities_are_those_of_the_truth(self) -> None:
        """Of series drawn from the law itself, that share of rows changed which was said to have."""
        rng, rows, said, true = np.random.default_rng(0), 500, [], []
        for _ in range(60):
            begins = rng.random(rows) < LAW["hazard"]
            begins[0] = True
            run = np.cumsum(begins) - 1
            spread = 1.0 / np.sqrt(rng.gamma(LAW["shape"], 1.0 / SCALE[0], run[-1] + 1))
            level = MEAN[0] + rng.normal(size=run[-1] + 1) * spread / np.sqrt(LAW["weight"])
            values = level[run] + rng.normal(size=rows) * spread[run]
            said.append(run_lengths(values[None, :], MEAN, SCALE, whole(rows), **LAW)[0])
            begins[0] = False
            counts = np.cumsum(begins)
            true.append(counts > np.concatenate([np.zeros(LAW["within"]), counts[: -LAW["within"]]]))
        said, true = np.concatenate(said), np.concatenate(true)
        for low, high, error in ((0.0, 0.1, 0.01), (0.1, 0.5, 0.1), (0.5, 0.9, 0.1), (0.9, 1.0, 0.03)):
            rows_of = (said >= low) & (said <= high)
            assert rows_of.sum() > 200
            assert true[rows_of].mean() == pytest.approx(said[rows_of].mean(), abs=error)

    def test_a_change_of_one_of_two_variables_is_a_change(self) -> None:
        both = np.vstack([series(1, 300, 150, 5.0), series(2, 300, 1000, 0.0)])
        changed, _, _, _ = run_lengths(both, np.zeros(2), np.full(2, 2.0), whole(300), **LAW)
        assert changed[149] < 0.1
        assert changed[155] > 0.9
        assert changed[175] < 0.5

    def test_the_start_of_a_series_is_no_change(self) -> None:
        changed, length, _, _ = run_lengths(series(3, 10, 100, 0.0), MEAN, SCALE, whole(10), **LAW)
        assert changed[0] == 0.0
        assert length[0] == 1.0
        assert changed.max() < 0.1


class TestHypotheses:
    def test_few_are_enough(self) -> None:
        values, rows = series(5, 3000, 500, 2.0, 1.5), 3000
        exact = run_lengths(values, MEAN, SCALE, whole(rows), hypotheses=rows, **LAW)
        assert exact[3].max() == 0.0
        for hypotheses, error in ((256, 2e-3), (64, 0.1)):
            got = run_lengths(values, MEAN, SCALE, whole(rows), hypotheses=hypotheses, **LAW)
            assert 0.0 < got[3].max() < 3e-3
            assert np.abs(got[0] - exact[0]).max() < error
            assert got[2].sum() == pytest.approx(exact[2].sum(), abs=0.5)

    def test_two_are_the_least(self) -> None:
        values = series(6, 50, 25, 9.0)
        changed, _, _, discarded = run_lengths(values, MEAN, SCALE, whole(50), hypotheses=2, **LAW)
        assert np.isfinite(changed).all()
        assert discarded.max() > 0.0


def test_one_row_is_by_hand() -> None:
    _, _, predictive, _ = run_lengths(np.array([[1.0]]), MEAN, SCALE, whole(1), **LAW)
    # Student's t of 4 degrees of freedom, squared scale 2 * (0.1 + 1) / (2 * 0.1) = 11
    constant = math.gamma(2.5) / (math.gamma(2.0) * math.sqrt(4 * math.pi * 11))
    assert predictive[0] == pytest.approx(math.log(constant * (1 + 1 / 44) ** -2.5), abs=1e-14)


def test_missing_and_impossible_rows_are_no_observations() -> None:
    values = series(7, 60, 30, 4.0)
    holes = values.copy()
    places = np.array([0, 10, 31, 59])
    holes = np.insert(values, places, [np.nan, np.inf, 1e200, -np.inf], axis=1)
    kept = np.delete(np.arange(64), places + np.arange(4))
    full = run_lengths(values, MEAN, SCALE, whole(60), **LAW)
    got = run_lengths(holes, MEAN, SCALE, whole(64), **LAW)
    for one, other in zip(full, got, strict=True):
        np.testing.assert_array_equal(one, other[kept])
    assert np.isnan(got[0][0])
    assert np.isnan(got[1][0])
    assert got[0][11] == got[0][10]
    assert np.isnan(got[2][11])
    assert got[2][33] == -np.inf


def test_bad_calls_are_told() -> None:
    values = series(8, 20, 10, 1.0)
    for changes, message in (
        ({"hazard": 0.0}, "hazard is 0.0; allowed: a probability above 0 and below 1"),
        ({"hazard": math.nan}, "hazard is nan"),
        ({"weight": -1.0}, "weight is -1.0"),
        ({"shape": math.inf}, "shape is inf"),
        ({"within": 0}, "within is 0"),
        ({"hypotheses": 1}, "hypotheses is 1"),
    ):
        with pytest.raises(ArgumentError, match=message):
            run_lengths(values, MEAN, SCALE, whole(20), **(LAW | changes))
    for arrays, message in (
        ((values, np.zeros(2), SCALE), "values have 1 variables"),
        ((values, MEAN, np.zeros(1)), r"scale\[0\] is 0.0"),
        ((values, np.array([np.nan]), SCALE), "mean is"),
        ((values[0], MEAN, SCALE), "values has 1 dimensions"),
    ):
        with pytest.raises(ArgumentError, match=message):
            run_lengths(*arrays, whole(20), **LAW)
