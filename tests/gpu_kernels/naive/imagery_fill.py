"""The fill of a parking lot, slow and obvious: from the contrasts of its cells, in the order in which the images became
known, to how full it is. Rows are images of one lot each, sorted by (lot, known time); `offsets` says where each lot's
rows begin; a row depends on its own lot's rows up to that one only."""

import numpy as np

from naive.common import segments


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
