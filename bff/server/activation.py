"""The listening socket that systemd hands over: it stays while the service restarts, and connections wait on it."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from bff.server.listening import listening

_FIRST_DESCRIPTOR: Final = 3


def handed_over(environ: Mapping[str, str]) -> bool:
    """Say whether a socket was handed to this very process, which the service manager keeps when it ends."""
    return environ.get("LISTEN_PID") == str(os.getpid())


def public_listener(
    environ: Mapping[str, str], host: str, port: int
) -> AbstractContextManager[socket.socket]:
    """Listen on the socket that was handed to this very process (`LISTEN_FDS`), or else on this host and port.

    Raises:
        OSError: the port cannot be had, or more than one socket was handed over.
    """
    if not handed_over(environ):
        return listening(host, port)
    if environ.get("LISTEN_FDS") != "1":
        raise OSError("systemd handed over more or less than one socket: one ListenStream is served")
    return _handed_over()


@contextmanager
def _handed_over() -> Iterator[socket.socket]:
    with socket.socket(fileno=_FIRST_DESCRIPTOR) as listener:
        listener.set_inheritable(False)
        yield listener
