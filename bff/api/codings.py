"""Decompresses the start of a body so that it can be searched (RFC 9110 §8.4.1); the body itself is not changed."""

import sys
import zlib
from collections.abc import Callable, Iterable
from typing import Final

import brotli

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

_MAX_WINDOW_LOG: Final = 23
"""The base-2 logarithm of the largest zstd window: HTTP content needs no more than 8 MB (RFC 9659 §3)."""

# Codings that clients decode but that are not supported here. Unknown labels, such as `utf-8`, are ignored, because
# clients ignore them too.
_UNSUPPORTED: Final = frozenset({b"compress", b"x-compress", b"dcb", b"dcz"})


def decompress(body: bytes, codings: Iterable[bytes], limit: int) -> bytes | None:
    """Return the start of a body with its content codings removed.

    Args:
        body: the body or its beginning, as received.
        codings: the codings that Content-Encoding lists, in lower case.
        limit: the maximum number of bytes to return.

    Returns:
        The bytes, or None if a coding is not supported or the bytes do not match it.
    """
    for coding in reversed([one for one in codings if one in _UNSUPPORTED or one in _DECOMPRESSORS]):
        decompressor = _DECOMPRESSORS.get(coding)
        if decompressor is None:
            return None
        try:
            body = decompressor(body, limit)
        except (zlib.error, brotli.error, ZstdError):
            return None
    return body[:limit]


def _gunzip(compressed: bytes, limit: int) -> bytes:
    """Decompress all members (RFC 1952 §2.2); data after the last one is ignored, as clients do."""
    content = b""
    while compressed and len(content) < limit:
        member = zlib.decompressobj(wbits=31)
        try:
            content += member.decompress(compressed, limit - len(content))
        except zlib.error:
            if content:
                break
            raise
        compressed = member.unused_data
    return content


def _inflate(compressed: bytes, limit: int) -> bytes:
    """Decompress the zlib format, or the raw deflate format that some servers send (RFC 9110 §8.4.1.2)."""
    try:
        return zlib.decompressobj().decompress(compressed, limit)
    except zlib.error:
        return zlib.decompressobj(wbits=-15).decompress(compressed, limit)


def _unbrotli(compressed: bytes, limit: int) -> bytes:
    content: bytes = brotli.Decompressor().process(compressed, output_buffer_limit=limit)
    return content


def _unzstd(compressed: bytes, limit: int) -> bytes:
    """Decompress all frames (RFC 8878 §3.1); data after the last one is ignored."""
    content = b""
    while compressed and len(content) < limit:
        frame = ZstdDecompressor(options={DecompressionParameter.window_log_max: _MAX_WINDOW_LOG})
        try:
            content += frame.decompress(compressed, limit - len(content))
        except ZstdError:
            if content:
                break
            raise
        compressed = frame.unused_data
    return content


_DECOMPRESSORS: Final[dict[bytes, Callable[[bytes, int], bytes]]] = {
    b"gzip": _gunzip,
    b"x-gzip": _gunzip,
    b"deflate": _inflate,
    b"br": _unbrotli,
    b"zstd": _unzstd,
}
