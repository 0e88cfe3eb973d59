"""Sums over the cells of images, pixel by pixel, on the CPU: luminance, and energy at the scale of a vehicle."""

import numpy as np

from gpu_kernels._jit import body
from gpu_kernels._vector import add_eights
from gpu_kernels.imagery.lanes import (
    LANES,
    across,
    clear,
    count_bright,
    count_run,
    down,
    move_up,
    put,
    runs,
    set_missing_aside,
    spread,
)

_BLOCK = 16
"""Rows that are held at a time, besides those that a window reaches above and below; a multiple of four."""

VALUES, ENERGIES, SEEN, BRIGHT, PIXELS = range(5)  # what is summed over a cell


@body
def energy_of(inner, inner_weight, outer, outer_weight):
    """Square of the difference of two weighted means, from the sums of terms and of weights."""
    band = (inner * outer_weight - outer * inner_weight) / (inner_weight * outer_weight)
    return band * band


@body
def _energies(inner, inner_weight, outer, outer_weight, out):
    for i in range(out.shape[0]):
        out[i] = energy_of(inner[i], inner_weight[i], outer[i], outer_weight[i])


@body
def _leave_out_missing(present, at, out):
    for x in range(present.shape[0]):
        for lane in range(LANES):
            out[x, 0, lane] = out[x, 0, lane] if present[x, at, lane] > np.float32(0.0) else 0.0


@body
def _take_rows(images, begin, end, top, far, bright, value, present):
    """The next `_BLOCK` rows of the images, from `top` on, with `far` more above and below; those that the block before
    has are moved up. Outside of the images lies nothing. Gives whether one of the new pixels is missing, and whether
    one is bright."""
    width, depth, _ = value.shape
    pixels, marks = value.reshape((width, -1)), present.reshape((width, -1))
    fresh = far if top == 0 else 2 * far
    stop = min(depth, images.shape[1] - top + far)
    if top > 0:
        move_up(pixels, fresh * LANES, _BLOCK * LANES)
        move_up(marks, fresh * LANES, _BLOCK * LANES)
    else:
        clear(pixels, 0, fresh * LANES)
        clear(marks, 0, fresh * LANES)
    for at in range(fresh, stop):
        put(images, begin, end, top - far + at, at, value)
    clear(pixels, stop * LANES, depth * LANES)
    clear(marks, stop * LANES, depth * LANES)
    return set_missing_aside(pixels, marks, fresh * LANES, stop * LANES, bright)


@body
def _add_row(cells, found, start, stop, arrays, at, told, bright, sums, image):
    """The runs of a row of pixels, row `at` of `value` and `present`, to the cells' sums."""
    value, energy, present = arrays
    complete, shines = told
    depth = value.shape[1]
    flat_value, flat_energy, flat_present = value.reshape(-1), energy.reshape(-1), present.reshape(-1)
    _, cell_count, images = sums.shape
    flat, kind = sums.reshape(-1), cell_count * images
    stride, first_place = depth * LANES, at * LANES
    for run in range(found):
        first, count = start[run], stop[run] - start[run]
        cell = cells[first] if cells[first] >= 0 else cell_count - 1
        place, pixel = cell * images + image, first * stride + first_place
        add_eights(flat, VALUES * kind + place, flat_value, pixel, stride, count)
        add_eights(flat, ENERGIES * kind + place, flat_energy, first * LANES, LANES, count)
        count_run(count, flat, PIXELS * kind + place)
        if complete:
            count_run(count, flat, SEEN * kind + place)
        else:
            add_eights(flat, SEEN * kind + place, flat_present, pixel, stride, count)
        if shines:
            count_bright(value, present, at, first, stop[run], bright, flat, BRIGHT * kind + place)


@body
def _smooth(pixels, at, weights, far, columns, left, step):
    """Four rows of sums down the columns."""
    taps = weights.shape[0] - 6
    down(pixels, at + far - taps // 2, weights, taps, columns, left, step)


@body
def _smooth_across(columns, wide, row, weights, far, step, out):
    taps = weights.shape[0] - 6
    across(columns, wide, row * step + (far - taps // 2) * LANES, weights, taps, out)


@body
def sum_cells(images, begin, end, cells, inner, outer, whole, same, bright, sums):
    """sums (5, count + 1, images) over the cells of one lot in its images `begin` to `end`, the last cell being the
    surroundings: eight images at a time, in them block by block of rows, and in those four rows at a time.

    inner, outer   weights of the two Gaussians, down and across, between three zeros and three zeros
    whole          (2, height, width) sums of the weights around each pixel of an image that misses none; rows of one
                   number in `same` have the same
    """
    _, height, width = images.shape
    far = (outer.shape[0] - 6) // 2
    wide, depth = (width + 3) // 4 * 4, 2 * far + _BLOCK
    value, present = np.zeros((width, depth, LANES), np.float32), np.zeros((width, depth, LANES), np.float32)
    pixels, marks = value.reshape((width, depth * LANES)), present.reshape((width, depth * LANES))
    # columns have zeros on both sides, which stay
    left, step = far * LANES, (wide + 2 * far) * LANES
    columns, weight_columns = np.zeros((2, 4 * step)), np.zeros((2, 4 * step))
    lanes = wide * LANES
    inner_sum, outer_sum, energy = np.empty(lanes), np.empty(lanes), np.empty((wide, 1, LANES))
    inner_weight, outer_weight = np.ones(lanes), np.ones(lanes)
    found, start, stop = np.empty(4, np.int64), np.empty((4, width), np.int64), np.empty((4, width), np.int64)
    for first in range(begin, end, LANES):
        last, image = min(first + LANES, end), first - begin
        complete, shines, spread_of = True, False, -1  # so far
        for top in range(0, height, _BLOCK):
            missing, reached = _take_rows(images, first, last, top, far, bright, value, present)
            complete, shines = complete and not missing, shines or reached
            for y in range(top, min(top + _BLOCK, height), 4):
                several, at = min(4, height - y), y - top
                for row in range(several):
                    found[row] = runs(cells[y + row], start[row], stop[row])
                if found[:several].max() == 0:
                    continue
                _smooth(pixels, at, inner, far, columns[0], left, step)
                _smooth(pixels, at, outer, far, columns[1], left, step)
                if not complete:
                    _smooth(marks, at, inner, far, weight_columns[0], left, step)
                    _smooth(marks, at, outer, far, weight_columns[1], left, step)
                for row in range(several):
                    here = at + far + row
                    _smooth_across(columns[0], wide, row, inner, far, step, inner_sum)
                    _smooth_across(columns[1], wide, row, outer, far, step, outer_sum)
                    if not complete:
                        _smooth_across(weight_columns[0], wide, row, inner, far, step, inner_weight)
                        _smooth_across(weight_columns[1], wide, row, outer, far, step, outer_weight)
                    elif spread_of != same[y + row]:
                        spread(whole[0, y + row], inner_weight)
                        spread(whole[1, y + row], outer_weight)
                        spread_of = same[y + row]
                    _energies(inner_sum, inner_weight, outer_sum, outer_weight, energy.reshape(-1))
                    if not complete:
                        _leave_out_missing(present, here, energy)
                    _add_row(
                        cells[y + row],
                        found[row],
                        start[row],
                        stop[row],
                        (value, energy, present),
                        here,
                        (complete, shines),
                        bright,
                        sums,
                        image,
                    )
