"""The `simulate:` section of a config: which market is generated, from which seed, with or without planted effects."""

from datetime import date, timedelta
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, field_validator

from gpu_kernels.errors import ConfigError
from sources.sessions import sessions

CALENDAR = "XNYS"
LAST_YEAR = 2040


class SimulatedEntity(BaseModel):
    """One invented company.

    price       dollars before the first session
    volatility  standard deviation of a one-minute return in a calm session, in bps
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    ticker: str = Field(pattern=r"^[A-Z]{1,8}$")
    name: str = Field(min_length=1)
    kind: Literal["retailer", "tech"]
    price: float = Field(default=30.0, ge=5, le=500)
    volatility: float = Field(default=4.0, ge=1, le=20)


class Quality(BaseModel):
    """How dirty the delivered files are, as shares of the rows of each file; all zero is a clean feed.

    late     bars that arrive 5 to 40 minutes after their minute
    revised  bars that are delivered a second time, with other values
    bad      rows that a reader must set aside: unparsable, NaN, negative, duplicated, crossed, a price off by ten times
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    late: float = Field(default=0.002, ge=0, le=0.2)
    revised: float = Field(default=0.001, ge=0, le=0.2)
    bad: float = Field(default=0.0003, ge=0, le=0.1)


# No company of these names is meant; the prices make a one-minute move about one tick, as in a liquid cheap stock.
DEFAULT_ENTITIES = (
    SimulatedEntity(ticker="BRKH", name="Brackenhall Stores", kind="retailer", price=28.0, volatility=3.6),
    SimulatedEntity(ticker="FNWK", name="Fenwick & Lowe", kind="retailer", price=33.0, volatility=3.4),
    SimulatedEntity(ticker="MRDN", name="Meridown Home", kind="retailer", price=24.0, volatility=4.2),
    SimulatedEntity(ticker="TSLW", name="Thistlewood Outfitters", kind="retailer", price=21.0, volatility=4.6),
    SimulatedEntity(ticker="QVNT", name="Quorvant Systems", kind="tech", price=30.0, volatility=4.2),
    SimulatedEntity(ticker="HLXA", name="Helixara", kind="tech", price=26.0, volatility=4.8),
    SimulatedEntity(ticker="NBRX", name="Nubrix Cloud", kind="tech", price=22.0, volatility=5.0),
    SimulatedEntity(ticker="VLGC", name="Verilogic Devices", kind="tech", price=35.0, volatility=3.8),
)


class SimulationConfig(BaseModel):
    """What market to simulate.

    seed      every random draw follows from it; a draw is the same whether `effects` is on or off, and an entity's own
              draws do not depend on which others there are
    sessions  trading days of the New York calendar; effects are measurable from about 60 on
    start     first day; the default 80 sessions hold two early closes and a change of daylight saving time
    effects   false: the same market with every planted effect switched off
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    seed: int = Field(default=5, ge=0, lt=2**63)
    sessions: int = Field(default=80, ge=1, le=1000)
    start: date = date(2024, 9, 3)
    entities: tuple[SimulatedEntity, ...] = Field(default=DEFAULT_ENTITIES, min_length=1, max_length=200)
    effects: bool = True
    quality: Quality = Quality()

    @field_validator("entities")
    @classmethod
    def _tickers_differ(cls, value: tuple[SimulatedEntity, ...]) -> tuple[SimulatedEntity, ...]:
        tickers = [entity.ticker for entity in value]
        if twice := sorted({ticker for ticker in tickers if tickers.count(ticker) > 1}):
            raise ValueError(f"ticker {twice[0]} is listed twice")
        return value

    @field_validator("start")
    @classmethod
    def _start_is_covered(cls, value: date) -> date:
        if not 2000 <= value.year < LAST_YEAR:
            raise ValueError(f"start {value} is outside the years that are simulated: 2000 to {LAST_YEAR - 1}")
        return value

    def tickers(self) -> list[str]:
        """Tickers of the simulated entities, in config order."""
        return [entity.ticker for entity in self.entities]

    def days(self) -> list[date]:
        """The simulated sessions."""
        return list(self.schedule()["session"])

    def schedule(self, before: int = 0, after: int = 0) -> pl.DataFrame:
        """The simulated sessions, with `before` and `after` more of the calendar around them: session, open, close.

        Raises ConfigError where the calendar does not reach.
        """
        margin = timedelta(days=2 * before + 20)
        span = timedelta(days=2 * (self.sessions + after) + 20)
        table = sessions(CALENDAR, self.start - margin, self.start + span)
        first = table.filter(pl.col("session") < self.start).height
        found = table.slice(first - before, before + self.sessions + after)
        if found.height < before + self.sessions + after:
            raise ConfigError(
                f"sessions {self.sessions} from {self.start} run past the {CALENDAR} calendar",
                hint="simulate fewer sessions or start earlier",
            )
        return found
