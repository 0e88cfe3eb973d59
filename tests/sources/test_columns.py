"""Columns as arrays: values, order, types, and where nothing is copied."""

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gpu_kernels.errors import ArgumentError, DataError, DeviceError
from sources.columns import load_columns
from sources.schema import TIME


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    when = pl.Series([datetime(2015, 1, 2, 15, tzinfo=UTC)] * 2, dtype=TIME)
    base = pl.DataFrame(
        {"t": when, "d": [date(1970, 1, 2)] * 2, "x": [1.5, None], "n": [1, 2], "s": ["a", "b"], "g": [1, None]}
    )
    for number in range(2):
        base.with_columns(pl.col("n") + 10 * number).write_parquet(tmp_path / f"{number}.parquet")
    return [tmp_path / "1.parquet", tmp_path / "0.parquet"]


def test_values_types_and_order(paths: list[Path]) -> None:
    arrays = load_columns(paths, ["t", "d", "x", "n"])
    assert list(arrays) == ["t", "d", "x", "n"]
    assert arrays["t"].tolist() == [1_420_210_800_000_000_000] * 4
    assert arrays["d"].tolist() == [1] * 4
    np.testing.assert_array_equal(arrays["x"], [1.5, np.nan, 1.5, np.nan])
    assert arrays["n"].tolist() == [11, 12, 1, 2]
    assert [array.dtype.name for array in arrays.values()] == ["int64", "int32", "float64", "int64"]


def test_one_piece_is_not_copied(paths: list[Path]) -> None:
    assert not load_columns(paths[:1], ["n"])["n"].flags.owndata


@pytest.mark.parametrize(
    ("columns", "words"), [(["s"], "holds (large_)?string"), (["nope"], "no column 'nope'"), (["g"], "holds 2 nulls")]
)
def test_columns_that_are_no_arrays(paths: list[Path], columns: list[str], words: str) -> None:
    with pytest.raises(DataError, match=words):
        load_columns(paths, columns)


def test_bad_arguments(paths: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="cpu or cuda"):
        load_columns(paths, ["n"], device="gpu")
    with pytest.raises(ArgumentError, match="no paths"):
        load_columns([], ["n"])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        load_columns([tmp_path / "none.parquet"], ["n"])
    (tmp_path / "cut.parquet").write_bytes(paths[0].read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        load_columns([tmp_path / "cut.parquet"], ["n"])


def test_without_cudf_the_gpu_path_says_so(paths: list[Path]) -> None:
    try:
        import cudf  # noqa: F401
    except ImportError:
        with pytest.raises(DeviceError, match="cudf is not installed"):
            load_columns(paths, ["n"], device="cuda")
    else:
        gpu = load_columns(paths, ["t", "d", "x", "n"], device="cuda")
        for name, array in load_columns(paths, ["t", "d", "x", "n"]).items():
            np.testing.assert_array_equal(gpu[name].get(), array)
