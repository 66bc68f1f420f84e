"""Remembered results: computed once, bounded."""

import pytest

from bff.memo import Memo


def test_a_result_is_computed_once() -> None:
    asked: list[bytes] = []

    def length(key: bytes) -> int:
        asked.append(key)
        return len(key)

    memo = Memo[bytes, int](length, longest=8)
    assert [memo[b"one"], memo[b"one"], memo[b"three"]] == [3, 3, 5]
    assert asked == [b"one", b"three"]


def test_a_long_argument_is_not_remembered() -> None:
    memo = Memo[bytes, int](len, longest=8)
    assert memo[b"x" * 9] == 9
    assert not memo


def test_an_argument_is_measured_as_it_is_said() -> None:
    memo = Memo[tuple[bytes, ...], int](len, longest=8, length=lambda parts: sum(map(len, parts)))
    assert [memo[b"xxxx", b"xxxx"], memo[b"xxxx", b"xxxxx"]] == [2, 2]
    assert list(memo) == [(b"xxxx", b"xxxx")]


def test_it_begins_again_where_it_is_full() -> None:
    memo = Memo[bytes, int](len, longest=8)
    for number in range(3000):
        assert memo[b"%d" % number] == len(str(number))
        assert len(memo) <= 1024


def test_what_fails_is_not_remembered() -> None:
    memo = Memo[bytes, int](int, longest=8)
    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal"):
            memo[b"x"]
    assert not memo
