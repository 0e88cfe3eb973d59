"""Eight images of a lot side by side: the steps of the CPU path.

A row of pixels holds eight numbers for each pixel, one an image, so that a step for one pixel is a step of vectors for
eight images, also where the pixels of a cell lie anyhow. Images never mix: what an image gets does not depend on its
lane or its neighbours. Sums take their terms one after the other, in the order of rows and columns.
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
        for i in range(first, last):
            number = value[x, i]
            there = number - number == _NONE
            value[x, i] = number if there else _NONE
            present[x, i] = _THERE if there else _NONE
            missing |= not there
            reached |= there and number >= bright
    return missing, reached


@body
def move_up(value, places, by):
    for x in range(value.shape[0]):
        for i in range(places):
            value[x, i] = value[x, i + by]


@body
def clear(value, first, last):
    for x in range(value.shape[0]):
        for i in range(first, last):
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
def add_run(values, at, first, last, sums, kind, cell, lane):
    """Adds the vectors of a run of pixels to those of a cell. Eight names, of which the compiler makes one vector."""
    into = sums[kind, cell, lane : lane + LANES]
    a, b, c, d, e, f, g, h = into[0], into[1], into[2], into[3], into[4], into[5], into[6], into[7]
    for x in range(np.uint64(first), np.uint64(last)):
        a += np.float64(values[x, at, 0])
        b += np.float64(values[x, at, 1])
        c += np.float64(values[x, at, 2])
        d += np.float64(values[x, at, 3])
        e += np.float64(values[x, at, 4])
        f += np.float64(values[x, at, 5])
        g += np.float64(values[x, at, 6])
        h += np.float64(values[x, at, 7])
    into[0], into[1], into[2], into[3], into[4], into[5], into[6], into[7] = a, b, c, d, e, f, g, h


@body
def count_run(number, sums, kind, cell, lane):
    for image in range(lane, lane + LANES):
        sums[kind, cell, image] += number


@body
def count_bright(value, present, at, first, last, bright, sums, kind, cell, lane):
    for x in range(first, last):
        for image in range(LANES):
            shines = present[x, at, image] > _NONE and value[x, at, image] >= bright
            sums[kind, cell, lane + image] += 1.0 if shines else 0.0


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
