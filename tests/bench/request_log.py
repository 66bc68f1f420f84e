"""How many requests the proxy has logged: its log is read once, and not again from the beginning."""

from pathlib import Path

_REQUEST = b'"event": "request"'


class RequestLog:
    """Counts the lines about requests in a file that grows.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._count = 0

    def count(self) -> int:
        """Return how many whole lines about requests there are by now."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        self._count += whole.count(_REQUEST)
        return self._count
