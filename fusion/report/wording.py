"""Numbers as the report prints them. A missing number is an en dash, a minus is a real minus sign."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime

from fusion.report.run_folder import Estimate

MISSING = "–"
_TWO_DAYS = 48 * 60.0  # minutes


@dataclass(frozen=True, slots=True)
class Table:
    """A table ready to print: the first `text_columns` and the `last_words` columns are text, those between numbers."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""
    text_columns: int = 1
    last_words: int = 0
    marks: list[str] = field(default_factory=list)  # of each row: "bad", or empty


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot as Plotly takes it: `data` and `layout` are plain JSON; a string "@ink" is a colour of the theme."""

    name: str
    title: str
    note: str
    summary: str  # what a reader who cannot see the plot should know
    data: list[dict[str, object]]
    layout: dict[str, object]
    height: int
    min_width: int = 0
    wide: bool = field(default=False)


def signed(value: float, digits: int = 3) -> str:
    """+0.012, −0.012, 0.000."""
    if not math.isfinite(value):
        return MISSING
    text = f"{abs(value):,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        return text
    return ("+" if value > 0 else "−") + text


def plain(value: float, digits: int = 2) -> str:
    return f"{value:,.{digits}f}".replace("-", "−") if math.isfinite(value) else MISSING


def significant_digits(value: float, digits: int = 4) -> str:
    """20.62, 0.0513: as many decimals as give that many digits, six at most."""
    if not math.isfinite(value):
        return MISSING
    before = math.floor(math.log10(abs(value))) + 1 if value else digits
    return plain(value, min(max(digits - before, 0), 6))


def percent(value: float, digits: int = 1) -> str:
    """A share as a percentage; a share too small to print is "< 0.1 %", so that it does not read as none."""
    if not math.isfinite(value):
        return MISSING
    smallest = 10.0**-digits
    if 0 < abs(100 * value) < smallest / 2:
        return f"< {smallest:.{digits}f} %"
    return f"{100 * value:.{digits}f} %".replace("-", "−")


def chance(value: float) -> str:
    """A p- or q-value; what is too small to print is "< 0.001", so that it does not read as none."""
    return "< 0.001" if 0 <= value < 0.0005 else plain(value, 3)


def whole(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else MISSING


def interval(estimate: Estimate, digits: int = 3) -> str:
    if not estimate.has_interval:
        return MISSING
    return f"[{signed(estimate.low, digits)},\u00a0{signed(estimate.high, digits)}]"  # never broken over two lines


def measured(estimate: Estimate, digits: int = 3) -> str:
    """+0.012 [+0.003, +0.021]."""
    if not estimate.known:
        return "not computed"
    bounds = interval(estimate, digits)
    return signed(estimate.value, digits) + ("" if bounds == MISSING else f" {bounds}")


def plural(count: int, noun: str, several: str = "") -> str:
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def when(period: object) -> str:
    """Where a session or a block begins: 2024-08-08, or 2024-08-08 23:54:30 of UTC, as Plotly reads it too."""
    if isinstance(period, datetime):
        return period.replace(tzinfo=None).isoformat(" ")
    return period.isoformat() if isinstance(period, date) else str(period)


def labels(periods: Iterable[object]) -> list[str]:
    """The same of each, without the day where all are blocks of one day."""
    values = list(periods)
    words = [when(value) for value in values]
    one_day = len({word[:10] for word in words}) == 1 and all(isinstance(value, datetime) for value in values)
    return [word[11:] for word in words] if one_day else words


def age(minutes: float) -> str:
    """Milliseconds up to a second, seconds up to a minute, minutes up to two days, then days."""
    if not math.isfinite(minutes):
        return MISSING
    seconds = 60 * minutes
    if seconds < 1:
        return f"{significant_digits(1000 * seconds, 3)} ms" if seconds else "0"
    if minutes < 1:
        return f"{plain(seconds, 1)} s"
    return f"{plain(minutes / 1440, 1)} d" if minutes > _TWO_DAYS else f"{plain(minutes, 1)} min"


def size(bytes_: float) -> str:
    for unit in ("B", "kB", "MB"):
        if bytes_ < 1000:
            return f"{bytes_:.0f} {unit}" if unit == "B" else f"{bytes_:.1f} {unit}"
        bytes_ /= 1000
    return f"{bytes_:.1f} GB"
