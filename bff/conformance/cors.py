"""CORS: which origins may send requests and read the responses."""

from bff.conformance.check import Check, NotApplicable, check, verdict
from bff.conformance.probe import ELSEWHERE, Probe, describe, member
from bff.conformance.wire import Response

_PREFLIGHT = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type,x-csrf")
_APPROVALS = ("access-control-allow-origin", "access-control-allow-credentials")


@check(
    "cors-unknown-preflight",
    "A preflight from an unknown origin is refused",
    "RFC 10017 6.1.3.3.2; ASVS 3.4.2",
)
async def _unknown_preflight(probe: Probe) -> str:
    wrong = []
    for origin in (ELSEWHERE, "null", f"{probe.target.origin}.elsewhere.example"):
        for path in ("/auth/login", "/auth/session", probe.sites, "/livez"):
            response = await _preflight(probe, origin, path)
            wrong += [f"{name} for {origin} on {path}" for name in _cors_headers(response)]
    return verdict(wrong, "no Access-Control-*")


@check("cors-own-preflight", "A preflight from the public origin is approved, for it only", "ASVS 3.4.2")
async def _own_preflight(probe: Probe) -> str:
    return await _approved_everywhere(probe, probe.target.origin)


@check("cors-allowed-preflight", "A preflight from the allowed origin is approved, for it only", "ASVS 3.4.2")
async def _allowed_preflight(probe: Probe) -> str:
    return await _approved_everywhere(probe, _allowed_origin(probe))


@check("cors-unknown-answer", "An unknown origin cannot read a response", "ASVS 3.4.2")
async def _unknown_response(probe: Probe) -> str:
    wrong = []
    for origin in (ELSEWHERE, "null"):
        for path in ("/auth/session", probe.sites, "/livez", "/auth/nothing"):
            response = await probe.request("GET", path, f"Origin: {origin}")
            wrong += [f"{name} for {origin} on {path}" for name in _cors_headers(response)]
    return verdict(wrong, "no Access-Control-*")


@check(
    "cors-readable",
    "Public and allowed origins can read responses and errors, with Vary: Origin",
    "ASVS 3.4.2; RFC 9110 12.5.5",
)
async def _readable(probe: Probe) -> str:
    wrong = []
    for origin in filter(None, (probe.target.origin, probe.options.allowed_origin)):
        for path in ("/auth/session", "/auth/nothing", "/api/nothing"):
            response = await probe.request("GET", path, f"Origin: {origin}")
            wrong += [f"{path}: {mistake}" for mistake in _not_approved(response, origin)]
            wrong += [] if "origin" in response.header("vary").lower() else [f"{path}: no Vary: Origin"]
    return verdict(wrong, "this origin only, with credentials")


@check("cors-allowed-let-in", "A request from the allowed origin is accepted", "ASVS 3.4.2")
async def _allowed_request(probe: Probe) -> str:
    headers = (f"Origin: {_allowed_origin(probe)}", "Sec-Fetch-Site: same-site")
    response = await probe.request("GET", "/auth/session", *headers)
    return verdict([] if response.status == 200 else [describe(response)], describe(response))


@check(
    "cors-wrong-site",
    "An allowed origin on another site is refused where its cookie would be dropped, and told why",
    "RFC 6265bis 5.6.7.1; the contract's rules for browsers",
)
async def _wrong_site(probe: Probe) -> str:
    headers = (f"Origin: {_allowed_origin(probe)}", "Sec-Fetch-Site: cross-site")
    response = await probe.request("GET", "/auth/session", *headers)
    if (await probe.guest()).attributes.get("samesite", "").lower() == "none":
        return verdict([] if response.status == 200 else [describe(response)], describe(response))
    explained = member(response, "code") == "csrf_failed" and "SameSite" in member(response, "detail")
    return verdict([] if response.status == 403 and explained else [describe(response)], describe(response))


async def _preflight(probe: Probe, origin: str, path: str) -> Response:
    return await probe.request("OPTIONS", path, f"Origin: {origin}", *_PREFLIGHT, csrf=False)


async def _approved_everywhere(probe: Probe, origin: str) -> str:
    wrong = []
    for path in ("/auth/login", probe.sites):
        response = await _preflight(probe, origin, path)
        wrong += [f"{path}: {mistake}" for mistake in _not_approved(response, origin)]
        wildcards = [name for name in _cors_headers(response) if "*" in response.header(name)]
        wrong += [f"{path}: * in {name}" for name in wildcards]
        wrong += (
            []
            if "x-csrf" in response.header("access-control-allow-headers").lower()
            else ["X-CSRF is not allowed"]
        )
    return verdict(wrong, "this origin only, with credentials")


def _not_approved(response: Response, origin: str) -> list[str]:
    given = [response.header_values(name) for name in _APPROVALS]
    return (
        []
        if given == [[origin], ["true"]]
        else [f"{_APPROVALS[0]}: {response.header(_APPROVALS[0]) or 'none'}"]
    )


def _cors_headers(response: Response) -> list[str]:
    return sorted({name for name, _ in response.headers if name.startswith("access-control-")})


def _allowed_origin(probe: Probe) -> str:
    if probe.options.allowed_origin is None:
        raise NotApplicable("no --allowed-origin was given")
    return probe.options.allowed_origin


CHECKS: tuple[Check, ...] = (
    _unknown_preflight,
    _own_preflight,
    _allowed_preflight,
    _unknown_response,
    _readable,
    _allowed_request,
    _wrong_site,
)
