import numpy as np

from naive.common import output
from naive.volatility_diurnal_state import consistency, day_of, level_of, limit_of, over_mean, shown


def _weight(half_life, count, prior=0):
    return max(1 / (count + prior + 1), 1 - 0.5 ** (1 / half_life))


def _smooth(values, count, half):
    out = np.ones(len(values))
    for s in range(len(values)):
        reach = min(half, s, len(values) - 1 - s)
        near = [j for j in range(s - reach, s + reach + 1) if count[j] > 0]
        if near:
            out[s] = np.average(values[near], weights=[1 - abs(j - s) / (reach + 1) for j in near])
    return out


def pattern(
    proxy,
    slot,
    offsets,
    lengths,
    day_class,
    entities,
    *,
    slots,
    classes=1,
    half_life=60.0,
    level_half_life=10.0,
    class_shrinkage=60.0,
    smoothing=0,
    cut=6.635,
    minimum_sessions=5,
    close_slots=0,
):
    class_shrinkage = np.inf if classes == 1 else class_shrinkage
    sessions = len(offsets) - 1
    factors, levels = np.full((sessions, slots), np.nan), np.full(sessions, np.nan)
    for e in range(len(entities) - 1):
        mean, count = np.ones(slots), np.zeros(slots)
        own = {c: (np.ones(slots), np.zeros(slots)) for c in range(classes)}
        level_mean, taught = np.nan, 0
        for d in range(entities[e], entities[e + 1]):
            pooled = np.maximum(_smooth(mean, count, smoothing), 1e-3)
            f = pooled.copy()
            if day_class[d] >= 0:
                ratio, times = own[day_class[d]]
                n = np.minimum(times, 1 / (1 - 0.5 ** (1 / half_life))) if half_life < np.inf else times
                weight = np.where(times > 0, n / np.maximum(n + class_shrinkage, 1e-300), 0)
                f = np.maximum(pooled * (1 + weight * (_smooth(ratio, times, smoothing) - 1)), 1e-3)
            f = over_mean(f, count)
            factors[d] = shown(f, count, minimum_sessions, lengths[d], slots, close_slots)
            levels[d] = level_mean
            rows = slice(offsets[d], offsets[d + 1])
            day = day_of(proxy[rows], slot[rows], lengths[d], slots, close_slots)
            level = level_of(day, f, count, cut, lengths[d])
            if level is None:
                continue
            level_mean = level if taught == 0 else level_mean + _weight(level_half_life, taught) * (level - level_mean)
            taught += 1
            if day_class[d] < 0:
                continue
            for s, value in day.items():
                limit = limit_of(cut, count[s])
                share = f[s] * min(value / (level * f[s]), limit) / consistency(limit)
                ratio, times = own[day_class[d]]
                ratio[s] += _weight(half_life, times[s]) * (share / pooled[s] - ratio[s])
                times[s] += 1
                mean[s] += _weight(half_life, count[s], 1) * (share - mean[s])
                count[s] += 1
            mean = over_mean(mean, count)
    return factors, levels


def factor(slot, offsets, lengths, pattern, *, ahead=0):
    out = np.full(len(slot), np.nan)
    for d in range(len(offsets) - 1):
        for row in range(offsets[d], offsets[d + 1]):
            if 0 <= slot[row] < lengths[d]:
                left = pattern[d, : lengths[d]]
                part = left[slot[row] : slot[row] + 1] if ahead == 0 else left[slot[row] + 1 : slot[row] + 1 + ahead]
                out[row] = np.mean(part) if len(part) else np.nan
    return out


def deseasonalised(returns, slot, offsets, lengths, pattern):
    out = output(len(slot), returns)
    out[:] = returns.astype(float) / np.sqrt(factor(slot, offsets, lengths, pattern))
    return out


def relative(values, slot, offsets, lengths, pattern, level):
    out = output(len(slot), values)
    usual = np.repeat(level, np.diff(offsets)) * factor(slot, offsets, lengths, pattern)
    out[:] = values.astype(float) / np.where(usual > 0, usual, np.nan)
    return out
