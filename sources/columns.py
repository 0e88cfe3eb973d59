"""Where columns live: Parquet to NumPy arrays on the CPU, or to CuPy arrays on the GPU. Nothing else decides that."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gpu_kernels.errors import ArgumentError, DataError, DeviceError

_DEVICES = ("cpu", "cuda")


def load_columns(paths: Sequence[Path], columns: Sequence[str], device: str = "cpu") -> dict[str, Any]:
    """Columns of Parquet files of one schema, each as one contiguous array, rows in the order of `paths`.

    cpu   pyarrow -> NumPy; a column that lies in one piece is not copied (and is then read-only)
    cuda  cudf.read_parquet -> CuPy, without a host round trip

    Timestamps are int64 nanoseconds UTC, dates int32 days since 1970-01-01, other numbers keep their type.
    Missing values: nulls of a float column are NaN; nulls of any other column raise DataError.
    Raises ArgumentError for another device or no paths, DataError for a missing file or column or one that is not of
    numbers, DeviceError where cudf or a GPU is missing.
    """
    if device not in _DEVICES:
        raise ArgumentError(f"device {device!r}", allowed=" or ".join(_DEVICES))
    if not paths:
        raise ArgumentError("no paths", allowed="at least one Parquet file")
    _check(paths, columns)
    return _on_gpu(paths, columns) if device == "cuda" else _on_cpu(paths, columns)


def _check(paths: Sequence[Path], columns: Sequence[str]) -> None:
    for path in paths:
        try:
            schema = pq.read_schema(path)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}") from error
        for name in columns:
            if name not in schema.names:
                raise DataError(f"{path} has no column {name!r}", allowed=", ".join(schema.names))
            dtype = schema.field(name).type
            if not (pa.types.is_temporal(dtype) or pa.types.is_integer(dtype) or pa.types.is_floating(dtype)):
                raise DataError(f"{path}: column {name!r} holds {dtype}", allowed="numbers, timestamps and dates")


def _on_cpu(paths: Sequence[Path], columns: Sequence[str]) -> dict[str, Any]:
    table = pa.concat_tables([pq.read_table(path, columns=list(columns), partitioning=None) for path in paths])
    return {name: _numpy(table.column(name).combine_chunks(), name) for name in columns}


def _numpy(array: Any, name: str) -> Any:
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], type=array.type)
    if array.null_count and not pa.types.is_floating(array.type):
        raise _nulls(name, array.null_count)
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.timestamp("ns", tz=array.type.tz)).view(pa.int64())
    elif pa.types.is_date32(array.type):
        array = array.view(pa.int32())
    return array.to_numpy(zero_copy_only=array.null_count == 0)


def _on_gpu(paths: Sequence[Path], columns: Sequence[str]) -> dict[str, Any]:
    try:
        import cudf
    except ImportError as error:
        raise DeviceError("cudf is not installed", hint=".venv/bin/pip install -e '.[gpu]'") from error
    frame = cudf.read_parquet([str(path) for path in paths], columns=list(columns))
    arrays = {}
    for name in columns:
        column = frame[name]
        kind = column.dtype.kind
        if column.null_count and kind != "f":
            raise _nulls(name, column.null_count)
        if kind == "M":
            column = column.astype("datetime64[ns]").astype("int64")
        arrays[name] = column.fillna(float("nan")).values if kind == "f" else column.values
    return arrays


def _nulls(name: str, count: int) -> DataError:
    return DataError(f"column {name!r} holds {count} nulls", allowed="nulls in float columns only, as NaN")
