"""What a client's connection is waiting for."""

from enum import Enum, auto


class Phase(Enum):
    """What the connection is waiting for."""

    IDLE = auto()  # the next request
    HEAD = auto()  # the rest of a request head
    BODY = auto()  # the rest of a request body
    DISCARD = auto()  # the rest of a request body that was answered before its end
    RESPONSE = auto()  # the application's response
    CLOSING = auto()  # the client to close the connection; whatever it still sends is ignored
