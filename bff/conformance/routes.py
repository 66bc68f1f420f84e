"""What a browser can reach: what the table names, of its own tenant, and nothing else."""

from typing import Final

from bff.conformance.check import Check, NotApplicable, check, judged
from bff.conformance.leaks import token_shaped
from bff.conformance.probe import NO_TENANT, Probe, member, told
from bff.conformance.wire import Answer

_CLOSED: Final = (
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


@check("route-closed", "Operators' and token routes are closed", "RFC 10017 6.1.3.6; ASVS 8.2.1")
async def _closed(probe: Probe) -> str:
    return await _refused(probe, _CLOSED)


@check(
    "route-auth-calls",
    "Upstream's own auth calls are closed, or answered with placeholders",
    "RFC 10017 6.1; ASVS 10.1.1",
)
async def _auth_calls(probe: Probe) -> str:
    path = f"/api{_AUTH[0][1].format(probe.options.tenant or NO_TENANT)}"
    first, second = await probe.ask("GET", path), await probe.ask("GET", path)
    placeholder = member(first, "access_token")
    if first.status == 200 and placeholder and placeholder == member(second, "access_token"):
        return judged(token_shaped(first), "drop-in mode: constant placeholders")
    return await _refused(probe, _AUTH)


@check(
    "route-deny",
    "What the table does not name is closed, whatever the method",
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
            answer = await probe.ask(method, path)
            wrong += [] if 400 <= answer.status < 502 else [f"{method} {path}: {told(answer)}"]
    return judged(wrong, "refused")


@check("route-parameters", "A closed route stays closed behind a parameter or another case", "RFC 3986 3.3")
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


@check("route-other-tenant", "Another tenant's API is closed", "RFC 10017 6.1.3.6; ASVS 8.2.2, 8.4.1")
async def _tenant(probe: Probe) -> str:
    tenant = _known_tenant(probe)
    wrong = []
    for other in (f"{tenant}x", tenant[:-1], tenant.upper(), f"{tenant};x", f"{tenant},other"):
        answer = await probe.ask("GET", f"/api/site/{other}/sites")
        wrong += [] if answer.status == 403 else [f"{other}: {told(answer)}"]
    return judged(wrong, "403")


@check("route-guest", "A customer's route is closed to nobody and to a guest", "ASVS 8.2.1")
async def _guest(probe: Probe) -> str:
    path = f"/api/order-v2/{_known_tenant(probe)}/orders"
    guest = await probe.guest()
    answers = [await probe.ask("GET", path), await probe.ask("GET", path, cookie=guest.pair)]
    return judged([told(one) for one in answers if _code(one) != (401, "login_required")], told(answers[1]))


@check("route-authorization", "A client's own Authorization opens nothing", "RFC 10017 6.1; ASVS 4.1.3")
async def _authorization(probe: Probe) -> str:
    fields = ("Authorization: Bearer " + "x1Y" * 10, "saas-token: x", "session-id: x")
    path = f"/api/order-v2/{_known_tenant(probe)}/orders"
    answer = await probe.ask("GET", path, *fields)
    return judged([] if _code(answer) == (401, "login_required") else [told(answer)], told(answer))


def _code(answer: Answer) -> tuple[int, str]:
    """Return an error's status and code; upstream's own errors have no such code."""
    return answer.status, member(answer, "code")


def _known_tenant(probe: Probe) -> str:
    if probe.options.tenant is None:
        raise NotApplicable("no --tenant was given")
    return probe.options.tenant


async def _refused(
    probe: Probe, asked: tuple[tuple[str, str], ...] | list[tuple[str, str]], statuses: set[int] | None = None
) -> str:
    tenant = probe.options.tenant or NO_TENANT
    wrong = []
    for method, path in asked:
        answer = await probe.ask(method, f"/api{path.format(tenant)}")
        wrong += [] if answer.status in (statuses or {403}) else [f"{method} {path}: {told(answer)}"]
    return judged(wrong, f"{len(asked)} refused")


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
