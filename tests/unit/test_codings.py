"""Decompression of the start of a body, up to a limit."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.api.codings import Decompression
from tests.packing import PACKINGS, Pack, greedy_zstd, with_comment

TEXT = b'{"items": [%b]}' % b", ".join(b"%d" % number for number in range(500))
LIMIT = 1 << 16


def decompress(body: bytes, codings: list[bytes], limit: int) -> bytes | None:
    return Decompression(codings, limit).feed(body)


def _raw_deflate(body: bytes) -> bytes:
    return zlib.compress(body, wbits=-15)


CODINGS: list[tuple[bytes, Pack]] = [
    *((name.encode(), pack) for name, pack in PACKINGS.items()),
    (b"x-gzip", gzip.compress),
    (b"deflate", _raw_deflate),
]
each = pytest.mark.parametrize(("coding", "pack"), CODINGS)


@each
def test_whole_and_partial_bodies_are_decompressed(coding: bytes, pack: Pack) -> None:
    compressed = pack(TEXT)
    assert decompress(compressed, [coding], LIMIT) == TEXT
    for length in range(len(compressed)):
        part = decompress(compressed[:length], [coding], LIMIT)
        assert part is not None
        assert TEXT.startswith(part)


@each
def test_decompression_stops_at_the_limit(coding: bytes, pack: Pack) -> None:
    bomb = pack(b"a" * 50_000_000)
    assert decompress(bomb, [coding], 1000) == b"a" * 1000


@pytest.mark.parametrize(("coding", "pack"), [(b"gzip", gzip.compress), (b"zstd", PACKINGS["zstd"])])
def test_all_members_of_a_body_are_decompressed(coding: bytes, pack: Pack) -> None:
    assert decompress(pack(b"one ") + pack(b"two"), [coding], LIMIT) == b"one two"
    assert decompress(pack(b"one ") + pack(b"two"), [coding], 5) == b"one t"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_data_after_the_last_member_is_ignored(coding: str) -> None:
    assert decompress(PACKINGS[coding](b"one") + b"rest", [coding.encode()], LIMIT) == b"one"


def test_codings_are_removed_in_reverse_order() -> None:
    compressed = gzip.compress(PACKINGS["br"](zlib.compress(TEXT)))
    assert decompress(compressed, [b"deflate", b"br", b"identity", b"gzip"], LIMIT) == TEXT
    assert decompress(compressed, [b"gzip", b"br", b"deflate"], LIMIT) is None


@each
def test_body_that_does_not_match_its_coding_gives_none(coding: bytes, pack: Pack) -> None:
    assert decompress(b"\xff" * 100, [coding], LIMIT) is None


@pytest.mark.parametrize("coding", [b"compress", b"x-compress", b"dcb", b"dcz"])
def test_unsupported_coding_gives_none(coding: bytes) -> None:
    assert decompress(TEXT, [coding], LIMIT) is None


@pytest.mark.parametrize("coding", [b"identity", b"utf-8", b"none", b""])
def test_unknown_label_is_ignored(coding: bytes) -> None:
    assert decompress(TEXT, [coding], LIMIT) == TEXT
    assert decompress(TEXT, [coding], 10) == TEXT[:10]


def test_frame_with_a_larger_window_than_http_allows_gives_none() -> None:
    assert decompress(greedy_zstd(b"a" * 100_000), [b"zstd"], LIMIT) is None


@given(st.binary(), st.lists(st.sampled_from([coding for coding, _ in CODINGS]), max_size=3))
def test_any_bytes_give_at_most_the_limit_or_none(body: bytes, codings: list[bytes]) -> None:
    content = decompress(body, codings, LIMIT)
    assert content is None or len(content) <= LIMIT


@each
@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_a_body_in_parts_gives_the_same_content(coding: bytes, pack: Pack, size: int) -> None:
    for body in (pack(TEXT), pack(b"")):
        decompression = Decompression([coding], LIMIT)
        parts = [decompression.feed(body[at : at + size]) for at in range(0, len(body), size)]
        assert b"".join(part or b"" for part in parts) == decompress(body, [coding], LIMIT)
        assert None not in parts


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_members_and_data_after_them_in_parts_give_the_same_content(size: int) -> None:
    body = gzip.compress(b"one ") + gzip.compress(b"two") + b"rest of it" * 10
    decompression = Decompression([b"gzip"], LIMIT)
    parts = [decompression.feed(body[at : at + size]) for at in range(0, len(body), size)]
    assert [part for part in parts if part is None] == []
    assert b"".join(part or b"" for part in parts) == b"one two"


def test_the_limit_counts_content_and_not_compressed_bytes() -> None:
    commented = with_comment(gzip.compress(b"one"), LIMIT)
    assert decompress(commented, [b"gzip"], LIMIT) == b"one"
    assert decompress(with_comment(gzip.compress(commented), LIMIT), [b"gzip", b"gzip"], LIMIT) == b"one"


def test_many_bytes_that_give_no_content_give_none() -> None:
    decompression = Decompression([b"gzip"], LIMIT)
    empty = gzip.compress(b"") * 50
    parts = [decompression.feed(empty) for _ in range(128 * 1024 // len(empty) + 1)]
    assert parts == [b""] * (len(parts) - 1) + [None]
    assert decompress(gzip.compress(empty * 200), [b"gzip", b"gzip"], LIMIT) is None
