"""What a model said of texts, in one SQLite file that several processes may use at once, and that stays bounded.

A key is 16 bytes of BLAKE2b over the text, salted with the model's hash: neither another model nor another text is
answered from it, and the file holds no text. A value is a record of fixed size (`Codec`). A process reads and writes in
short transactions of a write-ahead log: readers never wait, writers wait for each other, and a killed process leaves
whole transactions behind. Two processes that store the same text write the same row; the second write is ignored.

Bound: each kind of value has two tables, a new one and an old one, of at most `max_rows` / 2 rows each. Rows go into
the new one; a row found in the old one is copied over. When the new one is full, the old one is dropped and the new one
takes its place. So what leaves is what was not used for the longest time, to within half of the bound: a row that was
stored or read stays until at least `max_rows` / 2 others have been. No row carries a time of last use, so a read of the
new table writes nothing, and dropping a table costs far less than deleting its rows. The file takes about 55 bytes a
score and 850 a vector of 384; pages that become free are used again.
"""

import contextlib
import hashlib
import os
import sqlite3
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from gpu_kernels.errors import ArgumentError, DataError


@dataclass(frozen=True)
class Codec:
    """A kind of value: the name of its table, the NumPy type of one value, and how many are kept by default."""

    table: str
    dtype: np.dtype[Any]
    max_rows: int

    @property
    def parts(self) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """The type of an array of values, and the shape of one value in it."""
        return self.dtype.subdtype or (self.dtype, ())


TONE = np.dtype(
    [("negative", "<f8"), ("neutral", "<f8"), ("positive", "<f8"), ("truncated", "?"), ("sentences", "<u2")]
)
"""What is stored of a scored text; its score and entropy follow from it."""
SCORES = Codec("score", TONE, 10_000_000)
EMBEDDINGS = Codec("embedding", np.dtype(("<i2", (384,))), 1_000_000)

_APPLICATION_ID = 0x74667363  # "tfsc": marks the file as ours, so that no other database is ever written to
_VERSION = 2  # of the tables and codecs; a file of another version is begun anew
_BUSY_SECONDS = 60.0
_KEYS_PER_QUERY = 900  # below SQLite's historical limit of 999 parameters
_BLOCK = 32_768  # keys looked up, or rows written, in one transaction
_PAGES_KIB = 32_768
_LOG_BYTES = 64 * 2**20
_NARROW = 200  # bytes; SQLite's own advice is to keep wider rows out of the tree of the keys
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_Rows = list[tuple[bytes, bytes]]


class _WrongSizeError(sqlite3.DatabaseError):
    """A value that is not of its codec's size."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def default_path() -> Path:
    """Where a user's commands keep their cache: `trifuse/texts.sqlite` in XDG_CACHE_HOME, by default ~/.cache.

    Raises DataError where this user has no home folder.
    """
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if folder.startswith("~"):
        raise DataError("this user has no home folder for a cache", hint="set XDG_CACHE_HOME, or name the file")
    return Path(folder) / "trifuse" / "texts.sqlite"


class TextCache:
    """A context manager over the file at `path`, which it makes, with its folder, where there is none.

    model_sha256   of all that decides a value beside the text, in hexadecimal
    codec          SCORES or EMBEDDINGS; one file may hold both
    max_rows       the bound; default the codec's: 10,000,000 scores (550 MB), 1,000,000 vectors (850 MB)

    A damaged file is renamed to `<name>.damaged-<n>` with a warning and a new one is begun: a cache can be computed
    again, a run should not stop for it. For the same reason a write that fails (a full disk, a file that has become
    read-only) is a warning, after which this object only reads.
    Raises DataError where the file cannot be opened or read, or is another program's database; ArgumentError on a
    max_rows below 2.
    """

    def __init__(self, path: Path, model_sha256: str, codec: Codec = SCORES, *, max_rows: int | None = None) -> None:
        if max_rows is not None and max_rows < 2:
            raise ArgumentError(f"max_rows={max_rows}", allowed="at least 2")
        digest = bytes.fromhex(model_sha256)
        # as salt and personalisation the model's hash costs no time: they are part of the hash's first state
        self._hash = hashlib.blake2b(digest_size=16, salt=digest[:16], person=digest[16:])
        self._path = Path(path)
        self._codec = codec
        self._half = (max_rows or codec.max_rows) // 2
        self._new, self._old = codec.table, f"{codec.table}_old"
        self._writes = True
        self._inode: int | None = None
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

    def get(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The values of texts, an array of the codec's type, and which of them are known, bool. Unknown ones are 0.

        A lone surrogate, which UTF-8 has no bytes for, counts as itself.
        """
        dtype, shape = self._codec.parts
        values = np.zeros((len(texts), *shape), dtype)
        known = np.zeros(len(texts), np.bool_)
        blank = bytes(self._codec.dtype.itemsize)
        for start in range(0, len(texts), _BLOCK):
            keys = self._keys(texts[start : start + _BLOCK])
            found: dict[bytes, bytes] = {}
            with self._recovering():
                found = self._find(keys)
            stored = b"".join([found.get(key, blank) for key in keys])
            values[start : start + len(keys)] = np.frombuffer(stored, dtype).reshape(-1, *shape)
            known[start : start + len(keys)] = np.fromiter((key in found for key in keys), np.bool_, len(keys))
        return values, known

    def put(self, texts: Sequence[str], values: np.ndarray) -> None:
        """Store the values of texts: up to 32,768 in one transaction, of which after a kill all are there or none."""
        dtype, shape = self._codec.parts
        if values.shape != (len(texts), *shape):
            raise ArgumentError(f"values of shape {values.shape}", allowed=str((len(texts), *shape)))
        stored, size = values.astype(dtype).tobytes(), self._codec.dtype.itemsize
        self._store([(key, stored[i * size : (i + 1) * size]) for i, key in enumerate(self._keys(texts))])

    def _keys(self, texts: Sequence[str]) -> list[bytes]:
        keys, begin = [], self._hash.copy
        for text in texts:
            state = begin()
            state.update(text.encode("utf-8", "surrogatepass"))
            keys.append(state.digest())
        return keys

    def _find(self, keys: list[bytes]) -> dict[bytes, bytes]:
        ordered = sorted(set(keys))  # neighbours in the file are read together
        self._connection.execute("BEGIN")  # both tables as they are at one moment
        try:
            found = self._select(self._new, ordered)
            older = self._select(self._old, [key for key in ordered if key not in found])
        finally:
            self._connection.execute("COMMIT")
        self._store(list(older.items()))
        return found | older

    def _select(self, table: str, keys: list[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for start in range(0, len(keys), _KEYS_PER_QUERY):
            part = keys[start : start + _KEYS_PER_QUERY]
            marks = ",".join("?" * len(part))
            found.update(self._connection.execute(f"SELECT key, value FROM {table} WHERE key IN ({marks})", part))
        if not set(map(len, found.values())) <= {self._codec.dtype.itemsize}:
            raise _WrongSizeError(f"a value of {table} has not the size of a value")
        return found

    def _store(self, rows: _Rows) -> None:
        size = min(_BLOCK, self._half)
        for start in range(0, len(rows) if self._writes else 0, size):
            with self._recovering(), self._unstored_warned():
                self._insert(rows[start : start + size])

    def _insert(self, rows: _Rows) -> None:
        with self._transaction() as connection:
            new, old = self._filled(self._new), self._filled(self._old)
            if new + len(rows) > self._half:
                connection.execute(f"DROP TABLE {self._old}")
                connection.execute(f"ALTER TABLE {self._new} RENAME TO {self._old}")
                self._create(self._new)
                new, old = 0, new
            if old > self._half:  # another process keeps more
                connection.execute(f"DROP TABLE {self._old}")
                self._create(self._old)
                old = 0
            before = connection.total_changes
            connection.executemany(f"INSERT OR IGNORE INTO {self._new} VALUES (?, ?)", rows)
            added = connection.total_changes - before
            filled = ((self._new, new + added), (self._old, old))
            connection.executemany("INSERT OR REPLACE INTO filled VALUES (?, ?)", filled)

    def _filled(self, table: str) -> int:
        row = self._connection.execute("SELECT rows FROM filled WHERE name = ?", (table,)).fetchone()
        return 0 if row is None else int(row[0])

    def _create(self, table: str) -> None:
        narrow = "WITHOUT ROWID" if self._codec.dtype.itemsize <= _NARROW else ""
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {table} (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL) {narrow}"
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connection:  # commits, or rolls back on an error
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection

    @contextlib.contextmanager
    def _unstored_warned(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            self._writes = False
            warnings.warn(
                f"the text cache {self._path} cannot be written ({error}): what is computed from here on is not kept",
                stacklevel=2,
            )

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
                f"the text cache {self._path} cannot be used: {error}",
                allowed="a file in a folder that this user may write, on a local disk",
                hint="give another cache path, or none",
            ) from error

    def _open(self) -> sqlite3.Connection:
        self._inode = self._inode_now()
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
        self._connection = connection
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._inode = self._inode_now()
        return connection

    def _inode_now(self) -> int | None:
        try:
            return os.stat(self._path).st_ino
        except FileNotFoundError:
            return None

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA cache_size = -{_PAGES_KIB}")
        with self._transaction():  # another process may be making the file at this moment
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            if tables and application != _APPLICATION_ID:
                raise DataError(
                    f"{self._path} is a database of another program",
                    allowed="a text cache, or a path where there is no file",
                    hint="give another cache path",
                )
            if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                for table in tables:
                    connection.execute(f'DROP TABLE "{table}"')
                connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")
            connection.execute("CREATE TABLE IF NOT EXISTS filled (name TEXT PRIMARY KEY, rows INTEGER NOT NULL)")
            self._create(self._new)
            self._create(self._old)
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = NORMAL")  # a power cut may lose the last rows, never the file
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")

    def _set_aside(self, error: Exception) -> None:
        if self._inode_now() != self._inode:
            return  # another process met the damage first and has begun a new file
        number = 1
        while (aside := self._path.with_name(f"{self._path.name}.damaged-{number}")).exists():
            number += 1
        with contextlib.suppress(FileNotFoundError):
            self._path.replace(aside)
        for suffix in ("-wal", "-shm"):  # they belong to the damaged file and would be replayed into the new one
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        warnings.warn(
            f"text cache {self._path} is damaged ({error}): set aside as {aside.name}, its values are computed again",
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
