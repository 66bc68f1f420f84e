"""A whole deployment in the test's own process, so that one defence of it can be switched off."""

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff.app import Proxy
from bff.config.settings import load_settings
from bff.conformance.check import Outcome, Row
from bff.conformance.probe import Options, Probe
from bff.conformance.run import CHECKS, rows
from bff.conformance.wire import Target
from bff.sandbox.app import create_sandbox
from bff.server.process import BackgroundServer, configured, listening
from tests.live import ADA, CLIENT_ID, TENANT, new_key

ALLOWED = "https://app.shop.example"
_JUDGES = ("field-", "leak-")  # these look at what all the others were answered

Change = Callable[[pytest.MonkeyPatch], None]
Wrapping = Callable[[ASGIApp], ASGIApp]


@dataclass(frozen=True)
class Mutation:
    """One defence that is switched off, and the rows that must say so.

    Attributes:
        name: what is wrong with the deployment.
        fails: the rows that must fail.
        change: patches the code before it is composed.
        after: changes the composed proxy.
        wrap: stands in front of it.
        secure: over https.
        settings: what is configured otherwise than usual.
    """

    name: str
    fails: set[str]
    change: Change = field(default=lambda _: None)
    after: Callable[[Proxy], None] = field(default=lambda _: None)
    wrap: Wrapping = field(default=lambda app: app)
    secure: bool = False
    settings: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


@asynccontextmanager
async def serving(app: ASGIApp, **options: Any) -> AsyncIterator[int]:
    """Serve on a port of its own and yield it."""
    with listening("127.0.0.1", 0) as listener:
        server = BackgroundServer(configured(app, lifespan="off", **options))
        task = asyncio.ensure_future(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)
        try:
            yield int(listener.getsockname()[1])
        finally:
            server.should_exit = True
            await task


@asynccontextmanager
async def deployed(redis_url: str, mutation: Mutation, tls: Path) -> AsyncIterator[Target]:
    """Serve sandbox and proxy, and yield where the proxy answers."""
    box: list[ASGIApp] = []

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        await box[0](scope, receive, send)

    async with AsyncExitStack() as ending:
        upstream = await ending.enter_async_context(serving(create_sandbox()))
        certified = {"ssl_certfile": str(tls), "ssl_keyfile": str(tls)} if mutation.secure else {}
        port = await ending.enter_async_context(serving(front, secure=mutation.secure, **certified))
        target = Target("https" if mutation.secure else "http", "127.0.0.1", port)
        environ = _environment(target, f"http://127.0.0.1:{upstream}", redis_url) | mutation.settings
        proxy = Proxy(load_settings(environ))
        mutation.after(proxy)
        box.append(mutation.wrap(proxy))
        await ending.enter_async_context(proxy._lifespan(proxy._own))
        yield target


def _environment(target: Target, upstream: str, redis_url: str) -> dict[str, str]:
    provider = {"authorize_url": f"{upstream}/idp/authorize", "client_id": CLIENT_ID}
    return {
        "BFF_TENANT": TENANT,
        "BFF_CLIENT_ID": CLIENT_ID,
        "BFF_UPSTREAM_URL": upstream,
        "BFF_PUBLIC_ORIGIN": target.origin,
        "BFF_ALLOWED_ORIGINS": ALLOWED,
        "BFF_KEYS": new_key(),
        "BFF_REDIS_URL": redis_url,
        "BFF_LOGIN_RATE": "100000/60",
        "BFF_GUEST_RATE": "100000/60",
        "BFF_SSO": json.dumps({"sandbox": provider}),
    }


def everything() -> Options:
    """What a caller can say of such a deployment."""
    return Options(TENANT, ALLOWED, "sandbox", ADA["email"], ADA["password"])


async def looked(target: Target, wanted: set[str] | None = None) -> list[Row]:
    """Run every check, or those that are wanted with what they need."""
    if wanted is None or any(name.startswith(_JUDGES) for name in wanted):
        return await rows(target, everything())
    probe = Probe(target, everything())
    return [await one.row(probe) for one in CHECKS if one.id in wanted]


async def assert_caught(
    mutation: Mutation, redis_url: str, tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deploy without one defence: the rows that are about it must fail."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tls))
    mutation.change(monkeypatch)
    async with deployed(redis_url, mutation, tls) as target:
        found = await looked(target, mutation.fails)
    failed = {row.id for row in found if row.outcome is Outcome.FAIL}
    assert mutation.fails <= failed, {row.id: row.seen for row in found if row.id in mutation.fails - failed}


def answering(
    status: int, body: bytes, when: Callable[[Scope], bool], kind: bytes = b"text/plain; charset=utf-8"
) -> Wrapping:
    """Return a layer that answers some requests by itself."""

    def wrap(app: ASGIApp) -> ASGIApp:
        async def layer(scope: Scope, receive: Receive, send: Send) -> None:
            if not when(scope):
                await app(scope, receive, send)
                return
            headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        return layer

    return wrap


def rescoped(change: Callable[[Scope], None]) -> Wrapping:
    """Return a layer that changes what is asked."""

    def wrap(app: ASGIApp) -> ASGIApp:
        async def layer(scope: Scope, receive: Receive, send: Send) -> None:
            change(scope)
            await app(scope, receive, send)

        return layer

    return wrap


Fields = list[tuple[bytes, bytes]]


def refielded(change: Callable[[Scope, Fields], Fields]) -> Wrapping:
    """Return a layer that changes the answer's fields."""

    def wrap(app: ASGIApp) -> ASGIApp:
        async def layer(scope: Scope, receive: Receive, send: Send) -> None:
            async def changed(message: Message) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = change(scope, list(message["headers"]))
                await send(message)

            await app(scope, receive, changed)

        return layer

    return wrap


def header(scope: Scope, name: bytes) -> bytes:
    """Return a request's field, or nothing."""
    headers: Fields = scope["headers"]
    return next((value for other, value in headers if other == name), b"")


def moved(scope: Scope, path: bytes) -> None:
    """Make a request ask for another path."""
    scope["path"], scope["raw_path"] = path.decode("latin-1"), path


def certificate(folder: Path) -> Path:
    """Write a certificate for 127.0.0.1 and its key, and return the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file
