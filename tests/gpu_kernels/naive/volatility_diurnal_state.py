"""The day as both estimators of the time of day see it, with dictionaries, and the normal's integral by quadrature."""

from functools import cache

import numpy as np
from scipy import integrate, stats


def full_slot(slot, length, slots, close_slots):
    from_close = length - slot
    return slots - from_close if length < slots and from_close <= close_slots else slot


@cache
def consistency(limit):
    """E min(z², limit)."""
    if limit == np.inf:
        return 1.0
    inside, _ = integrate.quad(lambda z: z * z * stats.norm.pdf(z), -np.sqrt(limit), np.sqrt(limit), epsabs=1e-13)
    return inside + limit * 2 * stats.norm.sf(np.sqrt(limit))


def day_of(proxy, slot, length, slots, close_slots):
    """slot of a full session -> mean proxy of its rows."""
    found = {}
    for value, s in zip(proxy.astype(float), slot.tolist(), strict=True):
        if 0 <= s < length and np.isfinite(value) and value >= 0:
            found.setdefault(full_slot(s, length, slots, close_slots), []).append(value)
    return {s: sum(values) / len(values) for s, values in found.items()}


def limit_of(cut, count):
    return cut * (1 + 4 / (1 + count))


def level_of(day, f, count, cut, length):
    """None where the session teaches nothing."""
    speaks = [s for s in day if count[s] > 0 or not any(count)]
    if len(day) < 0.25 * length or not sum(day[s] for s in speaks) > 0:
        return None
    level = sum(day[s] for s in speaks) / sum(f[s] for s in speaks)
    for _ in range(12 if cut < np.inf else 0):
        clipped = sum(min(day[s], limit_of(cut, count[s]) * f[s] * level) for s in speaks)
        level = clipped / sum(consistency(limit_of(cut, count[s])) * f[s] for s in speaks)
    return level


def shown(f, count, minimum, length, slots, close_slots):
    known = [s for s in range(slots) if count[s] >= minimum]
    out = np.full(slots, np.nan)
    for s in range(length):
        of = full_slot(s, length, slots, close_slots)
        if of in known:
            out[s] = f[of] / np.mean([f[k] for k in known])
    return out


def over_mean(f, count):
    """f over its mean over the slots that were seen."""
    seen = [f[s] for s in range(len(f)) if count[s] > 0]
    return f / np.mean(seen) if seen else f
