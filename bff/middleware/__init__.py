"""Layers around every request, pure ASGI."""

from typing import Final

AREAS: Final = ("/auth/", "/api/")
"""Where visitors are served; all else is for operators."""
