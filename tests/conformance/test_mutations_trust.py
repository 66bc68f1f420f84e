"""A deployment that believes what anybody can send."""

from pathlib import Path

import pytest
from starlette.types import Scope

from bff.app import Proxy
from tests.conformance.deployed import (
    Fields,
    Mutation,
    answering,
    assert_caught,
    header,
    moved,
    refielded,
    rescoped,
)


def _rewritten(scope: Scope) -> None:
    if target := header(scope, b"x-original-url"):
        moved(scope, target)


def _overridden(scope: Scope) -> None:
    if method := header(scope, b"x-http-method-override"):
        scope["method"] = method.decode()


def _domain(scope: Scope, fields: Fields) -> Fields:
    """Set cookies for the host that a field names."""
    host = header(scope, b"x-forwarded-host")
    return [(n, v + b"; Domain=" + host if host and n == b"set-cookie" else v) for n, v in fields]


def _linked(scope: Scope, fields: Fields) -> Fields:
    host = header(scope, b"x-forwarded-host")
    return [*fields, (b"link", b"<https://" + host + b'/>; rel="canonical"')] if host else fields


def _slashes(proxy: Proxy) -> None:
    proxy._own.router.redirect_slashes = True


def _health_checker(scope: Scope) -> bool:
    return header(scope, b"user-agent").startswith(b"GoogleHC")


MUTATIONS = [
    Mutation("X-Original-URL chooses the path", {"trust-rewritten"}, wrap=rescoped(_rewritten)),
    Mutation("X-Forwarded-Host chooses the cookie's domain", {"trust-forwarded"}, wrap=refielded(_domain)),
    Mutation("X-Forwarded-Host makes links", {"trust-forwarded"}, wrap=refielded(_linked)),
    Mutation("slashes are redirected to the Host", {"trust-host", "field-no-redirect"}, after=_slashes),
    Mutation("a field chooses the method", {"trust-method"}, wrap=rescoped(_overridden)),
    Mutation("health checkers are let in", {"trust-agent"}, wrap=answering(200, b"ok", _health_checker)),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, redis_url: str, tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, redis_url, tls, monkeypatch)
