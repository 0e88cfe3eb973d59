"""Parking lots: from pixels to fill, against a loop over lots and images with scikit-image, SciPy and NumPy.

    python benchmarks/lots.py [--lots 10000] [--images 50] [--budget BYTES]

Images of 128 x 128 pixels at 0.3 m: asphalt with noise, stalls of 17 x 8 pixels, cars as bright or dark blocks in some.
The peer does what one writes with these libraries, and no work twice: weights of images that miss no pixel are made
once, sums over cells are counts by label. Run as a program it goes through all lots chunk by chunk, in bounded memory,
and says how long that took beside making the images, and what the process held at most.
"""

import argparse
import resource
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import Comparison, Outputs
from benchmarks.works.imagery import FILL
from gpu_kernels.imagery.batch import in_chunks
from gpu_kernels.imagery.contrast import cell_contrast
from gpu_kernels.imagery.fill import lot_fill

SIDE, LENGTH, WIDTH = 128, 17, 8
STALL = 2.5 / 0.3  # pixels of a stall's width
CONTRAST = {
    "inner": 0.1 * STALL,
    "outer": 0.5 * STALL,
    "saturation": 250.0,
    "minimum_valid": 0.5,
    "minimum_pixels": 4,
}
RULE = {**FILL, "window": 64, "rounds": 32, "minimum_valid": 0.5}

Array = npt.NDArray[np.generic]
Arrays = tuple[Array, ...]


def cells_of_a_lot() -> tuple[Array, int]:
    """Seven rows of fifteen stalls, aisles and edges between them being surroundings."""
    cells, count = np.full((SIDE, SIDE), -1, np.int16), 0
    for top in range(2, SIDE - LENGTH, LENGTH + 1):
        for left in range(4, SIDE - WIDTH, WIDTH):
            cells[top : top + LENGTH, left : left + WIDTH] = count
            count += 1
    return cells, count


def images_of(lots: int, images: int, seed: int, *, clouds: bool = False) -> tuple[Arrays, Array]:
    """(images, cells, dark, offsets) and which stalls are taken: uint8, or float32 with holes for clouds."""
    rng = np.random.default_rng(seed)
    cells, count = cells_of_a_lot()
    taken = rng.random((lots * images, count)) < rng.random((lots * images, 1))
    paint = np.zeros((lots * images, count + 1), np.uint8)
    paint[:, :-1] = np.where(taken, rng.choice(np.array([40, 150, 190], np.uint8), taken.shape), 90)
    paint[:, -1] = 90
    inside = np.pad(np.zeros((LENGTH - 4, WIDTH - 2), np.bool_), ((2, 2), (1, 1)), constant_values=True)
    edges = np.zeros(cells.shape, np.bool_)
    for cell in range(count):
        edges[cells == cell] = inside.ravel()
    pixels = paint[:, np.where(edges | (cells < 0), count, cells)]
    pixels += rng.integers(0, 256, pixels.shape, np.uint8) >> 4
    if clouds:
        pixels = pixels.astype(np.float32)
        for row, (y, x) in enumerate(rng.integers(-SIDE // 2, SIDE, (len(pixels), 2)).tolist()):
            pixels[row, max(0, y) : max(0, y + SIDE // 3), max(0, x) : max(0, x + SIDE // 3)] = np.nan
    offsets = np.arange(lots + 1) * images
    return (pixels, np.broadcast_to(cells, (lots, SIDE, SIDE)).copy(), np.zeros(len(pixels)), offsets), taken


def ours(arrays: Arrays, count: int) -> Outputs:
    contrast, mean, valid, *of_image = cell_contrast(*arrays, count, **CONTRAST)
    return contrast, mean, valid, *of_image, *_fill(lot_fill, contrast, valid, arrays[3])


def _fill(function: object, contrast: Array, valid: Array, offsets: Array) -> Outputs:
    use, area = np.ones(len(contrast), np.bool_), np.ones((len(offsets) - 1, contrast.shape[1]))
    return function(contrast, valid, use, area, offsets, **RULE)  # type: ignore[operator, no-any-return]


def peer(arrays: Arrays, count: int) -> Outputs:
    contrast, mean, valid, *of_image = peer_contrast(arrays, count)
    return contrast, mean, valid, *of_image, *_fill(peer_fill, contrast, valid, arrays[3])


def _smooth(values: Array, sigma: float) -> Array:
    from skimage.filters import gaussian

    reach = np.ceil(3.0 * sigma) / sigma
    return gaussian(values, sigma, mode="constant", truncate=reach, preserve_range=True)  # type: ignore[no-any-return]


@np.errstate(divide="ignore", invalid="ignore")
def peer_contrast(arrays: Arrays, count: int) -> Outputs:
    images, cells, dark, offsets = arrays
    sigmas = CONTRAST["inner"], CONTRAST["outer"]
    contrast, mean, valid = (np.full((len(images), count), np.nan) for _ in range(3))
    level, surround, saturated = np.full((3, len(images)), np.nan)
    whole = [_smooth(np.ones(images.shape[1:]), sigma) for sigma in sigmas]
    for lot, (first, last) in enumerate(pairwise(offsets.tolist())):
        label = np.where(cells[lot] >= -1, cells[lot] + 1, count + 1).ravel()  # 0: surroundings
        pixels = np.bincount(label, minlength=count + 2)[1:-1]
        for row in range(first, last):
            values = images[row].astype(np.float64)
            there = np.isfinite(values)
            complete = there.all()
            values = values if complete else np.where(there, values, 0.0)
            weights = whole if complete else [_smooth(there.astype(np.float64), sigma) for sigma in sigmas]
            near, far = (_smooth(values, sigma) / weight for sigma, weight in zip(sigmas, weights, strict=True))
            energy = np.where(there, (near - far) ** 2, 0.0)
            seen = np.bincount(label, there.ravel(), count + 2)[:-1]
            average = np.bincount(label, values.ravel(), count + 2)[:-1] / seen
            size = np.sqrt(np.bincount(label, energy.ravel(), count + 2)[:-1] / seen)
            bright = np.bincount(label, (there & (values >= CONTRAST["saturation"])).ravel(), count + 2)[1:-1]
            valid[row] = seen[1:] / pixels
            told = (valid[row] >= CONTRAST["minimum_valid"]) & (seen[1:] >= CONTRAST["minimum_pixels"])
            told &= size[1:] > 1e-6 * np.abs(average[1:])
            mean[row, told] = average[1:][told]
            level[row], saturated[row] = np.median(average[1:][told]), bright.sum() / seen[1:].sum()
            light = max(level[row] - dark[row], level[row] / 4)
            contrast[row, told], surround[row] = np.log(size[1:][told] / light), np.log(size[0] / light)
    return contrast, mean, valid, level, surround, saturated


def peer_fill(
    contrast: Array, valid: Array, use: npt.NDArray[np.bool_], area: Array, offsets: Array, **rule: float
) -> Outputs:
    occupancy = np.full(contrast.shape, np.nan)
    fill, std, seen, history = np.full((4, len(contrast)), np.nan)
    lowest, highest = rule["empty_level"] - rule["empty_range"], rule["empty_level"] + rule["empty_range"]
    for lot, (first, last) in enumerate(pairwise(offsets.tolist())):
        there = ~np.isnan(contrast[first:last])
        low = np.array([np.quantile(c[t], rule["quantile"]) for c, t in zip(contrast[first:last], there, strict=True)])
        for row in range(first, last):
            begin, here = max(first, row - int(rule["window"])), there[row - first]
            past = np.arange(begin, row)[use[begin:row]]
            prior = np.clip(np.quantile(low[np.append(past, row) - first], rule["quantile"]), lowest, highest)
            weight = area[lot, here] * valid[row, here]
            seen[row] = weight.sum() / area[lot].sum()
            w, m = weight / weight.sum(), here.sum()
            known = there[past - first][:, here].sum(axis=0)
            reference = np.full(m, prior)
            if len(past):
                own = contrast[past][:, here]
                whole = known == len(past)
                lows = np.full(m, prior)
                lows[whole] = np.quantile(own[:, whole], rule["quantile"], axis=0)
                if not whole.all():
                    some = ~whole & (known > 0)
                    lows[some] = np.nanquantile(own[:, some], rule["quantile"], axis=0)
                moved = known / (known + rule["pseudo_count"]) * (lows - prior)
                reference = np.clip(prior + np.clip(moved, -rule["cap"], rule["cap"]), lowest, highest)
            r = np.exp(-(rule["intercept"] + rule["slope"] * (contrast[row, here] - reference)))
            pi = 0.5
            for _ in range(int(rule["rounds"])):
                pi = (m * (w * (pi / (pi + (1 - pi) * r))).sum() + 1) / (m + 2)
            p = pi / (pi + (1 - pi) * r)
            occupancy[row, here], fill[row], history[row] = p, (w * p).sum(), (w * known).sum()
            g, q = rule["slope"] * p * (1 - p), rule["lapse"] + (1 - 2 * rule["lapse"]) * p
            h = (m * fill[row] + 0.5) / (m + 1)
            kept = 1 - min((w * p * (1 - p)).sum() / (pi * (1 - pi)), 0.9)
            unknown = rule["reference_error"] ** 2 * rule["pseudo_count"] / (known + rule["pseudo_count"])
            variance = (w**2 * q * (1 - q)).sum() / kept + (w**2 * g**2 * unknown).sum() / kept**2
            variance += rule["scene_error"] ** 2 * h * (1 - h) + (1 - seen[row]) * h * (1 - h) * rule["cluster"] / m
            std[row] = np.sqrt(variance)
    return occupancy, fill, std, seen, history


def comparisons(quick: bool) -> Iterator[Comparison]:
    """Pixels to fill, of some lots and of four times as many, since a lot's cost is its own; then its two parts."""
    few, images = (1, 9) if quick else (2, 50)
    count = cells_of_a_lot()[1]
    for lots, clouds in ((few, False), (4 * few, False), (few, True)):
        arrays, _ = images_of(lots, images, lots, clouds=clouds)
        pixels = arrays[0]
        shown = f"{lots} lots x {images} images of {SIDE} x {SIDE}{', clouds' if clouds else ''}"
        yield Comparison(
            f"pixels to fill, {shown}",
            pixels.size,
            str(pixels.dtype),
            pixels.nbytes,
            lambda arrays=arrays: ours(arrays, count),
            {"scikit-image and NumPy, image by image": lambda arrays=arrays: peer(arrays, count)},
            tolerance=1e-8,
        )
        if lots > few:
            contrast, _, valid, *_ = cell_contrast(*arrays, count, **CONTRAST)
            yield Comparison(
                f"contrasts to fill, {shown}",
                contrast.size,
                "float64",
                3 * contrast.nbytes,
                lambda c=contrast, v=valid, o=arrays[3]: _fill(lot_fill, c, v, o),
                {"NumPy, image by image": lambda c=contrast, v=valid, o=arrays[3]: _fill(peer_fill, c, v, o)},
                tolerance=1e-8,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lots", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=50, help="of each lot")
    parser.add_argument("--budget", type=int, default=1 << 28, help="bytes of images that are held at a time")
    options = parser.parse_args()
    count = cells_of_a_lot()[1]
    ours(images_of(1, 8, 0)[0], count)  # compiles
    making, taking, fills, truths = 0.0, 0.0, [], []
    offsets = np.arange(options.lots + 1) * options.images
    for lots, _, own in in_chunks(offsets, SIDE * SIDE, options.budget):
        started = time.perf_counter()
        arrays, taken = images_of(len(own) - 1, options.images, lots.start)
        made = time.perf_counter()
        fill = ours(arrays, count)[7]
        taking += time.perf_counter() - made
        making += made - started
        fills.append(fill)
        truths.append(taken.mean(axis=1))
    rows = options.lots * options.images
    alike = np.corrcoef(np.concatenate(fills), np.concatenate(truths))[0, 1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sys.stdout.write(
        f"{options.lots:,} lots x {options.images} images of {SIDE} x {SIDE}, {rows * SIDE * SIDE / 1e9:.2f} G pixels, "
        f"{len(fills)} chunks: {taking:.1f} s, {taking / rows * 1e6:.0f} us each, beside {making:.1f} s to make them; "
        f"the process held {peak:.2f} GiB at most; the fill's correlation with the stalls taken {alike:.3f}\n"
    )


if __name__ == "__main__":
    main()
