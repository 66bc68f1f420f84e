"""Cookies that the proxy never issued: they are not accepted as a session, and they cause no 500."""

from bff.conformance.check import Check, check, verdict
from bff.conformance.cookies import not_cleared
from bff.conformance.probe import Probe, cookies, describe, is_no_session, member

_FLIPS = 24


@check(
    "garbage-flipped",
    "A session cookie with one changed character is not accepted",
    "mod_auth_openidc 2026-08-12; ASVS 7.2.1",
)
async def _flipped(probe: Probe) -> str:
    guest = await probe.guest()
    step = max(1, len(guest.value) // _FLIPS)
    wrong = []
    for at in range(0, len(guest.value), step):
        other = "A" if guest.value[at] != "A" else "B"
        value = guest.value[:at] + other + guest.value[at + 1 :]
        response = await probe.request("GET", "/auth/session", cookie=f"{guest.name}={value}")
        wrong += [] if is_no_session(response) else [f"character {at}: {describe(response)}"]
    return verdict(wrong, "no session")


@check("garbage-made-up", "A made-up session cookie is not accepted", "GHSA-f24x-5g9q-753f; ASVS 7.2.1")
async def _made_up(probe: Probe) -> str:
    guest = await probe.guest()
    made_up = (
        "x",
        "e30.e30.",
        "A" * 200,
        guest.value[: len(guest.value) // 2],
        guest.value * 2,
        "%00",
        "99999999",
    )
    wrong = []
    for value in made_up:
        for method, path in (
            ("GET", "/auth/session"),
            ("POST", "/auth/refresh"),
            ("PUT", "/auth/legal-entity"),
        ):
            response = await probe.request(method, path, cookie=f"{guest.name}={value}")
            wrong += [] if is_no_session(response) else [f"{method} {path}: {describe(response)}"]
    return verdict(wrong, "no session")


@check("garbage-healed", "An invalid session cookie is removed or replaced", "RFC 10017 6.1.2.1")
async def _healed(probe: Probe) -> str:
    """The page itself cannot remove the cookie, because it is HttpOnly."""
    guest = await probe.guest()
    half = len(guest.value) // 2
    other = "A" if guest.value[half] != "A" else "B"
    changed = f"{guest.name}={guest.value[:half]}{other}{guest.value[half + 1 :]}"
    read = await probe.request("GET", "/auth/session", cookie=changed)
    if not not_cleared(guest, cookies(read)):
        return "removed"
    started = await probe.request("POST", "/auth/anonymous", cookie=changed)
    replaced = started.status == 201 and [one.name for one in cookies(started)] == [guest.name]
    return verdict([] if replaced else [f"{describe(read)}, {describe(started)}"], "replaced")


@check("garbage-large", "A cookie of 64 kB is refused", "CVE-2024-24814; ASVS 4.2.5")
async def _large(probe: Probe) -> str:
    guest = await probe.guest()
    response = await probe.request("GET", "/auth/session", cookie=f"{guest.name}={'A' * 64_000}")
    wrong = [] if 400 <= response.status < 500 else [describe(response)]
    return verdict(wrong, describe(response))


@check("garbage-many", "1000 cookies give no access and cause no 500", "CVE-2024-24814; CVE-2023-28625")
async def _many(probe: Probe) -> str:
    guest = await probe.guest()
    own = await probe.request("GET", "/auth/session", cookie="; ".join([f"{guest.name}=x"] * 1000))
    others = await probe.request("GET", "/auth/session", cookie="; ".join(f"c{n}=x" for n in range(1000)))
    wrong = [] if 400 <= own.status < 500 else [f"1000 session cookies: {describe(own)}"]
    wrong += (
        []
        if others.status < 500 and member(others, "kind") in {"none", ""}
        else [f"others: {describe(others)}"]
    )
    return verdict(wrong, f"{describe(own)}; others: {describe(others)}")


@check("garbage-twice", "A duplicate session cookie or session id is refused", "mod_auth_openidc 2026-08-12")
async def _twice(probe: Probe) -> str:
    guest, app = await probe.guest(), await probe.app()
    duplicate = f"X-Session-Id: {app}"
    responses = [
        await probe.request("GET", "/auth/session", cookie=f"{guest.pair}; {guest.name}=x"),
        await probe.request("GET", "/auth/session", cookie=f"{guest.name}=x; {guest.pair}"),
        await probe.request("GET", "/auth/session", f"Cookie: {guest.pair}", cookie=guest.pair),
        await probe.request("GET", "/auth/session", duplicate, duplicate, csrf=False),
    ]
    return verdict(
        [describe(one) for one in responses if not 400 <= one.status < 500], describe(responses[0])
    )


@check(
    "garbage-syntax",
    "A malformed Cookie header gives no access and causes no 500",
    "CVE-2023-28625; CVE-2021-32785",
)
async def _syntax(probe: Probe) -> str:
    name = (await probe.guest()).name
    wrong = []
    for text in (
        ";;;",
        "=",
        "==;=",
        f"{name}",
        f"{name}=",
        f"{name}=;",
        f" ; {name} =x",
        f"{name}=%s%n",
        '"',
        "\xff",
    ):
        response = await probe.request("GET", "/auth/session", cookie=text)
        accepted = response.status == 200 and member(response, "kind") != "none"
        wrong += [f"{text!r}: {describe(response)}"] if response.status >= 500 or accepted else []
    return verdict(wrong, "no session")


CHECKS: tuple[Check, ...] = (_flipped, _made_up, _healed, _large, _many, _twice, _syntax)
