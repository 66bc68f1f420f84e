"""`make bench`: what the proxy costs, as ratios measured side by side on this machine.

Three servers answer the same request for a 2 KiB JSON document: the upstream itself, a plain Starlette proxy written
the obvious way (httpx2, redis-py, StreamingResponse), and this proxy with a guest's session. Each is a process of its
own; rounds alternate, so that a slow moment hits all of them. Only the ratios mean anything elsewhere.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bff.config.embedded_redis import EmbeddedRedis
from bff.security.secret import Secret
from bff.store.connection import connect
from tests.live import TENANT, LiveProxy, free_port, new_key

PATH = f"/product/{TENANT}/products"
DOCUMENT = json.dumps([{"id": f"product-{n}", "name": "x" * 40} for n in range(28)]).encode()
TOKENS = {
    "token_type": "Bearer", "access_token": "a" * 28, "expires_in": 3599, "refresh_token": "r" * 32,
    "refresh_token_expires_in": 86399, "sessionId": "6f1c0a8e-0000-4000-8000-000000000000",
}  # fmt: skip


async def upstream(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer any token call and any read, as fast as ASGI can."""
    if scope["type"] != "http":
        return
    body = json.dumps(TOKENS).encode() if "anonymous" in scope["path"] else DOCUMENT
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def naive(upstream_url: str, redis_url: str) -> Starlette:
    """Return the proxy that one would write in an afternoon: no session rules, one lookup, one stream."""
    redis = connect(Secret(redis_url))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with httpx2.AsyncClient(base_url=upstream_url, trust_env=False) as client:
            app.state.client = client
            yield

    async def forward(request: Request) -> StreamingResponse:
        session = json.loads(await redis.get("naive") or b"{}")
        client: httpx2.AsyncClient = request.app.state.client
        outgoing = client.build_request("GET", PATH, headers={"authorization": f"Bearer {session.get('t')}"})
        answer = await client.send(outgoing, stream=True)
        return StreamingResponse(answer.aiter_raw(), answer.status_code, dict(answer.headers))

    return Starlette(routes=[Route(f"/api{PATH}", forward)], lifespan=lifespan)


def serve(role: str, port: int, *arguments: str) -> None:
    """Run one of the two servers above, in a process of its own."""
    app = upstream if role == "upstream" else naive(*arguments)
    uvicorn.run(app, port=port, access_log=False, log_level="error", http="httptools", loop="uvloop")


@contextmanager
def child(role: str, *arguments: str) -> Iterator[tuple[str, int]]:
    """Start one of them and yield its address and its process id."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench", "--role", role, "--port", str(port), *arguments]
    process = subprocess.Popen(command)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                httpx2.get(url, trust_env=False)
                break
            except httpx2.TransportError:
                time.sleep(0.05)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


async def _requests(port: int, wire: bytes, until: float) -> tuple[int, list[float]]:
    """Send the same request over one connection until the time is up; return how many, and each one's seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    done: list[float] = []
    while (began := time.perf_counter()) < until:
        writer.write(wire)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode("latin-1"))
        await _body(reader, head.lower())
        done.append(time.perf_counter() - began)
    writer.close()
    return len(done), done


async def _body(reader: asyncio.StreamReader, head: bytes) -> None:
    if b"content-length: " in head:
        await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        return
    while (size := int(await reader.readuntil(b"\r\n"), 16)) > 0:
        await reader.readexactly(size + 2)
    await reader.readexactly(2)


@dataclass(frozen=True)
class Run:
    """A request that is measured, and the process that answers it."""

    url: str
    pid: int
    path: str
    headers: dict[str, str]


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has had, where the system has `/proc`; 0 elsewhere."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(run: Run, connections: int, seconds: float) -> tuple[float, float, int]:
    """Return requests a second, the median seconds of one, and how many there were."""
    lines = [
        f"GET {run.path} HTTP/1.1",
        f"Host: {run.url[7:]}",
        *(f"{name}: {value}" for name, value in run.headers.items()),
    ]
    wire = ("\r\n".join(lines) + "\r\n\r\n").encode()
    port = int(run.url.rpartition(":")[2])
    began = time.perf_counter()
    runs = await asyncio.gather(*(_requests(port, wire, began + seconds) for _ in range(connections)))
    spent = time.perf_counter() - began
    count = sum(done for done, _ in runs)
    return count / spent, statistics.median(one for _, each in runs for one in each), count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--role")
    parser.add_argument("--port", type=int)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    options, rest = parser.parse_known_args()
    if options.role:
        serve(options.role, options.port, *rest)
        return
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory()))
        redis = ending.enter_context(EmbeddedRedis.start(folder / "redis"))
        source, source_pid = ending.enter_context(child("upstream"))
        plain, plain_pid = ending.enter_context(child("naive", source, redis.url))
        environ = {
            "BFF_TENANT": TENANT, "BFF_CLIENT_ID": "bench", "BFF_UPSTREAM_URL": source, "BFF_KEYS": new_key(),
            "BFF_REDIS_URL": redis.url, "BFF_DRAIN_SECONDS": "0",
        }  # fmt: skip
        ours = ending.enter_context(LiveProxy(environ))
        browser = ending.enter_context(ours.browser())
        browser.post("/auth/anonymous").raise_for_status()
        carried = {"X-CSRF": "1", "Cookie": f"bff={browser.cookies['bff']}"}
        runs = {
            "upstream itself": Run(source, source_pid, PATH, {}),
            "plain Starlette proxy": Run(plain, plain_pid, f"/api{PATH}", {}),
            "this proxy, a session": Run(ours.url, ours.process.pid, f"/api{PATH}", carried),
            "this proxy, no session": Run(ours.url, ours.process.pid, f"/api{PATH}", {"X-CSRF": "1"}),
        }
        report(runs, options)


def report(runs: dict[str, Run], options: argparse.Namespace) -> None:
    """Run the rounds in turn and print medians and ratios."""
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in runs}
    for number in range(options.rounds + 1):
        for name, run in runs.items():
            before = cpu_seconds(run.pid)
            rate, _, count = asyncio.run(measure(run, options.connections, options.seconds))
            spent = (cpu_seconds(run.pid) - before) / count
            _, alone, _ = asyncio.run(measure(run, 1, options.seconds / 3))
            if number:  # the first round warms up
                found[name].append((rate, spent * 1e6, alone * 1000))
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)]
        for name, rows in found.items()
    }
    plain_rate, plain_cpu, _ = medians["plain Starlette proxy"]
    sys.stdout.write(
        f"{os.cpu_count()} CPUs, {options.connections} connections, medians of {options.rounds} rounds\n"
        f"{'':24}{'requests/s':>12}{'to plain':>10}{'CPU us each':>13}{'to plain':>10}{'one alone, ms':>15}\n"
    )
    for name, (rate, spent, alone) in medians.items():
        sys.stdout.write(
            f"{name:24}{rate:12.0f}{rate / plain_rate:10.2f}{spent:13.0f}{spent / plain_cpu:10.2f}{alone:15.2f}\n"
        )


if __name__ == "__main__":
    main()
