"""Answers without the fields that protect them."""

from pathlib import Path

import pytest

from tests.conformance.deployed import Change, Fields, Mutation, Wrapping, assert_caught, refielded

_MODULE = "bff.middleware.security_headers"


def _set(name: str, value: object) -> Change:
    return lambda monkeypatch: monkeypatch.setattr(f"{_MODULE}.{name}", value)


def _without(gone: bytes) -> Wrapping:
    return refielded(lambda _, fields: [one for one in fields if one[0] != gone])


def _shared(_scope: object, fields: Fields) -> Fields:
    return [(n, v.replace(b"private, no-store", b"max-age=60")) for n, v in fields]


MUTATIONS = [
    Mutation(
        "answers may be kept",
        {"field-auth-no-store", "field-api-no-store"},
        wrap=_without(b"cache-control"),
    ),
    Mutation("proxied answers may be kept by all", {"field-api-no-store"}, wrap=refielded(_shared)),
    Mutation("there are no protecting fields", {"field-nosniff", "field-csp"}, _set("_FIELDS", ())),
    Mutation(
        "https is insisted on for a minute",
        {"field-hsts"},
        _set("_HSTS", (b"strict-transport-security", b"max-age=60")),
        secure=True,
    ),
    Mutation(
        "the server names itself",
        {"field-banner"},
        wrap=refielded(lambda _, fields: [*fields, (b"server", b"uvicorn")]),
    ),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, redis_url: str, tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, redis_url, tls, monkeypatch)
