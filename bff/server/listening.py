"""Listening on a port, and its end: who has connected is served, and who comes later is refused, not reset."""

import os
import resource
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_ATTACH_FILTER: Final = 26  # SO_ATTACH_FILTER of Linux, which Python does not name
_FLAGS_AT, _SYN = 13, 0x02  # of a TCP header (RFC 9293 §3.1)
_LOAD, _AND, _IF_EQUAL, _RETURN = 0x30, 0x54, 0x15, 0x06  # classic BPF
_MOST_ACCEPTED_IN_A_TURN: Final = 32
_FILES_FOR_ONE: Final = 16
"""How many open files a process must be allowed for each time that it has its listening socket."""
_QUEUED_AT: Final = 24
"""Where `struct tcp_info` of Linux has the length of a listener's queue: it is its `tcpi_unacked` then."""
_NO_SYN: Final = (
    (_LOAD, 0, 0, _FLAGS_AT),
    (_AND, 0, 0, _SYN),
    (_IF_EQUAL, 0, 1, _SYN),
    (_RETURN, 0, 0, 0),
    (_RETURN, 0, 0, 0xFFFFFFFF),
)


@contextmanager
def listening(host: str, port: int, *, setting: str = "--port") -> Iterator[socket.socket]:
    """Listen on a port; 0 takes a free one.

    Raises:
        OSError: the port cannot be had; the message names the `setting` that takes another.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without the protocol's number asyncio leaves Nagle's algorithm on, which costs 40 ms an answer.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()  # two sockets may be bound to one port until one of them listens
        except OSError as error:
            raise OSError(
                f"port {port} of {host} cannot be had ({error.strerror}): {setting} takes another"
            ) from None
        yield listener


def taken_often(listener: socket.socket) -> list[socket.socket]:
    """Return a listening socket so often that enough connections are accepted in a turn of the event loop.

    libuv takes one of each socket in a turn. Under load a turn takes some ten milliseconds, in which hundreds of
    requests are served: who comes new would wait for seconds.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = files == resource.RLIM_INFINITY
    most = _MOST_ACCEPTED_IN_A_TURN if unlimited else min(_MOST_ACCEPTED_IN_A_TURN, files // _FILES_FOR_ONE)
    # `socket.dup` would let every process that shares the socket block in `accept` for a moment.
    others = [os.dup(listener.fileno()) for _ in range(most - 1)]
    return [listener, *(socket.socket(fileno=one) for one in others)]


def let_nobody_in(listener: socket.socket) -> None:
    """Ignore new connections from now on, while those that wait can still be accepted.

    Closing a listener resets what waits in its queue, and there is no call that only ends the queue. A filter drops
    the SYN of who comes later. That client tries again after a second; it is then refused, because nobody listens,
    and a balancer takes another replica. Where the kernel has no such filter, a connection may come in between.
    """
    import ctypes  # noqa: PLC0415 - only the end needs it, and it would make the start longer

    code = b"".join(struct.pack("HBBI", *step) for step in _NO_SYN)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HP", len(_NO_SYN), ctypes.addressof(buffer))
    with suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)


def is_waited_for(listener: socket.socket) -> bool:
    """Return whether somebody has connected and is not accepted yet; False where the kernel does not say."""
    if sys.platform != "linux":
        return False
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _QUEUED_AT + 4)
    return bool(int.from_bytes(info[_QUEUED_AT:], sys.byteorder))
