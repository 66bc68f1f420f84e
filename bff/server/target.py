"""The request target of a request line as the application sees it, with nothing dropped in silence."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import httptools

from bff.memo import Memo

_LONGEST_USUAL_PATH: Final = 256


def target_fields(url: bytes) -> Mapping[str, Any]:
    """Return path and query for the scope; those of a path alone are remembered, as a query may hold a secret."""
    return _of_path[url] if url.find(b"?") < 0 else _parsed(url)


def _parsed(url: bytes) -> Mapping[str, Any]:
    """Return path and query. A `#` stays in the path, where the application refuses it.

    A request target has no fragment (RFC 9112 §3.2). uvicorn would silently cut the target at the `#`, and the
    application would match another path than the client sent.
    """
    path, mark, query = url.partition(b"?")
    if url.find(b"#") >= 0:
        if b"#" in query:
            path += b"#"
        url = path.replace(b"#", b"%23") + mark + query.partition(b"#")[0]
    target = httptools.parse_url(url)
    decoded = target.path.decode("ascii")
    return {
        "path": unquote(decoded) if "%" in decoded else decoded,
        "raw_path": target.path,
        "query_string": target.query or b"",
    }


_of_path: Final = Memo(_parsed, longest=_LONGEST_USUAL_PATH)
