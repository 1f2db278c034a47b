"""Static files of the pages: the style sheet, the script and the icon."""

import gzip
import hashlib
import re
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from xpander_server.http.errors import HTTPError

MEDIA_TYPES = {
    "pages.css": "text/css; charset=utf-8",
    "pages.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""Names of the static files, with their media types."""
_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
_ACCEPTS_GZIP = re.compile(r"(?:^|,)\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[^,]*)?(?:,|$)", re.IGNORECASE)


async def serve_static(request: Request) -> Response:
    """Return a static file, compressed if the client accepts gzip.

    Pages are not compressed: the length of a compressed page that contains both a searched text and reported data would
    reveal whether they have parts in common.
    """
    name = request.path_params["name"]
    if name not in MEDIA_TYPES:
        raise HTTPError(404, "File not found.")
    if _ACCEPTS_GZIP.search(request.headers.get("accept-encoding", "")):
        headers = {**_HEADERS, "Content-Encoding": "gzip"}
        return Response(_compressed(name), headers=headers, media_type=MEDIA_TYPES[name])
    return Response(_content(name), headers=_HEADERS, media_type=MEDIA_TYPES[name])


@cache
def static_version(name: str) -> str:
    """Return the part of a file's URL that changes with its content, so that browsers may cache it without a limit."""
    return hashlib.sha256(_content(name)).hexdigest()[:12]


@cache
def _content(name: str) -> bytes:
    return files("xpander_server.web").joinpath("static", name).read_bytes()


@cache
def _compressed(name: str) -> bytes:
    return gzip.compress(_content(name), mtime=0)
