"""The fields of a record as bytes, and back."""

import base64
import json
import secrets
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import StoreUnavailable
from bff.store.packed import pack, unpack
from bff.store.record import FORMER_SCHEMA, to_record
from tests.values import a_session, new_ticket

ANY_TEXT = st.text(st.characters(), max_size=30)
PARTS = st.binary(max_size=30).map(lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"=").decode())
TOKENS = ANY_TEXT | st.lists(PARTS | ANY_TEXT, max_size=4).map(".".join)


def fields(**changes: Any) -> dict[str, Any]:
    """Return the fields of a guest's record."""
    return {**json.loads(to_record(a_session(), new_ticket(), FORMER_SCHEMA)), **changes}


@given(TOKENS, st.none() | TOKENS, st.none() | ANY_TEXT, st.lists(ANY_TEXT, max_size=3))
def test_every_text_comes_back_as_it_was(
    access: str, saas: str | None, email: str | None, merged: list[str]
) -> None:
    whole = fields(access=access, saas=saas, email=email, merged=merged)
    whole["guest"] = {name: whole[name] for name in whole if name in fields()} | {"saas": access}
    back = unpack(pack(whole))
    assert [back[name] for name in ("access", "saas", "email", "merged")] == [access, saas, email, merged]
    assert back["guest"] == {name: whole["guest"][name] for name in back["guest"]}


def test_a_token_of_base64url_parts_takes_three_quarters_of_its_length() -> None:
    plain = ".".join(secrets.token_urlsafe(300) for _ in range(3))
    assert len(pack(fields(access=plain))) < len(pack(fields(access=""))) + 0.76 * len(plain)


def test_what_a_later_release_adds_at_the_end_is_left_alone() -> None:
    packed = pack(fields())
    assert unpack(packed + b"more") == unpack(packed)


def test_a_text_that_is_too_long_is_not_kept_in_part() -> None:
    assert unpack(pack(fields(email="e" * 65_534)))["email"] == "e" * 65_534
    for name in ("email", "access"):
        with pytest.raises(StoreUnavailable):
            pack(fields(**{name: "!" * 65_535}))
