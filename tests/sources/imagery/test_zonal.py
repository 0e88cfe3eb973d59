"""Zonal statistics against sums over pixels, and what is told of clouds zone by zone."""

import math

import numpy as np
import pytest
import shapely

from gpu_kernels.errors import ConfigError
from sources.imagery.grid import grid_of
from sources.imagery.measures import FEW_CLEAR, FEW_OBSERVATIONS, BandMeasure, MaskRule, NormalisedDifference
from sources.imagery.zonal import Outline, outline, zonal_statistics
from sources.imagery.zones import PIXELS, Zone

RESOLUTION = 10.0


def place(geometry: object, crs: str = "EPSG:32614") -> Outline:
    zone = Zone("a", geometry, crs)
    return outline(zone, grid_of(zone, 1.0 if crs == PIXELS else RESOLUTION, margin=0.0))


def shares(box: tuple[float, float, float, float], where: Outline) -> np.ndarray:
    """The share of each pixel that a box with sides along the axes covers, pixel by pixel."""
    a, _, c, _, e, f = where.grid.transform
    out = np.zeros(where.grid.shape)
    for row in range(where.grid.height):
        for column in range(where.grid.width):
            xs = sorted((c + a * column, c + a * (column + 1)))
            ys = sorted((f + e * row, f + e * (row + 1)))
            width = max(0.0, min(xs[1], box[2]) - max(xs[0], box[0]))
            height = max(0.0, min(ys[1], box[3]) - max(ys[0], box[1]))
            out[row, column] = width * height / abs(a * e)
    return out


class TestStatistics:
    BOX = (500_003.0, 4_000_001.0, 500_047.5, 4_000_038.0)

    @pytest.mark.parametrize("crs", ["EPSG:32614", PIXELS])
    def test_equal_sums_over_pixels_weighted_by_their_share(self, crs: str) -> None:
        box = self.BOX if crs != PIXELS else (3.25, 2.5, 9.0, 7.75)
        where = place(shapely.box(*box), crs)
        weights = shares(box, where)
        values = np.random.default_rng(1).normal(5, 2, where.grid.shape).astype(np.float32)
        values[1, 2] = np.nan
        weights[1, 2] = 0
        seen = zonal_statistics(values, None, where, ["mean", "stdev", "min", "max", "sum"])
        v = np.nan_to_num(values.astype(np.float64))
        mean = (weights * v).sum() / weights.sum()
        whole = (box[2] - box[0]) * (box[3] - box[1]) / where.grid.pixel_area
        # exactextract's shares of pixels are float32
        assert where.area == pytest.approx(whole, rel=1e-5)
        assert seen.n_obs == pytest.approx(weights.sum(), rel=1e-5)
        assert seen.valid_frac == pytest.approx(weights.sum() / whole, rel=1e-5)
        deviation = math.sqrt((weights * (v - mean) ** 2).sum() / weights.sum())
        touched = v[weights > 0]
        expected = [mean, deviation, touched.min(), touched.max(), mean * whole]
        assert list(seen.statistics.values()) == pytest.approx(expected, rel=1e-5)
        assert seen.std == pytest.approx(deviation / math.sqrt(weights.sum()), rel=1e-5)
        assert math.isnan(seen.cloud_frac)

    def test_quantiles_of_whole_pixels_are_those_of_numpy(self) -> None:
        where = place(shapely.box(500_000, 4_000_000, 500_050, 4_000_050))
        values = np.arange(25, dtype=np.float32).reshape(5, 5)
        seen = zonal_statistics(values, None, where, ["median", "p10", "p75"])
        assert seen.statistics["median"] == 12
        assert seen.statistics["p10"] < seen.statistics["median"] < seen.statistics["p75"] == pytest.approx(18, abs=0.6)

    def test_nothing_clear_gives_no_value(self) -> None:
        where = place(shapely.box(500_000, 4_000_000, 500_050, 4_000_050))
        values = np.ones((5, 5), dtype=np.float32)
        for pixels, clear in ((values, np.zeros((5, 5), bool)), (values * np.nan, None)):
            seen = zonal_statistics(pixels, clear, where, ["mean", "sum", "p50"])
            assert all(math.isnan(value) for value in seen.statistics.values())
            assert (seen.n_obs, seen.valid_frac) == (0, 0)
            assert math.isnan(seen.std)

    def test_a_polygon_smaller_than_a_pixel_sees_its_share_of_it(self) -> None:
        where = place(shapely.box(500_002, 4_000_002, 500_004, 4_000_004))
        seen = zonal_statistics(np.full((1, 1), 7, np.float32), None, where, ["mean"])
        assert seen.statistics["mean"] == 7
        assert seen.n_obs == pytest.approx(0.04, rel=1e-5)
        assert seen.valid_frac == pytest.approx(1)

    def test_a_hole_does_not_count(self) -> None:
        ring = shapely.box(500_000, 4_000_000, 500_050, 4_000_050).difference(
            shapely.box(500_010, 4_000_010, 500_040, 4_000_040)
        )
        where = place(ring)
        values = np.ones((5, 5), np.float32)
        values[1:4, 1:4] = 100
        seen = zonal_statistics(values, None, where, ["mean"])
        assert (seen.statistics["mean"], seen.n_obs) == (1, 16)

    @pytest.mark.parametrize("name", ["", "p0", "p100", "p5.5", "p05", "average", "quantile(q=0.5)"])
    def test_unknown_statistic(self, name: str) -> None:
        with pytest.raises(ConfigError, match="allowed: mean"):
            zonal_statistics(
                np.ones((5, 5), np.float32), None, place(shapely.box(500_000, 4_000_000, 500_050, 4_000_050)), [name]
            )


class TestMasks:
    WHERE = (500_000, 4_000_000, 500_040, 4_000_020)

    def read(self, mask: list[float]) -> dict[str, np.ndarray]:
        values = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)
        return {"v": values, "mask": np.array(mask, np.float32).reshape(2, 4)}

    def test_clouds_are_counted_in_the_zone_alone(self) -> None:
        where = place(shapely.box(500_000, 4_000_000, 500_020, 4_000_020))
        read = {"v": np.array([[1, 2], [5, 6]], np.float32), "mask": np.array([[9, 4], [4, 4]], np.float32)}
        measure = BandMeasure(kind="band", asset="v", masks=[MaskRule(asset="mask", values=[8, 9])])
        found = measure.see(read, where)
        assert found.problem is None
        assert found.seen.statistics["mean"] == pytest.approx(13 / 3)
        assert (found.seen.cloud_frac, found.seen.valid_frac, found.n_obs) == (0.25, 0.75, 3)

    @pytest.mark.parametrize(
        ("rule", "mask"),
        [
            ({"values": [3, 9]}, [3, 9, 4, 4, math.nan, 4, 4, 4]),
            ({"bits": [1, 3]}, [2, 8, 4, 1, math.nan, 0, 5, 16]),
            ({"above": 0.4}, [0.41, 0.9, 0.4, 0.1, math.nan, 0, 0.2, 0.3]),
        ],
    )
    def test_rules(self, rule: dict[str, object], mask: list[float]) -> None:
        read = self.read(mask)
        clear = MaskRule.model_validate({"asset": "mask", **rule}).clear(read["mask"])
        assert clear.ravel().tolist() == [False, False, True, True, False, True, True, True]

    @pytest.mark.parametrize("rule", [{}, {"values": [1], "above": 0.5}, {"bits": [-1]}])
    def test_exactly_one_rule(self, rule: dict[str, object]) -> None:
        with pytest.raises(ValueError, match=r"exactly one|greater than or equal"):
            MaskRule.model_validate({"asset": "mask", **rule})

    def test_too_few_clear_pixels_are_told(self) -> None:
        measure = BandMeasure(kind="band", asset="v", masks=[MaskRule(asset="mask", above=0)], minimum_valid=0.5)
        where = place(shapely.box(*self.WHERE))
        assert measure.see(self.read([1, 1, 1, 1, 1, 0, 0, 0]), where).problem == FEW_CLEAR
        assert measure.see(self.read([1, 1, 1, 1, 0, 0, 0, 0]), where).problem is None

    def test_night_lights_of_too_few_cloud_free_nights_are_told(self) -> None:
        """A monsoon month's composite rests on hardly a night; its band of counts says so."""
        measure = BandMeasure(kind="band", asset="v", observations="cf_cvg", minimum_observations=3)
        where = place(shapely.box(*self.WHERE))
        clear_sky = {"v": np.full((2, 4), 25, np.float32), "cf_cvg": np.full((2, 4), 8, np.float32)}
        monsoon = {"v": np.full((2, 4), 0.8, np.float32), "cf_cvg": np.array([[0, 0, 1, 1], [2, 3, 4, 1]], np.float32)}
        assert (measure.see(clear_sky, where).n_obs, measure.see(clear_sky, where).problem) == (8, None)
        assert (measure.see(monsoon, where).n_obs, measure.see(monsoon, where).problem) == (1.5, FEW_OBSERVATIONS)


class TestNormalisedDifference:
    def test_ndvi(self) -> None:
        measure = NormalisedDifference(kind="normalised_difference", a="nir", b="red")
        read = {"nir": np.array([[3, 0, np.nan, 1]], np.float32), "red": np.array([[1, 0, 1, -2]], np.float32)}
        np.testing.assert_array_equal(measure.pixel_values(read), np.array([[0.5, np.nan, np.nan, np.nan]], np.float32))
