"""HTTP/1.1 over a plain socket: requests are sent byte for byte, and responses are read as received.

An HTTP library would normalise both, for example dots in paths, duplicate headers and contradictory framing.
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

DEADLINE: Final = 15.0
"""Seconds for one exchange, from connecting to the end of the response."""

LINGER: Final = 2.0
"""Seconds to wait after a response for the server to close the connection."""

_MAX_BYTES: Final = 4 << 20
_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[A-Za-z0-9.-]+|[0-9A-Fa-f:.]+")


class BadArgument(Exception):
    """A run cannot start: the URL is not valid, no server responds, or the password cannot be read."""


class NoResponse(Exception):
    """The connection was closed, or the time was up, before a complete response was received."""


@dataclass(frozen=True, slots=True)
class Target:
    """The public origin of a deployment, split into its parts."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse an origin; after the port, only a path of `/` is allowed.

        Raises:
            BadArgument: this is not an http or https origin.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:
            raise BadArgument("the URL has no valid host and port") from None
        extras = parts.path not in {"", "/"} or parts.query or parts.fragment or "@" in parts.netloc
        if not port or extras or not _HOST.fullmatch(parts.hostname or ""):
            raise BadArgument("expected http://HOST[:PORT] or https://HOST[:PORT] and nothing after it")
        return cls(parts.scheme, str(parts.hostname), port)

    @property
    def secure(self) -> bool:
        """Whether browsers reach it over https."""
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """The value of the `Host` header, without a default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """The value of the `Origin` header of a page on this origin."""
        return f"{self.scheme}://{self.authority}"


@dataclass(frozen=True, slots=True)
class Response:
    """A response, with its headers as received except that their names are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header_values(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.headers if key == name]

    def header(self, name: str) -> str:
        """Return the values of a header joined by commas, or an empty text."""
        return ", ".join(self.header_values(name))


@dataclass(frozen=True, slots=True)
class Exchange:
    """All responses on one connection, and whether the server closed it."""

    responses: tuple[Response, ...]
    closed: bool


class Wire:
    """Sends requests, each on a new connection.

    Args:
        target: the deployment to connect to.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._tls = ssl.create_default_context() if target.secure else None

    async def exchange(self, raw: bytes, method: str = "GET") -> Exchange:
        """Send bytes and return the responses until the server closes the connection or `LINGER` has passed.

        Raises:
            NoResponse: no complete response was received in time.
        """
        received = bytearray()
        closed = False
        try:
            async with asyncio.timeout(DEADLINE):
                reader, writer = await asyncio.open_connection(
                    self._target.host, self._target.port, ssl=self._tls
                )
                try:
                    closed = await _send_and_receive(reader, writer, raw, received)
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise NoResponse(f"no response: {type(error).__name__}") from None
        responses = tuple(parse_responses(bytes(received), method))
        if not responses:
            raise NoResponse("no response: the connection was closed")
        return Exchange(responses, closed)


async def _send_and_receive(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, raw: bytes, received: bytearray
) -> bool:
    """Send `raw`, append what is received to `received`, and return whether the server closed the connection."""
    with contextlib.suppress(ConnectionError):  # the server may respond and close before everything is sent
        writer.write(raw)
        await writer.drain()
    while len(received) < _MAX_BYTES:
        seconds = LINGER if any(parse_responses(bytes(received), "GET")) else None
        try:
            async with asyncio.timeout(seconds):
                more = await reader.read(65_536)
        except TimeoutError:
            return False
        except (ConnectionError, ssl.SSLError):
            return True
        if not more:
            return True
        received += more
    return False


def parse_responses(received: bytes, method: str) -> Iterator[Response]:
    """Yield the complete responses in the received bytes, without interim (1xx) responses."""
    while b"\r\n\r\n" in received:
        head, _, rest = received.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        match = re.match(r"HTTP/1\.[01] (\d{3})", line)
        if match is None:
            return
        pairs = (one.partition(":") for one in lines)
        response = Response(
            int(match[1]), tuple((name.lower(), value.strip()) for name, _, value in pairs), b""
        )
        body, received = _body(response, rest, method)
        if response.status >= 200:
            yield Response(response.status, response.headers, body)


def _body(response: Response, rest: bytes, method: str) -> tuple[bytes, bytes]:
    """Return the body and the bytes after it (RFC 9112 §6.3)."""
    if method == "HEAD" or response.status < 200 or response.status in {204, 304}:
        return b"", rest
    if "chunked" in response.header("transfer-encoding").lower():
        return _chunks(rest)
    length = response.header("content-length")
    if not length.isdecimal():
        return rest, b""
    return rest[: int(length)], rest[int(length) :]


def _chunks(rest: bytes) -> tuple[bytes, bytes]:
    body = bytearray()
    while True:
        size, _, rest = rest.partition(b"\r\n")
        digits = size.partition(b";")[0].strip()
        length = int(digits, 16) if re.fullmatch(rb"[0-9A-Fa-f]{1,8}", digits) else 0
        body += rest[:length]
        rest = rest[length + 2 :]
        if not length:
            return bytes(body), rest
