"""Calls of the variances that see through noise."""

import numpy as np

from benchmarks.works.data import Data, Work
from gpu_kernels.volatility import noise, preaveraging, realised_kernel, scales, windows

KERNELS = (
    "bartlett", "second", "epanechnikov", "cubic", "fifth", "sixth", "seventh", "eighth", "rectangular",
    "tukey_hanning", "modified_tukey_hanning",
)  # fmt: skip


def works(data: Data) -> list[Work]:
    returns = (data.values * np.asarray(0.01, data.dtype), data.offsets)
    each = np.arange(data.segments) % 7 - 1
    return [
        Work(noise.noise_measures, returns, {"sparse": 4}),
        Work(noise.noise_measures, returns, {"sparse": 3, "dense": 2}),
        *(
            Work(noise.subsampled_variance, returns, {"every": every, "edge": edge})
            for every, edge in ((1, "highfrequency"), (3, "scaled"), (3, "none"), (3, "first"), (4, "highfrequency"))
        ),
        Work(noise.signature, returns, {"intervals": (1, 2, 5), "edge": "first"}),
        Work(scales.two_scale_variance, returns, {"slow": 5}),
        Work(scales.two_scale_variance, returns, {"slow": 6, "fast": 2, "small_sample": "none"}),
        Work(scales.two_scale_variance, returns, {"slow": 6, "small_sample": "highfrequency"}),
        Work(scales.two_scale_variance, (*returns, each), {}),
        Work(scales.multi_scale_variance, returns, {"scales": 6}),
        Work(scales.multi_scale_variance, (*returns, each), {}),
        Work(realised_kernel.realised_kernel, returns, {"bandwidth": 5}),
        Work(realised_kernel.realised_kernel, (*returns, each), {"jitter": 1}),
        *(
            Work(
                realised_kernel.realised_kernel,
                returns,
                {"bandwidth": 4, "kernel": kernel, "flat_top": True, "adjusted": True, "jitter": 1},
            )
            for kernel in KERNELS
        ),
        Work(preaveraging.preaveraged_variance, returns, {}),
        Work(preaveraging.preaveraged_variance, returns, {"delta": 0.1, "bias_correction": False}),
        Work(preaveraging.preaveraged_variance, returns, {"theta": 1.1, "finite_sample": "none"}),
        Work(preaveraging.preaveraged_variance, returns, {"finite_sample": "highfrequency"}),
        Work(
            windows.measure_windows,
            returns,
            {"window": 12, "measure": realised_kernel.realised_kernel, "min_periods": 6, "bandwidth": 2},
        ),
        Work(windows.measure_windows, returns, {"window": 9, "measure": noise.noise_measures, "sparse": 3}),
    ]
