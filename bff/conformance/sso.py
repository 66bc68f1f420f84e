"""Single sign-on: where a browser is sent, and with what."""

from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from bff.conformance.check import Check, NotApplicable, check, judged
from bff.conformance.probe import Probe, cookies, told
from bff.conformance.wire import Answer

_EVIL: Final = "elsewhere.example"
_HOSTS: Final = (
    "//{}",
    "///{}",
    "/\\{}",
    "\\\\{}",
    "/\\/{}",
    "\\/{}",
    "//{}/..;/",
    "//x@{}",
    "https:{}",
    "https:/{}",
)
_FULL: Final = (
    "https://{}",
    "HTTPS://{}",
    "http://{}",
    "ftp://{}",
    "https://x@{}",
    "https:\\\\{}",
    "https:///{}",
    "{}",
    ".{}",
    "@{}",
)
_SCRIPTS: Final = (
    "javascript:alert(1)",
    "JavaScript:alert(1)//",
    "data:text/html,x",
    "vbscript:x",
    "\x01javascript:x",
    "blob:x",
)
_SPACES: Final = (
    "/\t/{}",
    "/\n/{}",
    "/\r/{}",
    "\t//{}",
    " //{}",
    "/ /{}",
    "/\x00/{}",
    "/\x0b/{}",
    "/\r\nLocation: https://{}",
    "/\u3000/{}",
)
_WIDE: Final = ("/\uff0f{}", "\u2215\u2215{}", "/\u2044{}", "\u3002{}", "\uff3c\uff3c{}", "/\xad/{}")
_OWN: Final = (
    "{own}.{}",
    "{own}@{}",
    "{own}:80@{}",
    "{own}\\@{}",
    "{own}\\.{}",
    "{own}1",
    "https://{}#{own}",
    "https://{}?{own}",
    "https://{}/{own}",
)


@check(
    "sso-start",
    "A sign-on begins with state and PKCE S256, and comes back to the public origin",
    "RFC 10017 6.1.3.1; RFC 9700 2.1.1",
)
async def _start(probe: Probe) -> str:
    answer = await _begun(probe, "return_to=%2Faccount", f"X-Forwarded-Host: {_EVIL}")
    query = parse_qs(urlsplit(answer.one("location")).query)
    wrong = [] if answer.status == 302 else [told(answer)]
    wrong += [f"no {name}" for name in ("state", "code_challenge", "client_id") if not query.get(name)]
    wrong += [] if query.get("code_challenge_method") == ["S256"] else ["no S256"]
    back = f"{probe.target.origin}/auth/sso/{probe.options.sso}/callback"
    return judged(
        wrong + ([] if query.get("redirect_uri") == [back] else ["another redirect_uri"]), "302, state, S256"
    )


@check(
    "sso-cookie",
    "Its state is bound to the browser by a cookie of its own",
    "RFC 6749 10.12; ASVS 3.3.1, 3.3.4",
)
async def _cookie(probe: Probe) -> str:
    held = cookies(await _begun(probe, "return_to=%2F"))
    needed = ["httponly", "samesite", *(["secure"] if probe.target.secure else [])]
    wrong = [] if held else ["no cookie"]
    wrong += [f"{one.name}: no {name}" for one in held for name in needed if name not in one.attributes]
    wrong += [f"{one.name}: Domain" for one in held if "domain" in one.attributes]
    return judged(wrong, "HttpOnly, SameSite, no Domain")


@check("sso-random", "State and challenge are new each time", "RFC 9700 2.1.1; ASVS 10.1.2")
async def _random(probe: Probe) -> str:
    found = [parse_qs(urlsplit((await _begun(probe, "")).one("location")).query) for _ in range(3)]
    states = {tuple(one.get("state", ())) for one in found}
    challenges = {tuple(one.get("code_challenge", ())) for one in found}
    return judged([] if len(states) == len(challenges) == len(found) else ["repeated"], "3 of 3 differ")


def _family(name: str, title: str, source: str, *payloads: str) -> Check:
    """Make a check that none of these addresses is taken for the way back."""

    async def look(probe: Probe) -> str:
        wrong = []
        for payload in payloads:
            filled = payload.replace("{own}", probe.target.origin).replace("{}", _EVIL)
            answer = await _begun(probe, "return_to=" + quote(filled, safe=""))
            wrong += [] if answer.status == 400 else [f"{payload!r}: {told(answer)}"]
        return judged(wrong, f"{len(payloads)} refused")

    return check(name, title, source)(look)


_REDIRECTS = (
    _family(
        "sso-redirect-host",
        "No way back without a scheme to another host",
        "CVE-2020-5233; CVE-2021-39191",
        *_HOSTS,
    ),
    _family("sso-redirect-full", "No way back to another origin", "CVE-2020-4037; CVE-2022-23527", *_FULL),
    _family("sso-redirect-script", "No way back into a script", "CVE-2021-32786", *_SCRIPTS),
    _family(
        "sso-redirect-space",
        "No way back with white space or controls in it",
        "CVE-2020-11053; nextjs-auth0#555",
        *_SPACES,
    ),
    _family(
        "sso-redirect-wide", "No way back with look-alikes of slashes and dots", "CVE-2020-11053", *_WIDE
    ),
    _family(
        "sso-redirect-own",
        "No way back that only begins with, or quotes, an own origin",
        "CVE-2021-21291; CVE-2026-40574",
        *_OWN,
    ),
)


@check("sso-redirect-twice", "No way back that is named twice", "mod_auth_openidc 2026-08-12")
async def _twice(probe: Probe) -> str:
    answer = await _begun(probe, f"return_to=%2Fa&return_to=%2F%2F{_EVIL}")
    return judged([] if answer.status == 400 else [told(answer)], told(answer))


@check(
    "sso-forged", "A callback with a state that nobody began logs nobody in", "RFC 6749 10.12; ASVS 10.2.1"
)
async def _forged(probe: Probe) -> str:
    guest = await probe.guest()
    wrong = []
    for query in ("code=x&state=x", "code=x", f"code=x&state=%2F%2F{_EVIL}", "error=access_denied&state=x"):
        answer = await probe.ask(
            "GET", f"/auth/sso/{_name(probe)}/callback?{query}", proof=False, cookie=guest.pair
        )
        home = answer.one("location").removeprefix(probe.target.origin)
        stays = answer.status >= 400 or (home.startswith("/") and not home.startswith("//"))
        wrong += [] if stays and not cookies(answer) else [f"{query}: {told(answer)}"]
    return judged(wrong, "sent home with an error")


@check("sso-framed", "A sign-on begins with a top-level navigation alone", "RFC 10017 6.1.3.3; ASVS 3.5.8")
async def _framed(probe: Probe) -> str:
    kinds = ("iframe", "image", "empty", "script")
    answers = [await _begun(probe, "return_to=%2F", f"Sec-Fetch-Dest: {kind}") for kind in kinds]
    return judged([told(one) for one in answers if one.status != 403 or cookies(one)], "403")


async def _begun(probe: Probe, query: str, *fields: str) -> Answer:
    return await probe.ask("GET", f"/auth/sso/{_name(probe)}?{query}", *fields, proof=False)


def _name(probe: Probe) -> str:
    if probe.options.sso is None:
        raise NotApplicable("no --sso was given")
    return probe.options.sso


CHECKS: tuple[Check, ...] = (_start, _cookie, _random, *_REDIRECTS, _twice, _forged, _framed)
