"""Which features of a regime are kept at a refit, and a reason for each.

1. A feature may enter where its q is at most `false_discovery_rate`; one that was kept at the refit before may stay up
   to `leave_false_discovery_rate`. Either needs `min_stability` and `max_turnover`.
2. They are ordered by strength: |z|, the normal quantile of the p-value, plus `switch_margin` for one that was kept.
3. They are clustered (`fusion.selection.redundancy`); the strongest of a cluster is its head, the others are redundant.
   So is a head that is closer than `max_rank_correlation` to a stronger one.
4. The strongest `max_features` of the rest are kept. Where these are fewer than `min_features`, the best others that
   are not close to one of them follow, and the ledger says that they are not significant.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fusion.selection.config import SelectionConfig
from fusion.selection.redundancy import clusters
from fusion.selection.scores import Scores, needed

Floats = NDArray[np.float64]
Among = Callable[[Sequence[int], Sequence[int]], Floats]


@dataclass
class Decision:
    """Of one refit and regime. kept: positions of the features, best first; reasons: one for each feature; cluster and
    head: of those that were clustered, the number of the cluster from 1, and the position of its head."""

    kept: list[int]
    reasons: list[str]
    cluster: dict[int, int] = field(default_factory=dict)
    head: dict[int, int] = field(default_factory=dict)


def decide(
    names: Sequence[str],
    scores: Scores,
    regime: int,
    q: Floats,
    among: Among,
    before: frozenset[str],
    config: SelectionConfig,
    spanned: int,
) -> Decision:
    """q: (features,); among: rank correlations of features with others; before: what was kept at the refit before."""
    p, ic = scores.p[regime], scores.ic[regime]
    found = Decision([], [_unscored(scores, regime, f, config, spanned) for f in range(len(names))])
    tested = [f for f in range(len(names)) if np.isfinite(p[f])]
    strength = stats.norm.isf(p / 2) + config.switch_margin * np.array([name in before for name in names])
    tested.sort(key=lambda f: (-strength[f], p[f], -abs(ic[f]), names[f]))
    may, others = [], []
    for f in tested:
        held_back = _held_back(scores, regime, f, config)
        enters, stays = q[f] <= config.false_discovery_rate, names[f] in before and q[f] <= config.leave
        if held_back:
            found.reasons[f] = held_back
        elif enters or stays:
            may.append(f)
            found.reasons[f] = (
                f"significant (q {q[f]:.2g})"
                if enters
                else f"kept before, and stays up to q {config.leave:g} (q {q[f]:.2g}, hysteresis)"
            )
        else:
            others.append(f)
            limit = config.leave if names[f] in before else config.false_discovery_rate
            found.reasons[f] = f"not significant (q {q[f]:.2g} > {limit:g})"
    _cluster(found, names, may, among, strength, before, config)
    for f in others:
        if len(found.kept) >= config.min_features:
            break
        close = _closest(f, found.kept, among, config)
        if close is not None:
            found.reasons[f] = f"redundant with {names[close[0]]} (rank correlation {close[1]:.2f})"
        else:
            found.kept.append(f)
            found.reasons[f] += f"; kept as one of the best {config.min_features} (min_features)"
    return found


def _cluster(
    found: Decision,
    names: Sequence[str],
    may: list[int],
    among: Among,
    strength: Floats,
    before: frozenset[str],
    config: SelectionConfig,
) -> None:
    if not may:
        return
    similarity = among(may, may)
    number = clusters(similarity, config.max_rank_correlation)
    heads: dict[int, int] = {}
    for i, f in enumerate(may):
        head = heads.setdefault(int(number[i]), i)
        found.cluster[f], found.head[f] = int(number[i]) + 1, may[head]
        close = [j for j, g in enumerate(may[:i]) if g in found.kept and _near(similarity[i, j], config)]
        if head != i or close:
            j = head if head != i and may[head] in found.kept else close[0] if close else head
            found.reasons[f] = f"redundant with {names[may[j]]} (rank correlation {similarity[i, j]:.2f})"
            held = names[may[j]] in before and names[f] not in before
            if held and strength[f] > strength[may[j]] - config.switch_margin:
                found.reasons[f] += f", which was kept before and is worse by less than {config.switch_margin:g} errors"
        elif len(found.kept) >= config.max_features:
            found.reasons[f] += f", but beyond max_features {config.max_features}"
        else:
            found.kept.append(f)


def _near(correlation: float, config: SelectionConfig) -> bool:
    return bool(abs(correlation) > config.max_rank_correlation)


def _closest(f: int, kept: list[int], among: Among, config: SelectionConfig) -> tuple[int, float] | None:
    close = among([f], kept)[0] if kept else np.zeros(0)
    return next(((g, float(r)) for g, r in zip(kept, close, strict=True) if _near(float(r), config)), None)


def _held_back(scores: Scores, regime: int, f: int, config: SelectionConfig) -> str:
    """Why a gate does not let a feature pass; empty where all do. A score that is undefined passes."""
    stability, turnover = scores.stability[regime, f], scores.turnover[regime, f]
    if stability < config.min_stability:
        return (
            f"unstable: the sign of the IC holds in {stability:.0%} of sub-windows, {config.min_stability:.0%} needed"
        )
    if config.max_turnover is not None and turnover > config.max_turnover:
        return f"turns over {turnover:.2f} of a position at each decision, {config.max_turnover:g} allowed"
    return ""


def _unscored(scores: Scores, regime: int, f: int, config: SelectionConfig, spanned: int) -> str:
    if not scores.coverage[f] > 0:
        return "no value in the training window"
    if np.isnan(scores.ic[regime, f]):
        return f"rank IC undefined in this regime (constant, or fewer than {config.min_rows} rows)"
    expected = scores.expected[regime, f]
    return f"too few sessions of this regime ({expected:.1f} expected, {needed(config, spanned):g} needed)"
