"""The time of day in variance: one robust online mean for each slot of the session, and what is made of a pattern.

One thread per entity: its sessions are read one after the other, because each is judged by those before it. Slots,
level and clipping: `volatility.diurnal_state`. A smooth curve instead of a mean a slot: `volatility.diurnal_fourier`.
"""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange, step_body
from gpu_kernels.dispatch import TILE_ROWS, Array, Rows, column, common_device, float_dtype, grid_of, on_cpu, positive
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import segment_of, tile_rows
from gpu_kernels.volatility.diurnal_state import (
    COUNT,
    FLOOR,
    MEAN,
    NOW,
    POOLED,
    ROWS,
    STATE,
    Sessions,
    collect,
    fading,
    gain,
    normalise,
    number,
    share_of,
    show,
)


@step_body
def _smoothed(values, count, s, half):
    """Triangular mean over the slots up to `half` away that were seen, as many on either side: so a straight line is
    left as it is, and the first slot and the last one are left alone."""
    reach = min(half, s, values.shape[0] - 1 - s)
    total, weight = 0.0, 0.0
    for j in range(-reach, reach + 1):
        if count[s + j] > 0.0:
            own = 1.0 - abs(j) / (reach + 1.0)
            total += own * values[s + j]
            weight += own
    return total / weight if weight > 0.0 else 1.0


@step_body
def _open_session(state, ratio, ratio_count, day_class, half, shrinkage, most):
    """The pattern of all days, and that of the present one's class."""
    for s in range(state.shape[1]):
        state[POOLED, s] = max(_smoothed(state[MEAN], state[COUNT], s, half), FLOOR)
    for s in range(state.shape[1]):
        now = state[POOLED, s]
        if day_class >= 0 and ratio_count[day_class, s] > 0.0:
            count = min(ratio_count[day_class, s], most)
            apart = _smoothed(ratio[day_class], ratio_count[day_class], s, half) - 1.0
            now = max(now * (1.0 + count / (count + shrinkage) * apart), FLOOR)
        state[NOW, s] = now
    normalise(state[NOW], state[COUNT], 1.0)


@step_body
def _teach(state, ratio, ratio_count, day_class, level, least):
    for s in range(state.shape[1]):
        if state[ROWS, s] > 0.0:
            share = share_of(state, s, level) * state[NOW, s]
            count = ratio_count[day_class, s]
            ratio[day_class, s] += gain(count, 0.0, least) * (share / state[POOLED, s] - ratio[day_class, s])
            ratio_count[day_class, s] = count + 1.0
            # the flat pattern counts as one session, so that a first bar of 0 does not make a factor of 0
            state[MEAN, s] += gain(state[COUNT, s], 1.0, least) * (share - state[MEAN, s])
            state[COUNT, s] += 1.0
    normalise(state[MEAN], state[COUNT], 1.0)


@body
def _entity(
    entity,
    proxy,
    slot,
    offsets,
    lengths,
    day_class,
    entities,
    close_slots,
    half,
    cut,
    least,
    least_level,
    shrinkage,
    minimum,
    state,
    ratio,
    ratio_count,
    pattern,
    level,
):
    state[:] = 0.0
    state[MEAN] = ratio[:] = 1.0
    ratio_count[:] = 0.0
    mean, sessions = np.nan, 0.0
    for day in range(entities[entity], entities[entity + 1]):
        _open_session(state, ratio, ratio_count, day_class[day], half, shrinkage, 1.0 / least)
        show(state, lengths[day], close_slots, minimum, pattern[day])
        level[day] = mean
        own = collect(state, proxy, slot, offsets[day], offsets[day + 1], lengths[day], close_slots, cut)
        if own > 0.0:
            mean = own if sessions == 0.0 else mean + gain(sessions, 0.0, least_level) * (own - mean)
            sessions += 1.0
            if day_class[day] >= 0:
                _teach(state, ratio, ratio_count, day_class[day], own, least)


@cpu_loop
def _pattern_cpu(
    proxy,
    slot,
    offsets,
    lengths,
    day_class,
    entities,
    close_slots,
    half,
    cut,
    least,
    least_level,
    shrinkage,
    minimum,
    states,
    ratios,
    ratio_counts,
    pattern,
    level,
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
            close_slots,
            half,
            cut,
            least,
            least_level,
            shrinkage,
            minimum,
            states[entity],
            ratios[entity],
            ratio_counts[entity],
            pattern,
            level,
        )


@cuda.jit
def _pattern_cuda(
    proxy,
    slot,
    offsets,
    lengths,
    day_class,
    entities,
    close_slots,
    half,
    cut,
    least,
    least_level,
    shrinkage,
    minimum,
    states,
    ratios,
    ratio_counts,
    pattern,
    level,
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
            close_slots,
            half,
            cut,
            least,
            least_level,
            shrinkage,
            minimum,
            states[entity],
            ratios[entity],
            ratio_counts[entity],
            pattern,
            level,
        )


@body
def _factor(slot, length, pattern, ahead):
    """The factor of a slot of a session, or the mean of those of the next `ahead` slots up to its end."""
    if not 0 <= slot < length:
        return np.nan
    if ahead == 0:
        return pattern[slot]
    total, last = 0.0, min(slot + 1 + ahead, length)
    for s in range(slot + 1, last):
        total += pattern[s]
    return total / (last - slot - 1) if last > slot + 1 else np.nan


_FACTOR, _DESEASONALISED, _RELATIVE = range(3)


@body
def _read(values, slot, lengths, pattern, level, day, row, ahead, what):
    factor = _factor(slot[row], lengths[day], pattern[day], ahead)
    if what == _FACTOR:
        return factor
    value = np.float64(values[row])
    if what == _DESEASONALISED:
        return value / math.sqrt(factor)
    usual = level[day] * factor
    return value / usual if usual > 0.0 else np.nan


@cpu_loop
def _read_cpu(values, slot, offsets, tiles, tile, lengths, pattern, level, ahead, what, out):
    for unit in prange(tiles[-1]):
        day, first, last = tile_rows(unit, tiles, offsets, tile)
        for row in range(first, last):
            out[row] = _read(values, slot, lengths, pattern, level, day, row, ahead, what)


@cuda.jit
def _read_cuda(values, slot, offsets, lengths, pattern, level, ahead, what, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        out[row] = _read(values, slot, lengths, pattern, level, segment_of(offsets, row), row, ahead, what)


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
    half_life: float = 60.0,
    level_half_life: float = 10.0,
    class_shrinkage: float = 60.0,
    smoothing: int = 0,
    cut: float = 6.635,
    minimum_sessions: int = 5,
    close_slots: int = 0,
) -> tuple[Array, Array]:
    """The factors of each session's slots, and its expected level, both from the sessions before it.

    After a session of level l (see `volatility.diurnal_state`), with v = min(x / (l f), c) / k f what it says of a
    slot that n sessions had before it,
        m += max(1 / (n + 2), a) (v - m),   a = 1 - 2 ** (-1 / half_life)
    then all m are divided by their mean; the flat pattern counts as one session. f = the triangular mean of m over
    neighbouring slots, times 1 + w (r - 1) where the session has a class: r is the class's own mean of v over the f of
    all days, w = n / (n + class_shrinkage) with its own n, 1 / a at most. f is divided by its mean over all slots that
    are known.
    Robust: one wild bar moves its slot's factor by no more than c / (k (n + 2)) times itself, and its session's level,
    by which all other slots are judged, hardly. The mean is of clipped values, so what news brings to a time of day
    on few days only is left to `volatility.event_profile`.

    proxy      (n,) variance of a row: a squared return or squared range; several rows of one slot are averaged
    slot       (n,) int64, slots since the session's open; offsets (S + 1,) rows of each session
    lengths    (S,) int64, slots of each session by the calendar, 0 to `slots`, which a full session has
    day_class  (S,) int64, 0 to classes - 1 (a weekday), or -1: gets the pattern of all days and teaches it nothing,
               which short sessions are for
    entities   (E + 1,) sessions of each entity, in the order of time: [0, S] for one entity

    half_life        sessions after which one counts half; level_half_life: the same for the level
    class_shrinkage  sessions of a class after which its own shape counts half; inf for one pattern of all days
    smoothing        half-width in slots of the triangular mean, less near the ends of the session
    cut              in squared standard deviations; inf for plain means
    minimum_sessions that must have had a slot before it has a factor
    close_slots      of a short session that are read by their distance to the close
    returns    pattern (S, slots) float64; level (S,) float64, in the unit of `proxy`: the exponentially weighted mean
               of past sessions' levels, so level x factor is what a row of the slot is expected to be

    Missing values: a factor is NaN past the session's end and until the slot was seen in `minimum_sessions` sessions;
    the level is NaN before the first session that had one. For which rows are left out see `volatility.diurnal_state`.
    Raises: ArgumentError, DeviceError.
    Source: Taylor and Xu (1997), "The incremental volatility information in one million foreign exchange quotations",
    for the mean a slot; Boudt, Croux and Laurent (2011), "Robust estimation of intraweek periodicity in volatility and
    jump detection", for weights by standardised values: theirs rejects, and takes a whole sample, as R's
    `highfrequency` does. Online, clipping, and the shrinking of classes are ours.
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
    settings = (
        table.close_slots,
        positive("smoothing", smoothing, minimum=0, maximum=table.slots),
        number("cut", cut, 1.0),
        max(fading("half_life", half_life), 1e-12),
        fading("level_half_life", level_half_life),
        table.class_shrinkage,
        float(positive("minimum_sessions", minimum_sessions)),
    )
    rows = table.rows
    factors, level = rows.empty((rows.segments, table.slots), np.float64), rows.empty(rows.segments, np.float64)
    if rows.segments == 0 or table.count == 0:
        return factors, level
    shared = (table.proxy, table.slot, rows.offsets, table.lengths, table.day_class, table.entities)
    scratch = (
        rows.empty((table.count, STATE, table.slots), np.float64),
        rows.empty((table.count, table.classes, table.slots), np.float64),
        rows.empty((table.count, table.classes, table.slots), np.float64),
    )
    if rows.device:
        _pattern_cuda[grid_of(table.count)](*shared, *settings, *scratch, factors, level)
    else:
        work = rows.count + rows.segments * table.slots
        on_cpu(_pattern_cpu, work, table.count)(*shared, *settings, *scratch, factors, level)
    return factors, level


def _from_pattern(
    what: int,
    values: Array | None,
    slot: Array,
    offsets: Array,
    lengths: Array,
    pattern: Array,
    level: Array | None = None,
    ahead: int = 0,
) -> Array:
    rows = Rows(offsets, values={} if values is None else {"values": values}, times={"slot": slot})
    common_device(slot=slot, lengths=lengths, pattern=pattern, **({} if level is None else {"level": level}))
    lengths = column("lengths", lengths, (np.dtype(np.int64),))
    pattern = column("pattern", pattern, (np.dtype(np.float64),), ndim=2)
    none = rows.empty(0, np.float64)
    level = none if level is None else column("level", level, (np.dtype(np.float64),))
    known = {"lengths": len(lengths), "pattern": len(pattern)} | ({"level": len(level)} if what == _RELATIVE else {})
    if any(count != rows.segments for count in known.values()):
        shown = ", ".join(f"{name} {count}" for name, count in known.items())
        raise ArgumentError(f"{shown} for {rows.segments} sessions", allowed="one row of each a session")
    read = none if values is None else rows.columns[0]
    out = rows.empty(rows.count, np.float64 if values is None else float_dtype(read))
    shared = (read, rows.columns[-1], rows.offsets)
    if rows.count and rows.device:
        _read_cuda[grid_of(rows.count)](*shared, lengths, pattern, level, ahead, what, out)
    elif rows.count:
        tiles = (rows.tiles(), TILE_ROWS)
        on_cpu(_read_cpu, rows.count)(*shared, *tiles, lengths, pattern, level, ahead, what, out)
    return out


def factor(slot: Array, offsets: Array, lengths: Array, pattern: Array, *, ahead: int = 0) -> Array:
    """Each row's factor, or the mean factor of the next `ahead` slots: known when the session opens.

    slot, offsets, lengths   as in `pattern`, whose first output `pattern` is (or that of `diurnal_fourier.pattern`)
    ahead      0 for the row's own slot; else the mean over the slots after it, `ahead` of them or as many as the
               session still has
    returns    (n,) float64

    Missing values: NaN outside of the session's slots, where a factor is missing, and ahead of the last slot.
    Raises: ArgumentError, DeviceError.
    """
    ahead = positive("ahead", ahead, minimum=0)
    return _from_pattern(_FACTOR, None, slot, offsets, lengths, pattern, ahead=ahead)


def deseasonalised(returns: Array, slot: Array, offsets: Array, lengths: Array, pattern: Array) -> Array:
    """returns / sqrt(factor): returns as they would be if every time of day were like the session's mean.

    returns    (n,) float32, float64 or int64; the others as in `factor`
    returns    (n,) in the unit of `returns`

    Missing values: NaN where the return or its factor is.
    Raises: ArgumentError, DeviceError.
    Source: Andersen and Bollerslev (1997), "Intraday periodicity and volatility persistence in financial markets".
    """
    return _from_pattern(_DESEASONALISED, returns, slot, offsets, lengths, pattern)


def relative(values: Array, slot: Array, offsets: Array, lengths: Array, pattern: Array, level: Array) -> Array:
    """values / (level x factor): a row against what its time of day and past sessions let expect of it. Of volume, with
    the pattern and the level of volume (`cut` = inf), abnormal volume; of a variance, realised over expected.

    values     (n,) float32, float64 or int64; level (S,) float64, the second output of `pattern`; the others as in
               `factor`
    returns    (n,), 1 where a row is as expected

    Missing values: NaN where the value, its factor or the level is, or where nothing is expected.
    Raises: ArgumentError, DeviceError.
    """
    return _from_pattern(_RELATIVE, values, slot, offsets, lengths, pattern, level)
