"""Aliases: what drop-in clients see instead of an Emporix session id. Stable for the session, useless elsewhere."""

import uuid
from collections.abc import AsyncIterator
from typing import Final

from bff.security.keyring import KeyedDigest
from bff.security.secret import Secret

ALIAS_LENGTH: Final = 36


class Aliases:
    """Makes aliases, and puts the real id back where a client sends one.

    Args:
        digest: keyed, so that an alias does not reveal the id; aliases made with older keys still resolve.
    """

    def __init__(self, digest: KeyedDigest) -> None:
        self._digest = digest

    def of(self, session_id: Secret) -> str:
        """Return the alias of a session id, in the shape of one."""
        return _shaped(self._digest.newest(session_id.reveal().encode()))

    async def resolved_stream(self, chunks: AsyncIterator[bytes], session_id: Secret) -> AsyncIterator[bytes]:
        """Resolve a body as it streams; an alias may be split over two chunks."""
        held = b""
        async for chunk in chunks:
            text = self.resolved(held + chunk, session_id)
            held = text[-(ALIAS_LENGTH - 1) :]
            if passed := text[: len(text) - len(held)]:
                yield passed
        if held:
            yield held

    def resolved(self, text: bytes, session_id: Secret) -> bytes:
        """Return `text` with this session's alias replaced by its id; other sessions' aliases stay as they are."""
        real = session_id.reveal().encode()
        for digest in self._digest.every(real):
            text = text.replace(_shaped(digest).encode(), real)
        return text


def _shaped(digest: bytes) -> str:
    return str(uuid.UUID(bytes=digest[:16], version=4))
