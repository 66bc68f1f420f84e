"""The header fields of one request, looked up by name."""

from collections.abc import KeysView, Sequence

from bff.upstream.protocol import Header


class HeaderFields:
    """Header fields by name, found in one pass over them.

    A usual request has no name twice. Then one mapping knows everything, and no check looks through the list again.

    Args:
        headers: names in lower case and values, as ASGI has them.
    """

    __slots__ = ("_first", "_headers", "_repeat")

    def __init__(self, headers: Sequence[Header]) -> None:
        self._headers = headers
        self._first = dict(reversed(headers))
        self._repeat = len(self._first) != len(headers)

    def first(self, name: bytes) -> bytes | None:
        """Return the value of the first field of this name."""
        return self._first.get(name)

    def every(self, name: bytes) -> list[bytes]:
        """Return the values of all fields of this name, in their order."""
        if self._repeat:
            return [value for each, value in self._headers if each == name]
        value = self._first.get(name)
        return [] if value is None else [value]

    def has_twice(self, name: bytes) -> bool:
        """Return whether there are several fields of this name."""
        return self._repeat and len(self.every(name)) > 1

    def names(self) -> KeysView[bytes]:
        """Return all names."""
        return self._first.keys()
