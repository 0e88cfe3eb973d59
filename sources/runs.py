"""Rows appended in any order and written sorted, with a bounded number of them in memory.

The rows of a partition are kept as runs, each of them sorted: its later rows in memory, its earlier ones in a Parquet
file. A row goes to the first run that it does not go back in. Rows that come in order make one run, whose file is the
partition's; else the runs are merged. Equal rows keep the order in which they came.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 2**17
# of all partitions together
_BUFFERED_ROWS = 2**20
_OPEN_FILES = 128
_MERGED_AT_ONCE = 8

Keys = list[npt.NDArray[np.int64]]
Values = tuple[Any, ...]
Transform = Callable[[pl.DataFrame], pl.DataFrame]


class ParquetFile:
    """A Parquet file (zstd) under way, of row groups of ROW_GROUP rows however its rows come."""

    def __init__(self, path: Path, schema: dict[str, Any]) -> None:
        self._schema = schema
        self._rest = pl.DataFrame(schema=schema)
        arrow = _arrow(self._rest).schema
        # clocks and counters rise by little; prices, sizes and names repeat
        rising = [name for name, dtype in schema.items() if dtype in (pl.Int64, pl.Datetime)]
        self._writer = pq.ParquetWriter(
            path,
            arrow,
            compression="zstd",
            use_dictionary=[name for name in schema if name not in rising],
            column_encoding=dict.fromkeys(rising, "DELTA_BINARY_PACKED"),
            write_statistics=rising,
        )

    def append(self, rows: pl.DataFrame) -> None:
        rows = rows.select(*self._schema)
        self._rest = rows if self._rest.is_empty() else pl.concat([self._rest, rows])
        while self._rest.height >= ROW_GROUP:
            self._write(self._rest.head(ROW_GROUP))
            self._rest = self._rest.slice(ROW_GROUP)

    @property
    def buffered(self) -> int:
        """Rows in memory, which wait for the rest of their row group."""
        return self._rest.height

    def flush(self) -> None:
        """Writes the rows in memory as a row group of their own."""
        if self._rest.height:
            self._write(self._rest)
            self._rest = self._rest.clear()

    def close(self) -> None:
        self.flush()
        self._writer.close()

    def _write(self, rows: pl.DataFrame) -> None:
        self._writer.write_table(_arrow(rows), row_group_size=ROW_GROUP)


def row_groups(path: Path, schema: dict[str, Any]) -> Iterator[pl.DataFrame]:
    """The rows of a Parquet file, one row group after the other."""
    with pq.ParquetFile(path) as stored:
        for number in range(stored.num_row_groups):
            rows = pl.from_arrow(stored.read_row_group(number))
            assert isinstance(rows, pl.DataFrame)
            yield rows.cast(schema)  # type: ignore[arg-type]


def _arrow(rows: pl.DataFrame) -> pa.Table:
    return rows.to_arrow(compat_level=pl.CompatLevel.oldest())


class _Run:
    """Sorted rows: in memory, until there are enough of them for a file."""

    def __init__(self, path: Path, schema: dict[str, Any]) -> None:
        self.path, self.schema = path, schema
        self.last: tuple[int, ...] = ()
        self.open = True
        self.file: ParquetFile | None = None
        self._frames: list[pl.DataFrame] = []
        self._rows = 0

    @property
    def buffered(self) -> int:
        return self._rows if self.file is None else self.file.buffered

    def append(self, rows: pl.DataFrame, last: tuple[int, ...]) -> None:
        self.last = last
        if self.file is not None:
            self.file.append(rows)
            return
        self._frames.append(rows)
        self._rows += rows.height

    def to_file(self) -> None:
        """From now on the rows go to the file."""
        if self.file is None:
            self.file = ParquetFile(self.path, self.schema)
            for rows in self._frames:
                self.file.append(rows)
            self._frames, self._rows = [], 0

    def close(self) -> None:
        if self.open and self.file is not None:
            self.file.close()
        self.open = False

    def blocks(self) -> Iterator[pl.DataFrame]:
        """The rows again, of a closed run."""
        if self.file is None:
            yield from self._frames
            return
        yield from row_groups(self.path, self.schema)
        self.path.unlink()


class Partition:
    """The rows of one partition; `by` are columns of whole numbers or times."""

    def __init__(self, stem: Path, schema: dict[str, Any], by: Sequence[str]) -> None:
        self._stem, self._schema, self._by = stem, schema, by
        self._made = 0
        self.runs: list[_Run] = []

    def append(self, rows: pl.DataFrame) -> list[_Run]:
        """Adds rows; the runs that took some."""
        keys = self._keys(rows)
        if not _in_order(keys):
            rows = rows.sort(self._by, maintain_order=True)
            keys = self._keys(rows)
        took, stop = [], rows.height
        for run in self.runs:
            if not run.open:
                continue
            place = _first_not_before([key[:stop] for key in keys], run.last)
            if place < stop:
                run.append(rows.slice(place, stop - place), tuple(int(key[stop - 1]) for key in keys))
                took.append(run)
                stop = place
        if stop:
            run = self._new_run()
            run.append(rows.head(stop), tuple(int(key[stop - 1]) for key in keys))
            took.append(run)
        return took

    def sorted(self) -> Iterator[pl.DataFrame]:
        """All rows in order, in blocks; once."""
        for run in self.runs:
            run.close()
        while len(self.runs) > _MERGED_AT_ONCE:
            first, rest = self.runs[:_MERGED_AT_ONCE], self.runs[_MERGED_AT_ONCE:]
            merged = self._new_run()
            for rows in self._merge(first):
                merged.append(rows, ())
                merged.to_file()
            merged.close()
            self.runs = [merged, *rest]
        yield from self._merge(self.runs)

    def write(self, path: Path, schema: dict[str, Any], transform: Transform | None = None) -> None:
        """All rows in order to a file; `transform` is given each block and returns what is kept of it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if transform is None and len(self.runs) == 1 and list(schema) == list(self._schema):
            run = self.runs[0]
            run.to_file()
            run.close()
            os.replace(run.path, path)
            return
        file: ParquetFile | None = None
        for block in self.sorted():
            rows = block if transform is None else transform(block)
            if file is None and rows.height:
                file = ParquetFile(path, schema)
            if file is not None:
                file.append(rows)
        if file is not None:
            file.close()

    def _new_run(self) -> _Run:
        run = _Run(self._stem.with_name(f"{self._stem.name}.{self._made}.run"), self._schema)
        self._made += 1
        self.runs.append(run)
        return run

    def _keys(self, rows: pl.DataFrame) -> Keys:
        return [rows[name].to_physical().cast(pl.Int64).to_numpy() for name in self._by]

    def _merge(self, runs: list[_Run]) -> Iterator[pl.DataFrame]:
        """The rows of closed runs in order; of equal rows those of an earlier run first."""
        streams: list[Iterator[pl.DataFrame] | None] = [run.blocks() for run in runs]
        heads = [pl.DataFrame(schema=self._schema) for _ in runs]
        while True:
            for place in range(len(runs)):
                while heads[place].is_empty() and (stream := streams[place]) is not None:
                    block = next(stream, None)
                    if block is None:
                        streams[place] = None
                    else:
                        heads[place] = block
            keys = [self._keys(head) for head in heads]
            # what a run may still bring is no earlier than the last row at hand
            ends = [
                (*(int(key[-1]) for key in keys[place]), place)
                for place, stream in enumerate(streams)
                if stream is not None
            ]
            if not ends:
                rest = [head for head in heads if head.height]
                if rest:
                    yield rest[0] if len(rest) == 1 else pl.concat(rest).sort(self._by, maintain_order=True)
                return
            *cut, first = min(ends)
            taken = []
            for place, head in enumerate(heads):
                # rows equal to the cut may follow in its run, and come before those of later runs
                limit = (*cut[:-1], cut[-1] + (place <= first))
                stop = _first_not_before(keys[place], limit)
                if stop:
                    taken.append(head.head(stop))
                    heads[place] = head.slice(stop)
            yield taken[0] if len(taken) == 1 else pl.concat(taken).sort(self._by, maintain_order=True)


def _in_order(keys: Keys) -> bool:
    tied: Any = True
    for key in keys:
        if (tied & (key[1:] < key[:-1])).any():
            return False
        tied = tied & (key[1:] == key[:-1])
    return True


def _first_not_before(keys: Keys, limit: tuple[int, ...]) -> int:
    """Place of the first row, of sorted ones, that is not before the limit."""
    low, high = 0, len(keys[0])
    for key, value in zip(keys, limit, strict=True):
        low, high = (low + int(np.searchsorted(key[low:high], value, side)) for side in ("left", "right"))
    return low


class Partitions:
    """Rows by partition. About _BUFFERED_ROWS rows are in memory and _OPEN_FILES files open at most, however many
    partitions there are."""

    def __init__(self, folder: Path, schema: dict[str, Any], partition: Sequence[str], by: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._schema, self._partition, self._by = folder, schema, list(partition), by
        self._of: dict[Values, Partition] = {}
        self._in_memory: dict[int, _Run] = {}
        self._with_file: OrderedDict[int, _Run] = OrderedDict()

    def append(self, rows: pl.DataFrame) -> None:
        for values, part in self._parts(rows):
            if values not in self._of:
                self._of[values] = Partition(self._folder / str(len(self._of)), self._schema, self._by)
            for run in self._of[values].append(part.select(*self._schema)):
                self._in_memory[id(run)] = run
                if run.buffered >= ROW_GROUP or run.file is not None:
                    self._to_file(run)
        buffered = sum(run.buffered for run in self._in_memory.values())
        for run in sorted(self._in_memory.values(), key=lambda run: -run.buffered):
            if buffered <= _BUFFERED_ROWS:
                break
            buffered -= run.buffered
            self._to_file(run)
            assert run.file is not None
            run.file.flush()
            del self._in_memory[id(run)]

    def items(
        self, order: Callable[[tuple[Any, ...]], Any] | None = None
    ) -> Iterator[tuple[tuple[Any, ...], Partition]]:
        """The partitions in the order of their values (or what `order` makes of them), each of them once."""
        self._in_memory.clear()
        self._with_file.clear()
        for values in sorted(self._of, key=order):
            yield values, self._of.pop(values)

    def _parts(self, rows: pl.DataFrame) -> Iterator[tuple[Values, pl.DataFrame]]:
        if rows.is_empty():
            return
        if all(rows[name].eq_missing(rows[name][0]).all() for name in self._partition):
            yield rows.select(pl.col(self._partition).first()).row(0), rows
            return
        yield from rows.partition_by(self._partition, as_dict=True, maintain_order=True).items()

    def _to_file(self, run: _Run) -> None:
        run.to_file()
        self._with_file[id(run)] = run
        self._with_file.move_to_end(id(run))
        while len(self._with_file) > _OPEN_FILES:
            oldest = self._with_file.popitem(last=False)[1]
            oldest.close()
            self._in_memory.pop(id(oldest), None)
