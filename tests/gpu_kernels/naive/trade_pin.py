"""By the definition, in 28 decimal digits: exp(-rate) rate^count / count! multiplied out and summed."""

from decimal import Decimal, localcontext
from math import factorial

import numpy as np

from naive.common import segments


def _kinds(parameters):
    """(probability, buys per day, sells per day) of the six kinds of day."""
    alpha, delta, theta, theta_news, eb, es, mb, ms, sb, ss = parameters
    for news, chance, buy, sell in (
        (False, 1 - alpha, eb, es),
        (True, alpha * (1 - delta), eb + mb, es),
        (True, alpha * delta, eb, es + ms),
    ):
        shock = theta_news if news else theta
        yield chance * (1 - shock), buy, sell
        yield chance * shock, buy + sb, sell + ss


def _decimals(row):
    return [Decimal(float(x)) for x in row]


def _poisson(count, rate):
    power = Decimal(1) if count == 0 else rate ** int(count)
    return (-rate).exp() * power / factorial(int(count))


def _joint(buys, sells, parameters):
    return [chance * _poisson(buys, b) * _poisson(sells, s) for chance, b, s in _kinds(parameters)]


def _seen(buys, sells):
    return 0 <= float(buys) < np.inf and 0 <= float(sells) < np.inf


def _moved(value, which, step):
    """The parameter whose log-odds (of a probability) or logarithm (of a rate) is `step` higher."""
    factor = step.exp()
    return value * factor / (1 - value + value * factor) if which < 4 else value * factor


def log_likelihood(buys, sells, offsets, segment, parameters):
    """The gradient by central differences in 28 digits, so that the step costs none of the float64's sixteen."""
    out = np.zeros(len(segment)), np.zeros((len(segment), 10))
    cuts, step = segments(offsets), Decimal("1e-7")
    with localcontext() as context:
        context.prec = 28
        for fit, of in enumerate(segment):
            own = _decimals(parameters[fit])
            days = [(buys[row], sells[row]) for row in range(*cuts[of]) if _seen(buys[row], sells[row])]
            possible = [day for day in days if sum(_joint(*day, own)) > 0]
            value = sum((sum(_joint(*day, own)).ln() for day in possible), Decimal(0))
            out[0][fit] = float(value) if len(possible) == len(days) else -np.inf
            for which in range(10):
                ends = []
                for sign in (1, -1):
                    moved = [_moved(x, i, sign * step) if i == which else x for i, x in enumerate(own)]
                    ends.append(sum((sum(_joint(*day, moved)).ln() for day in possible), Decimal(0)))
                out[1][fit, which] = float((ends[0] - ends[1]) / (2 * step))
    return out


def day_probabilities(buys, sells, offsets, parameters):
    out = np.full((6, len(buys)), np.nan)
    with localcontext() as context:
        context.prec = 28
        for (first, last), row_of in zip(segments(offsets), parameters, strict=True):
            own = _decimals(row_of)
            for row in range(first, last):
                if _seen(buys[row], sells[row]):
                    joint = _joint(buys[row], sells[row], own)
                    if sum(joint) == 0:
                        joint = [chance for chance, _, _ in _kinds(own)]
                    out[:, row] = [float(x / sum(joint)) for x in joint]
    return out
