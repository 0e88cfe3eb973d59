"""The section `volatility` of a config: what features of volatility are made with."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gpu_kernels.durations import format_duration
from gpu_kernels.errors import ConfigError
from sources.durations import Duration

# constant, line, parabola, four pairs of waves and a dummy at either end: gpu_kernels.volatility.diurnal_fourier
_FOURIER_TERMS = 13


class VolatilityConfig(BaseModel):
    """Settings of the features of bars that know the time of day, past sessions, scheduled events or a market.

    interval   slots that sessions are cut into, from the open on; their returns make the realised measures of sessions,
               the time of day is counted in them, and forecasts begin with one
    first      slots begin so long after a session's open, and
    last       end so long before its close: of a future that trades around the clock, the hours that matter
    repeat     whether a slot in which no bar ends repeats the price and has a return of 0, as suits tick, volume and
               dollar bars; else it has none and the next return spans it, as suits minutes that are missing
    history    sessions of bars before `start`, for features that need past sessions
    pattern    of the time of day: robust means of each slot, or a flexible Fourier form
    warm_up    sessions that an entity's forecasts are first fitted on
    half_life  sessions after which one counts half in the pattern
    events     source of the scheduled events (a table event) that move volatility
    market     entity that correlations and betas are to, e.g. SPY
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    interval: Annotated[Duration, Field(gt=0)] = 5 * 60 * 10**9
    first: Duration = 0
    last: Duration = 0
    repeat: bool = False
    history: int = Field(default=0, ge=0, le=5000)
    pattern: Literal["mean", "fourier"] = "mean"
    warm_up: int = Field(default=60, ge=5, le=5000)
    half_life: float = Field(default=60.0, gt=0)
    events: str | None = None
    market: str | None = None

    def fit(self, session: int) -> None:
        """Raises ConfigError where the longest session, in nanoseconds, has too few slots."""
        left = session - self.first - self.last
        slots = max(left, 0) // self.interval
        least = _FOURIER_TERMS if self.pattern == "fourier" else 1
        if slots < least:
            raise ConfigError(
                f"volatility: the longest session has {slots} slots of {format_duration(self.interval)} "
                f"between volatility.first and volatility.last",
                allowed=f"{least} or more with pattern: {self.pattern}",
                hint="shorten volatility.interval",
            )
