"""Errors and intervals where labels span sessions, so that those of h sessions in a row have returns in common.

With a decision in each session and a return over h of them, the influences of sessions up to h - 1 apart are correlated
(at most as 1 - k/h, where the score never changes), and a sum of their squares is too small by up to a factor of h.

**Error.** The long-run variance of the influences psi_s is taken from their B lowest frequencies,

    L_j = sqrt(2) sum_s psi_s cos(pi j u_s),   variance of sum_s psi_s = mean of L_j^2 over j = 1..B,   t with B degrees

u_s being the place of the session in the sample's weight (its cumulative share less half its own, 0..1) and
B = n / (3 h), at most 40, n the effective number of sessions. Where psi is correlated as at most it can be, the
spectrum at these frequencies is 3 % below that at 0 on average. With all n - 1 frequencies of equal weights the mean is
sum psi^2 times n / (n - 1), the rule for sessions that are independent (Parseval), which is what h = 1 uses.
Newey and West's weights on h - 1 lags leave up to a third of the variance out, and take their estimate for the truth.

**Intervals** draw blocks of h sessions in a row. Blocks keep of the variance (2 h^2 + 1) / (3 h^2) where psi is
correlated as at most it can be, and 1 - h/n of that; and n / h of them are what Student's t allows for. The percentile
interval is stretched about its estimate by all three. Where the score changes at random it is then too wide.

Source: Mueller (2004, 2007) and Lazarus, Lewis, Stock & Watson (2018) for the cosines, variant with weights;
Kunsch (1989) for blocks; Newey & West (1987), Hansen & Hodrick (1980) for the rules not taken.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

_SHORTEST = 3
_MOST = 40


def least_sessions(overlap: int) -> int:
    """Fewer sessions than this have no error."""
    return _SHORTEST * overlap if overlap > 1 else 2


def long_run(influence: Floats, share: Floats, n: float, overlap: int) -> tuple[float, int]:
    """The variance of the sum of `influence`, and its degrees of freedom B.

    influence  (sessions,) in their order, summing to 0
    share      (sessions,) of the sample's weight, summing to 1
    n          effective number of sessions
    overlap    h, above 1

    Missing values: (NaN, 0) where n < 3 h.
    """
    frequencies = min(int(n / (_SHORTEST * overlap)), _MOST) if np.isfinite(n) else 0
    if frequencies < 1:
        return np.nan, 0
    place = np.cumsum(share) - share / 2
    waves = np.sqrt(2) * np.cos(np.pi * np.outer(np.arange(1, frequencies + 1), place))
    # einsum adds in an order that no BLAS can change
    found = np.einsum("js,s->j", waves, influence)
    return float((found * found).sum() / frequencies), frequencies


def resamples(sessions: int, overlap: int, count: int, generator: np.random.Generator) -> Floats:
    """(count, sessions) how often each session is in each resample: single sessions, or blocks of `overlap` of them."""
    if not sessions:
        return np.zeros((0, 0))
    if overlap <= 1:
        drawn = generator.multinomial(sessions, np.full(sessions, 1 / sessions), size=count)
        return drawn.astype(np.float64)
    block = min(overlap, sessions)
    starts = generator.integers(0, sessions - block + 1, size=(count, -(-sessions // block)))
    # the last block is cut so that every resample has as many sessions as the sample
    ends = starts + block
    ends[:, -1] -= block * starts.shape[1] - sessions
    steps = np.zeros((count, sessions + 1))
    rows = np.arange(count)[:, None]
    np.add.at(steps, (rows, starts), 1.0)
    np.add.at(steps, (rows, ends), -1.0)
    return np.cumsum(steps, axis=1)[:, :-1]


def stretched(
    value: float, low: float, high: float, *, sessions: int, overlap: int, confidence: float
) -> tuple[float, float]:
    """The percentile interval of blocks, stretched about the estimate; as it is where labels do not overlap.

    Missing values: (NaN, NaN) with fewer than 3 blocks."""
    if overlap <= 1:
        return low, high
    blocks = sessions / overlap
    if blocks < _SHORTEST:
        return np.nan, np.nan
    kept = (2 * overlap**2 + 1) / (3 * overlap**2) * (1 - 1 / blocks)
    tail = (1 + confidence) / 2
    factor = float(stats.t.ppf(tail, blocks) / stats.norm.ppf(tail)) / math.sqrt(kept)
    return value - (value - low) * factor, value + (high - value) * factor
