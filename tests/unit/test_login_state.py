"""Login states are bound to the browser that started them, sealed, and expire after ten minutes."""

import base64
import hashlib
import secrets
import zlib
from http.cookies import SimpleCookie

import pytest
from itsdangerous import TimestampSigner

from bff.auth.login_state import LIFETIME_SECONDS, MAX_ATTEMPTS, LoginState, LoginStates
from bff.security.keyring import KeyRing
from bff.session import Ticket
from tests.support import NOW, TENANT, Clock, new_ring, new_ticket

Header = tuple[bytes, bytes]
KEYS = [("k1", secrets.token_bytes(32)), ("k2", secrets.token_bytes(32))]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return a clock that replaces the one of the signing library."""
    fake = Clock()
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _self: int(fake()))
    return fake


def new_states(ring: KeyRing | None = None, *, secure: bool = False) -> LoginStates:
    name = "__Host-bff" if secure else "bff"
    return LoginStates(ring or new_ring(), cookie_name=name, secure=secure, random_bytes=secrets.token_bytes)


def cookie_header(states: LoginStates, attempt: LoginState) -> Header:
    """Return the Cookie header of a browser that has stored this attempt's cookie."""
    set_cookie = states.cookies(attempt, [])[0][1]
    return b"cookie", set_cookie.partition(b";")[0]


def new_attempt(states: LoginStates, ticket: Ticket | None = None) -> LoginState:
    return states.begin("main", "site_DE", "/account", ticket)


@pytest.mark.parametrize("ticket", [None, new_ticket()])
def test_attempt_is_read_back_from_its_cookie(ticket: Ticket | None) -> None:
    states = new_states()
    attempt = new_attempt(states, ticket)
    found = states.find("main", attempt.state, [cookie_header(states, attempt)])
    assert found == attempt
    assert found is not None
    assert found.verifier.reveal() == attempt.verifier.reveal()


def test_the_state_starts_with_the_config_if_there_is_one() -> None:
    states = new_states()
    config, mark, random = new_attempt(states).state.partition("--")
    assert (config, mark) == ("site_DE", "--")
    assert len(random) >= 32
    assert "--" not in states.begin("main", None, "/", None).state[:2]
    assert len({new_attempt(states).state for _ in range(50)}) == 50


def test_the_challenge_is_the_verifiers_sha256() -> None:
    attempt = new_attempt(new_states())
    verifier = attempt.verifier.reveal()
    assert 43 <= len(verifier) <= 128
    digest = hashlib.sha256(verifier.encode()).digest()
    assert attempt.challenge == base64.urlsafe_b64encode(digest).decode().rstrip("=")


@pytest.mark.parametrize(("secure", "prefix"), [(False, "bff-sso-"), (True, "__Host-bff-sso-")])
def test_the_cookie_is_lax_http_only_and_short_lived(secure: bool, prefix: str) -> None:  # noqa: FBT001
    states = new_states(secure=secure)
    ((name, value),) = states.cookies(new_attempt(states), [])
    assert name == b"set-cookie"
    ((key, morsel),) = SimpleCookie(value.decode()).items()
    assert key.startswith(prefix)
    assert (morsel["max-age"], morsel["path"], morsel["samesite"]) == ("600", "/", "Lax")
    assert morsel["httponly"] is True
    assert bool(morsel["secure"]) is secure
    assert not morsel["domain"]


def test_every_attempt_has_a_cookie_of_its_own() -> None:
    states = new_states()
    names = {cookie_header(states, new_attempt(states))[1].partition(b"=")[0] for _ in range(20)}
    assert len(names) == 20


def test_neither_verifier_nor_ticket_can_be_read_in_the_cookie() -> None:
    states, ticket = new_states(), new_ticket()
    attempt = new_attempt(states, ticket)
    value = cookie_header(states, attempt)[1].partition(b"=")[2]
    compressed = value.startswith(b".")
    payload = value.lstrip(b".").partition(b".")[0]
    plain = base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4))
    plain = zlib.decompress(plain) if compressed else plain
    assert b"/account" in plain
    for secret in (
        attempt.verifier.reveal().encode(),
        ticket.id,
        ticket.secret,
        ticket.secret.hex().encode(),
    ):
        assert secret not in plain
        assert base64.urlsafe_b64encode(secret).rstrip(b"=") not in plain


def test_another_browsers_state_is_not_found() -> None:
    states = new_states()
    mine, theirs = new_attempt(states), new_attempt(states)
    assert states.find("main", theirs.state, [cookie_header(states, mine)]) is None
    assert states.find("main", theirs.state, []) is None
    renamed = (
        cookie_header(states, theirs)[1].partition(b"=")[0]
        + b"="
        + cookie_header(states, mine)[1].partition(b"=")[2]
    )
    assert states.find("main", theirs.state, [(b"cookie", renamed)]) is None


def test_another_providers_state_is_not_found() -> None:
    states = new_states()
    attempt = new_attempt(states)
    assert states.find("other", attempt.state, [cookie_header(states, attempt)]) is None


def test_a_cookie_signed_with_another_key_is_not_accepted() -> None:
    theirs = new_states()
    attempt = new_attempt(theirs)
    assert new_states().find("main", attempt.state, [cookie_header(theirs, attempt)]) is None


@pytest.mark.parametrize("state", ["", "x", "site_DE--", "é" * 10, "\x00", "a" * 257])
def test_malformed_states_are_not_found(state: str) -> None:
    states = new_states()
    assert states.find("main", state, [cookie_header(states, new_attempt(states))]) is None


def test_every_changed_byte_makes_the_cookie_invalid() -> None:
    states = new_states()
    attempt = new_attempt(states)
    name, _, value = cookie_header(states, attempt)[1].partition(b"=")
    for at in range(len(value) - 1):  # the last character of base64 may have unused bits
        other = b"A" if value[at : at + 1] != b"A" else b"B"
        changed = value[:at] + other + value[at + 1 :]
        assert states.find("main", attempt.state, [(b"cookie", name + b"=" + changed)]) is None


def test_a_duplicated_cookie_is_not_accepted() -> None:
    states = new_states()
    attempt = new_attempt(states)
    header = cookie_header(states, attempt)
    assert states.find("main", attempt.state, [header, header]) is None


def test_an_attempt_expires_after_ten_minutes(clock: Clock) -> None:
    states = new_states()
    attempt = new_attempt(states)
    header = cookie_header(states, attempt)
    clock.at = NOW + LIFETIME_SECONDS
    assert states.find("main", attempt.state, [header]) == attempt
    clock.at = NOW + LIFETIME_SECONDS + 1
    assert states.find("main", attempt.state, [header]) is None


def test_the_oldest_attempt_is_deleted_if_there_are_too_many(clock: Clock) -> None:
    states = new_states()
    headers: list[Header] = []
    for _ in range(MAX_ATTEMPTS):
        clock.at += 1
        attempt = new_attempt(states)
        assert len(states.cookies(attempt, headers)) == 1
        headers.append(cookie_header(states, attempt))
    clock.at += 1
    set_cookies = states.cookies(new_attempt(states), headers[::-1])
    assert len(set_cookies) == 2
    deletion = SimpleCookie(set_cookies[1][1].decode())
    ((name, morsel),) = deletion.items()
    assert name.encode() == headers[0][1].partition(b"=")[0]
    assert (morsel.value, morsel["max-age"], morsel["path"]) == ("", "0", "/")


def test_invalid_cookies_with_the_same_prefix_are_deleted_first(clock: Clock) -> None:
    states = new_states()
    headers = [cookie_header(states, new_attempt(states)) for _ in range(MAX_ATTEMPTS - 1)]
    planted = [(b"cookie", b"bff-sso-planted%d=x" % number) for number in range(3)]
    set_cookies = states.cookies(new_attempt(states), [*planted, *headers])
    assert {header[1].partition(b"=")[0] for header in set_cookies[1:]} == {
        b"bff-sso-planted0",
        b"bff-sso-planted1",
        b"bff-sso-planted2",
    }


def test_more_than_a_handful_are_deleted_unread_and_a_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    states, read = new_states(), list[object]()
    attempt = new_attempt(states)
    monkeypatch.setattr(states._serializer, "loads", lambda value, **_options: read.append(value))
    flood = [(b"cookie", b"; ".join(b"bff-sso-%d=x" % number for number in range(5000)))]
    set_cookies = states.cookies(attempt, flood)
    assert read == []
    assert [value.partition(b"=")[0] for _, value in set_cookies[1:]] == [
        b"bff-sso-%d" % number for number in range(10)
    ]


@pytest.mark.parametrize("blank", [b"\xa0", b"\x85", b"\x1f", b"\x0b"])
def test_a_cookie_of_another_name_is_no_attempt(blank: bytes) -> None:
    """Another host of the domain can set it, which it cannot under the name with the prefix."""
    states = new_states(secure=True)
    attempt = new_attempt(states)
    planted = (b"cookie", blank + cookie_header(states, attempt)[1])
    assert states.find("main", attempt.state, [planted]) is None
    assert len(states.cookies(new_attempt(states), [planted] * 20)) == 1


def test_the_cookie_of_a_finished_attempt_is_deleted() -> None:
    states = new_states()
    attempt = new_attempt(states)
    name, value = states.forget(attempt.state)
    assert name == b"set-cookie"
    assert value.startswith(cookie_header(states, attempt)[1].partition(b"=")[0] + b"=; Max-Age=0;")
    assert b"SameSite=Lax" in value


def test_attempts_survive_a_new_key_but_not_the_removal_of_their_key() -> None:
    def states(*keys: tuple[str, bytes]) -> LoginStates:
        return new_states(KeyRing(keys, TENANT, secrets.token_bytes))

    old = states(KEYS[0])
    attempt = new_attempt(old)
    header = cookie_header(old, attempt)
    assert states(KEYS[1], KEYS[0]).find("main", attempt.state, [header]) == attempt
    assert states(KEYS[1]).find("main", attempt.state, [header]) is None
    live = KeyRing([KEYS[0]], TENANT, secrets.token_bytes)
    running = new_states(live)
    for keys, found in (([KEYS[1], KEYS[0]], attempt), ([KEYS[1]], None)):
        live.replace(keys)
        assert running.find("main", attempt.state, [header]) == found
    both = states(KEYS[1], KEYS[0])
    newer = new_attempt(both)
    assert states(KEYS[1]).find("main", newer.state, [cookie_header(both, newer)]) == newer
