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
def set_missing_aside(value, present, bright):
    """0 for what is not finite; 1 or 0 in `present`. Gives how many are missing, and how many reach `bright`."""
    missing, reached = 0, 0
    for i in range(value.shape[0]):
        number = value[i]
        there = number - number == _NONE
        value[i] = number if there else _NONE
        present[i] = _THERE if there else _NONE
        missing += 0 if there else 1
        reached += 1 if there and np.float64(number) >= bright else 0
    return missing, reached


@body
def move_up(values, places, by):
    for i in range(places):
        values[i] = values[i + by]


@body
def down(values, width, first, weights, taps, out, left, step):
    """For each pixel of a row, four sums of `taps` rows each, from row `first` and the three below it on. `values` has
    the rows of a pixel side by side; `out` has `step` places a row of sums, filled from `left` on."""
    rows = values.shape[0] // width
    for x in range(width):
        four_sums(out, left + x * LANES, step, values, x * rows + first * LANES, LANES, weights, taps)


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
def add_run(values, first, last, into):
    """Adds the vectors of a run of pixels. Eight names, of which the compiler makes one vector."""
    a, b, c, d, e, f, g, h = into[0], into[1], into[2], into[3], into[4], into[5], into[6], into[7]
    for x in range(first, last):
        pixel = values[x]
        a += np.float64(pixel[0])
        b += np.float64(pixel[1])
        c += np.float64(pixel[2])
        d += np.float64(pixel[3])
        e += np.float64(pixel[4])
        f += np.float64(pixel[5])
        g += np.float64(pixel[6])
        h += np.float64(pixel[7])
    into[0], into[1], into[2], into[3], into[4], into[5], into[6], into[7] = a, b, c, d, e, f, g, h


@body
def add_to_all(number, into):
    for lane in range(LANES):
        into[lane] += number


@body
def count_bright(values, present, first, last, bright, into):
    for x in range(first, last):
        for lane in range(LANES):
            into[lane] += 1.0 if present[x, lane] > _NONE and np.float64(values[x, lane]) >= bright else 0.0


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
