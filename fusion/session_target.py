"""Forward log returns over sessions, on purpose: from a price that the decision could still get to a later close.

Prices of daily bars are adjusted for splits and dividends by the vendor (sources.readers.daily_file), so that the
ratio of two of them is a total return. Their LEVELS hold what came later: each dividend and split after a day scales
that day's price. Ratios alone are used here, from which the later factors fall out (but for the digits of the file).
"""

from datetime import timedelta

import polars as pl

from fusion.horizon import Sessions
from fusion.target import KEYS, TargetConfig, check_tables, end_column, relative_to_mean, return_column
from gpu_kernels.errors import ArgumentError
from sources.schema import TIME
from sources.sessions import sessions_around
from sources.stream import in_order

_BAR: dict[str, pl.DataType] = {
    "entity": pl.String(),
    "session": pl.Date(),
    "known_time": TIME,
    "open": pl.Float64(),
    "close": pl.Float64(),
}
DEFAULT_ENTRY = "next_open"


def session_prices(rows: pl.DataFrame) -> pl.DataFrame:
    """entity, session, known_time, open and close of daily bars, as they came in order: one a session."""
    return in_order(rows, "bar")[0].select(*_BAR)


def trading_around(calendar: str, grid: pl.DataFrame, config: TargetConfig) -> pl.DataFrame:
    """The sessions that labels of a grid may start and end in: the calendar's, whether or not data reach them."""
    first, last = grid["session"].min(), grid["session"].max()
    longest = max(horizon.count for horizon in config.horizons if isinstance(horizon, Sessions))
    return sessions_around(calendar, first, last + timedelta(days=2 * longest + 15))  # type: ignore[arg-type, operator]


def session_returns(
    grid: pl.DataFrame, bars: pl.DataFrame, trading: pl.DataFrame, config: TargetConfig, delay_ns: int
) -> pl.DataFrame:
    """Label every decision t: log(close of the exit session / entry price) for each horizon of h sessions.

    entry next_open   the open of the first session that opens after t; exit: the close of the h-th session from that
                      one on, so that over 1 session it is bought at the open and sold at the close
          next_close  the first close after t; exit: the close h sessions later
          last        the close of the last session whose bar was due at t (close + delay_ns); exit: the close h
                      sessions later. It says how good a forecast is, not what could be earned
    label_end is the exit bar's known_time. The calendar tells the sessions: holidays are none, half days close early.

    grid      entity, session, decision_time; sorted by (entity, decision_time)
    bars      `session_prices`
    trading   session, open, close, rising, as far as any exit lies
    delay_ns  from a session's close to its bar's receipt

    Returns grid with `return_<h>sessions` (Float64) and `label_end_<h>sessions` (timestamp) for each horizon; with
    `relative` less the mean over the entities of the decision.

    Missing values: null where the entity has no bar in the entry or the exit session (it did not trade, is not listed
    any more, or the data end), where a price is not a positive number, and beyond `trading`. A price of another day
    never stands in. So what a share lost when it was delisted between bars is in no label.
    Raises DataError as `forward_returns`, ArgumentError for a horizon that is a time.
    """
    check_tables(grid, bars, tuple(_BAR), trading, ("session", "open", "close"))
    bars = bars.select(pl.col(name).cast(dtype) for name, dtype in _BAR.items())
    entry, first = _entries(grid["decision_time"], trading, config, delay_ns)
    labels = grid.select(KEYS)
    begun = _bar_of(labels, bars, trading, entry)["open" if _at_open(config) else "close"]
    for horizon in config.horizons:
        if not isinstance(horizon, Sessions):
            raise ArgumentError(f"horizon of {horizon} ns", allowed="sessions", hint="fusion.target has times")
        ended = _bar_of(labels, bars, trading, first + horizon.count)
        value = pl.select(pl.when(begun > 0, ended["close"] > 0).then((ended["close"] / begun).log())).to_series()
        known = value.is_finite().fill_null(False)
        missing = pl.Series([None])
        labels = labels.with_columns(
            value.zip_with(known, missing.cast(pl.Float64)).alias(return_column(horizon)),
            ended["known_time"].zip_with(known, missing.cast(TIME)).alias(end_column(horizon)),
        )
    return relative_to_mean(labels, config) if config.relative else labels


def exits(times: pl.Series, trading: pl.DataFrame, config: TargetConfig, delay_ns: int) -> pl.Series:
    """When the return of the primary horizon ends, of decisions at `times`: the exit session's close.

    Missing values: null beyond `trading`."""
    assert isinstance(config.primary, Sessions)
    _, first = _entries(times, trading, config, delay_ns)
    return _gather(trading["close"].cast(TIME), first + config.primary.count)


def _at_open(config: TargetConfig) -> bool:
    return (config.entry or DEFAULT_ENTRY) == "next_open"


def _entries(
    times: pl.Series, trading: pl.DataFrame, config: TargetConfig, delay_ns: int
) -> tuple[pl.Series, pl.Series]:
    """The place in `trading` of each decision's entry session (-1: before the first), and of the session whose close
    the horizon counts from: the entry itself where that is at a close, the session before where it is at an open."""
    asked = times.cast(TIME).to_physical()
    opens, closes = (trading[name].cast(TIME).to_physical() for name in ("open", "close"))
    if config.entry == "last":
        entry = (closes + delay_ns).search_sorted(asked, side="right").cast(pl.Int64) - 1
    else:
        entry = (opens if _at_open(config) else closes).search_sorted(asked, side="right").cast(pl.Int64)
    return entry, entry - 1 if _at_open(config) else entry


def _gather(column: pl.Series, places: pl.Series) -> pl.Series:
    """The values at these places; null beyond both ends."""
    inside = (places >= 0) & (places < len(column))
    return column.gather(pl.select(pl.when(inside).then(places)).to_series())


def _bar_of(labels: pl.DataFrame, bars: pl.DataFrame, trading: pl.DataFrame, places: pl.Series) -> pl.DataFrame:
    """open, close and known_time of each entity's bar of these sessions, one row a label."""
    asked = labels.select("entity").with_columns(_gather(trading["session"], places).alias("session"))
    return asked.join(bars, on=["entity", "session"], how="left", maintain_order="left")
