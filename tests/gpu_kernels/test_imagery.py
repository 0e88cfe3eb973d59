"""The kernels over images of lots: against their definition where it is hard to meet, and nothing of the future."""

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from naive import imagery_contrast, imagery_fill

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.works.imagery import FILL
from gpu_kernels.errors import ArgumentError
from gpu_kernels.imagery.batch import in_chunks
from gpu_kernels.imagery.contrast import cell_contrast
from gpu_kernels.imagery.fill import lot_fill
from gpu_kernels.imagery.order import quantile_of

RULE = {"inner": 0.7, "outer": 2.3, "saturation": 250.0, "minimum_valid": 0.5, "minimum_pixels": 2}
FILL = {**FILL, "window": 4, "rounds": 5, "minimum_valid": 0.5}
COUNT = 7
Arrays = tuple[np.ndarray, ...]


def batch(height: int, width: int, dtype: str = "float32", *, gaps: float = 0.0, seed: int = 0) -> Arrays:
    """images, cells, dark, offsets of four lots of some images, of which one may have none."""
    rng = np.random.default_rng([seed, height, width])
    rows, lots = 21, 4
    images = rng.integers(5, 255, (rows, height, width)).astype(dtype)
    if gaps:
        images[rng.random(images.shape) < gaps] = np.nan
        images[3, : height // 2], images[4], images[5] = np.inf, np.nan, 17.0
    coarse = rng.integers(-2, COUNT, (lots, height // 3 + 1, width // 4 + 1))
    cells = coarse.repeat(3, axis=1).repeat(4, axis=2)[:, :height, :width].astype(np.int16)
    offsets = np.concatenate([[0], np.sort(rng.integers(0, rows, lots - 1)), [rows]])
    return images, cells, rng.uniform(0, 30, rows), offsets


def contrasts(rows: int, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    contrast = np.round(rng.normal(-2.0, 0.7, (rows, COUNT)), 1)  # with ties
    contrast[rng.random(contrast.shape) < 0.2] = np.nan
    contrast[rng.random(rows) < 0.1] = np.nan
    valid, use = rng.uniform(0.3, 1.0, contrast.shape), rng.random(rows) < 0.7
    area = rng.uniform(0, 2, (3, COUNT)) * (rng.random((3, COUNT)) < 0.8)
    return contrast, valid, use, area, np.array([0, rows // 3, rows // 3, rows])


def assert_close(got: Arrays, wanted: Arrays) -> None:
    for number, (one, other) in enumerate(zip(got, wanted, strict=True)):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10, err_msg=f"output {number}")


class TestContrast:
    @pytest.mark.parametrize(("height", "width"), [(14, 17), (3, 40), (40, 3), (1, 1), (35, 8), (0, 4), (4, 0)])
    @pytest.mark.parametrize(("dtype", "gaps"), [("float32", 0.2), ("float32", 0.0), ("uint8", 0.0), ("uint16", 0.0)])
    def test_equals_its_definition(self, height: int, width: int, dtype: str, gaps: float) -> None:
        arrays = batch(height, width, dtype, gaps=gaps)
        assert_close(cell_contrast(*arrays, COUNT, **RULE), imagery_contrast.cell_contrast(*arrays, COUNT, **RULE))

    @pytest.mark.parametrize(("inner", "outer"), [(0.0, 0.3), (0.34, 0.66), (1.0, 6.0)])
    def test_windows_of_all_sizes(self, inner: float, outer: float) -> None:
        arrays, rule = batch(11, 9, gaps=0.2), RULE | {"inner": inner, "outer": outer}
        assert_close(cell_contrast(*arrays, COUNT, **rule), imagery_contrast.cell_contrast(*arrays, COUNT, **rule))

    @pytest.mark.parametrize(("minimum_valid", "minimum_pixels"), [(0.0, 1), (1.0, 1), (0.3, 9)])
    def test_what_must_be_there(self, minimum_valid: float, minimum_pixels: int) -> None:
        arrays = batch(12, 12, gaps=0.3)
        rule = RULE | {"minimum_valid": minimum_valid, "minimum_pixels": minimum_pixels}
        assert_close(cell_contrast(*arrays, COUNT, **rule), imagery_contrast.cell_contrast(*arrays, COUNT, **rule))

    def test_an_image_stands_alone(self) -> None:
        """Its bits depend neither on the images beside it, whole or not, nor on the lots of its batch."""
        images, cells, dark, offsets = batch(20, 18, gaps=0.05)
        images[::2] = np.nan_to_num(images[::2], nan=9.0, posinf=9.0)
        whole = cell_contrast(images, cells, dark, offsets, COUNT, **RULE)
        for lot, (first, last) in enumerate(pairwise(offsets.tolist())):
            for row in range(first, last):
                alone = cell_contrast(
                    images[row : row + 1], cells[lot : lot + 1], dark[row : row + 1], np.array([0, 1]), COUNT, **RULE
                )
                for one, other in zip(whole, alone, strict=True):
                    np.testing.assert_array_equal(one[row], other[0])

    def test_chunks_give_the_bits_of_one_batch(self) -> None:
        images, cells, dark, offsets = batch(9, 7, gaps=0.1)
        whole = cell_contrast(images, cells, dark, offsets, COUNT, **RULE)
        parts = [
            cell_contrast(images[rows], cells[lots], dark[rows], own, COUNT, **RULE)
            for lots, rows, own in in_chunks(offsets, images[0].nbytes, 6 * images[0].nbytes)
        ]
        assert len(parts) > 1
        for one, others in zip(whole, zip(*parts, strict=True), strict=True):
            np.testing.assert_array_equal(one, np.concatenate(others))

    def test_neither_gain_nor_haze_changes_a_contrast(self) -> None:
        images, cells, dark, offsets = batch(14, 17)
        plain = cell_contrast(images, cells, dark, offsets, COUNT, **RULE)[0]
        seen = (np.float64(images) * 3 + 40).astype(np.float32)
        other = cell_contrast(seen, cells, dark * 3 + 40, offsets, COUNT, **RULE)[0]
        np.testing.assert_allclose(other, plain, rtol=1e-6)

    def test_a_constant_cell_and_a_dark_image_say_nothing(self) -> None:
        rng = np.random.default_rng(0)
        images = rng.uniform(50, 60, (4, 8, 8)).astype(np.float32)
        cells = np.arange(4).repeat(2).repeat(8).reshape(1, 8, 8).astype(np.int16)
        images[0] = 55.0
        images[1] = -images[1]
        images[2] *= np.float32(1e36)
        contrast, mean, valid, level, surround, saturated = cell_contrast(
            images, cells, np.array([0.0, 0.0, 0.0, np.nan]), np.array([0, 4]), 5, **RULE | {"saturation": 1e30}
        )
        assert np.isnan(contrast[[0, 1, 3]]).all()
        assert np.isnan(mean[0]).all()
        assert np.isnan(level[0])
        assert level[1] < 0
        assert np.isfinite(contrast[2, :4]).all()
        np.testing.assert_array_equal(valid, np.tile([1.0, 1, 1, 1, 0], (4, 1)))
        np.testing.assert_array_equal(saturated, [0.0, 0.0, 1.0, 0.0])
        assert np.isnan(surround).all()

    def test_a_window_of_a_larger_array_is_taken(self) -> None:
        images, cells, dark, offsets = batch(12, 10)
        wanted = cell_contrast(images[:, 2:9, 1:8].copy(), cells[:, 2:9, 1:8].copy(), dark, offsets, COUNT, **RULE)
        got = cell_contrast(images[:, 2:9, 1:8], cells[:, 2:9, 1:8], dark, offsets, COUNT, **RULE)
        for one, other in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(one, other)


class TestFill:
    @pytest.mark.parametrize("window", [1, 4, 64])
    @pytest.mark.parametrize("rounds", [0, 9])
    def test_equals_its_definition(self, window: int, rounds: int) -> None:
        arrays, rule = contrasts(60), FILL | {"window": window, "rounds": rounds}
        assert_close(lot_fill(*arrays, **rule), imagery_fill.lot_fill(*arrays, **rule))

    @pytest.mark.parametrize("quantile", [0.0, 0.5, 1.0])
    @pytest.mark.parametrize("pseudo_count", [1e-9, 50.0])
    def test_parameters_at_their_ends(self, quantile: float, pseudo_count: float) -> None:
        arrays = contrasts(40)
        rule = FILL | {"quantile": quantile, "pseudo_count": pseudo_count, "cap": 1e9, "empty_range": 0.3, "lapse": 0.5}
        assert_close(lot_fill(*arrays, **rule), imagery_fill.lot_fill(*arrays, **rule))

    @pytest.mark.parametrize("keep", [1, 21, 33])
    def test_later_images_change_no_bit(self, keep: int) -> None:
        contrast, valid, use, area, offsets = contrasts(60)
        whole = lot_fill(contrast, valid, use, area, offsets, **FILL)
        part = lot_fill(contrast[:keep], valid[:keep], use[:keep], area, np.minimum(offsets, keep), **FILL)
        for one, other in zip(whole, part, strict=True):
            np.testing.assert_array_equal(one[:keep], other)

    def test_a_lot_does_not_see_another(self) -> None:
        contrast, valid, use, area, offsets = contrasts(60)
        whole = lot_fill(contrast, valid, use, area, offsets, **FILL)
        other = np.where(np.arange(60)[:, None] < offsets[1], contrast + 1.0, contrast)
        moved = lot_fill(other, valid, use, area, offsets, **FILL)
        for one, two in zip(whole, moved, strict=True):
            np.testing.assert_array_equal(one[offsets[1] :], two[offsets[1] :])

    def test_a_cell_that_stands_out_from_its_past_is_full(self) -> None:
        contrast = np.full((6, 4), -2.3)
        contrast[5, 1:] = -0.8
        arrays = (contrast, np.ones((6, 4)), np.ones(6, bool), np.ones((1, 4)), np.array([0, 6]))
        occupancy, fill, std, seen, history = lot_fill(*arrays, **FILL | {"rounds": 32})
        assert (occupancy[:5] < 0.1).all()
        assert occupancy[5, 0] < 0.5
        assert (occupancy[5, 1:] > 0.95).all()
        assert fill[5] == pytest.approx(0.75, abs=0.1)
        assert (std > 0).all()
        np.testing.assert_array_equal(seen, 1.0)
        np.testing.assert_allclose(history, [0, 1, 2, 3, 4, 4])

    def test_nothing_seen_is_missing_and_not_zero(self) -> None:
        contrast, valid, use, area, offsets = contrasts(30)
        contrast[3], area[2] = np.nan, 0.0
        contrast[5, :3] = np.inf
        occupancy, fill, std, seen, history = lot_fill(contrast, valid, use, area, offsets, **FILL)
        assert np.isnan([fill[3], std[3], history[3]]).all()
        assert seen[3] == 0.0
        assert np.isnan(occupancy[5, :3]).all()
        for out in (occupancy, fill, std, seen, history):
            assert np.isnan(out[10:]).all()

    def test_a_contrast_far_from_all_others_overflows_nothing(self) -> None:
        contrast = np.full((4, 3), -2.0)
        contrast[2], contrast[3] = 1e300, -1e300
        arrays = (contrast, np.ones((4, 3)), np.ones(4, bool), np.ones((1, 3)), np.array([0, 4]))
        occupancy, fill, std, _, _ = lot_fill(*arrays, **FILL)
        assert np.isfinite(occupancy).all()
        assert np.isfinite(fill).all()
        assert np.isfinite(std).all()
        assert occupancy[2].min() > 0.99
        assert occupancy[3].max() < 1e-9


def test_quantile_of_numbers_in_any_order() -> None:
    rng = np.random.default_rng(3)
    for count in (1, 2, 3, 10, 77):
        for probability in (0.0, 0.1, 0.5, 0.77, 1.0):
            values = np.round(rng.normal(size=count + 2), 1)
            values[0] = np.inf if count > 3 else 0.0
            got = quantile_of(values.copy(), count, probability)
            place = np.quantile(np.arange(count), probability)
            ordered = np.sort(values[:count])
            low, high = ordered[int(place)], ordered[min(int(place) + 1, count - 1)]
            share = place - int(place)
            wanted = low if share == 0 or low == high else (1 - share) * low + share * high
            assert got == pytest.approx(wanted, rel=1e-12)
    assert np.isnan(quantile_of(np.ones(3), 0, 0.5))


@pytest.mark.parametrize("budget", [1, 7, 100, 10**9])
def test_chunks_cover_all_lots_once(budget: int) -> None:
    offsets = np.array([0, 0, 3, 3, 10, 11, 11])
    chunks = list(in_chunks(offsets, 2, budget))
    assert [lot for lots, _, _ in chunks for lot in range(lots.start, lots.stop)] == list(range(6))
    assert [row for _, rows, _ in chunks for row in range(rows.start, rows.stop)] == list(range(11))
    for lots, rows, own in chunks:
        np.testing.assert_array_equal(own, offsets[lots.start : lots.stop + 1] - rows.start)
        assert lots.stop - lots.start == 1 or 2 * (rows.stop - rows.start) <= budget
    assert list(in_chunks(np.array([0]), 2, budget)) == []


IMAGES, CELLS, DARK, OFFSETS = batch(6, 5)
C, V, U, A, LOTS = contrasts(9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cell_contrast(IMAGES.astype(float), CELLS, DARK, OFFSETS, 7, **RULE), "images is float64"),
        (lambda: cell_contrast(IMAGES[0], CELLS, DARK, OFFSETS, 7, **RULE), "images has 2 dimensions; allowed: 3"),
        (lambda: cell_contrast(IMAGES, CELLS.astype(int), DARK, OFFSETS, 7, **RULE), "cells is int64; allowed: int16"),
        (lambda: cell_contrast(IMAGES, CELLS[1:], DARK, OFFSETS, 7, **RULE), r"cells is \(3, 6, 5\) for images of"),
        (lambda: cell_contrast(IMAGES, CELLS, DARK[1:], OFFSETS, 7, **RULE), "20 values of dark for 21 images"),
        (lambda: cell_contrast(IMAGES, CELLS, DARK, OFFSETS[:-1], 7, **RULE), "offsets ends with"),
        (lambda: cell_contrast(IMAGES, CELLS, DARK, OFFSETS, 3, **RULE), r"cells spans -2 to \d; allowed: .* 0 to 2"),
        (lambda: cell_contrast(IMAGES, CELLS - 1, DARK, OFFSETS, 7, **RULE), "cells spans -3 to"),
        (lambda: cell_contrast(IMAGES, CELLS, DARK, OFFSETS, 0, **RULE), "count is 0"),
        (lambda: cell_contrast(IMAGES, CELLS, DARK, OFFSETS, 7, **RULE | {"inner": 3.0}), "inner is 3 and outer 2.3"),
        (lambda: cell_contrast(IMAGES, CELLS, DARK, OFFSETS, 7, **RULE | {"outer": np.inf}), "outer is inf"),
        (lambda: cell_contrast(IMAGES, CELLS, DARK, OFFSETS, 7, **RULE | {"saturation": np.nan}), "saturation is nan"),
        (lambda: cell_contrast(IMAGES, CELLS, DARK, OFFSETS, 7, **RULE | {"minimum_valid": 2}), "minimum_valid is 2"),
        (lambda: cell_contrast(IMAGES, CELLS, DARK, OFFSETS, 7, **RULE | {"minimum_pixels": 0}), "minimum_pixels is 0"),
        (lambda: lot_fill(C[:, 1:], V, U, A, LOTS, **FILL), r"contrast is \(9, 6\), valid \(9, 7\), use \(9,\)"),
        (lambda: lot_fill(C, V, U[1:], A, LOTS, **FILL), r"use \(8,\); allowed: \(rows, count\) twice, and \(rows,\)"),
        (lambda: lot_fill(C, V, U, A[1:], LOTS, **FILL), r"area is \(2, 7\) for 3 lots and 7 cells"),
        (lambda: lot_fill(C, V, U, A - 0.1, LOTS, **FILL), "area spans -0.1 to .*; allowed: finite, 0 or more"),
        (lambda: lot_fill(C, V, U, A + np.nan, LOTS, **FILL), "area spans nan to nan"),
        (lambda: lot_fill(C, V, U.astype(int), A, LOTS, **FILL), "use is int64; allowed: bool"),
        (lambda: lot_fill(C, V, U, A, LOTS, **FILL | {"window": 0}), "window is 0"),
        (lambda: lot_fill(C, V, U, A, LOTS, **FILL | {"slope": np.nan}), "slope is nan"),
        (lambda: lot_fill(C, V, U, A, LOTS, **FILL | {"lapse": 0.6}), "lapse is 0.6; allowed: a number, 0 to 0.5"),
        (lambda: list(in_chunks(LOTS, 0)), "bytes_each is 0"),
        (lambda: list(in_chunks(np.array([], np.int64), 8)), "offsets starts with"),
    ],
)
def test_mistakes_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
