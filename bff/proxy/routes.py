"""Which upstream path a visitor may reach, and which token goes along: deny by default.

The built-in entries are in `routes.toml` beside this file; an operator's file adds, overrides and switches.
Everything is parsed, checked and arranged once. A match then walks the segments of the path down a trie in
which a literal beats a parameter, so its cost follows the length of the path, not the size of the table.

Entries that are refused (`never`, opt-in and not switched on, switched off) stay in the trie: a path that
hits one of them is refused even where an open entry with a parameter would take it.
"""

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib.resources import files
from typing import Any, Final, Literal

from bff.errors import Forbidden, RouteNotAllowed

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
TOKEN_SERVICES: Final = frozenset({"customerlogin", "oauth"})  # their answers are tokens, whatever the path

_SESSION_FLAGS: Final = frozenset({"saas-token", "saas-token-optional", "session-id"})
_FLAGS: Final = _SESSION_FLAGS | {"once", "browser-cache"}
_LITERAL: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+")  # pchar of RFC 3986 §3.3, unescaped
_PARAMETER: Final = re.compile(r"\{[A-Za-z][A-Za-z0-9_-]*\}")
_ANY: Final = "{}"
_NO: Final = "no"

_Shape = tuple[str, ...]  # the segments, each parameter as `{}`
_Place = tuple[str, _Shape]
_State = Literal["allow", "opt-in", "never", "off"]


class RouteTableError(Exception):
    """The operator's route file is wrong; `mistakes` says everything that is."""

    def __init__(self, mistakes: tuple[str, ...]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


class TokenKind(StrEnum):
    """Whose token a route takes."""

    PUBLIC = "public"
    SESSION = "session"
    ANONYMOUS = "anonymous"
    CUSTOMER = "customer"


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path template, and how a call to it is sent."""

    method: str
    template: str
    token: TokenKind
    saas_token: Literal["no", "optional", "required"] = _NO
    session_id: bool = False
    once: bool = False
    browser_cache: bool = False

    @property
    def name(self) -> str:
        """The label for logs and metrics; it comes from a small fixed set."""
        return f"{self.method} {self.template}"


@dataclass(frozen=True, slots=True)
class Match:
    """The route of a path, and the tenant where the path names one."""

    route: Route
    tenant: str | None


@dataclass(frozen=True, slots=True)
class _Leaf:
    match: Match | None  # None: refused
    tenant_at: int | None = None


@dataclass(slots=True)
class _Node:
    literals: "dict[str, _Node]" = field(default_factory=dict)
    parameter: "_Node | None" = None
    leaf: _Leaf | None = None

    def plant(self, shape: _Shape, leaf: _Leaf) -> None:
        node = self
        for segment in shape:
            if segment != _ANY:
                node = node.literals.setdefault(segment, _Node())
                continue
            if node.parameter is None:
                node.parameter = _Node()
            node = node.parameter
        node.leaf = leaf

    def find(self, segments: tuple[str, ...], at: int = 0) -> _Leaf | None:
        if at == len(segments):
            return self.leaf
        literal = self.literals.get(segments[at])
        if literal is not None and (leaf := literal.find(segments, at + 1)) is not None:
            return leaf
        return None if self.parameter is None else self.parameter.find(segments, at + 1)


class RouteTable:
    """Answers what a visitor can reach with this tenant.

    Args:
        tenant: the only value that `{tenant}` takes.
        routes: what is open.
        refused: (method, template) pairs that are closed, also to an open route that is less literal.
    """

    def __init__(self, tenant: str, routes: Iterable[Route], refused: Iterable[tuple[str, str]] = ()) -> None:
        self._tenant = tenant
        self._routes = tuple(sorted(routes, key=lambda r: (r.template, METHODS.index(r.method))))
        leaves: dict[str, dict[_Shape, _Leaf]] = {method: {} for method in METHODS}
        for method, template in refused:
            leaves[method][_shape(template)] = _Leaf(None)
        for route in self._routes:
            leaves[route.method][_shape(route.template)] = self._open(route)
        leaves["HEAD"] = leaves["GET"] | leaves["HEAD"]  # HEAD is a GET without the body (RFC 9110 §9.3.2)
        self._roots = {method: _trie(planted) for method, planted in leaves.items()}

    def match(self, method: str, segments: tuple[str, ...]) -> Match:
        """Find the route of a parsed path; the segments are as they are sent.

        Raises:
            RouteNotAllowed: nothing open has this method and path.
            Forbidden: something open has, but for another tenant.
        """
        root = self._roots.get(method)
        leaf = root.find(segments) if root else None
        if root is None or leaf is None or leaf.match is None or _refused_when_cut(root, segments):
            raise RouteNotAllowed
        if leaf.tenant_at is not None and segments[leaf.tenant_at] != self._tenant:
            raise Forbidden("The path names another tenant")
        return leaf.match

    def routes(self) -> tuple[Route, ...]:
        """Return what is open, sorted by path and method."""
        return self._routes

    def _open(self, route: Route) -> _Leaf:
        segments = route.template.split("/")[1:]
        at = segments.index("{tenant}") if "{tenant}" in segments else None
        return _Leaf(Match(route, None if at is None else self._tenant), at)


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
                entries[method, _shape(template)] = _Entry(state, template, route)
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
        place = method, _shape(template)
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
    if token not in list(TokenKind):
        yield f"unknown token {token!r}"
    yield from (f"unknown flag {flag!r}" for flag in flags if flag not in _FLAGS)
    if token in {"public", "anonymous"} and _SESSION_FLAGS.intersection(flags):
        yield f"{token} has no session to take {' or '.join(sorted(_SESSION_FLAGS.intersection(flags)))} from"
    if token != TokenKind.PUBLIC and "browser-cache" in flags:
        yield "only a public answer may stay in the browser after a logout"
    if len(flags) != len(set(flags)) or {"saas-token", "saas-token-optional"} <= set(flags):
        yield "flags are repeated or contradict each other"


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
        once="once" in flags,
        browser_cache="browser-cache" in flags,
    )


def _shape(template: str) -> _Shape:
    return tuple(_ANY if segment.startswith("{") else segment for segment in template.split("/")[1:])


def _tenanted(entries: Iterable[_Place]) -> frozenset[str]:
    """Return the services whose every path has a parameter second, which is the tenant."""
    shapes = [shape for _, shape in entries]
    return frozenset(s[0] for s in shapes) - {s[0] for s in shapes if s[1:2] != (_ANY,)}


def _never(entries: Mapping[_Place, _Entry], method: str, shape: _Shape) -> bool:
    """Tell whether every path of this shape belongs to a `never` entry."""
    methods = {"GET", "HEAD"} if method == "HEAD" else {method}
    return any(
        entry.state == "never" and place[0] in methods and _covers(place[1], shape)
        for place, entry in entries.items()
    )


def _covers(wide: _Shape, narrow: _Shape) -> bool:
    return len(wide) == len(narrow) and all(w in {_ANY, n} for w, n in zip(wide, narrow, strict=True))


def _trie(leaves: dict[_Shape, _Leaf]) -> _Node:
    root = _Node()
    for shape, leaf in (leaves | _overlaps(leaves)).items():
        root.plant(shape, leaf)
    return root


def _overlaps(leaves: dict[_Shape, _Leaf]) -> dict[_Shape, _Leaf]:
    """Return refusals for what an open and a refused shape share, where neither is the more literal one.

    Of `/a/{x}` open and `/{y}/b` refused, `/a/b` is refused: which of the two upstream would take is unknown.
    """
    groups = defaultdict[int, list[tuple[_Shape, bool]]](list)
    for shape, leaf in leaves.items():
        groups[len(shape)].append((shape, leaf.match is not None))
    shared = (
        meet
        for group in groups.values()
        for one in (shape for shape, is_open in group if is_open)
        for other in (shape for shape, is_open in group if not is_open)
        if (meet := _meet(one, other)) is not None
    )
    return {meet: _Leaf(None) for meet in shared if meet not in leaves}


def _meet(one: _Shape, other: _Shape) -> _Shape | None:
    meet = []
    for a, b in zip(one, other, strict=True):
        if a != b and _ANY not in {a, b}:
            return None
        meet.append(b if a == _ANY else a)
    return tuple(meet)


def _refused_when_cut(root: _Node, segments: tuple[str, ...]) -> bool:
    """Tell whether the path is refused for a server that ends a segment at `;` (RFC 3986 §3.3)."""
    if not any(";" in segment for segment in segments):
        return False
    leaf = root.find(tuple(segment.partition(";")[0] for segment in segments))
    return leaf is not None and leaf.match is None
