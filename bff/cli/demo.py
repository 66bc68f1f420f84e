"""The demo: sandbox upstream, embedded Redis, proxy and storefront on one machine, without configuration."""

import fcntl
import ipaddress
import json
import logging
import os
import secrets
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from starlette.types import ASGIApp, Receive, Scope, Send

from bff.app import Proxy
from bff.config.embedded_redis import EmbeddedRedis
from bff.config.parsing import InvalidValue
from bff.config.settings import load_settings, state_directory
from bff.sandbox.app import create_sandbox
from bff.sandbox.state import DEMO_EMAIL, DEMO_PASSWORD
from bff.sandbox.storefront import create_storefront
from bff.server.draining import DRAINING
from bff.server.listening import listening
from bff.server.process import ProxyServer, configured, in_background
from bff.telemetry.logs import configure_logging

TENANT = "acmeshop"
SITE = "main"
CLIENT_ID = "storefront"
IDENTITY_PROVIDER = "/idp/authorize"
MAX_DEMOS = 16
OTHER_PORT = 'make demo ARGS="--port N", or bff demo --port N,'


async def run_demo(host: str, port: int, public_port: int | None) -> int:
    """Serve the demo until a signal ends it, and stop everything that was started; return the exit code.

    Args:
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one.
        public_port: the port that browsers open, where a container publishes another one.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(listening(host, port, setting=OTHER_PORT))
        home = _own_directory(_state(stack), stack)
        redis = stack.enter_context(EmbeddedRedis.start(home / "redis"))
        path = home / "demo.log"
        log = stack.enter_context(path.open("w", encoding="utf-8", buffering=1))
        stack.callback(logging.disable)  # servers that end after the log is closed have nowhere to log to
        configure_logging(log)
        upstream = stack.enter_context(listening("127.0.0.1", 0))
        sandbox = f"http://127.0.0.1:{upstream.getsockname()[1]}"
        address, bound, *_ = listener.getsockname()
        origin = f"http://127.0.0.1:{public_port or bound}"
        emporix = create_sandbox(log=_log_writer(log))
        app = _application(origin, sandbox, redis.url, emporix)
        stack.enter_context(in_background(emporix, upstream))
        _print_warnings(address, bound, redis)
        _print_addresses(origin, sandbox, redis, path)
        server = ProxyServer(configured(app))
        await server.serve(sockets=[listener])
    print("Everything has stopped.")
    return 0


def _state(stack: ExitStack) -> Path:
    """Return where demos keep their directories.

    It is a temporary directory where this user has no place for state, as in a container with a read-only root: what a
    demo keeps is of no use to the next one.
    """
    try:
        state = state_directory(os.environ)
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (InvalidValue, OSError):
        if os.environ.get("XDG_STATE_HOME", "").startswith("/"):
            return state_directory(os.environ)  # an explicit choice is never replaced
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="emporix-bff-")))
    return state


def _own_directory(state: Path, stack: ExitStack) -> Path:
    """Return a directory that no other demo uses until the stack is closed: `demo`, or `demo-2` beside another demo.

    Raises:
        OSError: it cannot be made.
    """
    for number in range(1, MAX_DEMOS + 1):
        home = state / (f"demo-{number}" if number > 1 else "demo")
        try:
            for folder in (
                state,
                home,
            ):  # `embedded:` keeps its files in the first one: only this user may look
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = stack.enter_context((home / "demo.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        except OSError as error:
            raise OSError(f"no place for the demo in {home} ({error.strerror}): set XDG_STATE_HOME") from None
        return home
    raise OSError(f"{MAX_DEMOS} demos are running already")


def _application(origin: str, sandbox: str, redis_url: str, emporix: ASGIApp) -> Proxy:
    settings = load_settings(
        {
            "BFF_TENANT": TENANT,
            "BFF_CLIENT_ID": CLIENT_ID,
            "BFF_UPSTREAM_URL": sandbox,
            "BFF_PUBLIC_ORIGIN": origin,
            "BFF_ALLOWED_ORIGINS": origin.replace("127.0.0.1", "localhost"),
            # New keys each time, so the sessions of a demo end with it.
            "BFF_KEYS": "demo:" + urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "BFF_REDIS_URL": redis_url,
            "BFF_SITE_CODE": SITE,
            "BFF_SSO": json.dumps(
                {"sandbox": {"authorize_url": f"{origin}{IDENTITY_PROVIDER}", "client_id": CLIENT_ID}}
            ),
        }
    )

    async def list_records() -> list[dict[str, Any]]:
        return await proxy.engine.ports.store.inspect()

    storefront = create_storefront(
        tenant=TENANT,
        site=SITE,
        demo_email=DEMO_EMAIL,
        demo_password=DEMO_PASSWORD,
        list_records=list_records,
        sso=tuple(settings.sso),
    )
    proxy = Proxy(settings, draining=DRAINING, fallback=_with_identity_provider(storefront, emporix))
    return proxy


def _with_identity_provider(storefront: ASGIApp, emporix: ASGIApp) -> ASGIApp:
    """Serve the sandbox' sign-in page beside the storefront: browsers may reach no other port of a container."""

    async def site(scope: Scope, receive: Receive, send: Send) -> None:
        app = emporix if scope["path"] == IDENTITY_PROVIDER else storefront
        await app(scope, receive, send)

    return site


def _log_writer(log: TextIO) -> Callable[[dict[str, Any]], None]:
    def write(record: dict[str, Any]) -> None:
        print(json.dumps({"logger": "sandbox", **record}), file=log)

    return write


def _print_warnings(address: str, port: int, redis: EmbeddedRedis) -> None:
    if redis.warning:
        print(f"WARNING: {redis.warning}")
    if not ipaddress.ip_address(address).is_loopback:
        print(
            f"WARNING: the demo listens on {address}, not on loopback alone. WHOEVER REACHES PORT {port} sees its "
            "password and its sessions, and signs in as anybody. Publish a container's port on loopback: "
            f"-p 127.0.0.1:{port}:{port}."
        )


def _print_addresses(origin: str, sandbox: str, redis: EmbeddedRedis, log: Path) -> None:
    print(
        f"""
  The shop         {origin}
  Demo customer    {DEMO_EMAIL}
  Password         {DEMO_PASSWORD}
  Sandbox          {sandbox}   (simulates Emporix)
  Redis            {redis.kind}
  Logs             {log}

  Ctrl-C stops everything.
""",
        flush=True,
    )
