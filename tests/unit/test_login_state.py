"""The state of a sign-on under way: bound to the browser that began it, sealed, and gone after ten minutes."""

import base64
import hashlib
import secrets
import zlib
from http.cookies import SimpleCookie

import pytest
from itsdangerous import TimestampSigner

from bff.auth.login_state import LIFETIME_SECONDS, MOST_ATTEMPTS, LoginState, LoginStates
from bff.security.keyring import KeyRing
from bff.session import Ticket
from tests.unit.support import NOW, TENANT, Clock, new_ring, new_ticket

Header = tuple[bytes, bytes]
KEYS = [("k1", secrets.token_bytes(32)), ("k2", secrets.token_bytes(32))]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock for the library that signs, which takes none."""
    turned = Clock()
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _self: int(turned()))
    return turned


def new_states(ring: KeyRing | None = None, *, secure: bool = False) -> LoginStates:
    name = "__Host-bff" if secure else "bff"
    return LoginStates(ring or new_ring(), cookie_name=name, secure=secure, random_bytes=secrets.token_bytes)


def kept(states: LoginStates, attempt: LoginState) -> Header:
    """Return the Cookie field of a browser that has taken this attempt's cookie."""
    set_cookie = states.cookies(attempt, [])[0][1]
    return b"cookie", set_cookie.partition(b";")[0]


def begun(states: LoginStates, ticket: Ticket | None = None) -> LoginState:
    return states.begin("main", "site_DE", "/account", ticket)


@pytest.mark.parametrize("ticket", [None, new_ticket()])
def test_an_attempt_is_found_again_as_it_was_begun(ticket: Ticket | None) -> None:
    states = new_states()
    attempt = begun(states, ticket)
    found = states.find("main", attempt.state, [kept(states, attempt)])
    assert found == attempt
    assert found is not None
    assert found.verifier.reveal() == attempt.verifier.reveal()


def test_the_state_names_the_config_where_there_is_one() -> None:
    states = new_states()
    config, mark, random = begun(states).state.partition("--")
    assert (config, mark) == ("site_DE", "--")
    assert len(random) >= 32
    assert "--" not in states.begin("main", None, "/", None).state[:2]
    assert len({begun(states).state for _ in range(50)}) == 50


def test_the_challenge_is_the_verifiers_sha256() -> None:
    attempt = begun(new_states())
    verifier = attempt.verifier.reveal()
    assert 43 <= len(verifier) <= 128
    digest = hashlib.sha256(verifier.encode()).digest()
    assert attempt.challenge == base64.urlsafe_b64encode(digest).decode().rstrip("=")


@pytest.mark.parametrize(("secure", "prefix"), [(False, "bff-sso-"), (True, "__Host-bff-sso-")])
def test_the_cookie_is_lax_hidden_from_scripts_and_short_lived(secure: bool, prefix: str) -> None:  # noqa: FBT001
    states = new_states(secure=secure)
    ((name, value),) = states.cookies(begun(states), [])
    assert name == b"set-cookie"
    ((key, morsel),) = SimpleCookie(value.decode()).items()
    assert key.startswith(prefix)
    assert (morsel["max-age"], morsel["path"], morsel["samesite"]) == ("600", "/", "Lax")
    assert morsel["httponly"] is True
    assert bool(morsel["secure"]) is secure
    assert not morsel["domain"]


def test_every_attempt_has_a_cookie_of_its_own() -> None:
    states = new_states()
    names = {kept(states, begun(states))[1].partition(b"=")[0] for _ in range(20)}
    assert len(names) == 20


def test_neither_verifier_nor_ticket_can_be_read_in_the_cookie() -> None:
    states, ticket = new_states(), new_ticket()
    attempt = begun(states, ticket)
    value = kept(states, attempt)[1].partition(b"=")[2]
    squeezed = value.startswith(b".")
    payload = value.lstrip(b".").partition(b".")[0]
    plain = base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4))
    plain = zlib.decompress(plain) if squeezed else plain
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
    mine, theirs = begun(states), begun(states)
    assert states.find("main", theirs.state, [kept(states, mine)]) is None
    assert states.find("main", theirs.state, []) is None
    renamed = kept(states, theirs)[1].partition(b"=")[0] + b"=" + kept(states, mine)[1].partition(b"=")[2]
    assert states.find("main", theirs.state, [(b"cookie", renamed)]) is None


def test_another_providers_state_is_not_found() -> None:
    states = new_states()
    attempt = begun(states)
    assert states.find("other", attempt.state, [kept(states, attempt)]) is None


def test_another_servers_cookie_is_not_believed() -> None:
    theirs = new_states()
    attempt = begun(theirs)
    assert new_states().find("main", attempt.state, [kept(theirs, attempt)]) is None


@pytest.mark.parametrize("state", ["", "x", "site_DE--", "é" * 10, "\x00", "a" * 257])
def test_strange_states_are_not_found(state: str) -> None:
    states = new_states()
    assert states.find("main", state, [kept(states, begun(states))]) is None


def test_every_changed_byte_spoils_the_cookie() -> None:
    states = new_states()
    attempt = begun(states)
    name, _, value = kept(states, attempt)[1].partition(b"=")
    for place in range(len(value) - 1):  # the last character of base64 may have idle bits
        other = b"A" if value[place : place + 1] != b"A" else b"B"
        spoiled = value[:place] + other + value[place + 1 :]
        assert states.find("main", attempt.state, [(b"cookie", name + b"=" + spoiled)]) is None


def test_a_cookie_carried_twice_is_not_believed() -> None:
    states = new_states()
    attempt = begun(states)
    field = kept(states, attempt)
    assert states.find("main", attempt.state, [field, field]) is None


def test_an_attempt_ends_after_ten_minutes(clock: Clock) -> None:
    states = new_states()
    attempt = begun(states)
    field = kept(states, attempt)
    clock.at = NOW + LIFETIME_SECONDS
    assert states.find("main", attempt.state, [field]) == attempt
    clock.at = NOW + LIFETIME_SECONDS + 1
    assert states.find("main", attempt.state, [field]) is None


def test_the_oldest_of_too_many_attempts_is_dropped(clock: Clock) -> None:
    states = new_states()
    fields: list[Header] = []
    for _ in range(MOST_ATTEMPTS):
        clock.at += 1
        attempt = begun(states)
        assert len(states.cookies(attempt, fields)) == 1
        fields.append(kept(states, attempt))
    clock.at += 1
    answer = states.cookies(begun(states), fields[::-1])
    assert len(answer) == 2
    dropped = SimpleCookie(answer[1][1].decode())
    ((name, morsel),) = dropped.items()
    assert name.encode() == fields[0][1].partition(b"=")[0]
    assert (morsel.value, morsel["max-age"], morsel["path"]) == ("", "0", "/")


def test_cookies_of_its_name_that_are_not_its_own_go_first(clock: Clock) -> None:
    states = new_states()
    fields = [kept(states, begun(states)) for _ in range(MOST_ATTEMPTS - 1)]
    planted = [(b"cookie", b"bff-sso-planted%d=x" % number) for number in range(3)]
    answer = states.cookies(begun(states), [*planted, *fields])
    assert {field[1].partition(b"=")[0] for field in answer[1:]} == {
        b"bff-sso-planted0",
        b"bff-sso-planted1",
        b"bff-sso-planted2",
    }


def test_a_finished_attempt_is_forgotten() -> None:
    states = new_states()
    attempt = begun(states)
    name, value = states.forget(attempt.state)
    assert name == b"set-cookie"
    assert value.startswith(kept(states, attempt)[1].partition(b"=")[0] + b"=; Max-Age=0;")
    assert b"SameSite=Lax" in value


def test_attempts_outlive_a_new_key_and_not_a_lost_one() -> None:
    def states(*keys: tuple[str, bytes]) -> LoginStates:
        return new_states(KeyRing(keys, TENANT, secrets.token_bytes))

    old = states(KEYS[0])
    attempt = begun(old)
    field = kept(old, attempt)
    assert states(KEYS[1], KEYS[0]).find("main", attempt.state, [field]) == attempt
    assert states(KEYS[1]).find("main", attempt.state, [field]) is None
    fresh = states(KEYS[1], KEYS[0])
    newer = begun(fresh)
    assert states(KEYS[1]).find("main", newer.state, [kept(fresh, newer)]) == newer
