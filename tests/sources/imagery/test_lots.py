"""Lots from pixels to rows: on drawn lots whose fill is known."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import shapely
from lot_pictures_drawn import DAY, METRES, NORTH, UTM, WEST, drawn_lot, fills, ground, image, parked

from gpu_kernels.errors import ArgumentError, DataError
from sources.imagery.lot_cells import Lot, lot_of
from sources.imagery.lot_images import LotImage
from sources.imagery.lots import FILL, VEHICLES, LotWatch
from sources.imagery.zones import Zone


@pytest.fixture(scope="module")
def lot() -> Lot:
    return drawn_lot()


@pytest.fixture(scope="module")
def series(lot: Lot) -> tuple[list[LotImage], np.ndarray]:
    rng = np.random.default_rng(1)
    asphalt, full = ground(lot, rng), fills(rng, lot, 16)
    return [image(lot, parked(lot, asphalt, one, rng), day) for day, one in enumerate(full)], full


def fill_of(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("metric") == FILL)


def test_the_fill_is_that_which_was_drawn(lot: Lot, series: tuple[list[LotImage], np.ndarray]) -> None:
    images, full = series
    rows = LotWatch([lot]).add(images)
    found, truth = fill_of(rows), full.mean(axis=1)
    off = (found["value"] - truth).to_numpy()
    assert np.abs(off).mean() < 0.05
    assert np.corrcoef(found["value"].to_numpy(), truth)[0, 1] > 0.97
    assert (np.abs(off) <= 3.0 * found["std"].to_numpy()).mean() >= 0.9
    assert found["value"].is_between(0.0, 1.0).all()
    assert found["quality"][0] == "no_past"
    assert set(found["quality"][4:].to_list()) == {"ok"}
    assert found["n_obs"].to_list() == [24.0] * 16
    vehicles = rows.filter(pl.col("metric") == VEHICLES)
    np.testing.assert_allclose(vehicles["value"], 24.0 * found["value"])
    np.testing.assert_allclose(vehicles["std"], 24.0 * found["std"])
    assert found["event_time"].to_physical().to_list() == [one.scene.captured for one in images]
    assert found["known_time"].to_physical().to_list() == [one.scene.known for one in images]


def test_on_smoother_asphalt_the_error_says_that_the_map_is_anothers(lot: Lot) -> None:
    rng = np.random.default_rng(5)
    asphalt, full = ground(lot, rng, grain=0.0), fills(rng, lot, 12)
    images = [image(lot, parked(lot, asphalt, one, rng), day) for day, one in enumerate(full)]
    found, truth = fill_of(LotWatch([lot]).add(images)), full.mean(axis=1)
    off = np.abs((found["value"] - truth).to_numpy())
    assert off.max() < 0.4
    assert (off <= 1.96 * found["std"].to_numpy()).mean() >= 0.75
    assert np.corrcoef(found["value"].to_numpy(), truth)[0, 1] > 0.95


@pytest.mark.parametrize(("gain", "haze"), [(1.6, 0.0), (0.5, 0.0), (0.7, 60.0), (1.0, 30.0)])
def test_gain_and_haze_change_nothing(
    lot: Lot, series: tuple[list[LotImage], np.ndarray], gain: float, haze: float
) -> None:
    images = series[0][:6]
    seen = images[5].luminance * np.float32(gain) + np.float32(haze)
    changed = [*images[:5], image(lot, seen, 5, dark=25.0 * gain + haze)]
    before, after = (fill_of(LotWatch([lot]).add(some)) for some in (images, changed))
    assert after["value"][5] == pytest.approx(before["value"][5], abs=1e-4)
    assert after["std"][5] == pytest.approx(before["std"][5], abs=1e-4)


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_a_shadow_over_a_part_of_the_lot_is_told(lot: Lot, share: float) -> None:
    rng = np.random.default_rng(2)
    asphalt = ground(lot, rng)
    full = np.zeros((5, lot.count), bool)
    full[4, :4] = True
    values = [parked(lot, asphalt, one, rng) for one in full]
    values[4][:, int((1.0 - share) * lot.grid.width) :] *= 0.45
    found = fill_of(LotWatch([lot]).add([image(lot, each, day) for day, each in enumerate(values)]))
    assert "uneven_light" in found["quality"][4]
    assert found["quality"][3] == "ok"
    # of half of the lot it moves the level of all, and the value is wrong, which the flag says
    assert abs(found["value"][4] - 4 / 24) < (0.12 if share < 0.5 else 0.35)


def test_clouds_leave_out_what_they_cover(lot: Lot, series: tuple[list[LotImage], np.ndarray]) -> None:
    images, full = series
    clear, some, most = (images[8].luminance.copy() for _ in range(3))
    width = lot.grid.width
    some[:, : int(0.4 * width)] = np.nan
    most[:, : int(0.8 * width)] = np.nan
    told = [fill_of(LotWatch([lot]).add([*images[:8], image(lot, each, 8)])) for each in (clear, some, most)]
    whole, part, none = (each.row(8, named=True) for each in told)
    assert whole["valid_frac"] == 1.0
    assert part["valid_frac"] == pytest.approx(0.6, abs=0.08)
    assert part["std"] > whole["std"]
    seen = [cell for cell in range(lot.count) if np.nonzero(lot.cells == cell)[1].mean() > 0.45 * width]
    assert abs(part["value"] - full[8, seen].mean()) < 0.12
    assert none["value"] is None
    assert none["std"] is None
    assert none["quality"].startswith("few_valid")
    assert 0.0 < none["valid_frac"] < 0.5
    # and a cloud is no reference: the next image is compared with the others alone
    after = [
        fill_of(LotWatch([lot]).add([*images[:8], *between, images[9]])) for between in ([], [image(lot, most, 8.5)])
    ]
    assert after[1]["value"][-1] == pytest.approx(after[0]["value"][-1], abs=0.02)


def test_later_images_change_nothing_earlier(lot: Lot, series: tuple[list[LotImage], np.ndarray]) -> None:
    # the first days are dim: what comes later would call them dark
    images = [
        *(image(lot, 0.3 * one.luminance, day, dark=7.5) for day, one in enumerate(series[0][:3])),
        *series[0][3:],
    ]
    late = image(lot, images[3].luminance, 2.5, known=9.5, name="late")
    everything = sorted([*images[:12], late], key=lambda one: one.scene.known)
    whole = LotWatch([lot]).add(everything)
    for cut in (1, 2, 9, 11):
        assert LotWatch([lot]).add(everything[:cut]).equals(whole[: 2 * cut])
    one_by_one = LotWatch([lot])
    assert pl.concat([one_by_one.add([one]) for one in everything]).equals(whole)
    # the late scene is compared with what had been delivered by then, and not with what was captured before it alone
    at = [one.scene.id for one in everything].index("late")
    assert at == 10
    early = LotWatch([lot]).add([*images[:3], image(lot, images[3].luminance, 2.5)])
    assert fill_of(whole)["value"][at] != fill_of(early)["value"][3]
    assert fill_of(whole)["event_time"].to_physical()[at] == int(2.5 * DAY)


def test_another_process_goes_on_with_the_same_bits(
    lot: Lot, series: tuple[list[LotImage], np.ndarray], tmp_path: Path
) -> None:
    images, other = series[0], drawn_lot("other")
    whole = LotWatch([lot, other]).add(images[:10])
    first = LotWatch([lot, other])
    first.add(images[:6])
    first.save(tmp_path / "state.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["state.npz"]
    again = LotWatch([other, lot], state=tmp_path / "state.npz")
    assert again.add(images[6:10]).equals(whole[12:])
    with pytest.raises(ArgumentError, match="was known before one that was added already"):
        again.add(images[:1])
    with pytest.raises(DataError, match="is the state of"):
        LotWatch([lot], state=tmp_path / "state.npz", stall_width=3.0)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "state.npz").read_bytes()[:300])
    with pytest.raises(DataError, match="cannot be read"):
        LotWatch([lot], state=tmp_path / "cut.npz")
    with pytest.raises(DataError, match="24 cells of lot lot"):
        LotWatch([drawn_lot(stalls=None)], state=tmp_path / "state.npz")


def test_a_night_a_fog_and_a_glare_are_told_and_are_no_reference(
    lot: Lot, series: tuple[list[LotImage], np.ndarray]
) -> None:
    images = series[0]
    shape = lot.grid.shape
    rng = np.random.default_rng(3)
    night = 0.2 * images[5].luminance + rng.standard_normal(shape)
    fog = 0.2 * images[5].luminance + 100.0 + 0.3 * rng.standard_normal(shape)
    glare = images[5].luminance.copy()
    glare[:, : shape[1] // 3] = 255.0
    for values, flag in ((night, "dark"), (fog, "low_contrast"), (glare, "saturated")):
        watch = LotWatch([lot], saturation=255.0)
        found = fill_of(watch.add([*images[:5], image(lot, values, 5, dark=0.0), images[6]]))
        plain = fill_of(LotWatch([lot], saturation=255.0).add([*images[:5], images[6]]))
        assert flag in found["quality"][5].split(";"), (flag, found["quality"].to_list())
        assert found["quality"][6] == plain["quality"][5]
        assert found["value"][6] == pytest.approx(plain["value"][5], abs=1e-9)


def test_a_new_sensor_is_told_until_it_is_the_usual_one(lot: Lot, series: tuple[list[LotImage], np.ndarray]) -> None:
    images = series[0]
    weaker = [image(lot, 0.3 * one.luminance, one.scene.captured / DAY, dark=7.5) for one in images[4:]]
    found = fill_of(LotWatch([lot]).add([*images[:4], *weaker]))
    dark = ["dark" in flags for flags in found["quality"]]
    assert dark == [False] * 4 + [True] * 4 + [False] * 8
    plain = fill_of(LotWatch([lot]).add(images))
    assert (found["value"] - plain["value"]).abs().max() < 0.2


def test_what_shows_nothing_has_no_value(lot: Lot, series: tuple[list[LotImage], np.ndarray]) -> None:
    empty, constant = np.full(lot.grid.shape, np.nan), np.full(lot.grid.shape, 80.0)
    white = np.full(lot.grid.shape, 255.0)
    images = [image(lot, values, day) for day, values in enumerate((empty, constant, white))]
    watch = LotWatch([lot], saturation=255.0)
    found = fill_of(watch.add(images))
    assert found["value"].null_count() == 3
    assert found["std"].null_count() == 3
    assert found["quality"].to_list() == ["few_valid", "flat", "flat;saturated"]
    # one image alone, and nothing before it that shows anything
    alone = fill_of(watch.add([image(lot, series[0][1].luminance, 5)]))
    assert alone["quality"].to_list() == ["no_past"]
    assert alone["value"].equals(fill_of(LotWatch([lot]).add([series[0][1]]))["value"])


def test_a_lot_that_was_never_seen_empty_is_not_called_empty(lot: Lot) -> None:
    rng = np.random.default_rng(4)
    asphalt = ground(lot, rng)
    values = [parked(lot, asphalt, np.ones(lot.count, bool), rng) for _ in range(3)]
    found = fill_of(LotWatch([lot]).add([image(lot, each, day) for day, each in enumerate(values)]))
    assert found["value"].min() > 0.6
    empty = fill_of(LotWatch([lot]).add([image(lot, parked(lot, asphalt, np.zeros(lot.count, bool), rng), 0)]))
    assert empty["value"][0] < 0.1


def test_a_lot_of_one_pixel_has_a_row_and_no_value() -> None:
    tiny = lot_of(Zone("tiny", shapely.box(WEST, NORTH, WEST + METRES, NORTH + METRES), UTM), METRES)
    assert tiny.count == 0
    found = LotWatch([tiny]).add([image(tiny, np.full(tiny.grid.shape, 50.0), 0)])
    assert found["value"].to_list() == [None, None]
    assert found["quality"].to_list() == ["too_small"] * 2
    assert found["valid_frac"].to_list() == [0.0] * 2


def test_without_stalls_the_polygon_is_cut_into_cells(series: tuple[list[LotImage], np.ndarray]) -> None:
    images, full = series
    plain = drawn_lot(stalls=None, capacity=24.0)
    assert plain.grid == drawn_lot().grid
    found = LotWatch([plain]).add(images)
    truth = full.mean(axis=1)
    value = fill_of(found)["value"].to_numpy()
    # the aisle counts as a part of the lot, so the index stays below 1
    assert np.corrcoef(value[3:], truth[3:])[0, 1] > 0.95
    assert fill_of(LotWatch([drawn_lot(stalls=None)]).add(images[:1]))["std"].null_count() == 0
    guessed = drawn_lot(stalls=None)
    assert guessed.capacity_error == pytest.approx(0.3 * guessed.capacity)


def test_the_vehicles_of_a_row_are_counted_one_by_one() -> None:
    """Without stalls or capacity, and from one image."""
    rng = np.random.default_rng(6)
    stalls_there = drawn_lot()
    asphalt = ground(stalls_there, rng)
    full = np.zeros(24, bool)
    full[[0, 2, 3, 7, 11]] = True
    values = parked(stalls_there, asphalt, full, rng)
    zone = Zone("row", shapely.box(WEST, NORTH - 5.5, WEST + 30.0, NORTH), UTM)
    row = lot_of(zone, METRES, row=True)
    a, _, c, _, _, f = row.grid.transform
    left, top = round((c - stalls_there.grid.transform[2]) / a), round((stalls_there.grid.transform[5] - f) / a)
    part = values[top : top + row.grid.height, left : left + row.grid.width]
    assert part.shape == row.grid.shape
    fill, vehicles = LotWatch([row]).add([image(row, part, 0)]).to_dicts()
    assert abs(vehicles["value"] - 5.0) <= 2.0
    assert vehicles["std"] == pytest.approx(np.sqrt(1.0 + 2.0 * vehicles["value"]))
    assert (fill["method_version"], vehicles["method_version"]) == ("lot-fill 1", "vehicle-rows 1")
    with pytest.raises(ArgumentError, match=r"rows of stalls at a resolution of 0\.6 m"):
        lot_of(zone, 0.6, row=True)
    with pytest.raises(ArgumentError, match="stall_rows is 0"):
        lot_of(zone, METRES, row=True, stall_rows=0)


def test_images_of_others_are_refused(lot: Lot, series: tuple[list[LotImage], np.ndarray]) -> None:
    images = series[0]
    watch = LotWatch([lot])
    with pytest.raises(ArgumentError, match="site 'other'"):
        watch.add([LotImage(images[0].scene, "other", images[0].luminance)])
    with pytest.raises(ArgumentError, match=r"\(3, 3\) pixels of lot"):
        watch.add([LotImage(images[0].scene, "lot", np.zeros((3, 3), np.float32))])
    with pytest.raises(ArgumentError, match="two lots have one name"):
        LotWatch([lot, lot])
    with pytest.raises(ArgumentError, match="one resolution"):
        LotWatch([lot, lot_of(Zone("b", shapely.box(WEST, NORTH, WEST + 50, NORTH + 20), UTM), 0.5)])
    assert LotWatch([lot]).add([]).height == 0
    assert watch.add(images[:1]).height == 2


def test_a_lot_has_the_same_bits_whatever_is_watched_beside_it(
    lot: Lot, series: tuple[list[LotImage], np.ndarray]
) -> None:
    images = series[0][:4]
    larger = lot_of(Zone("b", shapely.box(WEST, NORTH, WEST + 60, NORTH + 40), UTM), METRES)
    beside = [image(larger, np.random.default_rng(day).uniform(50, 90, larger.grid.shape), day) for day in range(3)]
    both = LotWatch([larger, lot]).add([*images, *beside])
    assert both.filter(pl.col("site") == "lot").equals(LotWatch([lot]).add(images))
