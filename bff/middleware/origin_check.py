"""The CSRF check: does the storefront send this request, or a page of somebody else?"""

from collections.abc import Iterable
from enum import Enum
from typing import Final

from bff.errors import CsrfFailed, InvalidRequest
from bff.middleware.header_fields import HeaderFields, OfFields

BEGIN_HEADER: Final = b"x-session-begin"
_BEGINNING_NOTHING: Final = frozenset({"HEAD", "OPTIONS"})
_PREFETCH_FIELDS: Final = (b"sec-purpose", b"purpose", b"x-moz")


class Proof(Enum):
    """What a browser's request must show."""

    HEADER = "header"
    """A header field that no foreign page can set without a preflight, and an origin that is allowed."""
    ORIGIN = "origin"
    """An allowed origin alone: stock clients send these requests without any header field of their own."""
    NAVIGATION = "navigation"
    """Nothing: a top-level navigation cannot carry a header field, and has a proof of its own."""

    __hash__ = object.__hash__  # an enum's own is a function in Python, and each request asks for it


class OriginCheck:
    """Refuses what another site's page could have sent (RFC 10017 §6.1.3.3, Fetch Metadata).

    Args:
        public_origin: where browsers reach the proxy.
        allowed_origins: further origins that may call it.
        same_site: the session cookie's SameSite attribute: `strict`, `lax` or `none`.
        drop_in: a client-sent `Authorization`, which no foreign page can set either, counts as `X-CSRF`.
    """

    def __init__(
        self, public_origin: str, allowed_origins: Iterable[str], *, same_site: str, drop_in: bool
    ) -> None:
        self._public_origin = public_origin.encode("ascii")
        self._allowed = frozenset(origin.encode("ascii") for origin in allowed_origins)
        self._same_site = same_site
        self._proof_fields = frozenset({b"x-csrf", b"authorization"} if drop_in else {b"x-csrf"})

    def check(self, fields: HeaderFields, proof: Proof = Proof.HEADER) -> None:
        """Check a browser's request.

        Raises:
            CsrfFailed: it does not show that the storefront sent it.
        """
        if proof is Proof.HEADER and self._proof_fields.isdisjoint(fields.names()):
            raise CsrfFailed("the X-CSRF header is missing", cause="header")
        if proof is not Proof.NAVIGATION:
            if fields.has_twice(b"origin") or fields.has_twice(b"sec-fetch-site"):
                raise CsrfFailed("the request names its origin twice", cause="origin")
            self._check_origin(fields.first(b"origin"), fields.first(b"sec-fetch-site"))

    def _check_origin(self, origin: bytes | None, site: bytes | None) -> None:
        if origin in self._allowed:
            self._check_site(site)
            return
        if origin is not None and origin != self._public_origin:
            raise CsrfFailed("the request comes from another origin", cause="origin")
        if site is not None and site != b"same-origin":
            raise CsrfFailed("the request comes from another site", cause="site")

    def _check_site(self, site: bytes | None) -> None:
        """Refuse an allowed origin where its cookie would be dropped: every call would silently be a new guest."""
        if self._same_site != "none" and site == b"cross-site":
            raise CsrfFailed(
                "this origin is allowed, but it is on another site, where browsers drop a cookie with"
                f" SameSite={self._same_site.capitalize()}. Serve the page and the proxy under one site (one host name:"
                " localhost and 127.0.0.1 are two), or set BFF_COOKIE_SAMESITE=none, which needs https",
                cause="site",
            )


def may_begin_session(method: str, fields: HeaderFields) -> bool:
    """Return whether a request may begin a session: no HEAD, no OPTIONS, no prefetch, and none that forbids it.

    Raises:
        InvalidRequest: `X-Session-Begin` has a value that nobody knows.
    """
    allowed = _allow_beginning[fields]
    return allowed and method not in _BEGINNING_NOTHING


def _fields_allow_beginning(fields: HeaderFields) -> bool:
    forbidden = fields.every(BEGIN_HEADER)
    if any(value.lower() != b"never" for value in forbidden):
        raise InvalidRequest("X-Session-Begin knows only the value 'never'")
    hints = [value.lower() for name in _PREFETCH_FIELDS for value in fields.every(name)]
    return not forbidden and not any(b"prefetch" in hint for hint in hints)


_allow_beginning: Final = OfFields(_fields_allow_beginning)
