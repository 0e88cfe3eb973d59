"""The config of a run: safe YAML, checked by pydantic, one line per mistake.

A config names its sources, the decision grid, the targets, the features to build, and the settings of each later step.
Each step's section is defined beside its algorithm; this module puts them together and reads the file.
"""

import hashlib
import json
import re
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from fusion.evaluation import EvaluationConfig
from fusion.feature_fit import FitConfig
from fusion.flags import FlagsConfig, stale_sources
from fusion.model import ModelConfig
from fusion.regime import RegimeConfig
from fusion.selection import SelectionConfig
from fusion.sentiment_config import SentimentConfig
from fusion.signals_config import SignalsConfig
from fusion.target import PRICES, TargetConfig
from fusion.volatility.settings import VolatilityConfig
from fusion.walk_forward import WalkForwardConfig
from gpu_kernels.durations import parse_duration
from gpu_kernels.errors import ConfigError
from sources.config import Source
from sources.daily_options import DailyFile
from sources.durations import Duration
from sources.simulate import SimulationConfig
from sources.source_options import BOOKS, LOOKS_AT

# what each kind of source can be used for once; others may be many
_ONE_OF = ("bar",)
_LONGEST_NAME = 100

_FIRST_DAY, _LAST_DAY = date(1950, 1, 1), date(2100, 12, 31)


# in this order: a moment at midnight, as a run's own config.yaml writes it, is no day
_Edge = Annotated[AwareDatetime | date | None, Field(union_mode="left_to_right")]


def day_of(edge: date | datetime | None) -> date | None:
    """The UTC day of a window's edge."""
    return edge.astimezone(UTC).date() if isinstance(edge, datetime) else edge


def first_moment(start: date | datetime) -> datetime:
    """The first moment of a window that starts so."""
    return start if isinstance(start, datetime) else datetime.combine(start, time.min, UTC)


def last_moment(end: date | datetime) -> datetime:
    """The last moment of a window that ends so."""
    return end if isinstance(end, datetime) else datetime.combine(end, time.max, UTC)


class Section(BaseModel):
    """A part of the config; an unknown key is an error, so that a typo never goes unseen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DecisionConfig(Section):
    """The decision grid of each session: open + first, then every step, up to close - last; each point plus delay. Or
    `daily` instead: one decision a session, e.g. `close + 30min`, `close - 5min`, `open - 15min`."""

    step: Annotated[Duration, Field(gt=0)] | None = None
    first: Duration = 0
    last: Duration = 0
    delay: Duration = 0
    daily: Annotated[str, Field(pattern=r"^(open|close)( ?[+-] ?\d+(ms|s|min|h))?$")] | None = None

    @model_validator(mode="after")
    def _one_sort(self) -> "DecisionConfig":
        if (self.step is None) == (self.daily is None):
            raise ValueError("write either step (every so long) or daily (once a session, e.g. close + 30min)")
        if self.daily is not None and (self.first or self.last or self.delay):
            raise ValueError("first, last and delay go with step; daily says all, e.g. close + 30min")
        return self

    @property
    def once(self) -> tuple[str, int]:
        """Of `daily`: open or close, and how long after it (ns; below 0: before). ("open", 0) where there is none."""
        edge, sign, time = re.fullmatch(r"(open|close) ?([+-]?) ?(.*)", self.daily or "open").groups()  # type: ignore[union-attr]
        return edge, parse_duration(time or 0) * (-1 if sign == "-" else 1)

    @property
    def lead(self) -> int:
        """How long before its session's open (ns) the decision is made."""
        edge, after = self.once
        return max(-after, 0) if edge == "open" else 0


def _names(value: Any) -> Any:
    """One name is a list of one."""
    if isinstance(value, str):
        return value if value == "all" else [value]
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError("names of features are a list, e.g. [price, bar_rsi_21]; or one name, or all")
    return value


class RunConfig(Section):
    """A whole run. `entities: simulated` takes those of the embedded market. `start` and `end` are days, or moments
    (2024-08-08T23:55:00Z), which cut the first and last session short. Without `targets` only features are made, for
    which no prices are needed."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    calendar: str = "XNYS"
    entities: Annotated[list[str], Field(min_length=1)] | Literal["simulated"]
    start: _Edge = None
    end: _Edge = None
    seed: int = 7
    simulate: SimulationConfig | None = None
    sources: dict[str, Source]
    decisions: DecisionConfig
    targets: TargetConfig | None = None
    features: dict[str, Annotated[Literal["all"] | list[str], BeforeValidator(_names)]]
    feature_fit: FitConfig = FitConfig()
    volatility: VolatilityConfig = VolatilityConfig()
    sentiment: SentimentConfig = SentimentConfig()
    regime: RegimeConfig = RegimeConfig()
    walk_forward: WalkForwardConfig = WalkForwardConfig()
    selection: SelectionConfig = SelectionConfig()
    model: ModelConfig = ModelConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    flags: FlagsConfig = FlagsConfig()
    signals: SignalsConfig = SignalsConfig()

    @model_validator(mode="after")
    def _sources_name_folders(self) -> "RunConfig":
        for name in self.sources:
            if not name or name[0] == "." or set(name) & set("/\\\0") or len(name) > _LONGEST_NAME:
                raise ValueError(f"source {name[:_LONGEST_NAME]!r} is no name of a folder in the lake; write e.g. wire")
        return self

    @model_validator(mode="after")
    def _features_fit_sources(self) -> "RunConfig":
        for name in self.features:
            if name not in self.sources:
                raise ValueError(f"features names {name!r}, which is no source; sources: {', '.join(self.sources)}")
            source = self.sources[name]
            if source.table in BOOKS and getattr(source, "tick", None) is None:
                raise ValueError(
                    f"source {name!r} is an order book and has no tick; write its price step, e.g. tick: 0.01"
                )
            for option, other in source.looks_at():
                table = LOOKS_AT[option]
                if other not in self.sources or self.sources[other].table != table:
                    raise ValueError(f"sources.{name}.{option} is {other!r}; allowed: a source of table {table}")
            told = {"metric": "metrics", "event": "kinds"}.get(source.table)
            if told is not None and self.features[name] == "all" and not hasattr(source, told):
                # what a table holds is known only when it has been read to its end, which a decision must not wait for
                raise ValueError(f"features.{name} is all, but only the file knows which {told} it holds; list them")
        return self

    @model_validator(mode="after")
    def _names_fit_sources(self) -> "RunConfig":
        linked = [name for name, source in self.sources.items() if getattr(source, "link", False)]
        told = self.sentiment
        if linked and told.names is None:
            raise ValueError(f"sources.{linked[0]}.link needs sentiment.names: a table of names, or packaged")
        if told.names is not None and not (linked or told.passages or told.mask):
            raise ValueError(
                "sentiment.names is used by nothing; write link: true in a source of news, sentiment.passages or .mask"
            )
        return self

    @model_validator(mode="after")
    def _volatility_fits_sources(self) -> "RunConfig":
        events, market = self.volatility.events, self.volatility.market
        if events is not None and (events not in self.sources or self.sources[events].table != "event"):
            raise ValueError(f"volatility.events is {events!r}; allowed: a source of table event")
        if market is not None and not isinstance(self.entities, str) and market not in self.entities:
            raise ValueError(f"volatility.market is {market!r}; allowed: one of entities, {', '.join(self.entities)}")
        return self

    @model_validator(mode="after")
    def _alternative_data_are_sources(self) -> "RunConfig":
        for name in self.evaluation.alternative or ():
            if name not in self.sources:
                raise ValueError(
                    f"evaluation.alternative names {name!r}, which is no source; sources: {', '.join(self.sources)}"
                )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> "RunConfig":
        if self.simulate is None and (self.start is None or self.end is None):
            raise ValueError("start and end are needed where nothing is simulated; write both as YYYY-MM-DD")
        if self.entities == "simulated" and self.simulate is None:
            raise ValueError("entities: simulated needs a simulate: section; or list the tickers")
        if self.start and self.end and first_moment(self.start) > last_moment(self.end):
            raise ValueError(f"start {self.start} is after end {self.end}")
        for day in (day_of(self.start), day_of(self.end)):
            if day is not None and not _FIRST_DAY <= day <= _LAST_DAY:
                raise ValueError(f"{day} is outside of {_FIRST_DAY} .. {_LAST_DAY}")
        if not isinstance(self.entities, str) and len(set(self.entities)) < len(self.entities):
            raise ValueError("entities holds one twice; name each once")
        for table in _ONE_OF:
            found = [name for name, source in self.sources.items() if source.table == table]
            if len(found) > 1:
                raise ValueError(f"{len(found)} sources of table {table} ({', '.join(found)}); one is allowed")
        if self.targets is None:
            return self
        price = self.targets.price
        if price is None and self.source_of("bar") is None:
            raise ValueError("no source of table bar; name the source of the prices: targets.price")
        if price is not None and (price not in self.sources or self.sources[price].table not in PRICES):
            raise ValueError(f"targets.price is {price!r}; allowed: a source of table {', '.join(PRICES)}")
        return self

    @model_validator(mode="after")
    def _flags_fit_sources(self) -> "RunConfig":
        for name in self.flags.stale:
            if name not in stale_sources(self):
                raise ValueError(
                    f"flags.stale names {name!r}; allowed: {', '.join(stale_sources(self)) or 'none of these sources'}"
                )
        return self

    @model_validator(mode="after")
    def _daily_fits(self) -> "RunConfig":
        if self.decisions.daily is not None and self.walk_forward.block is not None:
            raise ValueError("walk_forward.block cuts days, in each of which decisions.daily makes one decision")
        if self.decisions.daily is None and any(isinstance(source, DailyFile) for source in self.sources.values()):
            raise ValueError("daily bars go with one decision a session: write decisions: {daily: close + 30min}")
        if self.targets is None:
            return self
        daily = isinstance(self.sources[self.price_source], DailyFile)
        if self.targets.daily and (not daily or self.decisions.daily is None):
            raise ValueError(
                "targets.horizons in sessions need prices of a source of kind daily_file, and decisions.daily; else "
                "write times, e.g. 15min"
            )
        if daily and not self.targets.daily:
            raise ValueError("targets.horizons are times, but the prices are daily; write e.g. 5 sessions")
        return self

    @property
    def predicted(self) -> TargetConfig:
        """The targets of a run. Raises ConfigError where there are none."""
        if self.targets is None:
            raise ConfigError(
                "targets is missing, so there is nothing to predict",
                hint="write targets and a source of prices, or make the features alone: `trifuse features`",
            )
        return self.targets

    @property
    def price_source(self) -> str:
        """The name of the source whose prices the targets are returns of."""
        return self.predicted.price or self.source_of("bar") or ""

    def source_of(self, table: str) -> str | None:
        """The name of the (first) source that fills a table."""
        return next((name for name, source in self.sources.items() if source.table == table), None)

    def digest(self) -> str:
        """sha256 of the config's content, whatever its layout in YAML."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class _UniqueKeys(yaml.SafeLoader):
    """Safe YAML in which a key written twice is an error: the first one would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"key {key.value!r} is there twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _place(error: yaml.YAMLError) -> str:
    """What is wrong and where, without YAML's own drawing of the line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem} (line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1})"
    return str(error)


def load(path: Path | str, overrides: list[str] | None = None) -> RunConfig:
    """Read a config; `overrides` are `key.sub=value` with a YAML value, e.g. `simulate.sessions=60`.

    Raises ConfigError, one line, that names each wrong key, what it holds, and what is allowed.
    """
    tree = read_tree(path, overrides)
    if {"scenes", "zones"} <= tree.keys():
        raise ConfigError(f"{path} is the config of an observation", hint=f"trifuse observe {path}")
    return parse(tree, str(path))


def read_tree(path: Path | str, overrides: list[str] | None = None) -> dict[str, Any]:
    """The mapping that a YAML file holds, with `overrides` put in.

    Raises ConfigError for a file that is missing or no mapping of YAML, and for an override that is none.
    """
    path = Path(path)
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)
    except FileNotFoundError:
        raise ConfigError(f"config {path} does not exist", hint="see configs/ for examples") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"config {path} cannot be read: {error}", hint="give a YAML file in UTF-8") from None
    except yaml.YAMLError as error:
        raise ConfigError(
            f"config {path} is not YAML: {_place(error)}", hint="check its indentation and quotes"
        ) from None
    if not isinstance(tree, dict):
        raise ConfigError(
            f"config {path} holds {type(tree).__name__}", allowed="a mapping", hint="see configs/demo.yaml"
        )
    for override in overrides or []:
        _override(tree, override)
    return tree


def parse(tree: dict[str, Any], origin: str = "config") -> RunConfig:
    """Check a config that is already a mapping. Raises ConfigError as `load` does."""
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        lines = [_explain(detail) for detail in error.errors()]
        shown = "; ".join(lines[:5]) + (f"; and {len(lines) - 5} more" if len(lines) > 5 else "")
        raise ConfigError(f"{origin}: {shown}", hint="`trifuse config --help` shows an example") from None


def _explain(detail: Any) -> str:
    place = list(detail["loc"])
    if place[:1] == ["sources"]:
        del place[2:3]  # the kind of source, by which pydantic tells them apart, is no key
    where = ".".join(str(part) for part in place) or "config"
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "missing":
        return f"{where} is missing"
    if detail["type"] == "extra_forbidden":
        return f"{where} is not a known key"
    got = detail.get("input")
    told = isinstance(got, dict | list | BaseModel) or repr(got) in message
    # what is wrong between sections names its place itself
    lead = f"{where}: " if place else ""
    return f"{lead}{message}" + ("" if told else f" (got {got!r})")


def _override(tree: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"override {text!r} is not key=value", hint="write e.g. --set simulate.sessions=60")
    node, parts = tree, key.split(".")
    for part in parts[:-1]:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise ConfigError(f"override {text!r}: {part} holds no keys", allowed="a path through mappings")
    try:
        node[parts[-1]] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(f"override {text!r}: {value!r} is not a YAML value") from None
