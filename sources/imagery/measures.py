"""What is measured of a zone in a scene: a band, an index of bands, with the pixels that are clear.

Each measure is a section of the `measures:` of an observation config.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sources.imagery.zonal import Mask, Outline, Seen, Values, check_statistic, zonal_statistics

FEW_CLEAR = "few_clear_pixels"
FEW_OBSERVATIONS = "few_observations"
NO_VALUE = "no_value"
_Name = Annotated[str, Field(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MaskRule(_Section):
    """Which pixels a mask calls not clear: exactly one of

    values  a list of classes, e.g. those of Sentinel-2's SCL: [0, 1, 3, 8, 9, 10, 11]
    bits    any of these bits is set, 0 the lowest, e.g. of Landsat's QA_PIXEL: [0, 1, 3, 4]
    above   more than this, e.g. a cloud probability: 0.4

    A pixel where the mask itself says nothing is not clear.
    """

    asset: _Name
    values: list[int] | None = None
    bits: list[Annotated[int, Field(ge=0, le=23)]] | None = None
    above: float | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> "MaskRule":
        told = [name for name in ("values", "bits", "above") if getattr(self, name) is not None]
        if len(told) != 1:
            raise ValueError(f"got {' and '.join(told) or 'none'}; allowed: exactly one of values, bits, above")
        return self

    def clear(self, mask: Values) -> Mask:
        """Of each pixel whether it is clear; a mask is read with the nearest pixel, so its numbers are its own."""
        there = np.isfinite(mask)
        classes = np.where(there, mask, 0).astype(np.int64)
        if self.above is not None:
            masked = mask > self.above
        elif self.values is not None:
            masked = np.isin(classes, self.values)
        else:
            masked = (classes & sum(1 << bit for bit in set(self.bits or []))) != 0
        clear: Mask = there & ~masked
        return clear


class _Measure(_Section, ABC):
    """What every measure of zonal statistics shares.

    statistics     each gives a metric <measure>_<statistic>; see sources.imagery.zonal
    masks          a pixel is clear where all of them say so
    minimum_valid  share of the zone that has to be clear and seen; below, the value is set aside
    observations   a band that holds how many observations are behind each pixel, as composites of night lights do
                   (cf_cvg): its mean over the zone is n_obs, in place of the number of clear pixels
    minimum_observations  below, the value is set aside
    unit           of the values; none: what the asset says
    """

    statistics: Annotated[list[str], Field(min_length=1)] = ["mean"]
    masks: list[MaskRule] = []
    minimum_valid: float = Field(default=0.5, ge=0, le=1)
    observations: _Name | None = None
    minimum_observations: float = Field(default=0.0, ge=0)
    unit: str | None = None

    @field_validator("statistics")
    @classmethod
    def _statistics_exist(cls, names: list[str]) -> list[str]:
        for name in names:
            try:
                check_statistic(name)
            except Exception as error:
                raise ValueError(str(error)) from error
        if len(set(names)) < len(names):
            raise ValueError("a statistic is named twice")
        return names

    @model_validator(mode="after")
    def _minimum_has_a_band(self) -> "_Measure":
        if self.minimum_observations and self.observations is None:
            raise ValueError("`minimum_observations` needs `observations`, the band that counts them")
        return self

    @property
    @abstractmethod
    def bands(self) -> list[str]:
        """The assets of values."""

    @property
    def assets(self) -> list[str]:
        """All assets that it reads, each once."""
        counted = [] if self.observations is None else [self.observations]
        return list(dict.fromkeys([*self.bands, *counted, *(rule.asset for rule in self.masks)]))

    @property
    def classes(self) -> list[str]:
        """The assets that are read with the nearest pixel, since a mean of classes is none."""
        return [rule.asset for rule in self.masks]

    @abstractmethod
    def pixel_values(self, read: Mapping[str, Values]) -> Values:
        """The value of each pixel."""

    def see(self, read: Mapping[str, Values], place: Outline) -> "Measured":
        """The statistics of a zone, and why they are to be set aside, if they are."""
        clear: NDArray[np.bool_] | None = None
        for rule in self.masks:
            one = rule.clear(read[rule.asset])
            clear = one if clear is None else clear & one
        seen = zonal_statistics(self.pixel_values(read), clear, place, self.statistics)
        n_obs = seen.n_obs
        if self.observations is not None:
            counted = zonal_statistics(read[self.observations], clear, place, ["mean"]).statistics["mean"]
            n_obs = 0.0 if math.isnan(counted) else counted
        problem = None
        if seen.n_obs == 0 or seen.valid_frac < self.minimum_valid:
            problem = FEW_CLEAR
        elif n_obs < self.minimum_observations:
            problem = FEW_OBSERVATIONS
        return Measured(seen, n_obs, problem)


class BandMeasure(_Measure):
    """The values of one band, e.g. the radiance of night lights."""

    kind: Literal["band"]
    asset: _Name

    @property
    def bands(self) -> list[str]:
        return [self.asset]

    def pixel_values(self, read: Mapping[str, Values]) -> Values:
        return read[self.asset]


class NormalisedDifference(_Measure):
    """(a - b) / (a + b) of two bands, pixel by pixel, e.g. NDVI: a near infrared, b red (Rouse et al. 1974); NDWI: a
    green, b near infrared (McFeeters 1996); NDBI: a short-wave infrared, b near infrared (Zha et al. 2003).

    Missing values: NaN where a band is, or where a + b is not above 0.
    """

    kind: Literal["normalised_difference"]
    a: _Name
    b: _Name

    @property
    def bands(self) -> list[str]:
        return [self.a, self.b]

    def pixel_values(self, read: Mapping[str, Values]) -> Values:
        a, b = read[self.a].astype(np.float64), read[self.b].astype(np.float64)
        whole = a + b
        there = whole > 0
        ratio = np.full(whole.shape, np.nan)
        np.divide(a - b, whole, out=ratio, where=there)
        return ratio.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a measure gives of a zone in a scene: see zonal.Seen; `problem` is why it is to be set aside, or None."""

    seen: Seen
    n_obs: float
    problem: str | None


Measure = Annotated[BandMeasure | NormalisedDifference, Field(discriminator="kind")]
