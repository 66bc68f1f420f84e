"""Single sign-on (SSO): where the browser is redirected, and with which parameters."""

from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from bff.conformance.check import Check, NotApplicable, check, verdict
from bff.conformance.probe import Probe, cookies, describe
from bff.conformance.wire import Response

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
    "An SSO login uses state and PKCE S256, and returns to the public origin",
    "RFC 10017 6.1.3.1; RFC 9700 2.1.1",
)
async def _start(probe: Probe) -> str:
    response = await _start_login(probe, "return_to=%2Faccount", f"X-Forwarded-Host: {_EVIL}")
    query = parse_qs(urlsplit(response.header("location")).query)
    wrong = [] if response.status == 302 else [describe(response)]
    wrong += [f"no {name}" for name in ("state", "code_challenge", "client_id") if not query.get(name)]
    wrong += [] if query.get("code_challenge_method") == ["S256"] else ["no S256"]
    callback = f"{probe.target.origin}/auth/sso/{probe.options.sso}/callback"
    wrong += [] if query.get("redirect_uri") == [callback] else ["another redirect_uri"]
    return verdict(wrong, "302, state, S256")


@check(
    "sso-cookie",
    "The state is bound to the browser by a separate cookie",
    "RFC 6749 10.12; ASVS 3.3.1, 3.3.4",
)
async def _cookie(probe: Probe) -> str:
    set_cookies = cookies(await _start_login(probe, "return_to=%2F"))
    needed = ["httponly", "samesite", *(["secure"] if probe.target.secure else [])]
    wrong = [] if set_cookies else ["no cookie"]
    wrong += [
        f"{one.name}: no {name}" for one in set_cookies for name in needed if name not in one.attributes
    ]
    wrong += [f"{one.name}: Domain" for one in set_cookies if "domain" in one.attributes]
    return verdict(wrong, "HttpOnly, SameSite, no Domain")


@check("sso-random", "State and challenge are new each time", "RFC 9700 2.1.1; ASVS 10.1.2")
async def _random(probe: Probe) -> str:
    found = [parse_qs(urlsplit((await _start_login(probe, "")).header("location")).query) for _ in range(3)]
    states = {tuple(one.get("state", ())) for one in found}
    challenges = {tuple(one.get("code_challenge", ())) for one in found}
    return verdict([] if len(states) == len(challenges) == len(found) else ["repeated"], "3 of 3 differ")


def _family(name: str, title: str, source: str, *payloads: str) -> Check:
    """Return a check that each of these values of return_to is refused."""

    async def look(probe: Probe) -> str:
        wrong = []
        for payload in payloads:
            return_to = payload.replace("{own}", probe.target.origin).replace("{}", _EVIL)
            response = await _start_login(probe, "return_to=" + quote(return_to, safe=""))
            wrong += [] if response.status == 400 else [f"{payload!r}: {describe(response)}"]
        return verdict(wrong, f"{len(payloads)} refused")

    return check(name, title, source)(look)


_REDIRECTS = (
    _family(
        "sso-redirect-host",
        "return_to: another host without a scheme is refused",
        "CVE-2020-5233; CVE-2021-39191",
        *_HOSTS,
    ),
    _family(
        "sso-redirect-full", "return_to: another origin is refused", "CVE-2020-4037; CVE-2022-23527", *_FULL
    ),
    _family("sso-redirect-script", "return_to: a script URL is refused", "CVE-2021-32786", *_SCRIPTS),
    _family(
        "sso-redirect-space",
        "return_to: white space and control characters are refused",
        "CVE-2020-11053; nextjs-auth0#555",
        *_SPACES,
    ),
    _family(
        "sso-redirect-wide",
        "return_to: look-alikes of slashes and dots are refused",
        "CVE-2020-11053",
        *_WIDE,
    ),
    _family(
        "sso-redirect-own",
        "return_to: a URL that only starts with or contains an allowed origin is refused",
        "CVE-2021-21291; CVE-2026-40574",
        *_OWN,
    ),
)


@check("sso-redirect-twice", "return_to: a duplicate is refused", "mod_auth_openidc 2026-08-12")
async def _twice(probe: Probe) -> str:
    response = await _start_login(probe, f"return_to=%2Fa&return_to=%2F%2F{_EVIL}")
    return verdict([] if response.status == 400 else [describe(response)], describe(response))


@check("sso-forged", "A callback with an unknown state does not log in", "RFC 6749 10.12; ASVS 10.2.1")
async def _forged(probe: Probe) -> str:
    guest = await probe.guest()
    wrong = []
    for query in ("code=x&state=x", "code=x", f"code=x&state=%2F%2F{_EVIL}", "error=access_denied&state=x"):
        response = await probe.request(
            "GET", f"/auth/sso/{_name(probe)}/callback?{query}", csrf=False, cookie=guest.pair
        )
        path = response.header("location").removeprefix(probe.target.origin)
        stays = response.status >= 400 or (path.startswith("/") and not path.startswith("//"))
        wrong += [] if stays and not cookies(response) else [f"{query}: {describe(response)}"]
    return verdict(wrong, "refused, or redirected with an error")


@check("sso-framed", "Only a top-level navigation can start an SSO login", "RFC 10017 6.1.3.3; ASVS 3.5.8")
async def _framed(probe: Probe) -> str:
    targets = ("iframe", "image", "empty", "script")
    responses = [await _start_login(probe, "return_to=%2F", f"Sec-Fetch-Dest: {one}") for one in targets]
    return verdict([describe(one) for one in responses if one.status != 403 or cookies(one)], "403")


async def _start_login(probe: Probe, query: str, *headers: str) -> Response:
    return await probe.request("GET", f"/auth/sso/{_name(probe)}?{query}", *headers, csrf=False)


def _name(probe: Probe) -> str:
    if probe.options.sso is None:
        raise NotApplicable("no --sso was given")
    return probe.options.sso


CHECKS: tuple[Check, ...] = (_start, _cookie, _random, *_REDIRECTS, _twice, _forged, _framed)
