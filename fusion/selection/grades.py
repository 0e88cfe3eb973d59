"""Sequential grades: each row is ranked once, when it first comes into a training window, and its sums are made once.

    less, equal   rows of the window, as it is at the refit that first sees the row, whose value is below the row's, or
                  equal to it (the row itself is one of these)
    grade         (2 less + equal - n) / n,   n rows of the window with a value

It is the row's average rank, centred, between -1 and 1, rounded to 1/32768. The first window is ranked among itself, so
that its correlation of grades is Spearman's; a row that comes later is ranked among all rows before it and those that
come with it, and is never ranked again. So a session's sums do not change from refit to refit, and a refit adds up
sessions. Grades are whole numbers: sums over a session are exact.

Missing values: MISSING for rows without a value or a label, and for those of sessions that no window holds.

Source: Barnard (1963), Parent (1965) and Lombard (1981) for sequential ranks; variant: those of batches.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

STEPS = 32768
MISSING = -STEPS
# a grade's bin, for mutual information
BINS = 8
_CHUNK = 512


@dataclass(frozen=True)
class Batches:
    """The sessions that come into the window, and those that leave it, at each refit.

    entered   (sessions,) the first refit whose window holds the session; the number of refits where none does
    come, go  sessions in the order of the refits, those of refit r from offsets[r] to offsets[r + 1]
    """

    entered: Integers
    come: Integers
    come_offsets: Integers
    go: Integers
    go_offsets: Integers

    @classmethod
    def of(cls, windows: Booleans) -> "Batches":
        """windows: (refits, sessions)."""
        refits, sessions = windows.shape
        ever = windows.any(axis=0)
        entered = np.where(ever, windows.argmax(axis=0), refits) if refits else np.zeros(sessions, dtype=np.int64)
        later = np.arange(refits)[:, None] > entered
        left = later & ~windows
        gone = np.where(left.any(axis=0), left.argmax(axis=0), refits) if refits else entered
        return cls(entered.astype(np.int64), *_grouped(entered, refits), *_grouped(gone, refits))


def _grouped(refit: Integers, refits: int) -> tuple[Integers, Integers]:
    order = np.argsort(refit, kind="stable")
    return order.astype(np.int64), np.searchsorted(refit[order], np.arange(refits + 1)).astype(np.int64)


def graded(values: Floats, used: Booleans, offsets: Integers, batches: Batches) -> NDArray[np.int16]:
    """The grades of one feature, or of the label.

    values   (rows,) in the order of sessions, in any unit
    used     (rows,) which rows may be ranked; those without a finite value are not
    offsets  (sessions + 1,) first row of each session
    """
    finite = used & np.isfinite(values)
    place, distinct = _places(values, np.argsort(values), finite)
    found: NDArray[np.int16] = _grade(
        place, distinct, offsets, batches.come, batches.come_offsets, batches.go, batches.go_offsets
    )
    return found


@dataclass(frozen=True)
class SessionSums:
    """What a feature adds up to in each session: whole numbers, exact.

    moments  (6, sessions) of 1, u, v, uu, vv, uv: u the feature's grade, v the label's, over the rows with both
    lags     (sessions, 8) of 1, a, b, aa, bb, ab, |b - a|, |b|: b the feature's grade, a the one of the same entity's
             decision before
    joint    (sessions, BINS * BINS) rows by the bin of u and the bin of v
    """

    moments: Floats
    lags: Floats
    joint: NDArray[np.uint32]


def session_sums(u: NDArray[np.int16], v: NDArray[np.int16], previous: Integers, offsets: Integers) -> SessionSums:
    """previous: (rows,) the row of the decision before, -1 where there is none that was ranked by then."""
    return SessionSums(*_session_sums(u, v, previous, offsets))


@njit(cache=True, nogil=True)
def _places(values, order, used):  # type: ignore[no-untyped-def]
    # the place of each value among the distinct ones
    place = np.full(len(values), -1, dtype=np.int64)
    distinct = 0
    last = 0.0
    for row in order:
        if used[row]:
            if distinct == 0 or values[row] != last:
                distinct += 1
                last = values[row]
            place[row] = distinct - 1
    return place, distinct


@njit(cache=True, nogil=True)
def _grade(place, distinct, offsets, come, come_offsets, go, go_offsets):  # type: ignore[no-untyped-def]
    grade = np.full(len(place), MISSING, dtype=np.int16)
    counts = np.zeros(distinct, dtype=np.int32)
    chunks = distinct // _CHUNK + 1
    totals = np.zeros(chunks, dtype=np.int64)
    below = np.zeros(chunks, dtype=np.int64)
    n = 0
    for r in range(len(come_offsets) - 1):
        for i in range(go_offsets[r], go_offsets[r + 1]):
            for row in range(offsets[go[i]], offsets[go[i] + 1]):
                if place[row] >= 0:
                    counts[place[row]] -= 1
                    totals[place[row] // _CHUNK] -= 1
                    n -= 1
        for i in range(come_offsets[r], come_offsets[r + 1]):
            for row in range(offsets[come[i]], offsets[come[i] + 1]):
                if place[row] >= 0:
                    counts[place[row]] += 1
                    totals[place[row] // _CHUNK] += 1
                    n += 1
        running = 0
        for c in range(chunks):
            below[c] = running
            running += totals[c]
        for i in range(come_offsets[r], come_offsets[r + 1]):
            for row in range(offsets[come[i]], offsets[come[i] + 1]):
                if place[row] >= 0:
                    c = place[row] // _CHUNK
                    less = below[c]
                    for j in range(c * _CHUNK, place[row]):
                        less += counts[j]
                    centred = 2 * less + counts[place[row]] - n
                    # to the nearest, halves away from 0: the grades of -x are those of x with the other sign
                    size = (2 * abs(centred) * STEPS + n) // (2 * n)
                    size = min(size, STEPS - 1)
                    grade[row] = size if centred >= 0 else -size
    return grade


@njit(cache=True, nogil=True)
def _session_sums(u, v, previous, offsets):  # type: ignore[no-untyped-def]
    sessions = len(offsets) - 1
    moments, lags = np.zeros((6, sessions)), np.zeros((sessions, 8))
    joint = np.zeros((sessions, BINS * BINS), dtype=np.uint32)
    width = 2 * STEPS // BINS
    for s in range(sessions):
        for i in range(offsets[s], offsets[s + 1]):
            if u[i] == MISSING or v[i] == MISSING:
                continue
            a, b = np.float64(u[i]), np.float64(v[i])
            moments[0, s] += 1.0
            moments[1, s] += a
            moments[2, s] += b
            moments[3, s] += a * a
            moments[4, s] += b * b
            moments[5, s] += a * b
            joint[s, (np.int64(u[i]) + STEPS) // width * BINS + (np.int64(v[i]) + STEPS) // width] += 1
            j = previous[i]
            if j >= 0 and u[j] != MISSING:
                c = np.float64(u[j])
                lags[s, 0] += 1.0
                lags[s, 1] += c
                lags[s, 2] += a
                lags[s, 3] += c * c
                lags[s, 4] += a * a
                lags[s, 5] += a * c
                lags[s, 6] += abs(a - c)
                lags[s, 7] += abs(a)
    return moments, lags, joint
