"""The content codings of HTTP and the functions that compress a body with them."""

import gzip
import sys
import zlib
from collections.abc import Callable
from typing import Final

import brotli

if sys.version_info >= (3, 14):
    from compression.zstd import CompressionParameter, ZstdCompressor, compress
else:
    from backports.zstd import CompressionParameter, ZstdCompressor, compress

Pack = Callable[[bytes], bytes]


def _brotli(body: bytes) -> bytes:
    packed: bytes = brotli.compress(body)
    return packed


PACKINGS: Final[dict[str, Pack]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": _brotli,
    "zstd": compress,
}


def greedy_zstd(body: bytes) -> bytes:
    """Compress into a frame with a window of 16 MB, which is more than HTTP allows (RFC 9659)."""
    packer = ZstdCompressor(options={CompressionParameter.window_log: 24})
    return packer.compress(body, mode=ZstdCompressor.FLUSH_BLOCK)


def with_comment(member: bytes, length: int) -> bytes:
    """Put a comment of this length into the head of a gzip member (RFC 1952 §2.3)."""
    return member[:3] + b"\x10" + member[4:10] + b"c" * length + b"\0" + member[10:]
