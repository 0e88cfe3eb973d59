"""A table of open addresses over int64 keys, which a thread holds for its segment."""

import numpy as np
import numpy.typing as npt

from gpu_kernels._jit import step_body
from gpu_kernels.dispatch import Array

EMPTY = np.int64(-(2**63))
"""What a free place holds; never a key."""


@step_body
def slot(keys, key):
    """Where the key lies in the table, or the free place for it; the table's size is a power of two, and it must never
    be full."""
    mask = keys.shape[0] - 1
    # the high bits are folded in, as identifiers may hold a date there; then Knuth's multiplier over 31 bits, so that
    # neighbours spread over the table, and the product fits in 63
    place = ((((key ^ (key >> 29)) & 0x7FFFFFFF) * 2654435761) >> 12) & mask
    while True:
        found = keys[place]
        if found in (key, EMPTY):
            return place
        place = (place + 1) & mask


def places_for(counts: npt.ArrayLike) -> Array:
    """Sizes of tables that hold so many keys at a load of at most a half, with room for one more key."""
    sizes: Array = (2 ** np.ceil(np.log2(2.0 * (np.asarray(counts) + 1)))).astype(np.int64)
    return sizes
