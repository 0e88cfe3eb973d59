"""The parking-lot fill index, slow and obvious: the definition that the kernels of gpu_kernels/imagery follow.

Two functions. `cell_contrast` goes from pixels to one number a cell (a stall, or a part of the lot of a vehicle's
size); `lot_fill` goes from those, in the order in which the images became known, to the fill of each lot. Rows are
images of one lot each, sorted by (lot, known time); `offsets` says where each lot's rows begin; a row depends on its
own lot's rows up to that one only.
"""

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


def lot_fill(
    contrast,
    valid,
    use,
    area,
    offsets,
    *,
    intercept,
    slope,
    quantile,
    window,
    rounds,
    pseudo_count,
    cap,
    empty_level,
    empty_range,
    reference_error,
    scene_error,
    lapse,
    cluster,
    minimum_valid,
):
    """Occupancy of each cell against its own past empty reference, and the fill of the lot with its standard error.

    Arrays in:
    contrast (rows, count) float64, valid (rows, count) float64: as cell_contrast gives them.
    use (rows,) bool: whether the row may be a reference of later rows (false for dark, hazy, saturated images).
    area (lots, count) float64: what a cell weighs (its area, or its spaces); 0 for a number that the lot does not use.
    offsets (lots + 1,) int64.

    For row i of a lot with first row f:
    past = the rows j, max(f, i - window) <= j < i, with use[j].
    l_j = quantile over the cells with a contrast of contrast[j, :] (linear between order statistics, as np.quantile);
    prior_i = quantile over past and i itself of l_j, clipped to empty_level - empty_range .. empty_level + empty_range;
    n = number of past rows in which cell c has a contrast; own = the quantile of its contrasts there;
    reference = prior_i + clip( n / (n + pseudo_count) * (own - prior_i), -cap, cap ), with n = 0 prior_i, clipped as
        prior_i is: what was never seen empty is not taken for empty;
    weight = area * valid of the cells with a contrast, w = weight / their sum; m = number of cells with a contrast;
    y = contrast - reference; r = exp(-(intercept + slope * y)), the likelihood ratio of empty to full;
    pi = 1/2, then `rounds` times: p = pi / (pi + (1 - pi) r) and pi = (m sum w p + 1) / (m + 2): a full lot's doubtful
        cells are likelier full than an empty lot's (Saerens, Latinne & Decaestecker 2002, with Laplace's rule);
    occupancy = p = pi / (pi + (1 - pi) r) with the last pi; fill = sum w p; valid_frac = sum weight / sum area.
    g = slope p (1 - p); q = lapse + (1 - 2 lapse) p; h = (m fill + 1/2) / (m + 1);
    s = min( sum w p (1 - p) / (pi (1 - pi)), 0.9 ), the share of what is known of pi that the doubtful cells take away;
    std^2 = sum w^2 q (1 - q) / (1 - s)                                      (cells judged wrongly)
          + sum w^2 g^2 reference_error^2 pseudo_count / (n + pseudo_count) / (1 - s)^2   (empty states not well known)
          + scene_error^2 h (1 - h)                                          (what moves cells together, calibration)
          + (1 - valid_frac) h (1 - h) cluster / m                           (the part not seen: `cluster` fill alike)
    history = sum w n: how many past images a cell's reference rests on.

    Arrays out (float64): occupancy (rows, count), fill, std, valid_frac, history (rows,).

    Missing values: a cell without contrast has NaN occupancy and is left out; fill, std and history are NaN where
    valid_frac is below minimum_valid or no cell has a contrast (then valid_frac is 0). A lot whose areas are all 0 has
    NaN everywhere.
    """
    rows, count = contrast.shape
    occupancy = np.full((rows, count), np.nan)
    fill, std, valid_frac, history = (np.full(rows, np.nan) for _ in range(4))
    for lot, (first, last) in enumerate(segments(offsets)):
        there = ~np.isnan(contrast) & (area[lot] > 0.0)
        total = area[lot].sum()
        for row in range(first, last):
            if not total > 0.0:
                continue
            weight = np.where(there[row], area[lot] * valid[row], 0.0)
            valid_frac[row] = weight.sum() / total
            if not there[row].any():
                continue
            w, m, r = weight / max(weight.sum(), 1e-300), there[row].sum(), np.ones(count)
            past = [j for j in range(max(first, row - window), row) if use[j]]
            lows = [np.quantile(contrast[j][there[j]], quantile) for j in [*past, row] if there[j].any()]
            prior = np.clip(np.quantile(lows, quantile), empty_level - empty_range, empty_level + empty_range)
            known = np.zeros(count)
            for cell in np.flatnonzero(there[row]):
                own = [contrast[j, cell] for j in past if there[j, cell]]
                n = known[cell] = len(own)
                reference = prior
                if n > 0:
                    moved = np.clip(n / (n + pseudo_count) * (np.quantile(own, quantile) - prior), -cap, cap)
                    reference = np.clip(prior + moved, empty_level - empty_range, empty_level + empty_range)
                r[cell] = np.exp(-(intercept + slope * (contrast[row, cell] - reference)))
            pi = 0.5
            for _ in range(rounds):
                p = pi / (pi + (1 - pi) * r)
                pi = (m * (w * p).sum() + 1) / (m + 2)
            p = pi / (pi + (1 - pi) * r)
            occupancy[row] = np.where(there[row], p, np.nan)
            if valid_frac[row] < minimum_valid:
                continue
            fill[row], history[row] = (w * p).sum(), (w * known).sum()
            g, q = slope * p * (1 - p), lapse + (1 - 2 * lapse) * p
            h = (m * fill[row] + 0.5) / (m + 1)
            s = min((w * p * (1 - p)).sum() / (pi * (1 - pi)), 0.9)
            std[row] = np.sqrt(
                (w**2 * q * (1 - q)).sum() / (1 - s)
                + (w**2 * g**2 * reference_error**2 * pseudo_count / (known + pseudo_count)).sum() / (1 - s) ** 2
                + scene_error**2 * h * (1 - h)
                + (1 - valid_frac[row]) * h * (1 - h) * cluster / m
            )
    return occupancy, fill, std, valid_frac, history
