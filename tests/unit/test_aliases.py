"""Aliases of session ids: stable, shaped like ids, understood for their own session only."""

import secrets
import uuid
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.auth.aliases import Aliases
from bff.security.keyring import KeyRing
from bff.security.secret import Secret
from tests.support import TENANT, new_ring

KEYS = [("k1", secrets.token_bytes(32)), ("k2", secrets.token_bytes(32))]
REAL = Secret("7c0d1931-bf8d-4f43-869e-24109df211ca")
OTHER = Secret("session-of-somebody-else")


def aliases(*keys: tuple[str, bytes]) -> Aliases:
    return Aliases(KeyRing(keys or KEYS, TENANT, secrets.token_bytes).digest("session alias"))


def test_an_alias_is_stable_over_processes_and_looks_like_an_id() -> None:
    alias = aliases().of(REAL)
    assert alias == aliases().of(REAL)
    assert str(uuid.UUID(alias)) == alias
    assert uuid.UUID(alias).version == 4


def test_an_alias_is_not_the_id_and_not_anybody_elses() -> None:
    assert len({aliases().of(REAL), aliases().of(OTHER), REAL.reveal(), OTHER.reveal()}) == 4


def test_without_the_key_nobody_makes_the_alias_of_an_id() -> None:
    assert Aliases(new_ring().digest("session alias")).of(REAL) != aliases().of(REAL)


@pytest.mark.parametrize("text", [b"%s", b"sessionId=%s", b'{"sessionId":"%s","again":"%s"}', b"a%sb"])
def test_an_alias_becomes_the_id_wherever_it_stands(text: bytes) -> None:
    alias = aliases().of(REAL).encode()
    assert aliases().resolved(text.replace(b"%s", alias), REAL) == text.replace(b"%s", REAL.reveal().encode())


def test_the_alias_of_another_session_stays_what_it_is() -> None:
    text = b"sessionId=" + aliases().of(OTHER).encode()
    assert aliases().resolved(text, REAL) == text


def test_aliases_of_older_keys_are_still_understood_and_newer_ones_given() -> None:
    old, new = aliases(KEYS[0]), aliases(KEYS[1], KEYS[0])
    assert new.of(REAL) != old.of(REAL)
    assert new.resolved(old.of(REAL).encode(), REAL) == REAL.reveal().encode()
    assert aliases(KEYS[1]).resolved(old.of(REAL).encode(), REAL) == old.of(REAL).encode()


@given(st.binary())
def test_bytes_without_an_alias_pass_unchanged(text: bytes) -> None:
    assert aliases().resolved(text, REAL) == text


@pytest.mark.anyio
@pytest.mark.parametrize("size", [1, 7, 35, 36, 37, 1000])
async def test_an_alias_becomes_the_id_wherever_a_stream_is_cut(size: int) -> None:
    text = b'{"sessionId":"%s","again":"%s"}' % ((aliases().of(REAL).encode(),) * 2)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(text), size):
            yield text[start : start + size]

    got = b"".join([chunk async for chunk in aliases().resolved_stream(chunks(), REAL)])
    assert got == aliases().resolved(text, REAL)
    assert got.count(REAL.reveal().encode()) == 2
