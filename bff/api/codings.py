"""Decompresses the start of a body as it arrives, for a search (RFC 9110 §8.4.1); the body itself is not changed."""

import sys
import zlib
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import brotli

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

_MAX_WINDOW_LOG: Final = 23
"""The base-2 logarithm of the largest zstd window: HTTP content needs no more than 8 MB (RFC 9659 §3)."""

_MAX_PACKED: Final = 128 * 1024
"""How many compressed bytes may give less content than is searched; ordinary ones give more than they are."""

# Codings that clients decode but that are not supported here. Unknown labels, such as `utf-8`, are ignored, because
# clients ignore them too.
_UNSUPPORTED: Final = frozenset({b"compress", b"x-compress", b"dcb", b"dcz"})


class Decompression:
    """Removes the content codings of a body, part by part, up to a limit.

    Args:
        codings: the codings that Content-Encoding lists, in lower case.
        limit: the maximum number of bytes of content.
    """

    def __init__(self, codings: Iterable[bytes], limit: int) -> None:
        known = [coding for coding in codings if coding in _KNOWN]
        self.in_blocks = b"zstd" in known
        """Whether the parts so far can hold content that only the next one completes."""
        self._supported = _UNSUPPORTED.isdisjoint(known)
        self._layers = [_LAYERS[coding]() for coding in reversed(known)] if self._supported else []
        self._packed = [0] * len(self._layers)
        self._left = limit

    def feed(self, part: bytes) -> bytes | None:
        """Return the content that the next part of the body adds.

        Returns:
            The bytes, or None if a coding is not supported, the bytes do not match it, or too many of them give too
            little content.
        """
        if not part or not self._left:
            return b""
        try:
            content = self._decompressed(part) if self._supported else None
        except (zlib.error, brotli.error, ZstdError):
            return None
        if content is None:
            return None
        content = content[: self._left]
        self._left -= len(content)
        return None if self._left and max(self._packed, default=0) >= _MAX_PACKED else content

    def _decompressed(self, content: bytes) -> bytes:
        for at, layer in enumerate(self._layers):
            self._packed[at] += len(content)
            last = at == len(self._layers) - 1
            content = layer.feed(content, self._left if last else _MAX_PACKED)
        return content


def is_compressed(codings: Iterable[bytes]) -> bool:
    """Return whether a body with these codings, in lower case, has another length than its content."""
    return not _KNOWN.isdisjoint(codings)


class _Layer(Protocol):
    """One coding: takes the next bytes, returns at most `limit` bytes of content; not used again once it gave that."""

    def feed(self, packed: bytes, limit: int) -> bytes: ...


class _Member(Protocol):
    """A gzip member or a zstd frame."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Members:
    """Decompresses all members (RFC 1952 §2.2) or frames (RFC 8878 §3.1); the rest is ignored, as clients do.

    Args:
        new: begins a member.
    """

    def __init__(self, new: Callable[[], _Member]) -> None:
        self._new = new
        self._member = new()
        self._content_seen = False
        self._whole_member_seen = False
        self._ended = False

    def feed(self, packed: bytes, limit: int) -> bytes:
        content = b""
        while packed and len(content) < limit and not self._ended:
            try:
                content += self._member.decompress(packed, limit - len(content))
            except (zlib.error, ZstdError):
                if not self._whole_member_seen:
                    raise
                self._ended = True
            self._content_seen = self._content_seen or bool(content)
            packed = self._next()
        return content

    def _next(self) -> bytes:
        """Begin the next member where one has ended; return what is left for it."""
        if self._ended or not self._member.eof:
            return b""
        rest, self._member = self._member.unused_data, self._new()
        self._whole_member_seen = self._content_seen
        return rest


class _Deflate:
    """Decompresses the zlib format, or the raw deflate format that some servers send (RFC 9110 §8.4.1.2)."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj()
        self._begun: bytes | None = b""  # until there is content, it may be either format

    def feed(self, packed: bytes, limit: int) -> bytes:
        try:
            content = self._stream.decompress(packed, limit)
        except zlib.error:
            if self._begun is None:
                raise
            packed, self._begun = self._begun + packed, None
            self._stream = zlib.decompressobj(wbits=-15)
            content = self._stream.decompress(packed, limit)
        if self._begun is not None:
            self._begun = None if content else self._begun + packed
        return content


class _Brotli:
    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    def feed(self, packed: bytes, limit: int) -> bytes:
        content: bytes = self._stream.process(packed, output_buffer_limit=limit)
        return content


def _gzip() -> _Layer:
    return _Members(lambda: zlib.decompressobj(wbits=31))


def _zstd() -> _Layer:
    return _Members(
        lambda: ZstdDecompressor(options={DecompressionParameter.window_log_max: _MAX_WINDOW_LOG})
    )


_LAYERS: Final[dict[bytes, Callable[[], _Layer]]] = {
    b"gzip": _gzip,
    b"x-gzip": _gzip,
    b"deflate": _Deflate,
    b"br": _Brotli,
    b"zstd": _zstd,
}
_KNOWN: Final = _UNSUPPORTED.union(_LAYERS)
