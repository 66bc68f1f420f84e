"""nginx with the very files of `deploy/nginx`: what is changed is where it listens, and where its files are."""

import os
import re
import ssl
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import httpx2

from tests.bench.processes import program, started
from tests.certificates import certificate
from tests.deployment.dockerfile import ROOT
from tests.live import free_port

SOURCES = ROOT / "deploy" / "nginx"
_SECONDS = 10


class Front:
    """The configuration, written below a folder.

    Args:
        folder: where; nginx keeps everything there.
        replicas: the ports of the proxies.
        port: where it listens for TLS.
    """

    def __init__(self, folder: Path, replicas: Sequence[int], port: int) -> None:
        self.url = f"https://127.0.0.1:{port}"
        self._folder, self._port, self._plain_port = folder, port, free_port()
        self.plain = f"http://127.0.0.1:{self._plain_port}"
        self._pem = certificate(folder)
        (folder / "storefront").mkdir()
        (folder / "storefront" / "index.html").write_text("the shop", "utf-8")
        self._file = folder / "nginx.conf"
        self._file.write_text(self._whole(self._upstream(replicas), self._server()), "utf-8")
        self.command = [program("nginx") or "nginx", "-p", str(folder), "-c", str(self._file)]

    def client(self, address: str = "127.0.0.1", **headers: str) -> httpx2.Client:
        """Return a browser that connects from this address."""
        transport = httpx2.HTTPTransport(
            local_address=address, verify=ssl.create_default_context(cafile=self._pem), trust_env=False
        )
        return httpx2.Client(
            base_url=self.url, transport=transport, headers={"X-CSRF": "1"} | headers, timeout=30
        )

    def checked(self) -> subprocess.CompletedProcess[str]:
        """Let nginx judge the configuration."""
        return subprocess.run([*self.command, "-t"], capture_output=True, text=True, check=False)

    def running(self) -> AbstractContextManager[int]:
        """Run it while the block lasts."""
        return started(self.command, self._plain_port, measured=False)

    def _upstream(self, replicas: Sequence[int]) -> str:
        text = (SOURCES / "upstream.conf").read_text("utf-8")
        ports = iter(replicas)
        text, changed = re.subn(r"(?<=server 127\.0\.0\.1:)\d+", lambda _: str(next(ports)), text)
        assert changed == len(replicas)
        return text

    def _server(self) -> str:
        text = (SOURCES / "bff.conf").read_text("utf-8")
        for old, new in (
            ("listen 80 ", f"listen 127.0.0.1:{self._plain_port} "),
            ("listen 443 ", f"listen 127.0.0.1:{self._port} "),
            ("/etc/nginx/tls/fullchain.pem", str(self._pem)),
            ("/etc/nginx/tls/privkey.pem", str(self._pem)),
            ("/var/www/storefront", str(self._folder / "storefront")),
        ):
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        return text

    def _whole(self, *parts: str) -> str:
        names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        places = "\n".join(f"{name}_temp_path {self._folder}/{name};" for name in names)
        user = "user root;" if os.geteuid() == 0 else ""
        head = f"{user} daemon off; worker_processes 1; pid {self._folder}/pid; error_log {self._folder}/error.log;"
        inside = "\n".join([places, "access_log off;", *parts])
        return f"{head}\nevents {{ worker_connections 512; }}\nhttp {{\n{inside}\n}}\n"
