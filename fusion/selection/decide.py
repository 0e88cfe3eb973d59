"""Which features of a regime are kept at a refit, and a reason for each."""

import numpy as np
from numpy.typing import NDArray

from fusion.selection.config import SelectionConfig
from fusion.selection.scores import Scores, needed

Floats = NDArray[np.float64]


def choose(
    names: list[str],
    scores: Scores,
    regime: int,
    q: Floats,
    similarity: Floats,
    config: SelectionConfig,
    spanned: int,
) -> tuple[list[int], list[str]]:
    """Best first: the kept features' positions, and a reason for every feature."""
    ic, p = scores.ic.ic[regime], scores.ic.p[regime]
    best = sorted((f for f in range(len(names)) if np.isfinite(p[f])), key=lambda f: (p[f], -abs(ic[f]), names[f]))
    kept: list[int] = []
    expected = scores.expected[regime]
    reasons = [_unscored(scores.coverage[f], ic[f], expected[f], config, spanned) for f in range(len(names))]
    for f in best:
        significant = q[f] <= config.false_discovery_rate
        close = [g for g in kept if abs(similarity[f, g]) > config.max_rank_correlation]
        if not significant and len(kept) >= config.min_features:
            reasons[f] = f"not significant (q {q[f]:.2g} > {config.false_discovery_rate:g})"
        elif close:
            reasons[f] = f"redundant with {names[close[0]]} (rank correlation {similarity[f, close[0]]:.2f})"
        elif len(kept) >= config.max_features:
            reasons[f] = f"significant, but beyond max_features {config.max_features}"
        else:
            kept.append(f)
            reasons[f] = (
                f"significant (q {q[f]:.2g})"
                if significant
                else f"not significant (q {q[f]:.2g}); kept as one of the best {config.min_features} (min_features)"
            )
    return kept, reasons


def _unscored(coverage: float, ic: float, sessions: float, config: SelectionConfig, spanned: int) -> str:
    if not coverage > 0:
        return "no value in the training window"
    if np.isnan(ic):
        return f"rank IC undefined in this regime (constant, or fewer than {config.min_rows} rows)"
    return f"too few sessions of this regime ({sessions:.1f} expected, {needed(config, spanned):g} needed)"
