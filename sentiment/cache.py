"""Scores already computed, in one SQLite file that several processes may use at once.

A key is sha256(model hash + text), so neither another model nor another text can be answered from it, and the file
holds no text. Write-ahead logging lets readers go on while one process writes; writers wait for each other. Two
processes that score the same text write the same row, and the second write is ignored.
"""

import contextlib
import hashlib
import sqlite3
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from gpu_kernels.errors import DataError

Row = tuple[float, float, float, bool]
"""negative, neutral, positive, truncated"""

_APPLICATION_ID = 0x74667363  # "tfsc": marks the file as ours, so that no other database is ever written to
_BUSY_SECONDS = 60.0
_KEYS_PER_QUERY = 900  # below SQLite's historical limit of 999 parameters
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class ScoreCache:
    """A context manager over the file at `path`, which it makes, with its folder, where there is none.

    A damaged file is renamed to `<name>.damaged-<n>` with a warning and a new one is begun: a cache can be computed
    again, a run should not stop for it. Raises DataError where the file cannot be opened or written, or is another
    program's database.
    """

    def __init__(self, path: Path, model_sha256: str) -> None:
        self._path = Path(path)
        self._prefix = bytes.fromhex(model_sha256)
        with self._reported():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._connection = self._open()
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._set_aside(error)
                self._connection = self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def key(self, text: str) -> bytes:
        """sha256 of the model's hash and the text; a lone surrogate, which UTF-8 has no bytes for, counts as itself."""
        return hashlib.sha256(self._prefix + text.encode("utf-8", "surrogatepass")).digest()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Row]:
        """The rows known, by key; keys not known are left out."""
        found: dict[bytes, Row] = {}
        for start in range(0, len(keys), _KEYS_PER_QUERY):
            part = keys[start : start + _KEYS_PER_QUERY]
            marks = ",".join("?" * len(part))
            query = f"SELECT key, negative, neutral, positive, truncated FROM score WHERE key IN ({marks})"
            for key, negative, neutral, positive, truncated in self._rows(query, part):
                found[key] = (negative, neutral, positive, bool(truncated))
        return found

    def put(self, rows: Iterable[tuple[bytes, Row]]) -> None:
        """Store rows in one transaction: after a kill either all of them are there or none."""
        values = [(key, *row) for key, row in rows]
        with self._recovering(), self._connection:
            self._connection.executemany("INSERT OR IGNORE INTO score VALUES (?, ?, ?, ?, ?)", values)

    def _rows(self, query: str, parameters: Sequence[bytes]) -> list[tuple[bytes, float, float, float, int]]:
        with self._recovering():
            return self._connection.execute(query, parameters).fetchall()
        return []  # the file was damaged and has been begun anew: nothing is known

    @contextlib.contextmanager
    def _recovering(self) -> Iterator[None]:
        """Damage found only when a page is read is met like damage found at the start: nothing is known any more."""
        with self._reported():
            try:
                yield
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._connection.close()
                self._set_aside(error)
                self._connection = self._open()

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise DataError(
                f"the score cache {self._path} cannot be used: {error}",
                allowed="a file in a folder that this user may write, on a local disk",
                hint="give another cache path, or none",
            ) from error

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level="IMMEDIATE")
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        with connection:
            connection.execute("BEGIN IMMEDIATE")  # another process may be making the file at this moment
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if tables and application != _APPLICATION_ID:
                raise DataError(
                    f"{self._path} is a database of another program",
                    allowed="a score cache, or a path where there is no file",
                    hint="give another cache path",
                )
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS score (key BLOB PRIMARY KEY, negative REAL NOT NULL, neutral REAL NOT NULL,"
                " positive REAL NOT NULL, truncated INTEGER NOT NULL) WITHOUT ROWID"
            )
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = NORMAL")  # a power cut may lose the last rows, never the file

    def _set_aside(self, error: Exception) -> None:
        number = 1
        while (aside := self._path.with_name(f"{self._path.name}.damaged-{number}")).exists():
            number += 1
        # another process may have met the damage first and moved the file already
        with contextlib.suppress(FileNotFoundError):
            self._path.replace(aside)
        for suffix in ("-wal", "-shm"):  # they belong to the damaged file and would be replayed into the new one
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        warnings.warn(
            f"score cache {self._path} is damaged ({error}): set aside as {aside.name}, scores are computed again",
            stacklevel=4,
        )


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch the file to write-ahead logging. SQLite does not wait for other connections in this one statement."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DAMAGED
