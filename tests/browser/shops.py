"""The two shops that browsers are sent to: the demo as it is started by anybody, and one that keeps what it sends."""

import asyncio
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff.app import Proxy
from bff.config.settings import load_settings
from bff.sandbox.storefront import create_storefront
from bff.server.listening import listening
from bff.server.process import configured
from tests.live import ADA, CLIENT_ID, TENANT, Process, Sandbox, environment, free_port

# Opaque tokens of 28 and 32 characters, mixed in case, that stand alone; and what begins like a signed one.
_OPAQUE = re.compile(r"(?<![\w+/=-])(?:[A-Za-z0-9]{28}|[A-Za-z0-9]{32})(?![\w+/=-])")
_SIGNED = re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}")


def tokens_in(text: str) -> list[str]:
    """Return what looks like a token of Emporix or of an identity provider."""
    mixed = [one for one in _OPAQUE.findall(text) if one not in {one.lower(), one.upper()}]
    return mixed + _SIGNED.findall(text)


class Demo(Process):
    """One `bff demo`, with a state directory of its own."""

    def __init__(self, state: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(
            "demo", "--port", str(port), environ={"XDG_STATE_HOME": state}, probe=self.url + "/livez"
        )


@dataclass
class Exchange:
    """One request as the proxy got it, and its answer as the proxy gave it."""

    method: str
    path: str
    headers: dict[str, str]
    status: int = 0
    set_cookie: list[str] = field(default_factory=list)


@dataclass
class Shop:
    """The demo's page in front of a sandbox whose control plane is open.

    It is a site of its own (`localhost`): its identity provider (`127.0.0.1`) is a foreign one.
    """

    url: str
    sandbox: Sandbox
    proxy: Proxy
    loop: asyncio.AbstractEventLoop
    sent: list[bytes]
    exchanges: list[Exchange]

    def leaked(self) -> list[str]:
        """Return the tokens issued so far that have left the proxy in a header or a body."""
        wire = b"\n".join(self.sent)
        return [token for token in self.sandbox.secrets() if token.encode() in wire]

    def redis(self) -> list[dict[str, Any]]:
        """Return what Redis holds."""
        return asyncio.run_coroutine_threadsafe(
            self.proxy.engine.ports.store.inspect(1000), self.loop
        ).result(10)

    def sessions(self) -> set[str]:
        """Return the names of the session records; what is left of an ended session is none."""
        return {row["key"] for row in self.redis() if row["type"] == "session" and row["bytes"]}

    def seen(self) -> int:
        """Return the number of upstream's latest request."""
        return int(self.sandbox.control("GET", "/log")["next"])

    def asked(self, since: int, template: str) -> list[dict[str, Any]]:
        """Return upstream's records of one path template."""
        return [one for one in self.sandbox.log_since(since) if one["template"] == template]


class _Recorded:
    """Keeps what an application is asked, and every byte that it sends."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.sent: list[bytes] = []
        self.exchanges: list[Exchange] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        exchange = Exchange(scope["method"], scope["path"], headers)
        self.exchanges.append(exchange)

        async def kept(message: Message) -> None:
            if message["type"] == "http.response.start":
                fields = [(name.lower(), value) for name, value in message["headers"]]
                exchange.status = message["status"]
                exchange.set_cookie = [value.decode() for name, value in fields if name == b"set-cookie"]
                self.sent.extend(name + b": " + value for name, value in fields)
            elif message["type"] == "http.response.body":
                self.sent.append(message.get("body", b""))
            await send(message)

        await self._app(scope, receive, kept)


@contextmanager
def open_shop(sandbox: Sandbox, redis_url: str) -> Iterator[Shop]:
    """Serve a shop on `localhost` while the block lasts."""
    with listening("127.0.0.1", 0) as listener:
        url = f"http://localhost:{listener.getsockname()[1]}"
        sso = {"sandbox": {"authorize_url": f"{sandbox.url}/idp/authorize", "client_id": CLIENT_ID}}
        proxy = _application(
            environment(
                sandbox,
                redis_url,
                BFF_PUBLIC_ORIGIN=url,
                BFF_SITE_CODE="main",
                BFF_SSO=json.dumps(sso),
                BFF_ASSISTED="true",
            )
        )
        recorded = _Recorded(proxy)
        with _serving(recorded, listener) as loop:
            yield Shop(url, sandbox, proxy, loop, recorded.sent, recorded.exchanges)


def _application(environ: dict[str, str]) -> Proxy:
    del environ["BFF_DRAIN_SECONDS"]  # the process's business
    settings = load_settings(environ)

    async def list_records() -> list[dict[str, Any]]:
        return await proxy.engine.ports.store.inspect()

    page = create_storefront(
        tenant=TENANT,
        site="main",
        demo_email=ADA["email"],
        demo_password=ADA["password"],
        list_records=list_records,
        sso=tuple(settings.sso),
    )
    proxy = Proxy(settings, fallback=page)
    return proxy


@contextmanager
def _serving(app: ASGIApp, listener: socket.socket) -> Iterator[asyncio.AbstractEventLoop]:
    server = uvicorn.Server(configured(app))
    ready = threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        ready.set()
        await server.serve(sockets=[listener])

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="shop")
    thread.start()
    try:
        assert ready.wait(30)
        yield loops[0]
    finally:
        server.should_exit = True
        thread.join(30)
    assert not thread.is_alive()
