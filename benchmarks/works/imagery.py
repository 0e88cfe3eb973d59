"""Calls of the kernels over images of parking lots."""

import numpy as np

from benchmarks.works.data import Data, Work
from gpu_kernels.imagery.contrast import cell_contrast
from gpu_kernels.imagery.fill import lot_fill

HEIGHT, WIDTH, COUNT = 6, 5, 4
FILL = {
    "intercept": -5.0,
    "slope": 8.0,
    "quantile": 0.1,
    "pseudo_count": 3.0,
    "cap": 0.5,
    "empty_level": -2.25,
    "empty_range": 0.7,
    "reference_error": 0.3,
    "scene_error": 0.1,
    "lapse": 0.01,
    "cluster": 4.0,
}


def works(data: Data) -> list[Work]:
    rng = data.rng("imagery")
    images = rng.integers(1, 255, (data.rows, HEIGHT, WIDTH)).astype(np.uint8)
    images[rng.random(data.rows) < 0.1] = 255
    if data.dtype == "float32":
        images = images.astype(np.float32)
        images[rng.random(images.shape) < 0.1] = np.nan
        images[rng.random(data.rows) < 0.1] = np.inf
    cells = rng.integers(-2, COUNT, (data.segments, HEIGHT // 2, WIDTH)).repeat(2, axis=1).astype(np.int16)
    arrays = (images, cells, rng.uniform(0, 300, data.rows), data.offsets)
    rule = {"count": COUNT, "saturation": 250.0, "minimum_valid": 0.5, "minimum_pixels": 2}
    contrast = rng.normal(-2.0, 0.7, (data.rows, COUNT))
    contrast[rng.random(contrast.shape) < 0.2] = np.nan
    contrast[rng.random(data.rows) < 0.1] = np.nan
    valid, use = rng.uniform(0.3, 1.0, contrast.shape), rng.random(data.rows) < 0.7
    area = rng.uniform(0, 2, (data.segments, COUNT)) * (rng.random((data.segments, COUNT)) < 0.8)
    fill = (contrast, valid, use, area, data.offsets)
    return [
        Work(cell_contrast, arrays, {**rule, "inner": 0.4, "outer": 1.1}),
        Work(cell_contrast, arrays, {**rule, "inner": 0.0, "outer": 0.7}),
        Work(lot_fill, fill, {**FILL, "window": 4, "rounds": 5, "minimum_valid": 0.5}),
        Work(lot_fill, fill, {**FILL, "window": 500, "rounds": 0, "minimum_valid": 0.0}),
    ]
