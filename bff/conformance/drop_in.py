"""Drop-in mode, where it is on: a placeholder opens nothing by itself, and says as whom a call is made."""

from collections.abc import Mapping
from dataclasses import dataclass

from bff.conformance.check import Check, NotApplicable, check, verdict
from bff.conformance.probe import Probe, SetCookie, cookies, describe, json_object, member
from bff.conformance.wire import Response


@dataclass(frozen=True, slots=True)
class _Client:
    """What a stock client keeps: its cookie, and the tokens that it was given."""

    cookie: SetCookie
    access: str
    refresh: str


@check(
    "drop-in-placeholder",
    "A placeholder gives no access without the session that it was made for",
    "RFC 10017 6.1.3.3; ASVS 7.2.1",
)
async def _placeholder(probe: Probe) -> str:
    own, other = await _begin(probe), await _begin(probe)
    served = await _read(probe, own.access, own.cookie.pair)
    wrong = ["two sessions have one placeholder"] if own.access == other.access else []
    wrong += [f"its own: {describe(served)}"] if served.status == 401 else []
    refused = [
        await _read(probe, token, cookie)
        for token, cookie in (
            ("x", own.cookie.pair),
            (other.access, own.cookie.pair),
            (own.refresh, own.cookie.pair),
            (own.access, ""),
        )
    ]
    wrong += [describe(one) for one in refused if one.status != 401 or "fault" not in json_object(one)]
    wrong += [f"cookie set by {describe(one)}" for one in refused if cookies(one)]
    return verdict(wrong, describe(refused[0]))


@check(
    "drop-in-guest",
    "The guest's placeholder is the guest, after a login too, and renews no customer",
    "RFC 10017 6.1.3.3; ASVS 7.4.1",
)
async def _guest(probe: Probe) -> str:
    if probe.options.customer is None:
        raise NotApplicable("no --customer was given")
    guest = await _begin(probe)
    customers = f"/api/customer/{probe.options.tenant}"
    body = {"email": probe.options.customer, "password": probe.options.password}
    answer = await _call(probe, guest.access, guest.cookie.pair, "POST", f"{customers}/login", body)
    customer = _kept(answer)
    if customer is None:
        return verdict([f"login: {describe(answer)}"], "")
    pair, validate = customer.cookie.pair, f"{customers}/validateauthtoken"
    as_guest = await _call(probe, guest.access, pair, "GET", validate)
    as_customer = await _call(probe, customer.access, pair, "GET", validate)
    renewal = f"{customers}/refreshauthtoken?refreshToken={guest.refresh}"
    renewed = await _call(probe, guest.access, pair, "GET", renewal)
    wrong = ["the guest is the customer"] if member(as_guest, "email") else []
    wrong += [] if member(as_customer, "email") else [f"the customer: {describe(as_customer)}"]
    wrong += [] if renewed.status == 401 else [f"a guest renews the customer: {describe(renewed)}"]
    return verdict(wrong, describe(renewed))


async def _begin(probe: Probe) -> _Client:
    if probe.options.tenant is None:
        raise NotApplicable("no --tenant was given")
    path = f"/api/customerlogin/auth/anonymous/login?tenant={probe.options.tenant}&client_id=conformance"
    client = _kept(await probe.request("GET", path, csrf=False))
    if client is None:
        raise NotApplicable("drop-in mode is off")
    return client


def _kept(answer: Response) -> _Client | None:
    found = cookies(answer)
    if answer.status != 200 or not found:
        return None
    return _Client(found[0], member(answer, "access_token"), member(answer, "refresh_token"))


async def _read(probe: Probe, token: str, cookie: str) -> Response:
    return await _call(probe, token, cookie, "GET", probe.sites)


async def _call(
    probe: Probe, token: str, cookie: str, method: str, path: str, body: Mapping[str, str] | None = None
) -> Response:
    """Send what a stock client sends."""
    bearer = f"Authorization: Bearer {token}"
    return await probe.request(method, path, bearer, csrf=False, cookie=cookie, body=body)


CHECKS: tuple[Check, ...] = (_placeholder, _guest)
