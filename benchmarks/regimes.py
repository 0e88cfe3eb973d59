"""The hidden Markov filter over many entities in one launch, against libraries that take a series at a time; EM of one.

statsmodels' filter is compared on one input, with its likelihood, at the same parameters; hmmlearn's forward pass (its
own compiled one, which its `score` runs, scaled, the faster of its two) on three. What hmmlearn offers as probabilities
is smoothed, so that only the likelihoods are comparable.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from hmmlearn.hmm import GaussianHMM
from numpy.typing import NDArray
from statsmodels.tsa.regime_switching.markov_regression import MarkovRegression

from benchmarks.harness import Comparison
from fusion.regime import RegimeConfig, em
from gpu_kernels import hmm

Floats = NDArray[np.float64]


def comparisons(quick: bool) -> Iterator[Comparison]:
    entities, length = (20, 250) if quick else (200, 1250)
    rows = entities * length
    rng = np.random.default_rng(5)
    stay = np.array([[0.97, 0.03], [0.08, 0.92]])
    z = _chain(rng, stay, rows)
    offsets, model = np.arange(entities + 1) * length, np.zeros(entities, dtype=np.int64)
    start = np.array([0.08, 0.03]) / 0.11
    size = f"{entities} entities x {length:,} rows"

    one = np.where(z == 0, -1.0, 1.5)[:, None] + rng.normal(size=(rows, 1)) * np.where(z == 0, 1.0, 1.4)[:, None]
    mean, covariance = np.array([[-1.0], [1.5]]), np.array([[[1.0]], [[2.0]]])
    parameters = (mean[None], covariance[None], start[None], stay[None])
    values = [0.97, 0.08, -1.0, 1.5, 1.0, 2.0]

    def statsmodels() -> tuple[Floats, ...]:
        found = [
            MarkovRegression(one[first:last, 0], k_regimes=2, switching_variance=True).filter(values)
            for first, last in pairwise(offsets)
        ]
        return np.concatenate([each.filtered_marginal_probabilities for each in found]), np.array(
            [f.llf for f in found]
        )

    yield Comparison(
        f"filter {size}, 2 states, 1 input",
        rows,
        "float64",
        rows * 32,
        lambda: _filtered(one, parameters, model, offsets),
        {"statsmodels": statsmodels},
        tolerance=1e-8,
    )

    spread = np.array([[1.0, 0.3, 0.1], [0.3, 0.5, 0.0], [0.1, 0.0, 2.0]])
    three = rng.multivariate_normal(np.zeros(3), spread, rows) + np.where(z == 0, -1.0, 1.0)[:, None]
    means, spreads = np.array([[-1.0] * 3, [1.0] * 3]), np.stack([spread, spread])
    library = GaussianHMM(2, "full", implementation="scaling")
    library.startprob_, library.transmat_, library.means_, library.covars_ = start, stay, means, spreads
    library.n_features = 3

    yield Comparison(
        f"likelihood {size}, 2 states, 3 inputs",
        rows,
        "float64",
        rows * 48,
        lambda: _filtered(three, (means[None], spreads[None], start[None], stay[None]), model, offsets)[1:],
        {"hmmlearn score": lambda: (np.array([library.score(part) for part in np.split(three, entities)]),)},
        tolerance=1e-8,
    )

    series = three[: 500 if quick else 2500]
    config = RegimeConfig(states=2, iterations=300, tolerance=1e-8)

    def fitted() -> tuple[Floats, ...]:
        return (np.array([em.fit(series, 2, config).log_likelihood]),)

    def theirs() -> tuple[Floats, ...]:
        # as many starts as ours, of which the best counts
        scores = []
        for seed in range(5):
            fit = GaussianHMM(
                2,
                "full",
                n_iter=300,
                tol=config.tolerance * len(series),
                covars_prior=1e-12,
                random_state=seed,
                implementation="scaling",
            )
            scores.append(fit.fit(series).score(series))
        return (np.array([max(scores)]),)

    yield Comparison(
        f"EM of {len(series):,} rows, 2 states, 3 inputs, best of 5 starts",
        len(series),
        "float64",
        len(series) * 24,
        fitted,
        {"hmmlearn": theirs},
        tolerance=1e-5,
    )


def _filtered(x: Floats, parameters: tuple[Floats, ...], model: Any, offsets: Any) -> tuple[Floats, ...]:
    mean, covariance, start, transition = parameters
    probability, density = hmm.gaussian_filter(x, mean, covariance, start, transition, model, offsets)
    return probability, np.add.reduceat(density, offsets[:-1])


def _chain(rng: np.random.Generator, stay: Floats, rows: int) -> NDArray[np.int64]:
    z = np.zeros(rows, dtype=np.int64)
    draw = rng.random(rows)
    for t in range(1, rows):
        z[t] = draw[t] < stay[z[t - 1], 1]
    return z
