"""Which header fields pass through the proxy, and which end or begin here.

Fields are `(name, value)` pairs of bytes, as ASGI has them. A field is judged by its name in lower case with
`-` for `_`: servers behind a CGI-like interface can not tell the two apart, so a refused name is refused in
both spellings. Judgements are cached by name, which makes the usual field cost one look-up.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import SplitResult, urlsplit

Headers = Sequence[tuple[bytes, bytes]]

_HOP_BY_HOP: Final = frozenset(  # RFC 9110 §7.6.1, and what older clients add
    b"connection keep-alive te trailer trailers transfer-encoding upgrade http2-settings".split()
)
_REQUEST_NAMES: Final = _HOP_BY_HOP | frozenset(
    b"host expect origin cookie cookie2 authorization x-authorization saas-token session-id legal-entity-id"
    b" x-csrf x-request-id forwarded via client-ip x-client-ip x-real-ip x-cluster-client-ip x-originating-ip"
    b" true-client-ip cf-connecting-ip cf-connecting-ipv6 fastly-client-ip x-host remote-user"
    b" x-http-method x-http-method-override x-method-override client-cert client-cert-chain".split()
)
_REQUEST_PREFIXES: Final = (
    *(b"proxy-", b"x-session-", b"x-forwarded", b"x-original-", b"x-rewrite-", b"x-envoy-"),
    *(b"emporix-", b"hybris-"),  # what the upstream's gateway tells the services behind it
    *(b"x-user-", b"x-authenticated-", b"x-auth-request-", b"x-remote-", b"x-ssl-client", b"x-client-cert"),
    *(b"sec-fetch-", b"access-control-request-"),
)
_RESPONSE_NAMES: Final = _HOP_BY_HOP | frozenset(
    b"set-cookie set-cookie2 server date x-powered-by via x-request-id x-csrf authorization saas-token"
    b" session-id timing-allow-origin alt-svc strict-transport-security clear-site-data nel report-to"
    b" reporting-endpoints x-frame-options service-worker-allowed sourcemap x-sourcemap refresh"
    b" origin-agent-cluster x-accel-redirect x-sendfile cache-control pragma expires age".split()
)
_RESPONSE_PREFIXES: Final = (
    *(b"proxy-", b"x-session-", b"access-control-", b"cross-origin-", b"content-security-policy"),
    *(b"public-key-pins", b"surrogate-", b"cdn-cache-control", b"cloudflare-cdn-cache-control"),
)
_LONGEST_KEPT: Final = 64
_FRAMING: Final = b"content-length"  # nobody's Connection field may take it away, and it has no twin
_LOCATIONS: Final = frozenset({b"location", b"content-location"})

_NO_STORE: Final = b"private, no-store"
_DIRECTIVE: Final = re.compile(r'([a-z-]+)(?:\s*=\s*("[^"]*"|[^,\s"]*))?')
_KEPT_DIRECTIVES: Final = ("no-cache", "must-revalidate", "no-transform", "immutable")
_VARY: Final = (
    b"accept-language, x-version, x-total-count"  # request fields that Emporix answers differently to
)
_URI: Final = re.compile(
    rb"[\x21\x23-\x3b\x3d\x3f-\x5b\x5d-\x7e]+"
)  # visible, and no browser reads it otherwise
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def request_headers(headers: Headers, *, own: Headers) -> list[tuple[bytes, bytes]]:
    """Return what goes upstream: the client's end-to-end fields in order, then the proxy's own.

    What `own` sets, only `own` sets. A client's Connection field removes the client's fields, never ours.
    """
    taken = _nominated(headers).union(_canonical(name) for name, _ in own)
    passed = [field for field in headers if (key := _request_key(field[0])) and key not in taken]
    passed.extend(own)
    return passed


def response_headers(
    headers: Headers, *, upstream_origin: str, api_prefix: str = "/api", browser_cache: bool
) -> list[tuple[bytes, bytes]]:
    """Return what the client gets of an upstream answer's fields, names in lower case.

    Args:
        headers: the upstream's.
        upstream_origin: scheme, host and port; a Location in there is rewritten to stay inside the proxy.
        api_prefix: where the proxied API is mounted.
        browser_cache: the route lets the browser keep the answer, if upstream does.
    """
    taken = _nominated(headers)
    answer: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        key = _response_key(name)
        if not key or key in taken:
            continue
        passed = _location(value, upstream_origin, api_prefix) if key in _LOCATIONS else value
        if passed is not None:
            answer.append((name.lower(), passed))
    cache_control = _browser_cache(headers) if browser_cache else _NO_STORE
    answer.append((b"cache-control", cache_control))
    if cache_control != _NO_STORE:
        answer.append((b"vary", _VARY))
    return answer


def _remembered(judge: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Keep judgements by name, but of no name that is there to fill the memory."""
    known = lru_cache(maxsize=1024)(judge)
    return lambda name: known(name) if len(name) <= _LONGEST_KEPT else judge(name)


@_remembered
def _canonical(name: bytes) -> bytes:
    return name.strip().lower().replace(b"_", b"-")


@_remembered
def _request_key(name: bytes) -> bytes:
    return _key(name, _REQUEST_NAMES, _REQUEST_PREFIXES)


@_remembered
def _response_key(name: bytes) -> bytes:
    return _key(name, _RESPONSE_NAMES, _RESPONSE_PREFIXES)


def _key(name: bytes, names: frozenset[bytes], prefixes: tuple[bytes, ...]) -> bytes:
    """Return the canonical name, or nothing where the field does not pass."""
    key = _canonical(name)
    if key in names or key.startswith(prefixes) or (key == _FRAMING and b"_" in name):
        return b""
    return key


def _nominated(headers: Headers) -> set[bytes]:
    """Return the canonical names that the Connection fields call hop-by-hop (RFC 9110 §7.6.1)."""
    values = (value for name, value in headers if _canonical(name) == b"connection")
    return {_canonical(option) for value in values for option in value.split(b",")} - {_FRAMING}


def _location(value: bytes, upstream_origin: str, api_prefix: str) -> bytes | None:
    """Return the reference as the client may follow it, or None where it can not be told what it means."""
    if not _URI.fullmatch(value):
        return None
    try:
        parts = urlsplit(value.decode("ascii"))
        inside = _inside(parts, upstream_origin)
    except ValueError:
        return None
    if not inside:
        return value
    if parts.username is not None or any(_is_dots(segment) for segment in parts.path.split("/")):
        return None
    query = f"?{parts.query}" if parts.query else ""
    fragment = f"#{parts.fragment}" if parts.fragment else ""
    return f"{api_prefix}{parts.path or '/'}{query}{fragment}".encode()


def _inside(parts: SplitResult, upstream_origin: str) -> bool:
    """Tell whether a reference leads to the upstream origin.

    Behind a TLS terminator the upstream may call itself by http: both default ports count as one.
    """
    if not parts.netloc:
        return not parts.scheme and parts.path.startswith("/")
    scheme, host, port = _origin(upstream_origin)
    if parts.hostname != host or (parts.scheme and parts.scheme not in _DEFAULT_PORTS):
        return False
    named = parts.port or _DEFAULT_PORTS[parts.scheme or scheme]
    return named == port or {named, port} == set(_DEFAULT_PORTS.values())


@lru_cache(maxsize=8)
def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS[parts.scheme]


def _is_dots(segment: str) -> bool:
    return segment.lower().replace("%2e", ".").partition(";")[0] in {".", ".."}


def _browser_cache(headers: Headers) -> bytes:
    """Return how long the browser alone may keep an answer, given what upstream says (RFC 9111 §5.2.2)."""
    directives = _directives(value for name, value in headers if _canonical(name) == b"cache-control")
    kept: list[str] = [name for name in _KEPT_DIRECTIVES if name in directives]
    if "no-store" in directives:
        return _NO_STORE
    if "max-age" in directives:
        age = max((_seconds(v.decode("latin-1")) for n, v in headers if _canonical(n) == b"age"), default=0)
        lifetime = min(_seconds(value) for value in directives["max-age"])
        kept.insert(0, f"max-age={max(lifetime - age, 0)}")
    elif "no-cache" not in directives:
        return _NO_STORE
    return ", ".join(["private", *kept]).encode()


def _directives(values: Iterable[bytes]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in _DIRECTIVE.findall(b", ".join(values).decode("latin-1").lower()):
        found.setdefault(name, []).append(value.strip('"'))
    return found


def _seconds(text: str) -> int:
    """Read delta-seconds; what is not a number counts as 0, what is huge as a year (RFC 9111 §1.2.2)."""
    text = text.strip()
    if not (text.isascii() and text.isdigit()):
        return 0
    return min(int(text[:12]), 31_536_000)
