"""Purged and embargoed k-fold, and combinatorial purged cross-validation with its backtest paths.

Sessions in their order are cut into N groups of as equal numbers of sessions as can be (the first ones get what is left
over). A split tests k of them and trains on the rest, but for rows that could tell it about the tested ones:

    purge     the interval [decision, label end] of a row meets the span of a tested group, which reaches from its first
              decision to its last label end: neither may know a price that the other's return is made of
    embargo   the decision lies after the span and at most `embargo` after its end, or in one of the first
              `embargo_sessions` sessions that begin after it: what is learned there still moves with what was tested

Each of the C(N, k) ways to choose is a split; k = 1 is the purged k-fold. Each group is tested in C(N - 1, k - 1) of
them, so that the predictions make as many paths, phi = C(N, k) k / N: each a whole out-of-sample history, in which a
group's predictions are those of the p-th split that tests it.

Variants. Intervals are closed at both ends, as in the book's snippet 7.1: a training label that ends at the moment of
a tested decision is made of the very price from which the tested return starts, so that the two share its error (a
bounce between bid and ask gives them a correlation of -1/2 where prices do not move at all). `closed=False` counts what
only touches as apart. An embargo counts from the last label end, as in snippet 7.3.

`purgedcv` 0.1 (PyPI) is the case closed=False with each row being a session of its own. It differs from this besides:
- it cuts between rows, so that a group may begin within a session, or between two entities of one decision;
- its `embargo_observations` counts rows after the last tested row, not after its label's end, so that with labels of h
  rows an embargo of up to h - 1 rows removes nothing that the purge has not removed already;
- a row whose label ends at its decision overlaps nothing there, even in the midst of a tested label; here it does.

Sources: Lopez de Prado, Advances in Financial Machine Learning (2018), chapters 7 (purge, embargo) and 12 (paths).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpu_kernels.errors import ArgumentError

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

_MOST_SPLITS = 100_000


@dataclass(frozen=True)
class Split:
    """One split: the groups that it tests, and the places of its training and test rows, both rising."""

    tested: tuple[int, ...]
    train: Integers
    test: Integers


def session_groups(sessions: ArrayLike, count: int) -> Integers:
    """The group, 0 to count - 1, of each row: sessions in their order, in groups of as equal numbers as can be.

    sessions  (rows,) whose row it is, in any order: dates, times or numbers

    Missing values: none allowed.
    Raises ArgumentError where count is below 2 or above the number of sessions.
    """
    names, number = np.unique(np.asarray(sessions), return_inverse=True)
    if not 2 <= count <= len(names):
        raise ArgumentError(
            f"{count} groups of {len(names)} sessions",
            allowed="2 groups, up to one for each session",
            hint="take fewer",
        )
    size, larger = divmod(len(names), count)
    sizes = np.full(count, size) + (np.arange(count) < larger)
    found: Integers = np.repeat(np.arange(count), sizes)[number.reshape(-1)]
    return found


def purged_k_fold(
    decision: ArrayLike,
    label_end: ArrayLike,
    sessions: ArrayLike,
    folds: int,
    *,
    embargo: int = 0,
    embargo_sessions: int = 0,
    closed: bool = True,
) -> list[Split]:
    """The splits that test one group each: `combinatorial_purged` with tested = 1."""
    given = decision, label_end, sessions, folds, 1
    return combinatorial_purged(*given, embargo=embargo, embargo_sessions=embargo_sessions, closed=closed)


def combinatorial_purged(
    decision: ArrayLike,
    label_end: ArrayLike,
    sessions: ArrayLike,
    groups: int,
    tested: int,
    *,
    embargo: int = 0,
    embargo_sessions: int = 0,
    closed: bool = True,
) -> list[Split]:
    """All C(groups, tested) splits, those that test the earliest groups first (0 1, 0 2, .., 1 2, ..).

    decision          (rows,) when each row was decided: integers (ns) or datetime64, in any order
    label_end         (rows,) from when its label was known, of the same kind and not earlier
    sessions          (rows,) its session; a decision belongs to a later session than all earlier ones or to the same
    groups            N, as `session_groups` cuts them
    tested            k, of them in each split
    embargo           time after the last label end of a tested group, in the unit of the two clocks (ns)
    embargo_sessions  whole sessions that begin after it
    closed            intervals that only touch overlap

    A split whose training set is empty is kept: what to do then is the caller's to say.
    Missing values: none allowed; leave rows without a label out.
    Raises ArgumentError where the arrays do not belong together, a label ends before its decision, sessions overlap, or
    there are more than 100,000 splits.
    """
    start, end = _clock(decision, "decision"), _clock(label_end, "label_end")
    names, session = np.unique(np.asarray(sessions), return_inverse=True)
    session = session.reshape(-1)
    _check(start, end, session, len(names), embargo, embargo_sessions)
    if not 1 <= tested < groups:
        raise ArgumentError(f"{tested} of {groups} groups are tested", allowed=f"1 to {groups - 1} of {groups}")
    if comb(groups, tested) > _MOST_SPLITS:
        raise ArgumentError(
            f"{tested} of {groups} groups make {comb(groups, tested):,} splits",
            allowed=f"up to {_MOST_SPLITS:,}",
            hint="take fewer groups",
        )
    group = session_groups(session, groups)
    opens = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(opens, session, start)
    given = start, end, session, opens, embargo, embargo_sessions, closed
    shut = np.stack([_shut(group == g, *given) for g in range(groups)])
    splits = []
    for chosen in combinations(range(groups), tested):
        test = np.isin(group, chosen)
        train = ~test & ~shut[list(chosen)].any(axis=0)
        splits.append(Split(chosen, np.flatnonzero(train), np.flatnonzero(test)))
    return splits


def backtest_paths(splits: Sequence[Split], predictions: Sequence[ArrayLike], rows: int) -> NDArray[np.float64]:
    """(phi, rows) the out-of-sample histories that the predictions of all splits make.

    splits       what `combinatorial_purged` or `purged_k_fold` gave, whole and in its order
    predictions  one array for each split, of its `test` rows

    Missing values: a NaN stays in the one path that it belongs to.
    Raises ArgumentError where the arrays do not fit the splits, or the splits are not whole.
    """
    if len(splits) != len(predictions):
        raise ArgumentError(f"{len(predictions)} predictions of {len(splits)} splits", allowed="one for each")
    group = _groups_of(splits, rows)
    count, tested = int(group.max()) + 1, len(splits[0].tested)
    if len(splits) != comb(count, tested):
        raise ArgumentError(
            f"{len(splits)} splits of {count} groups with {tested} tested", allowed=f"all {comb(count, tested)}"
        )
    paths = np.full((comb(count - 1, tested - 1), rows), np.nan)
    seen = np.zeros(count, np.int64)
    for split, predicted in zip(splits, predictions, strict=True):
        values = np.asarray(predicted, np.float64)
        if values.shape != split.test.shape:
            raise ArgumentError(
                f"predictions of {values.shape} for the split of {split.tested}", allowed=f"{split.test.shape}"
            )
        paths[seen[group[split.test]], split.test] = values
        seen[list(split.tested)] += 1
    return paths


def _shut(
    member: Booleans,
    start: Integers,
    end: Integers,
    session: Integers,
    opens: Integers,
    embargo: int,
    embargo_sessions: int,
    closed: bool,
) -> Booleans:
    """The rows that may not train where the group of `member` is tested."""
    first, last = start[member].min(), end[member].max()
    meets = (start <= last) & (end >= first) if closed else (start < last) & (end > first)
    # `opens` rises with the sessions, so that this is the number of the first that begins after the span
    following = int(np.searchsorted(opens, last, side="right" if closed else "left"))
    after = (session >= following) & (session < following + embargo_sessions)
    if embargo:
        # the span's end is taken from the clock, so that a huge embargo cannot overflow
        after |= (start >= last) & (start - last <= embargo)
    found: Booleans = meets | after
    return found


def _groups_of(splits: Sequence[Split], rows: int) -> Integers:
    """The group of each row, told by which splits test it."""
    if not splits:
        raise ArgumentError("no splits", allowed="those of `combinatorial_purged`")
    inside = np.zeros(rows, np.int64)
    for split in splits:
        if len(split.test) and (split.test[-1] >= rows or split.test[0] < 0):
            raise ArgumentError(f"a split tests row {split.test[-1]} of {rows}", allowed=f"rows 0 to {rows - 1}")
        inside[split.test] += 1
    groups = max(max(split.tested) for split in splits) + 1
    # a row is of the group that every split which tests it has in common, and no other split has
    candidate = np.ones((groups, rows), bool)
    for split in splits:
        tests = np.zeros(rows, bool)
        tests[split.test] = True
        named = np.isin(np.arange(groups), split.tested)
        candidate &= named[:, None] == tests[None, :]
    if not (candidate.sum(axis=0) == 1).all() or not inside.all():
        raise ArgumentError("the splits do not tell each row's group", allowed="all splits of one call, whole")
    found: Integers = candidate.argmax(axis=0)
    return found


def _clock(values: ArrayLike, name: str) -> Integers:
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iuM":
        raise ArgumentError(
            f"{name} is {array.dtype} of {array.ndim} dimensions", allowed="(rows,) int64 or datetime64"
        )
    if array.dtype.kind == "M":
        if np.isnat(array).any():
            raise ArgumentError(f"{name} is missing in {int(np.isnat(array).sum())} rows", hint="leave such rows out")
        array = array.astype("datetime64[ns]")
    return array.astype(np.int64)


def _check(
    start: Integers, end: Integers, session: Integers, sessions: int, embargo: int, embargo_sessions: int
) -> None:
    if not len(start) == len(end) == len(session):
        raise ArgumentError(
            f"{len(start)} decisions, {len(end)} label ends, {len(session)} sessions", allowed="as many"
        )
    if not len(start):
        raise ArgumentError("no rows", allowed="as many sessions as groups, at least")
    if embargo < 0 or embargo_sessions < 0:
        raise ArgumentError(f"embargo {embargo}, embargo_sessions {embargo_sessions}", allowed="0 or more")
    early = np.flatnonzero(end < start)
    if len(early):
        raise ArgumentError(f"the label of row {early[0]} ends before its decision", allowed="label_end >= decision")
    first, last = np.full(sessions, np.iinfo(np.int64).max), np.full(sessions, np.iinfo(np.int64).min)
    np.minimum.at(first, session, start)
    np.maximum.at(last, session, start)
    if (first[1:] < last[:-1]).any():
        raise ArgumentError(
            "sessions overlap in time", allowed="sessions whose decisions follow those of the one before"
        )
