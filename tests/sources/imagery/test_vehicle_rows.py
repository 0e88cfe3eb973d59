"""Vehicles in a row of stalls, from one image: on drawn rows."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from gpu_kernels.errors import ArgumentError
from sources.imagery.vehicle_rows import count_vehicles

ROW = np.array([[30.0, 30.0], [330.0, 30.0], [330.0, 50.0], [30.0, 50.0]])
"""90 x 6 m at 0.3 m."""


def row(places: list[int], rng: np.random.Generator, bodies: tuple[float, ...] = (20.0, 200.0, 140.0)) -> np.ndarray:
    """Vehicles of 6 x 15 pixels whose left sides lie at these columns of the row."""
    values = 60.0 + 40.0 * gaussian_filter(rng.standard_normal((80, 360)), 3.0)
    for number, place in enumerate(places):
        values[32:47, 30 + place : 36 + place] = bodies[number % len(bodies)]
        values[35:37, 31 + place : 35 + place] = 15.0
    return values + 1.0 * rng.standard_normal(values.shape)


def test_each_vehicle_is_counted_once_and_where_it_stands() -> None:
    places = [5, 40, 49, 58, 120, 200, 280]
    found = count_vehicles(row(places, np.random.default_rng(1)), ROW, metres=0.3)
    assert found.vehicles == 7.0
    assert found.stall_rows == 1
    assert found.valid_frac == 1.0
    where = sorted(metres / 0.3 for _, metres in found.positions)
    np.testing.assert_allclose(where, np.array(places) + 3.0, atol=3.0)
    assert found.std == pytest.approx(np.sqrt(1.0 + 2.0 * 7.0))


def test_an_empty_row_has_none_and_still_an_error() -> None:
    found = count_vehicles(row([], np.random.default_rng(2)), ROW, metres=0.3)
    assert (found.vehicles, found.std, found.positions) == (0.0, 1.0, [])


def test_gain_changes_nothing() -> None:
    values = row([20, 100, 150], np.random.default_rng(3))
    one, other = (count_vehicles(gain * values, ROW, metres=0.3) for gain in (1.0, 7.0))
    assert one.positions == other.positions


def test_the_row_may_lie_at_any_angle() -> None:
    values = row([20, 60, 100, 150], np.random.default_rng(4))
    turned = count_vehicles(values.T, ROW[:, ::-1], metres=0.3)
    backwards = count_vehicles(values, ROW[[2, 3, 0, 1]], metres=0.3)
    angle = np.deg2rad(25.0)
    y, x = np.mgrid[:400, :420] + 0.5

    back_x, back_y = np.cos(angle) * x + np.sin(angle) * y - 60.0, -np.sin(angle) * x + np.cos(angle) * y - 10.0
    slanted = map_coordinates(values, [back_y - 0.5, back_x - 0.5], order=1, mode="constant", cval=np.nan)
    at_x, at_y = ROW[:, 0] + 60.0, ROW[:, 1] + 10.0
    corners = np.column_stack(
        [np.cos(angle) * at_x - np.sin(angle) * at_y, np.sin(angle) * at_x + np.cos(angle) * at_y]
    )
    for found in (turned, backwards, count_vehicles(slanted, corners, metres=0.3)):
        assert found.vehicles == 4.0


def test_what_is_masked_is_taken_to_be_as_full_as_the_rest() -> None:
    values = row(list(range(0, 290, 20)), np.random.default_rng(5))
    whole = count_vehicles(values, ROW, metres=0.3)
    values[:, 240:] = np.nan
    part = count_vehicles(values, ROW, metres=0.3)
    assert part.valid_frac == pytest.approx(0.7, abs=0.01)
    assert part.vehicles == pytest.approx(whole.vehicles, abs=3.0)
    assert part.std > whole.std
    values[:, 150:] = np.nan
    little = count_vehicles(values, ROW, metres=0.3)
    assert np.isnan(little.vehicles)
    assert np.isnan(little.std)
    assert little.valid_frac == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize("values", [np.full((80, 360), np.nan), np.zeros((80, 360)), np.full((80, 360), -5.0)])
def test_what_shows_nothing_has_no_count(values: np.ndarray) -> None:
    assert np.isnan(count_vehicles(values, ROW, metres=0.3).vehicles)


def test_a_row_outside_of_the_image_or_of_no_extent_has_no_count() -> None:
    values = row([20], np.random.default_rng(6))
    assert np.isnan(count_vehicles(values, ROW + 1000.0, metres=0.3).vehicles)
    point = count_vehicles(values, np.full((4, 2), 40.5), metres=0.3)
    assert point.stall_rows == 1
    assert np.isfinite(point.vehicles)


def test_two_rows_of_stalls_are_told_by_the_depth_or_by_the_caller() -> None:
    values = row([20, 100], np.random.default_rng(7))
    values = np.vstack([values[:50], values[30:]])
    deep = ROW.copy()
    deep[2:, 1] = 70.0
    found = count_vehicles(values, deep, metres=0.3)
    assert found.stall_rows == 2
    assert found.vehicles == 4.0
    assert count_vehicles(values, deep, metres=0.3, stall_rows=1).stall_rows == 1


def test_other_shapes_and_pixels_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"\(H, W\) and \(4, 2\)"):
        count_vehicles(np.zeros((3, 3)), np.zeros((5, 2)), metres=0.3)
    for metres in (0.0, 0.51, float("nan")):
        with pytest.raises(ArgumentError, match="vehicles must be some pixels wide"):
            count_vehicles(np.zeros((3, 3)), ROW, metres=metres)
