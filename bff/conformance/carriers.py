"""The two carriers, a browser's cookie and an app's header, and what each of them refuses."""

from bff.conformance.check import Check, check, verdict
from bff.conformance.probe import Probe, cookies, describe, is_no_session, member
from bff.conformance.wire import Response


@check("carrier-both", "A request with both carriers is refused", "ASVS 7.2.4; Session cheat sheet")
async def _both(probe: Probe) -> str:
    guest, app = await probe.guest(), await probe.app()
    by_id = await probe.request("GET", "/auth/session", f"X-Session-Id: {app}", cookie=guest.pair)
    by_transport = await probe.request(
        "POST", "/auth/anonymous", "X-Session-Transport: header", cookie=guest.pair
    )
    return verdict([describe(one) for one in (by_id, by_transport) if one.status != 400], "400")


@check("carrier-browser-id", "A browser cannot use the app's carrier", "RFC 10017 6.1.3.3; ASVS 3.5.1")
async def _browser(probe: Probe) -> str:
    app = await probe.app()
    wrong = []
    for sent in (f"Origin: {probe.target.origin}", "Sec-Fetch-Site: same-origin"):
        for field in (f"X-Session-Id: {app}", "X-Session-Transport: header"):
            response = await probe.request("POST", "/auth/anonymous", field, sent)
            wrong += [] if _refused(response, 403, "origin_not_allowed") else [describe(response)]
    return verdict(wrong, "403 origin_not_allowed")


@check(
    "carrier-id-as-cookie",
    "An app's session id is not accepted as a cookie",
    "ASVS 3.3.4; Session cheat sheet",
)
async def _as_cookie(probe: Probe) -> str:
    name, app = (await probe.guest()).name, await probe.app()
    return _not_accepted(await probe.request("GET", "/auth/session", cookie=f"{name}={app}"))


@check(
    "carrier-cookie-as-id",
    "The value of a session cookie is not accepted as a session id",
    "ASVS 3.3.4; Session cheat sheet",
)
async def _as_id(probe: Probe) -> str:
    guest = await probe.guest()
    return _not_accepted(
        await probe.request("GET", "/auth/session", f"X-Session-Id: {guest.value}", csrf=False)
    )


@check("carrier-address", "A session id in the URL is ignored", "Session cheat sheet")
async def _url(probe: Probe) -> str:
    guest, app = await probe.guest(), await probe.app()
    query = f"{guest.pair}&X-Session-Id={app}&sessionId={app}&sid={app}"
    kind = member(await probe.request("GET", f"/auth/session?{query}"), "kind")
    return verdict([] if kind == "none" else [f"kind {kind or 'unknown'}"], "no session")


@check("carrier-no-cookie", "An app gets no cookie, and its session id in the body", "ASVS 3.3.4")
async def _no_cookie(probe: Probe) -> str:
    app = await probe.app()
    responses = [
        await probe.request("POST", "/auth/anonymous", "X-Session-Transport: header", csrf=False),
        await probe.request("GET", "/auth/session", f"X-Session-Id: {app}", csrf=False),
        await probe.request("POST", "/auth/logout", f"X-Session-Id: {app}", csrf=False),
    ]
    probe.issued.add(member(responses[0], "sessionId"))
    wrong = [f"cookie set by {describe(one)}" for one in responses if cookies(one)]
    wrong += [
        describe(one) for one, status in zip(responses, (201, 200, 204), strict=True) if one.status != status
    ]
    return verdict(wrong, "no Set-Cookie")


def _not_accepted(response: Response) -> str:
    return verdict([] if is_no_session(response) else [describe(response)], describe(response))


def _refused(response: Response, status: int, code: str) -> bool:
    return response.status == status and member(response, "code") == code


CHECKS: tuple[Check, ...] = (_both, _browser, _as_cookie, _as_id, _url, _no_cookie)
