"""A real nginx in front of proxies, as operators run it: it keeps connections, and asks nobody for their health."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bench.processes import nginx_command, program, started
from tests.live import free_port

needs_nginx = pytest.mark.skipif(
    program("nginx") is None and "CI" not in os.environ, reason="nginx is not installed"
)


@contextmanager
def nginx_before(ports: Sequence[int], folder: Path, *, server: str = "", port: int = 0) -> Iterator[str]:
    """Run an nginx before the proxies on these ports while the block lasts, and yield its origin.

    Args:
        ports: where the proxies listen.
        folder: for its files.
        server: more of its `server` block; without a `location` everything is passed on.
        port: where it listens; 0 takes a free one.
    """
    port = port or free_port()
    upstream = "\n".join(f"server 127.0.0.1:{one} fail_timeout=1s;" for one in ports)
    passed = "" if "location" in server else "location / { proxy_pass http://proxies; }"
    configuration = f"""upstream proxies {{ {upstream} keepalive 64; }}
proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
proxy_set_header X-Forwarded-For $remote_addr;
server {{ listen 127.0.0.1:{port}; {server} {passed} }}
"""
    with started(nginx_command(folder / "nginx", configuration), port, measured=False):
        yield f"http://127.0.0.1:{port}"
