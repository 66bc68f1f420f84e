"""HTTP/1.1 on a bare socket: what is sent is sent as given, and what comes back is read as it came.

An HTTP library would tidy both: dots in paths, doubled fields, framing that contradicts itself.
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
"""Seconds for one exchange, from dialling to the end of the answer."""

LINGER: Final = 2.0
"""Seconds to wait, once an answer is there, for the end of a connection that should be closed."""

_MOST: Final = 4 << 20
_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[A-Za-z0-9.-]+|[0-9A-Fa-f:.]+")


class BadArgument(Exception):
    """A run cannot begin: the URL is none, nobody answers there, or the credentials cannot be read."""


class NoAnswer(Exception):
    """A connection ended, or time ran out, before a whole answer was there."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a deployment is reached: its public origin, taken apart."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take an origin apart; a path of `/` is allowed, nothing else behind the port.

        Raises:
            BadArgument: this is no http or https origin.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:
            raise BadArgument("the URL has no valid host and port") from None
        extras = parts.path not in {"", "/"} or parts.query or parts.fragment or "@" in parts.netloc
        if not port or extras or not _HOST.fullmatch(parts.hostname or ""):
            raise BadArgument("expected http://HOST[:PORT] or https://HOST[:PORT], and nothing behind it")
        return cls(parts.scheme, str(parts.hostname), port)

    @property
    def secure(self) -> bool:
        """Whether browsers reach it over https."""
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """What a `Host` field says: without the scheme's own port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """What a page's `Origin` field says."""
        return f"{self.scheme}://{self.authority}"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, its fields as they came but for the case of their names."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Return every value of a field."""
        return [value for key, value in self.fields if key == name]

    def one(self, name: str) -> str:
        """Return a field's values as one, or nothing."""
        return ", ".join(self.all(name))


@dataclass(frozen=True, slots=True)
class Exchange:
    """Everything that came back on one connection, and whether the other side closed it."""

    answers: tuple[Answer, ...]
    closed: bool


class Wire:
    """Opens a connection of its own for every exchange.

    Args:
        target: where to.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._tls = ssl.create_default_context() if target.secure else None

    async def exchange(self, raw: bytes, method: str = "GET") -> Exchange:
        """Send bytes and return what came until the other side closed, or lingered after an answer.

        Raises:
            NoAnswer: nothing that is an answer came in time.
        """
        received = bytearray()
        closed = False
        try:
            async with asyncio.timeout(DEADLINE):
                reader, writer = await asyncio.open_connection(
                    self._target.host, self._target.port, ssl=self._tls
                )
                try:
                    closed = await _spoken(reader, writer, raw, received)
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise NoAnswer(f"no answer: {type(error).__name__}") from None
        answers = tuple(parsed(bytes(received), method))
        if not answers:
            raise NoAnswer("no answer: the connection ended")
        return Exchange(answers, closed)


async def _spoken(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, raw: bytes, received: bytearray
) -> bool:
    """Send and receive; say whether the other side ended the connection."""
    with contextlib.suppress(ConnectionError):  # an answer may come before all is sent
        writer.write(raw)
        await writer.drain()
    while len(received) < _MOST:
        patience = LINGER if any(parsed(bytes(received), "GET")) else None
        try:
            async with asyncio.timeout(patience):
                more = await reader.read(65_536)
        except TimeoutError:
            return False
        except (ConnectionError, ssl.SSLError):
            return True
        if not more:
            return True
        received += more
    return False


def parsed(received: bytes, method: str) -> Iterator[Answer]:
    """Yield the whole answers in what was received; interim ones are left out."""
    while b"\r\n\r\n" in received:
        head, _, rest = received.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        match = re.match(r"HTTP/1\.[01] (\d{3})", line)
        if match is None:
            return
        pairs = (one.partition(":") for one in lines)
        answer = Answer(int(match[1]), tuple((name.lower(), value.strip()) for name, _, value in pairs), b"")
        body, received = _body(answer, rest, method)
        if answer.status >= 200:
            yield Answer(answer.status, answer.fields, body)


def _body(answer: Answer, rest: bytes, method: str) -> tuple[bytes, bytes]:
    """Return the body, and what comes after it (RFC 9112 §6.3)."""
    if method == "HEAD" or answer.status < 200 or answer.status in {204, 304}:
        return b"", rest
    if "chunked" in answer.one("transfer-encoding").lower():
        return _chunks(rest)
    length = answer.one("content-length")
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
