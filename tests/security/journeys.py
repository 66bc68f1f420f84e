"""Visitors who do things in any order, and a search of what the proxy said, logged and kept for what it must not."""

import base64
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import redis

from tests.live import ADA, GRACE, TENANT, LiveProxy, Sandbox

CART = f"/api/cart/{TENANT}/carts?siteCode=main"
CHECKOUT = f"/api/checkout/{TENANT}/checkouts/order"
TOKEN_CALLS = ("* /customerlogin/", f"* /customer/{TENANT}/", "* /cart/", "* /site/")
FAULTS = (
    *(
        "unauthorized_invalid",
        "unauthorized_expired",
        "invalid_api_key",
        "bad_tenant",
        "forbidden",
        "conflict",
    ),
    *("throttled", "error", "html", "empty", "garbage", "no_access_token", "no_refresh", "session_mismatch"),
    *("delay", "stall", "lost", "disconnect"),
)
_numbers = itertools.count()


class Visitor:
    """A browser or an app; whatever it is answered is kept."""

    def __init__(self, proxy: LiveProxy, sandbox: Sandbox, carrier: str) -> None:
        self.proxy, self.sandbox, self.carrier = proxy, sandbox, carrier
        self.answers: list[tuple[str, bytes, bytes]] = []
        self.secrets: set[str] = set()
        self.carried: set[str] = set()
        self.client = proxy.browser() if carrier == "browser" else proxy.app()

    def call(self, method: str, path: str, **more: Any) -> tuple[httpx2.Response, bytes] | None:
        """Return the answer and as much of its body as came, None where there was no answer."""
        body = bytearray()
        with suppress(httpx2.TransportError), self.client.stream(method, path, **more) as answer:
            with suppress(httpx2.TransportError):
                for chunk in answer.iter_raw():
                    body += chunk
            self._keep(answer, bytes(body))
            return answer, bytes(body)
        return None

    def _keep(self, answer: httpx2.Response, body: bytes) -> None:
        fields = b"\r\n".join(name + b": " + value for name, value in answer.headers.raw)
        line = f"{answer.http_version} {answer.status_code} {answer.reason_phrase}\r\n".encode()
        self.answers.append((answer.request.url.path, line + fields, body))
        if self.carrier == "browser":
            self.carried |= {value for name, value in answer.cookies.items() if name == "bff" and value}
            return
        new = answer.headers.get("x-session-id")
        if answer.request.url.path.startswith("/auth/"):
            with suppress(ValueError, TypeError, KeyError):
                new = json.loads(body)["sessionId"]
        if new is not None:
            self.carried.add(new)
            self.client.headers["X-Session-Id"] = new

    def forget(self) -> None:
        self.client.cookies.clear()
        self.client.headers.pop("X-Session-Id", None)

    def tamper(self) -> None:
        """Change the last character but one of what is carried, look, and carry on as before."""
        for carried in sorted(self.carried)[-1:]:
            other = carried[:-2] + ("A" if carried[-2] != "A" else "B") + carried[-1]
            name, value = ("Cookie", f"bff={other}") if self.carrier == "browser" else ("X-Session-Id", other)
            self.call("GET", f"{CART}&create=true", headers={name: value})

    def shop(self) -> None:
        cart = "none"
        with suppress(ValueError, KeyError, TypeError):
            cart = json.loads((self.call("GET", f"{CART}&create=true") or (None, b""))[1])["id"]
        item = {"product": {"id": "morning-ledge"}, "quantity": 1}
        self.call("POST", f"/api/cart/{TENANT}/carts/{cart}/items", json=item)
        self.call("POST", CHECKOUT, json={"cartId": cart, "customer": {"guest": True}})

    def sign_up(self) -> None:
        mail = f"new{next(_numbers)}@example.com"
        self.call("POST", "/auth/signup", json={"email": mail, "password": "a-brand-new-secret"})
        self.call("POST", "/auth/login", json={"email": mail, "password": "a-brand-new-secret"})

    def exchange(self) -> None:
        with httpx2.Client(base_url=self.sandbox.url, trust_env=False) as provider:
            token = provider.post("/idp/token", json={"email": ADA["email"]}).json()["access_token"]
        self.call("POST", "/auth/exchange", json={"token": token})

    def sign_on(self) -> None:
        started = self.call("GET", "/auth/sso/sandbox?return_to=/x")
        if started is None or started[0].status_code != 302:
            return
        location = urlsplit(started[0].headers["location"])
        query = {name: values[0] for name, values in parse_qs(location.query).items()}
        with httpx2.Client(base_url=self.sandbox.url, trust_env=False) as provider:
            decided = provider.post(
                "/idp/authorize", data=query | {"email": ADA["email"], "action": "continue"}
            )
        back = urlsplit(decided.headers["location"])
        self.secrets.add(parse_qs(back.query)["code"][0])
        self.call("GET", f"{back.path}?{back.query}")

    def drop_in(self) -> None:
        """Call what a stock client calls; a proxy without that mode refuses it."""
        self.call("GET", f"/api/customerlogin/auth/anonymous/login?tenant={TENANT}&client_id=storefront")
        self.call("POST", f"/api/customer/{TENANT}/login", json=GRACE)
        self.call("GET", f"/api/customer/{TENANT}/refreshauthtoken?refreshToken=x")
        self.call("GET", f"/api/customer/{TENANT}/validateauthtoken")


def _asks(method: str, path: str, body: Any = None) -> Callable[[Visitor], None]:
    return lambda visitor: void(visitor.call(method, path, json=body))


def _controls(path: str, **body: Any) -> Callable[[Visitor], None]:
    return lambda visitor: void(visitor.sandbox.control("POST", path, body))


def _arms(kind: str, match: str) -> Callable[[Visitor], None]:
    delay = 0.05 if kind == "delay" else 0
    return _controls("/faults", match=match, kind=kind, times=1, delay=delay)


def void(_value: object) -> None:
    """Take a value that nobody needs."""


STEPS: dict[str, Callable[[Visitor], None]] = {
    "anonymous": _asks("POST", "/auth/anonymous", {"siteCode": "main"}),
    "look": _asks("GET", "/auth/session"),
    "log in": _asks("POST", "/auth/login", ADA),
    "log in as another": _asks("POST", "/auth/login", GRACE),
    "log in wrongly": _asks("POST", "/auth/login", ADA | {"password": "not-her-password"}),
    "sign up": Visitor.sign_up,
    "exchange": Visitor.exchange,
    "sign on": Visitor.sign_on,
    "drop in": Visitor.drop_in,
    "refresh": _asks("POST", "/auth/refresh"),
    "switch company": _asks("PUT", "/auth/legal-entity", {"legalEntityId": "LE-100"}),
    "switch to a foreign company": _asks("PUT", "/auth/legal-entity", {"legalEntityId": "LE-999"}),
    "validate": _asks("GET", "/auth/validate"),
    "own sessions": _asks("GET", "/auth/sessions"),
    "log out": _asks("POST", "/auth/logout"),
    "read": _asks("GET", f"/api/site/{TENANT}/sites"),
    "echo": _asks("GET", f"/api/cart/{TENANT}/carts/__echo__?setcookie=1&sessionId=x&customerId=y"),
    "redirect": _asks("GET", f"/api/product/{TENANT}/products/__echo__?location=/cart/{TENANT}/carts/1"),
    "context": _asks("GET", f"/api/session-context/{TENANT}/me/context"),
    "me": _asks("GET", f"/api/customer/{TENANT}/me"),
    "orders": _asks("GET", f"/api/order-v2/{TENANT}/orders"),
    "shop": Visitor.shop,
    "forbidden": _asks("GET", f"/api/customer/{TENANT}/refreshauthtoken?refreshToken=x"),
    "tamper": Visitor.tamper,
    "forget": Visitor.forget,
    "access tokens end": _controls("/expire", access=True),
    "saas tokens end": _controls("/expire", saas=True),
    "all tokens are revoked": _controls("/revoke"),
    **{f"{kind} at {match}": _arms(kind, match) for kind in FAULTS for match in TOKEN_CALLS},
}


def dump(url: str) -> Iterator[bytes]:
    """Yield every key and every value of a Redis, whatever their types."""
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter(count=1000):
            yield key
            match client.type(key):
                case b"string":
                    yield client.get(key) or b""
                case b"hash":
                    yield from itertools.chain.from_iterable(client.hgetall(key).items())
                case b"list":
                    yield from client.lrange(key, 0, -1)
                case b"set":
                    yield from client.smembers(key)
                case b"zset":
                    yield from client.zrange(key, 0, -1)
                case b"stream":
                    yield repr(client.xrange(key)).encode()
                case b"none":
                    continue
                case other:
                    raise AssertionError(f"a value of type {other!r} was not looked at")


def found(needles: Iterable[str | bytes], texts: dict[str, bytes]) -> list[str]:
    """Return the places where a needle stands: as it is, in hexadecimal, in base64, or in another case."""
    places = []
    lowered = {place: text.lower() for place, text in texts.items()}
    for needle in needles:
        raw = needle.encode() if isinstance(needle, str) else needle
        plain = base64.b64encode(raw).rstrip(b"=")
        forms = {raw, raw.hex().encode(), plain, plain.replace(b"+", b"-").replace(b"/", b"_")}
        lower = {form.lower() for form in forms}
        places += [
            f"{raw!r} in {place}" for place, text in lowered.items() if any(form in text for form in lower)
        ]
    return places
