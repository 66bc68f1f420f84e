"""Which headers the proxy passes on, removes, or sets itself.

Headers are `(name, value)` pairs of bytes, as in ASGI. Names are compared in lower case and with `_` replaced by `-`,
because servers with a CGI-like interface cannot tell the two apart: a blocked name is blocked in both spellings. The
result is remembered by name, so a usual header costs one lookup.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import compress
from operator import itemgetter
from typing import Final
from urllib.parse import SplitResult, urlsplit

from bff.memo import Memo
from bff.middleware.header_fields import HeaderFields, OfFields
from bff.upstream.protocol import Header

Headers = Sequence[tuple[bytes, bytes]]
_name_of: Final = itemgetter(0)

_HOP_BY_HOP: Final = frozenset(  # RFC 9110 §7.6.1, and those of older clients
    b"connection keep-alive te trailer trailers transfer-encoding upgrade http2-settings".split()
)
_BLOCKED_REQUEST_NAMES: Final = _HOP_BY_HOP | frozenset(
    b"host expect origin cookie cookie2 authorization x-authorization saas-token session-id legal-entity-id"
    b" x-csrf x-request-id forwarded via client-ip x-client-ip x-real-ip x-cluster-client-ip x-originating-ip"
    b" true-client-ip cf-connecting-ip cf-connecting-ipv6 fastly-client-ip x-host remote-user"
    b" x-http-method x-http-method-override x-method-override client-cert client-cert-chain".split()
)
_BLOCKED_REQUEST_PREFIXES: Final = (
    *(b"proxy-", b"x-session-", b"x-forwarded", b"x-original-", b"x-rewrite-", b"x-envoy-"),
    *(b"emporix-", b"hybris-"),  # set by the upstream's gateway for the services behind it
    *(b"x-user-", b"x-authenticated-", b"x-auth-request-", b"x-remote-", b"x-ssl-client", b"x-client-cert"),
    *(b"sec-fetch-", b"access-control-request-"),
)
_BLOCKED_RESPONSE_NAMES: Final = _HOP_BY_HOP | frozenset(
    b"set-cookie set-cookie2 server date x-powered-by via x-request-id x-csrf authorization saas-token"
    b" session-id timing-allow-origin alt-svc strict-transport-security clear-site-data nel report-to"
    b" reporting-endpoints x-frame-options service-worker-allowed sourcemap x-sourcemap refresh"
    b" origin-agent-cluster x-accel-redirect x-sendfile cache-control pragma expires age"
    b" x-content-type-options referrer-policy www-authenticate".split()
)
_BLOCKED_RESPONSE_PREFIXES: Final = (
    *(b"proxy-", b"x-session-", b"access-control-", b"cross-origin-", b"content-security-policy"),
    *(b"public-key-pins", b"surrogate-", b"cdn-cache-control", b"cloudflare-cdn-cache-control"),
)
_CONNECTION: Final = b"connection"
_LONGEST_USUAL_NAME: Final = 64
_LONGEST_USUAL_NAMES: Final = 1024
_FRAMING: Final = b"content-length"  # a Connection header cannot remove it, and `content_length` is blocked
_LOCATIONS: Final = frozenset({b"location", b"content-location"})

_NO_STORE: Final = b"private, no-store"
_DIRECTIVE: Final = re.compile(r'([a-z-]+)(?:\s*=\s*("[^"]*"|[^,\s"]*))?')
_PASSED_DIRECTIVES: Final = ("no-cache", "must-revalidate", "no-transform", "immutable")
_VARY: Final = b"accept-language, x-version, x-total-count"  # request headers that change Emporix responses
# Visible ASCII without the characters that browsers escape or rewrite.
_URI: Final = re.compile(rb"[\x21\x23-\x3b\x3d\x3f-\x5b\x5d-\x7e]+")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def request_headers(fields: HeaderFields, *, own: Headers) -> list[tuple[bytes, bytes]]:
    """Return the headers to send upstream: the client's end-to-end headers in order, then the proxy's own.

    Names that `own` sets are removed from the client's headers. The client's Connection header removes headers of the
    client, never those in `own`.
    """
    passed, own_keys = [*_end_to_end[fields]], _request_keys(own)
    if any(own_keys):  # what is blocked anyway need not be removed
        passed = [header for header in passed if _request_key[header[0]] not in own_keys]
    passed.extend(own)
    return passed


def _passed(fields: HeaderFields) -> tuple[Header, ...]:
    """Return the end-to-end headers of a client."""
    headers = fields.headers
    keys = _request_keys(headers)
    if _CONNECTION in keys:
        removed = _removed_by[b",".join(fields.every(_CONNECTION))] | {_CONNECTION}
        keys = [b"" if key in removed else key for key in keys]
    return tuple(compress(headers, keys))


def _request_keys(headers: Headers) -> list[bytes]:
    return list(map(_request_key.__getitem__, map(_name_of, headers)))


class ResponseHead:
    """The header fields of an answer as the client gets them, and what they say of its body.

    Attributes:
        fields: with names in lower case.
        types: how many fields give a Content-Type.
        content_type: the first of them; empty where there is none.
        codings: what the Content-Encoding fields list; empty where there is none.
        length: the Content-Length; None where there is none.
    """

    __slots__ = ("codings", "content_type", "fields", "length", "types")

    def __init__(self, headers: Headers, plan: "_Plan", fields: list[tuple[bytes, bytes]]) -> None:
        self.fields = fields
        self.types = plan.types
        self.content_type = headers[plan.type_at][1] if plan.types else b""
        self.codings = b",".join([headers[at][1] for at in plan.codings_at]) if plan.codings_at else b""
        self.length = None if plan.length_at is None else headers[plan.length_at][1]


def response_head(
    headers: Headers, *, upstream_origin: str, api_prefix: str = "/api", browser_cache: bool
) -> ResponseHead:
    """Return the head of the upstream's response as the client gets it.

    Args:
        headers: the headers of the upstream response.
        upstream_origin: scheme, host and port; a Location on this origin is rewritten to a path of the proxy.
        api_prefix: the path prefix of the proxied API.
        browser_cache: whether the route allows the browser to cache the response, if the upstream does too.
    """
    plan = _plans[tuple(map(_name_of, headers))]
    if plan.connections_at:
        removed = _removed_by[b",".join([headers[at][1] for at in plan.connections_at])]
        if not removed.isdisjoint(plan.keys):
            headers = [header for header in headers if _response_key[header[0]] not in removed]
            plan = _plans[tuple(map(_name_of, headers))]
    passed = list(compress(headers, plan.passes))
    if plan.rewrites:
        passed = _rewritten(passed, upstream_origin, api_prefix)
    cache_control = _browser_cache(headers) if browser_cache else _NO_STORE
    passed.append((b"cache-control", cache_control))
    if cache_control != _NO_STORE:
        passed.append((b"vary", _VARY))
    return ResponseHead(headers, plan, passed)


class _Plan:
    """What becomes of response headers with these names in this order, whatever their values.

    Attributes:
        passes: says of each header whether it passes.
        keys: the canonical names of those that pass.
        rewrites: a name is not in lower case, or a value is an address.
        types: how many give a Content-Type; the first of them is at `type_at`.
    """

    __slots__ = (
        "codings_at", "connections_at", "keys", "length_at", "passes", "rewrites", "type_at", "types",
    )  # fmt: skip

    def __init__(self, names: tuple[bytes, ...]) -> None:
        keys = [_response_key[name] for name in names]
        lowered = [name.lower() for name in names]
        self.passes = tuple(map(bool, keys))
        self.keys = frozenset(filter(None, keys))
        self.rewrites = not _LOCATIONS.isdisjoint(keys) or lowered != list(names)
        self.connections_at = _places(b"connection", [_canonical[name] for name in names])
        self.codings_at = _places(b"content-encoding", lowered)
        types = _places(b"content-type", lowered)
        self.types, self.type_at = len(types), next(iter(types), 0)
        self.length_at = next(iter(_places(b"content-length", lowered)), None)


def _places(name: bytes, names: list[bytes]) -> tuple[int, ...]:
    return tuple(at for at, one in enumerate(names) if one == name)


def _rewritten(headers: Headers, upstream_origin: str, api_prefix: str) -> list[tuple[bytes, bytes]]:
    """Return headers with names in lower case, and with addresses as the client can use them."""
    rewritten: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        address = _response_key[name] in _LOCATIONS
        new_value = _location(value, upstream_origin, api_prefix) if address else value
        if new_value is not None:
            rewritten.append((name.lower(), new_value))
    return rewritten


def _in_one_spelling(name: bytes) -> bytes:
    return name.strip().lower().replace(b"_", b"-")


def _key(name: bytes, names: frozenset[bytes], prefixes: tuple[bytes, ...]) -> bytes:
    """Return the canonical name, or an empty value if the header is blocked."""
    key = _canonical[name]
    if key in names or key.startswith(prefixes) or (key == _FRAMING and b"_" in name):
        return b""
    return key


_end_to_end: Final = OfFields(_passed)
_canonical: Final = Memo[bytes, bytes](_in_one_spelling, longest=_LONGEST_USUAL_NAME)
_request_key: Final = Memo[bytes, bytes](
    # Of `connection` too: one look at the keys tells whether there is one.
    lambda name: _key(name, _BLOCKED_REQUEST_NAMES - {_CONNECTION}, _BLOCKED_REQUEST_PREFIXES),
    longest=_LONGEST_USUAL_NAME,
)
_response_key: Final = Memo[bytes, bytes](
    lambda name: _key(name, _BLOCKED_RESPONSE_NAMES, _BLOCKED_RESPONSE_PREFIXES), longest=_LONGEST_USUAL_NAME
)
_plans: Final = Memo(_Plan, longest=_LONGEST_USUAL_NAMES, length=lambda names: sum(map(len, names)))


def _connection_options(value: bytes) -> set[bytes]:
    """Return the canonical names that a Connection header lists as hop-by-hop (RFC 9110 §7.6.1)."""
    return {_canonical[option] for option in value.split(b",")} - {_FRAMING}


_removed_by: Final = Memo[bytes, set[bytes]](_connection_options, longest=_LONGEST_USUAL_NAME)


def _location(value: bytes, upstream_origin: str, api_prefix: str) -> bytes | None:
    """Return the URI reference rewritten for the client, or None if it is malformed or ambiguous."""
    if not _URI.fullmatch(value):
        return None
    try:
        parts = urlsplit(value.decode("ascii"))
        is_upstream = _is_upstream(parts, upstream_origin)
    except ValueError:
        return None
    if not is_upstream:
        return value
    if parts.username is not None or any(_is_dot_segment(segment) for segment in parts.path.split("/")):
        return None
    query = f"?{parts.query}" if parts.query else ""
    fragment = f"#{parts.fragment}" if parts.fragment else ""
    return f"{api_prefix}{parts.path or '/'}{query}{fragment}".encode()


def _is_upstream(parts: SplitResult, upstream_origin: str) -> bool:
    """Return whether a reference is on the upstream origin.

    An upstream behind a TLS terminator may use http in its own URLs, so the two default ports are treated as equal.
    """
    if not parts.netloc:
        return not parts.scheme and parts.path.startswith("/")
    scheme, host, port = _origin(upstream_origin)
    if parts.hostname != host or (parts.scheme and parts.scheme not in _DEFAULT_PORTS):
        return False
    reference_port = parts.port or _DEFAULT_PORTS[parts.scheme or scheme]
    return reference_port == port or {reference_port, port} == set(_DEFAULT_PORTS.values())


@lru_cache(maxsize=8)
def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS[parts.scheme]


def _is_dot_segment(segment: str) -> bool:
    return segment.lower().replace("%2e", ".").partition(";")[0] in {".", ".."}


def _browser_cache(headers: Headers) -> bytes:
    """Return a private Cache-Control value that allows no more than the upstream's own (RFC 9111 §5.2.2)."""
    directives = _directives(value for name, value in headers if _canonical[name] == b"cache-control")
    passed: list[str] = [name for name in _PASSED_DIRECTIVES if name in directives]
    if "no-store" in directives:
        return _NO_STORE
    if "max-age" in directives:
        age = max((_seconds(v.decode("latin-1")) for n, v in headers if _canonical[n] == b"age"), default=0)
        lifetime = min(_seconds(value) for value in directives["max-age"])
        passed.insert(0, f"max-age={max(lifetime - age, 0)}")
    elif "no-cache" not in directives:
        return _NO_STORE
    return ", ".join(["private", *passed]).encode()


def _directives(values: Iterable[bytes]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in _DIRECTIVE.findall(b", ".join(values).decode("latin-1").lower()):
        found.setdefault(name, []).append(value.strip('"'))
    return found


def _seconds(text: str) -> int:
    """Parse delta-seconds (RFC 9111 §1.2.2); an invalid value counts as 0, and one year is the maximum."""
    text = text.strip()
    if not (text.isascii() and text.isdigit()):
        return 0
    return min(int(text[:12]), 31_536_000)
