"""Features of metrics by name: the metric's own name is its value, and words after it what is made of its vintages."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from gpu_kernels.errors import ConfigError

FORMS = ("first", "revision", "change", "surprise")
_NUMBERED = re.compile(r"(?P<metric>.+)_(?P<form>revision|change|surprise)_(?P<events>\d+)")
_PLAIN = re.compile(r"(?P<metric>.+)_(?P<form>first|revision)")
_LEAST = {"revision": 1, "change": 1, "surprise": 2}
_MOST = 100_000


@dataclass(frozen=True)
class Asked:
    """A feature of a metric: `form` is one of FORMS, or none of its value; `events` the number in the name, or none."""

    metric: str
    form: str | None = None
    events: int | None = None


def asked(name: str, own: Collection[str] = ()) -> Asked:
    """What a name stands for; one of the metrics' `own` names is always that metric.

    Raises ConfigError where its number cannot be.
    """
    found = None if name in own else _NUMBERED.fullmatch(name) or _PLAIN.fullmatch(name)
    if found is None:
        return Asked(name)
    told = found.groupdict()
    if "events" not in told:
        return Asked(told["metric"], told["form"])
    events, least = int(told["events"]), _LEAST[told["form"]]
    if not least <= events <= _MOST:
        raise ConfigError(f"{name!r} is of {events} events", allowed=f"{least} to {_MOST}")
    return Asked(told["metric"], told["form"], events)
