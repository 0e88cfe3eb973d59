"""What the lot fill index takes as given: choices that were made once, and numbers that were fitted on labelled lots.

They lie in `lot_parameters.json` beside this file, with where they come from. `fit` makes them anew from labels of
one's own.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from gpu_kernels.errors import ArgumentError, DataError
from gpu_kernels.imagery.fill import lot_fill

Numbers = np.ndarray[Any, np.dtype[np.float64]]

_SHIPPED = Path(__file__).with_name("lot_parameters.json")
_FILL = (
    *("intercept", "slope", "quantile", "window", "rounds", "pseudo_count", "cap", "empty_level", "empty_range"),
    *("reference_error", "scene_error", "lapse", "cluster", "minimum_valid"),
)


@dataclass(frozen=True, slots=True)
class LotParameters:
    """Parameters of `gpu_kernels.imagery`'s cell_contrast and lot_fill, which say what each of them does.

    Chosen: inner and outer, in stall widths; quantile to minimum_pixels. Fitted (see `fit`): intercept, slope,
    empty_level, reference_error, scene_error. method_version names the method and the numbers; provenance says where
    they are from.
    """

    intercept: float
    slope: float
    empty_level: float
    reference_error: float
    scene_error: float
    inner: float = 0.1
    outer: float = 0.5
    quantile: float = 0.1
    window: int = 64
    rounds: int = 32
    pseudo_count: float = 3.0
    cap: float = 0.5
    empty_range: float = 0.7
    lapse: float = 0.01
    cluster: float = 4.0
    minimum_valid: float = 0.5
    minimum_pixels: int = 4
    method_version: str = "lot-fill 1"
    provenance: Mapping[str, object] = field(default_factory=dict)

    def fill(self) -> dict[str, Any]:
        """The keyword arguments of lot_fill."""
        return {name: getattr(self, name) for name in _FILL}


def load(path: Path | None = None) -> LotParameters:
    """The parameters of a JSON file; None: those that come with the package.

    Raises DataError for a file that is missing, no JSON, or holds other names or what is no finite number.
    """
    path = path or _SHIPPED
    try:
        told = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}", allowed="JSON as lot_parameters.save writes it") from error
    known = {one.name: one for one in fields(LotParameters)}
    if not isinstance(told, dict) or (wrong := sorted(set(told) ^ set(known))):
        names = ", ".join(wrong) if isinstance(told, dict) else type(told).__name__
        raise DataError(f"{path}: {names} too much or missing", allowed=", ".join(known))
    for name, value in told.items():
        if name not in {"method_version", "provenance"} and not (
            isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        ):
            raise DataError(f"{path}: {name} is {value!r}", allowed="a finite number")
    return LotParameters(**told)


def save(parameters: LotParameters, path: Path) -> None:
    path.write_text(json.dumps(asdict(parameters), indent=1) + "\n")


def fit(
    contrast: Numbers,
    valid: Numbers,
    occupied: Numbers,
    groups: Any,
    *,
    train: Any = None,
    base: LotParameters | None = None,
    provenance: Mapping[str, object] | None = None,
) -> LotParameters:
    """Parameters from one lot with labels.

    contrast, valid (rows, cells): of cell_contrast, rows in the order in which they became known. occupied (rows,
    cells): 1, 0, or NaN where nobody says. groups (rows,): rows of one group (a day) have their errors together.
    train: groups whose labels may be used, all by default; rows of the others still are the past of later ones, as
    images without labels are.

    empty_level: the lower decile of the contrasts of empty cells. reference_error: the standard deviation over cells
    of their mean empty contrast. intercept, slope: logistic regression of occupied on y = contrast - reference, with
    both classes of like weight, so that it is a likelihood ratio and holds no base rate, and 1/2 (slope / 20)^2 added
    to the loss so that it stays finite on labels that can be told apart. scene_error: the least for which the mean
    square of the fill's standardised errors is 1 at most, each group's errors being those of parameters from the
    other groups.

    Missing values: cells with NaN in contrast or occupied are left out.

    Raises ArgumentError where fewer than three groups may be used, or they hold no empty or no occupied cell.
    """
    base = base or LotParameters(0.0, 1.0, 0.0, 0.3, 0.0)
    groups = np.asarray(groups)
    names = [name for name in dict.fromkeys(groups.tolist()) if train is None or name in train]
    if len(names) < 3:
        raise ArgumentError(f"{len(names)} groups of labelled images", allowed="three or more", hint="label more days")
    found = _map(contrast, valid, occupied, np.isin(groups, names), base)
    folds = []
    for left in names:
        others = _map(contrast, valid, occupied, np.isin(groups, [name for name in names if name != left]), base)
        folds.append((groups == left, others))
    labelled = ~np.isnan(occupied)
    truth = np.where(labelled, occupied, 0.0).sum(1) / np.maximum(labelled.sum(1), 1)

    def too_wide(scene_error: float) -> bool:
        squares = []
        for rows, others in folds:
            told = filled(contrast, valid, replace(others, scene_error=scene_error), used=labelled)
            squares.append(((told[1] - truth) / told[2])[rows & labelled.any(1)] ** 2)
        return bool(np.nanmean(np.concatenate(squares)) <= 1.0)

    low, high = 0.0, 2.0
    if not too_wide(low):
        for _ in range(14):
            middle = (low + high) / 2.0
            low, high = (low, middle) if too_wide(middle) else (middle, high)
        low = high
    return replace(found, scene_error=low, provenance=dict(provenance or {}))


def filled(contrast: Numbers, valid: Numbers, parameters: LotParameters, used: Any = None) -> tuple[Numbers, ...]:
    """lot_fill of one lot whose cells weigh alike, all of its images being references."""
    area = np.ones((1, contrast.shape[1])) if used is None else used.any(0).astype(np.float64)[None]
    rows = len(contrast)
    told = lot_fill(contrast, valid, np.ones(rows, bool), area, np.array([0, rows]), **parameters.fill())
    return tuple(np.asarray(part) for part in told)


def _map(contrast: Numbers, valid: Numbers, occupied: Numbers, rows: Any, base: LotParameters) -> LotParameters:
    """All but the scene's error."""
    from scipy.optimize import minimize

    empty = rows[:, None] & (occupied == 0.0) & ~np.isnan(contrast)
    full = rows[:, None] & (occupied == 1.0) & ~np.isnan(contrast)
    if not (empty.any() and full.any()):
        raise ArgumentError("labels of one kind alone", allowed="empty cells and occupied ones", hint="label more days")
    level = float(np.quantile(contrast[empty], base.quantile))
    count = empty.sum(0)
    means = np.where(empty, contrast, 0.0).sum(0)[count > 0] / count[count > 0]
    plain = replace(base, intercept=0.0, slope=1.0, rounds=0, empty_level=level)
    share = filled(contrast, valid, plain)[0]
    excess = np.log(share / (1.0 - share))
    y, label = np.concatenate([excess[empty], excess[full]]), np.repeat([0.0, 1.0], [empty.sum(), full.sum()])
    weight = np.repeat([0.5 / (1.0 - label.mean()), 0.5 / label.mean()], [empty.sum(), full.sum()])

    def loss(at: Numbers) -> float:
        score = at[0] + at[1] * y
        return float((weight * (np.logaddexp(0.0, score) - label * score)).sum() + 0.5 * (at[1] / 20.0) ** 2)

    intercept, slope = minimize(loss, [-5.0, 8.0]).x
    return replace(
        base,
        intercept=float(intercept),
        slope=float(slope),
        empty_level=level,
        reference_error=float(np.std(means)),
    )
