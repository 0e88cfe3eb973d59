"""STAC items for the tests, and a small server that speaks the STAC API."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

CAPTURED = "2020-07-14T11:55:52Z"
CORE = "https://api.stacspec.org/v1.0.0/core"
SEARCH = "https://api.stacspec.org/v1.0.0/item-search"


def item(name: str = "a", *, version: str = "1.0.0", assets: dict[str, Any] | None = None, **properties: Any) -> dict:
    """An item over one degree with one image, `red`, in red.tif beside it."""
    ring = [[10, 40], [11, 40], [11, 41], [10, 41], [10, 40]]
    assets = {"red": {"href": "red.tif", "type": "image/tiff; application=geotiff"}} if assets is None else assets
    return {
        "type": "Feature",
        "stac_version": version,
        "stac_extensions": [],
        "id": name,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [10, 40, 11, 41],
        "properties": {"datetime": CAPTURED, **properties},
        "links": [],
        "assets": assets,
    }


def put(folder: Path, *items: dict[str, Any]) -> Path:
    """Writes items and the file that their assets name; gives the glob of the items."""
    (folder / "red.tif").write_bytes(b"II*\x00")
    for number, one in enumerate(items):
        (folder / f"{number}.json").write_text(json.dumps(one))
    return folder / "*.json"


class Service:
    """What the server answers: `pages` of items, after `failures` answers of 503."""

    def __init__(self, pages: list[list[dict[str, Any]]], failures: int = 0, *, loops: bool = False) -> None:
        self.pages, self.failures, self.loops = pages, failures, loops
        self.asked: list[str] = []

    def answer(self, url: str, path: str, page: int) -> tuple[int, dict[str, Any]]:
        self.asked.append(path)
        if self.failures:
            self.failures -= 1
            return 503, {"description": "busy"}
        if path in {"", "/"}:
            links = [{"rel": "search", "href": f"{url}/search", "type": "application/geo+json", "method": "GET"}]
            links.append({"rel": "self", "href": url})
            told = {"type": "Catalog", "id": "test", "description": "test", "stac_version": "1.0.0"}
            return 200, {**told, "conformsTo": [CORE, SEARCH], "links": links}
        if path != "/search":
            return 404, {"description": "nothing here"}
        links = []
        if page + 1 < len(self.pages) or self.loops:
            links.append({"rel": "next", "href": f"{url}/search?page={page + 1}", "method": "GET"})
        features = self.pages[page % len(self.pages)]
        return 200, {"type": "FeatureCollection", "features": features, "links": links}


@contextmanager
def serving(service: Service, files: Path | None = None) -> Iterator[str]:
    """The address of a server on this machine, which also gives the files of a folder."""

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            parts = urlsplit(self.path)
            url = f"http://127.0.0.1:{self.server.server_address[1]}"
            path = files / parts.path.lstrip("/") if files is not None else None
            if path is not None and path.is_file():
                service.asked.append(parts.path)
                self.send(200, path.read_bytes(), "image/tiff")
                return
            status, told = service.answer(url, parts.path, int(parse_qs(parts.query).get("page", ["0"])[0]))
            self.send(status, json.dumps(told).encode(), "application/json")

        def send(self, status: int, contents: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(contents)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(contents)

        def do_GET(self) -> None:
            self.respond()

        def do_HEAD(self) -> None:
            self.respond()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.respond()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
