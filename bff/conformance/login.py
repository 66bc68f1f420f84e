"""Login and logout: a login changes the session id, and a logout ends the session."""

from bff.conformance.check import Check, NotApplicable, check, verdict
from bff.conformance.cookies import not_cleared
from bff.conformance.probe import Probe, SetCookie, cookies, describe, is_no_session, json_body, member
from bff.conformance.wire import Response

_NEEDING = (("POST", "/auth/refresh"), ("GET", "/auth/validate"), ("PUT", "/auth/legal-entity"))
_WRITES = (("POST", "/auth/refresh"), ("POST", "/auth/anonymous"), ("PUT", "/auth/legal-entity"))


@check("login-new-id", "A login gives the session a new id", "GHSA-f24x-5g9q-753f; ASVS 7.2.4")
async def _new_id(probe: Probe) -> str:
    _require_credentials(probe)
    guest, customer = await probe.customer()
    wrong = ["the same id"] if customer.value == guest.value else []
    wrong += [] if customer.stable_attributes == guest.stable_attributes else ["other attributes"]
    return verdict(wrong, "new value, same attributes")


@check(
    "login-old-id",
    "After a login the old id cannot write and never shows the customer",
    "GHSA-f24x-5g9q-753f; ASVS 7.2.4",
)
async def _old_id(probe: Probe) -> str:
    _require_credentials(probe)
    guest, customer = await probe.customer()
    writes = [await probe.request(method, path, cookie=guest.pair, body={}) for method, path in _WRITES]
    old_read = await probe.request("GET", "/auth/session", cookie=guest.pair)
    new_read = await probe.request("GET", "/auth/session", cookie=customer.pair)
    wrong = [describe(one) for one in writes if one.status != 401]
    wrong += ["it shows the customer"] if member(old_read, "kind") == "customer" else []
    wrong += [f"cookie set by {describe(one)}" for one in (*writes, old_read) if cookies(one)]
    wrong += [] if member(new_read, "kind") == "customer" else ["the customer session was ended"]
    return verdict(wrong, describe(writes[0]))


@check("login-failed", "A failed login does not change the guest session", "ASVS 6.3.8; RFC 10017 6.1.2.1")
async def _failed(probe: Probe) -> str:
    _require_credentials(probe)
    guest = await probe.new_guest()
    response = await probe.log_in(cookie=guest.pair, password="not-" + probe.options.password)
    after = await probe.request("GET", "/auth/session", cookie=guest.pair)
    refused = response.status == 401 and member(response, "code") == "invalid_credentials"
    wrong = ([] if refused else [describe(response)]) + (["a cookie was set"] if cookies(response) else [])
    wrong += [] if member(after, "kind") == "anonymous" else ["the guest session was ended"]
    return verdict(wrong, describe(response))


@check("login-app", "A login gives an app a new id too, and its old id cannot write", "ASVS 7.2.4")
async def _app(probe: Probe) -> str:
    _require_credentials(probe)
    old = await probe.new_app()
    response = await probe.log_in(f"X-Session-Id: {old}")
    new = member(response, "sessionId")
    probe.issued.add(new)
    write = await probe.request("POST", "/auth/refresh", f"X-Session-Id: {old}", csrf=False)
    wrong = [] if response.status == 200 and new and new != old else [f"{describe(response)}, no new id"]
    wrong += ["a cookie was set"] if cookies(response) else []
    return verdict(wrong + ([] if write.status == 401 else [f"old id: {describe(write)}"]), describe(write))


@check("login-sessions", "The refs in the customer's list of sessions give no access", "ASVS 7.2.1, 7.5.2")
async def _sessions(probe: Probe) -> str:
    _require_credentials(probe)
    _, customer = await probe.customer()
    listed = await probe.request("GET", "/auth/sessions", cookie=customer.pair)
    refs = [one.get("ref", "") for one in _entries(listed)]
    wrong = [] if refs else [f"{describe(listed)}, no refs"]
    for ref in refs[:3]:
        response = await probe.request("GET", "/auth/session", cookie=f"{customer.name}={ref}")
        wrong += [] if is_no_session(response) else [describe(response)]
    return verdict(wrong, f"{len(refs)} refs")


@check("logout-guest", "A guest's logout ends the session, and its cookie stays invalid", "ASVS 7.4.1")
async def _guest(probe: Probe) -> str:
    return await _ended(probe, await probe.new_guest())


@check("logout-customer", "A customer's logout ends the session, and its cookie stays invalid", "ASVS 7.4.1")
async def _customer(probe: Probe) -> str:
    _require_credentials(probe)
    return await _ended(probe, (await probe.new_customer())[1])


@check("logout-post", "Only a POST can log out", "mod_auth_openidc 2026-08-07; ASVS 3.5.3")
async def _post(probe: Probe) -> str:
    guest = await probe.guest()
    wrong = []
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        response = await probe.request(method, "/auth/logout", cookie=guest.pair)
        wrong += [f"{method}: {describe(response)}"] if response.status != 405 or cookies(response) else []
    after = await probe.request("GET", "/auth/session", cookie=guest.pair)
    return verdict(wrong + ([] if member(after, "kind") == "anonymous" else ["the session was ended"]), "405")


@check("logout-again", "A second logout and one without a session succeed too", "ASVS 7.4.4")
async def _again(probe: Probe) -> str:
    guest = await probe.new_guest()
    responses = [
        await probe.request("POST", "/auth/logout", cookie=cookie) for cookie in (guest.pair, guest.pair, "")
    ]
    return verdict([describe(one) for one in responses if one.status != 204], "204")


@check(
    "logout-lost",
    "After a logout whose answer was lost, looking and beginning work at once",
    "the contract's rules for ended sessions",
)
async def _lost(probe: Probe) -> str:
    guest = await probe.new_guest()
    await probe.request("POST", "/auth/logout", cookie=guest.pair)
    look = await probe.request("GET", "/auth/session", cookie=guest.pair)
    wrong = [] if look.status == 200 and member(look, "kind") == "none" else [f"look: {describe(look)}"]
    wrong += ["a cookie was set by a look"] if cookies(look) else []
    begun = await probe.request("POST", "/auth/anonymous", cookie=guest.pair)
    values = [one.value for one in cookies(begun)]
    fresh = begun.status == 201 and len(values) == 1 and values[0] not in {"", guest.value}
    wrong += [] if fresh else [f"begin: {describe(begun)}"]
    return verdict(wrong, f"{describe(look)}, {describe(begun)}")


async def _ended(probe: Probe, cookie: SetCookie) -> str:
    """Log out and check that the old cookie can neither read nor write, and that no cookie is set."""
    response = await probe.request("POST", "/auth/logout", cookie=cookie.pair)
    wrong = ([] if response.status == 204 else [describe(response)]) + not_cleared(cookie, cookies(response))
    replays = [await probe.request(method, path, cookie=cookie.pair, body={}) for method, path in _NEEDING]
    wrong += [f"afterwards: {describe(one)}" for one in replays if one.status != 401]
    look = await probe.request("GET", "/auth/session", cookie=cookie.pair)
    wrong += [] if is_no_session(look) else [f"afterwards: {describe(look)}"]
    wrong += [f"cookie set by {describe(one)}" for one in (*replays, look) if cookies(one)]
    return verdict(wrong, f"204, then {describe(replays[0])}")


def _entries(response: Response) -> list[dict[str, str]]:
    found = json_body(response)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _require_credentials(probe: Probe) -> None:
    if probe.options.customer is None:
        raise NotApplicable("no --customer was given")


CHECKS: tuple[Check, ...] = (
    _new_id,
    _old_id,
    _failed,
    _app,
    _sessions,
    _guest,
    _customer,
    _post,
    _again,
    _lost,
)
