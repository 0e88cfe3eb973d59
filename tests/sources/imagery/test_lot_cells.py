"""Cells of a lot."""

import numpy as np
import pytest
import shapely
from lot_pictures_drawn import METRES, NORTH, UTM, WEST, drawn_lot

from gpu_kernels.errors import ArgumentError, DataError
from sources.imagery import lot_cells
from sources.imagery.lot_cells import lot_of
from sources.imagery.zones import PIXELS, Zone


def test_each_stall_is_a_cell_of_like_weight() -> None:
    lot = drawn_lot()
    assert lot.count == 24
    assert lot.capacity == 24.0
    assert lot.capacity_error == 0.0
    assert (lot.weight == 1.0).all()
    pixels = np.bincount(lot.cells[lot.cells >= 0].ravel(), minlength=24)
    assert np.abs(pixels * METRES**2 / (2.5 * 5.5) - 1.0).max() < 0.12
    # row 0 is the northern one, and is above
    assert np.nonzero(lot.cells == 0)[0].mean() < np.nonzero(lot.cells == 12)[0].mean()
    assert (lot.cells[:10] == -1).all()  # 5 m around it


@pytest.mark.parametrize("degrees", [0.0, 31.0, 90.0])
def test_without_stalls_cells_lie_along_the_longer_side(degrees: float) -> None:
    shape = shapely.affinity.rotate(shapely.box(WEST, NORTH, WEST + 50.0, NORTH + 11.0), degrees, origin="center")
    lot = lot_of(Zone("lot", shape, UTM), 0.25)
    assert lot.count == pytest.approx(40, abs=2)
    assert lot.weight.sum() == pytest.approx(550.0, rel=0.03)
    assert np.median(lot.weight) == pytest.approx(2.5 * 5.5, rel=0.1)
    assert lot.capacity == pytest.approx(40.0, rel=0.03)


def test_a_hole_and_the_outside_are_surroundings() -> None:
    whole = shapely.box(0, 0, 60, 40)
    lot = lot_of(Zone("lot", whole.difference(shapely.box(20, 10, 40, 30)), PIXELS), 1.0, stall_width=5, stall_depth=10)
    at_x, at_y = int(30 - lot.grid.transform[2]), int(20 - lot.grid.transform[5])
    assert lot.cells[at_y, at_x] == -1
    assert lot.weight.sum() == 60 * 40 - 20 * 20
    assert lot.count == 40
    np.testing.assert_array_equal(np.unique(lot.cells), np.arange(-1, lot.count))


def test_what_is_no_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    zone = Zone("lot", shapely.box(0, 0, 60, 40), PIXELS)
    for options in ({"stall_width": 0.0}, {"stall_depth": float("nan")}, {"capacity": -1.0}):
        with pytest.raises(ArgumentError, match="a number above 0"):
            lot_of(zone, 1.0, **options)
    monkeypatch.setattr(lot_cells, "_MOST_CELLS", 10)
    with pytest.raises(DataError, match="cut it into parts"):
        lot_of(zone, 1.0, stall_width=5, stall_depth=10)
