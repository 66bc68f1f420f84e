"""The header fields of one request, looked up by name."""

from collections.abc import Callable, KeysView, Sequence
from itertools import chain
from typing import Final, TypeVar

from starlette.types import Scope

from bff.memo import Memo
from bff.middleware import READ_FIELDS
from bff.upstream.protocol import Header

V = TypeVar("V")
_LONGEST_USUAL: Final = 4096


class HeaderFields:
    """Header fields by name, found in one pass over them.

    A usual request has no name twice. Then one mapping knows everything, and no check looks through the list again.

    Attributes:
        first: returns the value of the first field of a name, or None.
        names: returns all names.
        headers: all fields in their order.

    Args:
        headers: names in lower case and values, as ASGI has them.
    """

    __slots__ = ("_first", "_length", "_repeat", "first", "headers", "names")

    def __init__(self, headers: Sequence[Header]) -> None:
        self.headers = headers
        self._first = dict(reversed(headers))
        self._repeat = len(self._first) != len(headers)
        self.first: Callable[[bytes], bytes | None] = self._first.get
        self.names: Callable[[], KeysView[bytes]] = self._first.keys
        self._length = bytes_of(headers)

    def __len__(self) -> int:
        """Return how many bytes they have in all."""
        return self._length

    def every(self, name: bytes) -> list[bytes]:
        """Return the values of all fields of this name, in their order."""
        if self._repeat:
            return [value for each, value in self.headers if each == name]
        value = self._first.get(name)
        return [] if value is None else [value]

    def has_twice(self, name: bytes) -> bool:
        """Return whether there are several fields of this name."""
        return self._repeat and len(self.every(name)) > 1


class OfFields(Memo[HeaderFields, V]):
    """A pure function of header fields, for requests that bring the same ones."""

    def __init__(self, function: Callable[[HeaderFields], V]) -> None:
        super().__init__(function, longest=_LONGEST_USUAL)


def bytes_of(headers: Sequence[Header]) -> int:
    """Return how many bytes these fields have in all, without what stands between them."""
    return sum(map(len, chain.from_iterable(headers)))


_known: Final = Memo[tuple[Header, ...], HeaderFields](HeaderFields, longest=_LONGEST_USUAL, length=bytes_of)


def fields_of(scope: Scope) -> HeaderFields:
    """Return the header fields of a request: one object for the same ones, by which what follows from them is found.

    This proxy's own server has it with the fields that it has read. Others need not.
    """
    read: HeaderFields | None = scope.get(READ_FIELDS)
    if read is not None and read.headers is scope["headers"]:  # else somebody has changed them since
        return read
    return _known[tuple(scope["headers"])]
