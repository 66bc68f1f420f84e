"""The visitor whom the checks send: asks, remembers every answer, and leaves no session behind."""

import contextlib
import json
from dataclasses import dataclass, field
from typing import Any, Final

from bff.conformance.wire import Answer, NoAnswer, Target, Wire

AGENT: Final = "bff-conformance"
ELSEWHERE: Final = "https://elsewhere.example"
NO_TENANT: Final = "notenant"


class Unmet(Exception):
    """What a check needs before it can look could not be had."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller knows of the deployment.

    Attributes:
        tenant: the Emporix tenant that it serves.
        allowed_origin: a storefront's origin besides the public one.
        sso: the name of an identity provider.
        customer: the e-mail address of a customer who may be logged in.
        password: that customer's.
    """

    tenant: str | None = None
    allowed_origin: str | None = None
    sso: str | None = None
    customer: str | None = None
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class SetCookie:
    """A `Set-Cookie` field, taken apart."""

    name: str
    value: str = field(repr=False)
    attributes: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> "SetCookie":
        pair, *rest = text.split(";")
        name, _, value = pair.partition("=")
        attributes = (one.strip().partition("=") for one in rest)
        return cls(name.strip(), value.strip(), {key.lower(): text for key, _, text in attributes})

    @property
    def pair(self) -> str:
        """What a browser sends back."""
        return f"{self.name}={self.value}"

    @property
    def lasting(self) -> dict[str, str]:
        """Its attributes, without those that say how long it lives."""
        return {key: text for key, text in self.attributes.items() if key not in {"max-age", "expires"}}


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer, and what it answered."""

    method: str
    path: str
    answer: Answer

    @property
    def place(self) -> str:
        """The beginning of the path, for reports; its query may hold what opens a session."""
        return self.path.partition("?")[0][:40]


class Probe:
    """Asks a deployment.

    Attributes:
        target: where it is.
        options: what is known of it.
        seen: every answer so far.
        handed: every value that a session was carried by so far.
    """

    def __init__(self, target: Target, options: Options) -> None:
        self.target = target
        self.options = options
        self.seen: list[Seen] = []
        self.handed: set[str] = set()
        self._wire = Wire(target)
        self._guest: SetCookie | None = None
        self._app = ""
        self._customer: tuple[SetCookie, SetCookie] | None = None

    @property
    def wire(self) -> Wire:
        """The bare socket."""
        return self._wire

    @property
    def sites(self) -> str:
        """A proxied path that is open to everybody; without a tenant it names none that exists."""
        return f"/api/site/{self.options.tenant or NO_TENANT}/sites"

    def head(self, method: str, path: str, *fields: str, proof: bool = True, cookie: str = "") -> bytes:
        """Return a request's head, with what a storefront's page would send."""
        given = {one.partition(":")[0].lower() for one in fields}
        own = {"host": f"Host: {self.target.authority}", "user-agent": f"User-Agent: {AGENT}"}
        lines = [f"{method} {path} HTTP/1.1", *(line for name, line in own.items() if name not in given)]
        lines += ["X-CSRF: 1"] if proof else []
        lines += [f"Cookie: {cookie}"] if cookie else []
        return "\r\n".join([*lines, *fields]).encode("latin-1") + b"\r\n\r\n"

    async def ask(
        self,
        method: str,
        path: str,
        *fields: str,
        proof: bool = True,
        cookie: str = "",
        body: Any = None,
    ) -> Answer:
        """Send a request and return its answer; a body that is not bytes goes as JSON.

        Raises:
            NoAnswer: there was none.
        """
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        framing = ["Connection: close"]
        if body is not None and not any(one.lower().startswith("content-length:") for one in fields):
            framing.append(f"Content-Length: {len(sent)}")
        if body is not None and not isinstance(body, bytes):
            framing.append("Content-Type: application/json")
        raw = self.head(method, path, *fields, *framing, proof=proof, cookie=cookie)
        exchange = await self._wire.exchange(raw + (sent if body is not None else b""), method)
        answer = exchange.answers[0]
        self.seen.append(Seen(method, path, answer))
        if not path.startswith("/auth/sso/"):
            self.handed |= {cookie.value for cookie in cookies(answer) if cookie.value}
        return answer

    async def new_guest(self) -> SetCookie:
        """Begin a guest and return its cookie.

        Raises:
            Unmet: none could be begun.
        """
        answer = await self.ask("POST", "/auth/anonymous")
        held = cookies(answer)
        if answer.status != 201 or not held:
            raise Unmet(f"POST /auth/anonymous: {told(answer)}, {len(held)} cookies")
        return held[0]

    async def guest(self) -> SetCookie:
        """Return the cookie of a guest that checks may share, as long as they leave it alone."""
        if self._guest is None:
            self._guest = await self.new_guest()
        return self._guest

    async def new_customer(self) -> tuple[SetCookie, SetCookie]:
        """Log a new guest in; return the guest's cookie and the customer's."""
        guest = await self.new_guest()
        answer = await self.log_in(cookie=guest.pair)
        held = cookies(answer)
        if answer.status != 200:
            raise Unmet(f"POST /auth/login: {told(answer)}")
        return guest, held[0] if held else guest

    async def customer(self) -> tuple[SetCookie, SetCookie]:
        """Return a guest's cookie and the customer's after it, for checks that leave the session alone."""
        if self._customer is None:
            self._customer = await self.new_customer()
        return self._customer

    async def log_in(self, *fields: str, password: str | None = None, cookie: str = "") -> Answer:
        """Send the customer's credentials, or others."""
        given = self.options.password if password is None else password
        body = {"email": self.options.customer, "password": given}
        return await self.ask("POST", "/auth/login", *fields, cookie=cookie, body=body)

    async def new_app(self) -> str:
        """Begin an app's guest and return its session id."""
        answer = await self.ask("POST", "/auth/anonymous", "X-Session-Transport: header", proof=False)
        session_id = member(answer, "sessionId")
        if answer.status != 201 or not session_id:
            raise Unmet(f"POST /auth/anonymous by header: {told(answer)}")
        self.handed.add(session_id)
        return session_id

    async def app(self) -> str:
        """Return the session id of an app's guest that checks may share."""
        self._app = self._app or await self.new_app()
        return self._app

    async def tidy(self) -> None:
        """End every session that was begun, as far as that is possible."""
        name = self._guest.name if self._guest else ""
        for value in sorted(self.handed):
            for line in ([f"Cookie: {name}={value}"] if name else []) + [f"X-Session-Id: {value}"]:
                with contextlib.suppress(NoAnswer):
                    raw = self.head("POST", "/auth/logout", line, "Connection: close")
                    await self._wire.exchange(raw, "POST")


def cookies(answer: Answer) -> list[SetCookie]:
    """Return what an answer sets."""
    return [SetCookie.parse(text) for text in answer.all("set-cookie")]


def content(answer: Answer) -> Any:
    """Return an answer's JSON, or None where it is none."""
    try:
        return json.loads(answer.body)
    except ValueError:
        return None


def problem(answer: Answer) -> dict[str, Any]:
    """Return an answer's JSON object, or an empty one."""
    found = content(answer)
    return found if isinstance(found, dict) else {}


def member(answer: Answer, name: str) -> str:
    """Return a member of an answer's JSON object that is a text, or nothing."""
    value = problem(answer).get(name)
    return value if isinstance(value, str) else ""


def nobodys(answer: Answer) -> bool:
    """Say whether an answer treats what was carried as no session: refused, or the view of nobody."""
    return 400 <= answer.status < 500 or (answer.status == 200 and member(answer, "kind") == "none")


def told(answer: Answer) -> str:
    """Say what an answer was, in a few words that hold no secret."""
    code = member(answer, "code")
    return f"{answer.status} {code[:40]}".strip()
