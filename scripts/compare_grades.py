"""What sequential grades tell, against ranks made anew, of simulated features and returns that drift or do not.

    python scripts/compare_grades.py [--seeds 300]

The table of docs/selection.md. Each series has 200 sessions of 60 rows, the first window 40 sessions, and a refit every
5; told is the share of seeds with p < 0.05 at the last refit, where nothing is related and where the return holds 0.03
of the feature's standard normal part.
"""

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fusion.correlation import Moments, rank_moments
from fusion.selection.grades import Batches, graded, session_sums

Floats = NDArray[np.float64]
_SESSIONS, _ROWS, _FIRST, _STEP, _EFFECT = 200, 60, 40, 5, 0.03
_AT = np.linspace(0, 1, _SESSIONS)[:, None]
_WIDER = np.exp(3 * _AT)
_SWINGS = np.exp(np.sin(20 * _AT))

# of x, standard normal, and y, the return that may hold some of it: what is seen of them
DRIFTS: dict[str, Callable[[Floats, Floats], tuple[Floats, Floats]]] = {
    "independent": lambda x, y: (x, y),
    "trend of 2 deviations": lambda x, y: (x + 2 * _AT, y),
    "trend of 10 deviations": lambda x, y: (x + 10 * _AT, y),
    "step of 3 deviations": lambda x, y: (x + 3 * (_AT > 0.5), y),
    "feature spreads": lambda x, y: (x * _WIDER, y),
    "return spreads": lambda x, y: (x, y * _WIDER),
    "both spread": lambda x, y: (x * _WIDER, y * _WIDER),
    "common volatility": lambda x, y: (x * _SWINGS, y * _SWINGS),
    "random walk": lambda x, y: (np.cumsum(x).reshape(x.shape), y),
    "price and its next step": lambda x, y: (np.cumsum(x).reshape(x.shape), np.append(x.ravel()[1:], y[-1, -1])),
}


def p_values(x: Floats, y: Floats) -> tuple[float, float]:
    """At the last refit: of sequential grades, and of ranks made anew."""
    x, y = x.ravel(), y.ravel()
    offsets = np.arange(_SESSIONS + 1) * _ROWS
    seen = np.arange(_FIRST, _SESSIONS + 1, _STEP)
    batches = Batches.of(np.arange(_SESSIONS) < seen[:, None])
    there, weights = np.ones(len(x), dtype=np.bool_), np.ones((1, _SESSIONS))
    u, v = (graded(values, there, offsets, batches) for values in (x, y))
    sequential = Moments(session_sums(u, v, np.full(len(x), -1), offsets).moments)
    return float(sequential.pooled(weights).p[0]), float(rank_moments(x, y, offsets).pooled(weights).p[0])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=300)
    options = parser.parse_args(arguments)
    print("share of p < 0.05: nothing related, sequential and anew; related, sequential and anew")
    for name, drift in DRIFTS.items():
        shares = []
        for effect in (0.0, _EFFECT):
            found = []
            for seed in range(options.seeds):
                noise, x = np.random.default_rng(seed).standard_normal((2, _SESSIONS, _ROWS))
                found.append(p_values(*drift(x, effect * x + noise)))
            shares += (np.array(found) < 0.05).mean(axis=0).tolist()
        print(f"{name:24s} {shares[0]:12.1%} {shares[1]:9.1%} {shares[2]:12.1%} {shares[3]:9.1%}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
