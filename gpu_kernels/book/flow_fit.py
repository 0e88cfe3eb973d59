"""Integrated order-flow imbalance, fitted: the weights of the levels, from past intervals."""

import json
from dataclasses import dataclass

import numpy as np

from gpu_kernels.dispatch import Array
from gpu_kernels.errors import ArgumentError, ModelError


@dataclass(frozen=True, slots=True)
class IntegratedFlow:
    """Weights of the levels' order-flow imbalances, for `flow.weighted_flow` or for their sums over intervals.

    weights    (levels,) float64, absolute values adding up to 1, their sum not below 0
    explained  share of the variance of all levels that the weighted sum carries
    count      intervals that were used
    """

    weights: Array
    explained: float
    count: int

    def to_json(self) -> str:
        """The model as one line of JSON."""
        return json.dumps({"weights": self.weights.tolist(), "explained": self.explained, "count": self.count})

    @classmethod
    def from_json(cls, text: str) -> "IntegratedFlow":
        """The model that `to_json` wrote, to the bit; ModelError where the text is none."""
        try:
            read = json.loads(text)
            model = cls(np.array(read["weights"], np.float64), float(read["explained"]), int(read["count"]))
        except (ValueError, TypeError, KeyError) as error:
            raise ModelError(
                f"no integrated flow: {text[:80]!r}", allowed="what IntegratedFlow.to_json wrote"
            ) from error
        if model.weights.ndim != 1 or not np.isfinite(model.weights).all():
            raise ModelError(f"weights of shape {model.weights.shape}", allowed="one finite number for each level")
        return model


def fit(flows: Array) -> IntegratedFlow:
    """First principal component of the levels' order-flow imbalances, scaled to absolute weights that add up to 1.

    flows     (levels, n): sums over past intervals (`intervals.interval_sums` of `flow.level_flows`), each over the
              interval's mean depth if the intervals differ much (`normalised_flow`)
    returns   the weights, for intervals after those given. Their sign is the one with a sum of at least 0, so that a
              positive integrated imbalance is buying; where the sum is 0, the best level that has a weight has it
              above 0.

    Missing values: an interval with a NaN in any level is left out. A level that never changes gets the weight 0.
    Raises: ArgumentError (fewer whole intervals than levels and one more; no level that changes).
    Source: Cont, Cucuringu and Zhang (2023), "Cross-impact of order flow imbalance in equity markets", section 2.1.
    """
    flows = np.asarray(flows, np.float64)
    if flows.ndim != 2 or len(flows) == 0:
        raise ArgumentError(f"flows have shape {flows.shape}", allowed="(levels, intervals)")
    whole = flows[:, np.isfinite(flows).all(axis=0)]
    levels, count = whole.shape
    if count <= levels:
        raise ArgumentError(
            f"{count} whole intervals for {levels} levels", allowed=f"{levels + 1} or more", hint="give more history"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        covariance = np.atleast_2d(np.cov(whole))
    if not np.isfinite(covariance).all():
        raise ArgumentError(f"flows up to {np.abs(whole).max():.3g}", allowed="numbers whose squares are finite")
    values, vectors = np.linalg.eigh(covariance)
    if not values[-1] > 0:
        raise ArgumentError("flows that never change", allowed="at least one level with a change")
    first = vectors[:, -1]
    weights = first / np.abs(first).sum()
    leading = weights.sum() if abs(weights.sum()) > 1e-12 else weights[np.flatnonzero(weights)[0]]
    weights = weights if leading > 0 else -weights
    return IntegratedFlow(weights, float(values[-1] / values.clip(0).sum()), count)


def normalised_flow(flow_sums: Array, depth_sums: Array, counts: Array) -> Array:
    """Depth-normalised order-flow imbalance of intervals: sum of the flow over the mean depth at the events.

    flow_sums    (m,) or (levels, m), from `intervals.interval_sums`
    depth_sums   (m,), sums over the same events of their depth per level and side, e.g. (bid_size + ask_size) / 2 of
                 the best level, or `state.shape`'s depth over 2 L; counts (m,), their number
    returns      as flow_sums, pure numbers: how many times the mean depth came or went

    Missing values: 0 where the interval has no events, NaN where a sum is or the mean depth is not above 0.
    Raises: ArgumentError.
    Source: Cont, Cucuringu and Zhang (2023), "Cross-impact of order flow imbalance in equity markets", section 2.1.
    """
    flow_sums, depth_sums, counts = (np.asarray(array, np.float64) for array in (flow_sums, depth_sums, counts))
    if not flow_sums.shape[-1:] == depth_sums.shape == counts.shape:
        raise ArgumentError(
            f"flow_sums {flow_sums.shape}, depth_sums {depth_sums.shape}, counts {counts.shape}",
            allowed="one number of intervals for all",
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = depth_sums / counts
        ratio = flow_sums / np.where(depth > 0, depth, np.nan)
    known_empty = (counts == 0) & ~np.isnan(flow_sums)
    normalised: Array = np.where(known_empty, 0.0, ratio)
    return normalised
