"""Reading the route table: the built-in `routes.toml`, and the changes in an operator's file."""

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

from bff.api.routes import ANY, METHODS, REST, Route, RouteTable, Shape, shape_of, shapes_of
from bff.api.token_kinds import BROWSER_CACHE, FLAGS, SESSION_FLAGS, TokenKind, allowed_flags

TOKEN_SERVICES: Final = frozenset({"customerlogin", "oauth"})  # every path of these services returns tokens

_EXCLUSIVE: Final = ({"saas-token", "saas-token-optional"}, {"session-id", "chat-session"})
_LITERAL: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+")  # pchar of RFC 3986 §3.3, unescaped
_FEWEST_BEFORE_REST: Final = 3  # service, tenant and a resource: a wildcard never opens a whole service
_PARAMETER: Final = re.compile(r"\{[A-Za-z][A-Za-z0-9_-]*\}")

_TOML_LINE: Final = re.compile(r"at line (\d+)")
_FORM: Final = 'write "GET,POST /service/{tenant}/path/{id}" = "TOKEN FLAG...", or "on" or "off" after the ='

_Key = tuple[str, Shape]  # method and shape
_State = Literal["allow", "opt-in", "never", "off"]


class RouteTableError(Exception):
    """The operator's route file is not valid; `mistakes` has one message per mistake.

    A message names the line and says how to write it.
    """

    def __init__(self, mistakes: tuple[str, ...]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


def load_route_table(tenant: str, extra: str | None = None, *, drop_in: bool = False) -> RouteTable:
    """Build the table from the built-in entries and the text of an operator's file.

    The file has one table, `[routes]`. `"METHODS /path" = "TOKEN FLAGS"` adds or replaces an entry, `"on"` allows an
    opt-in entry, and `"off"` refuses an entry.

    Args:
        tenant: the only one that paths may contain.
        extra: the text of the operator's file.
        drop_in: whether what existing Emporix clients call beyond the reference is allowed.

    Raises:
        RouteTableError: the file is not valid; it lists every mistake.
    """
    entries = _built_in(drop_in=drop_in)
    if extra is not None and (mistakes := tuple(_apply_file(entries, extra))):
        raise RouteTableError(mistakes)
    routes = [entry.route for entry in entries.values() if entry.state == "allow" and entry.route]
    refused = [(method, entry.template) for (method, _), entry in entries.items() if entry.state != "allow"]
    return RouteTable(tenant, routes, refused)


def read_route_table(tenant: str, path: Path | None, *, drop_in: bool = False) -> RouteTable:
    """Build the table with the operator's file on this path, if there is one.

    Raises:
        RouteTableError: the file cannot be read or is not valid; it lists every mistake.
    """
    try:
        text = None if path is None else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise RouteTableError(("expected UTF-8 text",)) from None
    return load_route_table(tenant, text, drop_in=drop_in)


@dataclass(frozen=True, slots=True)
class _Entry:
    state: _State
    template: str
    route: Route | None = None


def _built_in(*, drop_in: bool) -> dict[_Key, _Entry]:
    document = tomllib.loads(files(__package__).joinpath("routes.toml").read_text("utf-8"))
    sections: dict[str, _State] = {"allow": "allow", "opt-in": "opt-in", "never": "never"}
    if drop_in:
        sections["drop-in"] = "allow"
    entries: dict[_Key, _Entry] = {}
    for section, state in sections.items():
        for key, rule in document[section].items():
            for method, template in _split_methods(key):
                route = None if state == "never" else _route(method, template, rule)
                entries[method, shape_of(template)] = _Entry(state, template, route)
    return entries


def _apply_file(entries: dict[_Key, _Entry], extra: str) -> Iterator[str]:
    """Apply the operator's file to the entries and yield its mistakes."""
    try:
        document = tomllib.loads(extra)
    except tomllib.TOMLDecodeError as error:
        yield _toml_mistake(extra, error)
        return
    for name in document.keys() - {"routes"}:
        if isinstance(document[name], Mapping):
            yield f"[{name}]: only [routes] is allowed"
        else:
            yield f'"{name}": must stand below a line [routes]'
    table = document.get("routes", {})
    if not isinstance(table, Mapping):
        yield "routes: must be a table"
        return
    tenant_services, seen = _tenant_services(entries), set[_Key]()
    for name, rule in table.items():
        found = [*_name_mistakes(name, tenant_services), *_rule_mistakes(rule)]
        if not found:
            found = [*_apply_line(entries, seen, name, rule)]
        yield from (f'"{name}" = {_shown(rule)}: {mistake}' for mistake in found)


def _toml_mistake(text: str, error: tomllib.TOMLDecodeError) -> str:
    """Return a message with the line that is not TOML, which most often lacks its quotes."""
    found = _TOML_LINE.search(str(error))
    if found is None:
        return f"not TOML: {error}; {_FORM}"
    line = text.splitlines()[int(found[1]) - 1].strip()
    return f"line {found[1]}, {line}: not TOML: {error}; {_FORM}"


def _shown(rule: Any) -> str:
    """Return a value as it is written in TOML."""
    return json.dumps(rule, ensure_ascii=False, default=str)


def _apply_line(entries: dict[_Key, _Entry], seen: set[_Key], name: str, rule: str) -> Iterator[str]:
    for method, template in _split_methods(name):
        key = method, shape_of(template)
        entry = entries.get(key)
        if key in seen:
            yield f"{method} is given twice"
        elif mistake := _mistake(entries, key, rule):
            yield f"{method} {mistake}"
        elif entry and rule in {"on", "off"}:
            entries[key] = replace(entry, state="allow" if rule == "on" else "off")
        else:
            entries[key] = _Entry("allow", template, _route(method, template, rule))
        seen.add(key)


def _mistake(entries: Mapping[_Key, _Entry], key: _Key, rule: str) -> str | None:
    entry = entries.get(key)
    if entry.state == "never" if entry else _never_allowed(entries, *key):
        return "can never be allowed; leave it out"
    if rule == "on" and (entry is None or entry.state != "opt-in"):
        return 'is not an opt-in entry, so it cannot be switched on; write its token in place of "on"'
    if rule == "off" and entry is None:
        return "is not in the table, so it cannot be switched off; leave it out"
    return None


def _name_mistakes(name: str, tenant_services: frozenset[str]) -> Iterator[str]:
    methods, _, path = name.partition(" ")
    for method in methods.split(","):
        if method not in METHODS:
            yield f"unknown method {method!r}; write one or more of {','.join(METHODS)}, with commas and no blanks"
    segments = path.split("/")[1:]
    if not path.startswith("/"):
        yield f"must be METHODS, a space and a path that starts with /; {_FORM}"
    elif not all(_PARAMETER.fullmatch(s) or _LITERAL.fullmatch(s) for s in segments):
        yield "a segment must be {name} or literal characters; empty segments, escapes and queries are refused"
    elif {".", ".."} & set(segments):
        yield "dot segments are refused"
    elif REST in segments[:-1] or (REST in segments and len(segments) <= _FEWEST_BEFORE_REST):
        yield "** may only be the last segment, after three others at least"
    else:
        yield from _parameter_mistakes(segments, tenant_services)


def _parameter_mistakes(segments: list[str], tenant_services: frozenset[str]) -> Iterator[str]:
    names = [segment for segment in segments if segment.startswith("{")]
    service, second = segments[0], segments[1] if len(segments) > 1 else ""
    if len(names) != len(set(names)):
        yield "a parameter is named twice"
    if service.startswith("{"):
        yield "the first segment is the name of a service and must be literal"
    if service in TOKEN_SERVICES:
        yield f"/{service} returns tokens and can never be allowed; leave the line out"
    if second != "{tenant}" and (service in tenant_services or second.startswith("{")):
        yield "the second segment must be {tenant}"


def _rule_mistakes(rule: Any) -> Iterator[str]:
    if not isinstance(rule, str):
        yield f"must be a string; {_FORM}"
        return
    token, *flags = rule.split() or [""]
    if rule in {"on", "off"}:
        return
    flag_names = ", ".join(sorted(FLAGS))
    yield from (f"unknown flag {flag!r}; write {flag_names}, or none" for flag in flags if flag not in FLAGS)
    if token in list(TokenKind):
        yield from _flag_mistakes(TokenKind(token), FLAGS.intersection(flags))
    else:
        yield f'unknown token {token!r}; write {", ".join(TokenKind)}, or "on" or "off" alone'
    if len(flags) != len(set(flags)) or any(both <= set(flags) for both in _EXCLUSIVE):
        yield "flags are repeated or contradict each other"


def _flag_mistakes(kind: TokenKind, flags: frozenset[str]) -> Iterator[str]:
    refused = flags - allowed_flags(kind)
    if of_session := sorted(refused & SESSION_FLAGS):
        yield f"{kind.value} has no session for {' or '.join(of_session)}"
    if BROWSER_CACHE in refused:
        yield "only a public response may stay in the browser cache after a logout"


def _split_methods(name: str) -> Iterator[tuple[str, str]]:
    methods, _, template = name.partition(" ")
    return ((method, template) for method in methods.split(","))


def _route(method: str, template: str, rule: str) -> Route:
    token, *flags = rule.split()
    return Route(
        method=method,
        template=template,
        token=TokenKind(token),
        saas_token="required"
        if "saas-token" in flags
        else "optional"
        if "saas-token-optional" in flags
        else "no",
        session_id="session-id" in flags,
        chat_session="chat-session" in flags,
        live_only="live-only" in flags,
        once="once" in flags,
        browser_cache="browser-cache" in flags,
    )


def _tenant_services(entries: Iterable[_Key]) -> frozenset[str]:
    """Return the services that have the tenant as the second segment of every path."""
    shapes = [shape for _, shape in entries]
    return frozenset(s[0] for s in shapes) - {s[0] for s in shapes if s[1:2] != (ANY,)}


def _never_allowed(entries: Mapping[_Key, _Entry], method: str, shape: Shape) -> bool:
    """Return whether a `never` entry matches every path of this shape, or of one that a wildcard stands for."""
    methods = {"GET", "HEAD"} if method == "HEAD" else {method}
    never = [key[1] for key, entry in entries.items() if entry.state == "never" and key[0] in methods]
    return any(
        _covers(wide, narrow)
        for blocked in never
        for wide in shapes_of(blocked)
        for narrow in shapes_of(shape)
    )


def _covers(wide: Shape, narrow: Shape) -> bool:
    return len(wide) == len(narrow) and all(w in {ANY, n} for w, n in zip(wide, narrow, strict=True))
