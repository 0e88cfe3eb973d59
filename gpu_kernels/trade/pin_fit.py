"""Estimates of the probability of informed trading, its maximum sought from several starts."""

from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.special import expit, logit

from gpu_kernels.dispatch import Array, Rows, positive
from gpu_kernels.errors import ArgumentError
from gpu_kernels.maximum_likelihood import agreeing, covariance, maximise, standard_error
from gpu_kernels.trade.pin import PARAMETERS, PROBABILITIES, log_likelihood

MODELS = {
    "pin": np.array([0, 1, -1, -1, 2, 3, 4, 4, -1, -1]),
    "adjusted": np.arange(10),
}
"""For each of `PARAMETERS` the variable that it is, or -1 where it is 0: in "pin" mu_b and mu_s are one."""

_BOUND = 1e-6
_NORMAL_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class PinFit:
    """Estimates of S segments. Missing values: NaN (False, 0) in a segment without an estimate; NaN standard errors
    where a parameter lies on its bound or the information is not positive definite.

    parameters       (S, 10), in the order of `PARAMETERS`; standard_error (S, 10) by the observed information
    on_bound         (S, 10) bool: a probability within a tenth of a day, of all days seen, of 0 or 1; a rate below a
                     hundredth of the standard error of the mean count
    pin, psos        (S,), shares of the expected trades from news and from shocks (0 in the model "pin")
    pin_interval     (S, 2), 95 %, by the delta method on the log-odds of pin; a parameter on its bound
                     counts as known there
    log_likelihood   (S,), at the best start; start_log_likelihood (S, K), where each start ended, -inf: no start
    agreeing         (S,) int64, how many starts ended within 1e-3 of the best: 1 says that no other confirmed it
    converged        (S,) bool, whether the best climb ended because nothing was left to gain
    """

    parameters: Array
    standard_error: Array
    on_bound: Array
    pin: Array
    psos: Array
    pin_interval: Array
    log_likelihood: Array
    start_log_likelihood: Array
    agreeing: Array
    converged: Array


def informed_share(parameters: Array) -> tuple[Array, Array]:
    """(PIN, PSOS): the shares of the expected trades that come from news, and from shocks to the order flow.

    PIN = alpha ((1 - delta) mu_b + delta mu_s) / total; PSOS = (shock_b + shock_s)(alpha theta_news + (1 - alpha)
    theta) / total; total = both numerators + epsilon_b + epsilon_s. With thetas of 0 this is the PIN of 1996.
    parameters   (..., 10) float64 in the order of `pin.PARAMETERS`, in host memory
    returns      two arrays (...,) float64

    Missing values: NaN where a parameter is NaN or no trades are expected.
    Source: Duarte and Young (2009), "Why is PIN priced?".
    """
    alpha, delta, theta, theta_news, epsilon_b, epsilon_s, mu_b, mu_s, shock_b, shock_s = np.moveaxis(
        np.asarray(parameters, np.float64), -1, 0
    )
    informed = alpha * ((1.0 - delta) * mu_b + delta * mu_s)
    shocked = (shock_b + shock_s) * (alpha * theta_news + (1.0 - alpha) * theta)
    total = informed + shocked + epsilon_b + epsilon_s
    total = np.where(total > 0.0, total, np.nan)
    return informed / total, shocked / total


def _grid(model: str, buys: float, sells: float) -> tuple[Array, Array]:
    """(starts (G, 10), cell (G,)): parameters that reproduce the mean counts, over a grid of the rest; starts of one
    (alpha, delta) share a cell.

    Uninformed trades are the share `quiet` of the mean; news brings the share `news` of what is left, shocks the rest.
    """
    adjusted = model == "adjusted"
    levels = np.array([0.1, 0.3, 0.5, 0.7, 0.9]) if not adjusted else np.array([0.2, 0.5, 0.8])
    # 0.98: where trades are many, news moves them by a few per cent
    quiets = np.append(levels, 0.98)
    shocks, news_shares = ((0.2, 0.5, 0.8), (0.25, 0.5, 0.75)) if adjusted else ((0.0,), (1.0,))
    alpha, delta, quiet, theta, news = (
        axis.ravel() for axis in np.meshgrid(levels, levels, quiets, shocks, news_shares, indexing="ij")
    )
    extra_buys, extra_sells = (1.0 - quiet) * buys, (1.0 - quiet) * sells
    mu_b, mu_s = news * extra_buys / (alpha * (1.0 - delta)), news * extra_sells / (alpha * delta)
    epsilon_b, epsilon_s = quiet * buys, quiet * sells
    if not adjusted:
        # one mu for both sides: it takes the buys' excess, and sells without news are what remains
        mu_s = mu_b
        epsilon_s = sells - alpha * delta * mu_b
    shock = np.maximum(theta, _BOUND)
    shock_b, shock_s = (1.0 - news) * extra_buys / shock, (1.0 - news) * extra_sells / shock
    starts = np.column_stack([alpha, delta, theta, theta, epsilon_b, epsilon_s, mu_b, mu_s, shock_b, shock_s])
    cell = np.searchsorted(levels, alpha) * len(levels) + np.searchsorted(levels, delta)
    good = epsilon_s > 0.0
    return starts[good], cell[good]


def _split(values: Array, groups: int) -> Array:
    """The group of each value, 0 the lowest: Ward's clusters on a line."""
    if len(np.unique(values)) < groups:
        return np.zeros(len(values), np.int64)
    label = fcluster(linkage(values[:, np.newaxis], "ward"), groups, "maxclust")
    centre = np.array([values[label == group].mean() for group in range(1, label.max() + 1)])
    place: Array = np.argsort(np.argsort(centre, kind="stable"), kind="stable")[label - 1]
    return place


def _clustered(model: str, buys: Array, sells: Array) -> Array:
    """(10,) a start read off clusters of days: three by buys less sells (bad news, none, good news), for the adjusted
    model each split in two by all trades (with a shock or without)."""
    news = np.array([2, 0, 1])[_split(buys - sells, 3)]
    shock = np.zeros(len(buys), bool)
    for kind in range(3 if model == "adjusted" else 0):
        own = np.flatnonzero(news == kind)
        if len(own) > 1:
            shock[own] = _split(buys[own] + sells[own], 2) == 1

    def mean(values: Array, chosen: Array, otherwise: float) -> float:
        return float(values[chosen].mean()) if chosen.any() else otherwise

    epsilon_b = mean(buys, (news != 1) & ~shock, float(buys.mean()))
    epsilon_s = mean(sells, (news != 2) & ~shock, float(sells.mean()))
    mu_b = mean(buys, (news == 1) & ~shock, 2.0 * epsilon_b) - epsilon_b
    mu_s = mean(sells, (news == 2) & ~shock, 2.0 * epsilon_s) - epsilon_s
    shock_b = mean(buys, (news != 1) & shock, 2.0 * epsilon_b) - epsilon_b
    shock_s = mean(sells, (news != 2) & shock, 2.0 * epsilon_s) - epsilon_s
    if model == "pin":
        mu_b = mu_s = 0.5 * (mu_b + mu_s)
    chances = [(news > 0).mean(), mean(news == 2, news > 0, 0.5)]
    chances += [mean(shock, news == 0, 0.0), mean(shock, news > 0, 0.0)] if model == "adjusted" else [0.0, 0.0]
    bounded = np.clip(chances, 0.02, 0.98) * (np.arange(4) < (4 if model == "adjusted" else 2))
    least = 1e-3 * (epsilon_b + epsilon_s) + 1e-3
    rates = np.maximum([epsilon_b, epsilon_s, mu_b, mu_s, shock_b, shock_s], least)
    return np.concatenate([bounded, rates])


class _Scale:
    """Between parameters and the variables of the fit: log-odds of probabilities, logarithms of rates."""

    def __init__(self, model: str) -> None:
        self.of = MODELS[model]
        self.first = np.array([int(np.flatnonzero(self.of == which)[0]) for which in range(self.of.max() + 1)])
        self.is_probability = self.first < PROBABILITIES

    def variables(self, parameters: Array) -> Array:
        chosen = parameters[..., self.first]
        bounded = np.clip(chosen, _BOUND, 1.0 - _BOUND)
        return np.where(self.is_probability, logit(bounded), np.log(np.maximum(chosen, 1e-300)))

    def parameters(self, variables: Array) -> Array:
        values = np.where(self.is_probability, expit(variables), np.exp(np.minimum(variables, 700.0)))
        out = np.zeros((*variables.shape[:-1], len(PARAMETERS)))
        out[..., self.of >= 0] = values[..., self.of[self.of >= 0]]
        return out

    def gradient(self, by_parameter: Array) -> Array:
        out = np.zeros((*by_parameter.shape[:-1], len(self.first)))
        for parameter, variable in enumerate(self.of):
            if variable >= 0:
                out[..., variable] += by_parameter[..., parameter]
        return out

    def on_bound(self, point: Array, days: Array, level: Array) -> Array:
        """(P, n) bool; see PinFit. days (P,), level (P,) the logarithm of the mean count."""
        chance, tenth = expit(point), 0.1 / days[:, np.newaxis]
        unseen = 0.01 * np.sqrt(np.exp(level) / days)[:, np.newaxis]
        return np.where(self.is_probability, (chance < tenth) | (1.0 - chance < tenth), np.exp(point) < unseen)

    def slopes(self, variables: Array) -> Array:
        """Derivative of each variable's parameter by the variable."""
        chance = expit(variables)
        return np.where(self.is_probability, chance * (1.0 - chance), np.exp(np.minimum(variables, 700.0)))


def _counts(name: str, values: Array) -> Array:
    counts = np.asarray(values, np.float64)
    bad = np.flatnonzero((counts < 0.0) | np.isinf(counts))
    if len(bad):
        raise ArgumentError(f"{name} is {counts[bad[0]]} at row {bad[0]}", allowed="counts of 0 or more, NaN for none")
    return counts


def fit(buys: Array, sells: Array, offsets: Array, *, model: str = "pin", starts: int = 5) -> PinFit:
    """Maximum-likelihood estimates of PIN, or adjusted PIN, from each segment's days.

    Starting points: the first is read off clusters of days. For the others the likelihood is taken at a grid (of alpha,
    delta and the uninformed share; for the adjusted model also of the shocks' probability and share) whose rates
    reproduce the mean counts; of the best of each (alpha, delta) the best are taken. Each is climbed to its maximum.

    buys, sells   (n,) trades per day, in host memory; offsets (S + 1,), a segment per stock and window
    model    "pin": alpha, delta, epsilon_b, epsilon_s, mu; "adjusted": all ten `PARAMETERS`
    starts   1 to 9

    Missing values: days with a NaN are left out; a segment with fewer days than variables, or without a buy or a sell,
    has no estimate.
    Raises: ArgumentError.
    Source: Easley, Hvidkjaer and O'Hara (2002), "Is information risk a determinant of asset returns?"; Duarte and Young
    (2009), "Why is PIN priced?"; Yan and Zhang (2012), "An improved estimation method and empirical properties of the
    probability of informed trading" (the grid); Gan, Wei and Johnstone (2015), "A faster estimation method for the
    probability of informed trading using hierarchical agglomerative clustering" (the clusters).
    """
    if model not in MODELS:
        raise ArgumentError(f"model is {model!r}", allowed=" or ".join(f'"{name}"' for name in MODELS))
    starts = positive("starts", starts, maximum=9)
    buys, sells = _counts("buys", buys), _counts("sells", sells)
    rows = Rows(offsets, values={"buys": buys, "sells": sells})
    cuts, scale = rows.host_offsets, _Scale(model)
    out = _nothing(rows.segments, starts)
    seen = ~(np.isnan(buys) | np.isnan(sells))
    days = np.array([int(seen[a:b].sum()) for a, b in pairwise(cuts)], np.int64)
    segment, begin, mean = [], [], []
    for of in np.flatnonzero(days >= len(scale.first)):
        own = np.flatnonzero(seen[cuts[of] : cuts[of + 1]]) + cuts[of]
        average = float(buys[own].mean()), float(sells[own].mean())
        if min(average) > 0.0:
            chosen = [_clustered(model, buys[own], sells[own])[np.newaxis]]
            if starts > 1:
                chosen.append(_best_cells(*_grid(model, *average), buys[own], sells[own], starts - 1))
            segment += [of] * starts
            mean += [0.5 * sum(average)] * starts
            begin += chosen
    if not segment:
        return out
    which, level = np.array(segment, np.int64), np.log(np.array(mean))[:, np.newaxis]
    lower = np.where(scale.is_probability, logit(_BOUND), level + np.log(_BOUND))
    upper = np.where(scale.is_probability, -logit(_BOUND), level - np.log(_BOUND))

    def likelihood(problem: Array, point: Array) -> tuple[Array, Array]:
        value, gradient = log_likelihood(buys, sells, rows.offsets, which[problem], scale.parameters(point))
        return value, scale.gradient(gradient)

    begun = scale.variables(np.vstack(begin))
    maxima = maximise(likelihood, begun, lower, upper, days[which].astype(np.float64))
    values = maxima.value.reshape(-1, starts)
    best = np.arange(len(values)) * starts + values.argmax(axis=1)
    point, of = maxima.point[best], which[best]
    on_bound = scale.on_bound(point, days[of], level[best, 0])
    variance = covariance(lambda problem, where: likelihood(best[problem], where), point, ~on_bound)
    out.parameters[of] = scale.parameters(point)
    kept = scale.of >= 0
    error = np.sqrt(np.diagonal(variance, axis1=1, axis2=2)) * scale.slopes(point)
    out.standard_error[np.ix_(of, np.flatnonzero(kept))] = error[:, scale.of[kept]]
    out.on_bound[np.ix_(of, np.flatnonzero(kept))] = on_bound[:, scale.of[kept]]
    out.pin[of], out.psos[of] = informed_share(out.parameters[of])
    odds = logit(out.pin[of])
    margin = _NORMAL_95 * standard_error(
        lambda where: logit(informed_share(scale.parameters(where))[0]), point, variance
    )
    out.pin_interval[of] = expit(np.column_stack([odds - margin, odds + margin]))
    out.log_likelihood[of], out.start_log_likelihood[of] = values.max(axis=1), values
    out.agreeing[of], out.converged[of] = agreeing(values), maxima.converged[best]
    return out


def _best_cells(grid: Array, cell: Array, buys: Array, sells: Array, starts: int) -> Array:
    """The best `starts` of the grid, no two of them of one cell."""
    whole = np.array([0, len(buys)], np.int64)
    value, _ = log_likelihood(buys, sells, whole, np.zeros(len(grid), np.int64), grid)
    order = np.argsort(-value, kind="stable")
    _, first = np.unique(cell[order], return_index=True)
    return grid[order[np.sort(first)[:starts]]]


def _nothing(segments: int, starts: int) -> PinFit:
    return PinFit(
        parameters=np.full((segments, len(PARAMETERS)), np.nan),
        standard_error=np.full((segments, len(PARAMETERS)), np.nan),
        on_bound=np.zeros((segments, len(PARAMETERS)), bool),
        pin=np.full(segments, np.nan),
        psos=np.full(segments, np.nan),
        pin_interval=np.full((segments, 2), np.nan),
        log_likelihood=np.full(segments, np.nan),
        start_log_likelihood=np.full((segments, starts), -np.inf),
        agreeing=np.zeros(segments, np.int64),
        converged=np.zeros(segments, bool),
    )


def rolling(buys: Array, sells: Array, offsets: Array, window: int, *, model: str = "pin", starts: int = 5) -> PinFit:
    """`fit` of the `window` days BEFORE each day: what was known when the day began. One estimate per row.

    buys, sells, model, starts   as in `fit`; offsets (S + 1,), a segment per stock; window at least 1

    Missing values: no estimate on the first `window` days of a segment, otherwise as in `fit`.
    Raises: ArgumentError.
    """
    window = positive("window", window)
    buys, sells = _counts("buys", buys), _counts("sells", sells)
    rows = Rows(offsets, values={"buys": buys, "sells": sells})
    cuts = rows.host_offsets
    days = [np.arange(first + window, last) for first, last in pairwise(cuts)]
    day = np.concatenate([np.empty(0, np.int64), *days])
    out = _nothing(rows.count, positive("starts", starts, maximum=9))
    if len(day) == 0:
        return out
    before = day[:, np.newaxis] - np.arange(window, 0, -1)
    found = fit(
        buys[before].ravel(), sells[before].ravel(), np.arange(len(day) + 1) * window, model=model, starts=starts
    )
    for field in fields(PinFit):
        getattr(out, field.name)[day] = getattr(found, field.name)
    return out
