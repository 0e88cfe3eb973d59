"""What a reader of a lot's fill should know of the image behind it.

few_valid     less of the lot than minimum_valid was seen (clouds, nodata): no value
flat          nothing of it varies (a constant or wholly saturated image), or its cells have too few pixels: no value
too_small     the lot has no cell at this resolution: no value
saturated     5 % of it or more is as bright as the sensor goes (glare, snow): no reference for later images
dark          its level is under 0.4 of what it was in past images (night, dusk, deep shadow): no reference
low_contrast  its surroundings show less than half of their past contrast (haze, blur, rain): no reference
uneven_light  cells that look empty are lit unlike each other, compared with their past: the ninth decile of that is
              e^0.5 times the first or more (shadows, wet ground)
no_past       it was compared with other cells of its own image, within what is usual, and not with itself
short_past    fewer than three past images, on average over the cells

The first is written first. An image may have several; `ok` says that it has none. dark, low_contrast and uneven_light
need a past to be seen.
"""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from sources.imagery.lot_past import Past

_SATURATED, _DARK, _LOW_CONTRAST = 0.05, 0.4, math.log(2.0)
_SHORT, _UNEVEN, _UNEVEN_CELLS = 3.0, 0.5, 5

Numbers = np.ndarray[Any, np.dtype[np.float64]]


class Shown(NamedTuple):
    """What cell_contrast tells of an image of a lot, or of many: by cell, and of the whole."""

    contrast: Numbers
    mean: Numbers
    valid: Numbers
    level: Any
    surround: Any
    saturated: Any


def is_reference(shown: Shown, past: "Past") -> bool:
    return not _blind(shown, past) and bool(np.isfinite(shown.contrast).any())


def quality(
    shown: Shown, past: "Past", occupancy: Numbers, fill: float, valid_frac: float, history: float, minimum_valid: float
) -> str:
    """The flags of an image, given the past of its lot as then known, and what was made of it."""
    flags = []
    if not math.isfinite(fill):
        seen = shown.valid >= minimum_valid
        flags.append("flat" if seen.any() and np.isnan(shown.contrast[seen]).mean() >= 0.5 else "few_valid")
    flags += _blind(shown, past)
    if math.isfinite(fill):
        if _uneven(shown, past, occupancy):
            flags.append("uneven_light")
        if history < _SHORT:
            flags.append("no_past" if history == 0.0 else "short_past")
    return ";".join(flags) or "ok"


def _blind(shown: Shown, past: "Past") -> list[str]:
    """Why the image should be no reference; compared with all of the past, so that a new sensor gets usual."""
    flags = []
    if shown.saturated >= _SATURATED:
        flags.append("saturated")
    level, surround = _median(past.level), _median(past.surround)
    if shown.level < _DARK * level:
        flags.append("dark")
    if shown.surround < surround - _LOW_CONTRAST:
        flags.append("low_contrast")
    return flags


def _uneven(shown: Shown, past: "Past", occupancy: Numbers) -> bool:
    usual = past.mean[past.use]
    there = (occupancy < 0.5) & np.isfinite(shown.mean) & (shown.mean > 0.0) & np.isfinite(usual).any(axis=0)
    if there.sum() < _UNEVEN_CELLS:
        return False
    middle = _medians(usual[:, there])
    change = np.log(shown.mean[there] / np.maximum(middle, 1e-12))
    low, high = np.quantile(change, [0.1, 0.9])
    return bool(high - low >= _UNEVEN)


def _medians(values: Numbers) -> Numbers:
    """Of each column, over its finite numbers, of which it has one at least; NumPy's nanmedian is ten times slower."""
    ordered = np.sort(values, axis=0)  # NaN behind
    count, column = np.isfinite(values).sum(axis=0), np.arange(values.shape[1])
    medians: Numbers = (ordered[(count - 1) // 2, column] + ordered[count // 2, column]) / 2.0
    return medians


def _median(values: Numbers) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else math.nan
