"""Cookies that nobody was given: they open nothing, and are no way to a 500."""

from bff.conformance.check import Check, check, judged
from bff.conformance.cookies import not_cleared
from bff.conformance.probe import Probe, cookies, member, nobodys, told

_FLIPS = 24


@check(
    "garbage-flipped",
    "A cookie with one character changed opens nothing",
    "mod_auth_openidc 2026-08-12; ASVS 7.2.1",
)
async def _flipped(probe: Probe) -> str:
    guest = await probe.guest()
    step = max(1, len(guest.value) // _FLIPS)
    wrong = []
    for at in range(0, len(guest.value), step):
        other = "A" if guest.value[at] != "A" else "B"
        value = guest.value[:at] + other + guest.value[at + 1 :]
        answer = await probe.ask("GET", "/auth/session", cookie=f"{guest.name}={value}")
        wrong += [] if nobodys(answer) else [f"character {at}: {told(answer)}"]
    return judged(wrong, "nobody's session")


@check("garbage-made-up", "A made-up cookie opens nothing", "GHSA-f24x-5g9q-753f; ASVS 7.2.1")
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
            answer = await probe.ask(method, path, cookie=f"{guest.name}={value}")
            wrong += [] if nobodys(answer) else [f"{method} {path}: {told(answer)}"]
    return judged(wrong, "nobody's session")


@check("garbage-healed", "A cookie that opens nothing any more is removed or replaced", "RFC 10017 6.1.2.1")
async def _healed(probe: Probe) -> str:
    """No page can remove it: it is HttpOnly."""
    guest = await probe.guest()
    half = len(guest.value) // 2
    other = "A" if guest.value[half] != "A" else "B"
    changed = f"{guest.name}={guest.value[:half]}{other}{guest.value[half + 1 :]}"
    look = await probe.ask("GET", "/auth/session", cookie=changed)
    if not not_cleared(guest, cookies(look)):
        return "removed"
    begun = await probe.ask("POST", "/auth/anonymous", cookie=changed)
    replaced = begun.status == 201 and [one.name for one in cookies(begun)] == [guest.name]
    return judged([] if replaced else [f"{told(look)}, {told(begun)}"], "replaced")


@check("garbage-large", "A cookie of 64 kB is refused", "CVE-2024-24814; ASVS 4.2.5")
async def _large(probe: Probe) -> str:
    guest = await probe.guest()
    answer = await probe.ask("GET", "/auth/session", cookie=f"{guest.name}={'A' * 64_000}")
    wrong = [] if 400 <= answer.status < 500 else [told(answer)]
    return judged(wrong, told(answer))


@check("garbage-many", "1000 cookies are no way in and no way to a 500", "CVE-2024-24814; CVE-2023-28625")
async def _many(probe: Probe) -> str:
    guest = await probe.guest()
    own = await probe.ask("GET", "/auth/session", cookie="; ".join([f"{guest.name}=x"] * 1000))
    others = await probe.ask("GET", "/auth/session", cookie="; ".join(f"c{n}=x" for n in range(1000)))
    wrong = [] if 400 <= own.status < 500 else [f"1000 of its own: {told(own)}"]
    wrong += (
        [] if others.status < 500 and member(others, "kind") in {"none", ""} else [f"others: {told(others)}"]
    )
    return judged(wrong, f"{told(own)}; others: {told(others)}")


@check("garbage-twice", "A session that is carried twice is refused", "mod_auth_openidc 2026-08-12")
async def _twice(probe: Probe) -> str:
    guest, app = await probe.guest(), await probe.app()
    doubled = f"X-Session-Id: {app}"
    answers = [
        await probe.ask("GET", "/auth/session", cookie=f"{guest.pair}; {guest.name}=x"),
        await probe.ask("GET", "/auth/session", cookie=f"{guest.name}=x; {guest.pair}"),
        await probe.ask("GET", "/auth/session", f"Cookie: {guest.pair}", cookie=guest.pair),
        await probe.ask("GET", "/auth/session", doubled, doubled, proof=False),
    ]
    return judged([told(one) for one in answers if not 400 <= one.status < 500], told(answers[0]))


@check(
    "garbage-syntax",
    "A Cookie field that is none is no way in and no way to a 500",
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
        answer = await probe.ask("GET", "/auth/session", cookie=text)
        let_in = answer.status == 200 and member(answer, "kind") != "none"
        wrong += [f"{text!r}: {told(answer)}"] if answer.status >= 500 or let_in else []
    return judged(wrong, "nobody's session")


CHECKS: tuple[Check, ...] = (_flipped, _made_up, _healed, _large, _many, _twice, _syntax)
