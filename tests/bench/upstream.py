"""The upstream of the bench: nginx with documents of several sizes, before the sandbox, which issues tokens."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.processes import nginx_command, on_core, started
from tests.bench.wire import (
    BESIDE_NGINX,
    DOCUMENT,
    DOCUMENT_FIELDS,
    LARGE,
    LARGE_PATH,
    PACKED,
    PACKED_PATH,
    PRODUCTS,
    SEARCH_PATH,
    SLOW_PATH,
    WHAT_CAME_PATH,
)
from tests.certificates import certificate
from tests.live import Sandbox, free_port


@dataclass(frozen=True)
class Upstream:
    """Where the upstream answers.

    Attributes:
        url: to proxies.
        tls_url: to proxies that speak TLS.
        certificate: what they trust then.
        own_port: to nobody but the load, which asks for what the upstream does without a proxy.
        pid: its process.
    """

    url: str
    tls_url: str
    certificate: Path
    own_port: int
    pid: int


@contextmanager
def upstream(folder: Path) -> Iterator[Upstream]:
    """Yield the upstream's addresses while it runs."""
    files = folder / "documents"
    files.mkdir()
    for name, content in (("document", DOCUMENT), ("large", LARGE), ("packed", PACKED)):
        (files / name).write_bytes(content)
    port, tls_port, own_port, slow_port = (free_port() for _ in range(4))
    trusted = certificate(folder)
    with ExitStack() as ending:
        with on_core(measured=False):
            sandbox = ending.enter_context(Sandbox())
        slow = [sys.executable, "-m", "tests.bench.apps", "slow", str(slow_port)]
        ending.enter_context(started(slow, slow_port, measured=False))
        listen = f"""listen 127.0.0.1:{port} backlog=4096;
listen 127.0.0.1:{own_port} backlog=4096;
listen 127.0.0.1:{tls_port} ssl backlog=4096;
ssl_certificate {trusted}; ssl_certificate_key {trusted};"""
        command = nginx_command(folder / "upstream", _configuration(listen, files, sandbox.url, slow_port))
        pid = ending.enter_context(started(command, port, measured=False))
        yield Upstream(f"http://127.0.0.1:{port}", f"https://127.0.0.1:{tls_port}", trusted, own_port, pid)


def _configuration(listen: str, files: Path, sandbox: str, slow_port: int) -> str:
    fields = "\n".join(
        f"add_header {name} '{value}';" for name, value in DOCUMENT_FIELDS if name not in BESIDE_NGINX
    )
    return f"""default_type application/json;
upstream slow {{ server 127.0.0.1:{slow_port}; keepalive 4096; keepalive_requests 1000000000; }}
server {{
{listen}
{fields}
location = {PRODUCTS} {{ alias {files}/document; }}
location = {LARGE_PATH} {{ alias {files}/large; }}
location = {PACKED_PATH} {{ alias {files}/packed; add_header Content-Encoding gzip; }}
location = {WHAT_CAME_PATH} {{ return 200 '{{"authorization":"$http_authorization"}}'; }}
location = {SEARCH_PATH} {{ return 200 '{DOCUMENT.decode("ascii")}'; }}
location ~ ^(/api)?{SLOW_PATH}$ {{ proxy_pass http://slow; proxy_http_version 1.1; proxy_set_header Connection ''; }}
location / {{ proxy_pass {sandbox}; }}
}}
"""
