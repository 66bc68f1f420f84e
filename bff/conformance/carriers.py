"""The two carriers: a browser's cookie and an app's header, and what neither accepts."""

from bff.conformance.check import Check, check, judged
from bff.conformance.probe import Probe, cookies, member, nobodys, told
from bff.conformance.wire import Answer


@check("carrier-both", "A request that presents both carriers is refused", "ASVS 7.2.4; Session cheat sheet")
async def _both(probe: Probe) -> str:
    guest, app = await probe.guest(), await probe.app()
    by_id = await probe.ask("GET", "/auth/session", f"X-Session-Id: {app}", cookie=guest.pair)
    by_wish = await probe.ask("POST", "/auth/anonymous", "X-Session-Transport: header", cookie=guest.pair)
    return judged([told(one) for one in (by_id, by_wish) if one.status != 400], "400")


@check("carrier-browser-id", "A browser may not use the app's carrier", "RFC 10017 6.1.3.3; ASVS 3.5.1")
async def _browser(probe: Probe) -> str:
    app = await probe.app()
    wrong = []
    for field in (f"X-Session-Id: {app}", "X-Session-Transport: header"):
        answer = await probe.ask("POST", "/auth/anonymous", field, f"Origin: {probe.target.origin}")
        wrong += [] if _refused(answer, 403, "origin_not_allowed") else [told(answer)]
    return judged(wrong, "403 origin_not_allowed")


@check(
    "carrier-id-as-cookie", "An app's session id does not open as a cookie", "ASVS 3.3.4; Session cheat sheet"
)
async def _as_cookie(probe: Probe) -> str:
    name, app = (await probe.guest()).name, await probe.app()
    return _dead(await probe.ask("GET", "/auth/session", cookie=f"{name}={app}"))


@check(
    "carrier-cookie-as-id",
    "A cookie's value does not open as a session id",
    "ASVS 3.3.4; Session cheat sheet",
)
async def _as_id(probe: Probe) -> str:
    guest = await probe.guest()
    return _dead(await probe.ask("GET", "/auth/session", f"X-Session-Id: {guest.value}", proof=False))


@check("carrier-address", "No session id is taken from the address", "Session cheat sheet")
async def _address(probe: Probe) -> str:
    guest, app = await probe.guest(), await probe.app()
    query = f"{guest.pair}&X-Session-Id={app}&sessionId={app}&sid={app}"
    kind = member(await probe.ask("GET", f"/auth/session?{query}"), "kind")
    return judged([] if kind == "none" else [f"kind {kind or 'unknown'}"], "nobody's session")


@check("carrier-no-cookie", "An app is set no cookie, and is told its id in the body", "ASVS 3.3.4")
async def _no_cookie(probe: Probe) -> str:
    app = await probe.app()
    answers = [
        await probe.ask("POST", "/auth/anonymous", "X-Session-Transport: header", proof=False),
        await probe.ask("GET", "/auth/session", f"X-Session-Id: {app}", proof=False),
        await probe.ask("POST", "/auth/logout", f"X-Session-Id: {app}", proof=False),
    ]
    probe.handed.add(member(answers[0], "sessionId"))
    wrong = [f"set by {told(one)}" for one in answers if cookies(one)]
    wrong += [told(one) for one, status in zip(answers, (201, 200, 204), strict=True) if one.status != status]
    return judged(wrong, "no Set-Cookie")


def _dead(answer: Answer) -> str:
    return judged([] if nobodys(answer) else [told(answer)], told(answer))


def _refused(answer: Answer, status: int, code: str) -> bool:
    return answer.status == status and member(answer, "code") == code


CHECKS: tuple[Check, ...] = (_both, _browser, _as_cookie, _as_id, _address, _no_cookie)
