"""What is simulated: markets, sessions, and how many episodes of each kind are planted in a session."""

from datetime import date, datetime, time, timedelta, timezone

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

NS = 10**9


class OrderMarket(BaseModel):
    """One invented market. The defaults are loosely those of a liquid crypto pair with a tick of about 2e-5 of the
    price (docs/simulated_order_book.md has what they were set by).

    price           quote currency, at the first session's open; each session opens here
    ticks_per_unit  ticks in one unit of the quote currency
    lots_per_unit   lots in one unit of the base currency
    volatility      standard deviation of the latent value over one second, in ticks, mean over the session
    arrivals        limit orders, market orders and re-quotes a second, mean over the session
    market_share    share of the arrivals that are market orders
    clustering      branching ratio of the arrivals' Hawkes process: 0 is Poisson
    day_pattern     how deep the U of the session's activity is: 0 flat; 1: the quietest time has a third of the busiest
    lot_size_median median size of a limit order, in lots
    icebergs        share of the limit orders that hold a hidden reserve
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    entity: str = Field(default="SIMBTC", min_length=1, max_length=32)
    price: float = Field(default=60_000.0, gt=0, le=1e7)
    ticks_per_unit: int = Field(default=1, ge=1, le=100_000)
    lots_per_unit: int = Field(default=1_000, ge=1, le=10**8)
    volatility: float = Field(default=1.0, ge=0, le=20)
    arrivals: float = Field(default=20.0, ge=1, le=5_000)
    market_share: float = Field(default=0.05, ge=0.005, le=0.5)
    clustering: float = Field(default=0.6, ge=0, le=0.9)
    day_pattern: float = Field(default=1.0, ge=0, le=1)
    lot_size_median: int = Field(default=40, ge=4, le=100_000)
    icebergs: float = Field(default=0.02, ge=0, le=0.5)

    @model_validator(mode="after")
    def _price_has_room(self) -> "OrderMarket":
        if self.price * self.ticks_per_unit < 2_000:
            raise ValueError(
                f"price {self.price} of {self.entity} is {self.price * self.ticks_per_unit:g} ticks; allowed: 2000 or "
                "more; raise ticks_per_unit"
            )
        return self


class EpisodePlan(BaseModel):
    """How many episodes of each kind a session holds, and the ranges that their strengths and durations (seconds) are
    drawn from, evenly in the logarithm.

    spoof, layering, drought are to be found; the other counts are decoys, which are not (`episodes.KINDS` has what each
    is). Spoofing strengths are in typical level sizes, a drought's is the share of the depth that is withdrawn.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    spoof: int = Field(default=6, ge=0, le=1_000)
    layering: int = Field(default=4, ge=0, le=1_000)
    drought: int = Field(default=3, ge=0, le=1_000)
    large_stays: int = Field(default=2, ge=0, le=1_000)
    large_executed: int = Field(default=2, ge=0, le=1_000)
    large_late: int = Field(default=2, ge=0, le=1_000)
    flicker: int = Field(default=3, ge=0, le=1_000)
    one_sided: int = Field(default=2, ge=0, le=1_000)
    short_gap: int = Field(default=3, ge=0, le=1_000)
    jump: int = Field(default=2, ge=0, le=1_000)
    lull: int = Field(default=1, ge=0, le=1)
    spoof_strength: tuple[float, float] = (1.0, 20.0)
    spoof_seconds: tuple[float, float] = (1.0, 10.0)
    spoof_distance: tuple[int, int] = (3, 8)
    drought_strength: tuple[float, float] = (0.3, 0.95)
    drought_seconds: tuple[float, float] = (10.0, 120.0)

    @field_validator("spoof_strength", "spoof_seconds", "spoof_distance", "drought_strength", "drought_seconds")
    @classmethod
    def _ranges_rise(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1] < np.inf:
            raise ValueError(f"range {value}; allowed: two rising positive numbers")
        return value

    @model_validator(mode="after")
    def _strengths_make_sense(self) -> "EpisodePlan":
        limits = (
            ("drought_strength", self.drought_strength, 0.05, 0.99),
            ("spoof_strength", self.spoof_strength, 0.25, 100),
            ("spoof_seconds", self.spoof_seconds, 0.2, 60),
            ("spoof_distance", self.spoof_distance, 1, 50),
            ("drought_seconds", self.drought_seconds, 5, 3_600),
        )
        for name, (low, high), least, most in limits:
            if not least <= low <= high <= most:
                raise ValueError(f"{name} is {low:g} to {high:g}; allowed: within {least:g} to {most:g}")
        return self


NOTHING = EpisodePlan(
    spoof=0,
    layering=0,
    drought=0,
    large_stays=0,
    large_executed=0,
    large_late=0,
    flicker=0,
    one_sided=0,
    short_gap=0,
    jump=0,
)
"""The plan of a session in which nothing is planted; its lull stays."""


class OrderSimulation(BaseModel):
    """A simulated level-3 feed of several markets and days.

    seed            every draw follows from it; an order's draws are the same whether `effects` is on or off, and a
                    market's do not depend on which others there are
    sessions        days, one after another from `start`
    quiet_sessions  first sessions in which nothing is planted, for a baseline to be learnt from
    opens           time of day, UTC, at which each session opens
    duration        seconds of each session; the day's U spans it, whatever it is
    markets         what is traded
    plan            the episodes of each session after the quiet ones
    effects         false: nothing follows from an episode (a spoof does not pull the price, a drought does not shake
                    it); the schedule, the latent noise and every order's draws stay as they are
    latency         median delay of the feed in milliseconds, from event_time to known_time
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    seed: int = Field(default=11, ge=0, lt=2**63)
    sessions: int = Field(default=4, ge=1, le=366)
    quiet_sessions: int = Field(default=1, ge=0, le=365)
    start: date = date(2024, 9, 2)
    opens: time = time(8, 0)
    duration: float = Field(default=3_600.0, ge=60, le=86_400)
    markets: tuple[OrderMarket, ...] = Field(default=(OrderMarket(),), min_length=1, max_length=100)
    plan: EpisodePlan = EpisodePlan()
    effects: bool = True
    latency: float = Field(default=2.0, ge=0, le=10_000)

    @field_validator("markets")
    @classmethod
    def _entities_differ(cls, value: tuple[OrderMarket, ...]) -> tuple[OrderMarket, ...]:
        names = [market.entity for market in value]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"entity {twice[0]} is listed twice")
        return value

    @model_validator(mode="after")
    def _a_day_holds_a_session(self) -> "OrderSimulation":
        opens = timedelta(hours=self.opens.hour, minutes=self.opens.minute, seconds=self.opens.second)
        if opens.total_seconds() + self.duration > 86_400:
            raise ValueError(f"a session of {self.duration:g} s that opens at {self.opens} ends on the next day (UTC)")
        return self

    def days(self) -> list[tuple[date, int]]:
        """(session, open in ns UTC) of each session."""
        first = datetime.combine(self.start, self.opens.replace(tzinfo=None), tzinfo=timezone.utc)  # noqa: UP017
        epoch = datetime(1970, 1, 1, tzinfo=first.tzinfo)
        found = [first + timedelta(days=day) for day in range(self.sessions)]
        return [(at.date(), int((at - epoch).total_seconds()) * NS) for at in found]
