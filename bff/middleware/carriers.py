"""What a visitor carries: a sealed cookie (browsers) or an opaque session id in a header (apps).

Both hold the same ticket, sealed for different purposes, so that neither opens on the other's carrier.
Headers come as ASGI gives them: lower-case names, bytes.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from bff.errors import InvalidRequest, InvalidSession, NoSession, OriginNotAllowed
from bff.middleware.cookies import cookie_pairs
from bff.middleware.header_fields import HeaderFields, OfFields
from bff.security.keyring import KeyRing, MalformedError, SealError, UnknownKeyError
from bff.session import ID_BYTES, SECRET_BYTES, CarriedTicket, Carrier, Ticket
from bff.telemetry.metrics import KEYS_OPENED
from bff.telemetry.tallies import Count

SESSION_ID_HEADER: Final = b"x-session-id"
TRANSPORT_HEADER: Final = b"x-session-transport"
APP_HEADERS: Final = frozenset({SESSION_ID_HEADER, TRANSPORT_HEADER})
_LONGEST_VALUE: Final = 512
_REMEMBERED: Final = 1024
"""Fields and values that are not read again; a visitor sends the same ones with every request."""
_LONGEST_USUAL_FIELD: Final = 4096
_NEWEST, _OLDER = (Count(KEYS_OPENED.labels(key)).add for key in ("newest", "older"))
_FETCH_METADATA: Final = b"sec-fetch-"
_NOT_BROWSERS_ALONE: Final = b"sec-fetch-mode"
"""Node's `fetch` sends this field too, alone of all Fetch Metadata; a browser sends it with the others."""

_Read = tuple[CarriedTicket, Callable[[], None]]
"""What a request carries, and what counts it."""


class SessionCarriers:
    """Reads, writes and clears what visitors carry.

    Args:
        ring: the server's keys.
        cookie_name: `__Host-bff`, or `bff` where the public origin is http on a loopback host.
        secure: whether cookies get the Secure attribute.
        same_site: `strict`, `lax` or `none`, the cookie's SameSite attribute (RFC 6265bis §4.1.2.7).
    """

    def __init__(self, ring: KeyRing, *, cookie_name: str, secure: bool, same_site: str) -> None:
        self._sealers = {
            Carrier.COOKIE: ring.sealer("cookie"),
            Carrier.HEADER: ring.sealer("session-id"),
        }
        self._cookie_name = cookie_name
        self._cookie_key = cookie_name.encode("ascii")
        attributes = ["Path=/", "HttpOnly", f"SameSite={same_site.capitalize()}"]
        self._attributes = "; ".join([*attributes, "Secure"] if secure else attributes)
        # Pure while the keys stay. What raises is not remembered, and no value is longer than 512.
        self._opened = lru_cache(maxsize=_REMEMBERED)(self._open)
        self._read = OfFields(self._read_fields)
        for memory in (self._opened.cache_clear, self._read.clear):
            ring.on_replace(memory)
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self._own_cookies)

    def read_carrier(self, fields: HeaderFields) -> CarriedTicket:
        """Return what a request carries.

        Raises:
            InvalidRequest: both carriers at once, or one of them twice.
            InvalidSession: a value that this proxy never made, or an app's id that was damaged.
            NoSession: a session of the other carrier.
            OriginNotAllowed: a browser uses the carrier of apps.
        """
        carried, count = self._read[fields]
        count()
        return carried

    def _read_fields(self, fields: HeaderFields) -> _Read:
        cookies = [
            cookie
            for field in fields.every(b"cookie")
            for cookie in (self._remembered if len(field) <= _LONGEST_USUAL_FIELD else self._own_cookies)(
                field
            )
        ]
        if APP_HEADERS.isdisjoint(fields.names()):
            return self._carried(Carrier.COOKIE, cookies)
        if cookies:
            raise InvalidRequest("a request carries its session either by cookie or by header")
        if any(value != b"header" for value in fields.every(TRANSPORT_HEADER)):
            raise InvalidRequest("X-Session-Transport knows only the value 'header'")
        if any(_is_a_pages(name) for name in fields.names()):
            raise OriginNotAllowed("browsers carry their session by cookie", cause="carrier")
        return self._carried(Carrier.HEADER, fields.every(SESSION_ID_HEADER))

    def seal(self, carrier: Carrier, ticket: Ticket) -> str:
        """Return the text that a visitor carries."""
        return self._sealers[carrier].seal(ticket.id + ticket.secret)

    def set_cookie(self, ticket: Ticket, max_age: int) -> bytes:
        """Return a Set-Cookie value that lives `max_age` seconds."""
        value = self.seal(Carrier.COOKIE, ticket)
        return f"{self._cookie_name}={value}; Max-Age={max_age}; {self._attributes}".encode("ascii")

    def clear_cookie(self) -> bytes:
        """Return a Set-Cookie value that removes the cookie, with the attributes that it was set with."""
        return f"{self._cookie_name}=; Max-Age=0; {self._attributes}".encode("ascii")

    def _own_cookies(self, field: bytes) -> tuple[bytes, ...]:
        """Return the values of this proxy's cookie in a Cookie field."""
        return tuple(value for name, value in cookie_pairs(field) if name == self._cookie_key)

    def _carried(self, carrier: Carrier, values: list[bytes]) -> _Read:
        if len(values) > 1:
            raise InvalidRequest("the session is carried twice")
        if not values or not values[0]:
            return CarriedTicket(carrier), _uncounted
        if len(values[0]) > _LONGEST_VALUE:
            raise self._malformed(carrier)
        ticket, count = self._opened(carrier, values[0])
        return CarriedTicket(carrier, ticket), count

    def _open(self, carrier: Carrier, value: bytes) -> tuple[Ticket | None, Callable[[], None]]:
        """Return the ticket, and what counts a request with it."""
        try:
            opened = self._sealers[carrier].opened(value.decode("ascii"))
        except (MalformedError, UnicodeDecodeError):
            raise self._malformed(carrier) from None
        except SealError as error:
            self._reject_other_carrier(carrier, value.decode("ascii"))
            if carrier is Carrier.HEADER and not isinstance(error, UnknownKeyError):
                raise self._malformed(carrier) from None  # an app may have damaged it, and can throw it away
            # A cookie that was changed, or anything under a key that was removed, counts as no session.
            return None, _uncounted
        count = _NEWEST if opened.newest else _OLDER
        if len(opened.plain) != ID_BYTES + SECRET_BYTES:
            return None, count
        return Ticket(opened.plain[:ID_BYTES], opened.plain[ID_BYTES:]), count

    def _malformed(self, carrier: Carrier) -> InvalidSession:
        """A page cannot remove an HttpOnly cookie, so the error removes one that was never a session of this proxy."""
        if carrier is Carrier.HEADER:
            return InvalidSession()
        return InvalidSession(headers=(("set-cookie", self.clear_cookie().decode("ascii")),))

    def _reject_other_carrier(self, carrier: Carrier, value: str) -> None:
        other = Carrier.HEADER if carrier is Carrier.COOKIE else Carrier.COOKIE
        try:
            self._sealers[other].open(value)
        except SealError:
            return
        raise NoSession("this session belongs to the other carrier")


def _uncounted() -> None:
    """Count nothing: no key has opened it."""


def _is_a_pages(name: bytes) -> bool:
    """Return whether only browsers send such a field, where no script can leave it out (Fetch Metadata §2)."""
    return name == b"origin" or (name.startswith(_FETCH_METADATA) and name != _NOT_BROWSERS_ALONE)
