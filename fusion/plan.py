"""A config resolved against the world: its entities, its sessions, and where its files are."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import polars as pl

from fusion.config import RunConfig
from gpu_kernels.errors import ConfigError
from sources.sessions import sessions as exchange_sessions

Progress = Callable[[str, float | None], None]


def silent(_stage: str, _share: float | None) -> None:
    """The progress callback of a caller who wants none. Others get (stage, share done or None)."""


@dataclass(frozen=True)
class Plan:
    """What a run covers. `sessions` (session, open, close) are the trading window; `history` those that the regime
    model may learn from, which starts earlier and ends with them; `variables` fill `${NAME}` in the sources' paths."""

    config: RunConfig
    entities: tuple[str, ...]
    sessions: pl.DataFrame
    history: pl.DataFrame
    variables: dict[str, str]

    @property
    def start(self) -> date:
        first: date = self.sessions["session"][0]
        return first

    @property
    def end(self) -> date:
        last: date = self.sessions["session"][-1]
        return last

    def until(self, cut: pl.Expr) -> "Plan":
        """The same plan with only the sessions for which `cut` (an expression over session, open, close) holds."""
        return replace(self, sessions=self.sessions.filter(cut), history=self.history.filter(cut))


def make_plan(config: RunConfig, lake: Path, *, end: date | None = None) -> Plan:
    """Resolve a config; generates the embedded market into the lake where the config asks for one.

    `end` replaces the config's last day. Raises ConfigError when no session lies in the window.
    """
    variables: dict[str, str] = {}
    entities, start, last = config.entities, config.start, end or config.end
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
    sessions = history.filter(pl.col("session") >= start)
    if sessions.is_empty():
        raise ConfigError(f"no session of {config.calendar} lies in {start} .. {last}", hint="widen start and end")
    return Plan(config, tuple(sorted(set(entities))), sessions, history, variables)
