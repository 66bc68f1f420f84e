"""Which pages of other origins may ask, and read the answers."""

from bff.conformance.check import Check, NotApplicable, check, judged
from bff.conformance.probe import ELSEWHERE, Probe, told
from bff.conformance.wire import Answer

_PREFLIGHT = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type,x-csrf")
_APPROVALS = ("access-control-allow-origin", "access-control-allow-credentials")


@check(
    "cors-unknown-preflight",
    "A preflight of an unknown origin is not approved",
    "RFC 10017 6.1.3.3.2; ASVS 3.4.2",
)
async def _unknown_preflight(probe: Probe) -> str:
    wrong = []
    for origin in (ELSEWHERE, "null", f"{probe.target.origin}.elsewhere.example"):
        for path in ("/auth/login", "/auth/session", probe.sites, "/livez"):
            answer = await _preflight(probe, origin, path)
            wrong += [f"{name} for {origin} on {path}" for name in _named(answer)]
    return judged(wrong, "no Access-Control-*")


@check("cors-own-preflight", "A preflight of the public origin is approved for exactly it", "ASVS 3.4.2")
async def _own_preflight(probe: Probe) -> str:
    return await _approved_everywhere(probe, probe.target.origin)


@check("cors-allowed-preflight", "So is one of the allowed origin", "ASVS 3.4.2")
async def _allowed_preflight(probe: Probe) -> str:
    return await _approved_everywhere(probe, _allowed(probe))


@check("cors-unknown-answer", "No answer may be read by an unknown origin", "ASVS 3.4.2")
async def _unknown_answer(probe: Probe) -> str:
    wrong = []
    for origin in (ELSEWHERE, "null"):
        for path in ("/auth/session", probe.sites, "/livez", "/auth/nothing"):
            answer = await probe.ask("GET", path, f"Origin: {origin}")
            wrong += [f"{name} for {origin} on {path}" for name in _named(answer)]
    return judged(wrong, "no Access-Control-*")


@check(
    "cors-readable",
    "Its own origins may read answers and errors, and caches tell them apart",
    "ASVS 3.4.2; RFC 9110 12.5.5",
)
async def _readable(probe: Probe) -> str:
    wrong = []
    for origin in filter(None, (probe.target.origin, probe.options.allowed_origin)):
        for path in ("/auth/session", "/auth/nothing", "/api/nothing"):
            answer = await probe.ask("GET", path, f"Origin: {origin}")
            wrong += [f"{path}: {mistake}" for mistake in _not_approved(answer, origin)]
            wrong += [] if "origin" in answer.one("vary").lower() else [f"{path}: no Vary: Origin"]
    return judged(wrong, "its origin, with credentials")


@check("cors-allowed-let-in", "The allowed origin is let in", "ASVS 3.4.2")
async def _let_in(probe: Probe) -> str:
    fields = (f"Origin: {_allowed(probe)}", "Sec-Fetch-Site: cross-site")
    answer = await probe.ask("GET", "/auth/session", *fields)
    return judged([] if answer.status == 200 else [told(answer)], told(answer))


async def _preflight(probe: Probe, origin: str, path: str) -> Answer:
    return await probe.ask("OPTIONS", path, f"Origin: {origin}", *_PREFLIGHT, proof=False)


async def _approved_everywhere(probe: Probe, origin: str) -> str:
    wrong = []
    for path in ("/auth/login", probe.sites):
        answer = await _preflight(probe, origin, path)
        wrong += [f"{path}: {mistake}" for mistake in _not_approved(answer, origin)]
        stars = [name for name in _named(answer) if "*" in answer.one(name)]
        wrong += [f"{path}: * in {name}" for name in stars]
        wrong += (
            []
            if "x-csrf" in answer.one("access-control-allow-headers").lower()
            else ["X-CSRF is not allowed"]
        )
    return judged(wrong, "its origin, with credentials, no *")


def _not_approved(answer: Answer, origin: str) -> list[str]:
    given = [answer.all(name) for name in _APPROVALS]
    return (
        [] if given == [[origin], ["true"]] else [f"{_APPROVALS[0]}: {answer.one(_APPROVALS[0]) or 'none'}"]
    )


def _named(answer: Answer) -> list[str]:
    return sorted({name for name, _ in answer.fields if name.startswith("access-control-")})


def _allowed(probe: Probe) -> str:
    if probe.options.allowed_origin is None:
        raise NotApplicable("no --allowed-origin was given")
    return probe.options.allowed_origin


CHECKS: tuple[Check, ...] = (
    _unknown_preflight,
    _own_preflight,
    _allowed_preflight,
    _unknown_answer,
    _readable,
    _let_in,
)
