"""The one module that imports Numba's CUDA target; every kernel takes `cuda` from here.

`numba-cuda` is in maintenance mode and a successor is announced, so a change of target is a change of this file.
Importing it needs no GPU and no toolkit: a kernel is compiled at its first launch.
"""

from numba import config, cuda

# Numba warns about grids of fewer than 128 blocks. A short segment is an ordinary call here, not a mistake.
config.CUDA_LOW_OCCUPANCY_WARNINGS = 0

__all__ = ["cuda"]
