"""Purge, embargo and backtest paths: against loops written from the book, and against `purgedcv` where it agrees."""

from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.cross_validation import Split, backtest_paths, combinatorial_purged, purged_k_fold, session_groups
from gpu_kernels.errors import ArgumentError

DAY = 86_400 * 10**9


def naive(decision, end, session, groups, tested, embargo, embargo_sessions, closed):
    """(tested, train, test) of each split, row by row."""
    days = sorted(set(session))
    size, larger = divmod(len(days), groups)
    group_of, place = {}, 0
    for g in range(groups):
        for _ in range(size + (g < larger)):
            group_of[days[place]] = g
            place += 1
    opens = {day: min(t for t, s in zip(decision, session, strict=True) if s == day) for day in days}
    rows = range(len(decision))
    found = []
    for chosen in combinations(range(groups), tested):
        test = [i for i in rows if group_of[session[i]] in chosen]
        train = []
        for i in rows:
            if i in test:
                continue
            told = False
            for g in chosen:
                members = [j for j in test if group_of[session[j]] == g]
                first, last = min(decision[j] for j in members), max(end[j] for j in members)
                after = [day for day in days if (opens[day] > last if closed else opens[day] >= last)]
                if closed:
                    told |= decision[i] <= last and end[i] >= first
                else:
                    told |= decision[i] < last and end[i] > first
                told |= embargo > 0 and last <= decision[i] <= last + embargo
                told |= session[i] in after[:embargo_sessions]
            if not told:
                train.append(i)
        found.append((chosen, train, test))
    return found


def told(splits):
    return [(split.tested, split.train.tolist(), split.test.tolist()) for split in splits]


@st.composite
def intervals(draw, shortest: int = 0):
    """Rows of a few entities in sessions of several decisions, with labels of any length, in any order."""
    sessions = draw(st.integers(3, 9))
    decision, session, time = [], [], 0
    for day in range(sessions):
        for _ in range(draw(st.integers(1, 4))):
            time += draw(st.integers(0, 3))
            for _ in range(draw(st.integers(1, 2))):
                decision.append(time)
                session.append(day)
        time += draw(st.integers(0, 10))
    length = draw(st.lists(st.integers(shortest, 12), min_size=len(decision), max_size=len(decision)))
    order = draw(st.permutations(range(len(decision))))
    start, end = np.array(decision), np.array(decision) + np.array(length)
    return start[order], end[order], np.array(session)[order], sessions


@settings(max_examples=300, deadline=None)
@given(intervals(), st.data())
def test_splits_equal_the_loop(rows, data) -> None:
    decision, end, session, sessions = rows
    groups = data.draw(st.integers(2, sessions))
    tested = data.draw(st.integers(1, groups - 1))
    embargo, embargo_sessions = data.draw(st.integers(0, 8)), data.draw(st.integers(0, 3))
    closed = data.draw(st.booleans())
    options = {"embargo": embargo, "embargo_sessions": embargo_sessions, "closed": closed}
    found = combinatorial_purged(decision, end, session, groups, tested, **options)
    expected = naive(*(array.tolist() for array in (decision, end, session)), groups, tested, *options.values())
    assert told(found) == expected
    assert len(found) == comb(groups, tested)


def unequal(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    start = np.cumsum(rng.integers(0, 4, rows))
    return start, start + rng.integers(1, 15, rows)


@pytest.mark.parametrize("seed", range(40))
def test_splits_and_paths_equal_purgedcv(seed: int) -> None:
    """Rows that are sessions of their own, half-open intervals: the case in which it does the same."""
    purgedcv = pytest.importorskip("purgedcv")
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(12, 60))
    start, end = unequal(rng, rows)
    groups = int(rng.integers(3, 8))
    tested, embargo = int(rng.integers(1, groups)), int(rng.integers(0, 9))
    times = [pd.to_datetime(clock * DAY) for clock in (start, end)]
    theirs = purgedcv.CombinatorialPurgedCV(
        groups,
        tested,
        prediction_times=times[0],
        evaluation_times=times[1],
        embargo=pd.Timedelta(days=embargo) if embargo else None,
    )
    x = np.zeros((rows, 1))
    options = {"embargo": embargo * DAY, "closed": False}
    ours = combinatorial_purged(times[0].to_numpy(), times[1].to_numpy(), np.arange(rows), groups, tested, **options)
    expected = list(theirs.split(x))
    assert len(ours) == len(expected) == comb(groups, tested)
    for split, (train, test) in zip(ours, expected, strict=True):
        assert np.array_equal(split.train, train)
        assert np.array_equal(split.test, test)
    predictions = [rng.standard_normal(len(split.test)) for split in ours]
    paths = backtest_paths(ours, predictions, rows)
    assert np.array_equal(paths, theirs.reconstruct_paths(predictions))
    assert len(paths) == comb(groups, tested) * tested // groups
    folds = purgedcv.PurgedKFold(
        groups,
        prediction_times=times[0],
        evaluation_times=times[1],
        embargo=pd.Timedelta(days=embargo) if embargo else None,
    )
    for split, (train, test) in zip(
        purged_k_fold(start * DAY, end * DAY, np.arange(rows), groups, **options), folds.split(x), strict=True
    ):
        assert np.array_equal(split.train, train)
        assert np.array_equal(split.test, test)


def theirs_of(start, end, groups, tested, **options):
    purgedcv = pytest.importorskip("purgedcv")
    times = {"prediction_times": pd.to_datetime(start * DAY), "evaluation_times": pd.to_datetime(end * DAY)}
    cv = purgedcv.CombinatorialPurgedCV(groups, tested, **times, **options)
    return [train.tolist() for train, _ in cv.split(np.zeros((len(start), 1)))]


def test_a_label_that_ends_where_a_tested_return_starts_shares_its_price() -> None:
    """The book's intervals are closed, those of purgedcv half-open; on a bouncing price it makes the difference."""
    start = np.arange(12)
    ours = purged_k_fold(start, start + 2, start, 3)[1]  # rows 4 .. 7, whose labels end at 9
    assert ours.train.tolist() == [0, 1, 10, 11]
    assert theirs_of(start, start + 2, 3, 1)[1] == [0, 1, 2, 9, 10, 11]
    # prices that only bounce: the return of the touching row tells half of the tested one
    bounce = np.random.default_rng(1).choice([-1.0, 1.0], 20_001)
    returns = np.diff(bounce)
    assert np.corrcoef(returns[:-1], returns[1:])[0, 1] == pytest.approx(-0.5, abs=0.02)
    assert abs(np.corrcoef(returns[:-2], returns[2:])[0, 1]) < 0.02


def test_an_embargo_counts_from_the_label_s_end() -> None:
    """Snippet 7.3 does so; purgedcv's embargo in rows counts from the tested row, where the purge has been already."""
    start, labels = np.arange(20), np.arange(20) + 3
    without, with_two = (theirs_of(start, labels, 4, 1, embargo_observations=rows) for rows in (0, 2))
    assert without == with_two
    ours = [purged_k_fold(start, labels, start, 4, embargo_sessions=m, closed=False)[1].train.tolist() for m in (0, 2)]
    assert ours[0] == without[1]
    assert sorted(set(ours[0]) - set(ours[1])) == [12, 13]  # rows 5 .. 9 are tested, whose labels end at 12
    four = theirs_of(start, labels, 4, 1, embargo_observations=4)[1]
    assert four == [i for i in ours[0] if i not in (12, 13)]


def test_a_label_without_length_is_purged_inside_a_tested_one() -> None:
    start = np.arange(12)
    end = np.where(start == 8, start, start + 2)
    assert 8 in theirs_of(start, end, 3, 1)[1]
    assert 8 not in purged_k_fold(start, end, start, 3, closed=False)[1].train


def test_sessions_are_never_cut() -> None:
    """Two entities, four decisions a session: purgedcv's groups begin between the two."""
    session = np.repeat(np.arange(5), 8)
    decision = np.repeat(np.arange(20), 2) + 100 * session
    group = session_groups(session, 2)
    assert [np.unique(group[session == day]).tolist() for day in range(5)] == [[0], [0], [0], [1], [1]]
    splits = purged_k_fold(decision, decision, session, 2)
    assert all(len(np.intersect1d(session[s.train], session[s.test])) == 0 for s in splits)
    purgedcv = pytest.importorskip("purgedcv")
    times = pd.to_datetime(decision * DAY)
    cut = purgedcv.PurgedKFold(3, prediction_times=times, evaluation_times=times)
    assert any(len(np.intersect1d(session[a], session[b])) for a, b in cut.split(np.zeros((40, 1))))


def test_the_book_s_paths() -> None:
    """Figure 12.1: six groups, two tested, 15 splits, five paths; a path takes each group from the next split of it."""
    session = np.arange(12)
    splits = combinatorial_purged(session, session, session, 6, 2)
    assert len(splits) == 15
    paths = backtest_paths(splits, [np.full(len(s.test), number) for number, s in enumerate(splits)], 12)
    assert paths.shape == (5, 12)
    figure = [  # which of S1 .. S15 each path takes G1 .. G6 from
        [1, 1, 2, 3, 4, 5],
        [2, 6, 6, 7, 8, 9],
        [3, 7, 10, 10, 11, 12],
        [4, 8, 11, 13, 13, 14],
        [5, 9, 12, 14, 15, 15],
    ]
    assert np.array_equal(paths[:, ::2] + 1, figure)
    assert np.array_equal(paths[:, ::2], paths[:, 1::2])


def test_a_missing_prediction_stays_in_its_path() -> None:
    session = np.arange(8)
    splits = combinatorial_purged(session, session, session, 4, 2)
    predictions = [np.zeros(len(split.test)) for split in splits]
    predictions[0][0] = np.nan
    assert np.argwhere(np.isnan(backtest_paths(splits, predictions, 8))).tolist() == [[0, 0]]


def test_purge_keeps_noise_from_looking_like_skill() -> None:
    """A nearest neighbour in time, on labels of ten rows of noise, sees its own label unless it is purged."""
    draw = np.random.default_rng(5)
    steps = draw.standard_normal(610)
    label = np.array([steps[i : i + 10].sum() for i in range(600)])
    time = np.arange(600)

    def skill(splits: list[Split]) -> float:
        predicted = np.full(600, np.nan)
        for split in splits:
            nearest = np.abs(time[split.train][None] - time[split.test][:, None]).argmin(axis=1)
            predicted[split.test] = label[split.train][nearest]
        return float(np.corrcoef(predicted, label)[0, 1])

    leaking = purged_k_fold(time, time, time, 60)  # as if labels had no length
    honest = purged_k_fold(time, time + 10, time, 60)
    assert skill(leaking) > 0.5
    assert abs(skill(honest)) < 0.15


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"groups": 1}, "2 of 1 groups"),
        ({"tested": 4}, "4 of 4 groups"),
        ({"groups": 9}, "9 groups of 8 sessions"),
        ({"end": np.arange(8) - 1}, "label of row 0 ends before"),
        ({"end": np.arange(7)}, "8 decisions, 7 label ends"),
        ({"decision": np.arange(8.0)}, "decision is float64"),
        ({"decision": np.array(["NaT"] * 8, "datetime64[ns]")}, "decision is missing in 8"),
        ({"session": np.array([0, 1, 2, 3, 0, 1, 2, 3]), "groups": 2, "tested": 1}, "sessions overlap"),
        ({"embargo": -1}, "embargo -1"),
    ],
)
def test_what_cannot_be_split_is_one_line(change, said) -> None:
    given = {"decision": np.arange(8), "end": np.arange(8), "session": np.arange(8), "groups": 4, "tested": 2} | change
    options = {"embargo": given.pop("embargo", 0)}
    with pytest.raises(ArgumentError, match=said) as caught:
        combinatorial_purged(*given.values(), **options)
    assert "\n" not in str(caught.value)


def test_too_many_splits_and_paths_of_parts_are_refused() -> None:
    rows = np.arange(40)
    with pytest.raises(ArgumentError, match="137,846,528,820 splits"):
        combinatorial_purged(rows, rows, rows, 40, 20)
    splits = combinatorial_purged(rows, rows, rows, 4, 2)
    zeros = [np.zeros(len(split.test)) for split in splits]
    with pytest.raises(ArgumentError, match="5 predictions of 6 splits"):
        backtest_paths(splits, zeros[1:], 40)
    with pytest.raises(ArgumentError, match="5 splits of 4 groups"):
        backtest_paths(splits[1:], zeros[1:], 40)
    with pytest.raises(ArgumentError, match="no splits"):
        backtest_paths([], [], 40)
    with pytest.raises(ArgumentError, match="do not tell each row's group"):
        backtest_paths(splits, zeros, 41)
    with pytest.raises(ArgumentError, match=r"predictions of \(3,\)"):
        backtest_paths(splits, [np.zeros(3), *zeros[1:]], 40)
