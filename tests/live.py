"""Real processes for tests: the sandbox upstream and proxies, each a `bff` of its own on a socket of its own."""

import base64
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from tests.commands import Forked, can_fork, settings_only

TENANT = "acmeshop"
CLIENT_ID = "storefront"
ADA = {"email": "ada@example.com", "password": "correct-horse-battery"}
GRACE = {"email": "grace@example.com", "password": "another-horse-battery"}
# CI runs the demo on every Python that it finds, driven by tests that run on one of them.
PYTHON = os.environ.get("BFF_TEST_PYTHON", sys.executable)
BFF = (PYTHON, "-m", "bff")
SESSION_CACHE = os.environ.get("BFF_TEST_SESSION_CACHE", "")
"""What replicas of tests are given that ask for nothing else: nothing takes the default, 0 turns the cache off."""
_START_SECONDS = 90.0
STARTED = "Application startup complete."

TLS = ssl.create_default_context()
"""For every client here: one without it reads the machine's certificates again, which takes long."""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_key() -> str:
    """Return an entry of BFF_KEYS."""
    return f"k{secrets.token_hex(3)}:{base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()}"


class Process:
    """One `bff` command, its output in a file.

    Args:
        arguments: those of `bff`.
        environ: its settings.
        probe: an address that answers once it has begun.
        group: begin it as a process group.
        fork: begin it as a fork, which is quick, where that makes no difference.
        program: what `bff` is, where it is not that of this interpreter.
    """

    def __init__(
        self,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        probe: str,
        group: bool = False,
        fork: bool = False,
        program: Sequence[str] = BFF,
    ) -> None:
        self._log = tempfile.NamedTemporaryFile("w+b", prefix="bff-test-", suffix=".log")  # noqa: SIM115
        whole, log = settings_only(environ or {}), self._log
        self.process: subprocess.Popen[bytes] | Forked
        if fork and can_fork() and sys.executable == PYTHON:
            self.process = Forked(arguments, whole, log.name, log.name)
        else:
            self.process = subprocess.Popen(
                [*program, *arguments],
                env=whole,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0 if group else None,
            )
        try:
            self._await(probe)
        except BaseException:
            Process.close(self)
            raise

    @property
    def log(self) -> str:
        """Everything that the process has said."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    @property
    def log_path(self) -> Path:
        return Path(self._log.name)

    def log_lines(self) -> list[dict[str, Any]]:
        """The lines of its log that are JSON."""
        lines = []
        for line in self.log.splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                continue
        return lines

    def kill(self, number: int) -> None:
        self.process.send_signal(number)

    def kill_group(self, number: int) -> None:
        """Send a signal to it and all its workers at once, where it was begun as a group."""
        os.killpg(self.process.pid, number)

    def stop(self, number: int = signal.SIGINT) -> int:
        """End the process and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(_START_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        return code

    def close(self) -> None:
        self.stop()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _exc: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.close()

    def _await(self, probe: str) -> None:
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(f"bff ended with {self.process.returncode}:\n{self.log}")
            try:
                httpx2.get(probe, trust_env=False, verify=TLS, timeout=2)
            except httpx2.TransportError:
                time.sleep(0.03)
            else:
                return
        raise RuntimeError(f"bff does not answer:\n{self.log}")


class Sandbox(Process):
    """The sandbox upstream with its control plane."""

    def __init__(self) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        super().__init__("sandbox", "--port", str(port), "--control", probe=self.url)
        self._client = httpx2.Client(base_url=self.url + "/__sandbox__", trust_env=False, verify=TLS)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the control plane; returns what it answers."""
        answer = self._client.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def log_since(self, seq: int = 0) -> list[dict[str, Any]]:
        """The requests that the sandbox has seen."""
        answer = self.control("GET", f"/log?since={seq}")
        return list(answer["records"])

    def secrets(self) -> set[str]:
        """Every token that it has issued."""
        return set(self.control("GET", "/issued")["tokens"])

    def close(self) -> None:
        self._client.close()
        super().close()


class LiveProxy(Process):
    """One `bff serve`, and all its workers.

    A new interpreter for several workers, for an embedded Redis, and where a test asks for it.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *arguments: str,
        port: int | None = None,
        group: bool = False,
        fork: bool = True,
        program: Sequence[str] = BFF,
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        whole = {"BFF_PUBLIC_ORIGIN": self.url} | dict(environ)
        self.environ = whole
        super().__init__(
            "serve",
            *("--port", str(self.port), *arguments),
            environ=whole,
            probe=self.url + "/livez",
            group=group,
            program=program,
            fork=fork
            and not arguments
            and not group
            and not whole.get("BFF_REDIS_URL", "").startswith("embedded"),
        )
        if "--workers" in arguments:
            try:
                self._await_workers(int(arguments[arguments.index("--workers") + 1]))
            except BaseException:
                self.close()
                raise

    def browser(self, **headers: str) -> httpx2.Client:
        """A client with a cookie jar of its own, that sends what a storefront's page sends."""
        return httpx2.Client(
            base_url=self.url, headers={"X-CSRF": "1"} | headers, trust_env=False, verify=TLS, timeout=30
        )

    def app(self, session_id: str | None = None) -> httpx2.Client:
        """A client that carries its session by header."""
        headers = {"X-Session-Transport": "header"} if session_id is None else {"X-Session-Id": session_id}
        return httpx2.Client(base_url=self.url, headers=headers, trust_env=False, verify=TLS, timeout=30)

    def _await_workers(self, number: int) -> None:
        """Wait until each has started: one that is late would not see a signal, or a change, as the others do."""
        until = time.monotonic() + _START_SECONDS
        while self.log.count(STARTED) < number:
            if time.monotonic() > until:
                raise RuntimeError(f"not all workers have started:\n{self.log}")
            time.sleep(0.03)


def environment(sandbox: Sandbox, redis_url: str, **settings: str) -> dict[str, str]:
    """Return the settings of a proxy in front of this sandbox; rates are out of the way unless asked for."""
    return {
        "BFF_TENANT": TENANT,
        "BFF_CLIENT_ID": CLIENT_ID,
        "BFF_UPSTREAM_URL": sandbox.url,
        "BFF_KEYS": new_key(),
        "BFF_REDIS_URL": redis_url,
        "BFF_SESSION_CACHE": SESSION_CACHE,
        "BFF_LOGIN_RATE": "100000/60",
        "BFF_GUEST_RATE": "100000/60",
        "BFF_ACCOUNT_RATE": "100000/60",
        "BFF_REFRESH_RATE": "100000/60",
        "BFF_DRAIN_SECONDS": "0",
    } | settings
