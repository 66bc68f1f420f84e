"""The session cookie: its name, its attributes, where its value goes."""

from bff.conformance.check import Check, NotApplicable, check, judged
from bff.conformance.probe import Probe, SetCookie, cookies, told

_LONGEST = 4096


@check("cookie-name", "The cookie's name has the __Host- prefix", "RFC 10017 6.1.3.2; ASVS 3.3.1, 3.3.3")
async def _name(probe: Probe) -> str:
    cookie = await probe.guest()
    if not probe.target.secure:
        raise NotApplicable("plain http: a browser keeps no cookie with that prefix")
    return judged([] if cookie.name.startswith("__Host-") else [cookie.name], cookie.name)


@check("cookie-httponly", "No script reads the cookie: HttpOnly", "RFC 10017 6.1.3.2; ASVS 3.3.4")
async def _http_only(probe: Probe) -> str:
    return _has(await probe.guest(), "httponly")


@check("cookie-secure", "The cookie travels by https alone: Secure", "RFC 10017 6.1.3.2; ASVS 3.3.1")
async def _secure(probe: Probe) -> str:
    cookie = await probe.guest()
    if not probe.target.secure:
        raise NotApplicable("plain http")
    return _has(cookie, "secure")


@check(
    "cookie-samesite",
    "The cookie stays at home on foreign requests: SameSite",
    "RFC 10017 6.1.3.2; ASVS 3.3.2",
)
async def _same_site(probe: Probe) -> str:
    """None needs a motive (RFC 10017 6.1.3.2): a storefront on another origin is one."""
    value = (await probe.guest()).attributes.get("samesite", "").lower()
    good = {"strict", "lax"} | ({"none"} if probe.options.allowed_origin else set())
    seen = f"SameSite={value}" if value else "no SameSite"
    return judged([] if value in good else [seen], seen)


@check("cookie-path", "The cookie is for the whole host: Path=/", "RFC 10017 6.1.3.2; ASVS 3.3.3")
async def _path(probe: Probe) -> str:
    path = (await probe.guest()).attributes.get("path")
    return judged([] if path == "/" else [f"Path={path}"], "Path=/")


@check("cookie-domain", "The cookie is for one host alone: no Domain", "RFC 10017 6.1.3.2; ASVS 3.3.3")
async def _domain(probe: Probe) -> str:
    domain = (await probe.guest()).attributes.get("domain")
    return judged([] if domain is None else [f"Domain={domain}"], "no Domain")


@check("cookie-size", "Name and value have at most 4096 bytes", "ASVS 3.3.5")
async def _size(probe: Probe) -> str:
    size = len((await probe.guest()).pair) - 1
    return judged([] if size <= _LONGEST else [f"{size} bytes"], f"{size} bytes")


@check(
    "cookie-single",
    "A visitor holds one cookie, sent when the id changes and no other time",
    "CVE-2024-24814",
)
async def _single(probe: Probe) -> str:
    begun = await probe.ask("POST", "/auth/anonymous")
    held = cookies(begun)
    wrong = [] if len(held) == 1 else [f"{len(held)} cookies at the start"]
    for method, path in (("GET", "/auth/session"), ("POST", "/auth/anonymous"), ("POST", "/auth/refresh")):
        again = await probe.ask(method, path, cookie=held[0].pair if held else "")
        wrong += [f"set again by {method} {path}"] if cookies(again) else []
    return judged(wrong, "one, and not again")


@check("cookie-lazy", "Looking begins no session", "ASVS 7.6.2")
async def _lazy(probe: Probe) -> str:
    asked = [("GET", "/auth/session"), ("HEAD", "/auth/session"), ("GET", "/livez"), ("GET", "/readyz")]
    asked += [("OPTIONS", "/auth/login"), ("HEAD", probe.sites), ("POST", "/auth/logout")]
    answers = {f"{method} {path}": await probe.ask(method, path) for method, path in asked}
    return judged([f"set by {name}" for name, answer in answers.items() if cookies(answer)], "no cookie set")


@check(
    "cookie-deletion",
    "The cookie is removed with the attributes that it was set with",
    "RFC 10017 6.1.3.2; ASVS 3.3.3",
)
async def _deletion(probe: Probe) -> str:
    cookie = await probe.new_guest()
    answer = await probe.ask("POST", "/auth/logout", cookie=cookie.pair)
    return judged(not_cleared(cookie, cookies(answer)) or [], f"{told(answer)}, same attributes")


def not_cleared(cookie: SetCookie, sent: list[SetCookie]) -> list[str]:
    """Say what is wrong with an answer that should remove a cookie."""
    if [one.name for one in sent] != [cookie.name]:
        return ["no cookie removed"]
    removal = sent[0]
    wrong = [] if removal.attributes.get("max-age") == "0" and not removal.value else ["it is not removed"]
    return wrong + ([] if removal.lasting == cookie.lasting else ["other attributes than it was set with"])


def _has(cookie: SetCookie, attribute: str) -> str:
    return judged([] if attribute in cookie.attributes else [f"no {attribute}"], attribute)


CHECKS: tuple[Check, ...] = (
    _name,
    _http_only,
    _secure,
    _same_site,
    _path,
    _domain,
    _size,
    _single,
    _lazy,
    _deletion,
)
