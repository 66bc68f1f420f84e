"""Errors have one format and a code, and reveal nothing about the server."""

from typing import Final

from bff.conformance.check import Check, check, verdict
from bff.conformance.probe import Probe, describe, is_proxys, json_object, member
from bff.conformance.wire import Response

_MEMBERS: Final = frozenset({"type", "title", "status", "detail", "code", "requestId"})
_SHAPE: Final = "RFC 9457; ASVS 16.5.1"
_SCRIPT: Final = "'\"<script>alert(1)</script>"

Request = tuple[str, str, tuple[str, ...], bytes | None]  # method, path, headers and body


def _shape(status: int, code: str, title: str, *requests: Request) -> Check:
    """Return a check that every one of these requests gets this error with all its members."""

    async def look(probe: Probe) -> str:
        wrong: list[str] = []
        for method, path, headers, body in requests:
            response = await probe.request(method, path, *headers, body=body)
            wrong += [f"{method} {path}: {mistake}" for mistake in mistakes(response, status, code)]
        return verdict(wrong, f"{status} {code}")

    return check(f"error-{status}", title, _SHAPE)(look)


def mistakes(response: Response, status: int, code: str) -> list[str]:
    """Return what is wrong with an error response."""
    found = json_object(response)
    if response.status != status or found.get("code") != code:
        return [describe(response)]
    wrong = (
        [] if response.header("content-type").startswith("application/problem+json") else ["not problem+json"]
    )
    wrong += [f"no {name}" for name in sorted(_MEMBERS - found.keys())]
    members = found.get("status"), found.get("type")
    return wrong + ([] if members == (status, f"urn:bff:{code}") else ["wrong status or type"])


_JSON: Final = ("Content-Type: application/json",)
_HUGE: Final = "Content-Length: 999999999999"
_OVER_THE_LIMIT: Final = b" " * (64 * 1024 + 1)

_ERRORS: Final = (
    _shape(
        400, "invalid_request", "An invalid request gets 400",
        *(("POST", "/auth/login", _JSON, body) for body in (b"{", b"[]", b"{}", b'{"email":1}', b"\xff", b"")),
    ),
    _shape(401, "no_session", "A missing session gets 401", ("POST", "/auth/refresh", (), None)),
    _shape(403, "route_not_allowed", "A route that is not allowed gets 403", ("GET", "/api/nothing", (), None)),
    _shape(404, "not_found", "An unknown path gets 404", ("GET", "/auth/nothing", (), None)),
    _shape(
        405, "method_not_allowed", "A method that is not supported gets 405",
        ("DELETE", "/auth/session", (), None), ("GET", "/auth/login", (), None), ("PUT", "/auth/logout", (), None),
    ),
    _shape(
        415, "unsupported_media_type", "A Content-Type that is not JSON gets 415",
        ("POST", "/auth/login", ("Content-Type: text/plain",), b"{}"),
        ("POST", "/auth/login", ("Content-Type: application/x-www-form-urlencoded",), b"email=a&password=b"),
        ("POST", "/auth/login", (), b"{}"),
    ),
)  # fmt: skip


@check("error-413", "A Content-Length over the limit gets 413", _SHAPE)
async def _too_large(probe: Probe) -> str:
    response, seen = await probe.request("POST", "/auth/login", *_JSON, _HUGE, body=b""), "413 body_too_large"
    if response.status == 413 and not is_proxys(response):
        # A server in front has a limit of its own, and may wait for all of a body that is within it.
        response = await probe.request("POST", "/auth/login", *_JSON, body=_OVER_THE_LIMIT)
        seen += ", and 413 of a server in front"
    return verdict(mistakes(response, 413, "body_too_large"), seen)


@check("error-allow", "A 405 has an Allow header", "RFC 9110 15.5.6")
async def _allow(probe: Probe) -> str:
    response = await probe.request("GET", "/auth/login")
    allow = response.header("allow")
    return verdict([] if "POST" in allow else [f"Allow: {allow or 'none'}"], f"Allow: {allow}")


@check(
    "error-announced",
    "A Content-Length over the limit is refused before the body is sent",
    "ASVS 4.2.1, 15.2.2",
)
async def _announced(probe: Probe) -> str:
    headers = (*_JSON, _HUGE, "Connection: close")
    raw = probe.head("POST", f"/api/cart/{probe.options.tenant or 'notenant'}/carts", *headers)
    response = (await probe.wire.exchange(raw, "POST")).responses[0]
    return verdict([] if 400 <= response.status < 500 else [describe(response)], describe(response))


@check("error-twice", "A duplicate JSON member is refused", "RFC 8259 4; mod_auth_openidc 2026-08-12")
async def _twice(probe: Probe) -> str:
    body = b'{"email":"a@example.com","email":"b@example.com","password":"x"}'
    response = await probe.request("POST", "/auth/login", *_JSON, body=body)
    return verdict([] if response.status == 400 else [describe(response)], describe(response))


@check(
    "error-echo", "No response repeats a script that was sent", "CVE-2021-32792; CSNC-2019-001; ASVS 1.2.1"
)
async def _echo(probe: Probe) -> str:
    body = {"email": _SCRIPT, "password": _SCRIPT, _SCRIPT: _SCRIPT}
    responses = [
        await probe.request("POST", "/auth/login", body={"email": _SCRIPT}),
        await probe.request("PUT", "/auth/legal-entity", body=body),
        await probe.request("GET", "/auth/session?slide=%3Cscript%3E"),
        await probe.request("GET", "/auth/%3Cscript%3E"),
        await probe.request("GET", "/api/%3Cscript%3E"),
        await probe.request("GET", "/auth/sso/%3Cscript%3E"),
        await probe.request("GET", "/auth/nothing", "X-Request-Id: <script>"),
    ]
    wrong = [describe(one) for one in responses if b"<script>" in one.body or "<script>" in repr(one.headers)]
    return verdict(wrong, "nothing repeated")


@check("error-request-id", "Every error has a request id, the same in body and header", "ASVS 16.2.1")
async def _request_id(probe: Probe) -> str:
    responses = [
        await probe.request("GET", path) for path in ("/auth/nothing", "/api/nothing", "/auth/validate")
    ]
    ids = [(member(one, "requestId"), one.header("x-request-id")) for one in responses]
    wrong = [
        f"{describe(one)}: no id"
        for one, (body, header) in zip(responses, ids, strict=True)
        if not body or body != header
    ]
    return verdict(wrong + ([] if len(set(ids)) == len(ids) else ["duplicate id"]), "one each")


CHECKS: tuple[Check, ...] = (*_ERRORS, _too_large, _allow, _announced, _twice, _echo, _request_id)
