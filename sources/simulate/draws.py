"""Random draws that are the same bits on every machine.

Only PCG64's raw words are used (their stream is fixed by the algorithm), turned into numbers by integer operations and
exact divisions. A normal is the sum of twelve uniforms less six (Irwin-Hall), because a logarithm or an exponential may
differ in its last bit between C libraries.

Each purpose, entity and session has a stream of its own, so a draw never depends on what else was drawn.
"""

from enum import IntEnum
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.int64]
Floats = NDArray[np.float64]


class Stream(IntEnum):
    """Purposes of draws; the numbers are part of the stream's key and must not change."""

    REGIME = 1
    MACRO = 2
    CALENDAR = 3
    LOTS = 4
    HEADLINES = 5
    EPISODES = 6
    MARKET = 7
    RETURN = 8
    PRESSURE = 9
    ROUNDING = 10
    BOOK = 11
    DELIVERY = 12
    DIRT = 13
    ORDERS = 14


def key_of(text: str) -> int:
    """A name as part of a stream's key."""
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


def words(seed: int, stream: Stream, *key: int, count: int) -> Words:
    """`count` non-negative random 63-bit integers."""
    generator = np.random.PCG64(np.random.SeedSequence([seed, int(stream), *key]))
    return (generator.random_raw(count) >> np.uint64(1)).astype(np.int64)


def uniform(drawn: Words) -> Floats:
    """Uniform on [0, 1) from words; 53 bits, exact."""
    return np.asarray((drawn >> 10) * 2.0**-53, dtype=np.float64)


def normal(drawn: Words) -> Floats:
    """Approximately standard normal, one for each three words: (3 n,) -> (n,). Bounded by +-6."""
    triples = drawn.reshape(-1, 3)
    total = np.zeros(len(triples), dtype=np.int64)
    for column in range(3):
        for shift in (0, 15, 30, 45):
            total += (triples[:, column] >> shift) & 0x7FFF
    # twelve uniforms on 0..32767, each of mean 16383.5 and variance (2^30 - 1) / 12
    return np.asarray((total - 12 * 16383.5) / 32768.0, dtype=np.float64)
