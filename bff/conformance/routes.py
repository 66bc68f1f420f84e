"""The route table: a browser reaches only the listed routes of its own tenant."""

from typing import Final

from bff.conformance.check import Check, NotApplicable, check, verdict
from bff.conformance.leaks import token_shaped
from bff.conformance.probe import NO_TENANT, Probe, cookies, describe, json_object, member
from bff.conformance.wire import Response

_REFUSED: Final = (
    ("POST", "/oauth/token"),
    ("GET", "/oauth/token"),
    ("GET", "/iam/{}/users"),
    ("GET", "/configuration/{}/configurations"),
    ("GET", "/webhook/{}/dashboard-access"),
    ("GET", "/order-v2/{}/salesorders"),
    ("POST", "/customer/{}/customers/import"),
    ("GET", "/session-context/{}/context/x"),
    ("DELETE", "/product/{}/products/x"),
    ("GET", "/ai-service/{}/agentic/tokens"),
)
_AUTH: Final = (
    ("GET", "/customerlogin/auth/anonymous/login?tenant={}&client_id=x"),
    ("GET", "/customerlogin/auth/anonymous/refresh?tenant={}&client_id=x&refresh_token=x"),
    ("POST", "/customer/{}/login"),
    ("GET", "/customer/{}/logout?accessToken=x"),
    ("GET", "/customer/{}/refreshauthtoken?refreshToken=x"),
    ("GET", "/customer/{}/validateauthtoken"),
    ("POST", "/customer/{}/socialLogin"),
    ("POST", "/customer/{}/exchangeauthtoken"),
    ("GET", "/customer/{}/signup/optin/x"),
)


@check("route-closed", "Admin and token routes are refused", "RFC 10017 6.1.3.6; ASVS 8.2.1")
async def _closed(probe: Probe) -> str:
    return await _refused(probe, _REFUSED)


@check(
    "route-auth-calls",
    "The upstream's own auth routes are refused, or respond with placeholders",
    "RFC 10017 6.1; ASVS 10.1.1",
)
async def _auth_calls(probe: Probe) -> str:
    path = f"/api{_AUTH[0][1].format(probe.options.tenant or NO_TENANT)}"
    first = await probe.request("GET", path)
    again = await probe.request("GET", path, cookie="; ".join(one.pair for one in cookies(first)))
    placeholder = member(first, "access_token")
    if first.status == 200 and placeholder and placeholder == member(again, "access_token"):
        return verdict(token_shaped(first), "drop-in mode: placeholders")
    return await _refused(probe, _AUTH)


@check(
    "route-deny",
    "Routes that are not in the table are refused, with any method",
    "RFC 10017 6.1.3.6; ASVS 4.1.4",
)
async def _deny(probe: Probe) -> str:
    methods = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    paths = ("/nothing", "/nothing/{}/nothing", "/product/{}/nothing/x/y/z", "/")
    return await _refused(probe, [(method, path) for method in methods for path in paths], {400, 403})


@check("route-methods", "Unused methods are refused", "ASVS 4.1.4")
async def _methods(probe: Probe) -> str:
    wrong = []
    for method in ("TRACE", "PROPFIND", "OPTIONS"):
        for path in ("/auth/session", "/auth/login", probe.sites):
            response = await probe.request(method, path)
            wrong += [] if 400 <= response.status < 502 else [f"{method} {path}: {describe(response)}"]
    return verdict(wrong, "refused")


@check(
    "route-parameters",
    "A refused route is refused with path parameters and in other cases too",
    "RFC 3986 3.3",
)
async def _parameters(probe: Probe) -> str:
    paths = (
        "/oauth;a=b/token",
        "/oauth/token;x",
        "/OAuth/token",
        "/oauth/Token",
        "/oauth/token/x",
        "/oauth/token?x=/site",
    )
    return await _refused(probe, [("POST", path) for path in paths], {400, 403})


@check("route-other-tenant", "The API of another tenant is refused", "RFC 10017 6.1.3.6; ASVS 8.2.2, 8.4.1")
async def _tenant(probe: Probe) -> str:
    tenant = _known_tenant(probe)
    wrong = []
    for other in (f"{tenant}x", tenant[:-1], tenant.upper(), f"{tenant};x", f"{tenant},other"):
        response = await probe.request("GET", f"/api/site/{other}/sites")
        wrong += [] if response.status == 403 else [f"{other}: {describe(response)}"]
    return verdict(wrong, "403")


@check("route-guest", "A route for customers is refused without a session and to a guest", "ASVS 8.2.1")
async def _guest(probe: Probe) -> str:
    path = f"/api/order-v2/{_known_tenant(probe)}/orders"
    guest = await probe.guest()
    responses = [await probe.request("GET", path), await probe.request("GET", path, cookie=guest.pair)]
    return verdict(
        [describe(one) for one in responses if _code(one) != (401, "login_required")], describe(responses[1])
    )


@check("route-authorization", "The client's own Authorization gives no access", "RFC 10017 6.1; ASVS 4.1.3")
async def _authorization(probe: Probe) -> str:
    headers = ("Authorization: Bearer " + "x1Y" * 10, "saas-token: x", "session-id: x")
    path = f"/api/order-v2/{_known_tenant(probe)}/orders"
    response = await probe.request("GET", path, *headers)
    refused = _code(response) == (401, "login_required") or _fault(response) == (401, "no_session")
    return verdict([] if refused else [describe(response)], describe(response))


def _code(response: Response) -> tuple[int, str]:
    """Return the status and the error code, which only errors of the proxy have."""
    return response.status, member(response, "code")


def _fault(response: Response) -> tuple[int, str]:
    """Return the status and the error code of the proxy in an error of drop-in mode."""
    fault = json_object(response).get("fault")
    detail = fault.get("detail") if isinstance(fault, dict) else None
    return response.status, str(detail.get("errorcode")) if isinstance(detail, dict) else ""


def _known_tenant(probe: Probe) -> str:
    if probe.options.tenant is None:
        raise NotApplicable("no --tenant was given")
    return probe.options.tenant


async def _refused(
    probe: Probe,
    requests: tuple[tuple[str, str], ...] | list[tuple[str, str]],
    statuses: set[int] | None = None,
) -> str:
    tenant = probe.options.tenant or NO_TENANT
    wrong = []
    for method, path in requests:
        response = await probe.request(method, f"/api{path.format(tenant)}")
        wrong += [] if response.status in (statuses or {403}) else [f"{method} {path}: {describe(response)}"]
    return verdict(wrong, f"{len(requests)} refused")


CHECKS: tuple[Check, ...] = (
    _closed,
    _auth_calls,
    _deny,
    _methods,
    _parameters,
    _tenant,
    _guest,
    _authorization,
)
