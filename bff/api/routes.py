"""Which upstream path a visitor may reach, and which token goes along: deny by default.

The entries come from `bff.api.route_file` and are arranged once. A match then walks the segments of the path
down a trie in
which a literal beats a parameter, so its cost follows the length of the path, not the size of the table.

Entries that are refused (`never`, opt-in and not switched on, switched off) stay in the trie: a path that
hits one of them is refused even where an open entry with a parameter would take it.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from bff.api.token_kinds import TokenKind
from bff.errors import Forbidden, RouteNotAllowed

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

ANY: Final = "{}"
_NO: Final = "no"

Shape = tuple[str, ...]  # the segments, each parameter as `{}`


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path template, and how a call to it is sent."""

    method: str
    template: str
    token: TokenKind
    saas_token: Literal["no", "optional", "required"] = _NO
    session_id: bool = False
    live_only: bool = False
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

    def plant(self, shape: Shape, leaf: _Leaf) -> None:
        node = self
        for segment in shape:
            if segment != ANY:
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
        leaves: dict[str, dict[Shape, _Leaf]] = {method: {} for method in METHODS}
        for method, template in refused:
            leaves[method][shape_of(template)] = _Leaf(None)
        for route in self._routes:
            leaves[route.method][shape_of(route.template)] = self._open(route)
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


def shape_of(template: str) -> Shape:
    """Return a template's segments with its parameters made alike."""
    return tuple(ANY if segment.startswith("{") else segment for segment in template.split("/")[1:])


def _trie(leaves: dict[Shape, _Leaf]) -> _Node:
    root = _Node()
    for shape, leaf in (leaves | _overlaps(leaves)).items():
        root.plant(shape, leaf)
    return root


def _overlaps(leaves: dict[Shape, _Leaf]) -> dict[Shape, _Leaf]:
    """Return refusals for what an open and a refused shape share, where neither is the more literal one.

    Of `/a/{x}` open and `/{y}/b` refused, `/a/b` is refused: which of the two upstream would take is unknown.
    """
    groups = defaultdict[int, list[tuple[Shape, bool]]](list)
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


def _meet(one: Shape, other: Shape) -> Shape | None:
    meet = []
    for a, b in zip(one, other, strict=True):
        if a != b and ANY not in {a, b}:
            return None
        meet.append(b if a == ANY else a)
    return tuple(meet)


def _refused_when_cut(root: _Node, segments: tuple[str, ...]) -> bool:
    """Tell whether the path is refused for a server that ends a segment at `;` (RFC 3986 §3.3)."""
    if not any(";" in segment for segment in segments):
        return False
    leaf = root.find(tuple(segment.partition(";")[0] for segment in segments))
    return leaf is not None and leaf.match is None
