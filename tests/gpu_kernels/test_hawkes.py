"""Hawkes processes: estimates on processes whose parameters are known, the step, left limits, only the past."""

import gzip
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import point_process
import pytest

from gpu_kernels.errors import ArgumentError
from gpu_kernels.trade import hawkes, hawkes_fit, hawkes_likelihood, hawkes_state

SECOND = 10**9
SETS = 24
BASELINE = np.array([0.3, 0.25])
BRANCHING = np.array([[0.4, 0.15], [0.1, 0.5]])
COMMON, PAIRS = np.full((2, 2), 2.0), np.array([[3.0, 1.0], [1.5, 5.0]])


def draws(decay: np.ndarray, seconds: int, seed: int, sets: int = SETS):
    """time, kind, offsets, start, stop of `sets` processes."""
    rng = np.random.default_rng(seed)
    drawn = [point_process.hawkes(rng, BASELINE, BRANCHING, decay, seconds) for _ in range(sets)]
    time, kind = (np.concatenate(part) for part in zip(*drawn, strict=True))
    offsets = np.concatenate([[0], np.cumsum([len(part[0]) for part in drawn])])
    return time, kind, offsets, np.zeros(sets, np.int64), np.full(sets, seconds * SECOND)


def shared(sets: int, decay: np.ndarray):
    return tuple(np.repeat(array[np.newaxis], sets, axis=0) for array in (BASELINE, BRANCHING, decay))


@pytest.fixture(scope="module")
def events():
    return draws(PAIRS, 500, 5, sets=3)


@pytest.mark.parametrize(("decay", "seconds", "mode"), [(COMMON, 2000, "common"), (PAIRS, 4000, "pair")])
def test_known_parameters_are_recovered(decay: np.ndarray, seconds: int, mode: str) -> None:
    table = draws(decay, seconds, 11)
    fit = hawkes_fit.fit(*table, 2, decay=mode, starts=3)
    # of 24 sets the mean error, in standard errors, has a standard deviation of 0.2, and its root mean square of 0.15
    for estimate, error, true in (
        (fit.baseline, fit.baseline_error, BASELINE),
        (fit.branching, fit.branching_error, BRANCHING),
        (fit.decay, fit.decay_error, decay),
    ):
        errors = (estimate - true) / error
        assert np.abs(errors.mean(axis=0)).max() < 0.8, errors.mean(axis=0)
        root = np.sqrt((errors**2).mean(axis=0))
        assert root.min() > 0.55, root
        assert root.max() < 1.5, root
    assert fit.converged.all()
    assert (fit.agreeing >= 2).all()
    assert fit.is_stationary.all()
    np.testing.assert_allclose(fit.spectral_radius.mean(), np.abs(np.linalg.eigvals(BRANCHING)).max(), atol=0.03)
    true_value, *_ = hawkes_likelihood.log_likelihood(
        *table, np.repeat(np.arange(SETS), 2), np.tile([0, 1], SETS), *_rows(shared(SETS, decay))
    )
    assert (true_value.reshape(-1, 2).sum(axis=1) < fit.log_likelihood).all()


def _rows(model):
    """Each kind's row of the model of each segment, in order."""
    return tuple(array.reshape(-1, *array.shape[2:]) for array in model)


def test_the_estimate_is_a_maximum(events) -> None:
    fit = hawkes_fit.fit(*events, 2, decay="pair", starts=2)
    at = np.repeat(np.arange(3), 2), np.tile([0, 1], 3)
    for which in range(3):
        for factor in (0.98, 1.02):
            model = [fit.baseline, fit.branching, fit.decay]
            model[which] = model[which] * factor
            value, *_ = hawkes_likelihood.log_likelihood(*events, *at, *_rows(model))
            assert (value.reshape(-1, 2).sum(axis=1) < fit.log_likelihood).all()


def test_residuals_tell_the_model_from_a_wrong_one(events) -> None:
    time, kind, offsets, start, _ = draws(PAIRS, 3000, 6, sets=3)
    right = hawkes_likelihood.residuals(time, kind, offsets, start, *shared(3, PAIRS))
    _, p_value = hawkes_fit.goodness_of_fit(right, kind, offsets, 2)
    assert p_value.min() > 0.01
    rate = np.full((3, 2), len(time) / 6 / 3000.0)
    poisson = hawkes_likelihood.residuals(time, kind, offsets, start, rate, np.zeros((3, 2, 2)), np.ones((3, 2, 2)))
    _, p_value = hawkes_fit.goodness_of_fit(poisson, kind, offsets, 2)
    assert p_value.max() < 1e-6


def test_no_excitation_is_found_where_there_is_none() -> None:
    rng = np.random.default_rng(8)
    time = np.sort(rng.integers(0, 1000 * SECOND, 1500))
    kind = rng.integers(0, 2, 1500).astype(np.int8)
    table = time, kind, np.array([0, 1500]), np.array([0]), np.array([1000 * SECOND])
    fit = hawkes_fit.fit(*table, 2)
    assert fit.spectral_radius[0] < 0.15
    counts = np.bincount(kind)
    constant = (counts * np.log(counts / 1000.0)).sum() - 1500.0
    # twice the gain of five needless parameters is chi-squared with at most 5 degrees of freedom
    assert 0.0 <= fit.log_likelihood[0] - constant < 10.0
    assert fit.on_bound.any()
    assert np.isnan(fit.branching_error[fit.on_bound]).all()


def test_stepping_gives_the_bits_of_the_batch(events) -> None:
    time, kind, offsets, *_ = events
    got = hawkes.intensity(time, kind, offsets, time, offsets, *shared(3, PAIRS))
    jumps = np.zeros((2, 2, 2))
    jumps[0, 0], jumps[1, 1] = (BRANCHING * PAIRS)[0], (BRANCHING * PAIRS)[1]
    for first, last in pairwise(offsets):
        excitation, ages, waiting, out = np.zeros((2, 2)), np.zeros((2, 2)), np.zeros(2), np.empty(2)
        clock = time[first]
        for row in range(first, last):
            elapsed = (time[row] - clock) * hawkes_state.SECONDS
            if row == first:
                hawkes._read(excitation, waiting, BASELINE, jumps, PAIRS, 0.0, out)
            elif elapsed > 0:
                hawkes._read(excitation, waiting, BASELINE, jumps, PAIRS, elapsed, out)
            np.testing.assert_array_equal(out, got[:, row])
            hawkes_state.step(excitation, ages, waiting, PAIRS, elapsed, kind[row])
            clock = time[row]


def test_events_of_one_stamp_do_not_excite_each_other() -> None:
    time, kind = np.array([0, 5, 5, 5, 6]) * SECOND, np.array([0, 1, 0, 0, 1])
    offsets = np.array([0, 5])
    got = hawkes.intensity(time, kind, offsets, time, offsets, *shared(1, COMMON))
    np.testing.assert_array_equal(got[:, 0], BASELINE)
    np.testing.assert_array_equal(got[:, 1], got[:, 2])
    np.testing.assert_array_equal(got[:, 1], got[:, 3])
    after = hawkes.intensity(time, kind, offsets, time[3:4] + 1, np.array([0, 1]), *shared(1, COMMON))
    assert after[:, 0] - got[:, 3] == pytest.approx(BRANCHING[:, 1] * 2 + BRANCHING[:, 0] * 4, rel=1e-6)


def test_only_the_past_counts_and_other_questions_change_nothing(events) -> None:
    time, kind, offsets, *_ = events
    model = shared(3, PAIRS)
    at = np.sort(np.random.default_rng(9).integers(0, 500 * SECOND, 900))
    at_offsets = np.array([0, 300, 600, 900])
    for first, last in pairwise(at_offsets):
        at[first:last] = np.sort(np.random.default_rng(first).integers(0, 500 * SECOND, last - first))
    ask = {"intensity": {}, "intensity_asymmetry": {}, "expected_events": {"horizon_ns": 3 * SECOND}}
    for name, parameters in ask.items():
        function = getattr(hawkes, name)
        whole = function(time, kind, offsets, at, at_offsets, *model, **parameters)
        some = function(time, kind, offsets, at[::3], at_offsets // 3, *model, **parameters)
        np.testing.assert_array_equal(some, whole[..., ::3])
        limit = 250 * SECOND
        early = [time[a:b][time[a:b] < limit] for a, b in pairwise(offsets)]
        kinds = [kind[a:b][time[a:b] < limit] for a, b in pairwise(offsets)]
        cuts = np.concatenate([[0], np.cumsum([len(part) for part in early])])
        past = function(np.concatenate(early), np.concatenate(kinds), cuts, at, at_offsets, *model, **parameters)
        known = at <= limit
        np.testing.assert_array_equal(past[..., known], whole[..., known])
        assert (past[..., ~known] != whole[..., ~known]).any()


def test_a_fit_sees_only_its_window_and_its_segment(events) -> None:
    time, kind, offsets, start, stop = events
    whole = hawkes_fit.fit(time, kind, offsets, start, stop - 250 * SECOND, 2, starts=2)
    a, b = offsets[1:3]
    known = time[a:b] < 250 * SECOND
    alone = hawkes_fit.fit(
        time[a:b][known], kind[a:b][known], np.array([0, known.sum()]), start[:1], stop[:1] - 250 * SECOND, 2, starts=2
    )
    for name in ("baseline", "branching", "decay", "decay_error", "start_log_likelihood"):
        np.testing.assert_array_equal(getattr(alone, name)[0], getattr(whole, name)[1])


def test_expected_events_of_a_stationary_process_and_of_a_simulation() -> None:
    none, empty = np.empty(0, np.int64), np.array([0, 0])
    at, at_offsets = np.array([0]), np.array([0, 1])
    long = hawkes.expected_events(none, none, empty, at, at_offsets, *shared(1, COMMON), horizon_ns=1_000_000 * SECOND)
    rate = np.linalg.solve(np.eye(2) - BRANCHING, BASELINE)
    np.testing.assert_allclose(long[:, 0] / 1e6, rate, rtol=1e-4)
    rng = np.random.default_rng(12)
    counts = [
        np.bincount(point_process.hawkes(rng, BASELINE, BRANCHING, PAIRS, 4.0)[1], minlength=2) for _ in range(4000)
    ]
    short = hawkes.expected_events(none, none, empty, at, at_offsets, *shared(1, PAIRS), horizon_ns=4 * SECOND)
    error = np.std(counts, axis=0) / np.sqrt(4000)
    assert (np.abs(np.mean(counts, axis=0) - short[:, 0]) < 4 * error).all()


def test_rows_of_no_kind_change_nothing() -> None:
    time, kind, offsets, start, stop = draws(COMMON, 100, 13, sets=1)
    other = np.random.default_rng(14).integers(0, 100 * SECOND, 40)
    mixed = np.concatenate([time, other])
    order = np.argsort(mixed, kind="stable")
    marks = np.concatenate([kind, np.repeat([-1, 2], 20)]).astype(np.int64)[order]
    model = [row[:1] for row in _rows(shared(1, COMMON))]
    at = np.array([0]), np.array([0])
    value, *_ = hawkes_likelihood.log_likelihood(time, kind, offsets, start, stop, *at, *model)
    with_others, *_ = hawkes_likelihood.log_likelihood(
        mixed[order], marks, np.array([0, len(mixed)]), start, stop, *at, *model
    )
    np.testing.assert_allclose(with_others, value, rtol=1e-12)
    residual = hawkes_likelihood.residuals(mixed[order], marks, np.array([0, len(mixed)]), start, *shared(1, COMMON))
    np.testing.assert_array_equal(np.isnan(residual), (marks < 0) | (marks > 1))


def test_segments_without_an_estimate() -> None:
    time, kind = np.arange(60) * SECOND, np.r_[np.arange(4) % 2, np.zeros(56, np.int64)]
    fit = hawkes_fit.fit(time, kind, np.array([0, 4, 4, 60]), np.zeros(3, np.int64), np.full(3, 90 * SECOND), 2)
    assert np.isnan(fit.baseline).all()
    assert np.isnan(fit.spectral_radius).all()
    assert not fit.is_stationary.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": np.zeros(3)}, "kind is float64"),
        ({"kind": np.zeros(2, np.int8)}, "arrays of unequal length: time 3, kind 2"),
        ({"time": np.array([3, 2, 5])}, "time falls from 3 to 2"),
        ({"baseline": np.zeros((1, 2))}, r"baseline holds 0\.0; allowed: finite numbers > 0"),
        ({"branching": np.full((1, 2, 2), np.nan)}, "branching holds nan; allowed: finite numbers >= 0"),
        ({"decay": np.ones((1, 2, 3))}, r"decay \(1, 2, 3\); allowed: \(1, M\), \(1, M, M\), \(1, M, M\) with M of"),
        ({"baseline": np.ones((1, 5))}, "with M of 1 to 4"),
        ({"at_offsets": np.array([0, 1, 3])}, "1 segments of rows for 2"),
    ],
)
def test_mistakes_are_named(change: dict, message: str) -> None:
    good = {"time": np.arange(3), "kind": np.zeros(3, np.int8), "offsets": np.array([0, 3])}
    good |= {"at": np.arange(3), "at_offsets": np.array([0, 3])}
    good |= dict(zip(("baseline", "branching", "decay"), shared(1, COMMON), strict=True))
    with pytest.raises(ArgumentError, match=message):
        hawkes.intensity(**(good | change))


def test_mistakes_of_a_fit_are_named() -> None:
    table = [np.arange(3), np.zeros(3, np.int8), np.array([0, 3]), np.array([0]), np.array([9])]
    with pytest.raises(ArgumentError, match='decay is \'both\'; allowed: "common" or "pair"'):
        hawkes_fit.fit(*table, 2, decay="both")
    with pytest.raises(ArgumentError, match="kinds is 5; allowed: a whole number, 1 to 4"):
        hawkes_fit.fit(*table, 5)
    with pytest.raises(ArgumentError, match="stop is 0 in segment 0, start 0; allowed: start before stop"):
        hawkes_fit.fit(*table[:4], np.array([0]), 2)
    with pytest.raises(ArgumentError, match="horizon_ns is 0"):
        hawkes.expected_events(*table[:3], table[0], table[2], *shared(1, COMMON), horizon_ns=0)
    with pytest.raises(ArgumentError, match="the model has 1 kind of event"):
        hawkes.intensity_asymmetry(
            *table[:3], table[0], table[2], np.ones((1, 1)), np.ones((1, 1, 1)), np.ones((1, 1, 1))
        )
    with pytest.raises(ArgumentError, match="start has 2 stamps for 1 segments"):
        hawkes_likelihood.residuals(*table[:3], np.array([0, 0]), *shared(1, COMMON))


def aggressive_orders(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(local time, 0 buy or 1 sell) of the market orders in a file of raw Binance lines: fills of one exchange
    millisecond and side are one order."""
    orders = {}
    with gzip.open(path, "rt") as lines:
        for line in lines:
            stamp, _, text = line.partition(" ")
            if '"e":"trade"' in text:
                trade = json.loads(text)["data"]
                orders.setdefault((trade["T"], int(trade["m"])), int(stamp))
    found = sorted((stamp, side) for (_, side), stamp in orders.items())
    time, kind = np.array(found, np.int64).T
    return np.ascontiguousarray(time), kind.astype(np.int8)


@pytest.mark.data
def test_bitcoin_orders_excite_orders(data_root: Path) -> None:
    files = sorted((data_root / "market").glob("binance_l2*/spot_btcusdt_*.gz"))
    tables = [aggressive_orders(path) for path in files]
    offsets = np.concatenate([[0], np.cumsum([len(time) for time, _ in tables])])
    time, kind = (np.concatenate(part) for part in zip(*tables, strict=True))
    start = time[offsets[:-1]]
    stop = start + 180 * SECOND
    fit = hawkes_fit.fit(time, kind, offsets, start, stop, 2, starts=5)
    assert fit.converged.all()
    assert (fit.agreeing >= 2).all()
    assert ((fit.spectral_radius > 0.3) & (fit.spectral_radius < 1.0)).all()
    assert (fit.branching[:, [0, 1], [0, 1]] > fit.branching[:, [0, 1], [1, 0]]).all()
    # the next minutes, which the fit has not seen: the model is likelier than a constant rate as known at `stop`
    end = stop + 100 * SECOND
    at = np.repeat(np.arange(len(files)), 2), np.tile([0, 1], len(files))
    own = _rows((fit.baseline, fit.branching, fit.decay))
    ours, *_ = hawkes_likelihood.log_likelihood(time, kind, offsets, stop, end, *at, *own)
    known = [
        np.bincount(kind[a:b][time[a:b] < s], minlength=2) for (a, b), s in zip(pairwise(offsets), stop, strict=True)
    ]
    rate = np.array(known).ravel() / 180.0
    flat, *_ = hawkes_likelihood.log_likelihood(
        time, kind, offsets, stop, end, *at, rate, np.zeros_like(own[1]), own[2]
    )
    assert (ours > flat + 50.0).all()
