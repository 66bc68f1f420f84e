"""Fields that say where a request comes from or goes to: anybody can send them, so they change nothing."""

from typing import Final

from bff.conformance.check import Check, NotApplicable, check, judged
from bff.conformance.probe import Probe, cookies, member, told
from bff.conformance.wire import Answer

_NAMES: Final = (
    "X-Original-URL", "X-Original-URI", "X-Rewrite-URL", "X-Forwarded-Uri", "X-Forwarded-Path",
    "X-Forwarded-Prefix", "X-Envoy-Original-Path", "X-Accel-Redirect",
)  # fmt: skip
_EVIL: Final = "elsewhere.example"
_FORWARDED: Final = (
    f"X-Forwarded-Host: {_EVIL}",
    f"X-Forwarded-Server: {_EVIL}",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Scheme: https",
    "X-Forwarded-Port: 1",
    "X-Forwarded-Prefix: /elsewhere.example",
    "X-Forwarded-For: 127.0.0.1",
    "X-Real-IP: 127.0.0.1",
    f"X-Host: {_EVIL}",
    f"Forwarded: for=127.0.0.1;host={_EVIL};proto=https",
    "X_Forwarded_Host: elsewhere.example",
)
_AGENTS: Final = ("GoogleHC/1.0", "kube-probe/1.31", "ELB-HealthChecker/2.0", "AlwaysOn", "Envoy/HC")


@check(
    "trust-rewritten", "X-Original-URL and its kin choose no other path", "GHSA-7x63-xv5r-3p2x; ASVS 4.1.3"
)
async def _rewritten(probe: Probe) -> str:
    wrong = []
    for name in _NAMES:
        for target in ("/livez", probe.sites):
            unproven = await probe.ask("GET", "/auth/session", f"{name}: {target}", proof=False)
            closed = await probe.ask("POST", "/api/oauth/token", f"{name}: {target}")
            wrong += [f"{name}: {told(one)}" for one in (unproven, closed) if one.status != 403]
    return judged(wrong, "403 each")


@check(
    "trust-forwarded",
    "X-Forwarded-* change no answer and no cookie",
    "CVE-2024-52003; CVE-2026-39858; ASVS 4.1.3",
)
async def _forwarded(probe: Probe) -> str:
    guest = await probe.guest()
    wrong: list[str] = []
    for method, path, cookie in (
        ("GET", "/auth/session?slide=false", guest.pair),
        ("GET", "/auth/nothing", ""),
    ):
        plain = await probe.ask(method, path, cookie=cookie)
        given = await probe.ask(method, path, *_FORWARDED, cookie=cookie)
        wrong += [] if _likeness(plain) == _likeness(given) else [f"{path}: {told(given)}"]
        wrong += _repeated(given)
    began = await probe.ask("POST", "/auth/anonymous", *_FORWARDED)
    wrong += [] if [one.lasting for one in cookies(began)] == [guest.lasting] else ["another cookie"]
    return judged(wrong + _repeated(began), "the same answers")


@check("trust-host", "A made-up Host is not repeated", "GHSA-c5c4-8r6x-56w3; ASVS 4.1.3")
async def _host(probe: Probe) -> str:
    asked = ("/auth/session", "/auth/nothing", "/api/nothing", "/auth/session/")
    answers = [await probe.ask("GET", path, f"Host: {_EVIL}") for path in asked]
    wrong = [f"leads on: {told(one)}" for one in answers if 300 <= one.status < 400]
    return judged(wrong + _repeated(*answers), told(answers[0]))


@check("trust-method", "No field and no query chooses another method", "ASVS 4.1.4")
async def _method(probe: Probe) -> str:
    guest = await probe.guest()
    wrong = []
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        answer = await probe.ask("GET", "/auth/logout?_method=POST", f"{name}: POST", cookie=guest.pair)
        wrong += [] if answer.status == 405 else [f"{name}: {told(answer)}"]
    after = await probe.ask("GET", "/auth/session", cookie=guest.pair)
    return judged(wrong + ([] if member(after, "kind") == "anonymous" else ["it was obeyed"]), "405")


@check("trust-agent", "No User-Agent opens anything", "GHSA-5hvv-m4w4-gf6v")
async def _agent(probe: Probe) -> str:
    wrong = []
    for agent in _AGENTS:
        unproven = await probe.ask("GET", "/auth/session", f"User-Agent: {agent}", proof=False)
        closed = await probe.ask("POST", "/api/oauth/token", f"User-Agent: {agent}")
        wrong += [f"{agent}: {told(one)}" for one in (unproven, closed) if one.status != 403]
    return judged(wrong, "403 each")


@check("trust-twins", "Spellings with _ of refused fields do not reach upstream", "CVE-2025-64484")
async def _twins(_probe: Probe) -> str:
    raise NotApplicable(
        "what reaches upstream cannot be seen from outside; the project's own tests look there"
    )


@check(
    "trust-connection",
    "A Connection field takes nothing away that the proxy adds",
    "CVE-2024-45410; CVE-2025-48865",
)
async def _connection(_probe: Probe) -> str:
    raise NotApplicable(
        "what reaches upstream cannot be seen from outside; the project's own tests look there"
    )


def _likeness(answer: Answer) -> object:
    """Return what two answers to the same request have in common."""
    moving = {"date", "x-request-id", "content-length", "age"}
    fields = sorted((name, value) for name, value in answer.fields if name not in moving)
    return answer.status, fields, member(answer, "kind"), member(answer, "code")


def _repeated(*answers: Answer) -> list[str]:
    evil = _EVIL.encode()
    return [f"repeated: {told(one)}" for one in answers if evil in one.body or _EVIL in repr(one.fields)]


CHECKS: tuple[Check, ...] = (_rewritten, _forwarded, _host, _method, _agent, _twins, _connection)
