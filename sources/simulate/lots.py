"""Weekly parking-lot counts of the retailers, as a satellite vendor delivers them: late, cloudy and revised."""

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gpu_kernels.durations import DAY
from sources.schema import TIME
from sources.simulate.config import SimulationConfig
from sources.simulate.draws import Stream, key_of, normal, words
from sources.simulate.effects import SURPRISE_DAYS

_WEEKS_BEFORE = 64
_YEAR = 52
_MINUTE = 60 * 10**9
# deviation of a week's fill, in units of 1/10,000 of the lot, and the noise of its measurement
_DEVIATION, _CLEAR, _HAZE = 300.0, 60.0, 300.0
_SEASON = (-400, -300, -100, 0, 100, 100, 0, 100, 0, 100, 400, 600)
_SCHEMA = {"ticker": pl.String(), "metric": pl.String(), "captured": TIME, "delivered": TIME, "value": pl.Float64()}
_TRUTH = {
    "ticker": pl.String(),
    "captured": TIME,
    "delivered": TIME,
    "fill": pl.Float64(),
    "surprise": pl.Float64(),
    "sky": pl.String(),
}


def lot_tables(config: SimulationConfig) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(what the vendor delivers, the truth).

    Delivered: ticker, metric, captured, delivered, value; metrics `lot_fill` (share of places taken) and, from the
    second year of the archive on, `lot_fill_yoy` (less the archive's fill of 52 weeks before). Cloudy weeks are
    missing; hazy ones are noisy and delivered again, better, 7 to 12 days later.
    Truth: one row a retailer and week with the true fill, its surprise (year-over-year deviation over its standard
    deviation) and sky (clear, haze, cloud); delivered is null under clouds.
    """
    rows: list[tuple[str, str, int, int, float]] = []
    truth: list[tuple[str, int, int | None, float, float | None, str]] = []
    saturdays = _saturdays(config)
    for entity in config.entities:
        if entity.kind != "retailer":
            continue
        count = len(saturdays)
        drawn = words(config.seed, Stream.LOTS, key_of(entity.ticker), count=13 * count).reshape(13, count)
        level = 5200 + int(drawn[12, 0] % 1200)
        deviation, noise, second = (normal(drawn[3 * part : 3 * part + 3].ravel()) for part in range(3))
        season = np.array([_SEASON[day.month - 1] for day in saturdays])
        fill = np.rint(level + season + _DEVIATION * deviation).astype(np.int64)
        for week, day in enumerate(saturdays):
            captured = _nanoseconds(day) + (900 + int(drawn[9, week] % 240)) * _MINUTE
            delivered = captured + 2 * DAY + int(drawn[10, week] % (3 * 1440)) * _MINUTE
            chance = int(drawn[11, week] % 100)
            sky = "cloud" if chance < 12 else "haze" if chance < 27 else "clear"
            year_ago = int(fill[week - _YEAR]) if week >= _YEAR else None
            surprise = None if year_ago is None else float((int(fill[week]) - year_ago) / (_DEVIATION * np.sqrt(2.0)))
            truth.append(
                (entity.ticker, captured, None if sky == "cloud" else delivered, int(fill[week]) / 1e4, surprise, sky)
            )
            if sky == "cloud":
                continue
            error = _HAZE if sky == "haze" else _CLEAR
            vintages = [(delivered, noise[week] * error)]
            if sky == "haze":
                vintages.append((delivered + (7 + int(drawn[12, week] % 6)) * DAY, second[week] * _CLEAR))
            for known, error_made in vintages:
                value = int(np.rint(int(fill[week]) + error_made))
                rows.append((entity.ticker, "lot_fill", captured, known, value / 1e4))
                if year_ago is not None:
                    rows.append((entity.ticker, "lot_fill_yoy", captured, known, (value - year_ago) / 1e4))
    last = config.schedule()["close"].to_physical()[-1]
    delivered_table = pl.DataFrame(rows, schema=_SCHEMA, orient="row").filter(pl.col("delivered").to_physical() <= last)
    return delivered_table.sort("delivered", "ticker", "metric"), pl.DataFrame(truth, schema=_TRUTH, orient="row")


def surprise_path(truth: pl.DataFrame, ticker: str, times: NDArray[np.int64]) -> NDArray[np.float64]:
    """The surprise that drives `ticker` at each time: of the week last delivered, 0 where that is too long ago."""
    known = truth.filter(
        (pl.col("ticker") == ticker) & pl.col("delivered").is_not_null() & pl.col("surprise").is_not_null()
    )
    known = known.sort("delivered")
    if known.is_empty():
        return np.zeros(len(times))
    delivered = known["delivered"].to_physical().to_numpy()
    found = np.searchsorted(delivered, times, side="right") - 1
    fresh = (found >= 0) & (times - delivered[np.maximum(found, 0)] <= SURPRISE_DAYS * DAY)
    return np.where(fresh, known["surprise"].to_numpy()[np.maximum(found, 0)], 0.0)


def _saturdays(config: SimulationConfig) -> list[date]:
    last = config.days()[-1]
    first = config.start - timedelta(weeks=_WEEKS_BEFORE)
    first += timedelta(days=(5 - first.weekday()) % 7)
    return [first + timedelta(weeks=week) for week in range((last - first).days // 7 + 1)]


def _nanoseconds(day: date) -> int:
    return (datetime(day.year, day.month, day.day) - datetime(1970, 1, 1)).days * DAY
