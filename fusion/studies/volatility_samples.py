"""The real samples on which variance forecasts are judged: bins of sessions, and the events scheduled in them.

SPY in five-minute and in minute bars, and the E-mini S&P 500 (ES) in tick, volume and dollar bars. The three kinds of
bars of ES cut the same trades at other places; their closes together are the finest prices there are of it, some 180 a
day. Origins and quirks of the files are told in docs/volatility.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.asof import nanoseconds
from fusion.volatility.bins import SessionBins, ahead, bins_of
from gpu_kernels.errors import ArgumentError, DataError
from sources.config import Source, parse_source
from sources.files import input_files
from sources.quality import Window, check
from sources.readers import READERS
from sources.sessions import exchange_timezone, sessions

Integers = NDArray[np.int64]

MINUTE = 60 * 10**9
SPY, ES = "XNYS", "CMES"
_FOLDER = "${TRIFUSE_DATA}"
_RESOLVED = 0.9
CLIP = 6.635

EVENT_NAMES = {
    "fomc": ["Fed Interest Rate Decision"],
    "minutes": ["FOMC Minutes"],
    "nfp": ["Nonfarm Payrolls"],
    "cpi": [
        "Consumer Price Index ex Food & Energy (YoY)",
        "Consumer Price Index ex Food & Energy (MoM)",
        "Consumer Price Index (YoY)",
    ],
    "chair": [
        "Fed's Chair Powell testifies",
        "Fed's Chair Yellen testifies",
        "Fed's Chair Powell speech",
        "Fed's Chair Yellen speech",
    ],
}
WINDOWS = {"FOMC, -30 to +120 min": ("fomc",), "NFP and CPI, -30 to +120 min": ("nfp", "cpi")}
"""Parts of a sample that are judged by themselves: what is near the events of some kinds."""
PLANNED = ("fomc", "nfp", "cpi")
"""Kinds that forecasts across sessions are told of."""

_CALENDAR = {
    "kind": "calendar_file",
    "files": f"{_FOLDER}/macro/economic_calendar_fxstreet_usd_high_2014_2022.csv.gz",
    "columns": {"event_time": "Start", "name": "Name"},
    "time_format": "%m/%d/%Y %H:%M:%S",
    "timezone": "UTC",
    "entity": "US",
    "announced": "30d",
    "unscheduled": ["2020-03-03", "2020-03-15"],
    "max_age": "7d",
    "kinds": EVENT_NAMES,
}
_SPY_5MIN = {
    "kind": "table_file",
    "table": "bar",
    "files": f"{_FOLDER}/market/spy_5min_2018_2020/spy.csv.gz",
    "columns": {"event_time": "epoch_s"},
    "time_format": "epoch_s",
    "entity": "SPY",
    "timezone": "UTC",
    "bar": "5min",
    "stamp_after": "4min",
    "volume_unit": 100,
    "no_volume": "leave_out",
    "delay": "1s",
    "max_age": "15min",
}
_SPY_1MIN = {
    "kind": "thinkorswim_csv",
    "files": {"SPY": f"{_FOLDER}/market/us_etf_1min_2014_2015/spy-*.csv.gz"},
    "timezone": "America/Chicago",
    "bar": "1min",
    "delay": "1s",
    "max_age": "10min",
}
_ES_BARS = {
    "kind": "table_file",
    "table": "bar",
    "columns": {"event_time": "date_time", "volume": "cum_vol"},
    "entity": "ES",
    "timezone": "UTC",
    "delay": "1s",
    "max_age": "1h",
    "max_jump": 0.05,
    "max_wick": 0.01,
}


@dataclass(frozen=True)
class Sample:
    """Bins of one market, and what was scheduled.

    days     (D,) the session of each row of the bins
    events   kind -> (n,) int64 ns of scheduled events, over all the calendar file
    calendar_opens, calendar_closes   int64 ns of the sessions from the first day to 60 days past the last
    prices   (D, K) how many prices came in each bin: what a target that spans few of them is worth
    report_from   index of the first session on which forecasts may be judged: those before were looked at when the
             model's structure was chosen
    clip     of the time of day, see `gpu_kernels.volatility.diurnal`
    finer    bins of one bar each, where the bars are shorter than the bins and there is one for each
    windows  parts that are judged by themselves -> the kinds of events near which they are
    planned  kinds of events that forecasts across sessions are told of
    notice   ns before an event at which it is known at the latest; None: so long that it does not matter
    """

    name: str
    bins: SessionBins
    days: tuple[date, ...]
    events: Mapping[str, Integers]
    calendar_opens: Integers
    calendar_closes: Integers
    prices: Integers
    report_from: int = 0
    clip: float = CLIP
    finer: SessionBins | None = None
    windows: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: WINDOWS)
    planned: tuple[str, ...] = PLANNED
    notice: int | None = None


def read_rows(entry: Mapping[str, Any], calendar: str) -> pl.DataFrame:
    """The usable rows of a source's files, in order of time. Raises DataError where there are none."""
    source: Source = parse_source("bars", dict(entry))
    batches = [
        batch.rows
        for index, file in enumerate(input_files(source, {}))
        for batch in READERS[source.kind](source, file, index, calendar)
    ]
    good = check(pl.concat(batches), source, Window(calendar)).good
    if good.is_empty():
        raise DataError(f"no usable rows in {entry['files']}")
    return good.sort("event_time", "known_time", maintain_order=True)


def scheduled_events() -> dict[str, Integers]:
    """kind -> int64 ns of the high-impact US events that were known before they came, rising: without the Fed's two
    cuts of March 2020, which nobody had announced."""
    rows = read_rows(_CALENDAR, SPY)
    rows = rows.filter(pl.col("known_time") < pl.col("event_time"))
    return {kind: np.unique(nanoseconds(rows.filter(pl.col("kind") == kind)["event_time"])) for kind in EVENT_NAMES}


def make_sample(
    name: str,
    rows: pl.DataFrame,
    calendar: str,
    *,
    fine: int,
    step: int = 5 * MINUTE,
    first: Literal["open", "before", "none"] = "open",
    repeat: bool = False,
    ranges: bool = True,
    report_from: date = date.min,
    clip: float = CLIP,
    events: Mapping[str, Integers] | None = None,
    cut: tuple[int, int] = (0, 0),
) -> Sample:
    """The bins of an entity's bars (event_time, their ends; open, high, low, close), in order of time.

    events  kind -> int64 ns, rising; none: those of US economic data
    cut     ns after a session's open and before its close that are left out
    The rest is of `bins_of` and of `Sample`.
    """
    days = rows["event_time"].dt.convert_time_zone(exchange_timezone(calendar)).dt.date()
    table = sessions(calendar, days[0], days[-1] + timedelta(days=60))
    opens = nanoseconds(table["open"]) + cut[0]
    closes = np.maximum(nanoseconds(table["close"]) - cut[1], opens)
    time = nanoseconds(rows["event_time"])
    count = int(np.searchsorted(opens, time[-1]))
    high, low = (rows[bound].to_numpy() if ranges else None for bound in ("high", "low"))
    bins = bins_of(
        time,
        rows["open"].to_numpy(),
        rows["close"].to_numpy(),
        opens[:count],
        closes[:count],
        step=step,
        fine=fine,
        first=first,
        repeat=repeat,
        high=high,
        low=low,
    )
    edges = np.concatenate([bins.starts, bins.starts[:, -1:] + bins.step], axis=1)
    prices = np.diff(np.searchsorted(time, edges, side="right"), axis=1)
    held = tuple(table["session"].to_list()[:count])
    unjudged = sum(day < report_from for day in held)
    events = scheduled_events() if events is None else events
    return Sample(name, bins, held, events, opens, closes, prices, unjudged, clip)


def spy_5min() -> Sample:
    """SPY 2018 to 2020, five-minute bars: a bin's variance is one squared return. Judged from 2019 on."""
    return make_sample("spy_5min", read_rows(_SPY_5MIN, SPY), SPY, fine=5 * MINUTE, report_from=date(2019, 1, 1))


def spy_1min() -> Sample:
    """SPY November 2014 to July 2015, minute bars: a bin's variance is the sum of five squared returns."""
    rows = read_rows(_SPY_1MIN, SPY)
    minutes = make_sample("spy_1min", rows, SPY, fine=MINUTE, step=MINUTE).bins
    return replace(make_sample("spy_1min", rows, SPY, fine=MINUTE), finer=minutes)


def _es_rows() -> pl.DataFrame:
    kinds = [
        read_rows(_ES_BARS | {"files": f"{_FOLDER}/market/es_infobars_2015_2016/{kind}_bars.csv.gz"}, ES)
        for kind in ("tick", "volume", "dollar")
    ]
    rows = pl.concat([kind.select("event_time", "open", "high", "low", "close") for kind in kinds])
    return rows.sort("event_time", maintain_order=True).filter(pl.col("event_time") < datetime(2017, 1, 1, tzinfo=UTC))


def es_day() -> Sample:
    """ES 2015 and 2016 in the hours of the stock market, 9:30 to 16:00 New York, from the closes of all bars, by
    minutes (the last price stands still)."""
    return make_sample("es_day", _es_rows(), SPY, fine=MINUTE, first="before", repeat=True, ranges=False)


def es_full() -> Sample:
    """ES 2016 around the clock, sessions from 17:00 Chicago, after 2015 to learn from.

    Most five-minute bins of the night hold no price. A robust mean takes the few that do for outliers, so nothing is
    clipped here: that was seen in 2015, which is not judged.
    """
    return make_sample(
        "es_full",
        _es_rows(),
        ES,
        fine=MINUTE,
        first="none",
        repeat=True,
        ranges=False,
        report_from=date(2016, 1, 1),
        clip=np.inf,
    )


SAMPLES = {"spy_5min": spy_5min, "spy_1min": spy_1min, "es_day": es_day, "es_full": es_full}


def read_samples(names: Sequence[str]) -> list[Sample]:
    """Samples by name. Raises ArgumentError for one that is not known, DataError where its files are not there."""
    for name in names:
        if name not in SAMPLES:
            raise ArgumentError(f"sample {name!r}", allowed=", ".join(SAMPLES))
    return [SAMPLES[name]() for name in names]


def resolved(sample: Sample, minutes: int) -> NDArray[np.bool_]:
    """(K,) whether, of the windows of so many minutes that begin with a bin, nine in ten hold two prices or more (one,
    where a bin is one bar): below that a realised variance is mostly the silence between prices."""
    bins = sample.bins
    inside = np.arange(bins.variance.shape[1]) < bins.lengths[:, None]
    counts = ahead(np.where(inside, sample.prices, np.nan).astype(np.float64), minutes * MINUTE // bins.step)
    least = 1 if bins.ranges is not None else 2
    enough, there = (counts >= least).sum(axis=0), np.isfinite(counts).sum(axis=0)
    found: NDArray[np.bool_] = (there > 0) & (enough >= _RESOLVED * there)
    return found


def resolves(sample: Sample, minutes: int) -> bool:
    """Whether a horizon is worth judging: at a fifth of the times of day or more there are prices enough for it."""
    return float(resolved(sample, minutes).mean()) >= 0.2
