"""Fixed header fields on every answer, unless the answer says otherwise itself."""

import pytest
from starlette.responses import PlainTextResponse

from bff.middleware.security_headers import SecurityHeaders
from tests.unit.support import http_scope, run_app

pytestmark = pytest.mark.anyio


async def fields(*, secure: bool, **own: str) -> list[tuple[bytes, bytes]]:
    app = SecurityHeaders(PlainTextResponse("ok", headers=own), secure=secure)
    return list((await run_app(app, http_scope()))[0]["headers"])


@pytest.mark.parametrize("secure", [True, False])
async def test_browsers_are_told_what_an_answer_is_not(secure: bool) -> None:  # noqa: FBT001
    told = dict(await fields(secure=secure))
    assert told[b"x-content-type-options"] == b"nosniff"
    assert told[b"referrer-policy"] == b"no-referrer"
    assert told[b"content-security-policy"] == b"default-src 'none'; frame-ancestors 'none'"
    assert told[b"cross-origin-resource-policy"] == b"same-origin"
    assert (b"strict-transport-security" in told) is secure


async def test_what_an_answer_says_itself_stays_and_is_said_once() -> None:
    told = await fields(secure=True, **{"content-security-policy": "default-src 'self'"})
    policies = [value for name, value in told if name == b"content-security-policy"]
    assert policies == [b"default-src 'self'"]
