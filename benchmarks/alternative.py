"""Alternative data: what is made of stores seen from above."""

from collections.abc import Iterator

from benchmarks import sites
from benchmarks.harness import Comparison


def comparisons(quick: bool) -> Iterator[Comparison]:
    yield from sites.comparisons(quick)
