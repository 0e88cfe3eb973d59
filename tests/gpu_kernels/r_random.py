"""R's default random numbers (Mersenne Twister, normals by inversion), so that examples that R packages publish for
`set.seed(...)` can be made here."""

import numpy as np
from scipy.special import ndtri


def rnorm(seed: int, count: int) -> np.ndarray:
    """What R gives for `set.seed(seed); rnorm(count)`."""
    words = []
    for step in range(50 + 625):
        seed = (69069 * seed + 1) % 2**32
        if step >= 50:
            words.append(seed)
    generator = np.random.MT19937()
    # the first word is R's place in the state, which it sets to the end
    generator.state = {"bit_generator": "MT19937", "state": {"key": np.array(words[1:], np.uint32), "pos": 624}}
    uniform = generator.random_raw(2 * count).astype(np.float64) * 2.3283064365386963e-10
    uniform = np.clip(uniform, 2.328306437080797e-10, 1.0 - 2.328306437080797e-10)
    big = 134217728.0
    return ndtri((np.floor(big * uniform[::2]) + uniform[1::2]) / big)


def example_prices() -> np.ndarray:
    """(3 days, 3 assets, 23401 seconds): the prices of the tests of R's `highfrequency` 1.0."""
    draws = rnorm(123, 9 * 23401).reshape(3, 3, 23401)
    moves = draws * np.sqrt(1 / 23401)
    path = np.cumsum(moves.transpose(1, 0, 2).reshape(3, -1), axis=1)
    return np.exp(path).reshape(3, 3, 23401).transpose(1, 0, 2)
