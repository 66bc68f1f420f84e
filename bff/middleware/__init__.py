"""Layers around every request, pure ASGI."""

from typing import Final

AREAS: Final = ("/auth/", "/api/")
"""Where visitors have sessions; what is elsewhere knows of none."""
