"""From the contrasts of a lot's cells to how full the lot is, against what each cell looked like when it was empty.

Three passes over a lot's images: the low contrast of each image; then, cell by cell, the low quantile of its own past,
kept sorted; then, image by image, which cells are full, and how sure that is. On CUDA each pass is a kernel, of one
thread an image, a cell and an image.
"""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, column, common_device, empty, grid_of, on_cpu, positive, to_host, to_side
from gpu_kernels.errors import ArgumentError
from gpu_kernels.imagery.batch import contiguous, share
from gpu_kernels.imagery.order import between, quantile_of
from gpu_kernels.rolling_quantile import put_in, take_out
from gpu_kernels.segments import segment_of

_FLOAT64, _BOOL = (np.dtype(np.float64),), (np.dtype(np.bool_),)
_MOST_EXPONENT = 700.0
_MOST_LOST = 0.9
_CUDA_THREADS = 1 << 15
"""Cells that go along their past at a time, each with a sorted window in device memory."""


@body
def _there(contrast, area):
    return math.isfinite(contrast) and area > 0.0


@body
def _low(contrast, area, probability, values):
    """Low quantile over the cells of an image; NaN where none has a contrast."""
    count = 0
    for cell in range(contrast.shape[0]):
        if _there(contrast[cell], area[cell]):
            values[count] = contrast[cell]
            count += 1
    return quantile_of(values, count, probability)


@body
def _quantile(ordered, lane, count, probability):
    place = probability * (count - 1)
    low = int(place)
    return between(ordered[low, lane], ordered[min(low + 1, count - 1), lane], place - low)


@body
def _own_past(contrast, use, area, first, last, cell, probability, window, ordered, lane, own, history):
    """For each image of a lot the low quantile of a cell's contrasts in the `window` images before it that may be
    references, and how many of them there are."""
    count = 0
    for row in range(first, last):
        gone = row - window - 1
        if gone >= first and use[gone] and _there(contrast[gone, cell], area):
            take_out(ordered, lane, count, contrast[gone, cell])
            count -= 1
        if row > first and use[row - 1] and _there(contrast[row - 1, cell], area):
            put_in(ordered, lane, count, contrast[row - 1, cell])
            count += 1
        history[row, cell] = count
        own[row, cell] = _quantile(ordered, lane, count, probability) if count > 0 else math.nan


@body
def _lot_past(low, use, first, last, probability, window, ordered, lane, prior):
    """The same of the images' low contrasts, with that of the image itself."""
    count = 0
    for row in range(first, last):
        gone = row - window - 1
        if gone >= first and use[gone] and math.isfinite(low[gone]):
            take_out(ordered, lane, count, low[gone])
            count -= 1
        prior[row] = math.nan
        if math.isfinite(low[row]):
            put_in(ordered, lane, count, low[row])
            prior[row] = _quantile(ordered, lane, count + 1, probability)
            if use[row]:
                count += 1
            else:
                take_out(ordered, lane, count + 1, low[row])


@body
def _full(prevalence, ratio):
    return prevalence / (prevalence + (1.0 - prevalence) * ratio)


@body
def _weigh(contrast, valid, area, weight):
    """Weights of the cells with a contrast, their sum being 1, and NaN for the others. Gives how many there are, and
    the share of the lot's area that they show."""
    cells, all_area, seen_area = 0, 0.0, 0.0
    for cell in range(contrast.shape[0]):
        all_area += area[cell]
        if _there(contrast[cell], area[cell]):
            seen_area += area[cell] * valid[cell]
            cells += 1
    scale = 1.0 / max(seen_area, 1e-300)
    for cell in range(contrast.shape[0]):
        there = _there(contrast[cell], area[cell])
        weight[cell] = area[cell] * valid[cell] * scale if there else math.nan
    return cells, seen_area / all_area if all_area > 0.0 else math.nan


@body
def _compare(contrast, weight, prior, own, history, rule, ratio):
    """Likelihood ratio of empty to full of each cell."""
    intercept, slope, pseudo_count, cap = rule[0], rule[1], rule[2], rule[3]
    lowest, highest = rule[4] - rule[5], rule[4] + rule[5]
    prior = min(max(prior, lowest), highest)
    for cell in range(contrast.shape[0]):
        ratio[cell] = math.nan
        if not math.isnan(weight[cell]):
            reference, known = prior, history[cell]
            if known > 0.0:
                reference += min(max(known / (known + pseudo_count) * (own[cell] - prior), -cap), cap)
                reference = min(max(reference, lowest), highest)
            exponent = -(intercept + slope * (contrast[cell] - reference))
            ratio[cell] = math.exp(min(max(exponent, -_MOST_EXPONENT), _MOST_EXPONENT))


@body
def _prevalence(weight, ratio, cells, rounds):
    prevalence = 0.5
    for _ in range(rounds):
        total = 0.0
        for cell in range(weight.shape[0]):
            if not math.isnan(weight[cell]):
                total += weight[cell] * _full(prevalence, ratio[cell])
        prevalence = (cells * total + 1.0) / (cells + 2.0)
    return prevalence


@body
def _judge(weight, history, cells, seen, prevalence, rule, occupancy):
    """(fill, std, history) of an image; `occupancy` holds the likelihood ratios before."""
    slope, pseudo_count, reference_error, scene_error = rule[1], rule[2], rule[6], rule[7]
    lapse, cluster = rule[8], rule[9]
    fill, past, wrong, unknown, doubtful = 0.0, 0.0, 0.0, 0.0, 0.0
    for cell in range(weight.shape[0]):
        w = weight[cell]
        if not math.isnan(w):
            p = _full(prevalence, occupancy[cell])
            occupancy[cell] = p
            q, g = lapse + (1.0 - 2.0 * lapse) * p, slope * p * (1.0 - p)
            fill += w * p
            past += w * history[cell]
            doubtful += w * p * (1.0 - p)
            wrong += w * w * q * (1.0 - q)
            if pseudo_count > 0.0:
                unknown += w * w * g * g * pseudo_count / (history[cell] + pseudo_count)
    h = (cells * fill + 0.5) / (cells + 1.0)
    kept = 1.0 - min(doubtful / (prevalence * (1.0 - prevalence)), _MOST_LOST)
    variance = wrong / kept + reference_error * reference_error * unknown / (kept * kept)
    variance += scene_error * scene_error * h * (1.0 - h) + (1.0 - seen) * h * (1.0 - h) * cluster / cells
    return fill, math.sqrt(variance), past


@body
def _of_image(contrast, valid, area, prior, own, history, rule, weight, occupancy):
    """(fill, std, valid_frac, history) of an image."""
    cells, seen = _weigh(contrast, valid, area, weight)
    _compare(contrast, weight, prior, own, history, rule, occupancy)
    fill, std, past = math.nan, math.nan, math.nan
    if cells > 0:
        prevalence = _prevalence(weight, occupancy, cells, np.int64(rule[11]))
        fill, std, past = _judge(weight, history, cells, seen, prevalence, rule, occupancy)
    if not seen >= rule[10]:
        fill, std, past = math.nan, math.nan, math.nan
    return fill, std, seen, past


@cpu_loop
def _fill_cpu(
    contrast, valid, use, area, offsets, probability, window, rule, own, history, occupancy, fill, std, seen, past
):
    for lot in prange(offsets.shape[0] - 1):
        first, last = offsets[lot], offsets[lot + 1]
        longest, cells = last - first, contrast.shape[1]
        low, prior, values = np.empty(longest), np.empty(longest), np.empty(cells)
        ordered = np.empty((min(window, longest) + 1, 1))
        for row in range(first, last):
            low[row - first] = _low(contrast[row], area[lot], probability, values)
        _lot_past(low, use[first:last], 0, longest, probability, window, ordered, 0, prior)
        for cell in range(cells):
            _own_past(contrast, use, area[lot, cell], first, last, cell, probability, window, ordered, 0, own, history)
        for row in range(first, last):
            fill[row], std[row], seen[row], past[row] = _of_image(
                contrast[row],
                valid[row],
                area[lot],
                prior[row - first],
                own[row],
                history[row],
                rule,
                values,
                occupancy[row],
            )


@cuda.jit
def _low_cuda(contrast, area, offsets, probability, values, low):
    row = cuda.grid(1)
    if row < low.shape[0]:
        low[row] = _low(contrast[row], area[segment_of(offsets, row)], probability, values[row])


@cuda.jit
def _past_cuda(contrast, use, area, offsets, low, probability, window, ordered, own, history, prior):
    lane = cuda.grid(1)
    lots, cells = area.shape
    if lane < ordered.shape[1]:
        for unit in range(lane, lots * (cells + 1), ordered.shape[1]):
            lot, cell = unit // (cells + 1), unit % (cells + 1)
            first, last = offsets[lot], offsets[lot + 1]
            if cell == cells:
                _lot_past(low, use, first, last, probability, window, ordered, lane, prior)
            else:
                _own_past(
                    contrast,
                    use,
                    area[lot, cell],
                    first,
                    last,
                    cell,
                    probability,
                    window,
                    ordered,
                    lane,
                    own,
                    history,
                )


@cuda.jit
def _fill_cuda(contrast, valid, area, offsets, prior, own, history, rule, weight, occupancy, fill, std, seen, past):
    row = cuda.grid(1)
    if row < fill.shape[0]:
        fill[row], std[row], seen[row], past[row] = _of_image(
            contrast[row],
            valid[row],
            area[segment_of(offsets, row)],
            prior[row],
            own[row],
            history[row],
            rule,
            weight[row],
            occupancy[row],
        )


def lot_fill(
    contrast: Array,
    valid: Array,
    use: Array,
    area: Array,
    offsets: Array,
    *,
    intercept: float,
    slope: float,
    quantile: float,
    window: int,
    rounds: int,
    pseudo_count: float,
    cap: float,
    empty_level: float,
    empty_range: float,
    reference_error: float,
    scene_error: float,
    lapse: float,
    cluster: float,
    minimum_valid: float,
) -> tuple[Array, Array, Array, Array, Array]:
    """Which cells of a lot are full, each against its own past empty look, and how full that makes the lot.

    Of image i of a lot, with past = those of the `window` images before it that may be references:

        low_j       = quantile over the cells of their contrast in image j
        prior       = quantile over the past and i of low_j, within empty_range of empty_level
        own         = quantile over the past of the cell's contrast, from n images
        reference   = prior + clip( n / (n + pseudo_count) (own - prior), -cap, cap ), within the same range: what was
                      never seen empty is not taken for empty
        r           = exp( -(intercept + slope (contrast - reference)) ), the likelihood ratio of empty to full
        p           = pi / (pi + (1 - pi) r)
        fill        = sum of w p,  w = area * valid over its sum, of the m cells with a contrast
        pi          = 1/2, then `rounds` times (m fill + 1) / (m + 2): the lot's prevalence
        std²        = sum of w² q (1 - q) / (1 - s),  q = lapse + (1 - 2 lapse) p       cells judged wrongly
                    + sum of w² (slope p (1 - p))² reference_error² pseudo_count / (n + pseudo_count) / (1 - s)²
                                                                                        empty looks not well known
                    + scene_error² h (1 - h),  h = (m fill + 1/2) / (m + 1)             what moves cells together
                    + (1 - valid_frac) h (1 - h) cluster / m                            what was not seen
        s           = min( sum of w p (1 - p) / (pi (1 - pi)), 0.9 ): of what is known of pi, what doubtful cells take

    contrast, valid   (rows, count) float64, as `cell_contrast` gives them: rows by lot and, within it, in the order in
                      which they became known
    use      (rows,) bool: whether the image may be a reference of later ones
    area     (lots, count) float64, at least 0: what a cell weighs, its area or its spaces; 0 for a number not used
    offsets  (lots + 1,) int64
    intercept, slope  of the map from contrast over reference to log odds; fitted, as are empty_level and the errors
    quantile     low, 0 to 1; between values as in NumPy's default
    window       images, at least 1
    rounds       of the prevalence's iteration, at least 0
    lapse        share of cells judged wrongly however clear, 0 to 0.5
    cluster      cells that are alike where nothing was seen, at least 0
    minimum_valid    share of the area that must be seen, 0 to 1

    returns, float64 each
             occupancy  (rows, count) probability that the cell is full
             fill       (rows,) share of the lot that is full, 0 to 1
             std        (rows,) its standard error
             valid_frac (rows,) share of the lot's area that was seen
             history    (rows,) sum of w n: past images that the references rest on

    An image's numbers depend on its lot's images up to it alone.

    Missing values: a cell without a finite contrast has NaN occupancy and is left out. fill, std and history are NaN
    where valid_frac is below `minimum_valid` or no cell has a contrast, all where the lot's areas are 0.
    Raises: ArgumentError, DeviceError.
    Source: prevalence by expectation-maximisation, Saerens, Latinne and Decaestecker (2002), with Laplace's rule;
    quantiles, Hyndman and Fan (1996), definition 7. The reference, its shrinkage and the error are ours.
    """
    common_device(contrast=contrast, valid=valid, use=use, area=area, offsets=offsets)
    contrast, valid = contiguous("contrast", contrast, _FLOAT64, 2), contiguous("valid", valid, _FLOAT64, 2)
    area, use = contiguous("area", area, _FLOAT64, 2), column("use", use, _BOOL)
    rows = Rows(offsets, count=len(contrast))
    if valid.shape != contrast.shape or len(use) != rows.count:
        raise ArgumentError(
            f"contrast is {tuple(contrast.shape)}, valid {tuple(valid.shape)}, use {tuple(use.shape)}",
            allowed="(rows, count) twice, and (rows,)",
        )
    if area.shape != (rows.segments, contrast.shape[1]):
        raise ArgumentError(
            f"area is {tuple(area.shape)} for {rows.segments} lots and {contrast.shape[1]} cells",
            allowed=f"{(rows.segments, contrast.shape[1])}",
        )
    weights = to_host(area)
    if weights.size and not (weights.min() >= 0.0 and weights.max() < math.inf):
        raise ArgumentError(f"area spans {weights.min():g} to {weights.max():g}", allowed="finite, 0 or more")
    probability, window = share("quantile", quantile), positive("window", window)
    most = 1e300
    numbers = (
        share("intercept", intercept, least=-most, most=most),
        share("slope", slope, least=-most, most=most),
        share("pseudo_count", pseudo_count, most=most),
        share("cap", cap, most=most),
        share("empty_level", empty_level, least=-most, most=most),
        share("empty_range", empty_range, most=most),
        share("reference_error", reference_error, most=1e100),
        share("scene_error", scene_error, most=1e100),
        share("lapse", lapse, most=0.5),
        share("cluster", cluster, most=most),
        share("minimum_valid", minimum_valid),
        float(positive("rounds", rounds, minimum=0, maximum=10**6)),
    )
    rule = to_side(np.array(numbers), like=contrast)
    occupancy, own, history = (rows.empty(contrast.shape, np.float64) for _ in range(3))
    fill, std, seen, past = (rows.empty(rows.count, np.float64) for _ in range(4))
    outs = (occupancy, fill, std, seen, past)
    if rows.count and rows.device:
        low, prior = rows.empty(rows.count, np.float64), rows.empty(rows.count, np.float64)
        longest = int(np.diff(rows.host_offsets).max())
        lanes = min(rows.segments * (contrast.shape[1] + 1), _CUDA_THREADS)
        ordered = empty((min(window, longest) + 1, lanes), np.float64, like=contrast)
        values = rows.empty(contrast.shape, np.float64)
        _low_cuda[grid_of(rows.count)](contrast, area, rows.offsets, probability, values, low)
        _past_cuda[grid_of(lanes)](
            contrast, use, area, rows.offsets, low, probability, window, ordered, own, history, prior
        )
        _fill_cuda[grid_of(rows.count)](contrast, valid, area, rows.offsets, prior, own, history, rule, values, *outs)
    elif rows.count:
        on_cpu(_fill_cpu, contrast.size, rows.segments)(
            contrast, valid, use, area, rows.offsets, probability, window, rule, own, history, *outs
        )
    return outs
