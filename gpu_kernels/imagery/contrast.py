"""From pixels to one number a cell: contrast at the scale of a vehicle.

A Gaussian falls apart into one down the columns and one across them, so a pixel costs two sums of a window's side. On
the CPU eight images go side by side (`lanes`); on CUDA a thread makes one pixel's sum, and then one cell's.
"""

import math

import numpy as np
import numpy.typing as npt

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, empty, grid_of, on_cpu, positive, to_side
from gpu_kernels.errors import ArgumentError
from gpu_kernels.imagery.batch import Batch, share
from gpu_kernels.imagery.cell_sums import BRIGHT, ENERGIES, PIXELS, SEEN, VALUES, energy_of, sum_cells
from gpu_kernels.imagery.lanes import LANES
from gpu_kernels.imagery.order import quantile_of
from gpu_kernels.segments import segment_of, tile_rows

_FLAT = 1e-6
"""Of its mean: a cell that varies less is constant but for rounding, or saturated."""

_TILE = 4 * LANES
"""Images of one unit of CPU work."""

_WIDEST = 256.0
_CUDA_BYTES = 1 << 28
"""Of device memory for sums of pixels: that many images go at a time."""


@body
def _light(level, dark):
    """What the ground is lit by: at least a quarter of its level; NaN where `dark` is not finite."""
    light, quarter = level - dark, 0.25 * level
    light = quarter if light < quarter else light
    return light if light < math.inf and dark < math.inf else math.nan


@body
def _finish(sums, dark, minimum_valid, minimum_pixels, middle, contrast, mean, valid):
    """(level, surround, saturated) of an image, and what it shows of each cell."""
    count, found, seen_of_all, bright = contrast.shape[0], 0, 0.0, 0.0
    for cell in range(count):
        seen, pixels = sums[SEEN, cell], sums[PIXELS, cell]
        valid[cell] = seen / pixels if pixels > 0.0 else 0.0
        seen_of_all += seen
        bright += sums[BRIGHT, cell]
        contrast[cell], mean[cell] = math.nan, math.nan
        if seen >= minimum_pixels and valid[cell] >= minimum_valid:
            average, size = sums[VALUES, cell] / seen, math.sqrt(sums[ENERGIES, cell] / seen)
            if size > _FLAT * abs(average):
                contrast[cell], mean[cell], middle[found] = size, average, average
                found += 1
    saturated = bright / seen_of_all if seen_of_all > 0.0 else math.nan
    level = quantile_of(middle, found, 0.5)
    light = _light(level, dark) if level > 0.0 else math.nan
    for cell in range(count):
        contrast[cell] = math.log(contrast[cell] / light)
    seen, surround = sums[SEEN, count], math.nan
    if seen >= minimum_pixels:
        size = math.sqrt(sums[ENERGIES, count] / seen)
        if size > _FLAT * level:
            surround = math.log(size / light)
    return level, surround, saturated


@cpu_loop
def _contrast_cpu(
    images,
    cells,
    dark,
    offsets,
    tiles,
    inner,
    outer,
    whole,
    same,
    saturation,
    minimum_valid,
    minimum_pixels,
    contrast,
    mean,
    valid,
    of_image,
):
    for unit in prange(tiles[-1]):
        lot, begin, end = tile_rows(unit, tiles, offsets, _TILE)
        sums, middle = np.zeros((5, contrast.shape[1] + 1, _TILE)), np.empty(contrast.shape[1])
        sum_cells(images, begin, end, cells[lot], inner, outer, whole, same, saturation, sums)
        for row in range(begin, end):
            of_image[0, row], of_image[1, row], of_image[2, row] = _finish(
                sums[:, :, row - begin],
                dark[row],
                minimum_valid,
                minimum_pixels,
                middle,
                contrast[row],
                mean[row],
                valid[row],
            )


@body
def _column_sums(image, y, x, weights):
    """Weighted sum of the pixels above and below, and of the weights of those that are there."""
    radius = (weights.shape[0] - 6) // 2
    total, weight = 0.0, 0.0
    for row in range(max(0, y - radius), min(image.shape[0], y + radius + 1)):
        value = np.float64(image[row, x])
        if math.isfinite(value):
            total += weights[row - y + radius + 3] * value
            weight += weights[row - y + radius + 3]
    return total, weight


@body
def _row_sum(sums, x, weights):
    radius = (weights.shape[0] - 6) // 2
    total = 0.0
    for column in range(max(0, x - radius), min(sums.shape[0], x + radius + 1)):
        total += weights[column - x + radius + 3] * sums[column]
    return total


@cuda.jit
def _boxes_cuda(cells, boxes):
    """First and last row, first and last column of each cell."""
    item = cuda.grid(1)
    _, height, width = cells.shape
    if item < cells.size:
        x, y, lot = item % width, item // width % height, item // (width * height)
        cell = cells[lot, y, x]
        if cell >= -1:
            cell = cell if cell >= 0 else boxes.shape[1] - 1
            cuda.atomic.min(boxes, (lot, cell, 0), y)
            cuda.atomic.max(boxes, (lot, cell, 1), y)
            cuda.atomic.min(boxes, (lot, cell, 2), x)
            cuda.atomic.max(boxes, (lot, cell, 3), x)


@cuda.jit
def _down_cuda(images, begin, inner, outer, columns):
    item = cuda.grid(1)
    _, rows, height, width = columns.shape
    if item < rows * height * width and begin + item // (width * height) < images.shape[0]:
        x, y, row = item % width, item // width % height, item // (width * height)
        image = images[begin + row]
        columns[0, row, y, x], columns[1, row, y, x] = _column_sums(image, y, x, inner)
        columns[2, row, y, x], columns[3, row, y, x] = _column_sums(image, y, x, outer)


@cuda.jit
def _across_cuda(images, begin, inner, outer, columns, energy):
    item = cuda.grid(1)
    _, height, width = energy.shape
    if item < energy.size and begin + item // (width * height) < images.shape[0]:
        x, y, row = item % width, item // width % height, item // (width * height)
        value = np.float64(images[begin + row, y, x])
        energy[row, y, x] = 0.0
        if math.isfinite(value):
            energy[row, y, x] = energy_of(
                _row_sum(columns[0, row, y], x, inner),
                _row_sum(columns[1, row, y], x, inner),
                _row_sum(columns[2, row, y], x, outer),
                _row_sum(columns[3, row, y], x, outer),
            )


@cuda.jit
def _cells_cuda(images, begin, cells, offsets, boxes, energy, saturation, sums):
    item = cuda.grid(1)
    _, rows, count = sums.shape
    if item < rows * count and begin + item // count < images.shape[0]:
        row, cell = item // count, item % count
        image, lot = images[begin + row], segment_of(offsets, begin + row)
        number = cell if cell < count - 1 else -1
        values, energies, seen, bright, pixels = 0.0, 0.0, 0.0, 0.0, 0.0
        for y in range(boxes[lot, cell, 0], boxes[lot, cell, 1] + 1):
            for x in range(boxes[lot, cell, 2], boxes[lot, cell, 3] + 1):
                if cells[lot, y, x] == number:
                    pixels += 1.0
                    value = np.float64(image[y, x])
                    if math.isfinite(value):
                        seen += 1.0
                        values += value
                        energies += energy[row, y, x]
                        bright += 1.0 if value >= saturation else 0.0
        sums[VALUES, row, cell], sums[ENERGIES, row, cell] = values, energies
        sums[SEEN, row, cell], sums[BRIGHT, row, cell], sums[PIXELS, row, cell] = seen, bright, pixels


@cuda.jit
def _finish_cuda(dark, begin, sums, minimum_valid, minimum_pixels, middle, contrast, mean, valid, of_image):
    item = cuda.grid(1)
    row = begin + item
    if item < sums.shape[1] and row < dark.shape[0]:
        of_image[0, row], of_image[1, row], of_image[2, row] = _finish(
            sums[:, item],
            dark[row],
            minimum_valid,
            minimum_pixels,
            middle[item],
            contrast[row],
            mean[row],
            valid[row],
        )


def _gaussian(sigma: float) -> npt.NDArray[np.float64]:
    """exp(-d² / (2 sigma²)) at whole d up to three sigma, rounded up, between three zeros and three zeros."""
    radius = math.ceil(3.0 * sigma)
    distance = np.arange(-radius, radius + 1, dtype=np.float64)
    return np.pad(np.exp(-0.5 * (distance / sigma) ** 2) if sigma > 0.0 else np.ones(1), 3)


def _whole_weights(weights: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.float64]:
    """Sum of the weights around each pixel of an image that misses none: terms in the order of `lanes`, so that an
    image's bits do not depend on whether another one beside it misses a pixel."""
    radius = len(weights) // 2
    rows, found = np.zeros(height), np.zeros((height, width))
    for d, weight in enumerate(weights.tolist()):
        at = np.arange(height) + d - radius
        rows += np.where((at >= 0) & (at < height), weight, 0.0)
    for d, weight in enumerate(weights.tolist()):
        at = np.arange(width) + d - radius
        found += weight * np.where((at >= 0) & (at < width), rows[:, None], 0.0)
    return found


def cell_contrast(
    images: Array,
    cells: Array,
    dark: Array,
    offsets: Array,
    count: int,
    *,
    inner: float,
    outer: float,
    saturation: float,
    minimum_valid: float,
    minimum_pixels: int,
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Vehicle-scale contrast of each cell of a lot in each image.

        contrast = log( sqrt( mean over the cell of (G_inner - G_outer)^2 ) / light )
        light    = max(level - dark, level / 4)
        level    = median over the cells of their mean luminance

    G is a Gaussian mean with weights exp(-d² / (2 sigma²)), d up to ceil(3 sigma) rows and columns, over the pixels
    that are there (normalised convolution). Neither a gain of the sensor nor an offset by haze changes a contrast.

    images   (rows, height, width) float32, uint8 or uint16: luminance, an image of one lot each
    cells    (lots, height, width) int16: the pixel's cell, 0 to count - 1 (a stall, or a part of the lot of its size);
             -1 surroundings, -2 left out of all but smoothing
    dark     (rows,) float64: luminance of the image's darkest objects, which is haze (Chavez 1988); 0 if unknown
    offsets  (lots + 1,) int64
    count    cells that a lot has at most, up to 32,768
    inner, outer     the two sigmas in pixels, 0 <= inner < outer <= 256; 0 smooths nothing
    saturation       luminance from which on a pixel is saturated
    minimum_valid    share of a cell's pixels that must be there, 0 to 1
    minimum_pixels   how many must be, at least 1

    returns, float64 each
             contrast   (rows, count)
             mean       (rows, count) luminance of the cell
             valid      (rows, count) share of the cell's pixels that are there; 0 for a number not used
             level      (rows,)
             surround   (rows,) contrast of the surroundings
             saturated  (rows,) saturated share of the pixels that are there in all cells

    An image's numbers depend on it and its lot's cells alone, bit for bit.

    Missing values: a pixel that is not finite is missing. contrast and mean are NaN for a cell with fewer pixels than
    `minimum_valid` and `minimum_pixels` ask for, or whose root mean square is at most 1e-6 of its mean: a constant
    cell says nothing. level is the median over the others, NaN without any. All contrasts of an image are NaN where its
    level is not above 0 or `dark` is not finite. surround needs `minimum_pixels` and a root mean square above 1e-6 of
    the level. saturated is NaN where no pixel of a cell is there.
    Raises: ArgumentError, DeviceError.
    Source: difference of Gaussians, Marr and Hildreth (1980), "Theory of edge detection"; normalised convolution,
    Knutsson and Westin (1993). The ratio of widths and the normalisation by the lot's level are ours.
    """
    inner, outer = share("inner", inner, most=_WIDEST), share("outer", outer, most=_WIDEST)
    if not inner < outer:
        raise ArgumentError(f"inner is {inner:g} and outer {outer:g}", allowed="inner below outer")
    if not isinstance(saturation, float | int | np.number) or math.isnan(saturation):
        raise ArgumentError(f"saturation is {saturation!r}", allowed="a number")
    minimum_valid = share("minimum_valid", minimum_valid)
    batch = Batch(images, cells, dark, offsets, count)
    rule = (float(saturation), minimum_valid, float(positive("minimum_pixels", minimum_pixels)))
    outs = tuple(batch.empty((batch.count, count), np.float64) for _ in range(3))
    of_image = batch.empty((3, batch.count), np.float64)
    if batch.count and batch.device:
        _on_device(batch, _gaussian(inner), _gaussian(outer), rule, outs, of_image)
    elif batch.count:
        _, height, width = batch.images.shape
        kernels = (_gaussian(inner), _gaussian(outer))
        whole = np.stack([_whole_weights(weights[3:-3], height, width) for weights in kernels])
        # rows of one number have the same sums
        same = np.zeros(height, np.int64)
        np.cumsum((whole[:, 1:] != whole[:, :-1]).any(axis=(0, 2)), out=same[1:])
        tiles = batch.tiles(_TILE)
        on_cpu(_contrast_cpu, batch.images.size, int(tiles[-1]))(
            batch.images, batch.cells, batch.dark, batch.offsets, tiles, *kernels, whole, same, *rule, *outs, of_image
        )
    return (*outs, of_image[0], of_image[1], of_image[2])


def _on_device(
    batch: Batch,
    inner: npt.NDArray[np.float64],
    outer: npt.NDArray[np.float64],
    rule: tuple[float, float, float],
    outs: tuple[Array, ...],
    of_image: Array,
) -> None:
    """The CUDA path, some images at a time: sums of pixels take forty bytes each."""
    images, cells, count = batch.images, batch.cells, batch.cell_count
    _, height, width = images.shape
    pixels = height * width
    rows = max(1, min(batch.count, _CUDA_BYTES // (40 * max(pixels, 1))))
    kernels = [to_side(weights, like=images) for weights in (inner, outer)]
    nothing = np.array([height, -1, width, -1], np.int64)
    boxes = to_side(np.tile(nothing, (batch.segments, count + 1, 1)), like=images)
    columns, energy = (
        empty(shape, np.float64, like=images) for shape in ((4, rows, height, width), (rows, height, width))
    )
    sums, middle = (empty(shape, np.float64, like=images) for shape in ((5, rows, count + 1), (rows, count)))
    saturation, *minima = rule
    if pixels:
        _boxes_cuda[grid_of(cells.size)](cells, boxes)
    for begin in range(0, batch.count, rows):
        if pixels:
            _down_cuda[grid_of(rows * pixels)](images, begin, *kernels, columns)
            _across_cuda[grid_of(rows * pixels)](images, begin, *kernels, columns, energy)
        _cells_cuda[grid_of(rows * (count + 1))](images, begin, cells, batch.offsets, boxes, energy, saturation, sums)
        _finish_cuda[grid_of(rows)](batch.dark, begin, sums, *minima, middle, *outs, of_image)
