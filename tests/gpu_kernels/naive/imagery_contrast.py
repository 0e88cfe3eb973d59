"""Vehicle-scale contrast of the cells of a parking lot, slow and obvious: from pixels to one number a cell (a stall, or
a part of the lot of a vehicle's size). Rows are images of one lot each; a row depends on itself alone."""

import numpy as np

from naive.common import segments


def _smooth(values, valid, sigma):
    """Gaussian mean over the valid pixels (normalised convolution, Knutsson & Westin 1993): weights exp(-d^2 / (2
    sigma^2)) of the rows and columns up to ceil(3 sigma) pixels away, over the patch's valid pixels alone; what lies
    outside of the patch is not valid. sigma 0 smooths nothing. Where a pixel is not valid the value does not matter."""
    if sigma == 0.0:
        return np.where(valid, values, 0.0)
    radius = int(np.ceil(3.0 * sigma))
    height, width = values.shape
    out = np.zeros(values.shape)
    for y in range(height):
        for x in range(width):
            if not valid[y, x]:
                continue
            total, weights = 0.0, 0.0
            for dy in range(-radius, radius + 1):
                for dx in range(-radius, radius + 1):
                    v, u = y + dy, x + dx
                    if 0 <= v < height and 0 <= u < width and valid[v, u]:
                        weight = np.exp(-(dx * dx + dy * dy) / (2.0 * sigma * sigma))
                        total += weight * values[v, u]
                        weights += weight
            out[y, x] = total / weights  # the pixel itself is valid: never 0 / 0
    return out


def cell_contrast(luminance, cells, dark, offsets, count, *, inner, outer, saturation, minimum_valid, minimum_pixels):
    """Vehicle-scale contrast of each cell in each image.

    Arrays in:
    luminance (rows, H, W) float32: one patch a row; what is not finite is masked (cloud, nodata).
    cells (lots, H, W) int16: 0 .. count-1 the pixel's cell, -1 surroundings, -2 left out of everything but smoothing.
    dark (rows,) float64: luminance of the image's darkest objects (haze, path radiance; Chavez 1988), 0 if unknown.
    offsets (lots + 1,) int64: rows of lot l are offsets[l] .. offsets[l+1]-1, and their cells are cells[l].
    count: cells a lot at most.

    inner, outer: the two widths in pixels of the difference of Gaussians, 0.1 and 0.5 of a stall's width (2.5 m).

    Arrays out, for each row (float64):
    contrast (rows, count): log( rms over the cell's valid pixels of G_inner - G_outer, / illumination ),
        illumination = max(level - dark, level / 4): no gain and no offset of the sensor or of haze changes it.
    mean (rows, count): mean luminance of the cell's valid pixels.
    valid (rows, count): valid pixels of the cell / its pixels; 0 for a number that the lot does not use.
    level (rows,): median over the cells of `mean`, of those whose contrast could be told but for the level.
    surround (rows,): the same log contrast of the surroundings (-1).
    saturated (rows,): share of the valid pixels of all cells that are >= saturation.

    Missing values: a cell has NaN contrast and mean with less than minimum_valid of its pixels valid, with fewer than
    minimum_pixels valid pixels, or with no contrast at all (rms <= 1e-6 of its mean: a constant or saturated cell says
    nothing). level, surround, saturated are NaN with no pixel of theirs; where level is not above 0 all contrasts are
    NaN. Surroundings need minimum_pixels valid pixels and an rms above 1e-6 of the level too.
    """
    rows = len(luminance)
    contrast, mean = np.full((rows, count), np.nan), np.full((rows, count), np.nan)
    valid = np.zeros((rows, count))
    level, surround, saturated = np.full(rows, np.nan), np.full(rows, np.nan), np.full(rows, np.nan)
    for lot, (first, last) in enumerate(segments(offsets)):
        for row in range(first, last):
            values = luminance[row].astype(np.float64)
            there = np.isfinite(values)
            values = np.where(there, values, 0.0)
            band = _smooth(values, there, inner) - _smooth(values, there, outer)
            rms = np.full(count, np.nan)
            for cell in range(count):
                pixels = cells[lot] == cell
                seen = pixels & there
                if not pixels.any():
                    continue
                valid[row, cell] = seen.sum() / pixels.sum()
                if valid[row, cell] < minimum_valid or seen.sum() < minimum_pixels:
                    continue
                middle, size = values[seen].mean(), np.sqrt((band[seen] ** 2).mean())
                if size > 1e-6 * abs(middle):
                    mean[row, cell], rms[cell] = middle, size
            seen = (cells[lot] >= 0) & there
            if seen.any():
                saturated[row] = (values[seen] >= saturation).mean()
            if np.isnan(rms).all():
                continue
            level[row] = np.median(mean[row][~np.isnan(rms)])
            if not level[row] > 0.0:
                continue
            light = max(level[row] - dark[row], level[row] / 4.0)
            contrast[row] = np.log(rms / light)
            seen = (cells[lot] == -1) & there
            if seen.sum() >= max(minimum_pixels, 1):
                size = np.sqrt((band[seen] ** 2).mean())
                if size > 1e-6 * level[row]:
                    surround[row] = np.log(size / light)
    return contrast, mean, valid, level, surround, saturated
