"""STAC items as they come: of files, catalogues, collections of items, lines, or an API."""

import glob
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_kernels.errors import ConfigError, DataError, one_line
from sources.extras import need
from sources.files import blocks, expand, reading
from sources.imagery.config import StacScenes, patterns
from sources.imagery.href import place
from sources.imagery.scene import SetAside

UNREADABLE_ITEM = "unreadable_item"
UNREADABLE_CATALOGUE = "unreadable_catalogue"
NOT_STAC = "not_stac"
_LARGEST = 2**28
_DEEPEST = 20
_TIMEOUT, _RETRIES = 30, 3
_BUSY = (429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class RawItem:
    """An item as it was written.

    source   where it stands, to be told of
    base     the folder of its file, or its address
    roots    the folders in which its local files may lie
    licence  of the collection above it, where one says so
    """

    item: dict[str, Any]
    source: str
    base: Path | str
    roots: tuple[Path, ...] = ()
    licence: str | None = None


def raw_items(options: StacScenes, variables: Mapping[str, str]) -> Iterator[RawItem | SetAside]:
    """The items of a config in the order in which they stand, and what could not be read.

    Raises DataError where no file matches, where an API does not answer, or for more than `max_items`.
    """
    found = _of_api(options) if options.api is not None else _of_files(options, variables)
    count = 0
    for item in found:
        count += isinstance(item, RawItem)
        if count > options.max_items:
            raise DataError(
                f"more than {options.max_items} STAC items", hint="narrow the files or the search, or raise max_items"
            )
        yield item


def _of_files(options: StacScenes, variables: Mapping[str, str]) -> Iterator[RawItem | SetAside]:
    roots = tuple(Path(expand(root, variables)).absolute() for root in options.roots)
    for pattern in patterns(options.files or []):
        expanded = expand(pattern, variables)
        paths = [Path(path) for path in sorted(glob.glob(expanded, recursive=True)) if os.path.isfile(path)]
        if not paths:
            raise DataError(f"no file matches {expanded}", hint="check the path, and the variables in it")
        for path in paths:
            absolute = path.absolute()
            walk = _Walk((absolute.parent, *roots))
            if path.suffix.lower() in {".ndjson", ".jsonl", ".geojsonl"}:
                yield from _of_lines(absolute, walk.roots)
            else:
                yield from walk.of_file(absolute)


def _of_lines(path: Path, roots: tuple[Path, ...]) -> Iterator[RawItem | SetAside]:
    number = 0
    for block in blocks(path):
        for line in block.splitlines():
            number += 1
            if not line.strip():
                continue
            source = f"{path}:{number}"
            try:
                item = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield SetAside(source, UNREADABLE_ITEM, one_line(error))
                continue
            yield _item(item, source, path.parent, roots, None)


def _item(
    item: object, source: str, base: Path | str, roots: tuple[Path, ...], licence: str | None
) -> RawItem | SetAside:
    if not isinstance(item, dict) or item.get("type") != "Feature":
        kind = item.get("type") if isinstance(item, dict) else type(item).__name__
        return SetAside(source, NOT_STAC, f"type {str(kind)[:40]!r}; a STAC item is a Feature")
    return RawItem(item, source, base, roots, licence)


@dataclass(slots=True)
class _Walk:
    """A walk through the files below one that the config names; each file is read once."""

    roots: tuple[Path, ...]
    seen: set[str] = field(default_factory=set)

    def of_file(self, path: Path, licence: str | None = None, depth: int = 0) -> Iterator[RawItem | SetAside]:
        real = os.path.realpath(path)
        if real in self.seen:
            return
        self.seen.add(real)
        try:
            found = read_json(path)
        except DataError as error:
            yield SetAside(str(path), UNREADABLE_CATALOGUE if depth else UNREADABLE_ITEM, error.problem)
            return
        kind = found.get("type") if isinstance(found, dict) else None
        if kind == "FeatureCollection":
            features = found.get("features")
            for number, item in enumerate(features if isinstance(features, list) else []):
                yield _item(item, f"{path}#{number}", path.parent, self.roots, licence)
        elif isinstance(found, dict) and (kind in {"Catalog", "Collection"} or _is_old_catalogue(found)):
            told = found.get("license") if isinstance(found.get("license"), str) else licence
            yield from self._of_links(found, path, told, depth)
        else:
            yield _item(found, str(path), path.parent, self.roots, licence)

    def _of_links(
        self, catalogue: dict[str, Any], path: Path, licence: str | None, depth: int
    ) -> Iterator[RawItem | SetAside]:
        links = catalogue.get("links")
        for link in links if isinstance(links, list) else []:
            if not isinstance(link, dict) or link.get("rel") not in {"child", "item"}:
                continue
            where = place(link.get("href"), path.parent, self.roots, remote=False)
            if where.reason:
                yield SetAside(f"{path} -> {str(link.get('href'))[:100]}", where.reason, where.detail)
            elif depth >= _DEEPEST:
                yield SetAside(where.href, UNREADABLE_CATALOGUE, f"deeper than {_DEEPEST} catalogues")
            else:
                yield from self.of_file(Path(where.href), licence, depth + 1)


def _is_old_catalogue(found: dict[str, Any]) -> bool:
    """Before 1.0.0-rc.1 a catalogue had no `type`."""
    return "type" not in found and "stac_version" in found and isinstance(found.get("links"), list)


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises DataError where it cannot be read, is empty, too large or none."""
    with reading(path):
        size = path.stat().st_size
        if size == 0:
            raise DataError(f"{path} is empty (0 bytes)")
        if size > _LARGEST:
            raise DataError(f"{path} has {size} bytes", allowed=f"{_LARGEST}", hint="write its items as ndjson")
        text = path.read_bytes()
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON: {one_line(error)}") from error


def _of_api(options: StacScenes) -> Iterator[RawItem | SetAside]:
    """Items of a search, page by page."""
    client = need("pystac_client")
    stac_io = need("pystac_client.stac_api_io")
    requests = need("requests")
    address = options.api or ""
    failures = (client.exceptions.APIError, requests.RequestException, ValueError, KeyError, OSError)
    try:
        with warnings.catch_warnings():
            # an API that does not say what it conforms to
            warnings.simplefilter("ignore")
            retries = need("urllib3").Retry(_RETRIES, backoff_factor=0.5, status_forcelist=_BUSY, allowed_methods=None)
            service = stac_io.StacApiIO(timeout=_TIMEOUT, max_retries=retries)
            catalogue = client.Client.open(address, stac_io=service)
            found = catalogue.search(**options.search)
            pages = found.pages_as_dicts()
    except TypeError as error:
        allowed = "collections, bbox, datetime, ids, query, ..."
        raise ConfigError(f"search: {one_line(error)}", allowed=allowed) from error
    except (*failures, need("pystac").STACError) as error:
        raise _no_answer(address, error) from error
    seen: set[tuple[str, str]] = set()
    while True:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                page = next(pages, None)
        except (*failures, need("pystac").STACError) as error:
            raise _no_answer(address, error) from error
        items = page.get("features") if isinstance(page, dict) else None
        if not isinstance(items, list) or not items:
            return
        names = {(str(item.get("collection")), str(item.get("id"))) for item in items if isinstance(item, dict)}
        if names <= seen:
            raise DataError(f"{address}: the API gives the same page again and again", hint="narrow the search")
        seen |= names
        for item in items:
            told = _self(item) or address
            yield _item(item, told, told, (), None)


def _self(item: object) -> str | None:
    """The address of an item of an API, by its link to itself."""
    links = item.get("links") if isinstance(item, dict) else None
    for link in links if isinstance(links, list) else []:
        if (
            isinstance(link, dict)
            and link.get("rel") == "self"
            and str(link.get("href")).startswith(("http:", "https:"))
        ):
            return str(link["href"])
    return None


def _no_answer(address: str, error: BaseException) -> DataError:
    return DataError(f"STAC API {address}: {one_line(error)}", hint="check the address, the network and the search")
