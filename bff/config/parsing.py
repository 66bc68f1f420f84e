"""Parsers that turn the text of a setting into its typed value.

A parser returns the value or raises `InvalidValue`. Its messages describe the expected format and never quote
the text, because the text may be a secret.
"""

import base64
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from bff.addresses import Network

T = TypeVar("T")

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
HOST: Final = r"\[[0-9a-f:.]+\]|[a-z0-9._-]+"
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_ORIGIN: Final = re.compile(rf"(https?)://({HOST})(?::([0-9]{{1,5}}))?/?")
_PAGE: Final = re.compile(r"([^/?#]+//[^/?#]+)([/?][!$-;=?-\[\]_a-z~]*)?", re.IGNORECASE)
_KEY: Final = re.compile(r"([A-Za-z0-9_-]{1,16}):([A-Za-z0-9_-]{43})=?")
_PROVIDER: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_MEMBERS: Final = ("authorize_url", "client_id", "scope", "config")
_TRUE: Final = ("true", "1", "yes", "on")
_FALSE: Final = ("false", "0", "no", "off")


class InvalidValue(ValueError):
    """The text of a setting is not valid; `messages` describe the expected format, one per mistake."""

    def __init__(self, *messages: str) -> None:
        super().__init__("; ".join(messages))
        self.messages = messages


@dataclass(frozen=True, slots=True)
class KeySpec:
    """One key of the key ring: the public key id `kid`, and 32 secret bytes that `repr` hides."""

    kid: str
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate limit: at most `count` attempts within `seconds`."""

    count: int
    seconds: int


@dataclass(frozen=True, slots=True)
class SsoProvider:
    """An identity provider for single sign-on.

    Attributes:
        authorize_url: the provider's authorization endpoint, to which browsers are redirected.
        client_id: the client id that this provider has issued.
        scope: the OAuth scope to request, if any.
        config: the name of the Emporix configuration for this provider, if the tenant has several.
    """

    authorize_url: str
    client_id: str
    scope: str | None = None
    config: str | None = None


def matching(pattern: str, expected: str) -> Callable[[str], str]:
    """Return a parser that accepts text if `pattern` matches all of it."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise InvalidValue(f"expected {expected}")
        return text

    return parse


def integer(minimum: int, maximum: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `minimum` to `maximum`, written in ASCII digits."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,15}", text) or not minimum <= int(text) <= maximum:
            raise InvalidValue(f"expected a whole number from {minimum} to {maximum}")
        return int(text)

    return parse


def decimal(minimum: int, maximum: int) -> Callable[[str], float]:
    """Return a parser of numbers from `minimum` to `maximum`, such as ``2.5``."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text) or not minimum <= float(text) <= maximum:
            raise InvalidValue(f"expected a number from {minimum} to {maximum}")
        return float(text)

    return parse


def choice(*words: str) -> Callable[[str], str]:
    """Return a parser that accepts one of `words`; case does not matter."""

    def parse(text: str) -> str:
        if text.lower() not in words:
            raise InvalidValue(f"expected one of {', '.join(words)}")
        return text.lower()

    return parse


def boolean(text: str) -> bool:
    """Parse true, 1, yes, on, false, 0, no or off; case does not matter."""
    return choice(*_TRUE, *_FALSE)(text) in _TRUE


def rate(text: str) -> Rate:
    """Parse ``N/SECONDS``."""
    match = re.fullmatch(r"([0-9]{1,7})/([0-9]{1,5})", text)
    if not match or int(match[1]) < 1 or not 1 <= int(match[2]) <= 86_400:
        raise InvalidValue("expected N/SECONDS, such as 10/60, with N at least 1 and SECONDS from 1 to 86400")
    return Rate(int(match[1]), int(match[2]))


def readable_file(text: str) -> Path:
    """Parse the path of a regular file that this process can read."""
    path = Path(text)
    if not path.is_file() or not os.access(path, os.R_OK):
        raise InvalidValue("expected the path of a readable file")
    return path


def each(text: str, parse: Callable[[str], T]) -> tuple[T, ...]:
    """Parse a comma-separated list. Empty entries are skipped, and every wrong entry is reported."""
    values: list[T] = []
    wrong: list[str] = []
    for position, entry in enumerate(filter(None, map(str.strip, text.split(","))), start=1):
        try:
            values.append(parse(entry))
        except InvalidValue as error:
            wrong += (f"entry {position}: {message}" for message in error.messages)
    if wrong:
        raise InvalidValue(*wrong)
    return tuple(values)


def canonical_host(host: str) -> str | None:
    """Return a lower-case `host` as browsers write it (RFC 5952 for IPv6), or None if it is not valid."""
    try:
        if host.startswith("["):
            return f"[{IPv6Address(host[1:-1]).compressed}]"
        if host.rpartition(".")[2].isdecimal():
            return str(IPv4Address(host))
    except ValueError:
        return None
    return host if len(host) <= 253 and all(map(_LABEL.fullmatch, host.split("."))) else None


def is_loopback(host: str) -> bool:
    """Return whether a canonical `host` is a loopback host: localhost (RFC 6761), 127.0.0.0/8 or ::1."""
    if host in {"[::1]", "localhost"} or host.endswith(".localhost"):
        return True
    return host.startswith("127.") and host.rpartition(".")[2].isdecimal()


def origin(text: str) -> str:
    """Parse an origin to ``scheme://host[:port]`` in lower case; a default port and a final slash are dropped."""
    scheme, host, port = _origin_parts(text, "https://shop.example")
    if scheme == "http" and not is_loopback(host):
        raise InvalidValue("expected https; http is allowed for a loopback host only")
    return f"{scheme}://{host}{port}"


def collector(text: str) -> str:
    """Parse the origin of a collector; plain http is usual there. What sends traces must be installed."""
    from importlib import metadata  # noqa: PLC0415 - takes a fiftieth of the start, and most have no collector

    scheme, host, port = _origin_parts(text, "http://collector:4318")
    try:
        metadata.version("opentelemetry-sdk")
        metadata.version("opentelemetry-exporter-otlp-proto-common")
    except metadata.PackageNotFoundError:
        raise InvalidValue("needs the extra emporix-bff[otel], which is not installed") from None
    return f"{scheme}://{host}{port}"


def _origin_parts(text: str, example: str) -> tuple[str, str, str]:
    """Return scheme, host, and the port with its colon where it is not the scheme's own."""
    match = _ORIGIN.fullmatch(text.lower()) if text.isascii() else None
    host = canonical_host(match[2]) if match else None
    if not match or not host or not is_port(match[3]):
        raise InvalidValue(f"expected an origin, scheme://host[:port], such as {example}")
    port = int(match[3] or _DEFAULT_PORTS[match[1]])
    return match[1], host, "" if port == _DEFAULT_PORTS[match[1]] else f":{port}"


def origins(text: str) -> tuple[str, ...]:
    """Parse a comma-separated list of origins; ``*`` and ``null`` are refused, duplicates are dropped."""
    return tuple(dict.fromkeys(each(text, origin)))


def page_url(text: str) -> str:
    """Parse a URL: an origin as above, then a path and a query, but no fragment."""
    match = _PAGE.fullmatch(text) if text.isascii() else None
    if not match:
        raise InvalidValue("expected an https URL without user and fragment")
    return origin(match[1]) + (match[2] or "")


def address(text: str) -> str:
    """Parse the address of one of this machine's interfaces."""
    try:
        return str(ip_address(text))
    except ValueError:
        raise InvalidValue("expected an IP address, such as 127.0.0.1, 0.0.0.0 or ::1") from None


def networks(text: str) -> tuple[Network, ...]:
    """Parse a comma-separated list of CIDR networks or single IP addresses."""

    def parse(entry: str) -> Network:
        try:
            return ip_network(entry)
        except ValueError:
            raise InvalidValue("expected a CIDR network, such as 10.0.0.0/8, with host bits zero") from None

    return each(text, parse)


def keys(text: str) -> tuple[KeySpec, ...]:
    """Parse the key ring ``kid:base64url,…``, newest first."""
    ring = each(text, _key)
    if not ring:
        raise InvalidValue("expected at least one kid:key, as printed by `bff keys new`")
    if len({spec.kid for spec in ring}) < len(ring):
        raise InvalidValue("expected every key id only once")
    if len({spec.key for spec in ring}) < len(ring):
        raise InvalidValue("expected a different key for every key id")
    return ring


def _key(entry: str) -> KeySpec:
    match = _KEY.fullmatch(entry)
    if not match:
        raise InvalidValue("expected kid:base64url(32 bytes) with a kid of 1 to 16 letters, digits, - or _")
    key = base64.urlsafe_b64decode(match[2] + "=")
    if len(set(key)) == 1:
        raise InvalidValue("expected a random key, as printed by `bff keys new`")
    return KeySpec(match[1], key)


def is_port(digits: str | None) -> bool:
    """Say whether the digits of an address name a port; none stand for the usual one."""
    return digits is None or 1 <= int(digits) <= 65_535


def sso(text: str) -> Mapping[str, SsoProvider]:
    """Parse the identity providers: a JSON object that maps names to providers, without duplicate members."""
    try:
        parsed = json.loads(text, object_pairs_hook=_reject_duplicate_members)
    except InvalidValue:
        raise
    except (ValueError, RecursionError):
        raise InvalidValue("expected JSON") from None
    if not isinstance(parsed, dict):
        raise InvalidValue("expected a JSON object that maps provider names to providers")
    providers: dict[str, SsoProvider] = {}
    wrong: list[str] = []
    for position, (name, members) in enumerate(parsed.items(), start=1):
        try:
            providers[name] = _provider(name, members)
        except InvalidValue as error:
            wrong += (f"provider {position}: {message}" for message in error.messages)
    if wrong:
        raise InvalidValue(*wrong)
    return MappingProxyType(providers)


def _reject_duplicate_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise InvalidValue("expected every JSON member only once")
    return members


def _provider(name: str, members: Any) -> SsoProvider:
    if not _PROVIDER.fullmatch(name):
        raise InvalidValue("expected a name of 1 to 32 lower-case letters, digits or -")
    if not isinstance(members, dict) or not set(members) <= set(_MEMBERS):
        raise InvalidValue(f"expected an object with the members {', '.join(_MEMBERS)} only")
    absent = {member for member in ("scope", "config") if members.get(member) is None}
    wrong = [member for member in _MEMBERS if member not in absent and not _is_text(members.get(member))]
    if wrong:
        raise InvalidValue(*(f"expected {member} to be a non-empty string" for member in wrong))
    try:
        authorize_url = page_url(members["authorize_url"])
    except InvalidValue as error:
        raise InvalidValue(*(f"authorize_url: {message}" for message in error.messages)) from None
    return SsoProvider(authorize_url, members["client_id"], members.get("scope"), members.get("config"))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and bool(value.strip())
