"""How much of Redis' memory a session takes beyond its tokens."""

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable

import pytest

from bff.security.secret import Secret
from bff.session import Session, SessionKind
from tests.contract.on_redis import OnRedis
from tests.contract.replicas import begin
from tests.values import a_session, new_ticket, tokens

pytestmark = pytest.mark.anyio

MOST = 600
SESSIONS = 2000
EXPIRY = 60
"""What Redis keeps for a key's time to live and its place in the tables, which MEMORY USAGE leaves out."""
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"


def web_token(size: int) -> Secret:
    """Return a text of the form of a JSON Web Token."""
    parts = (secrets.token_bytes(each) for each in (27, size * 3 // 4 - 291, 256))
    return Secret(b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in parts).decode())


def a_guest() -> Session:
    return a_session(
        tokens=tokens(access=Secret(secrets.token_urlsafe(21)), refresh=Secret(secrets.token_urlsafe(24)))
    )


def a_customer() -> Session:
    issued = tokens(access=web_token(1100), refresh=Secret(secrets.token_urlsafe(24)), saas=web_token(500))
    return a_session(
        kind=SessionKind.CUSTOMER,
        tokens=issued,
        email="ada.lovelace@example.com",
        customer_id="C10000001",
        user_agent=AGENT,
    )


def token_bytes(session: Session) -> int:
    issued = session.tokens
    return sum(len(each.reveal()) for each in (issued.access, issued.refresh, issued.saas) if each)


@pytest.mark.parametrize("new", [a_guest, a_customer])
async def test_a_session_takes_few_bytes_beyond_its_tokens(
    redis_url: str, new: Callable[[], Session]
) -> None:
    beyond = 0
    async with OnRedis(redis_url) as on_redis:
        for _ in range(SESSIONS):
            ticket, session = new_ticket(), new()
            await on_redis.store.create(ticket, session)
            key = on_redis.key(ticket)
            beyond += await on_redis.redis.memory_usage(key) + EXPIRY - token_bytes(session)
        ticket, stored = await begin(on_redis.backend, user_agent=AGENT)
        assert await on_redis.store.replace(ticket, stored) is not None
        assert await on_redis.redis.object("encoding", on_redis.key(ticket)) in {b"listpack", b"ziplist"}
        await on_redis.redis.delete(*await on_redis.keys())
    assert beyond / SESSIONS <= MOST
