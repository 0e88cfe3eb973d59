"""Parameters of the lot fill index: read, written, and fitted."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from gpu_kernels.errors import ArgumentError, DataError
from sources.imagery import lot_parameters
from sources.imagery.lot_parameters import filled, fit, load, save


def labelled(rng: np.random.Generator, rows: int = 40, cells: int = 30) -> tuple[np.ndarray, ...]:
    """Contrasts of cells that are empty at -2.2, or 1.2 above where a vehicle stands, over days of five images
    each."""
    full = (rng.random((rows, cells)) < rng.uniform(0.0, 0.8, rows)[:, None]).astype(np.float64)
    full[:3] = 0.0
    own = 0.2 * rng.standard_normal(cells)
    contrast = (
        -2.2 + own + 0.15 * rng.standard_normal((rows, cells)) + full * (1.2 + 0.3 * rng.standard_normal((rows, cells)))
    )
    return contrast, np.ones_like(contrast), full, np.arange(rows) // 5


def test_what_comes_with_the_package_is_complete_and_says_where_it_is_from() -> None:
    shipped = load()
    assert shipped.slope > 0.0
    assert shipped.scene_error > 0.0
    assert "PKLot" in str(shipped.provenance["fitted_on"])


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    own = replace(load(), slope=5.5, method_version="lot-fill 1, own", provenance={"fitted_on": "ours"})
    save(own, path)
    assert load(path) == own


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slope": None}, "slope is None"),
        ({"slope": True}, "slope is True"),
        ({"slope": float("nan")}, "slope is nan"),
        ({"slop": 1.0}, "slop too much or missing"),
    ],
)
def test_a_file_of_other_things_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "own.json"
    path.write_text(json.dumps(asdict(load()) | change))
    with pytest.raises(DataError, match=message):
        load(path)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_text('{"slope": ')
    (tmp_path / "list.json").write_text("[]")
    for name in ("cut.json", "list.json", "none.json"):
        with pytest.raises(DataError, match=name):
            load(tmp_path / name)


def test_a_fit_finds_the_map_and_its_errors_fit() -> None:
    contrast, valid, full, day = labelled(np.random.default_rng(1))
    train = [0, 1, 2, 3, 4]
    found = fit(contrast, valid, full, day, train=train)
    assert 0.4 < -found.intercept / found.slope < 0.9  # between empty and full
    assert found.empty_level == pytest.approx(-2.5, abs=0.15)
    assert found.reference_error == pytest.approx(0.2, abs=0.08)
    told = filled(contrast, valid, found)
    later = ~np.isin(day, train)
    off = (told[1] - full.mean(axis=1))[later]
    assert np.abs(off).mean() < 0.04
    assert (np.abs(off) <= 1.96 * told[2][later]).mean() >= 0.8


def test_labels_of_other_days_and_the_base_rate_do_not_enter() -> None:
    contrast, valid, full, day = labelled(np.random.default_rng(2))
    found = fit(contrast, valid, full, day, train=[0, 1, 2, 3])
    wrong = np.where(day[:, None] > 3, 1.0 - full, full)
    assert fit(contrast, valid, wrong, day, train=[0, 1, 2, 3]) == found
    # half of the empty cells' labels withheld: other odds, the same map but for what the draw changes
    fewer = np.where((full == 0.0) & (np.random.default_rng(3).random(full.shape) < 0.5), np.nan, full)
    again = fit(contrast, valid, fewer, day, train=[0, 1, 2, 3])
    assert again.intercept / again.slope == pytest.approx(found.intercept / found.slope, abs=0.08)


def test_too_few_labels_are_refused() -> None:
    contrast, valid, full, day = labelled(np.random.default_rng(1))
    with pytest.raises(ArgumentError, match="2 groups"):
        fit(contrast, valid, full, day, train=[1, 2])
    with pytest.raises(ArgumentError, match="one kind alone"):
        fit(contrast, valid, np.zeros_like(full), day)


def test_the_fill_of_one_lot_takes_the_labelled_cells_alone() -> None:
    contrast, valid, full, _ = labelled(np.random.default_rng(1))
    used = np.ones(full.shape, bool)
    used[:, 10:] = False
    told = filled(contrast, valid, lot_parameters.load(), used=used)
    assert np.isnan(told[0][:, 10:]).all()
    assert np.isfinite(told[1]).all()
