"""Remembered results of pure functions of short byte strings, bounded in number and length."""

from collections.abc import Callable
from typing import Final, TypeVar

V = TypeVar("V")

_ENTRIES: Final = 1024


class Memo(dict[bytes, V]):
    """A function as a mapping: what was asked before is one lookup. Where it is full, it begins again.

    Args:
        function: depends on its argument alone; what it raises is not remembered.
        longest: a longer argument is not remembered, so that nobody can fill the memory.
    """

    def __init__(self, function: Callable[[bytes], V], *, longest: int) -> None:
        super().__init__()
        self._function = function
        self._longest = longest

    def __missing__(self, key: bytes) -> V:
        result = self._function(key)
        if len(key) <= self._longest:
            if len(self) >= _ENTRIES:
                self.clear()
            self[key] = result
        return result
