"""What a config may say of `kind: daily_file`: bars of one a session."""

from typing import Literal

from pydantic import model_validator

from gpu_kernels.durations import DAY, format_duration
from sources.durations import Duration
from sources.source_options import Columns, StreamSource

YAHOO: Columns = {
    "event_time": "Date",
    **{name: name.capitalize() for name in ("open", "high", "low", "close", "volume")},
}
"""Canonical column -> column of Yahoo's downloads."""


class DailyFile(StreamSource):
    """Daily bars, one a session of the run's calendar, as Yahoo's downloads are: Date, Open, High, Low, Close, Adj
    Close, Volume. event_time is the session's close, known_time `delay` later. Where several files hold an entity, they
    are of one download, since another one is adjusted otherwise.

    columns   by default Yahoo's; event_time is the date
    adjusted  the column of closes adjusted for splits and dividends: all prices are brought to it, and volume too, see
              sources.readers.daily_file; none: the prices are taken as they are
    max_age   in days, each of which is a session: with 1d a bar is used until that of the next session is due
    """

    kind: Literal["daily_file"]
    columns: Columns = YAHOO
    delay: Duration
    adjusted: str | None = None

    @model_validator(mode="after")
    def _counts_sessions(self) -> "DailyFile":
        if self.max_age % DAY or not self.max_age:
            raise ValueError(
                f"max_age is {format_duration(self.max_age)}; allowed: whole days, each of them a session, e.g. 1d"
            )
        if "known_time" in self.columns:
            raise ValueError("columns.known_time: daily bars are known `delay` after their session's close")
        if self.max_jump is not None:
            raise ValueError("`max_jump` compares prices of one session, of which a daily bar is the only one")
        return self

    @property
    def read_columns(self) -> tuple[str, ...]:
        return (*YAHOO, "entity")

    @property
    def sessions_kept(self) -> int:
        """How many sessions' bars may be used at a time: the last one that is due, and those before it."""
        return self.max_age // DAY

    @property
    def table(self) -> str:
        return "bar"


def _list_of_values(value: object) -> object:
    """One value is a list of one; a number or a truth of YAML is read as the file writes it."""
    values = value if isinstance(value, list) else [value]
    return [str(one).lower() if isinstance(one, bool) else str(one) if isinstance(one, int) else one for one in values]
