"""Alternative data: what is made of stores seen from above, and of their parking lots."""

from collections.abc import Iterator

from benchmarks import lots, sites
from benchmarks.harness import Comparison


def comparisons(quick: bool) -> Iterator[Comparison]:
    yield from sites.comparisons(quick)
    yield from lots.comparisons(quick)
