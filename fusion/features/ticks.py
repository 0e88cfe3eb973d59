"""What the features of quotes, trades and books share: rows of irregular times looked at from decisions.

A window is a half-life: a value of that age counts half. The sum at a decision decays to the decision itself, so that a
feature fades when nothing happens, and it is the recursion that a live system would keep, event by event. Its clock is
known_time.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.asof import AsOf, as_of, nanoseconds, segment_offsets
from gpu_kernels import align, decay
from gpu_kernels.durations import format_duration, parse_duration
from gpu_kernels.errors import DataError
from gpu_kernels.spec import FeatureSpec

Array = NDArray[np.float64]
BPS = 1e4
SECOND = 10**9
HALF_LIVES = (SECOND, 10 * SECOND, 60 * SECOND)
"""Of the windowed features that `all` stands for; a config may name others, e.g. trade_imbalance_30s."""

MOST_STEPS = 2.0**53
"""Of a price in ticks and a size in lots: beyond, floats leave out whole numbers."""

_PLACE = re.compile(r"<([a-z]+)>")
# parameters that are words; others are numbers, of which a time has a unit
_VALUES = dict.fromkeys(("kind", "metric", "feature", "family"), r"\w+")
_WINDOWED = re.compile(r"(.+)_(\d+(?:ms|s|min|h))")


def windowed(stem: str, half_lives: Iterable[int] = HALF_LIVES) -> list[str]:
    """Names of a windowed feature, e.g. trade_imbalance_10s."""
    return [f"{stem}_{format_duration(half_life)}" for half_life in half_lives]


def half_life_of(name: str, stems: Sequence[str]) -> tuple[str, int] | None:
    """(stem, half-life in ns) of a windowed feature's name, or None where it is none of the stems'."""
    found = _WINDOWED.fullmatch(name)
    if found is None or found[1] not in stems:
        return None
    try:
        half_life = parse_duration(found[2])
    except ValueError:
        return None  # longer than any
    return (found[1], half_life) if half_life > 0 else None


def allowed(specs: Sequence[FeatureSpec], name: str) -> bool:
    """Whether a family's specs hold a feature; `<time>` in a spec's name stands for any half-life or look-back."""
    stems = [spec.name.removesuffix("_<time>") for spec in specs if spec.name.endswith("_<time>")]
    return any(spec.name == name for spec in specs) or half_life_of(name, stems) is not None


def is_meant(spec: FeatureSpec, name: str) -> bool:
    """Whether a name is the spec's, its parameters told or left out, or the first words of it."""
    parts = _PLACE.split(spec.name)
    told = "".join(
        _VALUES.get(part, r"\d+[a-z]*") if place % 2 else re.escape(part) for place, part in enumerate(parts)
    )
    return allowed([spec], name) or re.fullmatch(told, name) is not None or spec.name.startswith(f"{name}_")


def defaults(specs: Sequence[FeatureSpec]) -> list[str]:
    """The names that `all` stands for: windowed features with each of HALF_LIVES."""
    names: list[str] = []
    for spec in specs:
        stem = spec.name.removesuffix("_<time>")
        names += [spec.name] if stem == spec.name else windowed(stem)
    return names


def ratio(numerator: Array, denominator: Array) -> Array:
    """Quotient, missing where the denominator is not positive."""
    quotient: Array = np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)
    return quotient


def counted(values: Array, step: float, name: str, option: str) -> NDArray[np.int64]:
    """The nearest whole numbers of an option's steps; 0 where a value is missing. Raises DataError where one is too
    high to be exact as a float."""
    with np.errstate(over="ignore"):
        counts = np.round(values / step)
    if (counts > MOST_STEPS).any():
        raise DataError(
            f"a {name} of {np.nanmax(values):.10g} is {np.nanmax(counts):.3g} steps of {option} {step:g}",
            allowed=f"up to {MOST_STEPS:.3g}",
            hint=f"write the feed's step as the source's {option}, or leave out what is no {name}",
        )
    return np.nan_to_num(counts).astype(np.int64)


def in_segments(stream: pl.DataFrame, grid: pl.DataFrame, keys: list[str]) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """The rows of a stream that lie in a grid's segments, in their order, and the offsets."""
    segments = grid.select(keys).unique(maintain_order=True).with_row_index("_segment")
    rows = stream.join(segments, on=keys, how="inner", maintain_order="left")
    rows = rows.sort("_segment", maintain_order=True)
    counts = np.bincount(rows["_segment"].to_numpy(), minlength=segments.height)
    return rows.drop("_segment"), np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


@dataclass(frozen=True)
class Ticks:
    """A stream and a grid in common segments.

    keys      entity and session; entity alone where the market goes on from session to session
    aligned   the row that each decision sees
    """

    keys: list[str]
    grid: pl.DataFrame
    aligned: AsOf

    @classmethod
    def of(cls, stream: pl.DataFrame, grid: pl.DataFrame, max_age_ns: int, *, continuous: bool) -> "Ticks":
        """`stream` as `sources.stream.in_order` gives it; `grid` sorted by (entity, decision_time)."""
        keys = ["entity"] if continuous else ["entity", "session"]
        return cls(keys, grid, as_of(stream, grid, keys, max_age_ns))

    @property
    def rows(self) -> pl.DataFrame:
        return self.aligned.rows

    @cached_property
    def time(self) -> NDArray[np.int64]:
        return nanoseconds(self.rows["known_time"])

    @cached_property
    def at(self) -> NDArray[np.int64]:
        return nanoseconds(self.grid["decision_time"])

    @cached_property
    def at_offsets(self) -> NDArray[np.int64]:
        return segment_offsets(self.grid.select(self.keys))

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Of the rows, one segment for each of the grid's; a segment of the grid may have no row."""
        return self.in_segments(self.rows)[1]

    def in_segments(self, stream: pl.DataFrame) -> tuple[pl.DataFrame, NDArray[np.int64]]:
        """The rows of a stream that lie in the grid's segments, in their order, and the offsets."""
        return in_segments(stream, self.grid, self.keys)

    def column(self, name: str) -> Array:
        return self.rows[name].cast(pl.Float64).to_numpy()

    def take(self, values: Array) -> Array:
        """The values of the rows that the decisions see; NaN where none may be used."""
        return self.aligned.take(values)

    def decayed(self, values: Array, half_life: int, delay: int = 0) -> Array:
        """At each decision, the sum of all values known by then, each halved per half-life of its age; missing where no
        row within max_age was known. A value is known `delay` ns after its row."""
        sums = decay.decayed_sum(self.time + delay, values, self.offsets, self.at, self.at_offsets, half_life)
        return np.where(self.aligned.index >= 0, sums, np.nan)

    def before(self, values: Array, back: int) -> Array:
        """The value of the last row known `back` nanoseconds before each decision; NaN where there was none yet."""
        index = decay.last_index(self.time, self.offsets, self.at - back, self.at_offsets)
        return align.take(values, index)


def built(
    wanted: Sequence[str], plain: dict[str, Callable[[], Array]], by_half_life: dict[str, Callable[[int], Array]]
) -> dict[str, Array]:
    """The wanted columns: `plain` by their names, `by_half_life` by stem and half-life."""
    columns = {}
    for name in wanted:
        if name in plain:
            columns[name] = plain[name]()
            continue
        found = half_life_of(name, list(by_half_life))
        assert found is not None  # names were checked against the specs
        columns[name] = by_half_life[found[0]](found[1])
    return columns
