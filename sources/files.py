"""Input files: expanding `${NAME}` and globs, hashing, and opening gz, xz, zst and zip transparently."""

import glob
import hashlib
import lzma
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa

from gpu_kernels.errors import ConfigError, DataError
from sources.source_options import BaseSource

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_ENTITY = "{entity}"
_WILD = re.compile(r"(\*\*|\*|\?|\[[^]]+\])")
_BLOCK = 8 * 2**20
_LONGEST_LINE = 256 * 2**20
# those being read, to tell how far
_OPEN: dict[Path, IO[bytes]] = {}
_DAMAGED = (EOFError, zlib.error, zipfile.BadZipFile, lzma.LZMAError)
_XZ, _ZSTD = b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of a source, and the entity it is about where the config tells it."""

    path: Path
    entity: str | None = None


def expand(pattern: str, variables: Mapping[str, str]) -> str:
    """`${NAME}` replaced from `variables`, else from the environment. Raises ConfigError for a name in neither."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        found = variables.get(name, os.environ.get(name))
        if not found:
            raise ConfigError(f"${{{name}}} in {pattern!r} is not set", hint=f"set the environment variable {name}")
        return found

    return _VARIABLE.sub(value, pattern)


def input_files(source: BaseSource, variables: Mapping[str, str]) -> list[InputFile]:
    """The files of a source, sorted by path within each pattern. Raises DataError where a pattern matches none."""
    found: dict[Path, InputFile] = {}
    for entity, patterns in source.patterns.items():
        for pattern in patterns:
            expanded = expand(pattern, variables)
            named = _entity_in(expanded)
            matching = sorted(glob.glob(expanded.replace(_ENTITY, "*"), recursive=True))
            paths = [path for path in matching if os.path.isfile(path) and (named is None or named.fullmatch(path))]
            if not paths:
                raise DataError(f"no file matches {expanded}", hint="check the path, and the variables in it")
            for path in paths:
                match = None if named is None else named.fullmatch(path)
                file = InputFile(Path(path), entity if match is None else match["entity"])
                if file.path in found and found[file.path].entity != file.entity:
                    raise ConfigError(f"{path} is given to both {found[file.path].entity} and {file.entity}")
                found[file.path] = file
    return list(found.values())


def _entity_in(pattern: str) -> re.Pattern[str] | None:
    """What tells the entity in the paths of a pattern that says where it stands; in two places it must be the same."""
    if _ENTITY not in pattern:
        return None
    wild = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = [
        "".join(wild.get(part) or (part if part.startswith("[") else re.escape(part)) for part in _WILD.split(piece))
        for piece in pattern.split(_ENTITY)
    ]
    return re.compile(pieces[0] + "(?P<entity>[^/]+?)" + "(?P=entity)".join(pieces[1:]))


def digest(path: Path) -> str:
    """sha256 of a file's bytes, in hexadecimal; of a Shapefile, of those of all the files that it is made of.

    Raises DataError for a file that cannot be read."""
    with reading(path), open(path, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256")
    if path.suffix.lower() == ".shp":
        for beside in sorted(path.parent.glob(f"{glob.escape(path.stem)}.*")):
            if beside != path:
                found.update(f"{beside.suffix.lower()} {digest(beside)}".encode())
    return found.hexdigest()


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns the errors of reading `path` into a DataError that names it."""
    try:
        yield
    except _DAMAGED as error:
        raise DataError(
            f"{path} is truncated or damaged: {error}",
            allowed="a whole gz, xz, zst or zip file",
            hint="fetch the file again",
        ) from error
    except OSError as error:
        if error.errno is None:  # not the system's but a decompressor's own, as that of zst
            raise DataError(f"{path} is truncated or damaged: {error}", hint="fetch the file again") from error
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with open(path, "rb") as raw:
        _OPEN[path] = raw
        try:
            yield raw
        finally:
            _OPEN.pop(path, None)


@contextmanager
def open_member(path: Path, member: str | None = None) -> Iterator[IO[bytes]]:
    """The decompressed bytes of a file. What a file is, is told by its first bytes and not by its name.

    member  the file inside a zip; without it the zip must hold exactly one
    """
    with _opened(path) as raw:
        magic = raw.read(len(_XZ))
        raw.seek(0)
        if magic.startswith(b"\x1f\x8b"):
            # twice as fast as the standard library's
            with pa.CompressedInputStream(raw, "gzip") as stream:
                yield stream
        elif magic.startswith(_XZ):
            with lzma.open(raw) as stream:
                yield stream
        elif magic.startswith(_ZSTD):
            with pa.CompressedInputStream(raw, "zstd") as stream:
                yield stream
        elif magic.startswith(b"PK"):
            with zipfile.ZipFile(raw) as archive:
                names = [member] if member else archive.namelist()
                if len(names) != 1:
                    raise DataError(f"{path} holds {len(names)} files", allowed="a zip of one file")
                with archive.open(names[0]) as inside:
                    yield inside
        else:
            yield raw


def members(path: Path) -> list[str]:
    """Names of the files inside a zip."""
    with reading(path), zipfile.ZipFile(path) as archive:
        return archive.namelist()


def blocks(path: Path, member: str | None = None, *, quoted: bool = False, size: int | None = None) -> Iterator[bytes]:
    """The decompressed text in blocks of whole lines, so that a file larger than memory can be read.

    quoted  a line break inside double quotes does not end a line

    Raises DataError for a line that is longer than any line of text.
    """
    with reading(path), open_member(path, member) as stream:
        pieces: list[bytes] = []
        held = quotes = 0
        while piece := stream.read(size or _BLOCK):
            cut = piece.rfind(b"\n") + 1
            while quoted and cut and (quotes + piece.count(b'"', 0, cut)) % 2:
                cut = piece.rfind(b"\n", 0, cut - 1) + 1
            if cut:
                yield b"".join([*pieces, piece[:cut]])
                piece, pieces, held, quotes = piece[cut:], [], 0, 0
            pieces.append(piece)
            held, quotes = held + len(piece), quotes + (piece.count(b'"') if quoted else 0)
            if held > _LONGEST_LINE:
                raise DataError(
                    f"{path} has a line of more than {_LONGEST_LINE // 2**20} MiB",
                    allowed="text, whose lines end",
                    hint="if quotes mean nothing: quoted: false" if quoted else "see the source's `kind`",
                )
        if held:
            yield b"".join(pieces)


def bytes_read(path: Path) -> int:
    """How far an open file was read, in bytes as they are stored; 0 where it is not open."""
    return _OPEN[path].tell() if path in _OPEN else 0


def raw_lines(path: Path, member: str | None, wanted: list[int]) -> dict[int, str]:
    """The text of the given lines (1-based), as far as it can be shown: at most 500 characters of each."""
    lines, before, left = {}, 0, sorted(set(wanted), reverse=True)
    for block in blocks(path, member) if left else ():
        # a block ends with a line break, unless it is the last
        count = block.count(b"\n") + (not block.endswith(b"\n"))
        if left[-1] <= before + count:
            pieces = block.split(b"\n")
            while left and left[-1] <= before + count:
                number = left.pop()
                lines[number] = pieces[number - before - 1][:500].decode("utf-8", "replace").rstrip("\r")
        before += count
        if not left:
            break
    return lines
