"""Where targets are run at: one proxy with a sandbox and a Redis of its own, and a judge of every answer.

What must hold of one answer and of the log is asserted when it comes, so that Hypothesis can shrink what broke it.
What takes a look at Redis or at the list of issued tokens is asserted by a sweep after every few hundred answers.
"""

import json
import re
from pathlib import Path
from typing import Any, Final

import httpx2
import redis

from bff.errors import ALL_ERRORS
from tests.fuzz.vitals import Vitals
from tests.integration.visitors import heeding_pauses
from tests.integration.wire import Answer, send
from tests.live import ADA, TENANT, LiveProxy, Sandbox
from tests.security.journeys import found

CANARY: Final = "c4n4ry"
"""Goes into everything that a target sends, and is never to be seen in the log."""

BROKEN_UPSTREAM: Final = frozenset({502, 503, 504})
"""What the contract answers where the upstream is at fault (§7)."""

_PROBLEM: Final = "application/problem+json"
_MEMBERS: Final = {"type", "title", "status", "detail", "code", "requestId"}
_STATUS: Final = {error.code: error.status for error in ALL_ERRORS}
_COOKIE: Final = re.compile(r"bff(?:-sso-[\w-]+)?=[\w.-]*; ")
_ANOTHER_ID: Final = re.compile(rb'"sessionId":|"code":"(?:no_session|session_)')
_SWEEP_EVERY: Final = 250
_MANY_TOKENS: Final = 20_000


WHO: Final = ("nobody", "guest", "customer", "app")
"""Who may be asking: two carriers, and two kinds of session on the first one."""


class Ground:
    """One proxy and all that is behind it.

    Attributes:
        vitals: of the proxy's process.
    """

    def __init__(self, sandbox: Sandbox, proxy: LiveProxy, redis_url: str) -> None:
        self.sandbox = sandbox
        self.proxy = proxy
        self.redis_url = redis_url
        self.vitals = Vitals(proxy.process.pid)
        self._said: list[tuple[str, bytes, bytes]] = []
        self._answers = 0
        self._log = b""
        self._log_read = 0
        self._known: set[str] = set()
        self._visitors: dict[str, tuple[str, ...]] = {}

    def visitor(self, who: str) -> tuple[str, ...]:
        """Return what one of this kind carries, as header fields: the same ones as long as they open a session."""
        if who not in self._visitors:
            self._visitors[who] = self.fresh(who)
        return self._visitors[who]

    def fresh(self, who: str) -> tuple[str, ...]:
        """Return what a new visitor of this kind carries, as header fields."""
        if who == "nobody":
            return ()
        with self.proxy.app() if who == "app" else self.proxy.browser() as client:
            path, body = ("/auth/login", ADA) if who == "customer" else ("/auth/anonymous", {})
            view = heeding_pauses(lambda: client.post(path, json=body)).raise_for_status().json()
            return (
                f"X-Session-Id: {view['sessionId']}"
                if who == "app"
                else f"Cookie: bff={client.cookies['bff']}",
            )

    def ask(
        self,
        method: str,
        target: str,
        *fields: bytes | str,
        body: bytes = b"",
        may_break: frozenset[int] = frozenset(),
    ) -> Answer:
        """Send one request byte by byte and judge the answer; 5xx in `may_break` are nobody's fault."""
        answer = send(self.proxy, method, target, *fields, body=body)
        head = b"\r\n".join(f"{name}: {value}".encode("latin-1") for name, value in answer.fields)
        self.keep(target, head, answer.body)
        if answer.status == 204 or answer.all("set-cookie") or _ANOTHER_ID.search(answer.body):
            self._visitors = {who: own for who, own in self._visitors.items() if not {*own} & {*fields}}
        judge(answer, target, method, may_break)
        return answer

    def keep(self, target: str, head: bytes, body: bytes) -> None:
        """Look at what was logged of an answer, and remember it for the next sweep."""
        self._read_log()
        self._said.append((target, head, body))
        self._answers += 1
        if len(self._said) >= _SWEEP_EVERY:
            self.sweep()

    def sweep(self) -> None:
        """Assert what holds at any time: the process lives, and no token is where none belongs."""
        said, self._said = self._said, []
        assert self.proxy.process.poll() is None, "the proxy has ended"
        assert httpx2.get(f"{self.proxy.url}/livez", trust_env=False).text == "ok"
        self._read_log()
        issued = self.sandbox.control("GET", "/issued")
        tokens, session_ids = set(issued["tokens"]), set(issued["sessionIds"])
        heads = b"\n".join(head for _, head, _ in said)
        bodies = b"\n".join(body for _, _, body in said)
        ours = b"\n".join(body for target, _, body in said if target.startswith("/auth"))
        new = (tokens | session_ids) - self._known
        log, self._log = self._log, b""
        assert found(new & tokens, {"the heads": heads, "the bodies": bodies, "the log": log}) == []
        assert (
            found(new & session_ids, {"the heads": heads, "the bodies under /auth": ours, "the log": log})
            == []
        )
        self._known |= new
        self.vitals.look(self._answers)
        if len(tokens) > _MANY_TOKENS:
            self.renew()

    def renew(self) -> None:
        """Forget every session and token, so that a long run costs no more at its end than at its beginning."""
        assert without_expiry(self.redis_url) == []
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()
        self.sandbox.control("POST", "/reset")
        self._known, self._visitors = set(), {}
        with self.proxy.browser() as nobody:  # the proxy's own token is gone too; it sees that when it reads
            nobody.get(f"/api/site/{TENANT}/sites")

    def _read_log(self) -> None:
        """Assert that what was logged since the last look was foreseen."""
        with Path(self.proxy._log.name).open("rb") as log:
            log.seek(self._log_read)
            new = b"".join(log.read().rpartition(b"\n")[:2])  # the last line may be half written
        self._log_read += len(new)
        self._log += new
        assert strange(new) == []
        assert CANARY.encode() not in new


def judge(answer: Answer, target: str, method: str = "GET", may_break: frozenset[int] = frozenset()) -> None:
    """Assert what holds of every answer, whatever was asked."""
    assert answer.status < 500 or answer.status in may_break, answer
    assert all(_COOKIE.match(value) for value in answer.all("set-cookie")), answer
    kind = "".join(answer.all("content-type"))
    assert len(answer.all("x-request-id")) == 1, answer
    if answer.status < 400 or method == "HEAD":
        return
    assert kind == _PROBLEM or target.startswith("/api/"), answer
    if kind == _PROBLEM:
        problem = answer.json()
        assert set(problem) - {"sessionId"} == _MEMBERS
        assert _STATUS[problem["code"]] == problem["status"] == answer.status
        assert answer.all("x-request-id") == [problem["requestId"]]
        assert answer.all("cache-control") == ["no-store"]
        assert answer.status not in {429, 503} or answer.all("retry-after")


def strange(log: bytes) -> list[dict[str, Any] | bytes]:
    """Return the lines of a log that tell of something that nobody foresaw."""
    lines: list[dict[str, Any] | bytes] = []
    for line in log.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            lines.append(line)
            continue
        foreseen = event["logger"].startswith("bff.") or event["level"] in {"info", "warning"}
        if event["event"] == "unexpected" or "exception" in event or not foreseen:
            lines.append(event)
    return lines


def without_expiry(url: str) -> list[bytes]:
    """Return the keys that would stay in Redis for ever."""
    with redis.Redis.from_url(url) as client:
        return [key for key in client.scan_iter(count=1000) if client.ttl(key) == -1]
