"""The cache: a hit equals a miss, its bound, several processes at once, kills, damage, files that cannot be used."""

import contextlib
import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from gpu_kernels.errors import ArgumentError, DataError
from sentiment.cache import EMBEDDINGS, TONE, TextCache

MODEL, OTHER = "ab" * 32, "cd" * 32


def tones(numbers: list[int]) -> np.ndarray:
    """A value for each number that tells which number it is."""
    values = np.zeros(len(numbers), TONE)
    values["negative"] = np.array(numbers) / 10_000
    values["positive"] = 1 - values["negative"]
    values["truncated"] = np.array(numbers) % 3 == 0
    values["sentences"] = np.array(numbers) % 1000 + 1
    return values


def fill(cache: TextCache, numbers: list[int]) -> None:
    cache.put([str(number) for number in numbers], tones(numbers))


def known(cache: TextCache, numbers: list[int]) -> list[int]:
    """The numbers that the cache knows; their values must be their own."""
    values, found = cache.get([str(number) for number in numbers])
    there = [number for number, hit in zip(numbers, found.tolist(), strict=True) if hit]
    assert (values[found] == tones(there)).all()
    assert (values[~found] == np.zeros(1, TONE)).all()
    return there


def rows(path: Path) -> dict[str, int]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = ("score", "score_old", "embedding", "embedding_old")
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")} & set(tables)
        counts = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in sorted(there)}
        # what the file says of itself, by which the bound is kept
        assert dict(connection.execute("SELECT name, rows FROM filled WHERE rows > 0")) == {
            name: count for name, count in counts.items() if count
        }
    return counts


class TestValues:
    def test_returns_what_was_put(self, tmp_path: Path) -> None:
        path, numbers = tmp_path / "new" / "folder" / "cache.sqlite", list(range(2500))
        with TextCache(path, MODEL) as cache:
            assert known(cache, numbers) == []
            fill(cache, numbers)
            assert known(cache, numbers) == numbers
        with TextCache(path, MODEL) as again:
            assert known(again, [7, 9999, 3, 7]) == [7, 3, 7]
            assert known(again, []) == []

    def test_vectors_to_the_bit_beside_scores(self, tmp_path: Path) -> None:
        vectors = np.random.default_rng(0).integers(-(2**15), 2**15, (300, 384), dtype=np.int16)
        texts = [str(i) for i in range(300)]
        with TextCache(tmp_path / "c", MODEL, EMBEDDINGS) as cache, TextCache(tmp_path / "c", MODEL) as scores:
            cache.put(texts, vectors)
            fill(scores, [1])
            found, hit = cache.get([*texts, "unknown"])
            assert found.dtype == np.int16
            assert found[:-1].tobytes() == vectors.tobytes()
            assert hit.tolist() == [True] * 300 + [False]
            assert known(scores, [1, 2]) == [1]

    def test_keys_tell_models_and_texts_apart(self, tmp_path: Path) -> None:
        texts = ["a", "b", "\ud800", "", "a "]
        with TextCache(tmp_path / "c", MODEL) as one, TextCache(tmp_path / "c", OTHER) as two:
            for i, text in enumerate(texts):
                one.put([text], tones([i]))
            assert not two.get(texts)[1].any()
            two.put(["a"], tones([77]))
            assert (one.get(texts)[0] == tones([0, 1, 2, 3, 4])).all()

    def test_wrong_arguments(self, tmp_path: Path) -> None:
        with TextCache(tmp_path / "c", MODEL) as cache, pytest.raises(ArgumentError, match=r"shape \(2,\)"):
            cache.put(["a"], tones([1, 2]))
        with TextCache(tmp_path / "c", MODEL, EMBEDDINGS) as cache, pytest.raises(ArgumentError, match=r"\(1, 384\)"):
            cache.put(["a"], np.zeros((1, 100), np.int16))
        with pytest.raises(ArgumentError, match="max_rows=1"):
            TextCache(tmp_path / "c", MODEL, max_rows=1)


class TestBound:
    def test_is_kept_and_the_file_stops_growing(self, tmp_path: Path) -> None:
        path, sizes = tmp_path / "c", []
        with TextCache(path, MODEL, max_rows=1000) as cache:
            for start in range(0, 20_000, 130):
                fill(cache, list(range(start, start + 130)))
                assert sum(rows(path).values()) <= 1000
                sizes.append(cache._connection.execute("PRAGMA page_count").fetchone()[0])
            assert len(known(cache, list(range(20_000)))) >= 500
        assert max(sizes) <= max(sizes[: len(sizes) // 4]) + 2

    def test_more_than_fits_at_once(self, tmp_path: Path) -> None:
        with TextCache(tmp_path / "c", MODEL, max_rows=10) as cache:
            fill(cache, list(range(1000)))
            assert sum(rows(tmp_path / "c").values()) <= 10
            assert set(range(995, 1000)) <= set(known(cache, list(range(1000))))

    def test_what_is_read_stays_and_what_is_not_leaves(self, tmp_path: Path) -> None:
        with TextCache(tmp_path / "c", MODEL, max_rows=100) as cache:
            fill(cache, list(range(40)))
            for start in range(1000, 3000, 20):
                fill(cache, list(range(start, start + 20)))
                assert known(cache, list(range(10))) == list(range(10))
            assert known(cache, list(range(40))) == list(range(10))

    def test_stays_until_half_the_bound_has_come(self, tmp_path: Path) -> None:
        draw = random.Random(1)
        for _ in range(20):
            before, after = draw.randrange(200), draw.randrange(1, 51)
            with TextCache(tmp_path / f"{before} {after}", MODEL, max_rows=100) as cache:
                for number in range(before):
                    fill(cache, [1000 + number])
                fill(cache, [1])
                for number in range(after - 1):
                    fill(cache, [5000 + number])
                assert known(cache, [1]) == [1]

    def test_a_smaller_bound_shrinks_what_is_there(self, tmp_path: Path) -> None:
        with TextCache(tmp_path / "c", MODEL) as cache:
            fill(cache, list(range(500)))
        with TextCache(tmp_path / "c", MODEL, max_rows=100) as cache:
            fill(cache, list(range(1000, 1010)))
            assert known(cache, list(range(1000, 1010))) == list(range(1000, 1010))
        assert sum(rows(tmp_path / "c").values()) <= 100


def write_and_read(path: Path, first: int, count: int, max_rows: int | None) -> None:
    """Runs in a process of its own: many small writes between reads of what others write."""
    for start in range(first, first + count, 10):
        with TextCache(path, MODEL, max_rows=max_rows) as cache:
            known(cache, list(range(0, 400, 7)))
            fill(cache, list(range(start, start + 10)))
            assert max_rows is not None or known(cache, [start]) == [start]


@pytest.mark.parametrize("max_rows", [None, 60])
def test_several_processes_at_once(tmp_path: Path, max_rows: int | None) -> None:
    path = tmp_path / "cache.sqlite"
    context = multiprocessing.get_context("spawn")
    # the ranges overlap, so that the same rows are written twice, and the file is made by whoever comes first
    workers = [context.Process(target=write_and_read, args=(path, first, 200, max_rows)) for first in (0, 100, 200)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    if max_rows is None:
        assert rows(path) == {"score": 400, "score_old": 0}
    else:
        assert sum(rows(path).values()) <= max_rows


CHILD = """
import sys
sys.path.insert(0, {tests!r})
from test_text_cache import *
def stop(statement):
    if "INTO filled" in statement:
        os.kill(os.getpid(), signal.SIGKILL)
with TextCache(Path({path!r}), MODEL) as cache:
    fill(cache, list(range(100)))
    cache._connection.set_trace_callback(stop)
    fill(cache, list(range(50, 150)))
"""


def test_a_kill_inside_a_transaction_leaves_nothing_of_it(tmp_path: Path) -> None:
    code = CHILD.format(tests=str(Path(__file__).parent), path=str(tmp_path / "c"))
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    with TextCache(tmp_path / "c", MODEL) as cache:
        assert known(cache, list(range(200))) == list(range(100))
    assert rows(tmp_path / "c")["score"] == 100


class TestDamage:
    def test_a_file_that_is_no_database_is_set_aside(self, tmp_path: Path) -> None:
        path = tmp_path / "cache.sqlite"
        path.write_bytes(b"not a database at all" * 500)
        with pytest.warns(UserWarning, match=r"damaged.*set aside as cache\.sqlite\.damaged-1"):
            cache = TextCache(path, MODEL)
        with cache:
            fill(cache, [1])
            assert known(cache, [1]) == [1]
        assert (tmp_path / "cache.sqlite.damaged-1").read_bytes().startswith(b"not a database")
        path.write_bytes(b"again" * 1000)
        with pytest.warns(UserWarning, match="damaged-2"), TextCache(path, MODEL):
            pass

    def damaged(self, path: Path) -> list[int]:
        numbers = list(range(3000))
        with TextCache(path, MODEL) as cache:
            fill(cache, numbers)
        content = bytearray(path.read_bytes())
        content[16_384:-4096] = bytes(len(content) - 20_480)  # the header and the schema stay whole
        path.write_bytes(content)
        return numbers

    def test_found_while_reading(self, tmp_path: Path) -> None:
        numbers = self.damaged(tmp_path / "c")
        with TextCache(tmp_path / "c", MODEL) as cache:
            with pytest.warns(UserWarning, match="damaged"):
                assert known(cache, numbers) == []
            fill(cache, [5])
            assert known(cache, [5]) == [5]

    def test_found_by_two_is_set_aside_once(self, tmp_path: Path) -> None:
        numbers = self.damaged(tmp_path / "c")
        with TextCache(tmp_path / "c", MODEL) as one, TextCache(tmp_path / "c", MODEL) as two:
            with pytest.warns(UserWarning, match="damaged"):
                assert known(one, numbers) == []
            fill(one, [5])
            assert known(two, numbers) in ([], [5])
            assert known(two, [5]) == [5]
        assert [path.name for path in tmp_path.glob("*damaged*")] == ["c.damaged-1"]

    def test_a_value_of_another_size(self, tmp_path: Path) -> None:
        with TextCache(tmp_path / "c", MODEL) as cache:
            fill(cache, [1, 2])
            cache._connection.execute("UPDATE score SET value = x'00'")
            with pytest.warns(UserWarning, match="not the size"):
                assert known(cache, [1, 2]) == []

    def test_a_file_of_another_version_is_begun_anew(self, tmp_path: Path) -> None:
        with TextCache(tmp_path / "c", MODEL) as cache:
            fill(cache, [1])
            cache._connection.execute("PRAGMA user_version = 1")
        with TextCache(tmp_path / "c", MODEL) as cache:
            assert known(cache, [1]) == []
            fill(cache, [1])
        assert rows(tmp_path / "c")["score"] == 1


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write everywhere: as nobody for a while."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


class TestFilesThatCannotBeUsed:
    def test_another_programs_database_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "theirs.sqlite"
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE orders (id INTEGER)")
        before = path.read_bytes()
        with pytest.raises(DataError, match="another program"):
            TextCache(path, MODEL)
        assert path.read_bytes() == before

    def test_a_path_that_is_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="cannot be used"):
            TextCache(tmp_path, MODEL)
        (tmp_path / "file").touch()
        with pytest.raises(DataError, match="cannot be used"):
            TextCache(tmp_path / "file" / "cache.sqlite", MODEL)

    def test_a_folder_and_a_file_that_may_only_be_read(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with TextCache(folder / "there", MODEL) as cache:
                fill(cache, [1])
            folder.chmod(0o555)
            (folder / "there").chmod(0o444)
            try:
                with unprivileged():
                    for path in (folder / "new", folder / "there"):
                        with pytest.raises(DataError, match=r"cannot be used: .*; allowed: .*another cache path"):
                            TextCache(path, MODEL)
            finally:
                folder.chmod(0o755)
            with TextCache(folder / "there", MODEL) as cache:
                assert known(cache, [1]) == [1]

    def test_a_full_disk_is_a_warning(self, tmp_path: Path) -> None:
        with TextCache(tmp_path / "c", MODEL) as cache:
            fill(cache, [1])
            pages = cache._connection.execute("PRAGMA page_count").fetchone()[0]
            cache._connection.execute(f"PRAGMA max_page_count = {pages}")
            with pytest.warns(UserWarning, match=r"cannot be written \(database or disk is full\)"):
                fill(cache, list(range(10, 5000)))
            fill(cache, list(range(10, 5000)))  # not tried again
            assert known(cache, [1, 10, 4000]) == [1]


FORWARDS = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_text_cache import some_texts
from sentiment.score import Scorer
def stop(share):
    if share > 0.4:
        os.kill(os.getpid(), signal.SIGKILL)
Scorer(Path({folder!r}), cache=Path({path!r}), batch_tokens=256).score(some_texts(), progress=stop)
"""


def some_texts() -> list[str]:
    """No two of them have the same tokens."""
    draw = random.Random(4)
    return [f"{i} " + " ".join(draw.choices(("profit", "loss", "net", "up"), k=i % 40)) for i in range(120)]


class TestScorer:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        from tiny_models import save_classifier

        return save_classifier(tmp_path / "tiny", ["negative", "neutral", "positive"])

    @pytest.mark.usefixtures("one_thread")
    def test_a_killed_process_goes_on_without_scoring_again(self, folder: Path, tmp_path: Path) -> None:
        import torch

        from sentiment.score import Scorer

        path, texts = tmp_path / "c", some_texts()
        code = FORWARDS.format(tests=str(Path(__file__).parent), folder=str(folder), path=str(path))
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
        scorer = Scorer(folder, cache=path, batch_tokens=256)
        seen: list[tuple[int, ...]] = []
        forward = scorer.model.forward

        def counted(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            seen.extend(tuple(row) for row in ids.tolist())
            return forward(ids, mask)

        scorer.model = replace(scorer.model, forward=counted)
        found = scorer.score(texts)
        done = scorer.from_cache
        assert 0.4 * len(texts) < done < len(texts)
        assert len(set(seen)) == len(texts) - done
        assert found.equals(Scorer(folder, batch_tokens=256).score(texts))
        seen.clear()
        assert scorer.score(texts).equals(found)
        assert not seen

    @pytest.mark.usefixtures("one_thread")
    def test_a_call_needs_nothing_that_it_pushes_out_itself(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from sentiment import score

        texts = some_texts()
        plain = score.score(texts, folder)
        monkeypatch.setattr(score, "TextCache", partial(TextCache, max_rows=len(texts) // 2))
        scorer = score.Scorer(folder, cache=tmp_path / "c", batch_tokens=64)
        assert scorer.score(texts[:60]).equals(plain[:60])
        assert scorer.score(texts).equals(plain)
        assert scorer.from_cache >= 30  # all that was there when the call began
