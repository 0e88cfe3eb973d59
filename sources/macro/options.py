"""The sources of macro series in a config: FRED-MD's files and ALFRED's vintages."""

import difflib
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from gpu_kernels.durations import DAY
from sources.durations import Duration
from sources.macro.lags import PublicationLag, packaged
from sources.source_options import BaseSource, Timezone


def metric_name(series: str, *, revised: bool) -> str:
    """The name of a series as a metric: S&P 500 is SP_500; `_revised` says that its history is not as first told."""
    return series.replace("&", "").replace(" ", "_") + ("_revised" if revised else "")


class FredMd(BaseSource):
    """FRED-MD's monthly files: a header of series, the row `Transform:` of their codes, a row a month.

    event_time is the first moment of the month, event_end the last one.

    series     names of series, groups of them (output_income, labor, housing, consumption_orders_inventories,
               money_credit, interest_exchange_rates, prices, stock_market), or all
    vintages   one: the file's history is as it stands now, revised. A value's known_time is its month's end plus the
               publication lag of its series, and its metric's name ends in _revised. each: each file YYYY-MM is a
               vintage of its own, known at its `release`; a value that differs from the vintage before is a row
    transform  tcode: made stationary as the file's codes say (sources.macro.transforms); yoy: change on the same month
               of the year before, of logs where the code takes logs; none: as in the file
    lags       of vintages: one: series -> {days, time, business} after the END of its month, before what the table says
    lag_table  packaged; none; or a CSV file of one's own (sources.macro.lags)
    release    of vintages: each: when the file of a month is public, after the END of that month
    """

    kind: Literal["fred_md"]
    timezone: Timezone = "America/New_York"
    max_age: Duration = 250 * DAY
    entity: str | None = "US"
    series: Literal["all"] | list[str]
    vintages: Literal["one", "each"] = "one"
    transform: Literal["tcode", "yoy", "none"] = "tcode"
    lags: dict[str, PublicationLag] = Field(default_factory=dict)
    lag_table: str = "packaged"
    release: PublicationLag = PublicationLag(days=5, time="16:30", business=True)

    @field_validator("series")
    @classmethod
    def _series_are_named(cls, value: str | list[str]) -> str | list[str]:
        if not value:
            raise ValueError("names no series; write names, groups, or all")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "FredMd":
        if self.columns or self.header or self.time_format:
            raise ValueError("`columns`, `header` and `time_format` are not for FRED-MD's files, whose layout is known")
        if isinstance(self.files, dict) or self.named_by_entity or self.entity is None:
            raise ValueError("the series are of one `entity`, e.g. US; write `files` as a glob or a list of them")
        if self.vintages == "each" and (self.lags or self.lag_table != "packaged"):
            raise ValueError("`lags` and `lag_table` are for vintages: one; of vintages: each `release` tells")
        # by its value and not by whether it was written: a run's own config.yaml writes every option
        if self.vintages == "one" and self.release != type(self).model_fields["release"].default:
            raise ValueError("`release` is for vintages: each; of vintages: one `lags` tell")
        if self.vintages == "one" and self.lag_table in {"packaged", "none"}:
            known = set(packaged()) if self.lag_table == "packaged" else set()
            if lacking := [name for name in self.names if name not in known | set(self.lags)]:
                raise ValueError(self._no_lag(lacking))
        return self

    def _no_lag(self, lacking: list[str]) -> str:
        name = lacking[0]
        groups = [found.group for found in packaged().values()]
        close = difflib.get_close_matches(name, [*packaged(), *dict.fromkeys(groups)], 2)
        meant = f"did you mean {' or '.join(close)}? else " if close and self.lag_table == "packaged" else ""
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        return (
            f"series {name!r}{more} has no publication lag; {meant}state it: "
            f'lags: {{{name}: {{days: 45, time: "08:30"}}}} (after the end of its month)'
        )

    @property
    def table(self) -> str:
        return "metric"

    @property
    def names(self) -> list[str]:
        """The series asked for, in the file's spelling."""
        wanted = list(packaged()) if self.series == "all" else self.series
        groups: dict[str, list[str]] = {}
        for name, found in packaged().items():
            groups.setdefault(found.group, []).append(name)
        return list(dict.fromkeys(name for one in wanted for name in groups.get(one, [one])))

    @property
    def metrics(self) -> list[str]:
        """What they are called as metrics."""
        return [metric_name(name, revised=self.vintages == "one") for name in self.names]

    @property
    def companions(self) -> list[str]:
        return [self.lag_table] if self.lag_table not in {"packaged", "none"} else []


class Alfred(BaseSource):
    """Vintages as ALFRED gives them, in either of its forms:

    long   date, realtime_start, realtime_end (if wanted) and value: what was said of a date from realtime_start up to
           and with realtime_end; a column `series` where a file holds several
    wide   date, and a column SERIES_YYYYMMDD for each vintage: what that said of each date

    A row is written where what is said changes; what is no longer said is withdrawn. known_time is `time` of the day of
    the vintage (none: that day's end) plus `delay`. event_time is the date, as the file counts it: of a period its
    first day.

    metrics   our name -> the file's series; of a file that does not name its series, the one there is
    no_value  texts of a value that say there is none
    """

    kind: Literal["alfred"]
    timezone: Timezone = "America/New_York"
    entity: str | None = "US"
    metrics: dict[str, str] = Field(min_length=1)
    time: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] | None = None
    delay: Annotated[Duration, Field(ge=0)] = 0
    no_value: list[str] = Field(default_factory=lambda: ["", "."])

    @model_validator(mode="after")
    def _consistent(self) -> "Alfred":
        if isinstance(self.files, dict) or self.named_by_entity or self.entity is None:
            raise ValueError("the series are of one `entity`, e.g. US; write `files` as a glob or a list of them")
        if "known_time" in self.columns:
            raise ValueError("known_time is that of realtime_start; where a column tells it: kind: table_file")
        if twice := [name for name in self.metrics.values() if [*self.metrics.values()].count(name) > 1]:
            raise ValueError(f"metrics: {twice[0]!r} is listed twice")
        return self

    @property
    def read_columns(self) -> tuple[str, ...]:
        return ("event_time", "realtime_start", "realtime_end", "value", "series")

    @property
    def table(self) -> str:
        return "metric"
