"""Eight images of a lot side by side: the steps of the CPU path.

A row of pixels holds eight numbers for each pixel, one an image, so that a step for one pixel is a step of vectors for
eight images, also where the pixels of a cell lie anyhow. Images never mix: what an image gets does not depend on its
lane or its neighbours. Sums take their terms one after the other, in the order of rows and columns. Bounds of loops are
unsigned, since an index that may be negative keeps the compiler from vectors.
"""

import numpy as np

from gpu_kernels._jit import body
from gpu_kernels._vector import four_sums

LANES = 8

_NONE, _THERE = np.float32(0.0), np.float32(1.0)


@body
def put(images, begin, end, row, at, value):
    """A row of the images `begin` to `end`, into value (pixels, rows, LANES) as row `at`."""
    for image in range(begin, end):
        pixels, lane = images[image, row], np.uint64(image - begin)
        for x in range(pixels.shape[0]):
            value[x, at, lane] = np.float32(pixels[x])


@body
def set_missing_aside(value, present, first, last, bright):
    """0 for what is not finite, 1 or 0 in `present`, of the places `first` to `last` of all pixels. Gives whether one
    is missing, and whether one reaches `bright`."""
    missing, reached = False, False
    for x in range(value.shape[0]):
        for i in range(np.uint64(first), np.uint64(last)):
            number = value[x, i]
            there = number - number == _NONE
            value[x, i] = number if there else _NONE
            present[x, i] = _THERE if there else _NONE
            missing |= not there
            reached |= there and number >= bright
    return missing, reached


@body
def move_up(value, places, by):
    behind = np.uint64(by)
    for x in range(value.shape[0]):
        for i in range(np.uint64(places)):
            value[x, i] = value[x, i + behind]


@body
def clear(value, first, last):
    for x in range(value.shape[0]):
        for i in range(np.uint64(first), np.uint64(last)):
            value[x, i] = _NONE


@body
def down(value, first, weights, taps, out, left, step):
    """For each pixel of a row, four sums of `taps` rows each, from row `first` and the three below it on: of value
    (pixels, rows * LANES), into `out` with `step` places a row of sums, from `left` on."""
    width, places = value.shape
    flat = value.reshape(-1)
    for x in range(width):
        four_sums(out, left + x * LANES, step, flat, x * places + first * LANES, LANES, weights, taps)


@body
def across(columns, width, first, weights, taps, out):
    """Sums of `taps` columns each, from place `first` and every pixel behind it on; `width` is a multiple of four."""
    for x in range(0, width, 4):
        four_sums(out, x * LANES, LANES, columns, first + x * LANES, LANES, weights, taps)


@body
def spread(row, out):
    """One number a pixel, for all images."""
    for x in range(row.shape[0]):
        for lane in range(LANES):
            out[x * LANES + lane] = row[x]


@body
def count_run(number, sums, place):
    """Adds a number for all images."""
    first = np.uint64(place)
    for at in range(first, first + np.uint64(LANES)):
        sums[at] += number


@body
def count_bright(value, present, at, first, last, bright, sums, place):
    for x in range(first, last):
        for lane in range(LANES):
            shines = present[x, at, lane] > _NONE and value[x, at, lane] >= bright
            sums[place + lane] += 1.0 if shines else 0.0


@body
def runs(cells, start, stop):
    """Runs of neighbouring pixels of one cell, or of -1, in a row: where they start and stop; how many there are."""
    count, x, width = 0, 0, cells.shape[0]
    while x < width:
        cell, first = cells[x], x
        x += 1
        while x < width and cells[x] == cell:
            x += 1
        if cell >= -1:
            start[count], stop[count] = first, x
            count += 1
    return count
