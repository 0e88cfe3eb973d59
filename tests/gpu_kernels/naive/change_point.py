import numpy as np
from scipy.stats import t as student

from naive.common import segments


def run_lengths(values, mean, scale, offsets, *, hazard, weight, shape, within, hypotheses=256):
    """Runs by their first observation, each one's law from all of its observations at once."""
    out = np.full((4, values.shape[1]), np.nan)
    for first, last in segments(offsets):
        seen, begins, probability = [], [], np.empty(0)
        for row in range(first, last):
            out[3, row] = 0.0
            x = values[:, row]
            if np.isfinite(x).all():
                before = np.append(probability * (1 - hazard), hazard if seen else 1.0)
                begins = [*begins, len(seen)]
                log = np.zeros(len(begins))
                for which in range(len(x)):
                    past = np.array([observation[which] for observation in seen])
                    laws = [posterior(past[begin:], mean[which], scale[which], weight, shape) for begin in begins]
                    centre, grown, half, rate = np.array(laws).T
                    log += student.logpdf(x[which], 2 * half, centre, np.sqrt(rate * (grown + 1) / (half * grown)))
                top = log.max()
                weights = before * np.exp(log - top)
                out[2, row] = top + np.log(weights.sum())
                probability = weights / weights.sum()
                seen.append(x)
                if len(begins) > hypotheses:
                    least = int(np.argmin(probability[:-1]))
                    out[3, row] = probability[least]
                    # the nearest other one; of two as near the one that began earlier
                    gaps = [
                        (abs(begin - begins[least]), begin > begins[least], slot)
                        for slot, begin in enumerate(begins)
                        if slot != least
                    ]
                    probability[min(gaps)[2]] += probability[least]
                    begins = [begin for slot, begin in enumerate(begins) if slot != least]
                    probability = np.delete(probability, least)
            if seen:
                length = len(seen) - np.array(begins)
                out[0, row] = probability[(length <= within) & (np.array(begins) > 0)].sum()
                out[1, row] = (probability * length).sum()
    return tuple(out)


def posterior(x, mean, scale, weight, shape):
    """mean, weight, shape, scale of the normal-gamma law after the observations x."""
    n = len(x)
    average = x.mean() if n else 0.0
    grown = weight + n
    rate = scale + 0.5 * ((x - average) ** 2).sum() + 0.5 * weight * n * (average - mean) ** 2 / grown
    return (weight * mean + n * average) / grown, grown, shape + 0.5 * n, rate
