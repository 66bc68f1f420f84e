"""Remembered results of pure functions of short arguments, bounded in number and length."""

from collections.abc import Callable, Sized
from typing import Final, TypeVar

K = TypeVar("K", bound=Sized)
V = TypeVar("V")

_ENTRIES: Final = 1024


class Memo(dict[K, V]):
    """A function as a mapping: what was asked before is one lookup. Where it is full, it begins again.

    Args:
        function: depends on its argument alone; what it raises is not remembered.
        longest: a longer argument is not remembered, so that nobody can fill the memory.
        length: measures an argument.
    """

    def __init__(self, function: Callable[[K], V], *, longest: int, length: Callable[[K], int] = len) -> None:
        super().__init__()
        self._function = function
        self._longest = longest
        self._length = length

    def __missing__(self, key: K) -> V:
        result = self._function(key)
        if self._length(key) <= self._longest:
            if len(self) >= _ENTRIES:
                self.clear()
            self[key] = result
        return result
