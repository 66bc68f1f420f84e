"""The files that `BFF_…_FILE` variables name, watched for other content while the proxy runs."""

import os
import stat
from collections.abc import Mapping
from typing import Final

from bff.config.settings import VARIABLES

_RELOADED: Final = ("BFF_KEYS", "BFF_REDIS_URL")
_ROUTES: Final = "BFF_ROUTES_FILE"

Mark = tuple[tuple[int, ...] | None, ...]


class SettingsFiles:
    """Says when one of the files has changed, and changes no more: half of a list of keys is a list of keys, too.

    Args:
        environ: names the files; see `bff.config.settings`.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        names = [variable.file for variable in VARIABLES if variable.name in _RELOADED]
        names.append(_ROUTES)
        self._paths = [path for path in map(environ.get, names) if path]
        self.note()

    def note(self) -> None:
        """Take the files as they are now for known: they are about to be read."""
        self._known = self._seen = self._mark()

    def changed(self) -> bool:
        """Return whether the files are others than at the last change, and the same as at the last call."""
        earlier, self._seen = self._seen, self._mark()
        if self._seen == self._known or self._seen != earlier:
            return False
        self._known = self._seen
        return True

    def _mark(self) -> Mark:
        return tuple(map(_mark_of, self._paths))


def _mark_of(path: str) -> tuple[int, ...] | None:
    """Return what is another with other content; None for what is not there, or can be read once only."""
    try:
        status = os.stat(path)  # noqa: PTH116 - through links: Kubernetes changes where one leads
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
