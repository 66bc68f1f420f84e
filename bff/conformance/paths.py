"""Ambiguous paths, which two servers could read differently, are refused as received."""

from collections.abc import Iterable

from bff.conformance.check import Check, check, verdict
from bff.conformance.probe import NO_TENANT, Probe, cookies, describe
from bff.conformance.wire import NoResponse

_RULE = "RFC 10017 6.1.3.6; RFC 3986 6.2.2"


def _family(name: str, title: str, source: str, *endings: str) -> Check:
    """Return a check that a product path with each of these endings is refused."""

    async def look(probe: Probe) -> str:
        start = f"/api/product/{probe.options.tenant or NO_TENANT}/products"
        return await _refused(probe, [start + ending for ending in endings], {400})

    return check(name, title, source)(look)


_FAMILIES = (
    _family(
        "path-dots", "Dot segments are refused", _RULE,
        "/..", "/.", "/../../../oauth/token", "/./x", "/..;a=b/x", "/.;/x", "/...;/../x",
    ),
    _family("path-empty", "Empty segments are refused", _RULE, "//x", "//", "/x//", "//../x", "/;a=b/x"),
    _family(
        "path-escaped-dots", "Escaped dots and letters are refused", _RULE,
        "/%2e", "/%2e%2e/x", "/.%2E/x", "/%2e./x", "/%2e%2e;/x", "/%78",
    ),
    _family(
        "path-escaped-slash", "Escaped slashes and backslashes are refused", "RFC 10017 6.1.3.6; GHSA-v5gw-mw7f-84px",
        "/a%2fb", "/a%2Fb", "/..%2f..%2foauth", "/a%5cb", "/..%5C..", "/%2f%2felsewhere.example",
    ),
    _family(
        "path-control", "Control characters are refused, escaped or raw", "ASVS 4.2.4",
        "/a%00b", "/%00", "/a%0d%0aX-A:1", "/a%7f", "/a%09b", "/a\x01b", "/a\tb", "/a\x7fb",
    ),
    _family(
        "path-fragment", "A fragment is refused, escaped or raw", "GHSA-pxq7-h93f-9jrg",
        "/a#b", "#/x", "/a%23b", "?a=b#c",
    ),
    _family("path-backslash", "Backslashes are refused", "CVE-2020-5233; CVE-2021-32786", "/a\\b", "\\..\\..", "/\\x"),
    _family(
        "path-double-escape", "Double and incomplete escapes are refused", "RFC 10017 6.1.3.6",
        "/%252e%252e", "/%252f", "/a%2", "/a%", "/a%zzb", "/%25%32%65",
    ),
    _family(
        "path-unicode", "Bytes that are not UTF-8 are refused", "RFC 3629 3",
        "/%c0%ae%c0%ae", "/%ff", "/\xe9", "/%c2%85",
    ),
)  # fmt: skip


@check("path-prefix", "No other spelling of the prefix reaches the API", _RULE)
async def _prefix(probe: Probe) -> str:
    rest = probe.sites.removeprefix("/api")
    starts = (
        "/auth/../api",
        "//api",
        "/%61pi",
        "/ap%69",
        "/./api",
        "\\api",
        "/API",
        "/livez/../api",
        "/api;/x/../..",
    )
    return await _refused(probe, [start + rest for start in starts], set(range(400, 500)), pages=True)


@check(
    "path-health",
    "No other path is treated as a health endpoint",
    "GHSA-5hvv-m4w4-gf6v; GHSA-7rh7-c77v-6434",
)
async def _health(probe: Probe) -> str:
    paths = ("/auth/session?x=/livez", "/auth/session?/readyz", "/auth/session/livez", "/auth/livez")
    return await _refused(probe, paths, {403}, csrf=False)


@check(
    "path-absolute",
    "The authority of an absolute request target is not used",
    "RFC 10017 6.1.3.6; RFC 9112 3.2.2",
)
async def _absolute(probe: Probe) -> str:
    wrong = []
    for authority in (
        "http://elsewhere.example",
        "http://user@169.254.169.254",
        "https://elsewhere.example:1",
    ):
        for path in ("/auth/nothing", "/api/nothing", "/latest/meta-data/"):
            response = await probe.request("GET", authority + path)
            answered = not 400 <= response.status < 500 and not await probe.is_storefronts(response)
            used = answered or cookies(response) or b"elsewhere" in response.body
            wrong += [f"{authority}{path}: {describe(response)}"] if used else []
    return verdict(wrong, "refused, or only the path is used")


@check("path-connect", "CONNECT and the request target * are refused", "RFC 9110 9.3.6")
async def _connect(probe: Probe) -> str:
    wrong = []
    for method, target in (
        ("CONNECT", "elsewhere.example:443"),
        ("CONNECT", probe.target.authority),
        ("GET", "*"),
    ):
        try:
            response = await probe.request(method, target)
        except NoResponse:
            continue
        wrong += [f"{method} {target}: {describe(response)}"] if not 400 <= response.status < 600 else []
    return verdict(wrong, "refused")


@check("path-long", "A path or query that is too long is refused", "ASVS 4.2.5")
async def _long(probe: Probe) -> str:
    paths = [f"/api/product/{'a' * 9000}", f"{probe.sites}?a={'a' * 9000}"]
    return await _refused(probe, paths, {400, 414, 431})


async def _refused(
    probe: Probe, paths: Iterable[str], statuses: set[int], *, csrf: bool = True, pages: bool = False
) -> str:
    """Return the statuses if all are among these, or if `pages` and it is a storefront's page."""
    found: set[int] = set()
    wrong = []
    for path in paths:
        response = await probe.request("GET", path, csrf=csrf)
        found.add(response.status)
        good = response.status in statuses or (pages and await probe.is_storefronts(response))
        wrong += [] if good else [f"{path[:60]}: {describe(response)}"]
    return verdict(wrong, ", ".join(map(str, sorted(found))))


CHECKS: tuple[Check, ...] = (*_FAMILIES, _prefix, _health, _absolute, _connect, _long)
