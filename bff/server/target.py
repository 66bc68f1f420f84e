"""The request target of a request line as the application sees it, with nothing dropped in silence."""

from typing import Any
from urllib.parse import unquote

import httptools


def target_fields(url: bytes) -> dict[str, Any]:
    """Return path and query for the scope. A `#` stays in the path, where the application refuses it.

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
