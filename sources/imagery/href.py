"""Where an item's assets may lie. An item is written by others: its hrefs are not names to be opened as they stand."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import url2pathname

from sources.imagery.scene import UNSAFE_HREF

REMOTE_HREF = "remote_href"
MISSING_FILE = "missing_file"
NO_HREF = "no_href"
_NETWORK = ("http", "https", "s3", "gs")
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+._-]*):")
# GDAL's virtual file systems and inline files, wherever they stand
_VIRTUAL = re.compile(r"/vsi|<|[\x00-\x1f\x7f]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an href leads: the address or absolute path and whether it is in the network, or why it is not followed."""

    href: str = ""
    remote: bool = False
    reason: str = ""
    detail: str = ""


def place(href: object, base: Path | str, roots: Sequence[Path], *, remote: bool) -> Place:
    """Where an href of an item leads.

    base    the folder of the item's file, or the address that the item came from
    roots   the folders in which local files may lie; links are followed before that is judged
    remote  whether the network may be read

    Told as `unsafe_href`: GDAL's /vsi... names, text that is no path, schemes other than http, https, s3, gs and file,
    local files of an item that came from the network, and paths that leave the roots. As `remote_href`: an address
    where the network may not be read. As `missing_file`: a local file that is not there.
    """
    if not isinstance(href, str) or not href.strip():
        return Place(reason=NO_HREF)
    shown = href[:100]
    if _VIRTUAL.search(href) or _VIRTUAL.search(unquote(href)):
        return Place(reason=UNSAFE_HREF, detail=f"{shown!r} is GDAL's, or no path")
    if isinstance(base, str) and not _SCHEME.match(href):
        href = urljoin(base, href)
    match = _SCHEME.match(href)
    scheme = match[1].lower() if match else ""
    if scheme in _NETWORK:
        told = f"{shown} lies in the network; write remote: true to read such"
        return Place(href, True) if remote else Place(reason=REMOTE_HREF, detail=told)
    if scheme not in {"", "file"}:
        return Place(reason=UNSAFE_HREF, detail=f"{shown!r}: {scheme} is none of {', '.join((*_NETWORK, 'file'))}")
    if isinstance(base, str):
        return Place(reason=UNSAFE_HREF, detail=f"{shown} is a local file, and its item came from the network")
    return _local(Path(url2pathname(urlsplit(href).path)) if scheme else base / href, shown, roots)


def _local(path: Path, shown: str, roots: Sequence[Path]) -> Place:
    real = Path(os.path.realpath(path))
    if not any(real.is_relative_to(os.path.realpath(root)) for root in roots):
        told = ", ".join(str(root) for root in roots)
        return Place(reason=UNSAFE_HREF, detail=f"{shown} leaves {told}; write the folders it may lie in as `roots`")
    if not real.is_file():
        return Place(reason=MISSING_FILE, detail=f"{shown} is no file")
    return Place(str(real))
