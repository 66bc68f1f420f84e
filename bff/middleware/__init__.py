"""Layers around every request, pure ASGI."""

from typing import Final

AREAS: Final = ("/auth/", "/api/")
"""Where visitors have sessions; what is elsewhere knows of none."""

BODY_FOLLOWS: Final = "bff.body_follows"
"""Set in a response's start by who sends its body in the same turn of the event loop."""
