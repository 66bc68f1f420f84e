"""Canaries: known secrets are driven through everything, and looked for wherever people and tools look."""

import dataclasses
import json
import logging
import os
import secrets
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis

from bff.api.call import Call
from bff.api.paths import parse_path
from bff.api.routes import Route
from bff.api.token_kinds import TokenKind
from bff.app import Proxy
from bff.auth.drop_in import _Call
from bff.auth.login_state import LoginState
from bff.config.embedded_redis import EmbeddedRedis
from bff.config.parsing import keys
from bff.config.settings import load_settings
from bff.emporix.token_answers import Issued
from bff.errors import BffError
from bff.middleware.carriers import SessionCarriers
from bff.middleware.header_fields import HeaderFields
from bff.security.keyring import KeyRing
from bff.security.secret import Secret
from bff.session import (
    CarriedTicket,
    Carrier,
    EndReason,
    HeldSession,
    Session,
    SessionKind,
    Ticket,
    Tombstone,
)
from bff.sessions.request_session import RequestSession
from bff.telemetry.logs import JsonFormatter
from bff.tokens import TokenSet, UpstreamCredentials
from bff.upstream.httpx_client import HttpxClient
from bff.upstream.options import TOKEN_CALLS
from bff.upstream.protocol import WholeAnswer
from bff.upstream.token_calls import TokenCallClient
from tests.live import ADA, GRACE, TENANT, LiveProxy, Sandbox, environment, new_key
from tests.security.journeys import STEPS, Visitor, found
from tests.security.loud import LoudProxy
from tests.security.test_no_token_leaves import PASSWORDS, WHOLE_JOURNEY

PASSWORD = "c4n4ry-of-redis"
FAILING = ("garbage", "disconnect", "lost", "html", "no_access_token", "unauthorized_expired", "throttled")


@pytest.fixture(scope="module")
def locked_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis with a password, and its address with that."""
    with EmbeddedRedis.start(tmp_path_factory.mktemp("redis")) as server:
        if server.kind == "fakeredis" and "CI" not in os.environ:
            pytest.skip("an imitation has no passwords")
        with redis.Redis.from_url(server.url) as client:
            client.config_set("requirepass", PASSWORD)
            try:
                yield server.url.replace("unix://", f"unix://:{PASSWORD}@", 1)
            finally:
                client.config_set("requirepass", "")


@pytest.fixture(scope="module", params=["formatted", "plain"])
def loud(request: pytest.FixtureRequest, locked_redis: str) -> Iterator[tuple[Sandbox, LoudProxy, str]]:
    with Sandbox() as sandbox:
        provider = {"authorize_url": f"{sandbox.url}/idp/authorize", "client_id": "storefront"}
        more = {"BFF_SSO": json.dumps({"sandbox": provider}), "BFF_DROP_IN": "true", "BFF_SITE_CODE": "main"}
        with LoudProxy(environment(sandbox, locked_redis, **more), request.param) as proxy:
            yield sandbox, proxy, request.param


def key_forms(ring: str) -> set[str | bytes]:
    """Return the keys of a BFF_KEYS as they stand there and bare."""
    return {spec.key for spec in keys(ring)} | {
        entry.partition(":")[2].rstrip("=") for entry in ring.split(",")
    }


def tickets(ring: str, carried: set[str]) -> set[bytes]:
    """Return ids and secrets inside of what visitors carry."""
    opener = KeyRing([(spec.kid, spec.key) for spec in keys(ring)], TENANT, os.urandom)
    parts: set[bytes] = set()
    for value in carried:
        for purpose in ("cookie", "session-id"):
            try:
                plain = opener.sealer(purpose).open(value)
            except Exception:  # noqa: BLE001, S112 - it is the other carrier's
                continue
            parts |= {plain[:16], plain[16:]}
    assert len(parts) > len(carried)
    return parts


def test_no_logger_at_debug_tells_a_secret(loud: tuple[Sandbox, LoudProxy, str]) -> None:
    sandbox, proxy, way = loud
    visitors = {carrier: Visitor(proxy, sandbox, carrier) for carrier in ("browser", "app")}
    failures = [
        (carrier, step)
        for carrier in visitors
        for kind in FAILING
        for step in (
            *("anonymous", f"{kind} at * /customerlogin/", "access tokens end", "read", "shop"),
            *(f"{kind} at * /customer/{TENANT}/", "log in", "log in", f"{kind} at * /customer/{TENANT}/"),
            *("refresh", "exchange", "sign on", "validate", f"{kind} at * /cart/", "shop", "log out"),
        )
    ]
    for carrier, step in [*WHOLE_JOURNEY, *failures]:
        STEPS[step](visitors[carrier])
        if step == "log out":
            sandbox.control("DELETE", "/faults")
    for visitor in visitors.values():
        visitor.client.close()
    carried = set().union(*(visitor.carried for visitor in visitors.values()))
    needles: set[str | bytes] = {
        *sandbox.secrets(),
        *PASSWORDS,
        *carried,
        PASSWORD,
        ADA["email"],
        GRACE["email"],
    }
    needles |= key_forms(proxy.environ["BFF_KEYS"]) | tickets(proxy.environ["BFF_KEYS"], carried)
    needles |= set().union(*(visitor.secrets for visitor in visitors.values()))
    needles |= set(sandbox.control("GET", "/issued")["sessionIds"])
    assert len(needles) > 60
    assert found(needles, {"the log": proxy.log.encode()}) == []
    sources = {line.get("logger", "").partition(".")[0] for line in proxy.log_lines()}
    assert sources >= {"bff", "uvicorn"}
    assert ("httpcore2" in sources) == (way == "formatted")
    assert ("plain bff.access INFO request" in proxy.log) == (way == "plain")


def test_the_servers_access_log_would_not_be_repeated_if_it_were_opened() -> None:
    """Today the logger is disabled, and only that keeps a sign-on's code out of the log."""
    line = '127.0.0.1:1 - "GET /auth/sso/main/callback?code=%s HTTP/1.1" 302'
    secret = canary()
    record = logging.LogRecord("uvicorn.access", logging.INFO, __file__, 1, line, (secret,), None)
    assert secret not in JsonFormatter().format(record)


def test_a_process_names_no_secret_in_its_arguments(
    loud: tuple[Sandbox, LoudProxy, str], proxy: LiveProxy
) -> None:
    for one in (loud[1], proxy):
        ring, address = one.environ["BFF_KEYS"], one.environ["BFF_REDIS_URL"]
        for folder in _family(one.process.pid):
            arguments = (folder / "cmdline").read_bytes() + (folder / "comm").read_bytes()
            assert found({PASSWORD, address, *key_forms(ring)}, {"the arguments": arguments}) == []


def _family(pid: int) -> Iterator[Path]:
    """Yield a process of Linux and its children."""
    folder = Path(f"/proc/{pid}")
    if not folder.exists():
        pytest.skip("there is no /proc")
    yield folder
    for child in (folder / "task" / str(pid) / "children").read_text("ascii").split():
        yield from _family(int(child))


def canary() -> str:
    return f"canary{secrets.token_hex(12)}"


def printed(value: object) -> str:
    """Return a value in every way in which a log, a debugger or an f-string prints it."""
    shown = [repr(value), str(value), f"{value}", f"{value!r}", f"{value:}", ascii(value), "%s" % (value,)]  # noqa: UP031
    shown.append(repr(getattr(value, "__dict__", {})))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        shown += [
            f"{field.name}={getattr(value, field.name)!r}"
            for field in dataclasses.fields(value)
            if field.repr
        ]
    shown.append(json.dumps({"value": value}, default=str))
    return "\n".join(shown)


def token_set(made: list[str]) -> TokenSet:
    access, refresh, saas = canary(), canary(), canary()
    made += [access, refresh, saas]
    return TokenSet(Secret(access), 2.0, 1.0, Secret(refresh), 3.0, Secret(saas), 4.0)


def every_value(made: list[str]) -> dict[str, object]:
    """Return one of each value that holds a secret; the secrets are added to `made`."""
    tokens, sid, verifier = token_set(made), canary(), canary()
    ticket = Ticket(secrets.token_bytes(16), secrets.token_bytes(32))
    made += [
        sid,
        verifier,
        ticket.id.hex(),
        ticket.secret.hex(),
        repr(ticket.id)[2:-1],
        repr(ticket.secret)[2:-1],
    ]
    session = Session(
        kind=SessionKind.CUSTOMER, carrier=Carrier.COOKIE, tokens=tokens, upstream_session_id=Secret(sid),
        created_at=1.0, expires_at=9.0, idle_seconds=5.0, last_seen_at=1.0,
    )  # fmt: skip
    held = HeldSession(ticket, session)
    visit = RequestSession(Carrier.COOKIE, "192.0.2.1", None, held=held, issued=held)
    ring = new_key()
    made += [ring.partition(":")[2].rstrip("="), repr(keys(ring)[0].key)[2:-1], keys(ring)[0].key.hex()]
    address = f"redis://user:{canary()}@127.0.0.1:1/0"
    made.append(address.partition("user:")[2].partition("@")[0])
    settings = load_settings({
        "BFF_TENANT": TENANT, "BFF_CLIENT_ID": "storefront", "BFF_PUBLIC_ORIGIN": "https://shop.example",
        "BFF_KEYS": ring, "BFF_REDIS_URL": address,
    })  # fmt: skip
    opener = KeyRing([(spec.kid, spec.key) for spec in settings.keys], TENANT, os.urandom)
    credentials = SessionCarriers(opener, cookie_name="bff", secure=True, same_site="strict")
    proxy = Proxy(settings)
    return {
        "Settings": settings, "KeySpec": settings.keys[0], "KeyRing": opener, "Sealer": opener.sealer("cookie"),
        "RecordSealer": opener.record_sealer(), "KeyedDigest": opener.digest("x"), "SessionCarriers": credentials,
        "TokenSet": tokens, "Ticket": ticket, "Session": session, "UpstreamCredentials": session.credentials,
        "bare UpstreamCredentials": UpstreamCredentials(tokens.access), "HeldSession": held,
        "RequestSession": visit, "Tombstone": Tombstone(EndReason.SUPERSEDED, session, ticket),
        "CarriedTicket": CarriedTicket(Carrier.COOKIE, ticket),
        "Issued": Issued(tokens, Secret(sid), customer_number=None, initial_password=False),
        "LoginState": LoginState("main", "state", "/", Secret(verifier), ticket), "Proxy": proxy,
        "Proxy's vars": vars(proxy), "Policy": proxy.engine.policy, "Ports": proxy.engine.ports,
        "SessionStore": vars(proxy.engine.ports.store), "CustomerIndex": vars(proxy.engine.ports.customers),
    }  # fmt: skip


@pytest.mark.anyio
async def test_no_value_prints_its_secrets() -> None:
    made: list[str] = []
    values = every_value(made)
    assert len(made) >= 10
    shown = {name: printed(value).encode() for name, value in values.items()}
    assert [
        f"{secret} in {name}" for secret in made for name, text in shown.items() if secret.encode() in text
    ] == []


def test_printing_would_show_a_bare_secret() -> None:
    """Or the test above could not fail."""
    value = canary()
    holder: Any = dataclasses.make_dataclass("Holder", [("token", str)])
    assert value in printed(holder(value))
    assert value in printed({"a": [value]})


def an_answer(secret: str) -> object:
    return WholeAnswer(200, {}, json.dumps({"access_token": secret}).encode())


def a_call(secret: str) -> object:
    route = Route("GET", "/x", TokenKind.SESSION)
    return Call(
        "GET", parse_path(b"/api/x"), b"", HeaderFields([(b"cookie", f"bff={secret}".encode())]), route
    )


def an_ask(secret: str) -> object:
    request: Any = None
    return _Call(request, RequestSession(Carrier.COOKIE, "", None), secret)


@pytest.mark.parametrize("make", [an_answer, a_call, an_ask])
def test_no_value_of_one_request_prints_what_it_carries(make: Any) -> None:
    secret = canary()
    assert secret not in repr(make(secret))


ERRORS = pytest.mark.parametrize(
    "error", [httpx2.ConnectError, httpx2.ReadTimeout, httpx2.RemoteProtocolError, httpx2.ReadError]
)


async def _raised(
    error: type[httpx2.TransportError], secret: str, monkeypatch: pytest.MonkeyPatch
) -> BffError:
    async def fail(_transport: object, request: httpx2.Request) -> httpx2.Response:
        raise error("it failed", request=request)

    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", fail)
    client = TokenCallClient(HttpxClient("http://upstream.test", TOKEN_CALLS))
    try:
        with pytest.raises(BffError) as raised:
            await client.call(
                "x", "GET", "/x", query={"refreshToken": secret}, headers={"authorization": secret}
            )
    finally:
        await client.aclose()
    return raised.value


@pytest.mark.anyio
@ERRORS
async def test_no_error_of_a_token_call_prints_the_token(
    error: type[httpx2.TransportError], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = canary()
    raised = await _raised(error, secret, monkeypatch)
    shown = [
        "".join(traceback.format_exception(raised)),
        printed(raised.problem("x")),
        raised.log_detail or "",
    ]
    assert secret not in "\n".join([*shown, repr(raised), str(raised), repr(vars(raised)), repr(raised.args)])


@pytest.mark.anyio
@ERRORS
async def test_no_error_of_a_token_call_holds_its_request(
    error: type[httpx2.TransportError], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = canary()
    link: BaseException | None = await _raised(error, secret, monkeypatch)
    while link is not None:
        assert secret not in repr(vars(link))
        link = link.__cause__ or link.__context__
