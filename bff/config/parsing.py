"""From the text of a setting to its typed value.

A parser takes the text and returns the value or raises `Expected`, whose sentences say what would have been
right and never repeat the text, because the text may be a secret.
"""

import base64
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from bff.security.secret import Secret

T = TypeVar("T")
Network = IPv4Network | IPv6Network

EMBEDDED: Final = "embedded:"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = r"\[[0-9a-f:.]+\]|[a-z0-9._-]+"
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_ORIGIN: Final = re.compile(rf"(https?)://({_HOST})(?::([0-9]{{1,5}}))?/?")
_PAGE: Final = re.compile(r"([^/?#]+//[^/?#]+)([/?][!$-;=?-\[\]_a-z~]*)?", re.IGNORECASE)
_REDIS: Final = re.compile(
    r"(unix|rediss?|redis\+sentinel|redis\+cluster)://(?:[^/?#]*@)?([^/?#@]*)([^?#]*)(?:\?[^#]*)?"
)
_ENDPOINT: Final = re.compile(rf"({_HOST})(?::([0-9]{{1,5}}))?")
_REDIS_PATHS: Final = {
    "unix": re.compile(r"/.+"),
    "redis": re.compile(r"(/[0-9]{0,5})?"),
    "rediss": re.compile(r"(/[0-9]{0,5})?"),
    "redis+sentinel": re.compile(r"/[^/]+(/[0-9]{0,5})?"),
    "redis+cluster": re.compile(r"(/0?)?"),
}
_REDIS_SHAPES: Final = {
    "unix": "unix:///path/of/redis.sock",
    "redis": "redis://[user:password@]host[:port][/database]",
    "rediss": "rediss://[user:password@]host[:port][/database]",
    "redis+sentinel": "redis+sentinel://[user:password@]host[:port],…/service[/database]",
    "redis+cluster": "redis+cluster://[user:password@]host[:port],…",
}
_KEY: Final = re.compile(r"([A-Za-z0-9_-]{1,16}):([A-Za-z0-9_-]{43})=?")
_PROVIDER: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_MEMBERS: Final = ("authorize_url", "client_id", "scope", "config")
_TRUE: Final = ("true", "1", "yes", "on")
_FALSE: Final = ("false", "0", "no", "off")


class Expected(ValueError):
    """The text is not what it should be; `sentences` say what is expected, one per mistake."""

    def __init__(self, *sentences: str) -> None:
        super().__init__("; ".join(sentences))
        self.sentences = sentences


@dataclass(frozen=True, slots=True)
class KeySpec:
    """One key of the ring: `kid` is its public name, `key` its 32 bytes, which `repr` hides."""

    kid: str
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` tries within `seconds`."""

    count: int
    seconds: int


@dataclass(frozen=True, slots=True)
class SsoProvider:
    """An identity provider: where browsers are sent, as which client, for which scope, under which config."""

    authorize_url: str
    client_id: str
    scope: str | None = None
    config: str | None = None


def matching(pattern: str, expected: str) -> Callable[[str], str]:
    """Return a parser of texts that match all of `pattern`."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise Expected(f"expected {expected}")
        return text

    return parse


def integer(minimum: int, maximum: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `minimum` to `maximum`, in plain ASCII digits."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,15}", text) or not minimum <= int(text) <= maximum:
            raise Expected(f"expected a whole number from {minimum} to {maximum}")
        return int(text)

    return parse


def decimal(minimum: int, maximum: int) -> Callable[[str], float]:
    """Return a parser of numbers from `minimum` to `maximum`, such as ``2.5``."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text) or not minimum <= float(text) <= maximum:
            raise Expected(f"expected a number from {minimum} to {maximum}")
        return float(text)

    return parse


def choice(*words: str) -> Callable[[str], str]:
    """Return a parser of one of `words`, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in words:
            raise Expected(f"expected one of {', '.join(words)}")
        return text.lower()

    return parse


def boolean(text: str) -> bool:
    """Parse true, 1, yes, on, false, 0, no or off, in any case."""
    return choice(*_TRUE, *_FALSE)(text) in _TRUE


def rate(text: str) -> Rate:
    """Parse ``N/SECONDS``."""
    match = re.fullmatch(r"([0-9]{1,7})/([0-9]{1,5})", text)
    if not match or int(match[1]) < 1 or not 1 <= int(match[2]) <= 86_400:
        raise Expected("expected N/SECONDS such as 10/60, with N from 1 and SECONDS from 1 to 86400")
    return Rate(int(match[1]), int(match[2]))


def readable_file(text: str) -> Path:
    """Parse the path of a regular file that can be read now."""
    path = Path(text)
    if not path.is_file() or not os.access(path, os.R_OK):
        raise Expected("expected the path of a file that can be read")
    return path


def each(text: str, parse: Callable[[str], T]) -> tuple[T, ...]:
    """Parse a comma list; blanks and empty entries do not count; every wrong one is reported."""
    values: list[T] = []
    wrong: list[str] = []
    for position, entry in enumerate(filter(None, map(str.strip, text.split(","))), start=1):
        try:
            values.append(parse(entry))
        except Expected as error:
            wrong += (f"entry {position}: {sentence}" for sentence in error.sentences)
    if wrong:
        raise Expected(*wrong)
    return tuple(values)


def canonical_host(host: str) -> str | None:
    """Return a lower-case `host` as browsers write it (RFC 5952 for IPv6), or None where it is none."""
    try:
        if host.startswith("["):
            return f"[{IPv6Address(host[1:-1]).compressed}]"
        if host.rpartition(".")[2].isdecimal():
            return str(IPv4Address(host))
    except ValueError:
        return None
    return host if len(host) <= 253 and all(map(_LABEL.fullmatch, host.split("."))) else None


def is_loopback(host: str) -> bool:
    """Tell whether a canonical `host` is this machine by definition: RFC 6761 names, 127.0.0.0/8, ::1."""
    if host in {"[::1]", "localhost"} or host.endswith(".localhost"):
        return True
    return host.startswith("127.") and host.rpartition(".")[2].isdecimal()


def origin(text: str) -> str:
    """Parse to ``scheme://host[:port]`` in lower case, without the scheme's own port or a lone slash."""
    match = _ORIGIN.fullmatch(text.lower()) if text.isascii() else None
    host = canonical_host(match[2]) if match else None
    if not match or not host or not _is_port(match[3]):
        raise Expected("expected an origin such as https://shop.example: scheme://host[:port] and no more")
    if match[1] == "http" and not is_loopback(host):
        raise Expected("expected https; http is for a loopback host only")
    port = int(match[3] or _DEFAULT_PORTS[match[1]])
    return f"{match[1]}://{host}" + ("" if port == _DEFAULT_PORTS[match[1]] else f":{port}")


def origins(text: str) -> tuple[str, ...]:
    """Parse a comma list of origins; ``*`` and ``null`` are refused, what stands twice counts once."""
    return tuple(dict.fromkeys(each(text, origin)))


def page_url(text: str) -> str:
    """Parse the address of a page: an origin as above, then path and query; no fragment."""
    match = _PAGE.fullmatch(text) if text.isascii() else None
    if not match:
        raise Expected("expected an https address without user or fragment")
    return origin(match[1]) + (match[2] or "")


def networks(text: str) -> tuple[Network, ...]:
    """Parse a comma list of CIDRs or single addresses."""

    def parse(entry: str) -> Network:
        try:
            return ip_network(entry)
        except ValueError:
            raise Expected("expected a CIDR such as 10.0.0.0/8, its host bits zero") from None

    return each(text, parse)


def keys(text: str) -> tuple[KeySpec, ...]:
    """Parse the key ring ``kid:base64url,…``, newest first."""
    ring = each(text, _key)
    if not ring:
        raise Expected("expected at least one kid:key, as printed by `bff keys new`")
    if len({spec.kid for spec in ring}) < len(ring):
        raise Expected("expected a key id to stand once")
    if len({spec.key for spec in ring}) < len(ring):
        raise Expected("expected different keys under different key ids")
    return ring


def _key(entry: str) -> KeySpec:
    match = _KEY.fullmatch(entry)
    if not match:
        raise Expected("expected kid:base64url(32 bytes) with a kid of 1 to 16 letters, digits, - or _")
    key = base64.urlsafe_b64decode(match[2] + "=")
    if len(set(key)) == 1:
        raise Expected("expected a random key, as printed by `bff keys new`")
    return KeySpec(match[1], key)


def redis_url(text: str) -> Secret:
    """Parse the address of the store; ``embedded:DIR`` stays as it is, a relative DIR and ``~`` too."""
    if text.startswith(EMBEDDED) and text.isprintable():
        return Secret(text)
    match = _REDIS.fullmatch(text) if text.isascii() and text.isprintable() else None
    if not match:
        raise Expected(
            "expected redis://, rediss://, unix://, redis+sentinel://, redis+cluster:// or embedded:DIR, "
            "special characters in the password percent-encoded"
        )
    scheme, hosts, path = match.groups()
    if not _REDIS_PATHS[scheme].fullmatch(path) or not _endpoints_fit(scheme, hosts):
        raise Expected(f"expected {_REDIS_SHAPES[scheme]}")
    return Secret(text)


def _endpoints_fit(scheme: str, hosts: str) -> bool:
    if scheme == "unix":
        return not hosts
    endpoints = [_ENDPOINT.fullmatch(endpoint) for endpoint in hosts.lower().split(",")]
    if len(endpoints) > 1 and scheme in {"redis", "rediss"}:
        return False
    return all(match and canonical_host(match[1]) and _is_port(match[2]) for match in endpoints)


def _is_port(digits: str | None) -> bool:
    return digits is None or 1 <= int(digits) <= 65_535


def sso(text: str) -> Mapping[str, SsoProvider]:
    """Parse the identity providers: a JSON object of name to members, each of which stands once."""
    try:
        parsed = json.loads(text, object_pairs_hook=_unique)
    except Expected:
        raise
    except (ValueError, RecursionError):
        raise Expected("expected JSON") from None
    if not isinstance(parsed, dict):
        raise Expected("expected a JSON object of provider name to provider")
    providers: dict[str, SsoProvider] = {}
    wrong: list[str] = []
    for position, (name, members) in enumerate(parsed.items(), start=1):
        try:
            providers[name] = _provider(name, members)
        except Expected as error:
            wrong += (f"provider {position}: {sentence}" for sentence in error.sentences)
    if wrong:
        raise Expected(*wrong)
    return MappingProxyType(providers)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise Expected("expected every JSON member once")
    return members


def _provider(name: str, members: Any) -> SsoProvider:
    if not _PROVIDER.fullmatch(name):
        raise Expected("expected a name of 1 to 32 lower-case letters, digits or -")
    if not isinstance(members, dict) or not set(members) <= set(_MEMBERS):
        raise Expected(f"expected an object of {', '.join(_MEMBERS)} and nothing else")
    absent = {member for member in ("scope", "config") if members.get(member) is None}
    wrong = [member for member in _MEMBERS if member not in absent and not _is_text(members.get(member))]
    if wrong:
        raise Expected(*(f"expected {member} to be a text that is not empty" for member in wrong))
    try:
        address = page_url(members["authorize_url"])
    except Expected as error:
        raise Expected(*(f"authorize_url: {sentence}" for sentence in error.sentences)) from None
    return SsoProvider(address, members["client_id"], members.get("scope"), members.get("config"))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and bool(value.strip())
