"""The time of day in variance as a smooth curve: the flexible Fourier form, by recursive weighted least squares.

A curve of a dozen numbers is learned in a few sessions, where a mean a slot needs a hundred; what is narrower than its
shortest wave it cannot show, unless it is at the open or the close, which have dummies. One thread per entity; slots,
level and clipping: `volatility.diurnal_state`.
"""

import math
from typing import Literal

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, grid_of, on_cpu, positive, to_side
from gpu_kernels.errors import ArgumentError
from gpu_kernels.volatility.diurnal_state import (
    COUNT,
    FLOOR,
    LIMIT,
    NOW,
    ROWS,
    SEEN,
    STATE,
    Sessions,
    collect,
    fading,
    normalise,
    number,
    share_of,
    show,
)

_SMALLEST = 0.01
"""Below this share of what was expected the logarithm of a proxy is taken as its: 8 % of a normal's squares are."""


@body
def _solve(normal, prior, work, theta):
    """(A + prior I) theta = b by Cholesky; `normal` holds [A | b], `work` as much."""
    terms = theta.shape[0]
    for i in range(terms):
        for j in range(i + 1):
            total = normal[i, j] + prior if i == j else normal[i, j]
            for k in range(j):
                total -= work[i, k] * work[j, k]
            work[i, j] = math.sqrt(total) if i == j else total / work[j, j]
    for i in range(terms):
        total = normal[i, terms]
        for k in range(i):
            total -= work[i, k] * theta[k]
        theta[i] = total / work[i, i]
    for i in range(terms - 1, -1, -1):
        total = theta[i]
        for k in range(i + 1, terms):
            total -= work[k, i] * theta[k]
        theta[i] = total / work[i, i]


@body
def _line(design, s, theta):
    total = 0.0
    for k in range(theta.shape[0]):
        total += design[s, k] * theta[k]
    return total


@body
def _open_session(state, design, thetas, day_class, squares):
    for s in range(state.shape[1]):
        line = _line(design, s, thetas[0])
        if day_class >= 0:
            line += _line(design, s, thetas[1 + day_class])
        state[NOW, s] = max(1.0 + line if squares else math.exp(line), FLOOR)
    normalise(state[NOW], state[COUNT], 1.0)


@body
def _add(normal, design, s, response):
    terms = design.shape[1]
    for i in range(terms):
        for j in range(i + 1):
            normal[i, j] += design[s, i] * design[s, j]
        normal[i, terms] += design[s, i] * response


@body
def _response(state, s, level, squares):
    """What the present session says of slot s: its share less 1, or the logarithm of its share."""
    if squares:
        return share_of(state, s, level) * state[NOW, s] - 1.0
    share = state[SEEN, s] / (level * state[NOW, s])
    return math.log(state[NOW, s] * min(max(share, _SMALLEST), state[LIMIT, s]))


@body
def _fit(state, level, squares, design, prior, normal, work, against, theta):
    """Add the session's slots to the normal equations, less what `against` says already, and solve them."""
    for s in range(state.shape[1]):
        if state[ROWS, s] > 0.0:
            _add(normal, design, s, _response(state, s, level, squares) - _line(design, s, against))
    _solve(normal, prior, work, theta)


@body
def _teach(state, design, normals, thetas, work, day_class, level, keep, squares, ridge, shrinkage):
    own = 1 + day_class
    for i in range(normals.shape[1]):
        for j in range(normals.shape[2]):
            normals[0, i, j] *= keep
            normals[own, i, j] *= keep
    nothing = thetas[thetas.shape[0] - 1]
    _fit(state, level, squares, design, ridge, normals[0], work, nothing, thetas[0])
    if shrinkage < np.inf:
        _fit(state, level, squares, design, shrinkage, normals[own], work, thetas[0], thetas[own])
    for s in range(state.shape[1]):
        if state[ROWS, s] > 0.0:
            state[COUNT, s] += 1.0


@body
def _entity(
    entity,
    proxy,
    slot,
    offsets,
    lengths,
    day_class,
    entities,
    design,
    close_slots,
    cut,
    keep,
    squares,
    ridge,
    shrinkage,
    minimum,
    state,
    normals,
    thetas,
    work,
    pattern,
):
    state[:] = 0.0
    normals[:] = 0.0
    thetas[:] = 0.0
    for day in range(entities[entity], entities[entity + 1]):
        _open_session(state, design, thetas, day_class[day], squares)
        show(state, lengths[day], close_slots, minimum, pattern[day])
        if day_class[day] >= 0:
            own = collect(state, proxy, slot, offsets[day], offsets[day + 1], lengths[day], close_slots, cut)
            if own > 0.0:
                _teach(state, design, normals, thetas, work, day_class[day], own, keep, squares, ridge, shrinkage)


@cpu_loop
def _fourier_cpu(
    proxy,
    slot,
    offsets,
    lengths,
    day_class,
    entities,
    design,
    close_slots,
    cut,
    keep,
    squares,
    ridge,
    shrinkage,
    minimum,
    states,
    normals,
    thetas,
    works,
    pattern,
):
    for entity in prange(entities.shape[0] - 1):
        _entity(
            entity,
            proxy,
            slot,
            offsets,
            lengths,
            day_class,
            entities,
            design,
            close_slots,
            cut,
            keep,
            squares,
            ridge,
            shrinkage,
            minimum,
            states[entity],
            normals[entity],
            thetas[entity],
            works[entity],
            pattern,
        )


@cuda.jit
def _fourier_cuda(
    proxy,
    slot,
    offsets,
    lengths,
    day_class,
    entities,
    design,
    close_slots,
    cut,
    keep,
    squares,
    ridge,
    shrinkage,
    minimum,
    states,
    normals,
    thetas,
    works,
    pattern,
):
    entity = cuda.grid(1)
    if entity < entities.shape[0] - 1:
        _entity(
            entity,
            proxy,
            slot,
            offsets,
            lengths,
            day_class,
            entities,
            design,
            close_slots,
            cut,
            keep,
            squares,
            ridge,
            shrinkage,
            minimum,
            states[entity],
            normals[entity],
            thetas[entity],
            works[entity],
            pattern,
        )


def _design(slots: int, pairs: int, opening: int, closing: int) -> Array:
    """(slots, terms): an orthonormal basis of constant, line, parabola, pairs of cosine and sine, and a dummy for each
    slot near the ends. A full session then adds the identity to the normal equations, which stay well conditioned."""
    place = (np.arange(slots) + 0.5) / slots
    line = 2.0 * place - 1.0
    waves = [wave(2.0 * np.pi * p * place) for p in range(1, pairs + 1) for wave in (np.cos, np.sin)]
    dummies = [np.arange(slots) == s for s in (*range(opening), *range(slots - closing, slots))]
    terms = np.column_stack([np.ones(slots), line, line * line, *waves, *dummies])
    return np.ascontiguousarray(np.linalg.qr(terms)[0])


def pattern(
    proxy: Array,
    slot: Array,
    offsets: Array,
    lengths: Array,
    day_class: Array,
    entities: Array,
    *,
    slots: int,
    classes: int = 1,
    pairs: int = 4,
    opening: int = 1,
    closing: int = 1,
    response: Literal["log", "square"] = "log",
    half_life: float = 60.0,
    class_shrinkage: float = 20.0,
    ridge: float = 0.5,
    cut: float = 6.635,
    minimum_sessions: int = 5,
    close_slots: int = 0,
) -> Array:
    """The factors of each session's slots by a flexible Fourier form, fitted to the sessions before it.

    With u = proxy / (level factor), the level being the session's own as in `volatility.diurnal_state` and f what the
    fit before it said, the response of a slot in the middle of the part x of the session is
        "log"      y = ln(f min(max(u, 0.01), c)),   f = exp(z theta)      (multiplicative, by logs of squares)
        "square"   y = f min(u, c) / k - 1,          f = 1 + z theta, at least 0.001
    z theta = theta_0 + theta_1 q + theta_2 q² + sum over p = 1..pairs of a_p cos(2 pi p x) + b_p sin(2 pi p x)
              + one dummy for each of the first `opening` and last `closing` slots,   q = 2 x - 1
    theta minimises sum over past sessions j of 2 ** (-(age of j) / half_life) |y_j - z theta|² + ridge |Z theta|², Z
    being the rows z of a full session: the flat pattern counts as `ridge` sessions. A class has a theta of its own for
    what is left, with `class_shrinkage` sessions of nothing: of whole sessions exactly n / (n + class_shrinkage) of its
    least-squares fit. f is divided by its mean over the slots that were seen.
    Differences from Andersen and Bollerslev: they fit 2 ln(|r| / sigma) over a whole sample with sigma from a daily
    GARCH, and let the curve depend on sigma; here it is online, sigma is the session's own robust level, and u is held
    at 0.01 and c, since a return of 0 has no logarithm. That the mean of ln z² is not 0 moves all slots alike and
    leaves with the normalisation; so does a distribution of returns that is the same at all times of day.

    proxy, slot, offsets, lengths, day_class, entities   as in `diurnal.pattern`
    slots, half_life, cut, minimum_sessions, close_slots likewise; `class_shrinkage` inf for one pattern of all days
    returns    pattern (S, slots) float64

    Missing values: as in `diurnal.pattern`; the curve is not carried to slots that nobody has seen.
    Raises: ArgumentError (also where a session has fewer slots than the curve has terms), DeviceError.
    Source: Gallant (1981), "On the bias in flexible functional forms"; Andersen and Bollerslev (1997), "Intraday
    periodicity and volatility persistence in financial markets", appendix B.
    """
    table = Sessions(
        proxy,
        slot,
        offsets,
        lengths,
        day_class,
        entities,
        slots=slots,
        classes=classes,
        close_slots=close_slots,
        class_shrinkage=class_shrinkage,
    )
    if response not in ("log", "square"):
        raise ArgumentError(f"response is {response!r}", allowed='"log" or "square"')
    shape = (
        positive("pairs", pairs, minimum=0, maximum=100),
        positive("opening", opening, minimum=0, maximum=100),
        positive("closing", closing, minimum=0, maximum=100),
    )
    terms = 3 + 2 * shape[0] + shape[1] + shape[2]
    if terms > table.slots:
        raise ArgumentError(
            f"{terms} terms for sessions of {table.slots} slots", allowed="no more terms than slots", hint="fewer pairs"
        )
    settings = (
        table.close_slots,
        number("cut", cut, 1.0),
        1.0 - fading("half_life", half_life),
        int(response == "square"),
        number("ridge", ridge, 0.0, above=True),
        table.class_shrinkage,
        float(positive("minimum_sessions", minimum_sessions)),
    )
    rows = table.rows
    factors = rows.empty((rows.segments, table.slots), np.float64)
    if rows.segments == 0 or table.count == 0:
        return factors
    design = _design(table.slots, *shape)
    shared = (table.proxy, table.slot, rows.offsets, table.lengths, table.day_class, table.entities)
    curve = to_side(design, like=rows.offsets)
    scratch = (
        rows.empty((table.count, STATE, table.slots), np.float64),
        rows.empty((table.count, 1 + table.classes, terms, terms + 1), np.float64),
        # the last one stays 0: what the pattern of all days is fitted against
        rows.empty((table.count, 2 + table.classes, terms), np.float64),
        rows.empty((table.count, terms, terms + 1), np.float64),
    )
    if rows.device:
        _fourier_cuda[grid_of(table.count)](*shared, curve, *settings, *scratch, factors)
    else:
        work = (rows.count + rows.segments * table.slots) * terms
        on_cpu(_fourier_cpu, work, table.count)(*shared, curve, *settings, *scratch, factors)
    return factors
