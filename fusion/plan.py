"""A config resolved against the world: its entities, its sessions, and where its files are."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from fusion.config import RunConfig, day_of
from fusion.features.choice import check
from fusion.grid import blocks
from gpu_kernels.errors import ConfigError
from sources.schema import TIME
from sources.sessions import sessions as exchange_sessions
from sources.sessions import sessions_around

Progress = Callable[[str, float | None], None]


def silent(_stage: str, _share: float | None) -> None:
    """The progress callback of a caller who wants none. Others get (stage, share done or None)."""


@dataclass(frozen=True)
class Plan:
    """What a run covers. `sessions` (session, open, close) are the trading window; `history` those that the regime
    model may learn from, which starts earlier and ends with them; `variables` fill `${NAME}` in the sources' paths;
    only what opens by `last_open` is left of a plan that was cut."""

    config: RunConfig
    entities: tuple[str, ...]
    sessions: pl.DataFrame
    history: pl.DataFrame
    variables: dict[str, str]
    last_open: datetime | None = None

    @property
    def start(self) -> date:
        first: date = self.sessions["session"][0]
        return first

    @property
    def end(self) -> date:
        last: date = self.sessions["session"][-1]
        return last

    def before(self, count: int) -> date:
        """The session that many sessions before the first."""
        earlier = sessions_around(self.config.calendar, self.start - timedelta(days=2 * count), self.start)
        found: date = earlier.filter(pl.col("session") <= self.start)["session"].tail(count + 1)[0]
        return found

    @property
    def periods(self) -> pl.DataFrame:
        """What refits, selection and evaluation count by: the sessions, or their blocks (session, open, close)."""
        return self._cut(blocks(self._opened(self.sessions), self.config.walk_forward.block))

    @property
    def history_periods(self) -> pl.DataFrame:
        """The same of `history`."""
        return self._cut(blocks(self._opened(self.history), self.config.walk_forward.block))

    def until(self, moment: datetime) -> "Plan":
        """The same plan with only what opens by `moment`."""
        opened = pl.col("open") - pl.duration(nanoseconds=self.config.decisions.lead) <= pl.lit(moment, dtype=TIME)
        return replace(
            self, sessions=self.sessions.filter(opened), history=self.history.filter(opened), last_open=moment
        )

    def _opened(self, sessions: pl.DataFrame) -> pl.DataFrame:
        """The sessions, each of which begins with the decision where that is made before the open: what is read at the
        open, such as a regime, must be known by then."""
        return sessions.with_columns(pl.col("open") - pl.duration(nanoseconds=self.config.decisions.lead))

    def _cut(self, periods: pl.DataFrame) -> pl.DataFrame:
        return periods if self.last_open is None else periods.filter(pl.col("open") <= pl.lit(self.last_open, TIME))


def make_plan(config: RunConfig, lake: Path, *, end: date | None = None) -> Plan:
    """Resolve a config; generates the embedded market into the lake where the config asks for one.

    `end` replaces the config's last day. Raises ConfigError when no session lies in the window, or a feature cannot be
    made of its source.
    """
    check(config)
    variables: dict[str, str] = {}
    entities, start, last = config.entities, day_of(config.start), end or day_of(config.end)
    if config.simulate is not None:
        from sources.simulate import ensure  # numba compiles its loop; only simulated runs pay for that

        variables["SIMULATED"] = str(ensure(config.simulate, lake / "simulated"))
        days = config.simulate.days()
        start, last = start or days[0], last or days[-1]
        entities = config.simulate.tickers() if entities == "simulated" else entities
    assert start is not None  # the config's own check
    assert last is not None
    assert not isinstance(entities, str)
    first = min(start, config.regime.history_start or start)
    history = exchange_sessions(config.calendar, first, last)
    if any(config.sources[name].table == "bar" for name in config.features):
        lengths = (history["close"] - history["open"]).dt.total_nanoseconds().to_list()
        config.volatility.fit(max(lengths, default=0))
    sessions = _clipped(history.filter(pl.col("session") >= start), config, clip_end=end is None)
    if sessions.is_empty():
        raise ConfigError(f"no session of {config.calendar} lies in {start} .. {last}", hint="widen start and end")
    history = pl.concat([history.filter(pl.col("session") < start), sessions])
    return Plan(config, tuple(sorted(set(entities))), sessions, history, variables)


def _clipped(sessions: pl.DataFrame, config: RunConfig, *, clip_end: bool) -> pl.DataFrame:
    """The sessions inside the config's window, where that names moments and not days."""
    if isinstance(config.start, datetime):
        sessions = sessions.with_columns(pl.max_horizontal("open", pl.lit(config.start).cast(sessions.schema["open"])))
    if isinstance(config.end, datetime) and clip_end:
        sessions = sessions.with_columns(pl.min_horizontal("close", pl.lit(config.end).cast(sessions.schema["close"])))
    return sessions.filter(pl.col("open") < pl.col("close"))
