"""A small market of daily bars whose truth is known: Yahoo-style files, a source that forecasts, one that does not."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from fusion.config import RunConfig, parse
from sources.sessions import sessions

START, END = date(2018, 1, 2), date(2019, 6, 28)
HORIZON = 5


def entities(count: int) -> list[str]:
    return [f"E{number}" for number in range(count)]


def write_market(
    folder: Path, seed: int, *, count: int = 5, effect: float = 0.0, start: date = START, end: date = END
) -> Path:
    """`<entity>.csv` for each entity, `news.csv` of a series that forecasts the next sessions' returns by `effect`, and
    `noise.csv` of one that forecasts nothing; both are known an hour after the close."""
    draw = np.random.default_rng(seed)
    trading = sessions("XNYS", start, end)
    n, names = trading.height, entities(count)
    series = {name: _persistent(draw, n, count) for name in ("news", "noise")}
    returns = 0.01 * draw.standard_normal((n, count)) + 0.005 * draw.standard_normal((n, 1))
    returns[1:] += 0.01 * effect * series["news"][:-1]
    overnight = 0.3 * returns + 0.003 * draw.standard_normal((n, count))
    total = 50 * np.exp(np.cumsum(returns, axis=0))
    for place, name in enumerate(names):
        yahoo(trading["session"], total[:, place], overnight[:, place], draw, pays=place % 2 == 0).write_csv(
            folder / f"{name}.csv"
        )
    known = trading.select(pl.col("close") + pl.duration(hours=1))
    for metric, values in series.items():
        rows = [
            pl.DataFrame({"event_time": trading["close"], "known_time": known.to_series()}).with_columns(
                pl.lit(name).alias("entity"), pl.lit(metric).alias("metric"), pl.Series("value", values[:, place])
            )
            for place, name in enumerate(names)
        ]
        pl.concat(rows).write_parquet(folder / f"{metric}.parquet")
    return folder


def yahoo(
    days: pl.Series, total: np.ndarray, overnight: np.ndarray, draw: np.random.Generator, *, pays: bool
) -> pl.DataFrame:
    """A download: prices quoted so that the total return is told, with a dividend of 1 % every 63 sessions."""
    n = len(days)
    paid = np.where(pays & (np.arange(n) % 63 == 62), 0.01, 0.0)
    # a day's factor is the product over later ex-dividend days, as the vendor works backwards
    factor = np.concatenate([np.cumprod((1 - paid)[::-1])[::-1][1:], [1.0]])
    close = total / factor * factor[-1]
    opening = np.concatenate([[total[0]], total[:-1] * np.exp(overnight[1:])]) / factor
    high = np.maximum(opening, close) * (1 + 0.002 * draw.random(n))
    low = np.minimum(opening, close) * (1 - 0.002 * draw.random(n))
    volume = np.round(1e6 * np.exp(0.3 * draw.standard_normal(n)))
    columns = {"Open": opening, "High": high, "Low": low, "Close": close, "Adj Close": total, "Volume": volume}
    return pl.DataFrame({"Date": days, **columns})


def _persistent(draw: np.random.Generator, n: int, count: int) -> np.ndarray:
    """AR(1) of coefficient 0.8 and variance 1, each entity its own."""
    values = draw.standard_normal((n, count))
    for t in range(1, n):
        values[t] = 0.8 * values[t - 1] + 0.6 * values[t]
    return values


def settings(folder: Path, *, count: int = 5, **more: Any) -> dict[str, Any]:
    """The config of a daily run on `write_market`."""
    metric = {"kind": "table_file", "table": "metric", "timezone": "UTC", "max_age": "5d"}
    found: dict[str, Any] = {
        "name": "daily",
        "calendar": "XNYS",
        "entities": entities(count),
        "start": "2018-01-02",
        "end": "2019-06-28",
        "sources": {
            "bars": {
                "kind": "daily_file",
                "files": str(folder / "{entity}.csv"),
                "adjusted": "Adj Close",
                "timezone": "America/New_York",
                "delay": "15min",
                "max_age": "1d",
            },
            "news": metric | {"files": str(folder / "news.parquet")},
            "noise": metric | {"files": str(folder / "noise.parquet")},
        },
        "decisions": {"daily": "open - 15min"},
        "targets": {"horizons": ["1 session", "5 sessions"], "primary": "5 sessions", "relative": True},
        "features": {
            "bars": ["bar_reversal_5", "bar_volatility_21", "bar_beta_21"],
            "news": ["news"],
            "noise": ["noise"],
        },
        "regime": {"inputs": [], "states": 1},
        "walk_forward": {"train_sessions": 120, "refit_sessions": 60, "embargo_sessions": 1},
        "selection": {"min_features": 1, "min_sessions": 20},
        "model": {"trees": 20, "min_rows_leaf": 40},
        "evaluation": {"bootstrap": 200},
    }
    return found | more


def config(folder: Path, **more: Any) -> RunConfig:
    return parse(settings(folder, **more))
