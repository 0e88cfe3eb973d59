"""Rows that come in any order and are written sorted, against a stable sort of all of them."""

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sources import runs

SCHEMA = {"name": pl.String(), "first": pl.Int64(), "second": pl.Int64(), "came": pl.Int64()}
ROWS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9), st.integers(0, 2)), max_size=60)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ROW_GROUP", 3), ("_BUFFERED_ROWS", 7), ("_OPEN_FILES", 1), ("_MERGED_AT_ONCE", 2)):
        monkeypatch.setattr(runs, name, value)


def written(folder: Path, rows: list[tuple[str, int, int]], sizes: list[int], transform: object = None) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["name", "first", "second"], orient="row", infer_schema_length=None)
    frame = frame.with_columns(came=pl.int_range(pl.len())).cast(SCHEMA)  # type: ignore[arg-type]
    partitions = runs.Partitions(folder / "work", SCHEMA, ["name"], ("first", "second"))
    at = 0
    for size in [*sizes, frame.height]:
        partitions.append(frame.slice(at, size))
        at += size
    parts = [frame.clear()]
    for values, partition in partitions.items():
        path = folder / f"{values[0]}.parquet"
        partition.write(path, SCHEMA, transform)  # type: ignore[arg-type]
        parts.append(pl.read_parquet(path))
    assert not list((folder / "work").iterdir()), "a run was left behind"
    return pl.concat(parts)


@pytest.mark.usefixtures("small")
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, st.lists(st.integers(0, 9), max_size=20))
def test_any_order_in_any_batches_is_a_stable_sort(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int, int]], sizes: list[int]
) -> None:
    found = written(tmp_path_factory.mktemp("x"), rows, sizes)
    expected = sorted(((*row, came) for came, row in enumerate(rows)), key=lambda row: row[:3])
    assert found.rows() == expected


@pytest.mark.usefixtures("small")
def test_a_transform_sees_sorted_blocks_and_its_rows_are_written(tmp_path: Path) -> None:
    seen: list[int] = []

    def odd(block: pl.DataFrame) -> pl.DataFrame:
        seen.extend(block["first"])
        return block.filter(pl.col("first") % 2 == 1)

    found = written(tmp_path, [("a", first, 0) for first in (5, 1, 4, 2, 9, 3)], [2, 2], odd)
    assert seen == [1, 2, 3, 4, 5, 9]
    assert found["first"].to_list() == [1, 3, 5, 9]


def test_rows_in_order_are_written_once_in_row_groups_of_one_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "ROW_GROUP", 10)
    rows = [("a", first, 0) for first in range(35)]
    made = []
    for sizes in ([35], [1] * 35, [9, 13]):
        folder = tmp_path / str(len(sizes))
        folder.mkdir()
        written(folder, rows, sizes)
        made.append((folder / "a.parquet").read_bytes())
    stored = pq.ParquetFile(tmp_path / "1" / "a.parquet")
    assert [stored.metadata.row_group(group).num_rows for group in range(stored.num_row_groups)] == [10, 10, 10, 5]
    assert made[0] == made[1] == made[2]
