"""Placeholders: whose token each stands for, and that it opens nothing for anybody else."""

import logging
import secrets

import pytest

from bff.auth.placeholders import ACCESS, REFRESH, Placeholders
from bff.errors import NoSession
from bff.security.keyring import KeyRing
from bff.security.secret import Secret
from bff.session import HeldSession, Session, SessionKind, as_guest, kept_guest_of
from bff.sessions.request_session import RequestSession
from bff.telemetry.metrics import REGISTRY
from tests.component.test_drop_in import ANONYMOUS, CUSTOMER, RENEWAL, log_in, stock, took
from tests.live import GRACE, TENANT
from tests.support import (
    Replica,
    a_request_session,
    a_session,
    new_keys,
    new_replica,
    new_ring,
    new_ticket,
)

pytestmark = pytest.mark.anyio
GUEST, CUSTOMERS = SessionKind.ANONYMOUS, SessionKind.CUSTOMER


def placeholders() -> Placeholders:
    return Placeholders(new_ring("k1").digest("test"))


def visiting(session: Session) -> RequestSession:
    request, ticket = a_request_session(), new_ticket()
    request.carried, request.held = ticket, HeldSession(ticket, session)
    return request


def a_customer(guest: Session, **changes: object) -> Session:
    """Return the customer that a guest becomes, on the same Emporix session."""
    return a_session(
        kind=CUSTOMERS,
        upstream_session_id=guest.upstream_session_id,
        kept_guest=kept_guest_of(guest),
        **changes,
    )


def test_each_token_of_each_session_has_a_placeholder_of_its_own() -> None:
    made, guest = placeholders(), a_session()
    customer = a_customer(guest)
    sessions = (guest, a_session(), customer, a_customer(guest, created_at=guest.created_at + 1))
    names = (ACCESS, REFRESH, "saas_token")
    assert len({made.of(session, name) for session in sessions for name in names}) == 12


def test_it_stays_the_same_over_a_login_and_over_renewals() -> None:
    made, guest = placeholders(), a_session()
    assert made.of(as_guest(a_customer(guest)), ACCESS) == made.of(guest, ACCESS)
    assert made.of(a_session(upstream_session_id=guest.upstream_session_id), ACCESS) == made.of(guest, ACCESS)


def test_it_says_whose_token_it_stands_for() -> None:
    made, guest = placeholders(), a_session()
    customer = a_customer(guest)
    request = visiting(customer)
    assert made.owner(request, ACCESS, made.of(guest, ACCESS)) is GUEST
    assert made.owner(request, ACCESS, made.of(customer, ACCESS)) is CUSTOMERS
    assert made.owner(visiting(guest), REFRESH, made.of(guest, REFRESH)) is GUEST


@pytest.mark.parametrize("text", ["", "x", "ä", "\ud800", "A" * 20])
def test_what_was_never_one_is_unknown(text: str) -> None:
    made, guest = placeholders(), a_session()
    with pytest.raises(NoSession):
        made.owner(visiting(a_customer(guest)), ACCESS, text)


def test_it_opens_nothing_elsewhere() -> None:
    made, guest = placeholders(), a_session()
    customer = a_customer(guest)
    without_guest = a_session(kind=CUSTOMERS, upstream_session_id=guest.upstream_session_id)
    for session, token, text in (
        (a_session(), ACCESS, made.of(guest, ACCESS)),  # another session
        (guest, ACCESS, made.of(guest, REFRESH)),  # another token
        (guest, ACCESS, made.of(customer, ACCESS)),  # the customer has ended
        (without_guest, ACCESS, made.of(guest, ACCESS)),
        (guest, ACCESS, placeholders().of(guest, ACCESS)),  # other keys
    ):
        with pytest.raises(NoSession):
            made.owner(visiting(session), token, text)


def test_an_older_keys_placeholder_is_known() -> None:
    old, new, guest = ("old", secrets.token_bytes(32)), ("new", secrets.token_bytes(32)), a_session()
    older, newer = (
        Placeholders(KeyRing(keys, TENANT, secrets.token_bytes).digest("test"))
        for keys in ([old], [new, old])
    )
    assert older.of(guest, ACCESS) != newer.of(guest, ACCESS)
    assert newer.owner(visiting(guest), ACCESS, older.of(guest, ACCESS)) is GUEST


@pytest.mark.parametrize(
    "fields",
    [
        [b"Basic %s"],
        [b"Digest %s"],
        [b"%s"],
        [b"Bearer"],
        [b"Bearer "],
        [b"Bearer x%s"],
        [b"Bearer %s", b"Bearer %s"],
    ],
)
def test_only_one_bearer_names_anybody(fields: list[bytes]) -> None:
    made, guest = placeholders(), a_session()
    text = made.of(guest, ACCESS).encode()
    headers = [(b"authorization", field.replace(b"%s", text)) for field in fields]
    with pytest.raises(NoSession):
        made.call_as(visiting(guest), headers)
    made.call_as(visiting(guest), [(b"authorization", b"bearer  " + text)])


async def test_a_placeholder_without_a_cookie_is_refused_counted_and_logged_once_with_the_remedy(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("bff_credentials_not_sent_total") or 0.0

    caplog.set_level(logging.WARNING, "bff")
    async with new_replica(redis_url, drop_in="true") as one, stock(one) as client:
        guest = took(client, await client.get(ANONYMOUS))
        client.cookies.clear()
        before = counted()
        for method, path in (
            ("POST", f"{CUSTOMER}/login"),
            ("GET", f"{CUSTOMER}/validateauthtoken"),
            ("GET", f"/api/product/{one.upstream.world.knobs.tenant}/products"),
            ("GET", f"{RENEWAL}&refresh_token={guest['refresh_token']}"),
        ):
            answer = await client.request(method, path, json={})
            assert (answer.status_code, set(answer.json())) == (401, {"fault"})
            assert "credentials" in answer.json()["fault"]["faultstring"]
            assert "set-cookie" not in answer.headers
        assert counted() == before + 4
        assert [record.message for record in caplog.records].count("credentials_not_sent") == 1
        assert len(one.upstream.calls("")) == 1


async def test_a_guests_refresh_placeholder_renews_no_customer(redis_url: str) -> None:
    async with new_replica(redis_url, drop_in="true") as one, stock(one) as client:
        guest = took(client, await client.get(ANONYMOUS))
        path = f"{CUSTOMER}/refreshauthtoken"
        assert (await client.get(path, params={"refreshToken": guest["refresh_token"]})).status_code == 401
        customer = await log_in(client)
        for refused in (guest["refresh_token"], guest["access_token"], customer["access_token"]):
            answer = await client.get(path, params={"refreshToken": refused})
            assert (answer.status_code, set(answer.json())) == (401, {"fault"})
        for bearer in (guest, customer):
            client.headers["Authorization"] = f"Bearer {bearer['access_token']}"
            answer = await client.get(path, params={"refreshToken": customer["refresh_token"]})
            assert answer.json()["access_token"] == customer["access_token"]
        assert len(one.upstream.calls("/refreshauthtoken")) == 2


async def test_a_customers_refresh_placeholder_renews_no_guest(redis_url: str) -> None:
    async with new_replica(redis_url, drop_in="true") as one, stock(one) as client:
        guest = took(client, await client.get(ANONYMOUS))
        customer = await log_in(client)
        for name, text in (
            ("refresh_token", customer["refresh_token"]),
            ("refresh_token", guest["access_token"]),
            ("anonymous_token", customer["access_token"]),
            ("refresh_token", "x"),
        ):
            assert (await client.get(f"{RENEWAL}&{name}={text}")).status_code == 401
        again = await client.get(f"{RENEWAL}&refresh_token={guest['refresh_token']}")
        assert again.json()["access_token"] == guest["access_token"]


async def test_an_anonymous_login_beside_a_customer_gives_the_guest_that_was(redis_url: str) -> None:
    async with new_replica(redis_url, drop_in="true") as one, stock(one) as client:
        guest = took(client, await client.get(ANONYMOUS))
        customer = await log_in(client)
        again = await client.get(ANONYMOUS)
        assert again.json()["access_token"] == guest["access_token"] != customer["access_token"]
        assert again.json()["expires_in"] == 3599
        assert "set-cookie" not in again.headers
        assert len(one.upstream.calls("/anonymous/")) == 1


async def test_a_guest_begins_beside_a_customer_whose_session_keeps_none(redis_url: str) -> None:
    keys = new_keys()
    async with new_replica(redis_url, keys=keys) as before, before.browser() as browser:
        await browser.post("/auth/login", json=GRACE)
        upstream, clock = before.upstream, before.clock
        async with (
            new_replica(redis_url, keys=keys, upstream=upstream, clock=clock, drop_in="true") as one,
            stock(one) as client,
        ):
            client.cookies = browser.cookies
            began = took(client, await client.get(ANONYMOUS + "&currency=USD"))
            assert (await client.get(ANONYMOUS)).json()["access_token"] == began["access_token"]
            assert one.limits.guests == ["192.0.2.1"]
            assert (await client.get("/auth/session")).json()["kind"] == "customer"


async def test_a_logout_wants_the_customers_own_placeholder(redis_url: str) -> None:
    async with new_replica(redis_url, drop_in="true") as one, stock(one) as client:
        guest = took(client, await client.get(ANONYMOUS))
        customer = await log_in(client)
        path = f"{CUSTOMER}/logout"
        assert (await client.get(path, params={"accessToken": guest["access_token"]})).status_code == 401
        client.headers["Authorization"] = f"Bearer {guest['access_token']}"
        assert (await client.get(path, params={"accessToken": customer["access_token"]})).status_code == 401
        assert (await client.get("/auth/session")).json()["kind"] == "customer"
        client.headers["Authorization"] = f"Bearer {customer['access_token']}"
        assert (await client.get(path)).status_code == 204


async def test_a_new_login_of_the_guest_ends_the_customer_that_its_client_forgot(redis_url: str) -> None:
    async with new_replica(redis_url, drop_in="true") as one, stock(one) as client:
        guest = took(client, await client.get(ANONYMOUS))
        ada = await log_in(client)
        client.headers["Authorization"] = f"Bearer {guest['access_token']}"
        grace = await log_in(client, GRACE)
        assert grace["session_id"] == ada["session_id"] == guest["session_id"]
        assert (await client.get(f"{CUSTOMER}/validateauthtoken")).json()["email"] == GRACE["email"]
        client.headers["Authorization"] = f"Bearer {ada['access_token']}"
        assert (await client.get(f"{CUSTOMER}/validateauthtoken")).status_code == 401
        client.headers["Authorization"] = f"Bearer {guest['access_token']}"
        assert "email" not in (await client.get(f"{CUSTOMER}/validateauthtoken")).json()


async def test_a_wrong_password_of_the_guest_leaves_the_customer(redis_url: str) -> None:
    async with new_replica(redis_url, drop_in="true") as one, stock(one) as client:
        guest = took(client, await client.get(ANONYMOUS))
        ada = await log_in(client)
        client.headers["Authorization"] = f"Bearer {guest['access_token']}"
        refused = await client.post(f"{CUSTOMER}/login", json=GRACE | {"password": "not-hers"})
        assert refused.status_code == 401
        client.headers["Authorization"] = f"Bearer {ada['access_token']}"
        assert (await client.get(f"{CUSTOMER}/validateauthtoken")).json()["email"] == "ada@example.com"


async def test_without_an_authorization_a_call_goes_by_the_cookie_alone(redis_url: str) -> None:
    async with new_replica(redis_url, drop_in="true") as one, stock(one) as client:
        took(client, await client.get(ANONYMOUS))
        await log_in(client)
        del client.headers["Authorization"]
        client.headers["X-CSRF"] = "1"
        assert (await client.get(f"{CUSTOMER}/validateauthtoken")).json()["email"] == "ada@example.com"
        client.headers["Authorization"] = "Bearer x"
        assert (await client.get(f"{CUSTOMER}/validateauthtoken")).status_code == 401


async def test_outside_drop_in_mode_no_guest_is_kept(replica: Replica) -> None:
    held = await replica.customer()
    assert held.session.kept_guest is None
    session = a_request_session()
    await replica.engine.login.login(session, GRACE["email"], Secret(GRACE["password"]))
    assert session.session is not None
    assert session.session.kept_guest is None
