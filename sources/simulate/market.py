"""The embedded market: everything that vendors deliver, and the truth behind it."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sources.schema import TIME
from sources.simulate import effects
from sources.simulate.bars import bar_rows, bar_tables
from sources.simulate.book import LOT, SPOOF_FAR, SPOOF_LOTS, SPOOF_NEAR, BookRunner
from sources.simulate.config import SimulationConfig
from sources.simulate.effects import REGIMES, STEP_NS, STEPS_PER_MINUTE
from sources.simulate.headlines import headline_tables
from sources.simulate.lots import lot_tables
from sources.simulate.macro import HISTORY, POLICY_NAME, calendar_table, macro_table, regimes
from sources.simulate.measure import rank_ics
from sources.simulate.paths import TICKS_PER_DOLLAR, Path, paths

_MILLISECOND = 10**6
_FEED_DELAY = 2 * _MILLISECOND
_MINUTE = 60 * 10**9


@dataclass(frozen=True)
class SimulatedMarket:
    """What was delivered, table by table with the vendor's column names, all good rows: late and revised ones among
    them, unreadable ones not (`write` adds those). Times are timestamp[ns, UTC].

    sessions      session, open, close
    bars          ticker, start_time, end_time, received_time, open, high, low, close (of the mid), volume; by receipt
    book_updates  the canonical table without its session: entity, event_time, known_time, sequence, side, price, size
    trades        ticker, time, received, price, size, aggressor (+1 buyer, -1 seller)
    headlines     id, tickers (list), headline, published, received; by receipt
    lots          ticker, metric, captured, delivered, value; by delivery
    macro         entity, metric, reference_date, released, value; by release
    calendar      scheduled, name, announced
    truth         effects, measured, regimes, drivers, headlines, lots, policy, spoofing, droughts, deliveries:
                  docs/simulated_market.md describes their columns
    """

    config: SimulationConfig
    sessions: pl.DataFrame
    bars: pl.DataFrame
    book_updates: pl.DataFrame
    trades: pl.DataFrame
    headlines: pl.DataFrame
    lots: pl.DataFrame
    macro: pl.DataFrame
    calendar: pl.DataFrame
    truth: dict[str, pl.DataFrame]

    @property
    def tables(self) -> dict[str, pl.DataFrame]:
        """The delivered tables by name."""
        names = ("sessions", "bars", "book_updates", "trades", "headlines", "lots", "macro", "calendar")
        return {name: getattr(self, name) for name in names}


def simulate(config: SimulationConfig) -> SimulatedMarket:
    """Generate a market: the same bits for the same config on every machine.

    Raises ConfigError where the exchange calendar does not reach.
    """
    sessions = config.schedule()
    whole_path = regimes(config)
    path_of_regimes = whole_path[HISTORY:]
    headlines = headline_tables(config, sessions)
    lots, lots_truth = lot_tables(config)
    calendar = calendar_table(config)
    inside = pl.col("scheduled").is_between(sessions["open"][0], sessions["close"][-1]) & (
        pl.col("name") == POLICY_NAME
    )
    policy = calendar.filter(inside)["scheduled"]
    walked = paths(config, sessions, path_of_regimes, headlines, lots_truth, policy.to_physical().to_numpy())

    runner = BookRunner(config, max(len(path.ticks) for path in walked))
    ran = [runner.run(path) for path in walked]
    bars, deliveries = bar_tables(
        config, walked, [bar_rows(config, path, trades) for path, (_, trades, _) in zip(walked, ran, strict=True)]
    )
    drivers = _drivers(walked)
    truth = {
        "effects": effects.table(config.effects),
        "measured": rank_ics(walked, sessions),
        "regimes": sessions.select("session").with_columns(
            regime=pl.Series([REGIMES[state] for state in path_of_regimes], dtype=pl.String)
        ),
        "drivers": drivers,
        "headlines": headlines[1],
        "lots": lots_truth,
        "policy": pl.DataFrame({"time": policy}),
        "spoofing": _spoofing(walked, [attempts for _, _, attempts in ran]),
        "droughts": _droughts(walked),
        "deliveries": deliveries,
    }
    return SimulatedMarket(
        config=config,
        sessions=sessions,
        bars=bars,
        book_updates=_book_updates(walked, [updates for updates, _, _ in ran]),
        trades=_trades(walked, [trades for _, trades, _ in ran]),
        headlines=headlines[0],
        lots=lots,
        macro=macro_table(config, whole_path),
        calendar=calendar,
        truth=truth,
    )


def _times(walked: list[Path], parts: list[NDArray[np.int64]], column: int) -> NDArray[np.int64]:
    """Nanoseconds UTC of a column of milliseconds after the session's open."""
    return np.concatenate(
        [path.opened + part[:, column] * _MILLISECOND for path, part in zip(walked, parts, strict=True)]
    )


def _tickers(walked: list[Path], counts: list[int]) -> pl.Series:
    names = pl.Series([path.entity.ticker for path in walked], dtype=pl.String)
    return names.gather(np.repeat(np.arange(len(walked)), counts))


def _book_updates(walked: list[Path], parts: list[NDArray[np.int64]]) -> pl.DataFrame:
    times, rows = _times(walked, parts, 0), np.concatenate(parts)
    return pl.DataFrame(
        {
            "entity": _tickers(walked, [len(part) for part in parts]),
            "event_time": pl.Series(times).cast(TIME),
            "known_time": pl.Series(times + _FEED_DELAY).cast(TIME),
            "sequence": np.concatenate([np.arange(1, len(part) + 1) for part in parts]),
            "side": rows[:, 1].astype(np.int8),
            "price": rows[:, 2] / float(TICKS_PER_DOLLAR),
            "size": (rows[:, 3] * LOT).astype(np.float64),
        }
    )


def _trades(walked: list[Path], parts: list[NDArray[np.int64]]) -> pl.DataFrame:
    times, rows = _times(walked, parts, 0), np.concatenate(parts)
    return pl.DataFrame(
        {
            "ticker": _tickers(walked, [len(part) for part in parts]),
            "time": pl.Series(times).cast(TIME),
            "received": pl.Series(times + _FEED_DELAY).cast(TIME),
            "price": rows[:, 1] / float(TICKS_PER_DOLLAR),
            "size": rows[:, 2] * LOT,
            "aggressor": rows[:, 3].astype(np.int8),
        }
    )


def _drivers(walked: list[Path]) -> pl.DataFrame:
    """Drivers at the end of each minute; volatility and drift (per minute) in bps of the session's opening price."""
    last = slice(STEPS_PER_MINUTE - 1, None, STEPS_PER_MINUTE)
    ends = [path.opened + _MINUTE * np.arange(1, len(path.ticks) // STEPS_PER_MINUTE + 1) for path in walked]

    def column(name: str, bps: bool = False) -> NDArray[np.float64]:
        return np.concatenate(
            [getattr(path, name)[last] * (1e4 / float(path.ticks[0]) if bps else 1.0) for path in walked]
        )

    return pl.DataFrame(
        {
            "ticker": _tickers(walked, [len(part) for part in ends]),
            "end_time": pl.Series(np.concatenate(ends)).cast(TIME),
            "pressure": column("pressure"),
            "tone": column("tone"),
            "surprise": column("surprise"),
            "volatility_bps": column("volatility", bps=True),
            "drift_bps": column("drift", bps=True),
        }
    )


def _spoofing(walked: list[Path], parts: list[NDArray[np.int64]]) -> pl.DataFrame:
    rows, counts = np.concatenate(parts), [len(part) for part in parts]
    near = rows[:, 3]
    return pl.DataFrame(
        {
            "ticker": _tickers(walked, counts),
            "placed": pl.Series(_times(walked, parts, 0)).cast(TIME),
            "cancelled": pl.Series(_times(walked, parts, 1)).cast(TIME),
            "side": rows[:, 2].astype(np.int8),
            "nearest_price": near / float(TICKS_PER_DOLLAR),
            "levels": np.full(len(rows), SPOOF_FAR - SPOOF_NEAR + 1),
            "size_per_level": np.full(len(rows), SPOOF_LOTS * LOT),
        }
    )


def _droughts(walked: list[Path]) -> pl.DataFrame:
    rows = [
        (path.entity.ticker, path.opened + episode.first * STEP_NS, path.opened + episode.last * STEP_NS)
        for path in walked
        for episode in path.episodes
        if episode.kind == "drought"
    ]
    schema = {"ticker": pl.String(), "start": pl.Int64(), "end": pl.Int64()}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("start", "end").cast(TIME))
