"""Draws of the processes that the fits must recover, by ways that know nothing of intensities or likelihoods."""

import numpy as np


def hawkes(rng, baseline, branching, decay, seconds):
    """(time in ns, kind) of a Hawkes process from an empty past, exactly, by its clusters (Hawkes and Oakes 1974):
    immigrants at the baseline's rate, each event's children a Poisson number of each kind after exponential times."""
    kinds = len(baseline)
    parents = [(rng.uniform(0.0, seconds, rng.poisson(baseline[kind] * seconds)), kind) for kind in range(kinds)]
    events = list(parents)
    while parents:
        children = []
        for at, source in parents:
            for target in range(kinds):
                born = np.repeat(at, rng.poisson(branching[target, source], len(at)))
                born = born + rng.exponential(1.0 / decay[target, source], len(born))
                born = born[born < seconds]
                if len(born):
                    children.append((born, target))
        events += children
        parents = children
    time = np.concatenate([at for at, _ in events])
    kind = np.concatenate([np.full(len(at), each, np.int8) for at, each in events])
    order = np.argsort(time, kind="stable")
    return np.round(time[order] * 1e9).astype(np.int64), kind[order]


def days(rng, parameters, count):
    """(buys, sells) of `count` days of the adjusted PIN model: a tree of coins, then Poisson counts."""
    alpha, delta, theta, theta_news, epsilon_b, epsilon_s, mu_b, mu_s, shock_b, shock_s = parameters
    news = rng.random(count) < alpha
    bad = rng.random(count) < delta
    shock = rng.random(count) < np.where(news, theta_news, theta)
    buys = rng.poisson(epsilon_b + mu_b * (news & ~bad) + shock_b * shock)
    sells = rng.poisson(epsilon_s + mu_s * (news & bad) + shock_s * shock)
    return buys.astype(np.float64), sells.astype(np.float64)
