"""The schedule of a walk-forward fit: when coefficients are refitted, and on which rows."""

from collections.abc import Iterator
from dataclasses import dataclass

from gpu_kernels.dispatch import positive


@dataclass(frozen=True)
class Schedule:
    """First fit after `first` sessions, then every `refit`; `window` sessions are fitted on, or all before with None.

    The schedule is anchored at the first session, so that where the data end moves no fit. Raises: ArgumentError.
    """

    first: int
    refit: int = 1
    window: int | None = None

    def __post_init__(self) -> None:
        positive("first", self.first)
        positive("refit", self.refit)
        if self.window is not None:
            positive("window", self.window)

    def fits(self, sessions: int) -> Iterator[tuple[int, int, int]]:
        """(begin, at, until): fit on sessions begin to at - 1, to forecast in sessions at to until - 1."""
        for at in range(self.first, sessions, self.refit):
            begin = 0 if self.window is None else max(0, at - self.window)
            yield begin, at, min(at + self.refit, sessions)
