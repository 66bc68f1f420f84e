"""Reading route tables: the built-in `routes.toml`, and an operator's file that adds, overrides and switches."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any, Final, Literal

from bff.api.routes import ANY, METHODS, Route, RouteTable, Shape, shape_of
from bff.api.token_kinds import BROWSER_CACHE, FLAGS, SESSION_FLAGS, TokenKind, allowed_flags

TOKEN_SERVICES: Final = frozenset({"customerlogin", "oauth"})  # their answers are tokens, whatever the path

_LITERAL: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+")  # pchar of RFC 3986 §3.3, unescaped
_PARAMETER: Final = re.compile(r"\{[A-Za-z][A-Za-z0-9_-]*\}")

_Place = tuple[str, Shape]
_State = Literal["allow", "opt-in", "never", "off"]


class RouteTableError(Exception):
    """The operator's route file is wrong; `mistakes` says everything that is."""

    def __init__(self, mistakes: tuple[str, ...]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


def load_route_table(tenant: str, extra: str | None = None) -> RouteTable:
    """Build the table from the built-in entries and the text of an operator's file.

    The file has one table, `[routes]`: `"METHODS /path" = "TOKEN FLAGS"` adds or overrides, `"on"` switches
    an opt-in entry on, `"off"` closes an entry.

    Raises:
        RouteTableError: with every mistake in the file.
    """
    entries = _built_in()
    if extra is not None and (mistakes := tuple(_apply(entries, extra))):
        raise RouteTableError(mistakes)
    routes = [entry.route for entry in entries.values() if entry.state == "allow" and entry.route]
    refused = [(method, entry.template) for (method, _), entry in entries.items() if entry.state != "allow"]
    return RouteTable(tenant, routes, refused)


@dataclass(frozen=True, slots=True)
class _Entry:
    state: _State
    template: str
    route: Route | None = None


def _built_in() -> dict[_Place, _Entry]:
    document = tomllib.loads(files(__package__).joinpath("routes.toml").read_text("utf-8"))
    states: tuple[_State, ...] = ("allow", "opt-in", "never")
    entries: dict[_Place, _Entry] = {}
    for state in states:
        for key, rule in document[state].items():
            for method, template in _spread(key):
                route = None if state == "never" else _route(method, template, rule)
                entries[method, shape_of(template)] = _Entry(state, template, route)
    return entries


def _apply(entries: dict[_Place, _Entry], extra: str) -> Iterator[str]:
    """Change the entries as the operator's file says, yielding its mistakes."""
    try:
        document = tomllib.loads(extra)
    except tomllib.TOMLDecodeError as error:
        yield f"not TOML: {error}"
        return
    yield from (f"[{name}]: only [routes] is known" for name in document if name != "routes")
    table = document.get("routes", {})
    if not isinstance(table, Mapping):
        yield "routes: must be a table"
        return
    tenanted, seen = _tenanted(entries), set[_Place]()
    for key, rule in table.items():
        found = [*_key_mistakes(key, tenanted), *_rule_mistakes(rule)]
        if not found:
            found = [*_change(entries, seen, key, rule)]
        yield from (f'"{key}": {mistake}' for mistake in found)


def _change(entries: dict[_Place, _Entry], seen: set[_Place], key: str, rule: str) -> Iterator[str]:
    for method, template in _spread(key):
        place = method, shape_of(template)
        entry = entries.get(place)
        if place in seen:
            yield f"{method} is given twice"
        elif mistake := _mistake(entries, place, rule):
            yield f"{method} {mistake}"
        elif entry and rule in {"on", "off"}:
            entries[place] = replace(entry, state="allow" if rule == "on" else "off")
        else:
            entries[place] = _Entry("allow", template, _route(method, template, rule))
        seen.add(place)


def _mistake(entries: Mapping[_Place, _Entry], place: _Place, rule: str) -> str | None:
    entry = entries.get(place)
    if entry.state == "never" if entry else _never(entries, *place):
        return "can not be opened by anybody"
    if rule == "on" and (entry is None or entry.state != "opt-in"):
        return "is not opt-in, so there is nothing to switch on"
    if rule == "off" and entry is None:
        return "is not in the table, so there is nothing to switch off"
    return None


def _key_mistakes(key: str, tenanted: frozenset[str]) -> Iterator[str]:
    methods, _, path = key.partition(" ")
    for method in methods.split(","):
        if method not in METHODS:
            yield f"unknown method {method!r}"
    segments = path.split("/")[1:]
    if not path.startswith("/"):
        yield "must be METHODS, a space and a path that starts with /"
    elif not all(_PARAMETER.fullmatch(s) or _LITERAL.fullmatch(s) for s in segments):
        yield "a segment must be {name} or plain characters: no empty one, escape or query"
    elif {".", ".."} & set(segments):
        yield "dot segments are refused"
    else:
        yield from _parameter_mistakes(segments, tenanted)


def _parameter_mistakes(segments: list[str], tenanted: frozenset[str]) -> Iterator[str]:
    names = [segment for segment in segments if segment.startswith("{")]
    service, second = segments[0], segments[1] if len(segments) > 1 else ""
    if len(names) != len(set(names)):
        yield "a parameter is named twice"
    if service.startswith("{"):
        yield "the first segment names a service and must be literal"
    if service in TOKEN_SERVICES:
        yield f"/{service} hands out tokens and can not be opened by anybody"
    if second != "{tenant}" and (service in tenanted or second.startswith("{")):
        yield "the second segment must be {tenant}"


def _rule_mistakes(rule: Any) -> Iterator[str]:
    if not isinstance(rule, str):
        yield "must be a string"
        return
    token, *flags = rule.split() or [""]
    if rule in {"on", "off"}:
        return
    yield from (f"unknown flag {flag!r}" for flag in flags if flag not in FLAGS)
    if token in list(TokenKind):
        yield from _flag_mistakes(TokenKind(token), FLAGS.intersection(flags))
    else:
        yield f"unknown token {token!r}"
    if len(flags) != len(set(flags)) or {"saas-token", "saas-token-optional"} <= set(flags):
        yield "flags are repeated or contradict each other"


def _flag_mistakes(kind: TokenKind, flags: frozenset[str]) -> Iterator[str]:
    refused = flags - allowed_flags(kind)
    if of_session := sorted(refused & SESSION_FLAGS):
        yield f"{kind.value} has no session to take {' or '.join(of_session)} from"
    if BROWSER_CACHE in refused:
        yield "only a public answer may stay in the browser after a logout"


def _spread(key: str) -> Iterator[tuple[str, str]]:
    methods, _, template = key.partition(" ")
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
        live_only="live-only" in flags,
        once="once" in flags,
        browser_cache="browser-cache" in flags,
    )


def _tenanted(entries: Iterable[_Place]) -> frozenset[str]:
    """Return the services whose every path has a parameter second, which is the tenant."""
    shapes = [shape for _, shape in entries]
    return frozenset(s[0] for s in shapes) - {s[0] for s in shapes if s[1:2] != (ANY,)}


def _never(entries: Mapping[_Place, _Entry], method: str, shape: Shape) -> bool:
    """Tell whether every path of this shape belongs to a `never` entry."""
    methods = {"GET", "HEAD"} if method == "HEAD" else {method}
    return any(
        entry.state == "never" and place[0] in methods and _covers(place[1], shape)
        for place, entry in entries.items()
    )


def _covers(wide: Shape, narrow: Shape) -> bool:
    return len(wide) == len(narrow) and all(w in {ANY, n} for w, n in zip(wide, narrow, strict=True))
