"""Horizons of forward returns: a time inside a session, or a number of sessions."""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

from gpu_kernels.durations import format_duration, parse_duration

_SESSIONS = re.compile(r"^\s*(\d{1,4})\s*sessions?\s*$")


@dataclass(frozen=True, order=True)
class Sessions:
    """So many sessions: `5 sessions`, whatever weekends and holidays lie between."""

    count: int

    def __str__(self) -> str:
        return f"{self.count} session{'' if self.count == 1 else 's'}"


Horizon = int | Sessions
"""Nanoseconds inside a session, or sessions."""


def parse_horizon(value: object) -> Horizon:
    """A duration such as "15min", or a number of sessions such as "5 sessions". Raises ValueError on anything else."""
    if isinstance(value, Sessions):
        found: Horizon = value
    elif isinstance(value, str) and (match := _SESSIONS.match(value)) is not None:
        found = Sessions(int(match[1]))
    else:
        found = parse_duration(value)
    if found in (0, Sessions(0)):
        raise ValueError(f"{value!r} is no horizon; write e.g. 15min or 5 sessions")
    return found


def horizon_name(horizon: Horizon) -> str:
    """As a person writes it: "15min", "5 sessions"."""
    return str(horizon) if isinstance(horizon, Sessions) else format_duration(horizon)


def overlap(horizon: Horizon) -> int:
    """Over how many sessions in a row labels of this horizon overlap when a decision is made in each; 1: they do not,
    as inside a session."""
    return horizon.count if isinstance(horizon, Sessions) else 1


HorizonField = Annotated[Horizon, BeforeValidator(parse_horizon), PlainSerializer(horizon_name, return_type=str)]
