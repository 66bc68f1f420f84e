"""Header fields that every answer must have. They judge the answers that the other checks were given."""

import re
from collections.abc import Callable
from typing import Final

from bff.conformance.check import Check, NotApplicable, check, judged
from bff.conformance.probe import Probe, Seen, told
from bff.conformance.wire import Answer

_YEAR: Final = 31_536_000
_SERVERS: Final = re.compile(
    r"\d|uvicorn|hypercorn|gunicorn|granian|daphne|starlette|python|werkzeug|express", re.IGNORECASE
)
_AREAS: Final = ("/auth/", "/api/")


@check("field-auth-no-store", "No cache keeps an answer of /auth", "CVE-2025-48947; ASVS 14.3.2")
async def _auth(probe: Probe) -> str:
    """A preflight is no matter for caches of this kind: what answers OPTIONS is never kept (RFC 9110 9.3.7)."""
    found = [one for one in _owned(probe) if one.path.startswith("/auth/") and one.method != "OPTIONS"]
    return _all(found, lambda answer: "no-store" in answer.one("cache-control").lower(), "no no-store")


@check(
    "field-api-no-store",
    "No shared cache keeps an answer of /api: private, no-store",
    "CVE-2025-48947; GHSA-xq8m-7c5p-c2r6",
)
async def _api(probe: Probe) -> str:
    if probe.options.tenant is None:
        raise NotApplicable("no --tenant was given")
    guest = await probe.guest()
    path = f"/api/session-context/{probe.options.tenant}/me/context"
    answer = await probe.ask("GET", path, cookie=guest.pair)
    said = answer.one("cache-control").lower()
    wrong = [] if 200 <= answer.status < 300 else [f"{path}: {told(answer)}"]
    wrong += [name for name in ("private", "no-store") if name not in said]
    refusals = [one for one in probe.seen if one.path.startswith("/api/") and 400 <= one.answer.status < 500]
    wrong += [
        told(one.answer)
        for one in refusals
        if _own(one.answer) and "no-store" not in one.answer.one("cache-control")
    ]
    return judged(wrong, said)


@check("field-nosniff", "Every answer has X-Content-Type-Options: nosniff", "ASVS 3.4.4")
async def _nosniff(probe: Probe) -> str:
    return _all(
        _owned(probe), lambda answer: answer.one("x-content-type-options").lower() == "nosniff", "no nosniff"
    )


@check(
    "field-csp", "Every answer forbids to be a page or a frame: Content-Security-Policy", "ASVS 3.4.3, 3.4.6"
)
async def _csp(probe: Probe) -> str:
    def strict(answer: Answer) -> bool:
        policy = answer.one("content-security-policy").lower()
        return "default-src 'none'" in policy and "frame-ancestors 'none'" in policy

    return _all(_owned(probe), strict, "no strict policy")


@check("field-hsts", "https is insisted on for a year: Strict-Transport-Security", "ASVS 3.4.1")
async def _hsts(probe: Probe) -> str:
    if not probe.target.secure:
        raise NotApplicable("plain http")

    def insists(answer: Answer) -> bool:
        age = re.search(r"max-age=\"?(\d+)", answer.one("strict-transport-security").lower())
        return age is not None and int(age[1]) >= _YEAR

    return _all(_owned(probe), insists, "not for a year")


@check("field-banner", "No answer says which server software this is", "ASVS 13.4.6")
async def _banner(probe: Probe) -> str:
    powered = [one.answer.one("x-powered-by") for one in probe.seen]
    servers = {one.answer.one("server") for one in probe.seen} - {""}
    wrong = sorted({text for text in powered if text} | {text for text in servers if _SERVERS.search(text)})
    return judged(wrong, ", ".join(sorted(servers)) or "none")


@check("field-type", "Every body has a type, and none is a page", "ASVS 4.1.1")
async def _type(probe: Probe) -> str:
    bodied = [one for one in _owned(probe) if one.answer.body]
    good = ("application/json", "application/problem+json", "text/plain")
    return _all(bodied, lambda answer: answer.one("content-type").startswith(good), "another type")


@check(
    "field-no-redirect", "No call is sent elsewhere, by http to https neither", "ASVS 4.1.2; CVE-2023-28625"
)
async def _no_redirect(probe: Probe) -> str:
    asked = [
        one for one in probe.seen if one.path.startswith(_AREAS) and not one.path.startswith("/auth/sso/")
    ]
    return _all(asked, lambda answer: not 300 <= answer.status < 400, "leads on")


def _owned(probe: Probe) -> list[Seen]:
    """Return what the proxy itself answered below its own paths; a storefront beside it has rules of its own."""
    return [one for one in probe.seen if one.path.startswith(_AREAS) and _own(one.answer)]


def _own(answer: Answer) -> bool:
    """Say whether a request got past the parser, whose bare 400 has no request id."""
    return "x-request-id" in dict(answer.fields)


def _all(found: list[Seen], fits: Callable[[Answer], bool], mistake: str) -> str:
    wrong = [f"{one.place} {told(one.answer)}: {mistake}" for one in found if not fits(one.answer)]
    return judged(wrong if found else ["no answer to look at"], f"{len(found)} answers")


CHECKS: tuple[Check, ...] = (_auth, _api, _nosniff, _csp, _hsts, _banner, _type, _no_redirect)
