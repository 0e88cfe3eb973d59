"""Small tables of sites and of what is observed there, with all the dirt that the rules speak of."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from sources.schema import TABLES, TIME

SECOND = 10**9
HOUR = 3600 * SECOND
DAY = 24 * HOUR
START = int(datetime(2021, 1, 4, tzinfo=UTC).timestamp()) * SECOND


def frame(table: str, rows: list[dict]) -> pl.DataFrame:
    """Rows (times as int64 ns) as a canonical table, columns that they lack null or by default."""
    columns = {}
    for column in TABLES[table].columns:
        values = [row.get(column.name, column.default) for row in rows]
        series = pl.Series(column.name, values, dtype=pl.Int64 if column.dtype == TIME else column.dtype, strict=True)
        columns[column.name] = series.cast(TIME) if column.dtype == TIME else series
    found = pl.DataFrame(columns, schema=TABLES[table].schema)
    return found.sort("entity", "known_time", "event_time", maintain_order=True)


def grid(entities: list[str], days: list[int], hour: int = 20) -> pl.DataFrame:
    """One decision a day, by days after START."""
    rows = [(entity, START + day * DAY + hour * HOUR) for entity in entities for day in days]
    found = pl.DataFrame(rows, schema={"entity": pl.String, "decision_time": pl.Int64}, orient="row")
    return found.with_columns(pl.col("decision_time").cast(TIME)).with_columns(
        session=pl.col("decision_time").dt.date()
    )


def random_tables(seed: int, *, days: int = 640) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """(metric, site, grid): two tickers and one that changes its name; openings, closings, moves of region, late facts;
    observations with gaps, late rows, revisions, values taken back, and some filed under a ticker."""
    rng = np.random.default_rng(seed)
    facts, seen = [], []
    for number in range(12):
        entity, site = ("AAA", "BBB")[number % 2], f"s{number:02d}"
        opened = START - int(rng.integers(-200, 900)) * DAY
        known = max(opened, START - 400 * DAY) + int(rng.integers(0, 40)) * DAY
        place = {
            "latitude": 40.0,
            "longitude": -75.0 - 15 * (number % 3),
            "region": (None, "R1", "R2", "R3")[number % 4],
        }
        fact = {"entity": entity, "site": site, "event_time": opened, "known_time": known} | place
        facts.append(fact)
        if number % 5 == 1:  # a closing, known before or after it
            closed = START + int(rng.integers(300, 540)) * DAY
            facts.append(fact | {"known_time": closed + int(rng.integers(-40, 40)) * DAY, "valid_to": closed})
        elif number % 5 == 2:  # the ticker changes
            change = START + 430 * DAY
            facts.append(fact | {"known_time": change - 9 * DAY, "valid_to": change})
            facts.append(fact | {"entity": "NEW", "event_time": change, "known_time": change - 9 * DAY})
        elif number % 5 == 3:  # another region, as is found out later
            facts.append(fact | {"known_time": START + int(rng.integers(380, 500)) * DAY, "region": "R3"})
        for week in range(days // 7):
            if rng.random() < 0.1:
                continue
            event = (
                START + (week * 7 + int(rng.choice([0, 0, 0, 1, 5]))) * DAY + int(rng.choice([14, 15, 15, 20])) * HOUR
            )
            known = event + int(rng.choice([1, 5, 5, 30])) * DAY
            row = {
                "entity": entity if number % 4 == 0 else "",
                "site": site,
                "metric": "fill",
                "event_time": event,
                "known_time": known,
                "value": round(float(rng.normal(0.5, 0.1)), 3),
                "std": float(rng.choice([0.02, 0.1, np.nan])),
                "valid_frac": float(rng.choice([0.2, 0.9, 0.9, 1.0])),
            }
            row["std"] = None if np.isnan(row["std"]) else row["std"]
            seen.append(row)
            if rng.random() < 0.2:
                value = None if rng.random() < 0.3 else row["value"] + 0.05
                seen.append(row | {"known_time": known + int(rng.integers(0, 50)) * DAY, "value": value})
    for region in ("R1", "R2", "R3", "R9"):
        for day in range(0, days, 3):
            if rng.random() < 0.2:
                continue
            row = {"entity": region, "metric": "visits", "value": round(float(rng.normal()), 3)}
            row |= {"event_time": START + day * DAY, "known_time": START + (day + int(rng.integers(0, 9))) * DAY}
            seen.append(row)
            if rng.random() < 0.3:
                later = row["known_time"] + int(rng.integers(1, 30)) * DAY
                seen.append(row | {"known_time": later, "value": None if rng.random() < 0.2 else row["value"] + 0.5})
    every = sorted(
        [*rng.choice(np.arange(10, 380), 4, replace=False), *rng.choice(np.arange(380, days), 12, replace=False)]
    )
    return frame("metric", seen), frame("site", facts), grid(["AAA", "BBB", "NEW", "OFF"], every)


def cut(rows: pl.DataFrame, moment: datetime) -> pl.DataFrame:
    return rows.filter(pl.col("known_time") <= pl.lit(moment, dtype=TIME))


def day_after_start(days: float) -> datetime:
    return datetime.fromtimestamp(START / SECOND, UTC) + timedelta(days=days)
