"""Values that do not change: the type check sees frozen dataclasses, and making one costs what any other class does.

A frozen dataclass goes past its own guard for each field: of reading a session, that was the dearest part. Here the
type check alone refuses an assignment. A value is hashed as a frozen one is.
"""

from typing import TYPE_CHECKING, Any

__all__ = ["value"]

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:
    from dataclasses import dataclass

    def value(*, frozen: bool, slots: bool) -> Any:
        """Return what makes a class one of values; `frozen` says so to the type check."""
        assert frozen
        return dataclass(slots=slots, unsafe_hash=True)
