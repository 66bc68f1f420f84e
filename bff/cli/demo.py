"""The demo: sandbox upstream, embedded Redis, proxy and storefront on one machine, without configuration."""

import json
import os
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from bff.app import Proxy
from bff.config.embedded_redis import EmbeddedRedis
from bff.config.settings import load_settings, state_directory
from bff.sandbox.app import create_sandbox
from bff.sandbox.state import DEMO_EMAIL, DEMO_PASSWORD
from bff.sandbox.storefront import create_storefront
from bff.server.process import DRAINING, ProxyServer, configured, in_background, listening
from bff.telemetry.logs import configure_logging

TENANT = "acmeshop"
SITE = "main"
CLIENT_ID = "storefront"


async def run_demo(port: int) -> int:
    """Serve the demo until a signal stops it, then stop everything that was started; return the exit code."""
    home = state_directory(os.environ) / "demo"
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise OSError(f"the demo cannot use {home} ({error.strerror}): set XDG_STATE_HOME") from None
    with ExitStack() as stack:
        listener = stack.enter_context(listening("127.0.0.1", port))
        redis = stack.enter_context(EmbeddedRedis.start(home / "redis"))
        # A second demo uses the Redis of the first one, but writes a separate log.
        path = home / ("demo.log" if redis.kind != "attached" else f"demo-{listener.getsockname()[1]}.log")
        log = stack.enter_context(path.open("w", encoding="utf-8", buffering=1))
        configure_logging(log)
        upstream = stack.enter_context(listening("127.0.0.1", 0))
        sandbox = f"http://127.0.0.1:{upstream.getsockname()[1]}"
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        app = _application(origin, sandbox, redis.url)
        stack.enter_context(in_background(create_sandbox(log=_log_writer(log)), upstream))
        _print_addresses(origin, sandbox, redis, path)
        server = ProxyServer(configured(app))
        await server.serve(sockets=[listener])
    print("Everything has stopped.")
    return 0


def _application(origin: str, sandbox: str, redis_url: str) -> Proxy:
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
                {"sandbox": {"authorize_url": f"{sandbox}/idp/authorize", "client_id": CLIENT_ID}}
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
    proxy = Proxy(settings, draining=DRAINING, fallback=storefront)
    return proxy


def _log_writer(log: TextIO) -> Callable[[dict[str, Any]], None]:
    def write(record: dict[str, Any]) -> None:
        print(json.dumps({"logger": "sandbox", **record}), file=log)

    return write


def _print_addresses(origin: str, sandbox: str, redis: EmbeddedRedis, log: Path) -> None:
    if redis.warning:
        print(f"WARNING: {redis.warning}")
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
