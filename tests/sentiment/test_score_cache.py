"""The cache: a hit equals a miss, several processes, damage."""

import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from gpu_kernels.errors import DataError
from sentiment.cache import ScoreCache

MODEL, OTHER = "ab" * 32, "cd" * 32


def fill(path: Path, first: int, count: int) -> None:
    """Runs in a process of its own: many small writes between reads."""
    for start in range(first, first + count, 10):
        with ScoreCache(path, MODEL) as cache:
            keys = [cache.key(str(i)) for i in range(start, start + 10)]
            cache.get(keys)
            cache.put((key, (0.1, 0.2, 0.7, False)) for key in keys)


def test_returns_what_was_put(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "cache.sqlite"
    with ScoreCache(path, MODEL) as cache:
        rows = {cache.key(f"text {i}"): (0.0001 * i, 0.25, 1 - 0.0001 * i, i % 3 == 0) for i in range(2500)}
        assert cache.get(list(rows)) == {}
        cache.put(rows.items())
        assert cache.get(list(rows)) == rows
    with ScoreCache(path, MODEL) as again:
        assert again.get([*list(rows)[:5], again.key("unknown")]) == dict(list(rows.items())[:5])
        assert again.get([]) == {}


def test_keys_tell_models_and_texts_apart(tmp_path: Path) -> None:
    with ScoreCache(tmp_path / "c", MODEL) as one, ScoreCache(tmp_path / "c", OTHER) as two:
        keys = [one.key("a"), one.key("b"), two.key("a"), one.key("\ud800"), one.key("")]
        assert len(set(keys)) == 5
        one.put([(keys[0], (1.0, 0.0, 0.0, False))])
        assert two.get([two.key("a")]) == {}


def test_several_processes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    context = multiprocessing.get_context("spawn")
    # the ranges overlap, so that the same rows are written twice, and the file is made by whoever comes first
    workers = [context.Process(target=fill, args=(path, first, 200)) for first in (0, 100, 200)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    with ScoreCache(path, MODEL) as cache:
        assert len(cache.get([cache.key(str(i)) for i in range(500)])) == 400
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    path.write_bytes(b"not a database at all" * 500)
    with pytest.warns(UserWarning, match=r"damaged.*set aside as cache\.sqlite\.damaged-1"):
        cache = ScoreCache(path, MODEL)
    with cache:
        cache.put([(cache.key("a"), (1.0, 0.0, 0.0, False))])
        assert len(cache.get([cache.key("a")])) == 1
    assert (tmp_path / "cache.sqlite.damaged-1").read_bytes().startswith(b"not a database")
    path.write_bytes(b"again" * 1000)
    with pytest.warns(UserWarning, match="damaged-2"), ScoreCache(path, MODEL):
        pass


def test_damage_found_while_reading(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    with ScoreCache(path, MODEL) as cache:
        keys = [cache.key(str(i)) for i in range(3000)]
        cache.put((key, (0.1, 0.2, 0.7, False)) for key in keys)
    content = bytearray(path.read_bytes())
    content[8192:-4096] = bytes(len(content) - 12288)  # the header and the schema stay whole
    path.write_bytes(content)
    with ScoreCache(path, MODEL) as cache:
        with pytest.warns(UserWarning, match="damaged"):
            assert cache.get(keys) == {}
        cache.put([(keys[0], (1.0, 0.0, 0.0, True))])
        assert cache.get(keys[:1]) == {keys[0]: (1.0, 0.0, 0.0, True)}


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE orders (id INTEGER)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DataError, match="another program"):
        ScoreCache(path, MODEL)
    assert path.read_bytes() == before


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be used"):
        ScoreCache(tmp_path, MODEL)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be used"):
        ScoreCache(tmp_path / "file" / "cache.sqlite", MODEL)
