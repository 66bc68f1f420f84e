"""Content codings: opened far enough to be looked into, and no further."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.api.codings import opened
from tests.packing import PACKINGS, Pack, greedy_zstd

TEXT = b'{"items": [%b]}' % b", ".join(b"%d" % number for number in range(500))
LIMIT = 1 << 16


def _bare(body: bytes) -> bytes:
    return zlib.compress(body, wbits=-15)


CODINGS: list[tuple[bytes, Pack]] = [
    *((name.encode(), pack) for name, pack in PACKINGS.items()),
    (b"x-gzip", gzip.compress),
    (b"deflate", _bare),
]
each = pytest.mark.parametrize(("coding", "pack"), CODINGS)


@each
def test_a_body_is_opened_whole_or_as_far_as_it_has_come(coding: bytes, pack: Pack) -> None:
    packed = pack(TEXT)
    assert opened(packed, [coding], LIMIT) == TEXT
    for length in range(len(packed)):
        part = opened(packed[:length], [coding], LIMIT)
        assert part is not None
        assert TEXT.startswith(part)


@each
def test_no_more_is_opened_than_was_asked_for(coding: bytes, pack: Pack) -> None:
    bomb = pack(b"a" * 50_000_000)
    assert opened(bomb, [coding], 1000) == b"a" * 1000


@pytest.mark.parametrize(("coding", "pack"), [(b"gzip", gzip.compress), (b"zstd", PACKINGS["zstd"])])
def test_all_members_of_a_body_are_opened(coding: bytes, pack: Pack) -> None:
    assert opened(pack(b"one ") + pack(b"two"), [coding], LIMIT) == b"one two"
    assert opened(pack(b"one ") + pack(b"two"), [coding], 5) == b"one t"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_what_follows_the_last_member_is_ignored(coding: str) -> None:
    assert opened(PACKINGS[coding](b"one") + b"rest", [coding.encode()], LIMIT) == b"one"


def test_codings_are_undone_from_the_last_one_on() -> None:
    packed = gzip.compress(PACKINGS["br"](zlib.compress(TEXT)))
    assert opened(packed, [b"deflate", b"br", b"identity", b"gzip"], LIMIT) == TEXT
    assert opened(packed, [b"gzip", b"br", b"deflate"], LIMIT) is None


@each
def test_what_is_not_of_its_coding_cannot_be_told(coding: bytes, pack: Pack) -> None:
    assert opened(b"\xff" * 100, [coding], LIMIT) is None


@pytest.mark.parametrize("coding", [b"compress", b"x-compress", b"dcb", b"dcz"])
def test_a_coding_that_nobody_opens_here_cannot_be_told(coding: bytes) -> None:
    assert opened(TEXT, [coding], LIMIT) is None


@pytest.mark.parametrize("coding", [b"identity", b"utf-8", b"none", b""])
def test_a_label_that_is_no_coding_changes_nothing(coding: bytes) -> None:
    assert opened(TEXT, [coding], LIMIT) == TEXT
    assert opened(TEXT, [coding], 10) == TEXT[:10]


def test_a_frame_that_wants_more_memory_than_http_allows_is_not_opened() -> None:
    assert opened(greedy_zstd(b"a" * 100_000), [b"zstd"], LIMIT) is None


@given(st.binary(), st.lists(st.sampled_from([coding for coding, _ in CODINGS]), max_size=3))
def test_any_bytes_are_opened_or_not(body: bytes, codings: list[bytes]) -> None:
    found = opened(body, codings, LIMIT)
    assert found is None or len(found) <= LIMIT
