"""Errors: one shape, a code to go by, nothing of what is behind them."""

from typing import Final

from bff.conformance.check import Check, check, judged
from bff.conformance.probe import Probe, member, problem, told
from bff.conformance.wire import Answer

_MEMBERS: Final = frozenset({"type", "title", "status", "detail", "code", "requestId"})
_SHAPE: Final = "RFC 9457; ASVS 16.5.1"
_SCRIPT: Final = "'\"<script>alert(1)</script>"

Asked = tuple[str, str, tuple[str, ...], bytes | None]


def _shape(status: int, code: str, title: str, *asked: Asked) -> Check:
    """Make a check that every one of these requests gets this error, whole."""

    async def look(probe: Probe) -> str:
        wrong: list[str] = []
        for method, path, fields, body in asked:
            answer = await probe.ask(method, path, *fields, body=body)
            wrong += [f"{method} {path}: {mistake}" for mistake in mistakes(answer, status, code)]
        return judged(wrong, f"{status} {code}")

    return check(f"error-{status}", title, _SHAPE)(look)


def mistakes(answer: Answer, status: int, code: str) -> list[str]:
    """Say what is wrong with an error."""
    found = problem(answer)
    if answer.status != status or found.get("code") != code:
        return [told(answer)]
    wrong = [] if answer.one("content-type").startswith("application/problem+json") else ["not problem+json"]
    wrong += [f"no {name}" for name in sorted(_MEMBERS - found.keys())]
    told_status, kind = found.get("status"), found.get("type")
    return wrong + (
        [] if (told_status, kind) == (status, f"urn:bff:{code}") else ["status or type do not fit"]
    )


_JSON: Final = ("Content-Type: application/json",)
_HUGE: Final = "Content-Length: 999999999999"

_ERRORS: Final = (
    _shape(
        400, "invalid_request", "What is not valid is 400",
        *(("POST", "/auth/login", _JSON, body) for body in (b"{", b"[]", b"{}", b'{"email":1}', b"\xff", b"")),
    ),
    _shape(401, "no_session", "Nobody's session is 401", ("POST", "/auth/refresh", (), None)),
    _shape(403, "route_not_allowed", "A closed route is 403", ("GET", "/api/nothing", (), None)),
    _shape(404, "not_found", "What is not there is 404", ("GET", "/auth/nothing", (), None)),
    _shape(
        405, "method_not_allowed", "Another method is 405",
        ("DELETE", "/auth/session", (), None), ("GET", "/auth/login", (), None), ("PUT", "/auth/logout", (), None),
    ),
    _shape(
        413, "body_too_large", "A body that is announced as too large is 413",
        ("POST", "/auth/login", (*_JSON, _HUGE), b""),
    ),
    _shape(
        415, "unsupported_media_type", "A body that is not JSON is 415",
        ("POST", "/auth/login", ("Content-Type: text/plain",), b"{}"),
        ("POST", "/auth/login", ("Content-Type: application/x-www-form-urlencoded",), b"email=a&password=b"),
        ("POST", "/auth/login", (), b"{}"),
    ),
)  # fmt: skip


@check("error-allow", "A 405 says which methods there are", "RFC 9110 15.5.6")
async def _allow(probe: Probe) -> str:
    answer = await probe.ask("GET", "/auth/login")
    allow = answer.one("allow")
    return judged([] if "POST" in allow else [f"Allow: {allow or 'none'}"], f"Allow: {allow}")


@check(
    "error-announced", "A body is refused by its announced length, before it is sent", "ASVS 4.2.1, 15.2.2"
)
async def _announced(probe: Probe) -> str:
    given = (*_JSON, _HUGE, "Connection: close")
    raw = probe.head("POST", f"/api/cart/{probe.options.tenant or 'notenant'}/carts", *given)
    answer = (await probe.wire.exchange(raw, "POST")).answers[0]
    return judged([] if 400 <= answer.status < 500 else [told(answer)], told(answer))


@check("error-twice", "A member that is named twice is refused", "RFC 8259 4; mod_auth_openidc 2026-08-12")
async def _twice(probe: Probe) -> str:
    body = b'{"email":"a@example.com","email":"b@example.com","password":"x"}'
    answer = await probe.ask("POST", "/auth/login", *_JSON, body=body)
    return judged([] if answer.status == 400 else [told(answer)], told(answer))


@check("error-echo", "No answer repeats a script that was sent", "CVE-2021-32792; CSNC-2019-001; ASVS 1.2.1")
async def _echo(probe: Probe) -> str:
    body = {"email": _SCRIPT, "password": _SCRIPT, _SCRIPT: _SCRIPT}
    answers = [
        await probe.ask("POST", "/auth/login", body={"email": _SCRIPT}),
        await probe.ask("PUT", "/auth/legal-entity", body=body),
        await probe.ask("GET", "/auth/session?slide=%3Cscript%3E"),
        await probe.ask("GET", "/auth/%3Cscript%3E"),
        await probe.ask("GET", "/api/%3Cscript%3E"),
        await probe.ask("GET", "/auth/sso/%3Cscript%3E"),
        await probe.ask("GET", "/auth/nothing", "X-Request-Id: <script>"),
    ]
    wrong = [told(one) for one in answers if b"<script>" in one.body or "<script>" in repr(one.fields)]
    return judged(wrong, "nothing repeated")


@check("error-request-id", "Every error has a request id, the same in body and field", "ASVS 16.2.1")
async def _request_id(probe: Probe) -> str:
    answers = [await probe.ask("GET", path) for path in ("/auth/nothing", "/api/nothing", "/auth/validate")]
    named = [(member(one, "requestId"), one.one("x-request-id")) for one in answers]
    wrong = [
        f"{told(one)}: no id"
        for one, (body, field) in zip(answers, named, strict=True)
        if not body or body != field
    ]
    return judged(wrong + ([] if len(set(named)) == len(named) else ["an id twice"]), "one each")


CHECKS: tuple[Check, ...] = (*_ERRORS, _allow, _announced, _twice, _echo, _request_id)
