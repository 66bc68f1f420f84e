"""The checks through a real nginx that serves a storefront beside the proxy: what is nginx's own is told apart."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import command
from tests.front import needs_nginx, nginx_before
from tests.live import ADA, TENANT, LiveProxy, Sandbox, environment, free_port

pytestmark = needs_nginx

ADVISED = """server_tokens on;
location / { root FOLDER; try_files $uri /index.html; default_type text/html; }
location ~ ^/(api|auth)/ { proxy_pass http://proxies; }
location ~ ^/(livez|readyz)$ { proxy_pass http://proxies; }
"""


@pytest.fixture
def front(sandbox: Sandbox, redis_url: str, tmp_path: Path) -> Iterator[str]:
    """The address of an nginx with a storefront that knows each path, and the proxy's own paths passed on."""
    port = free_port()
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "index.html").write_text("<!doctype html><title>Shop</title>")
    origin = f"http://127.0.0.1:{port}"
    environ = environment(sandbox, redis_url, BFF_PUBLIC_ORIGIN=origin, BFF_TRUSTED_PROXIES="127.0.0.0/8")
    server = ADVISED.replace("FOLDER", str(pages))
    with LiveProxy(environ) as proxy, nginx_before([proxy.port], tmp_path, server=server, port=port) as url:
        yield url


def test_no_check_fails_in_the_advised_topology(front: str, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text(ADA["password"])
    customer = ("--customer", ADA["email"], "--password-file", str(password))
    done = command("conformance", front, "--tenant", TENANT, *customer, "--json")
    found = {row["id"]: row for row in json.loads(done.stdout)["rows"]}
    failed = {name: row["seen"] for name, row in found.items() if row["outcome"] == "fail"}
    assert (failed, done.returncode) == ({}, 0)
