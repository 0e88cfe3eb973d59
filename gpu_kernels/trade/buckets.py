"""How much volume a bucket or a bar should hold: from the days before, never from the day itself."""

import numpy as np

from gpu_kernels.dispatch import Array, column, positive
from gpu_kernels.errors import ArgumentError


def bucket_size(past_daily_lots: Array, buckets_per_day: int = 50) -> int:
    """Lots of one bucket: the mean volume of the past days / buckets_per_day, rounded down, at least 1.

    past_daily_lots   (d,) int64 or floats, the volume of days that are over; at least one of them above 0
    buckets_per_day   at least 1; 50 is the authors' choice

    Missing values: NaN days, and days without volume, are left out.
    Raises: ArgumentError.
    Source: Easley, López de Prado and O'Hara (2012), "Flow toxicity and liquidity in a high-frequency world".
    """
    past = column("past_daily_lots", past_daily_lots)
    size = int(bucket_sizes(np.append(past, 0), buckets_per_day, len(past) + 1)[-1])
    if size == 0:
        raise ArgumentError(
            f"past_daily_lots holds no day with volume among {len(past_daily_lots)}",
            allowed="at least one past day",
            hint="start the buckets a day later, or give a size",
        )
    return size


def bucket_sizes(daily_lots: Array, buckets_per_day: int = 50, days: int = 20) -> Array:
    """`bucket_size` of each day of a series, from the `days` days before it alone: the sizes that `vpin` and
    `volume_ends` take for sessions that follow each other.

    daily_lots   (S,) int64 or floats, each session's whole volume, in order of time
    days         how many of the sessions before count, at least 1
    returns      (S,) int64; 0 where no session before it had volume, which `vpin` takes as "not known yet"

    Missing values: NaN days, and days without volume, are left out.
    Raises: ArgumentError.
    Source: as `bucket_size`.
    """
    daily = column("daily_lots", daily_lots).astype(np.float64)
    buckets_per_day, days = positive("buckets_per_day", buckets_per_day), positive("days", days)
    if (daily > 2.0**62).any() or (daily < 0).any():
        raise ArgumentError(
            "daily_lots holds negative or infinite volumes, or such that have no whole number",
            allowed="numbers from 0 to 2**62",
        )
    sizes = np.zeros(len(daily), np.int64)
    for day in range(1, len(daily)):
        past = daily[max(0, day - days) : day]
        past = past[past > 0]
        if len(past):
            sizes[day] = max(1, int(past.mean() / buckets_per_day))
    return sizes
