"""The curve of each session fitted anew to all sessions before it, by weighted least squares over stacked rows."""

import numpy as np

from naive.volatility_diurnal_state import consistency, day_of, level_of, limit_of, over_mean, shown


def _terms(s, slots, pairs, opening, closing):
    x = (s + 0.5) / slots
    waves = [wave(2 * np.pi * p * x) for p in range(1, pairs + 1) for wave in (np.cos, np.sin)]
    ends = [float(s == k) for k in range(opening)] + [float(s == slots - closing + k) for k in range(closing)]
    return [1.0, 2 * x - 1, (2 * x - 1) ** 2, *waves, *ends]


def _fit(history, whole, half_life, prior, against):
    """theta of the sessions [(slot, response), ...] of `history`, the newest last, and `prior` sessions of nothing."""
    rows, targets = [np.sqrt(prior) * whole], [np.zeros(len(whole))]
    for age, session in enumerate(reversed(history)):
        for s, response in session:
            weight = np.sqrt(0.5 ** (age / half_life))
            rows.append(weight * whole[s : s + 1])
            targets.append(np.array([weight * (response - whole[s] @ against[id(session)])]))
    return np.linalg.lstsq(np.concatenate(rows), np.concatenate(targets), rcond=None)[0]


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
    pairs=4,
    opening=1,
    closing=1,
    response="log",
    half_life=60.0,
    class_shrinkage=20.0,
    ridge=0.5,
    cut=6.635,
    minimum_sessions=5,
    close_slots=0,
):
    class_shrinkage = np.inf if classes == 1 else class_shrinkage
    sessions = len(offsets) - 1
    factors = np.full((sessions, slots), np.nan)
    whole = np.array([_terms(s, slots, pairs, opening, closing) for s in range(slots)])
    for e in range(len(entities) - 1):
        count, history, own = np.zeros(slots), [], {c: [] for c in range(classes)}
        nothing, pooled_then = np.zeros(whole.shape[1]), {}
        theta, thetas = nothing, dict.fromkeys(range(classes), nothing)
        for d in range(entities[e], entities[e + 1]):
            line = whole @ (theta + (thetas[day_class[d]] if day_class[d] >= 0 else 0))
            f = over_mean(np.maximum(np.exp(line) if response == "log" else 1 + line, 1e-3), count)
            factors[d] = shown(f, count, minimum_sessions, lengths[d], slots, close_slots)
            if day_class[d] < 0:
                continue
            rows = slice(offsets[d], offsets[d + 1])
            day = day_of(proxy[rows], slot[rows], lengths[d], slots, close_slots)
            level = level_of(day, f, count, cut, lengths[d])
            if level is None:
                continue
            said = []
            for s, value in day.items():
                limit, share = limit_of(cut, count[s]), value / (level * f[s])
                if response == "log":
                    said.append((s, np.log(f[s]) + np.log(np.clip(share, 0.01, limit))))
                else:
                    said.append((s, f[s] * min(share, limit) / consistency(limit) - 1))
            history.append(said)
            theta = _fit(history, whole, half_life, ridge, {id(session): nothing for session in history})
            pooled_then[id(said)] = theta
            if class_shrinkage < np.inf:
                own[day_class[d]].append(said)
                thetas[day_class[d]] = _fit(own[day_class[d]], whole, half_life, class_shrinkage, pooled_then)
            for s in day:
                count[s] += 1
    return factors
