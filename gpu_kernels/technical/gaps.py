"""Bars of which a column is missing are stepped over: how the indicators of this package run.

An indicator gives for the bars that are there what it gives where the others are taken out of the table, and NaN for
the others. So the loops know no missing value: they run over columns of float64 without one. A CPU loop counts the rows
that may have one while they lie in the cache; only where there are some are the columns packed, and the loop run again.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body
from gpu_kernels.align import take
from gpu_kernels.dispatch import Array, Rows, column, float_dtype, grid_of, on_cpu, to_host, to_side

Formula = Callable[["Bars"], tuple[Array, ...]]


@body
def suspect(total):
    """1 where a bar may be missing: the sum of its columns is NaN with a NaN, as with infinities of both signs."""
    return 1 if math.isnan(total) else 0


@cuda.jit
def _present_cuda(column, present):
    row = cuda.grid(1)
    if row < column.shape[0] and math.isnan(column[row]):
        present[row] = 0


@cuda.jit
def _convert_cuda(column, out):
    row = cuda.grid(1)
    if row < column.shape[0]:
        out[row] = column[row]


def _as(column: Array, dtype: Any, rows: Rows) -> Array:
    """The column, converted where it is of another type."""
    if column.dtype == dtype:
        return column
    if not rows.device:
        return np.asarray(column, dtype)
    out = rows.empty(column.shape, dtype)
    _convert_cuda[grid_of(len(column))](column, out)
    return out


class Bars:
    """The columns of a call, as float64 without a missing row where a formula sees them.

    columns   name -> (n,) float32, float64 or int64, all of one length and on one side
    Raises ArgumentError or DeviceError.
    """

    def __init__(self, offsets: Any, columns: Mapping[str, Any]) -> None:
        self.rows = Rows(offsets, values=columns)
        self.columns = self.rows.columns
        self._names, self._dtype, self._suspicious = list(columns), float_dtype(*self.columns), 0
        if self.rows.count:
            self.columns = [_as(each, np.float64, self.rows) for each in self.columns]
        for each in self.columns:
            if isinstance(each, np.ndarray):
                each.flags.writeable = False  # one machine code for the caller's columns, which are such, and for ours

    def launch(
        self,
        outputs: int,
        cpu: Any,
        cuda_loop: Any,
        *parameters: Any,
        tile: int = 0,
        columns: Sequence[Array] | None = None,
    ) -> Array:
        """What a loop writes: (outputs, n) float64. It is called with the columns, offsets, the parameters and that
        array, and answers how many rows may be missing. With a `tile` it goes by rows and not by segments; on the CPU
        by tiles of so many rows, which it gets after the offsets. `columns` are others, of float64, to call it with."""
        rows = self.rows
        given = self.columns if columns is None else [column("column", each) for each in columns]
        out = rows.empty((outputs, rows.count), np.float64)
        if not rows.count:
            return out
        if rows.device:
            cuda_loop[grid_of(rows.count if tile else rows.segments)](*given, rows.offsets, *parameters, out)
        else:
            units = None if tile else rows.segments
            cut = (rows.tiles(tile), tile) if tile else ()
            loop = on_cpu(cpu, rows.count, units)
            self._suspicious += loop(*given, rows.offsets, *cut, *parameters, out)
        return out

    def doubt(self) -> None:
        """Has `step_over` look for missing bars although no loop of the formula has counted any."""
        self._suspicious += 1

    def step_over(self, formula: Formula) -> tuple[Array, ...]:
        """The columns that the formula gives for the bars that are there, NaN for the others; float32 where every
        column of the call is, else float64."""
        rows = self.rows
        if not rows.count:
            return tuple(rows.empty(0, self._dtype) for _ in formula(self))
        out = None if rows.device else formula(self)
        if out is None or self._suspicious:
            present = self._present()
            if not present.all():
                out = self._packed(present, formula)
        if out is None:
            out = formula(self)
        return tuple(_as(each, self._dtype, rows) for each in out)

    def _present(self) -> Array:
        """(n,) 1 where a bar is there, else 0 (host)."""
        if not self.rows.device:
            absent: Array = np.logical_or.reduce([np.isnan(each) for each in self.columns])
            return ~absent
        present = to_side(np.ones(self.rows.count, np.int8), like=self.rows.offsets)
        for each in self.columns:
            _present_cuda[grid_of(len(each))](each, present)
        return to_host(present)

    def _packed(self, present: Array, formula: Formula) -> tuple[Array, ...]:
        before = np.concatenate([[0], np.cumsum(present, dtype=np.int64)])
        kept, place, offsets = (
            to_side(array, like=self.rows.offsets)
            for array in (
                np.flatnonzero(present),
                np.where(present, before[:-1], -1),
                before[self.rows.host_offsets],
            )
        )
        columns = (take(each, kept) for each in self.columns)
        packed = Bars(offsets, dict(zip(self._names, columns, strict=True)))
        return tuple(take(each, place) for each in formula(packed))
