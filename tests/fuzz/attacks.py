"""What an attacker can send with what others carry; none of it may be heard upstream or change anything."""

from collections.abc import Callable
from typing import Final

from tests.fuzz.actors import Street
from tests.fuzz.session_answers import body, carried
from tests.fuzz.session_values import REQUESTS, Op, Session, fields_of, request

FOREIGN_PAGES: Final[dict[str, dict[str, str | None]]] = {
    "a plain form": {"X-CSRF": None},
    "a bearer for a proof": {"X-CSRF": None, "Authorization": "Bearer anything"},
    "another origin": {"Origin": "https://evil.example"},
    "an origin of no one": {"Origin": "null"},
    "another port": {"Origin": "http://127.0.0.1:1"},
    "another site": {"Sec-Fetch-Site": "cross-site"},
    "a sister site": {"Sec-Fetch-Site": "same-site"},
    "an address bar": {"Sec-Fetch-Site": "none"},
}
"""Header fields of pages that are not the storefront's; None leaves one out."""

_BASE64URL: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def from_a_foreign_page(street: Street, session: Session | None, op: Op, how: str) -> None:
    """Make a victim's browser ask something: 403 `csrf_failed`, whatever it carries."""
    changed = fields_of(session, "cookie") | FOREIGN_PAGES[how]
    fields = {name: value for name, value in changed.items() if value is not None}
    _refused(street, session, op, fields, 403, "csrf_failed")
    street.place.reached[f"attack: {how}"] += 1


def by_a_page_as_app(street: Street, session: Session, op: Op) -> None:
    """Use a stolen session id in a browser, which says its origin."""
    fields = {"X-Session-Id": session.value or "", "Origin": street.place.proxy.url}
    _refused(street, session, op, fields, 403, "origin_not_allowed")
    street.place.reached["attack: a page as app"] += 1


def on_the_other_carrier(street: Street, session: Session, op: Op) -> None:
    """Carry a cookie's value as a session id, or a session id as a cookie."""
    value = session.value or ""
    crossed = (
        {"X-Session-Id": value} if session.carrier == "cookie" else {"X-CSRF": "1", "Cookie": f"bff={value}"}
    )
    _refused(street, session, op, crossed, 401, "no_session")
    street.place.reached["attack: the other carrier"] += 1


def on_both_carriers(street: Street, session: Session, other: Session, op: Op) -> None:
    fields = {"X-CSRF": "1", "Cookie": f"bff={session.value}", "X-Session-Id": other.value or ""}
    _refused(street, session, op, fields, 400, "invalid_request")
    street.place.reached["attack: both carriers"] += 1


def with_a_bit_flipped(street: Street, session: Session, at: int, op: Op) -> None:
    """Change one character of what somebody carries: it opens nothing, or was never a session's."""
    value = session.value or ""
    at %= len(value)
    other = _BASE64URL[(_BASE64URL.find(value[at]) + 1) % 64]
    _opens_nothing(street, session, value[:at] + other + value[at + 1 :], op)
    street.place.reached["attack: a bit flipped"] += 1


def mixed(street: Street, one: Session, other: Session, at: int, op: Op) -> None:
    """Carry the head of one value and the tail of another."""
    first, second = one.value or "", other.value or ""
    at = 1 + at % (len(first) - 1)
    if first[:at] + second[at:] not in {first, second}:
        _opens_nothing(street, one, first[:at] + second[at:], op)
        street.place.reached["attack: two ids mixed"] += 1


def ends_anothers(street: Street, victim: Session) -> None:
    """Name another customer's session by its ref."""
    thief = street.model.holders["mallory"]
    if victim.account is not None and victim.live and (thief is None or thief.account is not victim.account):
        street.does("mallory", Op("end", street.ref(victim)))
        street.place.reached["attack: another's ref"] += 1


def reads_anothers_cart(street: Street, victim: Session) -> None:
    """Name another's Emporix session and customer number wherever a cart's owner could be named."""
    if street.model.holders["mallory"] is None or street.model.faults:
        return
    street.does("mallory", Op("open cart"))
    thief = street.model.holders.get("mallory")
    if thief is None or not thief.live or thief.owner is victim.owner or thief.emporix is victim.emporix:
        return  # the last: what the thief was before a login is nobody else
    fields = fields_of(thief, "cookie") | {"session-id": victim.emporix.id or "", "Authorization": "Bearer x"}
    number = victim.account.number if victim.account is not None else "10000001"
    for named in (f"sessionId={victim.emporix.id}", f"customerId={number}"):
        answer = street.ask("GET", f"{REQUESTS['cart'][1]}&{named}", None, fields)
        # The customer's, or one that an old tab of the thief's own has opened since the login, as the guest it was.
        found = body(answer)
        assert found.get("id") in {thief.cart_id, None} or found["sessionId"] == thief.emporix.id, answer.text
        assert answer.status_code in {200, 404}
        assert {one["sessionId"] for one in street.overheard()} == {thief.emporix.id}
    street.place.reached["attack: another's cart by its owner"] += 1


def writes_anothers_cart(street: Street, victim: Session) -> None:
    """Name another's cart: a guest's or a customer's, it is not written to."""
    thief = street.model.holders["mallory"]
    if victim.cart_id != "none" and (thief is None or thief.owner is not victim.owner):
        street.does("mallory", Op("add", victim.cart_id))
        street.place.reached["attack: another's cart by its id"] += 1


def _refused(
    street: Street, session: Session | None, op: Op, fields: dict[str, str], status: int, code: str
) -> None:
    method, target, content = request(op, session, street.model.accounts)
    answer = street.ask(method, target, content, fields)
    assert (answer.status_code, body(answer).get("code")) == (status, code), answer.text
    assert not answer.headers.get_list("set-cookie")
    assert "x-session-id" not in answer.headers
    assert street.overheard() == [], "upstream heard of it"


def _opens_nothing(street: Street, session: Session, value: str, op: Op) -> None:
    """Assert that a value is as good as none, or is refused as never a session's and then removed."""
    method, target, content = request(op, session, street.model.accounts)
    carrying = Session(session.carrier, session.emporix, value=value)
    answer = street.ask(method, target, content, fields_of(carrying, session.carrier))
    if answer.status_code == 400:
        assert body(answer)["code"] == "invalid_session"
    else:
        as_nobody = street.model.expect(op, None, session.carrier)
        assert answer.status_code in as_nobody.status, answer.text
        assert body(answer).get("code") == as_nobody.code
        assert body(answer).get("kind") in {None, "none"}
        assert carried(answer, session.carrier) is None
    assert street.overheard() == [], "upstream heard of it"


ON_SESSIONS: Final[dict[str, Callable[[Street, Session, Op, int], None]]] = {
    "a page as app": lambda street, one, op, _at: by_a_page_as_app(street, one, op),
    "the other carrier": lambda street, one, op, _at: on_the_other_carrier(street, one, op),
    "both carriers": lambda street, one, op, at: on_both_carriers(street, one, _other(street, one, at), op),
    "a bit flipped": lambda street, one, op, at: with_a_bit_flipped(street, one, at, _quiet(op)),
    "two ids mixed": lambda street, one, op, at: mixed(street, one, _other(street, one, at), at, _quiet(op)),
    "another's ref": lambda street, one, _op, _at: ends_anothers(street, one),
    "another's cart by its owner": lambda street, one, _op, _at: reads_anothers_cart(street, one),
    "another's cart by its id": lambda street, one, _op, _at: writes_anothers_cart(street, one),
}
"""What is tried with a victim's session: its name, and the street, the session, a request and a number to choose by."""


def _other(street: Street, one: Session, at: int) -> Session:
    others = [other for other in street.model.sessions if other.value and other is not one]
    return others[at % len(others)] if others else one


def _quiet(op: Op) -> Op:
    """Return a request that begins no guest for nobody, so that nothing at all has to happen."""
    quiet = {"look", "refresh", "logout", "switch", "validate", "sessions", "end others", "orders"}
    return op if op.name in quiet else Op("look")
