"""The URL of the store: checked whole, so that an option which would be ignored is a mistake with its name."""

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qsl

from bff.config.parsing import (
    HOST,
    InvalidValue,
    boolean,
    canonical_host,
    choice,
    integer,
    is_port,
    matching,
    readable_file,
)
from bff.security.secret import Secret

EMBEDDED: Final = "embedded:"
_REDIS: Final = re.compile(
    r"(unix|rediss?|rediss?\+sentinel|rediss?\+cluster)://(?:[^/?#]*@)?([^/?#@]*)([^?#]*)(?:\?([^#]*))?"
)
_ENDPOINT: Final = re.compile(rf"({HOST})(?::([0-9]{{1,5}}))?")
_REDIS_PATHS: Final = {
    "unix": re.compile(r"/.+"),
    "redis": re.compile(r"(/[0-9]{0,5})?"),
    "rediss": re.compile(r"(/[0-9]{0,5})?"),
    "redis+sentinel": re.compile(r"/[^/]+(/[0-9]{0,5})?"),
    "rediss+sentinel": re.compile(r"/[^/]+(/[0-9]{0,5})?"),
    "redis+cluster": re.compile(r"(/0?)?"),
    "rediss+cluster": re.compile(r"(/0?)?"),
}
_REDIS_SHAPES: Final = {
    "unix": "unix:///path/of/redis.sock",
    "redis": "redis://[user:password@]host[:port][/database]",
    "rediss": "rediss://[user:password@]host[:port][/database]",
    "redis+sentinel": "redis+sentinel://[user:password@]host[:port],…/service[/database]",
    "rediss+sentinel": "rediss+sentinel://[user:password@]host[:port],…/service[/database]",
    "redis+cluster": "redis+cluster://[user:password@]host[:port],…",
    "rediss+cluster": "rediss+cluster://[user:password@]host[:port],…",
}
_OPTION_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_credential: Final = matching(r"[ -~]{1,1024}", "1 to 1024 printable ASCII characters")
_ANYWHERE: Final[dict[str, Callable[[str], Any]]] = {
    "protocol": choice("2", "3"),
    "client_name": matching(r"[!-~]{1,128}", "1 to 128 visible ASCII characters"),
}
_DATABASE: Final[dict[str, Callable[[str], Any]]] = {"db": integer(0, 99_999)}
_TLS: Final[dict[str, Callable[[str], Any]]] = {
    "ssl_ca_certs": readable_file,
    "ssl_certfile": readable_file,
    "ssl_keyfile": readable_file,
    "ssl_check_hostname": boolean,
}
_SENTINEL: Final[dict[str, Callable[[str], Any]]] = {
    "sentinel_username": _credential,
    "sentinel_password": _credential,
}


def redis_url(text: str) -> Secret:
    """Check the URL of the store. ``embedded:DIR`` is returned unchanged, also with a relative DIR or ``~``."""
    if text.startswith(EMBEDDED) and text.isprintable():
        return Secret(text)
    match = _REDIS.fullmatch(text) if text.isascii() and text.isprintable() else None
    if not match:
        raise InvalidValue(
            "expected redis://, rediss://, unix://, redis+sentinel://, redis+cluster:// (both also as rediss+) or "
            "embedded:DIR, with special characters in the password percent-encoded"
        )
    scheme, hosts, path, query = match.groups()
    if not _REDIS_PATHS[scheme].fullmatch(path) or not _are_endpoints(scheme, hosts):
        raise InvalidValue(f"expected {_REDIS_SHAPES[scheme]}")
    if wrong := _wrong_options(scheme, query or ""):
        raise InvalidValue(*wrong)
    return Secret(text)


def _wrong_options(scheme: str, query: str) -> list[str]:
    """Return what is wrong with the options of a URL, each named and none with its value."""
    known, seen, wrong = _options(scheme), set(), []
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            shown = f"{name!r}" if _OPTION_NAME.fullmatch(name) else "of that name"
            wrong.append(f"no option {shown} in a {scheme}:// URL: expected {', '.join(known)}")
        elif name in seen:
            wrong.append(f"expected the option {name} only once")
        else:
            wrong += _wrong_value(name, known[name], value)
        seen.add(name)
    return wrong


def _wrong_value(name: str, parse: Callable[[str], Any], value: str) -> list[str]:
    try:
        parse(value)
    except InvalidValue as error:
        return [f"the option {name}: {message}" for message in error.messages]
    return []


def _options(scheme: str) -> dict[str, Callable[[str], Any]]:
    """Return the options that a URL of this scheme may have."""
    options = dict(_ANYWHERE)
    if scheme in {"unix", "redis", "rediss"}:
        options |= _DATABASE
    if scheme.startswith("rediss"):
        options |= _TLS
    if scheme.endswith("+sentinel"):
        options |= _SENTINEL
    return options


def _are_endpoints(scheme: str, hosts: str) -> bool:
    if scheme == "unix":
        return not hosts
    endpoints = [_ENDPOINT.fullmatch(endpoint) for endpoint in hosts.lower().split(",")]
    if len(endpoints) > 1 and scheme in {"redis", "rediss"}:
        return False
    return all(match and canonical_host(match[1]) and is_port(match[2]) for match in endpoints)
