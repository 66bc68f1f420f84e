"""Whatever visitors do in whatever order: no token leaves, and Redis alone tells nothing."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bff.config.embedded_redis import EmbeddedRedis
from bff.config.parsing import keys
from bff.security.keyring import KeyRing
from tests.live import ADA, GRACE, TENANT, LiveProxy, Sandbox, environment, free_port
from tests.security.journeys import STEPS, Visitor, dump, found

CARRIERS = ("browser", "app")
MAILS = {ADA["email"], GRACE["email"], "@example.com"}
PASSWORDS = {ADA["password"], GRACE["password"], "not-her-password", "a-brand-new-secret"}
WHOLE_JOURNEY = [
    (carrier, step)
    for carrier in CARRIERS
    for step in (
        *("read", "echo", "look", "anonymous", "shop", "log in wrongly", "log in", "me", "shop", "orders"),
        *("validate", "refresh", "switch company", "own sessions", "access tokens end", "orders", "tamper"),
        *("saas tokens end", "shop", "sign up", "exchange", "sign on", "drop in", "context", "redirect"),
        *("all tokens are revoked", "orders", "log out", "look"),
    )
]


@dataclass(frozen=True)
class Place:
    """A proxy that everything is known about, with nobody else's traffic in its Redis."""

    sandbox: Sandbox
    proxy: LiveProxy
    redis_url: str
    metrics_url: str

    def metrics(self) -> bytes:
        return httpx2.get(self.metrics_url, trust_env=False).raise_for_status().content

    def tickets(self, carried: set[str]) -> set[bytes]:
        """Open what visitors carry, as only the proxy can, and return the session ids and secrets inside."""
        ring = KeyRing(
            [(key.kid, key.key) for key in keys(self.proxy.environ["BFF_KEYS"])], TENANT, os.urandom
        )
        opened = {ring.sealer(self._purpose(value)).open(value) for value in carried}
        return {part for whole in opened for part in (whole[:16], whole[16:], whole)}

    def _purpose(self, value: str) -> str:
        ring = KeyRing(
            [(key.kid, key.key) for key in keys(self.proxy.environ["BFF_KEYS"])], TENANT, os.urandom
        )
        try:
            ring.sealer("cookie").open(value)
        except Exception:  # noqa: BLE001 - then it is the other carrier's, or the caller's own open fails
            return "session-id"
        return "cookie"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    admin = free_port()
    with Sandbox() as sandbox, EmbeddedRedis.start(tmp_path_factory.mktemp("redis")) as own:
        provider = {"authorize_url": f"{sandbox.url}/idp/authorize", "client_id": "storefront"}
        more = {
            "BFF_ADMIN_PORT": str(admin),
            "BFF_SSO": json.dumps({"sandbox": provider}),
            "BFF_DROP_IN": "true",
            "BFF_SITE_CODE": "main",
        }
        with LiveProxy(environment(sandbox, own.url, **more)) as proxy:
            yield Place(sandbox, proxy, own.url, f"http://127.0.0.1:{admin}/metrics")


def run(place: Place, steps: list[tuple[str, str]]) -> list[Visitor]:
    place.sandbox.control("DELETE", "/faults")
    visitors = {carrier: Visitor(place.proxy, place.sandbox, carrier) for carrier in CARRIERS}
    for carrier, step in steps:
        STEPS[step](visitors[carrier])
    for visitor in visitors.values():
        visitor.client.close()
    return list(visitors.values())


def check(place: Place, visitors: list[Visitor]) -> None:
    tokens = place.sandbox.secrets().union(*(visitor.secrets for visitor in visitors))
    session_ids = set(place.sandbox.control("GET", "/issued")["sessionIds"])
    carried = set().union(*(visitor.carried for visitor in visitors))
    answers = [answer for visitor in visitors for answer in visitor.answers]
    inside = {
        "the log": place.proxy.log.encode(),
        "the metrics": place.metrics(),
        "Redis": b"\n".join(dump(place.redis_url)),
    }
    said = {
        "the heads": b"\n".join(fields for _, fields, _ in answers),
        "the bodies": b"\n".join(body for _, _, body in answers),
    }
    assert found(tokens | PASSWORDS, inside | said) == []
    own = {
        "the heads": said["the heads"],
        "the bodies under /auth": b"\n".join(body for path, _, body in answers if path.startswith("/auth/")),
        "the drop-in bodies": b"\n".join(body for path, _, body in answers if _is_drop_in(path)),
    }
    assert found(session_ids, inside | own) == []
    assert found(place.tickets(carried) | carried, inside) == []
    assert found(MAILS, inside) == []
    cookies = {value for visitor in visitors if visitor.carrier == "browser" for value in visitor.carried}
    assert found(cookies, {"the bodies": said["the bodies"]}) == []


def _is_drop_in(path: str) -> bool:
    last = {
        "login",
        "refresh",
        "logout",
        "refreshauthtoken",
        "validateauthtoken",
        "socialLogin",
        "exchangeauthtoken",
    }
    return (
        path.startswith(("/api/customerlogin/", f"/api/customer/{TENANT}/"))
        and path.rpartition("/")[2] in last
    )


def test_the_journeys_lead_somewhere(place: Place) -> None:
    """Nothing below could fail if the visitors never got in.

    It comes first: after the faults below, upstream is left alone for a while.
    """
    visitors = run(place, WHOLE_JOURNEY)
    for visitor in visitors:
        kinds = {json.loads(body).get("kind") for path, _, body in visitor.answers if path == "/auth/session"}
        assert "anonymous" in kinds
        bodies = b"\n".join(body for _, _, body in visitor.answers)
        for sign in (b'"firstName":"Ada"', b'"legalEntityId":"LE-100"', b'"orderId"', b'"expiresIn"'):
            assert sign in bodies
        assert b'"access_token":' in bodies  # of the drop-in mode
        assert len(visitor.carried) > 3
    returned = [fields for path, fields, _ in visitors[0].answers if path.endswith("/callback")]
    assert [fields.split()[1] for fields in returned] == [b"302"]
    assert b"error" not in returned[0]
    assert len(place.sandbox.secrets()) > 20


@settings(
    max_examples=40,
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@example(steps=WHOLE_JOURNEY)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(CARRIERS), st.sampled_from(sorted(STEPS))), min_size=1, max_size=12
    )
)
def test_no_token_leaves_whatever_visitors_do(place: Place, steps: list[tuple[str, str]]) -> None:
    check(place, run(place, steps))


@pytest.mark.parametrize("kind", [step for step in STEPS if " at * /customer" in step])
def test_no_token_leaves_when_a_token_call_fails(place: Place, kind: str) -> None:
    steps = [
        "anonymous",
        kind,
        "log in",
        "log in",
        "access tokens end",
        kind,
        "orders",
        "validate",
        kind,
        "refresh",
    ]
    check(place, run(place, [(carrier, step) for carrier in CARRIERS for step in [*steps, kind, "log out"]]))


def test_a_planted_token_is_found(place: Place) -> None:
    """Nor could it if the search saw nothing."""
    run(place, [("browser", "log in")])
    token = min(place.sandbox.secrets())
    with redis.Redis.from_url(place.redis_url) as client:
        for planted in (token, token.encode().hex(), token.upper()):
            client.hset("planted", "field", f"x{planted}y")
            assert found([token], {"Redis": b"\n".join(dump(place.redis_url))}) != []
            client.delete("planted")
            assert found([token], {"Redis": b"\n".join(dump(place.redis_url))}) == []
