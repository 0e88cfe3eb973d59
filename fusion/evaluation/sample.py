"""The rows of one score and one horizon: their pooled correlation, and intervals by resampling sessions."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from fusion.correlation import Moments, rank_moments, value_moments
from fusion.evaluation.config import EvaluationConfig
from fusion.evaluation.table import session_offsets, values_of
from fusion.horizon import Horizon, Sessions, overlap
from fusion.overlap import resamples, stretched
from fusion.target import return_column

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

# with fewer sessions a resampled interval says more than the data do
MIN_SESSIONS = 5


@dataclass(frozen=True)
class Sample:
    """Score x and return y of every row, sorted by (session, entity, time), and what groups them."""

    rows: pl.DataFrame
    x: Floats
    y: Floats
    offsets: NDArray[np.int64]
    config: EvaluationConfig
    horizon: Horizon
    resamples: Floats = field(repr=False)

    @classmethod
    def of(cls, rows: pl.DataFrame, score: str, horizon: Horizon, config: EvaluationConfig) -> "Sample":
        # whole sessions stay, so that a step in a session remains a step where a score between is missing
        scored = rows.filter(pl.col(score).is_finite().any().over("session"))
        _, offsets = session_offsets(scored)
        generator = np.random.default_rng(config.seed)
        drawn = resamples(len(offsets) - 1, overlap(horizon), config.bootstrap, generator)
        x, y = values_of(scored, score), values_of(scored, return_column(horizon))
        return cls(scored, x, y, offsets, config, horizon, drawn)

    @property
    def segments(self) -> list[str]:
        """Inside which a step leads from one decision of an entity to the next."""
        return ["entity"] if isinstance(self.horizon, Sessions) else ["session", "entity"]

    @property
    def both(self) -> Booleans:
        return np.isfinite(self.x) & np.isfinite(self.y)

    def per_session(self, values: Floats) -> Floats:
        """Sums of the rows' values inside each session."""
        return per_session(values, self.offsets)

    def moments(self, only: Booleans, y: Floats | None = None, *, ranked: bool = True) -> Moments:
        """Of score and return (or of another y) over the rows of `only`, ranked among them."""
        measure = rank_moments if ranked else value_moments
        return measure(np.where(only, self.x, np.nan), self.y if y is None else y, self.offsets)

    def correlation(self, moments: Moments) -> tuple[float, float, float, int]:
        """The pooled correlation, its interval, and the number of sessions that it rests on."""
        value = float(moments.pooled(np.ones(len(moments.rows)), min_rows=self.config.min_rows).ic)
        if not np.isfinite(value):
            return np.nan, np.nan, np.nan, 0
        count = int(np.count_nonzero(moments.rows))
        # ranks stay those of the sample: a resample weighs its sessions anew
        if count < MIN_SESSIONS:
            return value, np.nan, np.nan, count
        low, high = self.interval(value, moments.correlation(self.resamples))
        return value, low, high, count

    def ratio(self, above: Floats, below: Floats) -> tuple[float, float, float]:
        """sum(above) / sum(below) over sessions, with its interval."""
        value = float(divide(above.sum(), below.sum()))
        return (value, *self.interval(value, divide(self.drawn(above), self.drawn(below))))

    def mean(self, values: Floats) -> tuple[float, float, float, int]:
        """Mean of the defined per-session values, its interval, and how many there are."""
        defined = np.isfinite(values)
        value, low, high = self.ratio(np.where(defined, values, 0.0), defined.astype(np.float64))
        count = int(defined.sum())
        return (value, low, high, count) if count >= MIN_SESSIONS else (value, np.nan, np.nan, count)

    def drawn(self, values: Floats) -> Floats:
        """(bootstrap,) sums of per-session values over the resampled sessions, in an order that no BLAS can change."""
        sums: Floats = np.einsum("bs,s->b", self.resamples, values)
        return sums

    def interval(self, value: float, resampled: Floats) -> tuple[float, float]:
        """Percentile interval, of blocks stretched about the value; NaN with too few sessions."""
        sessions, confidence = len(self.offsets) - 1, self.config.confidence
        resampled = resampled[np.isfinite(resampled)]
        if sessions < MIN_SESSIONS or not len(resampled):
            return np.nan, np.nan
        tail = (1 - confidence) / 2
        low, high = (float(end) for end in np.quantile(resampled, [tail, 1 - tail]))
        return stretched(value, low, high, sessions=sessions, overlap=overlap(self.horizon), confidence=confidence)


def shifted(sample: Sample, values: Floats, steps: int) -> Floats:
    """The value `steps` decisions earlier (later if negative) of the same entity and session (of horizons in sessions:
    of the same entity); NaN beyond its ends."""
    frame = sample.rows.select("session", "entity").with_columns(pl.Series("value", values))
    return frame.select(pl.col("value").shift(steps).over(sample.segments))["value"].cast(pl.Float64).to_numpy()


def per_session(values: Floats, offsets: NDArray[np.int64]) -> Floats:
    """Sums of the rows' values inside each session."""
    return np.array([values[a:b].sum() for a, b in pairwise(offsets)], dtype=np.float64)


def divide(above: ArrayLike, below: ArrayLike) -> Floats:
    """above / below; NaN where below is not positive."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.asarray(below) > 0, np.divide(above, below), np.nan)


def ratio_of_moments(total: Floats, squares: Floats, count: Floats) -> Floats:
    """Mean over deviation (n - 1) of what has these sums, sums of squares and numbers; NaN where nothing varies."""
    mean = divide(total, count)
    variance = divide(squares - count * mean * mean, count - 1)
    return divide(mean, np.sqrt(np.where(variance > 1e-18, variance, np.nan)))


def contributions(moments: Moments, min_rows: int) -> Floats:
    return moments.contributions() if moments.rows.sum() >= min_rows else np.full(len(moments.rows), np.nan)
