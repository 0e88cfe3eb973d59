"""The options of a source of metrics that are observed site by site, or region by region."""

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gpu_kernels.durations import DAY
from sources.durations import Duration


class MatchingRules(BaseModel):
    """How observations of one site (or region) are compared with its earlier ones, and sites are put together.

    change    what a change is: `difference`, in the metric's own unit, or `log`, of its natural logarithm (values of 0
              and less then have none)
    lag       the year before; 364 days keep the weekday
    days      an earlier observation lies at most so many days off: the nearest counts
    hours     and within so much of the same time of day
    weekday   and on the same weekday, on a working day or weekend alike (`kind`), or on `any`. None: `same` of sites,
              `any` of regions
    zone      whose clock tells the weekday and the hour: an IANA zone; none: of sites mean solar time at their
              longitude, of regions UTC
    season    an expectation is learned from observations whose day of the year is at most so many days off
    least     and of at least so many
    shrink    k of n / (n + k), by which a change over n sites is shrunk towards 0
    min_valid an observation with a smaller share of clear pixels (valid_frac) does not count
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    change: Literal["difference", "log"] = "difference"
    lag: Annotated[Duration, Field(gt=0)] = 364 * DAY
    days: int = Field(default=7, ge=0, le=60)
    hours: Annotated[Duration, Field(ge=0, le=DAY)] = 2 * DAY // 24
    weekday: Literal["same", "kind", "any"] | None = None
    zone: str | None = None
    season: int = Field(default=45, ge=1, le=183)
    least: int = Field(default=8, ge=3)
    shrink: float = Field(default=10.0, ge=0)
    min_valid: float = Field(default=0.0, ge=0, le=1)

    @field_validator("zone")
    @classmethod
    def _zone_exists(cls, value: str | None) -> str | None:
        try:
            ZoneInfo(value or "UTC")
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{value!r} is not an IANA time zone such as America/New_York") from error
        return value
