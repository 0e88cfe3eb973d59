"""When a month's value of a series is public: a table of publication lags, and the releases that came late.

`fred_md_lags.csv` names for each of FRED-MD's 126 series its group (McCracken & Ng 2016, appendix), its release, how
long after the END of its month that is public at the latest, and what the lag rests on. A lag is the latest regular
release of the years 2013 to 2023 and some days, not the usual one: a series that is used a few days late loses little,
one that is used early is a leak. `fred_md_delays.csv` holds what came later than any lag, after government shutdowns;
where the agencies' dates were not at hand, its dates are later ones.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gpu_kernels.errors import ConfigError, DataError
from sources.clocks import to_utc
from sources.files import reading

_FOLDER = Path(__file__).parent


class PublicationLag(BaseModel):
    """When a month's value is public: at `time`, `days` after the END of the month, in the source's time zone.

    A day that falls on a weekend counts as the Monday after it. With `business` only Mondays to Fridays are counted;
    holidays count as other days do, so a lag in business days should hold one more.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: int = Field(ge=0, le=3660)
    time: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
    business: bool = False


@dataclass(frozen=True, slots=True)
class SeriesLag:
    """A row of a table of lags; `group`, `release` and `source` are empty where the table does not tell them."""

    lag: PublicationLag
    group: str = ""
    release: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Delay:
    """Values of the months first .. last of a release were public on the day `known` at the earliest."""

    first: date
    last: date
    known: date


@cache
def packaged() -> dict[str, SeriesLag]:
    """The lags of FRED-MD's series."""
    return read_table(_FOLDER / "fred_md_lags.csv")


@cache
def packaged_delays() -> dict[str, tuple[Delay, ...]]:
    """Releases that came later than their lag."""
    found: dict[str, tuple[Delay, ...]] = {}
    with open(_FOLDER / "fred_md_delays.csv", encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            first, last = (date.fromisoformat(f"{row[name]}-01") for name in ("first", "last"))
            delay = Delay(first, last, date.fromisoformat(row["known"]))
            found[row["release"]] = (*found.get(row["release"], ()), delay)
    return found


def read_table(path: Path) -> dict[str, SeriesLag]:
    """A CSV table of lags: series, days, time, and if wanted business, group, release, source.

    Raises DataError for a file that cannot be read, a missing column, a series named twice, or a lag that is none.
    """
    with reading(path), open(path, encoding="utf-8-sig", newline="") as stream:
        try:
            rows: list[dict[str, Any]] = list(csv.DictReader(stream))
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path} is no table of lags: {error}", allowed="CSV in UTF-8") from None
    found: dict[str, SeriesLag] = {}
    for line, row in enumerate(rows, 2):
        series = (row.get("series") or "").strip()
        told = {name: row[name] for name in ("days", "time", "business") if row.get(name)}
        try:
            if not series or series in found:
                raise ValueError("no series" if not series else f"{series} is there twice")
            lag = PublicationLag(**told)
        except ValueError as error:
            what = _first(error) if isinstance(error, ValidationError) else str(error)
            raise DataError(
                f"{path}, line {line}: {what}",
                allowed="columns series, days, time, and if wanted business, group, release, source",
            ) from None
        found[series] = SeriesLag(lag, *((row.get(name) or "").strip() for name in ("group", "release", "source")))
    if not found:
        raise DataError(f"{path} holds no lags", allowed="columns series, days, time, ...")
    return found


def _first(error: ValidationError) -> str:
    detail = error.errors(include_url=False)[0]
    return f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}"


def lags_of(series: list[str], own: Mapping[str, PublicationLag], table: Mapping[str, SeriesLag]) -> list[SeriesLag]:
    """The lag of each series, the config's own before the table's. Raises ConfigError for series without one."""
    missing = [name for name in series if name not in own and name not in table]
    if missing:
        raise ConfigError(
            f"no publication lag is known for {', '.join(missing[:5])}"
            + (f" and {len(missing) - 5} more" if len(missing) > 5 else ""),
            hint=f'state it: lags: {{{missing[0]}: {{days: 45, time: "08:30"}}}} (after the end of its month)',
        )
    return [SeriesLag(own[name]) if name in own else table[name] for name in series]


def known_times(month: pl.Series, found: SeriesLag, timezone: str) -> pl.Series:
    """When the values of months (dates of their first days) are public, as timestamp[ns, UTC].

    Missing values: null where the month is.
    """
    end = month.dt.month_end()
    days = end.drop_nulls().to_numpy().astype("datetime64[D]")
    if found.lag.business:
        public = np.busday_offset(days, found.lag.days, roll="backward")
    else:
        public = np.busday_offset(days + found.lag.days, 0, roll="forward")
    first = month.drop_nulls().to_numpy().astype("datetime64[D]")
    for delay in packaged_delays().get(found.release, ()):
        late = (first >= np.datetime64(delay.first)) & (first <= np.datetime64(delay.last))
        public = np.where(late, np.maximum(public, np.datetime64(delay.known)), public)
    told = pl.Series([None] * len(month), dtype=pl.Date).scatter(month.is_not_null().arg_true(), pl.Series(public))
    local = told.dt.combine(time.fromisoformat(found.lag.time), time_unit="ns")
    return pl.DataFrame({"local": local}).select(to_utc(pl.col("local"), timezone).alias("known_time")).to_series()
