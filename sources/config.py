"""The `sources:` section of a config: one model for each kind of file, told apart by `kind`.

Every source names the time zone of its clocks and says how `known_time` comes about; one that cannot is refused here
or, where only the file can tell, when its header is read. `${NAME}` in a path is expanded by `sources.files`.
"""

import datetime as dt
import re
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from gpu_kernels.durations import DAY
from gpu_kernels.errors import ConfigError
from sources.daily_options import DailyFile
from sources.durations import Duration
from sources.entity_names import EntityNames, NamesFile
from sources.macro.options import Alfred, FredMd
from sources.site_options import SiteFile
from sources.source_options import BaseSource, StreamSource, Timezone, texts_of
from sources.table_options import CLOCKS, Constants, MetricOptions, TableFile, check_constants

RECEIPTS = {
    "binance_raw": "the local receipt recorded in the file, moved forward where the recorder's clock was seen to be "
    "behind the exchange's (least latency {minimum_latency})",
    "bitstamp_orders": "the local receipt recorded in the file",
    "tardis_csv": "the receipt that Tardis recorded (local_timestamp)",
    "databento_dbn": "the receipt that Databento recorded (ts_recv)",
}
"""Of the kinds whose files hold the time of receipt: what it is. Of the others, LOBSTER among them, a delay of the
config tells known_time."""
ENTITY_DELIMITER = r"[\s,;|]+"
"""Between the tickers of an item of news."""
_TABLE_OF_DATA = {"order": "order_event", "trade": "trade", "quote": "quote", "book": "book_update"}


class ThinkorswimCsv(StreamSource):
    """thinkorswim-style minute export: `Date, Time, Open, High, Low, Close, Volume`, one file an entity and period,
    files overlapping. A stamp is the bar's START; a bar is known at its end plus `delay`.

    metrics  our name -> column of the file, e.g. {nyse_tick: Close}: the file holds an indicator, which may be zero or
             negative and has no returns, and is read as a metric. The entity is then whom it concerns, e.g. US
    """

    kind: Literal["thinkorswim_csv"]
    bar: Duration
    delay: Duration
    metrics: dict[str, Literal["Open", "High", "Low", "Close", "Volume"]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _entity_is_told(self) -> "ThinkorswimCsv":
        if not isinstance(self.files, dict) and self.entity is None and not self.named_by_entity:
            raise ValueError("the files do not tell their entity: write files: {NAME: ...}, or entity: NAME")
        if self.metrics and isinstance(self.files, dict) and len(self.files) > 1:
            raise ValueError(f"`metrics` are of one entity, e.g. US; files names {', '.join(self.files)}")
        if self.metrics and (self.max_jump is not None or self.extended_hours):
            raise ValueError("`max_jump` and `extended_hours` are for bars, not for `metrics`")
        return self

    @property
    def table(self) -> str:
        return "metric" if self.metrics else "bar"


class LeanZip(StreamSource):
    """QuantConnect LEAN zips, `<folder>/<entity>/<yyyymmdd>_<data>.zip`.

    Clocks are milliseconds of the day in `timezone`; a bar's stamp is its START. The entity is the folder's name in
    capitals unless `files` maps it; a future's is `<entity>-<yyyymm>` of each contract in the zip. Equity prices are
    stored times 10,000. An equity's tick quotes are the consolidated best bid and offer, as pairs of rows of one stamp.

    contract            of bars of futures: each, or `front` for one series under the folder's name, which in each
                        session is the contract that sources.front_contract chooses by the volume known at its open
    suspicious          what becomes of ticks that the vendor flags
    exchanges           only trade ticks of these venues (LEAN's letters); none: all
    exclude_conditions  trade ticks that have any of these bits in their sale condition are left out (LEAN's hexadecimal
                        numbers, e.g. "2000")
    """

    kind: Literal["lean_zip"]
    security: Literal["equity", "future", "crypto", "index", "forex"]
    resolution: Literal["tick", "second", "minute"]
    data: Literal["trade", "quote"]
    delay: Duration
    contract: Literal["each", "front"] = "each"
    suspicious: Literal["set_aside", "keep"] = "set_aside"
    exchanges: list[str] | None = None
    exclude_conditions: list[Annotated[str, Field(pattern=r"^[0-9a-fA-F]{1,8}$")]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _filters_fit_data(self) -> "LeanZip":
        filters = self.exchanges is not None or self.exclude_conditions
        if filters and (not self.ticks or self.data == "quote" or self.security == "crypto"):
            raise ValueError("`exchanges` and `exclude_conditions` are for trade ticks, and not of crypto")
        if self.contract == "front" and (self.security != "future" or self.table != "bar"):
            raise ValueError("`contract: front` is for bars of futures (security: future, data: trade, no ticks)")
        return self

    @property
    def excluded_bits(self) -> int:
        bits = 0
        for text in self.exclude_conditions:
            bits |= int(text, 16)
        return bits

    @property
    def table(self) -> str:
        """Ticks are trades or quotes, intervals are bars or the quotes at their ends."""
        return "quote" if self.data == "quote" else "trade" if self.resolution == "tick" else "bar"

    @property
    def ticks(self) -> bool:
        return self.resolution == "tick"

    @property
    def bar(self) -> int:
        return {"tick": 0, "second": 10**9, "minute": 60 * 10**9}[self.resolution]


class BookFeed(StreamSource):
    """A venue's own feed. Most files hold the times of receipt (RECEIPTS).

    delay       from the receipt in the file to one's own; known_time is the receipt plus this
    continuous  the book goes on from session to session, as on a market that never closes
    """

    timezone: Timezone = "UTC"
    delay: Duration = 0
    continuous: bool = False

    @property
    def ticks(self) -> bool:
        return True


class BitstampOrders(BookFeed):
    """Bitstamp's order feed: `orders.csv` of ob-analytics, or the raw log of lines `<ms> <message> <JSON>`.

    data: order are the messages about orders, of both kinds of file; trade and book (the snapshots of the best levels)
    are in the log only. Both clocks are the local receipt.
    """

    kind: Literal["bitstamp_orders"]
    data: Literal["order", "trade", "book"] = "order"
    continuous: bool = True

    @property
    def table(self) -> str:
        return _TABLE_OF_DATA[self.data]


class BinanceRaw(BookFeed):
    """Binance websocket logs, lines `<local ns> <JSON>`, of one market: its book (a snapshot and the depth changes),
    its best quotes (bookTicker) or its trades, whichever `data` says.

    minimum_latency   least time that a message takes: where the local clock shows less, it is behind and is corrected
    """

    kind: Literal["binance_raw"]
    market: Literal["spot", "usdm", "coinm"]
    data: Literal["book", "quote", "trade"]
    continuous: bool = True
    minimum_latency: Duration = 0

    @property
    def table(self) -> str:
        return _TABLE_OF_DATA[self.data]


class TardisCsv(BookFeed):
    """Tardis.dev's downloadable CSV files: `data: book` reads incremental_book_L2 or book_snapshot_N, `trade` reads
    trades, `quote` reads quotes or book_ticker. event_time is `timestamp`, known_time `local_timestamp` plus `delay`.

    Entities are the files' symbols unless `entity` or `files` names the one.

    symbol  only rows of this symbol, of files that hold several
    """

    kind: Literal["tardis_csv"]
    data: Literal["book", "trade", "quote"]
    symbol: str | None = None
    continuous: bool = True

    @property
    def table(self) -> str:
        return _TABLE_OF_DATA[self.data]


class Lobster(BookFeed):
    """LOBSTER message files `<entity>_<yyyy-mm-dd>_<start>_<end>_message_<levels>.csv`: the orders of one NASDAQ day.

    data: order are types 1 to 4, trade are types 4 to 6. Clocks are the exchange's, so `delay` must be told.
    date    of files whose name does not tell it
    """

    kind: Literal["lobster"]
    data: Literal["order", "trade"] = "order"
    timezone: Timezone = "America/New_York"
    delay: Duration
    date: dt.date | None = None

    @property
    def table(self) -> str:
        return _TABLE_OF_DATA[self.data]


class DatabentoDbn(BookFeed):
    """Databento's binary files (.dbn, .dbn.zst): known_time is ts_recv, event_time is ts_event.

    data: order needs schema mbo; quote mbp-1; book mbp-10 or mbp-1; trade any of these, trades or tbbo. Entities
    are the symbols of the file's own mapping unless `entity` or `files` names the one.
    """

    kind: Literal["databento_dbn"]
    data: Literal["order", "trade", "quote", "book"]

    @property
    def table(self) -> str:
        return _TABLE_OF_DATA[self.data]


class NewsFile(BaseSource):
    """News or posts as CSV, JSON Lines or Parquet, one row an item.

    `entity` of an item is a list (JSON) or a string of tickers between `entity_delimiter`s; it gives one row for each.
    Items without an identifier get a hash of their time and text. Clocks are the columns event_time (what the item is
    about), published and received, as many as the file has: known_time is the latest that a row has plus `delay`
    (sources.readers.news_clocks).

    delay            from the latest clock to one's own receipt; required where the file has no `received`. With a
                     delay, a row whose `received` is blank falls back to its other clocks; without, it is set aside
    date_only        when an item counts as known whose clock names only a day: end_of_day, the midnight that ends it in
                     `timezone`; next_open, the first open of the run's calendar after that; or a time of that day,
                     e.g. "14:00", where one knows it
    clock_tolerance  by how much a later clock may show an earlier time than an earlier one, as clocks that nobody set
                     alike do; a row beyond it is set aside
    only             column of the file -> the values (or the one) wanted; rows with others are counted and left out
    link             whom an item is about is told by the names in its text (sentiment.names), besides by the file
    """

    kind: Literal["news_file"]
    delay: Duration | None = None
    entity_delimiter: str = ENTITY_DELIMITER
    date_only: str = "end_of_day"
    clock_tolerance: Duration = 60 * 10**9
    only: dict[str, Annotated[list[str], BeforeValidator(texts_of)]] = Field(default_factory=dict)
    link: bool = False

    @model_validator(mode="before")
    @classmethod
    def _names_are_elsewhere(cls, entry: object) -> object:
        told = entry if isinstance(entry, dict) else {}
        table = told.get("names", told.get("link"))
        if "names" in told or isinstance(table, str):
            raise ValueError(
                f"the table of names is no option of a source; write link: true here and sentiment: {{names: {table}}} "
                "at the top"
            )
        return entry

    @field_validator("date_only", mode="before")
    @classmethod
    def _date_only_is_known(cls, value: object) -> object:
        if value in {"end_of_day", "next_open"} or re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", str(value)):
            return value
        # 14:00 without quotes is a number to YAML
        raise ValueError(f'{value!r} is not end_of_day, next_open, or a time of day in quotes such as "14:00"')

    @model_validator(mode="after")
    def _known_time_is_told(self) -> "NewsFile":
        if "known_time" in self.columns:
            raise ValueError("columns.known_time: the clocks of news are event_time, published and received")
        if self.delay is None and "received" not in self.columns:
            raise ValueError("no known_time: give columns.received, or delay (the latest clock to receipt)")
        if self.link and self.entity is not None:
            raise ValueError("`entity` says whom all of it is about, `link` that its texts do; give one of them")
        return self

    @property
    def table(self) -> str:
        return "news"


class CalendarFile(BaseSource):
    """A calendar of scheduled events: `kinds` maps our event type to the calendar's own names of it.

    known_time is a column, or `announced` before the event.

    unscheduled  days, in `timezone`, whose events nobody had announced: they are known when they happen. A calendar
                 that was written down afterwards holds them like the others, as the Fed's two cuts of March 2020
    """

    kind: Literal["calendar_file"]
    max_age: Duration = 365 * DAY
    kinds: dict[str, list[str]] = Field(min_length=1)
    announced: Duration | None = None
    unscheduled: list[dt.date] = Field(default_factory=list)

    @model_validator(mode="after")
    def _known_time_is_told(self) -> "CalendarFile":
        if self.announced is None and "known_time" not in self.columns:
            raise ValueError("no known_time: give columns.known_time, or announced (how long before the event)")
        if self.unscheduled and "known_time" in self.columns:
            raise ValueError(
                "`unscheduled` goes with `announced`; columns.known_time tells of each event when it was known"
            )
        names = [name for group in self.kinds.values() for name in group]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"kinds: {twice[0]!r} is listed twice")
        return self

    @property
    def table(self) -> str:
        return "event"


class SeriesFile(MetricOptions):
    """Daily series, one column each: `metrics` maps our name to the file's column. `constants` (of all the series, e.g.
    {unit: index, licence: CC BY 4.0}) and `entity_names` as of table_file.

    known_time is a column (of vintages), or told by the lag rule `known` or by `delay`. An empty cell is a day without
    a value.
    """

    kind: Literal["series_file"]
    metrics: dict[str, str] = Field(min_length=1)
    constants: Constants = Field(default_factory=dict)
    entity_names: EntityNames | None = None
    no_value: list[str] = Field(default_factory=lambda: ["", "."])

    @model_validator(mode="after")
    def _constants_are_columns(self) -> "SeriesFile":
        check_constants(self.constants, "metric", self.columns, ("metric",))
        return self

    @model_validator(mode="after")
    def _known_time_is_told(self) -> "SeriesFile":
        told = (self.known is not None, self.delay is not None, "known_time" in self.columns)
        if sum(told) != 1:
            raise ValueError(
                "known_time: give exactly one of columns.known_time, known: {days, time, business}, and delay"
            )
        return self

    @property
    def read_columns(self) -> tuple[str, ...]:
        return ("entity", *CLOCKS)

    @property
    def companions(self) -> list[str]:
        return [self.entity_names.file] if isinstance(self.entity_names, NamesFile) else []

    @property
    def table(self) -> str:
        return "metric"


# one entry of `sources:`; `.table` is the canonical table that it fills
Source = Annotated[
    ThinkorswimCsv
    | LeanZip
    | BinanceRaw
    | BitstampOrders
    | TardisCsv
    | Lobster
    | DatabentoDbn
    | TableFile
    | DailyFile
    | NewsFile
    | CalendarFile
    | SeriesFile
    | FredMd
    | Alfred
    | SiteFile,
    Field(discriminator="kind"),
]
_ADAPTER: TypeAdapter[Source] = TypeAdapter(Source)


def parse_source(name: str, entry: object) -> Source:
    """The model of one entry of `sources:`.

    Raises ConfigError naming the entry, the option, the value got and what is allowed.
    """
    try:
        return _ADAPTER.validate_python(entry)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        raise ConfigError(
            f"sources.{name}{'.' + where if where else ''}: {first['msg'].removeprefix('Value error, ')}",
            hint="see the kinds in sources/config.py, the options of all in sources/source_options.py",
        ) from error
