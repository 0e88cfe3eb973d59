"""One planted series that every kind of regime model can read, and a config of each kind."""

import numpy as np

from fusion.regime import RegimeConfig

CONFIGS = {
    "switching": RegimeConfig(model="switching", states=2),
    "thresholds": RegimeConfig.model_validate(
        {
            "model": "thresholds",
            "rules": [{"name": "stress", "when": {"x0": "> q0.7"}, "until": {"x0": "< q0.5"}}, {"name": "calm"}],
        }
    ),
    "change_point": RegimeConfig(model="change_point", change_point={"expected_run": 60, "weight": 0.5, "shape": 2}),
}


def stretches(seed: int, rows: int, length: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """(T,) which of two laws holds, and (T, 1): an autoregression of 0.4 about 0 or 4, whose noise doubles with it."""
    rng = np.random.default_rng(seed)
    state = np.arange(rows) // length % 2
    gap, values = 0.0, np.empty(rows)
    for row in range(rows):
        gap = 0.4 * gap + rng.normal() * (1.0 + state[row])
        values[row] = 4.0 * state[row] + gap
    return state, values[:, None]
