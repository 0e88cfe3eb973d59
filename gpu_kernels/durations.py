"""Durations as people write them: `250ms`, `1s`, `5min`, `2h`, `3d`, all held as integer nanoseconds."""

import re

DAY = 86_400 * 10**9
_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9, "d": DAY}
_LONGEST = 36_500 * _UNITS["d"]
_PATTERN = re.compile(r"^\s*(\d+)\s*(ns|us|ms|s|min|h|d)\s*$")


def parse_duration(value: object) -> int:
    """Nanoseconds of a duration such as "5min"; 0 may be written bare. Raises ValueError on anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        if value == 0:
            return 0
        raise ValueError(f"{value!r} has no unit; write e.g. {value}s, {value}min, {value}h or {value}d")
    if isinstance(value, str) and len(value) > 20:
        raise ValueError(f"{value[:20]!r}... is longer than any duration")
    match = _PATTERN.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a duration; write a whole number and a unit: ns, us, ms, s, min, h, d")
    nanoseconds = int(match[1]) * _UNITS[match[2]]
    if nanoseconds > _LONGEST:
        raise ValueError(f"{value!r} is too long; at most 36500d")
    return nanoseconds


def format_duration(nanoseconds: int) -> str:
    """The shortest exact spelling: 300_000_000_000 -> "5min"."""
    for unit, size in reversed(_UNITS.items()):
        if nanoseconds and nanoseconds % size == 0:
            return f"{nanoseconds // size}{unit}"
    return "0s"
