"""Content codings, opened far enough to be looked into (RFC 9110 §8.4.1); what is passed on stays packed."""

import sys
import zlib
from collections.abc import Callable, Iterable
from typing import Final

import brotli

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

_LARGEST_WINDOW: Final = 23
"""Log 2: a coding for HTTP needs no more than 8 MB of memory (RFC 9659 §3)."""

# What HTTP servers send and clients undo. Other labels, of which `utf-8` is one that exists, change nothing.
_PACKED: Final = frozenset({b"compress", b"x-compress", b"dcb", b"dcz"})


def opened(body: bytes, codings: Iterable[bytes], limit: int) -> bytes | None:
    """Return the first bytes of a body as its reader will see them.

    Args:
        body: the body or its beginning, as it came.
        codings: as Content-Encoding lists them, in lower case.
        limit: how many bytes to return at most, whatever they would grow to.

    Returns:
        The bytes, or None where that cannot be told: a coding that nobody opens here, or bytes that are not of it.
    """
    for coding in reversed([one for one in codings if one in _PACKED or one in _OPENERS]):
        opener = _OPENERS.get(coding)
        if opener is None:
            return None
        try:
            body = opener(body, limit)
        except (zlib.error, brotli.error, ZstdError):
            return None
    return body[:limit]


def _gunzip(packed: bytes, limit: int) -> bytes:
    """Open all members (RFC 1952 §2.2); what follows the last one is ignored, as clients do."""
    whole = b""
    while packed and len(whole) < limit:
        member = zlib.decompressobj(wbits=31)
        try:
            whole += member.decompress(packed, limit - len(whole))
        except zlib.error:
            if whole:
                break
            raise
        packed = member.unused_data
    return whole


def _inflate(packed: bytes, limit: int) -> bytes:
    """Open the zlib format, or the bare one that some servers mean by it (RFC 9110 §8.4.1.2)."""
    try:
        return zlib.decompressobj().decompress(packed, limit)
    except zlib.error:
        return zlib.decompressobj(wbits=-15).decompress(packed, limit)


def _unbrotli(packed: bytes, limit: int) -> bytes:
    whole: bytes = brotli.Decompressor().process(packed, output_buffer_limit=limit)
    return whole


def _unzstd(packed: bytes, limit: int) -> bytes:
    """Open all frames (RFC 8878 §3.1), and ignore what follows the last one."""
    whole = b""
    while packed and len(whole) < limit:
        frame = ZstdDecompressor(options={DecompressionParameter.window_log_max: _LARGEST_WINDOW})
        try:
            whole += frame.decompress(packed, limit - len(whole))
        except ZstdError:
            if whole:
                break
            raise
        packed = frame.unused_data
    return whole


_OPENERS: Final[dict[bytes, Callable[[bytes, int], bytes]]] = {
    b"gzip": _gunzip,
    b"x-gzip": _gunzip,
    b"deflate": _inflate,
    b"br": _unbrotli,
    b"zstd": _unzstd,
}
