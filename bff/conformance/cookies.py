"""The session cookie: its name, its attributes, and when it is set and removed."""

from bff.conformance.check import Check, NotApplicable, check, verdict
from bff.conformance.probe import Probe, SetCookie, cookies, describe

_MAX_BYTES = 4096


@check("cookie-name", "The cookie's name has the __Host- prefix", "RFC 10017 6.1.3.2; ASVS 3.3.1, 3.3.3")
async def _name(probe: Probe) -> str:
    cookie = await probe.guest()
    if not probe.target.secure:
        raise NotApplicable("plain http: browsers refuse a cookie with that prefix")
    return verdict([] if cookie.name.startswith("__Host-") else [cookie.name], cookie.name)


@check("cookie-httponly", "Scripts cannot read the cookie: HttpOnly", "RFC 10017 6.1.3.2; ASVS 3.3.4")
async def _http_only(probe: Probe) -> str:
    return _has(await probe.guest(), "httponly")


@check("cookie-secure", "The cookie is sent over https only: Secure", "RFC 10017 6.1.3.2; ASVS 3.3.1")
async def _secure(probe: Probe) -> str:
    cookie = await probe.guest()
    if not probe.target.secure:
        raise NotApplicable("plain http")
    return _has(cookie, "secure")


@check(
    "cookie-samesite",
    "The cookie is not sent with cross-site requests: SameSite",
    "RFC 10017 6.1.3.2; ASVS 3.3.2",
)
async def _same_site(probe: Probe) -> str:
    """SameSite=None needs a reason (RFC 10017 6.1.3.2), such as a storefront on another origin."""
    value = (await probe.guest()).attributes.get("samesite", "").lower()
    good = {"strict", "lax"} | ({"none"} if probe.options.allowed_origin else set())
    seen = f"SameSite={value}" if value else "no SameSite"
    return verdict([] if value in good else [seen], seen)


@check("cookie-path", "The cookie is valid for the whole host: Path=/", "RFC 10017 6.1.3.2; ASVS 3.3.3")
async def _path(probe: Probe) -> str:
    path = (await probe.guest()).attributes.get("path")
    return verdict([] if path == "/" else [f"Path={path}"], "Path=/")


@check("cookie-domain", "The cookie is valid for one host only: no Domain", "RFC 10017 6.1.3.2; ASVS 3.3.3")
async def _domain(probe: Probe) -> str:
    domain = (await probe.guest()).attributes.get("domain")
    return verdict([] if domain is None else [f"Domain={domain}"], "no Domain")


@check("cookie-size", "Name and value together have at most 4096 bytes", "ASVS 3.3.5")
async def _size(probe: Probe) -> str:
    size = len((await probe.guest()).pair) - 1
    return verdict([] if size <= _MAX_BYTES else [f"{size} bytes"], f"{size} bytes")


@check(
    "cookie-single",
    "There is one cookie, which is set only when the session id changes",
    "CVE-2024-24814",
)
async def _single(probe: Probe) -> str:
    set_cookies = cookies(await probe.request("POST", "/auth/anonymous"))
    wrong = [] if len(set_cookies) == 1 else [f"{len(set_cookies)} cookies at the start"]
    for method, path in (("GET", "/auth/session"), ("POST", "/auth/anonymous"), ("POST", "/auth/refresh")):
        again = await probe.request(method, path, cookie=set_cookies[0].pair if set_cookies else "")
        wrong += [f"set again by {method} {path}"] if cookies(again) else []
    return verdict(wrong, "set once, not set again")


@check("cookie-lazy", "Reading starts no session", "ASVS 7.6.2")
async def _lazy(probe: Probe) -> str:
    requests = [("GET", "/auth/session"), ("HEAD", "/auth/session"), ("GET", "/livez"), ("GET", "/readyz")]
    requests += [("OPTIONS", "/auth/login"), ("HEAD", probe.sites), ("POST", "/auth/logout")]
    responses = {f"{method} {path}": await probe.request(method, path) for method, path in requests}
    return verdict(
        [f"set by {name}" for name, response in responses.items() if cookies(response)], "no cookie set"
    )


@check(
    "cookie-deletion",
    "The cookie is removed with the same attributes that it was set with",
    "RFC 10017 6.1.3.2; ASVS 3.3.3",
)
async def _deletion(probe: Probe) -> str:
    cookie = await probe.new_guest()
    response = await probe.request("POST", "/auth/logout", cookie=cookie.pair)
    return verdict(not_cleared(cookie, cookies(response)) or [], f"{describe(response)}, same attributes")


def not_cleared(cookie: SetCookie, sent: list[SetCookie]) -> list[str]:
    """Return what is wrong with the cookies of a response that should remove `cookie`."""
    if [one.name for one in sent] != [cookie.name]:
        return ["no cookie removed"]
    removal = sent[0]
    wrong = [] if removal.attributes.get("max-age") == "0" and not removal.value else ["cookie not removed"]
    return wrong + (
        []
        if removal.stable_attributes == cookie.stable_attributes
        else ["other attributes than it was set with"]
    )


def _has(cookie: SetCookie, attribute: str) -> str:
    return verdict([] if attribute in cookie.attributes else [f"no {attribute}"], attribute)


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
