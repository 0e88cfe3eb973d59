"""What the sources of a config share: the options of every kind of file, and those of streams."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from sources.durations import Duration
from sources.site_rules import MatchingRules

Patterns = str | list[str]
Columns = dict[str, str | list[str]]
TableName = Literal["bar", "trade", "quote", "book_update", "order_event", "news", "event", "metric"]
STREAMS = ("bar", "trade", "quote", "book_update", "order_event")
BOOKS = ("book_update", "order_event")
TICKS = ("trade", "quote", *BOOKS)
_Brought = tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]]
LOOKS_AT = {"quotes": "quote", "trades": "trade", "sites": "site", "weights": "site"}
"""Options that name another source, whose rows the features look at too, and its table."""
_OPTIONS_OF = {
    ("trade",): ("quotes", "quote_lag", "bands", "hawkes"),
    BOOKS: ("levels", "depth_bps", "cost_size", "drought_warm_up", "spoofing_warm_up", "trades"),
    ("trade", *BOOKS): ("tick", "lot"),
    ("bar",): ("max_wick", "no_volume"),
}
_Ticks = Annotated[int, Field(ge=0, le=2**31 - 2)]


JOINT = " "
"""Between the texts, and the names, of columns that stand for one."""


def texts_of(value: object) -> object:
    """One value is a list of one; a number or a truth of YAML is read as the file writes it."""
    values = value if isinstance(value, list) else [value]
    return [text_of(one) for one in values]


def text_of(value: object) -> object:
    """A number or a truth of YAML as a file writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _names(value: object) -> object:
    """One name is a list of one."""
    return [value] if isinstance(value, str) else value


SourceNames = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_names)]


def timezone_name(value: str) -> str:
    """The name itself, where it is one of a time zone; else ValueError."""
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{value!r} is not an IANA time zone such as UTC or America/New_York") from error
    return value


Timezone = Annotated[str, AfterValidator(timezone_name)]


class BaseSource(BaseModel):
    """What every kind of source shares.

    files             a glob, a list of globs, or a mapping entity -> glob(s) where the file does not name its entity;
                      {entity} in a glob stands for it where the file's name does: bars/{entity}.csv.gz
    timezone          IANA name of the zone of clocks that carry no offset of their own
    max_age           a value older than this is not used at a decision
    quarantine_limit  share of the rows read that may be set aside before ingest stops with a QuarantineError
    columns           canonical column -> column of the file; a column of the canonical name needs no entry. A list of
                      columns stands for their texts with a space between them; of clocks, where no time_format says
                      otherwise, [date, time] or [year, month, day, time], as far as they go
    time_format       strptime format of the clocks, or epoch_s | epoch_ms | epoch_us | epoch_ns; default ISO 8601
    entity            the entity of every row, where neither the file nor `files` tells it
    encoding          of text files
    delimiter         between the fields of a CSV file
    quoted            whether fields of a CSV file may stand in double quotes
    header            the columns' names, in their order, of CSV files whose first line is data

    Of metrics that are observed by site or region:
    sites             the source of table site, or sources, that tell whose sites they are: features are `site_...`
    weights           the same, of metrics by region, which are weighted by each ticker's sites there: `region_...`
    matching          how observations of one site or region are compared (sources.site_rules)
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    # these do not change what ingest writes, so changing them must not make it write again
    not_in_key: ClassVar[set[str]] = {"max_age", "quarantine_limit", "sites", "weights", "matching"}

    files: Patterns | dict[str, Patterns]
    timezone: Timezone
    max_age: Duration
    quarantine_limit: float = Field(default=0.01, ge=0, le=1)
    columns: Columns = {}
    time_format: str | None = None
    entity: str | None = None
    encoding: str = "utf-8"
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    quoted: bool = True
    header: list[Annotated[str, Field(min_length=1)]] = []
    sites: SourceNames = ()
    weights: SourceNames = ()
    matching: MatchingRules = MatchingRules()

    @model_validator(mode="after")
    def _places_are_of_metrics(self) -> "BaseSource":
        holds = str(getattr(self, "table", ""))
        if holds != "metric" and (self.sites or self.weights or self.matching != MatchingRules()):
            raise ValueError(f"`sites`, `weights` and `matching` are for table metric, not for table: {holds}")
        if self.sites and self.weights:
            raise ValueError("`sites` says that observations are of sites, `weights` of regions; give one of them")
        if self.matching != MatchingRules() and not self.stores:
            raise ValueError("`matching` is used by nothing; write sites or weights: the source of table site")
        return self

    @property
    def stores(self) -> tuple[str, ...]:
        """The sources of table site that its features look at."""
        return self.sites or self.weights

    def looks_at(self) -> Iterator[tuple[str, str]]:
        """(option, source) of each other source whose rows its features look at."""
        for option in LOOKS_AT:
            named = getattr(self, option, None) or ()
            yield from ((option, other) for other in ((named,) if isinstance(named, str) else named))

    @field_validator("encoding")
    @classmethod
    def _encoding_exists(cls, value: str) -> str:
        try:
            # lines are told apart before they are decoded
            if "\n".encode(value) == b"\n":
                return value
        except LookupError:
            pass
        raise ValueError(f"{value!r} is not an encoding that keeps ASCII, such as utf-8, latin-1 or cp1252")

    @field_validator("columns")
    @classmethod
    def _lists_name_columns(cls, value: Columns) -> Columns:
        if wrong := [name for name, column in value.items() if not column]:
            raise ValueError(f"columns.{wrong[0]} names no column of the file")
        return value

    @model_validator(mode="after")
    def _columns_are_read(self) -> "BaseSource":
        # of known_time the kinds that have a rule of their own say more
        allowed = {*self.read_columns, "known_time"}
        if wrong := [name for name in self.columns if self.read_columns and name not in allowed]:
            raise ValueError(f"columns.{wrong[0]} is read by nothing; allowed: {', '.join(self.read_columns)}")
        return self

    @property
    def read_columns(self) -> tuple[str, ...]:
        """The canonical columns that `columns` may map; none: any, of readers that find their columns otherwise."""
        return ()

    @model_validator(mode="after")
    def _entity_is_told_once(self) -> "BaseSource":
        if self.named_by_entity and (self.entity is not None or isinstance(self.files, dict)):
            raise ValueError("{entity} in `files` tells the entity, and so do `entity` and a mapping; give one of them")
        return self

    @property
    def named_by_entity(self) -> bool:
        """Whether the files' names tell their entities."""
        return any("{entity}" in glob for globs in self.patterns.values() for glob in globs)

    def column(self, name: str) -> str:
        """The column of the file, or of those that `records` joins, that holds a canonical one."""
        told = self.columns.get(name, name)
        return told if isinstance(told, str) else JOINT.join(told)

    @property
    def patterns(self) -> dict[str | None, list[str]]:
        """Globs by the entity they are about, None where the rows tell it."""
        mapped = self.files.items() if isinstance(self.files, dict) else [(self.entity, self.files)]
        return {entity: [globs] if isinstance(globs, str) else globs for entity, globs in mapped}

    @property
    def companions(self) -> list[str]:
        """Paths of further files that decide what the rows become."""
        return []

    @property
    def ticks(self) -> bool:
        """Whether equal rows may be distinct facts, as two equal trades of one millisecond are."""
        return False

    @property
    def carries_book(self) -> bool:
        """Whether the order book goes on from one session to the next, as on a market that never closes."""
        return getattr(self, "continuous", False)


class HawkesModel(BaseModel):
    """A Hawkes process of buys and sells, in that order: events per second; `branching[i][j]` events of kind i that one
    of kind j brings; `decay`, per second, of all of them. See gpu_kernels.trade.hawkes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    baseline: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]
    branching: tuple[_Brought, _Brought]
    decay: float = Field(gt=0)


class StreamSource(BaseSource):
    """A source of bars, trades, quotes or book updates.

    delay           from the end of the event to its receipt; required unless the file has a known_time
    max_jump        a price this far (as a share) from the last good one of its session is set aside; none: no check
    extended_hours  the files hold pre- and post-market rows on purpose: count them and leave them out, but do not
                    hold them against quarantine_limit
    tick            price step, of trades and order books

    Of bars:
    max_wick        a bar whose high or low lies further than this (as a share) beyond both its open and its close is
                    set aside: bad prints that the vendor left in. It needs no other row; none: no check
    no_volume       what becomes of bars without volume, whose prices are those of an earlier trade: `keep` gives the
                    zero return that they tell, `leave_out` counts them, and the next bar's return spans them

    Of trades:
    quotes          the source of the quotes that they met: these tell the side of a trade where the feed does not, and
                    what trading costs
    quote_lag       the quote that a trade met is the last one known more than this before it. 0, the default, suits
                    trades and quotes of one clock that both bear the exchange's time. Of feeds by receipt one may come
                    systematically before the other: Binance's quotes reach one before the trades that moved them, and
                    then a lag brings back the quote before
    lot             step of sizes, of trades and order books: what is counted in whole numbers is counted in it
    bands           rising distances from the mid in ticks, within which arrivals of buys and sells are compared
    hawkes          parameters of the Hawkes process; none: fitted to the past

    Of order books:
    levels          how many of each side features read
    depth_bps       how far from the mid, in basis points, depth counts as near
    cost_size       the size whose cost of trading at once is told
    drought_warm_up of the first session, in which no drought is told: its depths and spreads are the first baseline
    spoofing_warm_up of the feed has to be seen before suspected spoofing is told: how much of it is usual
    trades          the source of the same market's trades: these tell what was taken and what was cancelled
    """

    not_in_key: ClassVar[set[str]] = BaseSource.not_in_key | {
        *("continuous", "tick", "quotes", "quote_lag", "lot", "bands", "hawkes"),
        *("levels", "depth_bps", "cost_size", "drought_warm_up", "spoofing_warm_up", "trades"),
    }

    delay: Duration | None = None
    max_jump: float | None = Field(default=None, gt=0)
    extended_hours: bool = False
    max_wick: float | None = Field(default=None, gt=0)
    no_volume: Literal["keep", "leave_out"] = "keep"
    tick: float | None = Field(default=None, gt=0)
    quotes: str | None = None
    quote_lag: Annotated[Duration, Field(ge=0)] = 0
    lot: float = Field(default=1e-8, gt=0)
    bands: tuple[_Ticks, _Ticks, _Ticks] = (10, 100, 1000)
    hawkes: HawkesModel | None = None
    levels: int = Field(default=10, ge=10, le=1000)
    depth_bps: float = Field(default=5.0, gt=0)
    cost_size: float | None = Field(default=None, gt=0)
    drought_warm_up: Annotated[Duration, Field(gt=0)] = 300 * 10**9
    spoofing_warm_up: Annotated[Duration, Field(gt=0, le=1200 * 10**9)] = 300 * 10**9
    trades: str | None = None

    @model_validator(mode="after")
    def _options_fit_what_it_holds(self) -> "StreamSource":
        holds = str(getattr(self, "table", ""))
        for tables, options in _OPTIONS_OF.items():
            for option in options:
                if holds not in tables and getattr(self, option) != type(self).model_fields[option].default:
                    raise ValueError(f"`{option}` is for tables {', '.join(tables)}, not for table: {holds}")
        if not self.bands[0] < self.bands[1] < self.bands[2]:
            raise ValueError(f"bands is {list(self.bands)}; allowed: three rising numbers of ticks")
        return self
