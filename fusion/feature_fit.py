"""Models inside features: what is fitted, and from which past.

A fit is made at whole multiples of `every` since 1970, from what was known in the `window` before, and serves the
decisions until the next one. So where the data begin or end changes no fit but those whose window lies outside of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from gpu_kernels.durations import DAY
from sources.durations import Duration

Clock = NDArray[np.int64]


class FitConfig(BaseModel):
    """How often the models of features (Hawkes, micro-price, integrated order flow) are fitted, and from how long a
    past; `pin_days` is the number of past sessions that PIN is estimated from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every: Annotated[Duration, Field(gt=0)] = DAY
    window: Annotated[Duration, Field(gt=0)] = 5 * DAY
    pin_days: Annotated[int, Field(ge=5)] = 60


@dataclass(frozen=True)
class Fit:
    """One fit: rows[first:stop] were known in [moment - window, moment) and are what it may learn from; it serves the
    decisions at[begin:end], to which rows[first:last] have been known."""

    moment: int
    first: int
    stop: int
    last: int
    begin: int
    end: int


def fits(time: Clock, at: Clock, every: int, window: int) -> Iterator[Fit]:
    """The fits that the decisions of one entity need, in order. `time` of its rows and `at` never fall."""
    begin = 0
    while begin < len(at):
        moment = int(at[begin]) // every * every
        end = int(np.searchsorted(at, moment + every))
        first, stop = (int(np.searchsorted(time, edge)) for edge in (moment - window, moment))
        last = int(np.searchsorted(time, at[end - 1], side="right"))
        yield Fit(moment, first, stop, last, begin, end)
        begin = end
