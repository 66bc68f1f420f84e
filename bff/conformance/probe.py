"""The client that the checks use: it sends requests, records every response, and ends its sessions at the end."""

import contextlib
import json
from dataclasses import dataclass, field
from typing import Any, Final

from bff.conformance.wire import NoResponse, Response, Target, Wire

AGENT: Final = "bff-conformance"
ELSEWHERE: Final = "https://elsewhere.example"
NO_TENANT: Final = "notenant"
_UNKNOWN: Final = "/bff-conformance-unknown-page"


class PreconditionFailed(Exception):
    """A check could not get what it needs, such as a guest session."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller knows about the deployment.

    Attributes:
        tenant: its Emporix tenant.
        allowed_origin: an allowed origin besides the public one.
        sso: the name of an identity provider.
        customer: the e-mail address of a customer for the login checks.
        password: the password of that customer.
    """

    tenant: str | None = None
    allowed_origin: str | None = None
    sso: str | None = None
    customer: str | None = None
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class SetCookie:
    """A parsed `Set-Cookie` header."""

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
        """The `name=value` pair that a browser sends back."""
        return f"{self.name}={self.value}"

    @property
    def stable_attributes(self) -> dict[str, str]:
        """The attributes except those that set the lifetime."""
        return {key: text for key, text in self.attributes.items() if key not in {"max-age", "expires"}}


@dataclass(frozen=True, slots=True)
class Recorded:
    """A response and the request that it belongs to."""

    method: str
    path: str
    response: Response

    @property
    def place(self) -> str:
        """The beginning of the path, for reports, without the query, which may contain a secret."""
        return self.path.partition("?")[0][:40]


class Probe:
    """Sends requests to a deployment.

    Attributes:
        target: the origin of the deployment.
        options: what is known about it.
        recorded: every response so far.
        issued: every cookie value and session id that was issued so far.
    """

    def __init__(self, target: Target, options: Options) -> None:
        self.target = target
        self.options = options
        self.recorded: list[Recorded] = []
        self.issued: set[str] = set()
        self._wire = Wire(target)
        self._guest: SetCookie | None = None
        self._app = ""
        self._page: Response | None = None
        self._customer: tuple[SetCookie, SetCookie] | None = None

    @property
    def wire(self) -> Wire:
        """The connection for requests that an HTTP client would not send."""
        return self._wire

    @property
    def sites(self) -> str:
        """A public path of the proxied API; without a known tenant, it contains one that does not exist."""
        return f"/api/site/{self.options.tenant or NO_TENANT}/sites"

    def head(self, method: str, path: str, *headers: str, csrf: bool = True, cookie: str = "") -> bytes:
        """Return a request head with the headers that a storefront's page would send, and those given."""
        given = {one.partition(":")[0].lower() for one in headers}
        defaults = {"host": f"Host: {self.target.authority}", "user-agent": f"User-Agent: {AGENT}"}
        lines = [f"{method} {path} HTTP/1.1", *(line for name, line in defaults.items() if name not in given)]
        lines += ["X-CSRF: 1"] if csrf else []
        lines += [f"Cookie: {cookie}"] if cookie else []
        return "\r\n".join([*lines, *headers]).encode("latin-1") + b"\r\n\r\n"

    async def request(
        self,
        method: str,
        path: str,
        *headers: str,
        csrf: bool = True,
        cookie: str = "",
        body: Any = None,
    ) -> Response:
        """Send a request and return the response; a body that is not bytes is sent as JSON.

        Raises:
            NoResponse: there was no response.
        """
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        framing = ["Connection: close"]
        if body is not None and not any(one.lower().startswith("content-length:") for one in headers):
            framing.append(f"Content-Length: {len(sent)}")
        if body is not None and not isinstance(body, bytes):
            framing.append("Content-Type: application/json")
        raw = self.head(method, path, *headers, *framing, csrf=csrf, cookie=cookie)
        exchange = await self._wire.exchange(raw + (sent if body is not None else b""), method)
        response = exchange.responses[0]
        self.recorded.append(Recorded(method, path, response))
        if not path.startswith("/auth/sso/"):
            self.issued |= {cookie.value for cookie in cookies(response) if cookie.value}
        return response

    async def is_storefronts(self, response: Response) -> bool:
        """Return whether this is a storefront's page beside the proxy: such a page as a path gets that nobody knows."""
        if self._page is None:
            self._page = await self.request("GET", _UNKNOWN)
        return response.status == self._page.status and _is_page(response) and _is_page(self._page)

    async def new_guest(self) -> SetCookie:
        """Start a guest session and return its cookie.

        Raises:
            PreconditionFailed: no session was started.
        """
        response = await self.request("POST", "/auth/anonymous")
        set_cookies = cookies(response)
        if response.status != 201 or not set_cookies:
            raise PreconditionFailed(
                f"POST /auth/anonymous: {describe(response)}, {len(set_cookies)} cookies"
            )
        return set_cookies[0]

    async def guest(self) -> SetCookie:
        """Return the cookie of a guest session that checks share and must not change."""
        if self._guest is None:
            self._guest = await self.new_guest()
        return self._guest

    async def new_customer(self) -> tuple[SetCookie, SetCookie]:
        """Log in from a new guest session; return the cookie of the guest and that of the customer."""
        guest = await self.new_guest()
        response = await self.log_in(cookie=guest.pair)
        set_cookies = cookies(response)
        if response.status != 200:
            raise PreconditionFailed(f"POST /auth/login: {describe(response)}")
        return guest, set_cookies[0] if set_cookies else guest

    async def customer(self) -> tuple[SetCookie, SetCookie]:
        """Return the cookies of a guest and of the customer after its login, which checks share and must not change."""
        if self._customer is None:
            self._customer = await self.new_customer()
        return self._customer

    async def log_in(self, *headers: str, password: str | None = None, cookie: str = "") -> Response:
        """Send a login with the customer's password, or with another one."""
        given = self.options.password if password is None else password
        body = {"email": self.options.customer, "password": given}
        return await self.request("POST", "/auth/login", *headers, cookie=cookie, body=body)

    async def new_app(self) -> str:
        """Start a guest session on the app's carrier and return its session id."""
        response = await self.request("POST", "/auth/anonymous", "X-Session-Transport: header", csrf=False)
        session_id = member(response, "sessionId")
        if response.status != 201 or not session_id:
            raise PreconditionFailed(f"POST /auth/anonymous by header: {describe(response)}")
        self.issued.add(session_id)
        return session_id

    async def app(self) -> str:
        """Return the session id of a guest session on the app's carrier, which checks share."""
        self._app = self._app or await self.new_app()
        return self._app

    async def end_sessions(self) -> None:
        """End every session that was started, as far as possible."""
        name = self._guest.name if self._guest else ""
        for value in sorted(self.issued):
            for line in ([f"Cookie: {name}={value}"] if name else []) + [f"X-Session-Id: {value}"]:
                with contextlib.suppress(NoResponse):
                    raw = self.head("POST", "/auth/logout", line, "Connection: close")
                    await self._wire.exchange(raw, "POST")


def cookies(response: Response) -> list[SetCookie]:
    """Return the cookies that a response sets."""
    return [SetCookie.parse(text) for text in response.header_values("set-cookie")]


def json_body(response: Response) -> Any:
    """Return the body parsed as JSON, or None if it is not JSON."""
    try:
        return json.loads(response.body)
    except ValueError:
        return None


def json_object(response: Response) -> dict[str, Any]:
    """Return the body parsed as a JSON object, or an empty object."""
    found = json_body(response)
    return found if isinstance(found, dict) else {}


def member(response: Response, name: str) -> str:
    """Return a member of the JSON body if it is a string, otherwise an empty string."""
    value = json_object(response).get(name)
    return value if isinstance(value, str) else ""


def is_proxys(response: Response) -> bool:
    """Return whether the proxy gave this answer: each has a request id; one of a server in front of it has none."""
    return bool(response.header("x-request-id"))


def _is_page(response: Response) -> bool:
    return not is_proxys(response) and response.header("content-type").lower().startswith("text/html")


def is_no_session(response: Response) -> bool:
    """Return whether the response shows that the request had no valid session: an error, or the view `none`."""
    return 400 <= response.status < 500 or (response.status == 200 and member(response, "kind") == "none")


def describe(response: Response) -> str:
    """Return the status and the error code of a response, which contain no secret."""
    code = member(response, "code")
    return f"{response.status} {code[:40]}".strip()
