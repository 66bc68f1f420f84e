"""Fixed header fields on every answer, unless the answer sets them itself."""

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from bff.errors import NotFound
from bff.middleware.cors import Cors
from bff.middleware.request_layer import RequestLayer, RequestPolicy
from bff.middleware.security_headers import missing_fields, security_fields
from bff.middleware.stream_limit import StreamLimit
from bff.upstream.protocol import Header
from tests.support import http_scope, run_app

pytestmark = pytest.mark.anyio


async def fields_of(app: ASGIApp, *, secure: bool, path: str = "/") -> list[Header]:
    policy = RequestPolicy((), security_fields(secure=secure), Cors(()), StreamLimit(8))
    sent = await run_app(RequestLayer(app, policy, monotonic=lambda: 0.0), http_scope(path=path))
    return list(sent[0]["headers"])


async def fields(*, secure: bool, **own: str) -> list[Header]:
    return await fields_of(PlainTextResponse("ok", headers=own), secure=secure)


async def refusing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise NotFound


async def failing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise ValueError


@pytest.mark.parametrize("path", ["/", "/auth/session", "/api/x", "/livez"])
@pytest.mark.parametrize("app", [PlainTextResponse("ok"), refusing, failing])
@pytest.mark.parametrize("secure", [True, False])
async def test_browsers_are_told_what_an_answer_is_not(
    secure: bool,  # noqa: FBT001
    app: ASGIApp,
    path: str,
) -> None:
    told = dict(await fields_of(app, secure=secure, path=path))
    assert told[b"x-content-type-options"] == b"nosniff"
    assert told[b"referrer-policy"] == b"no-referrer"
    assert told[b"content-security-policy"] == b"default-src 'none'; frame-ancestors 'none'"
    assert told[b"cross-origin-resource-policy"] == b"same-origin"
    assert (b"strict-transport-security" in told) is secure


async def test_what_an_answer_sets_itself_stays_and_is_there_once() -> None:
    found = await fields(secure=True, **{"content-security-policy": "default-src 'self'"})
    policies = [value for name, value in found if name == b"content-security-policy"]
    assert policies == [b"default-src 'self'"]
    assert len({name for name, _ in found}) == len(found)


def test_only_what_is_missing_is_added() -> None:
    every = security_fields(secure=True)
    assert missing_fields([], every) == list(every)
    assert missing_fields([name for name, _ in every[1:]], every) == [every[0]]
