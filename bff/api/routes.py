"""The route table: which upstream paths a browser may reach and which token is sent with them; deny by default.

The entries come from `bff.api.route_file` and are put into a trie once. A match walks down the trie by the segments
of the path and prefers literals to parameters, so its cost depends on the length of the path, not on the size of the
table.

A template may end in `**`, which is put into the trie as one shape for each number of segments that it stands for.

Refused entries (`never`, opt-in but not switched on, or switched off) are in the trie as well: a path that matches one
of them is refused even if an allowed entry with a parameter would match it too.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from bff.api.token_kinds import TokenKind
from bff.errors import Forbidden, RouteNotAllowed
from bff.memo import Memo

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

ANY: Final = "{}"
REST: Final = "**"
MOST_REST: Final = 8
"""How many segments `**` may stand for."""
_NO: Final = "no"
_LONGEST_USUAL_PATH: Final = 256

Shape = tuple[str, ...]  # the segments of a template, with every parameter written as `{}`


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path template, and how such a request is sent; `routes.toml` explains the flags."""

    method: str
    template: str
    token: TokenKind
    saas_token: Literal["no", "optional", "required"] = _NO
    session_id: bool = False
    chat_session: bool = False
    live_only: bool = False
    once: bool = False
    browser_cache: bool = False
    name: str = field(init=False, compare=False, repr=False)
    """The label for logs and metrics, from a small fixed set."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{self.method} {self.template}")


@dataclass(frozen=True, slots=True)
class Match:
    """The route that matches a path, and the tenant if the path contains one."""

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

    def insert(self, shape: Shape, leaf: _Leaf) -> None:
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
    """Matches requests against the allowed and refused routes of one tenant.

    Args:
        tenant: the only value that `{tenant}` matches.
        routes: the allowed routes.
        refused: (method, template) pairs that are refused, even if a less literal route allows them.
    """

    def __init__(self, tenant: str, routes: Iterable[Route], refused: Iterable[tuple[str, str]] = ()) -> None:
        self._tenant = tenant
        refused = self._refused = frozenset(refused)
        self._routes = tuple(sorted(routes, key=lambda r: (r.template, METHODS.index(r.method))))
        leaves: dict[str, dict[Shape, _Leaf]] = {method: {} for method in METHODS}
        found = [(route.method, route.template, self._allowed_leaf(route)) for route in self._routes]
        found += [(method, template, _Leaf(None)) for method, template in refused]
        # Where two have one shape, an exact one counts before a wildcard, and of two wildcards the refused one.
        for method, template, leaf in sorted(found, key=lambda one: not one[1].endswith(REST)):
            leaves[method] |= dict.fromkeys(shapes_of(shape_of(template)), leaf)
        leaves["HEAD"] = leaves["GET"] | leaves["HEAD"]  # HEAD is a GET without the body (RFC 9110 §9.3.2)
        self._roots = {method: _trie(by_shape) for method, by_shape in leaves.items()}
        self._matches = Memo[tuple[str, tuple[str, ...]], Match](
            self._found, longest=_LONGEST_USUAL_PATH, length=lambda asked: sum(map(len, asked[1]))
        )

    def match(self, method: str, segments: tuple[str, ...]) -> Match:
        """Find the route of a parsed path.

        Raises:
            RouteNotAllowed: no allowed route has this method and path.
            Forbidden: an allowed route does, but the path contains another tenant.
        """
        return self._matches[method, segments]

    def _found(self, asked: tuple[str, tuple[str, ...]]) -> Match:
        method, segments = asked
        root = self._roots.get(method)
        leaf = root.find(segments) if root else None
        if root is None or leaf is None or leaf.match is None:
            raise RouteNotAllowed
        if _refused_without_parameters(root, segments):
            raise RouteNotAllowed
        if leaf.tenant_at is not None and segments[leaf.tenant_at] != self._tenant:
            raise Forbidden("The path contains another tenant")
        return leaf.match

    def routes(self) -> tuple[Route, ...]:
        """Return the allowed routes, sorted by path and method."""
        return self._routes

    def refused(self) -> frozenset[tuple[str, str]]:
        """Return method and template of what is refused, even if a less literal route allows it."""
        return self._refused

    def _allowed_leaf(self, route: Route) -> _Leaf:
        segments = route.template.split("/")[1:]
        at = segments.index("{tenant}") if "{tenant}" in segments else None
        return _Leaf(Match(route, None if at is None else self._tenant), at)


class RoutesInForce:
    """The table that counts now; another may take its place while the proxy runs."""

    def __init__(self, table: RouteTable) -> None:
        self.table = table

    def replace(self, table: RouteTable) -> bool:
        """Let another table count from now on; return whether it differs."""
        before, self.table = self.table, table
        return (before.routes(), before.refused()) != (table.routes(), table.refused())


def shape_of(template: str) -> Shape:
    """Return the segments of a template, with every parameter replaced by `{}`."""
    return tuple(ANY if segment.startswith("{") else segment for segment in template.split("/")[1:])


def shapes_of(shape: Shape) -> tuple[Shape, ...]:
    """Return the shapes that a shape stands for: several where it ends in `**`, which is one segment to eight."""
    if shape[-1:] != (REST,):
        return (shape,)
    return tuple(shape[:-1] + (ANY,) * count for count in range(1, MOST_REST + 1))


def _trie(leaves: dict[Shape, _Leaf]) -> _Node:
    root = _Node()
    for shape, leaf in (leaves | _overlaps(leaves)).items():
        root.insert(shape, leaf)
    return root


def _overlaps(leaves: dict[Shape, _Leaf]) -> dict[Shape, _Leaf]:
    """Return refusals for paths that match an allowed and a refused shape, neither of which is more literal.

    With `/a/{x}` allowed and `/{y}/b` refused, `/a/b` is refused, because nobody knows which of the two the upstream
    would choose.
    """
    groups = defaultdict[int, list[tuple[Shape, bool]]](list)
    for shape, leaf in leaves.items():
        groups[len(shape)].append((shape, leaf.match is not None))
    shared = (
        overlap
        for group in groups.values()
        for allowed in (shape for shape, is_allowed in group if is_allowed)
        for refused in (shape for shape, is_allowed in group if not is_allowed)
        if allowed[0] == refused[0] or ANY in (allowed[0], refused[0])  # few have, and it is soon asked
        if (overlap := _overlap(allowed, refused)) is not None
    )
    return {overlap: _Leaf(None) for overlap in shared if overlap not in leaves}


def _overlap(one: Shape, other: Shape) -> Shape | None:
    """Return the shape of the paths that match both shapes, or None if there is no such path."""
    overlap = []
    for a, b in zip(one, other, strict=True):
        if a != b and ANY not in {a, b}:
            return None
        overlap.append(b if a == ANY else a)
    return tuple(overlap)


def _refused_without_parameters(root: _Node, segments: tuple[str, ...]) -> bool:
    """Return whether the path is refused by a server that cuts segments at `;` (RFC 3986 §3.3)."""
    if not any(";" in segment for segment in segments):
        return False
    leaf = root.find(tuple(segment.partition(";")[0] for segment in segments))
    return leaf is not None and leaf.match is None
