"""Headers that every response must have, checked on the responses that all other checks have received."""

import re
from collections.abc import Callable
from typing import Final

from bff.conformance.check import Check, NotApplicable, check, verdict
from bff.conformance.probe import Probe, Recorded, describe, is_proxys
from bff.conformance.wire import Response

_YEAR: Final = 31_536_000
_SERVERS: Final = re.compile(
    r"uvicorn|hypercorn|gunicorn|granian|daphne|starlette|python|werkzeug|express", re.IGNORECASE
)
_FRONTS: Final = re.compile(
    r"nginx|openresty|caddy|envoy|haproxy|traefik|apache|cloudfront|varnish|awselb", re.IGNORECASE
)
_AREAS: Final = ("/auth/", "/api/")


@check("field-auth-no-store", "No cache may store a response of /auth", "CVE-2025-48947; ASVS 14.3.2")
async def _auth(probe: Probe) -> str:
    """Preflights are left out, because responses to OPTIONS are not cacheable (RFC 9110 9.3.7)."""
    found = [one for one in _from_proxy(probe) if one.path.startswith("/auth/") and one.method != "OPTIONS"]
    return _all(found, lambda response: "no-store" in response.header("cache-control").lower(), "no no-store")


@check(
    "field-api-no-store",
    "No shared cache may store a response of /api: private, no-store",
    "CVE-2025-48947; GHSA-xq8m-7c5p-c2r6",
)
async def _api(probe: Probe) -> str:
    if probe.options.tenant is None:
        raise NotApplicable("no --tenant was given")
    guest = await probe.guest()
    path = f"/api/session-context/{probe.options.tenant}/me/context"
    response = await probe.request("GET", path, cookie=guest.pair)
    cache_control = response.header("cache-control").lower()
    wrong = [] if 200 <= response.status < 300 else [f"{path}: {describe(response)}"]
    wrong += [f"no {name}" for name in ("private", "no-store") if name not in cache_control]
    refusals = [
        one for one in probe.recorded if one.path.startswith("/api/") and 400 <= one.response.status < 500
    ]
    wrong += [
        describe(one.response)
        for one in refusals
        if is_proxys(one.response) and "no-store" not in one.response.header("cache-control")
    ]
    return verdict(wrong, cache_control)


@check("field-nosniff", "Every response has X-Content-Type-Options: nosniff", "ASVS 3.4.4")
async def _nosniff(probe: Probe) -> str:
    return _all(
        _from_proxy(probe),
        lambda response: response.header("x-content-type-options").lower() == "nosniff",
        "no nosniff",
    )


@check(
    "field-csp",
    "No response may load content or be framed: Content-Security-Policy",
    "ASVS 3.4.3, 3.4.6",
)
async def _csp(probe: Probe) -> str:
    def strict(response: Response) -> bool:
        policy = response.header("content-security-policy").lower()
        return "default-src 'none'" in policy and "frame-ancestors 'none'" in policy

    return _all(_from_proxy(probe), strict, "no strict policy")


@check("field-hsts", "Strict-Transport-Security is set for at least a year", "ASVS 3.4.1")
async def _hsts(probe: Probe) -> str:
    if not probe.target.secure:
        raise NotApplicable("plain http")

    def for_a_year(response: Response) -> bool:
        age = re.search(r"max-age=\"?(\d+)", response.header("strict-transport-security").lower())
        return age is not None and int(age[1]) >= _YEAR

    return _all(_from_proxy(probe), for_a_year, "not for a year")


@check("field-banner", "No response reveals the server software", "ASVS 13.4.6")
async def _banner(probe: Probe) -> str:
    powered = [one.response.header("x-powered-by") for one in probe.recorded]
    servers = {one.response.header("server") for one in probe.recorded} - {""}
    wrong = sorted({text for text in powered if text} | {text for text in servers if _reveals(text)})
    versions = [text for text in sorted(servers) if re.search(r"\d", text)]
    if versions and not wrong:
        raise NotApplicable(f"{versions[0]} is the server in front: hide its version there")
    return verdict(wrong, ", ".join(sorted(servers)) or "none")


def _reveals(server: str) -> bool:
    """Return whether a `Server` field tells of the proxy's software; a server in front adds its own."""
    is_front = _FRONTS.match(server) is not None
    return _SERVERS.search(server) is not None or (not is_front and re.search(r"\d", server) is not None)


@check("field-type", "Every body is JSON or plain text, and its Content-Type says so", "ASVS 4.1.1")
async def _type(probe: Probe) -> str:
    with_body = [one for one in _from_proxy(probe) if one.response.body]
    good = ("application/json", "application/problem+json", "text/plain")
    return _all(with_body, lambda response: response.header("content-type").startswith(good), "another type")


@check(
    "field-no-redirect", "No request is redirected, not even from http to https", "ASVS 4.1.2; CVE-2023-28625"
)
async def _no_redirect(probe: Probe) -> str:
    requests = [
        one for one in probe.recorded if one.path.startswith(_AREAS) and not one.path.startswith("/auth/sso/")
    ]
    return _all(requests, lambda response: not 300 <= response.status < 400, "redirected")


def _from_proxy(probe: Probe) -> list[Recorded]:
    """Return the responses of the proxy under its own paths; a storefront beside it has its own rules."""
    return [one for one in probe.recorded if one.path.startswith(_AREAS) and is_proxys(one.response)]


def _all(found: list[Recorded], is_good: Callable[[Response], bool], mistake: str) -> str:
    wrong = [f"{one.place} {describe(one.response)}: {mistake}" for one in found if not is_good(one.response)]
    return verdict(wrong if found else ["no response to check"], f"{len(found)} responses")


CHECKS: tuple[Check, ...] = (_auth, _api, _nosniff, _csp, _hsts, _banner, _type, _no_redirect)
