"""A run folder made up for the tests of the report: every table, seeded, with or without a relation to returns."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

ENTITIES = ("ACME", "BOLT")
FEATURES = (
    *(f"bar_return_{k}" for k in (1, 5, 15, 30)),
    "bar_rsi_14",
    "book_imbalance_5",
    "book_ofi_1min",
    "news_tone_sum_1h",
    "news_market_tone_sum_1d",
    "metric_lot_fill_change",
)
HORIZONS = ("5min", "15min")


def sessions(count: int) -> list[date]:
    days = (date(2024, 1, 2) + timedelta(days=k) for k in range(count * 2))
    return [day for day in days if day.weekday() < 5][:count]


def write_run(folder: Path, *, effect: float = 0.0, count: int = 60, seed: int = 3) -> Path:
    """Write all files of a run; `effect` shifts the rank IC."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    days = sessions(count)
    grid = _grid(days)
    features = _features(grid, draw)
    features.write_parquet(folder / "features.parquet")
    ic = _session_ic(days[20:], effect, draw)
    ic.write_parquet(folder / "session_ic.parquet")
    _evaluation(ic, effect, draw).write_parquet(folder / "evaluation.parquet")
    _regime(days, draw).write_parquet(folder / "regime.parquet")
    _ledger(days, effect, draw).write_parquet(folder / "selection.parquet")
    _signals(grid, days, draw).write_parquet(folder / "signals.parquet")
    _quarantine().write_parquet(folder / "quarantine.parquet")
    (folder / "regime_states.json").write_text(json.dumps(_states(days)))
    (folder / "manifest.json").write_text(json.dumps(_manifest(days)))
    return folder


def _grid(days: list[date]) -> pl.DataFrame:
    times = [
        datetime(day.year, day.month, day.day, 14, 45, 5, tzinfo=UTC) + timedelta(minutes=15 * k)
        for day in days
        for k in range(20)
    ]
    one = pl.DataFrame({"session": [time.date() for time in times], "decision_time": times})
    return pl.concat([one.select(pl.lit(entity).alias("entity"), pl.all()) for entity in ENTITIES]).with_columns(
        pl.col("decision_time").cast(pl.Datetime("ns", "UTC"))
    )


def _features(grid: pl.DataFrame, draw: np.random.Generator) -> pl.DataFrame:
    columns = {name: draw.normal(size=grid.height) for name in FEATURES}
    columns["news_tone_sum_1h"][draw.random(grid.height) < 0.4] = np.nan
    columns["metric_lot_fill_change"][: grid.height // 3] = np.nan
    ages = {"bars_age": draw.exponential(1.0, grid.height), "lots_age": draw.exponential(4000.0, grid.height)}
    ages["lots_age"][:50] = np.nan
    return grid.with_columns([pl.Series(name, values) for name, values in (columns | ages).items()])


def _session_ic(days: list[date], effect: float, draw: np.random.Generator) -> pl.DataFrame:
    rows = [
        {"session": day, "horizon": horizon, "score": score, "rank_ic": draw.normal(effect * share, 0.08), "rows": 40}
        for horizon in HORIZONS
        for score, share in (("score", 1.0), ("score_ridge", 0.7))
        for day in days
    ]
    rows[3]["rank_ic"] = None
    return pl.DataFrame(rows)


def _evaluation(ic: pl.DataFrame, effect: float, draw: np.random.Generator) -> pl.DataFrame:
    rows = []

    def add(metric: str, score: str, horizon: str, kind: str, group: str, value: float, half: float, n: int) -> None:
        low, high = (None, None) if np.isnan(half) else (value - half, value + half)
        rows.append((metric, score, horizon, kind, group, value, low, high, n))

    for (horizon, score), part in ic.group_by(["horizon", "score"], maintain_order=True):
        mean, spread = part["rank_ic"].mean(), part["rank_ic"].std()
        half = 1.96 * spread / np.sqrt(part.height)
        add("rank_ic", score, horizon, "all", "all", mean, half, part.height)
        add("ic", score, horizon, "all", "all", mean * 0.9, half, part.height)
        add("icir", score, horizon, "all", "all", mean / spread, 0.2, part.height)
        add("t_stat", score, horizon, "all", "all", mean / spread * np.sqrt(part.height), np.nan, part.height)
        add("hit_rate", score, horizon, "all", "all", 0.5 + effect / 3, 0.01, 1600)
        groups = {
            "regime": "01",
            "entity": ENTITIES,
            "hour": ("10", "11", "12", "13", "14", "15"),
            "volatility": ("low", "high"),
        }
        for kind, names in groups.items():
            for name in names:
                add("rank_ic", score, horizon, kind, name, mean + draw.normal(0, 0.01), half * 1.6, part.height)
        for lag in range(6):
            add("rank_ic", score, horizon, "lag", str(lag), mean * 0.7**lag, half, part.height)
        for quantile in range(1, 6):
            value = effect * (quantile - 3) * 10 + draw.normal(0, 0.2)
            add("quantile_return", score, horizon, "quantile", str(quantile), value, 0.8, 320)
        add("top_minus_bottom", score, horizon, "all", "all", 40 * effect, 1.0, 80)
        add("turnover", score, horizon, "all", "all", 0.31, 0.02, 1500)
        add("autocorrelation", score, horizon, "all", "all", 0.62, 0.03, 1500)
    names = ["metric", "score", "horizon", "group_kind", "group", "value", "low", "high", "count"]
    return pl.DataFrame(rows, schema=names, orient="row")


def _regime(days: list[date], draw: np.random.Generator) -> pl.DataFrame:
    high = np.clip(0.5 + 0.45 * np.sin(np.arange(len(days)) / 9) + draw.normal(0, 0.05, len(days)), 0, 1)
    high[:20] = np.nan
    return pl.DataFrame(
        {
            "session": days,
            "time": [datetime(day.year, day.month, day.day, 14, 30, tzinfo=UTC) for day in days],
            "stress": 0.2 + 0.1 * np.sin(np.arange(len(days)) / 9),
            "probability_0": 1 - high,
            "probability_1": high,
            "regime": [None if np.isnan(p) else int(p > 0.5) for p in high],
        }
    )


def _ledger(days: list[date], effect: float, draw: np.random.Generator) -> pl.DataFrame:
    rows = []
    for refit in days[20::10]:
        for regime in (0, 1):
            for index, name in enumerate(FEATURES):
                planted = effect if index in (5, 7) else 0.0
                ic = planted + draw.normal(0, 0.02)
                significant = bool(planted and abs(ic) > 0.03)
                redundant = significant and regime == 1 and index == 7
                kept = (significant and not redundant) or index < 2
                rows.append(
                    {
                        "refit_session": refit,
                        "regime": regime,
                        "feature": name,
                        "ic": None if index == 9 else ic,
                        "t_stat": None if index == 9 else ic / 0.015,
                        "p_value": 0.2,
                        "q_value": 0.01 if significant else 0.6,
                        "sessions": 19.5,
                        "coverage": 0.9,
                        "kept": kept,
                        "significant": significant,
                        "position": index if kept else None,
                        "reason": _reason(significant, kept),
                    }
                )
    return pl.DataFrame(rows)


def _reason(significant: bool, kept: bool) -> str:
    if significant:
        return "significant (q 0.01)" if kept else "redundant with book_ofi_1min (rank correlation 0.95)"
    return "not significant (q 0.6); kept as one of the best 2 (min_features)" if kept else "not significant (q 0.6)"


def _signals(grid: pl.DataFrame, days: list[date], draw: np.random.Generator) -> pl.DataFrame:
    frame = grid.filter(pl.col("session") >= days[20])
    return frame.with_columns(
        pl.Series("score", draw.normal(size=frame.height) * 1e-4),
        pl.Series("score_ridge", draw.normal(size=frame.height) * 1e-4),
        pl.lit(0.5).alias("rank"),
        pl.lit("ok").alias("status"),
        pl.lit("15min").alias("horizon"),
        (pl.col("decision_time") + pl.duration(minutes=15)).alias("valid_until"),
        pl.lit("abc123").alias("model_version"),
    )


def _quarantine() -> pl.DataFrame:
    rows = [
        ("bars", "bar", "nan_price", "/data/bars.csv", 17, "ACME,2024-01-02T15:00:00Z,,,,NaN,100"),
        ("bars", "bar", "price_jump", "/data/bars.csv", 99, "ACME,2024-01-03T15:00:00Z,10,10,10,1000,100"),
        ("headlines", "news", "unparsable", "/data/headlines.jsonl", 4, "<script>document.title='injected'</script>"),
    ]
    return pl.DataFrame(rows, schema=["source", "table", "reason", "file", "line", "raw"], orient="row")


def _states(days: list[date]) -> list[dict[str, object]]:
    return [
        {
            "refit_session": str(refit),
            "regime": k,
            "name": ("low stress", "high stress")[k],
            "mean": {"stress": 0.2 + 0.3 * k},
            "standard_deviation": {"stress": 0.05},
            "expected_observations": 225.0,
            "expected_sessions": 22.5,
            "share": 0.6 - 0.2 * k,
            "observations": 250,
            "matched": True,
        }
        for refit in (days[20], days[-5])
        for k in (0, 1)
    ]


def _manifest(days: list[date]) -> dict[str, object]:
    return {
        "name": "example",
        "config": {
            "name": "example",
            "targets": {"horizons": list(HORIZONS), "primary": "15min"},
            "walk_forward": {"train_sessions": 20, "refit_sessions": 10},
            "selection": {"false_discovery_rate": 0.1, "min_features": 2},
            "sources": {
                "bars": {"kind": "thinkorswim_csv", "columns": {}, "bar": "1min", "delay": "1s"},
                "vix": {"kind": "series_file", "columns": {}, "known": {"days": 1, "time": "16:30", "business": True}},
            },
        },
        "code_version": "0.1.0+0123456789ab",
        "device": {"kind": "cpu", "cores": 2},
        "entities": list(ENTITIES),
        "window": {"start": str(days[0]), "end": str(days[-1]), "sessions": len(days)},
        "seeds": {"run": 7},
        "inputs": [{"source": "bars", "path": "/data/bars.csv", "bytes": 1_234_567, "sha256": "ab" * 32}],
        "sources": {
            "bars": {
                "table": "bar",
                "read": 46_800,
                "used": 46_790,
                "late": 3,
                "quarantined": {"nan_price": 1, "price_jump": 1},
            },
            "headlines": {"table": "news", "read": 900, "used": 899, "quarantined": {"unparsable": 1}, "late": None},
        },
        "sentiment": {
            "card": {
                "model": "embedded",
                "trained_through": "2024-12-31",
                "training_data": "tweets and sentences of our own",
                "licence": "Apache-2.0",
                "source": "sentiment/adapter/record.json",
            },
            "look_ahead": "texts are scored by the embedded model, which was trained on text up to 2024-12-31: "
            f"decisions from {days[0]} to that day may look ahead through the model itself",
            "texts": {"headlines": {"rows": 899, "stale": 3, "texts": 896, "missing": 0, "truncated": 2}},
        },
        "packages": {"python": "3.11.7", "polars": "2.1.0"},
        "stages": {"ingest": 1.25, "features": 8.5, "models": 20.0},
        "outputs": {"signals.parquet": "cd" * 32},
        "warnings": ["8 of 20 kept features are not significant; they were kept by selection.min_features"],
    }
