"""The names of everything that is kept in Redis for one tenant, rate limits aside.

==================================  ===============================================================
key                                 holds
==================================  ===============================================================
``bff:TENANT:{RECORD NAME}``        a session or its tombstone (see `bff.store.redis_scripts`)
``bff:TENANT:{RECORD NAME}:lock``   the mark of whoever holds the session's lock
``bff:TENANT:{NAME}:claim``         a name that was claimed
``bff:TENANT:{NAME}:pause``         there while something is not to be tried again
``bff:TENANT:of:{OWNER}``           a customer's index (see `bff.store.customer_index`)
==================================  ===============================================================

All names are hashes, in hexadecimal. What stands in braces is what a cluster places a key by: a session and its lock
are on one node, where one script reaches both.
"""


class RedisKeys:
    """Names the keys of one tenant.

    Args:
        tenant: part of every key, so that tenants may share a server.
    """

    def __init__(self, tenant: str) -> None:
        self._prefix = f"bff:{tenant}:"
        self.everything = f"{self._prefix}*"
        """A pattern for every key."""
        self.sessions = f"{self._prefix}{{*}}"
        """A pattern for the keys of sessions; those of locks, claims and pauses do not end in a brace."""

    def session(self, record_name: bytes) -> str:
        return f"{self._prefix}{{{record_name.hex()}}}"

    def lock(self, record_name: bytes) -> str:
        return f"{self.session(record_name)}:lock"

    def claim(self, name: bytes) -> str:
        return f"{self.session(name)}:claim"

    def pause(self, name: bytes) -> str:
        return f"{self.session(name)}:pause"

    def index(self, owner: bytes) -> str:
        return f"{self._prefix}of:{{{owner.hex()}}}"

    def record_name(self, session_key: bytes) -> bytes:
        """Return the record name that the key of a session was made of."""
        return bytes.fromhex(session_key.decode()[len(self._prefix) + 1 : -1])

    def is_session(self, key: bytes) -> bool:
        """Say whether a key of this tenant is one of a session."""
        return key.startswith(f"{self._prefix}{{".encode()) and key.endswith(b"}")
