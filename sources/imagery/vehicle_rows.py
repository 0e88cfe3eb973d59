"""How many vehicles stand in a row of stalls, from one image and no past.

For very high resolution images (0.5 m and finer) of lots of which neither the stalls nor an empty day are known: a
vehicle is a place along the row where the rms of the vehicle-scale contrast of log luminance is above one threshold,
at most one to a stall's width. Log luminance, because a black car on asphalt and a white one then differ from it by
like amounts.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from gpu_kernels.errors import ArgumentError

STALL_WIDTH, STALL_DEPTH = 2.5, 5.5
"""Metres of a perpendicular stall, and the depth of one row of them."""

INNER, OUTER, ALONG, APART = 0.2, 0.5, 0.6, 0.96
"""Widths of the two Gaussians, length along the row over which the contrast is taken, and least distance of two
vehicles, in stall widths (0.5, 1.25, 1.5 and 2.4 m)."""

THRESHOLD = 0.135
"""Least rms contrast of log luminance of a vehicle."""

FALSE_COUNTS, DISPERSION = 1.0, 2.0
"""The standard error is sqrt(FALSE_COUNTS^2 + DISPERSION * vehicles): kerbs, trees and stall marks taken for vehicles,
and vehicles not seen, which come in clusters."""

METHOD = "vehicle-rows 1"
MOST_METRES = 0.5

Pixels = np.ndarray[Any, np.dtype[np.float64]]


class RowCount(NamedTuple):
    """Vehicles of a row, their standard error, the share of the row that was seen, rows of stalls, and where the
    vehicles stand: (row of stalls, metres along it from the first corner)."""

    vehicles: float
    std: float
    valid_frac: float
    stall_rows: int
    positions: list[tuple[int, float]]


def count_vehicles(
    luminance: Pixels, corners: Pixels, *, metres: float, stall_rows: int | None = None, minimum_valid: float = 0.5
) -> RowCount:
    """Count the vehicles in one row of stalls.

    luminance (H, W): one image, NaN where masked. corners (4, 2): the row's rectangle, (x, y) in pixels (0, 0 is the
    upper left corner of the first pixel), in order around it. metres: of a pixel. stall_rows: how many rows of stalls
    the rectangle holds side by side, where that is known.

    The rectangle is resampled (bilinear) to a strip along its longer side. With d its depth in metres there are
    max(1, round(d / 5.5)) rows of stalls side by side. b = G(0.5 m) - G(1.25 m) of log(L + 0.1 median L), over valid
    pixels (normalised convolution); e(x) = rms of b over a row's depth and 1.5 m along it. Vehicles: the largest e >=
    0.135, then the largest at least 2.4 m from it, and so on. What is not seen of the row is taken to be as full as
    the rest: vehicles = places / valid_frac, std^2 = 1 + 2 vehicles + vehicles (1 - valid_frac) / valid_frac.

    Missing values: vehicles and std are NaN where less than minimum_valid of the strip has a luminance, or where its
    median is not above 0.

    Raises ArgumentError for another shape of the arrays, or metres that are not positive or above 0.5 (a car would be
    less than four pixels wide).

    Source: this project; widths by geometry, threshold and error from 20 rows that docs/parking_lots.md names, where
    also stands how good it is on others.
    """
    luminance, corners = np.asarray(luminance, np.float64), np.asarray(corners, np.float64)
    if luminance.ndim != 2 or corners.shape != (4, 2):
        raise ArgumentError(
            f"luminance of shape {luminance.shape} and corners of shape {corners.shape}", allowed="(H, W) and (4, 2)"
        )
    if not 0.0 < metres <= MOST_METRES:
        raise ArgumentError(
            f"pixels of {metres} m", allowed=f"above 0 to {MOST_METRES} m: vehicles must be some pixels wide"
        )
    strip, margin = _strip(luminance, corners, margin=int(np.ceil(3.0 * OUTER * STALL_WIDTH / metres)))
    inside = (slice(margin, -margin),) * 2
    seen = np.isfinite(strip)
    depth, length = seen[inside].shape
    rows = stall_rows or max(1, round(depth * metres / STALL_DEPTH))
    valid_frac = float(seen[inside].mean()) if depth and length else 0.0
    middle = float(np.median(strip[inside][seen[inside]])) if valid_frac > 0.0 else 0.0
    if valid_frac < minimum_valid or not middle > 0.0:
        return RowCount(np.nan, np.nan, valid_frac, rows, [])
    brightness = np.log(np.where(seen, np.maximum(strip, 0.0), middle) + 0.1 * middle)
    stall = STALL_WIDTH / metres
    band = (_smooth(brightness, seen, INNER * stall) - _smooth(brightness, seen, OUTER * stall))[inside]
    here = seen[inside].astype(np.float64)
    edges = np.linspace(0, depth, rows + 1).round().astype(int)
    apart, kernel = max(1, round(APART * stall)), np.ones(max(1, round(ALONG * stall)))
    positions = []
    for row, (first, last) in enumerate(pairwise(edges.tolist())):
        energy = _along((band**2 * here)[first:last].sum(0), kernel)
        pixels = _along(here[first:last].sum(0), kernel)
        size = np.sqrt(energy / np.maximum(pixels, 1.0))
        while size.max() >= THRESHOLD:
            at = int(np.argmax(size))
            positions.append((row, (at + 0.5) * metres))
            size[max(0, at - apart + 1) : at + apart] = 0.0
    vehicles = len(positions) / valid_frac
    std = np.sqrt(FALSE_COUNTS**2 + DISPERSION * vehicles + vehicles * (1.0 - valid_frac) / valid_frac)
    return RowCount(vehicles, float(std), valid_frac, rows, positions)


def _along(values: Pixels, kernel: Pixels) -> Pixels:
    """Sums over the window around each place, as far as the row goes."""
    half = len(kernel) // 2
    return np.convolve(values, kernel)[half : half + len(values)]


def _smooth(values: Pixels, valid: Any, sigma: float) -> Pixels:
    from scipy.ndimage import gaussian_filter

    weight = gaussian_filter(valid.astype(np.float64), sigma, mode="constant", truncate=3.0)
    total = gaussian_filter(np.where(valid, values, 0.0), sigma, mode="constant", truncate=3.0)
    return np.where(valid, total / np.where(weight > 0.0, weight, 1.0), 0.0)


def _strip(luminance: Pixels, corners: Pixels, margin: int) -> tuple[Pixels, int]:
    """The rectangle, and `margin` pixels around it, with its longer side along the columns; NaN outside of the
    image."""
    from scipy.ndimage import map_coordinates

    origin, along, across = corners[0], corners[1] - corners[0], corners[3] - corners[0]
    if np.hypot(*along) < np.hypot(*across):
        along, across = across, along
    length, depth = (max(1, round(float(np.hypot(*side)))) for side in (along, across))
    step, down = along / max(float(np.hypot(*along)), 1e-9), across / max(float(np.hypot(*across)), 1e-9)
    j = np.arange(-margin, length + margin) + 0.5
    i = np.arange(-margin, depth + margin) + 0.5
    x = origin[0] + j[None, :] * step[0] + i[:, None] * down[0] - 0.5
    y = origin[1] + j[None, :] * step[1] + i[:, None] * down[1] - 0.5
    return map_coordinates(luminance, [y, x], order=1, mode="constant", cval=np.nan), margin
