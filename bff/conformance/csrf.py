"""Where a browser's request must come from. The requests asked with would change nothing if they got through."""

from collections.abc import Iterable

from bff.conformance.check import Check, check, judged
from bff.conformance.probe import ELSEWHERE, Probe, cookies, member, told
from bff.conformance.wire import Answer

_GET = ("GET", "/auth/session")
_POST = ("POST", "/auth/anonymous")


@check("csrf-get", "A GET without the header is refused", "RFC 10017 6.1.3.3.2; ASVS 3.5.1")
async def _get(probe: Probe) -> str:
    asked = [_GET, ("HEAD", "/auth/session"), ("GET", "/auth/validate"), ("GET", "/auth/nothing")]
    return await _refused(probe, [()], asked, proof=False)


@check(
    "csrf-post", "A POST without the header is refused, whatever its body", "RFC 10017 6.1.3.3.2; ASVS 3.5.1"
)
async def _post(probe: Probe) -> str:
    asked = [_POST, ("POST", "/auth/login"), ("POST", "/auth/logout"), ("PUT", "/auth/legal-entity")]
    kinds = [(), ("Content-Type: text/plain",), ("Content-Type: application/x-www-form-urlencoded",)]
    return await _refused(probe, kinds, asked, proof=False)


@check("csrf-api", "A proxied call without the header is refused", "RFC 10017 6.1.3.3.2; ASVS 3.5.1")
async def _api(probe: Probe) -> str:
    asked = [("GET", probe.sites), ("POST", probe.sites), ("GET", "/api/nothing")]
    return await _refused(probe, [()], asked, proof=False)


@check(
    "csrf-origin",
    "A foreign Origin is refused, header or not",
    "RFC 10017 6.1.3.3; ASVS 3.5.1; CVE-2026-40574",
)
async def _origin(probe: Probe) -> str:
    own = probe.target.origin
    other = "http" + own[5:] if probe.target.secure else "https" + own[4:]
    foreign = [ELSEWHERE, other, f"{own}.elsewhere.example", f"{own}@elsewhere.example", f"{own}/", f"{own}1"]
    return await _refused(probe, [(f"Origin: {origin}",) for origin in foreign], [_GET, _POST])


@check("csrf-null-origin", "The origin null is refused", "ASVS 3.4.2, 3.5.1")
async def _null(probe: Probe) -> str:
    return await _refused(probe, [("Origin: null",), ("Origin: ",)], [_GET, _POST])


@check(
    "csrf-fetch-site",
    "Sec-Fetch-Site cross-site, same-site and none are refused",
    "RFC 10017 6.1.3.3.1; ASVS 3.5.8",
)
async def _site(probe: Probe) -> str:
    sites = ("cross-site", "same-site", "none")
    own = f"Origin: {probe.target.origin}"
    given = [(f"Sec-Fetch-Site: {site}",) for site in sites] + [("Sec-Fetch-Site: cross-site", own)]
    return await _refused(probe, given, [_GET, _POST, ("GET", probe.sites)])


@check("csrf-twice", "An origin that is named twice is refused", "mod_auth_openidc 2026-08-12")
async def _twice(probe: Probe) -> str:
    own = f"Origin: {probe.target.origin}"
    return await _refused(probe, [(own, f"Origin: {ELSEWHERE}"), (f"Origin: {ELSEWHERE}", own)], [_GET])


@check("csrf-own-origin", "The public origin itself is let in", "RFC 10017 6.1.3.3")
async def _own(probe: Probe) -> str:
    given = (f"Origin: {probe.target.origin}", "Sec-Fetch-Site: same-origin")
    answer = await probe.ask("GET", "/auth/session", *given)
    return judged([] if answer.status == 200 else [told(answer)], told(answer))


@check(
    "csrf-code",
    "A refusal has a code of its own, so that nobody takes it for an expired session",
    "RFC 10017 6.1.3.3",
)
async def _code(probe: Probe) -> str:
    answers = [
        await probe.ask("GET", "/auth/session", proof=False),
        await probe.ask("GET", "/auth/session", f"Origin: {ELSEWHERE}"),
        await probe.ask("GET", probe.sites, "Sec-Fetch-Site: cross-site"),
    ]
    return judged([told(one) for one in answers if member(one, "code") != "csrf_failed"], "csrf_failed")


@check("csrf-nothing", "A refusal sets nothing and changes nothing", "RFC 10017 6.1.3.3; ASVS 3.5.1")
async def _nothing(probe: Probe) -> str:
    guest = await probe.new_guest()
    wrong = []
    for fields, proof in (
        ((), False),
        ((f"Origin: {ELSEWHERE}",), True),
        (("Sec-Fetch-Site: same-site",), True),
    ):
        answer = await probe.ask("POST", "/auth/logout", *fields, proof=proof, cookie=guest.pair)
        wrong += ["a cookie is set"] if cookies(answer) else []
    after = await probe.ask("GET", "/auth/session", cookie=guest.pair)
    wrong += [] if member(after, "kind") == "anonymous" else ["the session was ended"]
    return judged(wrong, "no Set-Cookie, and the session stands")


async def _refused(
    probe: Probe, given: Iterable[tuple[str, ...]], asked: list[tuple[str, str]], *, proof: bool = True
) -> str:
    """Ask everything with every set of fields, as nobody and as a guest; each must get a 403."""
    guest = await probe.guest()
    wrong: list[str] = []
    count = 0
    for fields in given:
        for method, path in asked:
            for cookie in ("", guest.pair):
                answer = await probe.ask(method, path, *fields, proof=proof, cookie=cookie)
                wrong += _let_in(answer, f"{method} {path} {' '.join(fields)}")
                count += 1
    return judged(wrong, f"{count} requests, each 403")


def _let_in(answer: Answer, asked: str) -> list[str]:
    return [] if answer.status == 403 else [f"{asked.strip()}: {told(answer)}"]


CHECKS: tuple[Check, ...] = (
    _get,
    _post,
    _api,
    _origin,
    _null,
    _site,
    _twice,
    _own,
    _code,
    _nothing,
)
