"""A value that must not be seen: its `repr`, `str` and `format` hide it."""

import hmac
from typing import Final

MASK: Final = "**********"


class Secret:
    """A token, session id, password or key that only `reveal` shows.

    Comparison takes constant time; there is no ordering, no length and no iteration, so that a secret
    cannot slip out through a log line, an f-string or an exception.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the bare value, for the one place that sends or seals it."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret is not pickled")
