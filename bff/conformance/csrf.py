"""CSRF protection: which requests of a browser are refused. The requests sent here would do no harm if accepted."""

from collections.abc import Iterable

from bff.conformance.check import Check, check, verdict
from bff.conformance.probe import ELSEWHERE, Probe, cookies, describe, member
from bff.conformance.wire import Response

_GET = ("GET", "/auth/session")
_POST = ("POST", "/auth/anonymous")


@check("csrf-get", "A GET without X-CSRF is refused", "RFC 10017 6.1.3.3.2; ASVS 3.5.1")
async def _get(probe: Probe) -> str:
    requests = [_GET, ("HEAD", "/auth/session"), ("GET", "/auth/validate"), ("GET", "/auth/nothing")]
    return await _refused(probe, [()], requests, csrf=False)


@check(
    "csrf-post",
    "A POST without X-CSRF is refused, with any Content-Type",
    "RFC 10017 6.1.3.3.2; ASVS 3.5.1",
)
async def _post(probe: Probe) -> str:
    requests = [_POST, ("POST", "/auth/login"), ("POST", "/auth/logout"), ("PUT", "/auth/legal-entity")]
    types = [(), ("Content-Type: text/plain",), ("Content-Type: application/x-www-form-urlencoded",)]
    return await _refused(probe, types, requests, csrf=False)


@check("csrf-api", "A request to /api without X-CSRF is refused", "RFC 10017 6.1.3.3.2; ASVS 3.5.1")
async def _api(probe: Probe) -> str:
    requests = [("GET", probe.sites), ("POST", probe.sites), ("GET", "/api/nothing")]
    return await _refused(probe, [()], requests, csrf=False)


@check(
    "csrf-origin",
    "A foreign Origin is refused, even with X-CSRF",
    "RFC 10017 6.1.3.3; ASVS 3.5.1; CVE-2026-40574",
)
async def _origin(probe: Probe) -> str:
    own = probe.target.origin
    other = "http" + own[5:] if probe.target.secure else "https" + own[4:]
    foreign = [ELSEWHERE, other, f"{own}.elsewhere.example", f"{own}@elsewhere.example", f"{own}/", f"{own}1"]
    return await _refused(probe, [(f"Origin: {origin}",) for origin in foreign], [_GET, _POST])


@check("csrf-null-origin", "Origin: null is refused", "ASVS 3.4.2, 3.5.1")
async def _null(probe: Probe) -> str:
    return await _refused(probe, [("Origin: null",), ("Origin: ",)], [_GET, _POST])


@check(
    "csrf-fetch-site",
    "Sec-Fetch-Site cross-site, same-site and none are refused",
    "RFC 10017 6.1.3.3.1; ASVS 3.5.8",
)
async def _site(probe: Probe) -> str:
    sites = ("cross-site", "same-site", "none")
    own = f"Origin: {probe.target.origin}"
    header_sets = [(f"Sec-Fetch-Site: {site}",) for site in sites] + [("Sec-Fetch-Site: cross-site", own)]
    return await _refused(probe, header_sets, [_GET, _POST, ("GET", probe.sites)])


@check("csrf-twice", "A duplicate Origin header is refused", "mod_auth_openidc 2026-08-12")
async def _twice(probe: Probe) -> str:
    own = f"Origin: {probe.target.origin}"
    return await _refused(probe, [(own, f"Origin: {ELSEWHERE}"), (f"Origin: {ELSEWHERE}", own)], [_GET])


@check("csrf-own-origin", "A request from the public origin is accepted", "RFC 10017 6.1.3.3")
async def _own(probe: Probe) -> str:
    headers = (f"Origin: {probe.target.origin}", "Sec-Fetch-Site: same-origin")
    response = await probe.request("GET", "/auth/session", *headers)
    return verdict([] if response.status == 200 else [describe(response)], describe(response))


@check(
    "csrf-code",
    "A refused request has its own error code, different from that of an expired session",
    "RFC 10017 6.1.3.3",
)
async def _code(probe: Probe) -> str:
    responses = [
        await probe.request("GET", "/auth/session", csrf=False),
        await probe.request("GET", "/auth/session", f"Origin: {ELSEWHERE}"),
        await probe.request("GET", probe.sites, "Sec-Fetch-Site: cross-site"),
    ]
    return verdict(
        [describe(one) for one in responses if member(one, "code") != "csrf_failed"], "csrf_failed"
    )


@check(
    "csrf-nothing", "A refused request sets no cookie and changes nothing", "RFC 10017 6.1.3.3; ASVS 3.5.1"
)
async def _nothing(probe: Probe) -> str:
    guest = await probe.new_guest()
    wrong = []
    for headers, csrf in (
        ((), False),
        ((f"Origin: {ELSEWHERE}",), True),
        (("Sec-Fetch-Site: same-site",), True),
    ):
        response = await probe.request("POST", "/auth/logout", *headers, csrf=csrf, cookie=guest.pair)
        wrong += ["a cookie was set"] if cookies(response) else []
    after = await probe.request("GET", "/auth/session", cookie=guest.pair)
    wrong += [] if member(after, "kind") == "anonymous" else ["the session was ended"]
    return verdict(wrong, "no Set-Cookie, session unchanged")


async def _refused(
    probe: Probe,
    header_sets: Iterable[tuple[str, ...]],
    requests: list[tuple[str, str]],
    *,
    csrf: bool = True,
) -> str:
    """Send every request with every set of headers, without a session and as a guest; each must get a 403."""
    guest = await probe.guest()
    wrong: list[str] = []
    count = 0
    for headers in header_sets:
        for method, path in requests:
            for cookie in ("", guest.pair):
                response = await probe.request(method, path, *headers, csrf=csrf, cookie=cookie)
                wrong += _accepted(response, f"{method} {path} {' '.join(headers)}")
                count += 1
    return verdict(wrong, f"{count} requests, each 403")


def _accepted(response: Response, request: str) -> list[str]:
    return [] if response.status == 403 else [f"{request.strip()}: {describe(response)}"]


CHECKS: tuple[Check, ...] = (
    _get,
    _post,
    _api,
    _origin,
    _null,
    _site,
    _twice,
    _own,
    _code,
    _nothing,
)
