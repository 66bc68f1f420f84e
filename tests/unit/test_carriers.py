"""What visitors carry: which carrier, what opens, what is refused."""

import os
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import InvalidRequest, NoSession, OriginNotAllowed
from bff.middleware.carriers import SessionCarriers
from bff.middleware.header_fields import HeaderFields
from bff.security.keyring import KeyRing
from bff.session import CarriedTicket, Carrier, Ticket
from bff.telemetry.metrics import REGISTRY
from tests.support import new_ring, new_ticket

RING = new_ring()
HOST = SessionCarriers(RING, cookie_name="__Host-bff", secure=True, same_site="strict")
LOCAL = SessionCarriers(RING, cookie_name="bff", secure=False, same_site="lax")
TICKET = new_ticket()
COOKIE = HOST.seal(Carrier.COOKIE, TICKET).encode()
ID = HOST.seal(Carrier.HEADER, TICKET).encode()
BOTH = [
    [(b"cookie", b"__Host-bff=" + COOKIE), (b"x-session-id", ID)],
    [(b"cookie", b"__Host-bff=" + COOKIE), (b"x-session-transport", b"header")],
    [(b"x-session-id", ID), (b"cookie", b"__Host-bff=broken")],
    [(b"x-session-id", b""), (b"cookie", b"a=1; __Host-bff=")],
]


def read(*headers: tuple[bytes, bytes]) -> CarriedTicket:
    return HOST.read_carrier(HeaderFields(headers))


@pytest.mark.parametrize(
    "line",
    [
        b"__Host-bff=%s",
        b"a=1; __Host-bff=%s; b=2",
        b"a=1;__Host-bff=%s;b=2",
        b"__Host-bffx=1; __Host-bff=%s",
        b"bff=other; x__Host-bff=1;\t__Host-bff=%s ",
    ],
)
def test_the_own_cookie_is_found_among_others(line: bytes) -> None:
    assert read((b"cookie", line % COOKIE)) == CarriedTicket(Carrier.COOKIE, TICKET)


def test_the_own_cookie_is_found_over_several_header_lines() -> None:
    assert read((b"cookie", b"a=1"), (b"cookie", b"__Host-bff=" + COOKIE)).ticket == TICKET


@pytest.mark.parametrize("blank", [b"\x0b", b"\x0c"])
def test_only_blanks_and_tabs_stand_between_cookies(blank: bytes) -> None:
    """Python takes off more than HTTP does: the name behind such a character is another name."""
    assert read((b"cookie", b"a=1;" + blank + b"__Host-bff=" + COOKIE)) == CarriedTicket(Carrier.COOKIE)


def test_a_session_id_opens_on_its_header() -> None:
    assert read((b"x-session-id", ID)) == CarriedTicket(Carrier.HEADER, TICKET)
    assert read((b"x-session-id", ID), (b"x-session-transport", b"header")).ticket == TICKET


def test_nothing_carried_is_the_browsers_carrier_unless_the_app_asks() -> None:
    assert read() == CarriedTicket(Carrier.COOKIE)
    assert read((b"cookie", b"theirs=1")) == CarriedTicket(Carrier.COOKIE)
    assert read((b"x-session-transport", b"header")) == CarriedTicket(Carrier.HEADER)


def test_neither_carriers_value_opens_on_the_other() -> None:
    for field in ((b"cookie", b"__Host-bff=" + ID), (b"x-session-id", COOKIE)):
        with pytest.raises(NoSession):
            read(field)


def test_another_cookie_name_is_not_read() -> None:
    assert LOCAL.read_carrier(HeaderFields([(b"cookie", b"__Host-bff=" + COOKIE)])) == CarriedTicket(
        Carrier.COOKIE
    )
    assert LOCAL.read_carrier(HeaderFields([(b"cookie", b"bff=" + COOKIE)])).ticket == TICKET


@pytest.mark.parametrize("headers", BOTH)
def test_both_carriers_at_once_are_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(InvalidRequest):
        HOST.read_carrier(HeaderFields(headers))


@pytest.mark.parametrize(
    "headers",
    [
        [(b"cookie", b"__Host-bff=%s; __Host-bff=%s" % (COOKIE, COOKIE))],
        [(b"cookie", b"__Host-bff=" + COOKIE), (b"cookie", b"__Host-bff=x")],
        [(b"x-session-id", ID), (b"x-session-id", ID)],
    ],
)
def test_a_session_carried_twice_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(InvalidRequest):
        HOST.read_carrier(HeaderFields(headers))


@pytest.mark.parametrize("value", [b"", b"cookie", b"Header", b"header, header"])
def test_the_transport_knows_one_word(value: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read((b"x-session-transport", value))
    with pytest.raises(InvalidRequest):
        read((b"x-session-id", ID), (b"x-session-transport", b"header"), (b"x-session-transport", value))


@pytest.mark.parametrize("origin", [b"https://shop.example", b"null", b""])
@pytest.mark.parametrize("field", [(b"x-session-id", ID), (b"x-session-transport", b"header")])
def test_a_browser_may_not_use_the_apps_carrier(field: tuple[bytes, bytes], origin: bytes) -> None:
    with pytest.raises(OriginNotAllowed):
        read(field, (b"origin", origin))


@pytest.mark.parametrize("name", [b"sec-fetch-site", b"sec-fetch-dest", b"sec-fetch-user", b"sec-fetch-new"])
@pytest.mark.parametrize("field", [(b"x-session-id", ID), (b"x-session-transport", b"header")])
def test_a_page_without_an_origin_may_not_use_the_apps_carrier(
    field: tuple[bytes, bytes], name: bytes
) -> None:
    """A page's GET to its own origin has none."""
    with pytest.raises(OriginNotAllowed):
        read((name, b"same-origin"), field)


def test_what_node_sends_with_every_request_does_not_make_it_a_page() -> None:
    assert read((b"sec-fetch-mode", b"cors"), (b"x-session-id", ID)).ticket == TICKET


@given(st.binary(max_size=600))
def test_any_other_value_is_refused_or_counts_as_nothing(value: bytes) -> None:
    try:
        assert read((b"x-session-id", value)) == CarriedTicket(Carrier.HEADER)
    except InvalidRequest:
        assert value


def test_what_no_key_opens_any_more_counts_as_nothing() -> None:
    retired = KeyRing([("gone", b"g" * 32)], "acmeshop", os.urandom).sealer("cookie").seal(bytes(48)).encode()
    assert read((b"cookie", b"__Host-bff=" + retired)) == CarriedTicket(Carrier.COOKIE)


COOKIE_NAMES = st.sampled_from([b"__Host-bff", b" __Host-bff", b"\xa0__Host-bff", b"bff", b"a", b""])
COOKIE_VALUES = st.sampled_from([b"", b'"x"', COOKIE[:-1], COOKIE + b"0"]) | st.binary(max_size=20)
COOKIE_LINES = st.lists(st.tuples(COOKIE_NAMES, COOKIE_VALUES).map(b"=".join), max_size=4).map(b";".join)


@given(st.binary(max_size=80) | COOKIE_LINES)
def test_any_cookie_line_is_read(line: bytes) -> None:
    try:
        assert read((b"cookie", line)).ticket is None
    except InvalidRequest:
        assert b"__Host-bff=" in line


@given(st.integers(0, len(COOKIE) - 1), st.sampled_from("AZaz09-_"))
def test_a_changed_cookie_does_not_open(at: int, other: str) -> None:
    changed = COOKIE[:at] + other.encode() + COOKIE[at + 1 :]
    if changed == COOKIE:
        return
    with suppress(InvalidRequest):
        assert read((b"cookie", b"__Host-bff=" + changed)).ticket is None


@pytest.mark.parametrize("plain", [b"", bytes(47), bytes(49), bytes(96)])
def test_a_sealed_value_of_another_length_is_no_ticket(plain: bytes) -> None:
    value = RING.sealer("cookie").seal(plain).encode()
    assert read((b"cookie", b"__Host-bff=" + value)).ticket is None


def test_a_value_longer_than_any_of_ours_is_not_even_opened() -> None:
    value = RING.sealer("cookie").seal(bytes(400)).encode()
    assert len(value) > 512
    with pytest.raises(InvalidRequest):
        read((b"cookie", b"__Host-bff=" + value))


def test_a_secure_cookie_has_what_its_prefix_demands() -> None:
    value, *attributes = HOST.set_cookie(TICKET, 60).decode().split("; ")
    assert set(attributes) == {"Max-Age=60", "Path=/", "HttpOnly", "SameSite=Strict", "Secure"}
    name, _, sealed = value.partition("=")
    assert name == "__Host-bff"
    assert read((b"cookie", f"{name}={sealed}".encode())).ticket == TICKET


def test_a_cookie_on_loopback_is_not_secure_and_has_no_prefix() -> None:
    value, *attributes = LOCAL.set_cookie(TICKET, 60).decode().split("; ")
    assert value.startswith("bff=")
    assert set(attributes) == {"Max-Age=60", "Path=/", "HttpOnly", "SameSite=Lax"}


@pytest.mark.parametrize("credentials", [HOST, LOCAL])
def test_a_cookie_is_cleared_with_the_attributes_that_it_was_set_with(credentials: SessionCarriers) -> None:
    given_name, _, given = credentials.set_cookie(TICKET, 60).decode().partition("=")
    cleared_name, _, cleared = credentials.clear_cookie().decode().partition("=")
    assert cleared_name == given_name
    assert cleared.split("; ")[0] == ""
    assert cleared.split("; ")[1] == "Max-Age=0"
    assert cleared.split("; ")[2:] == given.split("; ")[2:]


def test_what_is_carried_shows_neither_id_nor_secret_and_is_new_each_time() -> None:
    assert HOST.seal(Carrier.COOKIE, TICKET) != COOKIE.decode()
    for part in (TICKET.id.hex(), TICKET.secret.hex()):
        assert part not in COOKIE.decode()


@pytest.mark.parametrize(
    ("carrier", "name", "before"),
    [(Carrier.COOKIE, b"cookie", b"bff="), (Carrier.HEADER, b"x-session-id", b"")],
)
def test_what_was_opened_before_counts_as_nothing_once_its_key_is_removed(
    carrier: Carrier, name: bytes, before: bytes
) -> None:
    old, new = ("old", os.urandom(32)), ("new", os.urandom(32))
    ring = KeyRing([old], "acmeshop", os.urandom)
    carriers = SessionCarriers(ring, cookie_name="bff", secure=False, same_site="lax")
    carried = [(name, before + carriers.seal(carrier, TICKET).encode())]
    seen = HeaderFields(carried)

    def opened() -> list[Ticket | None]:
        return [carriers.read_carrier(fields).ticket for fields in (seen, HeaderFields(carried))]

    assert opened() == [TICKET, TICKET]
    ring.replace([new, old])
    assert opened() == [TICKET, TICKET]
    ring.replace([new])
    assert opened() == [None, None]


def test_every_request_is_counted_by_which_key_opened_what_it_carries() -> None:
    def counted() -> list[float | None]:
        return [
            REGISTRY.get_sample_value("bff_keys_opened_total", {"key": key}) for key in ("newest", "older")
        ]

    old = ("old", os.urandom(32))
    ring = KeyRing([old], "acmeshop", os.urandom)
    carriers = SessionCarriers(ring, cookie_name="bff", secure=False, same_site="lax")
    session_id = [(b"x-session-id", carriers.seal(Carrier.HEADER, TICKET).encode())]
    seen = HeaderFields(session_id)
    newest, older = counted()
    assert newest is not None
    assert older is not None
    for _ in range(2):
        carriers.read_carrier(seen)
    assert counted() == [newest + 2, older]
    ring.replace([("new", os.urandom(32)), old])
    for fields in (seen, seen, HeaderFields(session_id)):
        carriers.read_carrier(fields)
    carriers.read_carrier(HeaderFields([(b"cookie", b"bff=")]))
    assert counted() == [newest + 2, older + 3]
