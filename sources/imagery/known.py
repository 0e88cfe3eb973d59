"""When a scene could first be acted on, by the one rule of the config."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import polars as pl

from gpu_kernels.errors import ConfigError, DataError
from sources.clocks import UNPARSABLE, read_known
from sources.files import expand, reading
from sources.imagery.config import CATALOGUE_TIMES, DeliveryLog, Known
from sources.imagery.scene import NO_KNOWN_TIME, NOT_DELIVERED

_CLOCKS = (pl.String, pl.Date, pl.Datetime)


@dataclass(frozen=True, slots=True)
class Case:
    """A scene whose known time is asked for.

    end    the last moment of its capture, in nanoseconds
    names  its id and hrefs, by which a delivery log may call it
    look   the value of a property of the item (or asset.property); None where there is none
    """

    end: int
    names: Sequence[str]
    look: Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Told:
    """The time in nanoseconds, or why there is none: a reason in one word, and the details."""

    time: int | None
    reason: str = ""
    detail: str = ""


def known_times(rule: Known, variables: Mapping[str, str], cases: Sequence[Case]) -> list[Told]:
    """The known time of each scene, or why it has none.

    A property that is missing or no time, and a scene that the log does not name, is told as such: another rule is
    never tried in its place, since each would mean another thing.
    Raises ConfigError and DataError for a delivery log that cannot be used.
    """
    if rule.lag is not None:
        return [Told(case.end + rule.lag) for case in cases]
    if rule.log is not None:
        delivered = read_log(rule.log, variables)
        return [_from_log(case, delivered, rule.delay) for case in cases]
    name = rule.property or ""
    values = [case.look(name) for case in cases]
    # numbers are times where the config says so: time_format: epoch_s
    kinds = str if rule.time_format is None else (str, int)
    texts = pl.Series(name, [str(value) if isinstance(value, kinds) else None for value in values], dtype=pl.String)
    times = read_known(texts, timezone=rule.timezone, time_format=rule.time_format)
    ticks = times["time"].to_physical().to_list()
    told = []
    for value, tick, problem in zip(values, ticks, times["problem"].to_list(), strict=True):
        if value is None or value == "":
            told.append(Told(None, NO_KNOWN_TIME, f"no {name}"))
        elif tick is None:
            told.append(Told(None, problem or UNPARSABLE, f"{name} is {str(value)[:50]!r}"))
        else:
            told.append(Told(tick + rule.delay))
    return told


def catalogue_warning(rule: Known) -> str | None:
    """What to say where the rule takes a time that is the catalogue's and not the image's."""
    if rule.property is None or rule.property.rpartition(".")[2] not in CATALOGUE_TIMES:
        return None
    return (
        f"known: {rule.property} is when the catalogue's entry was written, which may be years after delivery or, of a "
        "catalogue that was filled ahead, before it: use it only if entries are written as images are delivered"
    )


def read_log(log: DeliveryLog, variables: Mapping[str, str]) -> dict[str, int]:
    """Scene id, href or file name -> when it was delivered, in nanoseconds.

    Of two deliveries of one name the first counts. Raises DataError for a log that cannot be read, lacks a column or
    holds a time that is none: what was delivered when must not be guessed.
    """
    path = Path(expand(log.path, variables))
    frame = _read_table(path)
    for column in (log.scene, log.delivered):
        if column not in frame.columns:
            raise DataError(f"{path} has no column {column!r}", allowed=", ".join(map(repr, frame.columns)))
    if not isinstance(frame[log.delivered].dtype, _CLOCKS) and log.time_format is None:
        raise ConfigError(
            f"{path}: column {log.delivered!r} holds numbers", hint="write time_format, e.g. epoch_s or %Y%m%d"
        )
    clocks = frame[log.delivered]
    times = read_known(clocks, timezone=log.timezone, time_format=log.time_format)
    bad = times.with_row_index().filter(pl.col("time").is_null())
    if bad.height:
        row = int(bad["index"][0])
        raise DataError(
            f"{path}: delivery {row + 1} has the time {clocks[row]!r} ({bad['problem'][0]})",
            allowed="ISO 8601, or what time_format says",
        )
    named = frame.select(name=pl.col(log.scene).cast(pl.String).str.strip_chars()).with_columns(times["time"])
    first = named.drop_nulls().filter(pl.col("name") != "").group_by("name").agg(pl.col("time").min())
    return dict(zip(first["name"].to_list(), first["time"].to_physical().to_list(), strict=True))


def _read_table(path: Path) -> pl.DataFrame:
    with reading(path):
        with open(path, "rb") as stream:
            magic = stream.read(4)
        try:
            if magic == b"PAR1":
                return pl.read_parquet(path)
            return pl.read_csv(path, infer_schema=False)
        except (pl.exceptions.PolarsError, pl.exceptions.NoDataError) as error:
            raise DataError(
                f"{path} cannot be read: {str(error).splitlines()[0]}", allowed="a CSV or Parquet file"
            ) from error


def _from_log(case: Case, delivered: Mapping[str, int], delay: int) -> Told:
    for name in case.names:
        short = PurePosixPath(name.split("?")[0])
        for key in (name, short.name, short.stem):
            if key in delivered:
                return Told(delivered[key] + delay)
    return Told(None, NOT_DELIVERED, f"the delivery log names none of {', '.join(case.names[:3])}")
