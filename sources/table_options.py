"""What a config may say of `kind: table_file`: any CSV, JSON Lines or Parquet file as any canonical table; and what all
files of metrics share."""

import datetime as dt
from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gpu_kernels.durations import DAY, format_duration
from sources.durations import Duration
from sources.entity_names import EntityNames, NamesFile
from sources.metric_screen import Screen
from sources.schema import TABLES
from sources.source_options import BOOKS, BaseSource, Columns, StreamSource, TableName, text_of, texts_of

CLOCKS = ("event_time", "event_end", "known_time", "ingested_time")
_OF_METRICS = ("known", "period", "no_value", "nowcast", "backfill", "backfill_after", "screen")
Constants = dict[str, Annotated[str, BeforeValidator(text_of)]]


def check_constants(constants: Constants, table: str, columns: Columns, told: Collection[str] = ()) -> None:
    """Raises ValueError for a constant of a column that there is none of, or that is `told` otherwise."""
    allowed = [name for name in TABLES[table].schema if name not in (*CLOCKS, "entity", "session", "value", *told)]
    for name in constants:
        if name not in allowed:
            hint = "; the entity of every row is `entity`" if name == "entity" else ""
            raise ValueError(f"constants.{name}; allowed: {', '.join(allowed)}{hint}")
        if name in columns:
            raise ValueError(f"{name} is in `columns` and in `constants`; give one of them")


class LagRule(BaseModel):
    """When a daily value is public: at `time` of the day `days` after its own, in the source's time zone.

    With `business` the days are sessions of the run's calendar. Nothing was public before the day `since`, on which the
    series was first published, with its history.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    days: int = Field(ge=0)
    time: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    business: bool = False
    since: dt.date | None = None


class MetricOptions(BaseSource):
    """What files of metrics share: how the clocks of their rows come about.

    delay           from the event, or the end of its period, to its receipt
    known           the lag rule, from the day of the event, or the last day of its period
    period          the value is of the local day, month, quarter or year that holds event_time, which ends with it
    nowcast         a value may be known before its period is over, as of a month under way
    backfill        what becomes of known_time where the row was written later (ingested_time): trust it; or
                    as_ingested, the later of both counts
    backfill_after  rows that were written this long after known_time are history filled in later, and are counted
    """

    delay: Duration | None = None
    known: LagRule | None = None
    period: Literal["day", "month", "quarter", "year"] | None = None
    nowcast: bool = False
    backfill: Literal["trust", "as_ingested"] = "trust"
    backfill_after: Annotated[Duration, Field(ge=0)] = 7 * DAY


class TableFile(StreamSource, MetricOptions):
    """Any CSV, JSON Lines or Parquet file as any canonical table, by a mapping of columns.

    known_time is a column of that name or in `columns`; else `delay` after the event (of metrics with an end: after
    that), or by the lag rule `known`; else reading the header fails.

    constants    canonical column -> its value in every row, e.g. {metric: ships, unit: count, licence: MIT}
    only         column of the file -> the values (or the one) wanted; rows with others are counted and left out
    entity_names what the file calls an entity -> what it is called here, e.g. {1: US-AL}; or a CSV file that tells it:
                 {file: states.csv, key: statefips, name: stateabbrev, prefix: US-}. Rows of others are set aside
    bar          of bars: their length, where event_time is a bar's START, so that it ends (and is known) one bar later;
                 none: event_time is the END, and bars may be of any length, as tick, volume and dollar bars are
    stamp_after  how long after the bar's START the stamp lies: 4min where five-minute bars are named by their last
                 minute (09:34 covers 09:30:00 to 09:34:59); the length of the bar where they are named by their END
    volume_unit  what one unit of the file's volume is in shares or contracts, e.g. 100
    continuous   a book goes on from session to session

    Of metrics, besides what MetricOptions tells:
    no_value        texts of `value` that say there is none, e.g. ["."]: such rows are counted and left out. An empty
                    cell that is not listed withdraws the fact
    screen          values set aside that cannot be what they say (sources.metric_screen)
    """

    kind: Literal["table_file"]
    table: TableName
    constants: Constants = Field(default_factory=dict)
    only: dict[str, Annotated[list[str], BeforeValidator(texts_of)]] = Field(default_factory=dict)
    entity_names: EntityNames | None = None
    bar: Annotated[Duration, Field(gt=0)] | None = None
    stamp_after: Annotated[Duration, Field(ge=0)] = 0
    volume_unit: float = Field(default=1, gt=0)
    continuous: bool = False
    no_value: list[str] = Field(default_factory=list)
    screen: Screen | None = None

    @property
    def ticks(self) -> bool:
        return self.table in {"trade", "quote"}

    @property
    def read_columns(self) -> tuple[str, ...]:
        return tuple(name for name in TABLES[self.table].schema if name != "session")

    @property
    def companions(self) -> list[str]:
        return [self.entity_names.file] if isinstance(self.entity_names, NamesFile) else []

    @model_validator(mode="after")
    def _options_fit_table(self) -> "TableFile":
        if self.bar is not None and self.table != "bar":
            raise ValueError(f"`bar` is for table: bar, not for table: {self.table}")
        if self.volume_unit != 1 and self.table != "bar":
            raise ValueError(f"`volume_unit` is for table: bar, not for table: {self.table}")
        if self.stamp_after > (self.bar or 0):
            told = "no `bar`" if self.bar is None else f"bar {format_duration(self.bar)}"
            raise ValueError(f"stamp_after is {format_duration(self.stamp_after)} with {told}; allowed: up to the bar")
        if self.continuous and self.table not in BOOKS:
            raise ValueError(f"`continuous` is for tables {', '.join(BOOKS)}, not for table: {self.table}")
        for option in _OF_METRICS if self.table != "metric" else ():
            if getattr(self, option) != type(self).model_fields[option].get_default(call_default_factory=True):
                raise ValueError(f"`{option}` is for table: metric, not for table: {self.table}")
        return self

    @model_validator(mode="after")
    def _constants_are_columns(self) -> "TableFile":
        check_constants(self.constants, self.table, self.columns)
        return self

    @model_validator(mode="after")
    def _known_time_is_told_once(self) -> "TableFile":
        told = [name for name in ("known", "delay") if getattr(self, name) is not None]
        told += ["columns.known_time"] if "known_time" in self.columns else []
        if self.known is not None and len(told) > 1:
            raise ValueError(f"known_time is told by {' and by '.join(told)}; give one of them")
        return self
