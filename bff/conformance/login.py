"""A session's ends: the login that changes its id, and the logout that ends it."""

from bff.conformance.check import Check, NotApplicable, check, judged
from bff.conformance.cookies import not_cleared
from bff.conformance.probe import Probe, SetCookie, content, cookies, member, nobodys, told
from bff.conformance.wire import Answer

_WRITES = (("POST", "/auth/refresh"), ("POST", "/auth/anonymous"), ("PUT", "/auth/legal-entity"))


@check("login-new-id", "A login gives the session a new id", "GHSA-f24x-5g9q-753f; ASVS 7.2.4")
async def _new_id(probe: Probe) -> str:
    _credentials(probe)
    guest, customer = await probe.customer()
    wrong = ["the same id"] if customer.value == guest.value else []
    wrong += [] if customer.lasting == guest.lasting else ["other attributes"]
    return judged(wrong, "another value, the same attributes")


@check(
    "login-old-id",
    "The old id is dead for writes at once, and never a customer's",
    "GHSA-f24x-5g9q-753f; ASVS 7.2.4",
)
async def _old_id(probe: Probe) -> str:
    _credentials(probe)
    guest, customer = await probe.customer()
    writes = [await probe.ask(method, path, cookie=guest.pair, body={}) for method, path in _WRITES]
    look = await probe.ask("GET", "/auth/session", cookie=guest.pair)
    still = await probe.ask("GET", "/auth/session", cookie=customer.pair)
    wrong = [told(one) for one in writes if one.status != 401]
    wrong += ["it shows the customer"] if member(look, "kind") == "customer" else []
    wrong += [f"cookie set by {told(one)}" for one in (*writes, look) if cookies(one)]
    wrong += [] if member(still, "kind") == "customer" else ["the customer's was ended"]
    return judged(wrong, told(writes[0]))


@check("login-failed", "A failed login leaves the guest as it was", "ASVS 6.3.8; RFC 10017 6.1.2.1")
async def _failed(probe: Probe) -> str:
    _credentials(probe)
    guest = await probe.new_guest()
    answer = await probe.log_in(cookie=guest.pair, password="not-" + probe.options.password)
    after = await probe.ask("GET", "/auth/session", cookie=guest.pair)
    refused = answer.status == 401 and member(answer, "code") == "invalid_credentials"
    wrong = ([] if refused else [told(answer)]) + (["a cookie is set"] if cookies(answer) else [])
    return judged(
        wrong + ([] if member(after, "kind") == "anonymous" else ["the guest is gone"]), told(answer)
    )


@check("login-app", "An app gets a new id by a login too, and its old one is dead for writes", "ASVS 7.2.4")
async def _app(probe: Probe) -> str:
    _credentials(probe)
    old = await probe.new_app()
    answer = await probe.log_in(f"X-Session-Id: {old}")
    new = member(answer, "sessionId")
    probe.handed.add(new)
    dead = await probe.ask("POST", "/auth/refresh", f"X-Session-Id: {old}", proof=False)
    wrong = [] if answer.status == 200 and new and new != old else [f"{told(answer)}, no new id"]
    wrong += ["a cookie is set"] if cookies(answer) else []
    return judged(wrong + ([] if dead.status == 401 else [f"the old one: {told(dead)}"]), told(dead))


@check("login-sessions", "The refs in the customer's list of sessions open nothing", "ASVS 7.2.1, 7.5.2")
async def _sessions(probe: Probe) -> str:
    _credentials(probe)
    _, customer = await probe.customer()
    listed = await probe.ask("GET", "/auth/sessions", cookie=customer.pair)
    refs = [one.get("ref", "") for one in _listed(listed)]
    wrong = [] if refs else [f"{told(listed)}, no refs"]
    for ref in refs[:3]:
        answer = await probe.ask("GET", "/auth/session", cookie=f"{customer.name}={ref}")
        wrong += [] if nobodys(answer) else [told(answer)]
    return judged(wrong, f"{len(refs)} refs")


@check(
    "logout-guest", "A guest's logout ends the session: the cookie does not come back to life", "ASVS 7.4.1"
)
async def _guest(probe: Probe) -> str:
    return await _ended(probe, await probe.new_guest())


@check("logout-customer", "So does a customer's", "ASVS 7.4.1")
async def _customer(probe: Probe) -> str:
    _credentials(probe)
    return await _ended(probe, (await probe.new_customer())[1])


@check("logout-post", "Nothing but a POST logs out", "mod_auth_openidc 2026-08-07; ASVS 3.5.3")
async def _post(probe: Probe) -> str:
    guest = await probe.guest()
    wrong = []
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        answer = await probe.ask(method, "/auth/logout", cookie=guest.pair)
        wrong += [f"{method}: {told(answer)}"] if answer.status != 405 or cookies(answer) else []
    after = await probe.ask("GET", "/auth/session", cookie=guest.pair)
    return judged(wrong + ([] if member(after, "kind") == "anonymous" else ["the session was ended"]), "405")


@check("logout-again", "Logging out again is as good, for nobody too", "ASVS 7.4.4")
async def _again(probe: Probe) -> str:
    guest = await probe.new_guest()
    answers = [
        await probe.ask("POST", "/auth/logout", cookie=cookie) for cookie in (guest.pair, guest.pair, "")
    ]
    return judged([told(one) for one in answers if one.status != 204], "204")


async def _ended(probe: Probe, cookie: SetCookie) -> str:
    """Log out, and use what was carried before: neither reads nor writes, and nothing is set."""
    answer = await probe.ask("POST", "/auth/logout", cookie=cookie.pair)
    wrong = ([] if answer.status == 204 else [told(answer)]) + not_cleared(cookie, cookies(answer))
    replays = [await probe.ask(method, path, cookie=cookie.pair, body={}) for method, path in _WRITES]
    replays.append(await probe.ask("GET", "/auth/session", cookie=cookie.pair))
    wrong += [f"afterwards {told(one)}" for one in replays if one.status != 401]
    wrong += [f"cookie set by {told(one)}" for one in replays if cookies(one)]
    return judged(wrong, f"204, then {told(replays[0])}")


def _listed(answer: Answer) -> list[dict[str, str]]:
    found = content(answer)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _credentials(probe: Probe) -> None:
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
)
