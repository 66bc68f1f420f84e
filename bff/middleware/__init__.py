"""Layers around every request, pure ASGI."""

from typing import Final

AREAS: Final = ("/auth/", "/api/")
"""Where visitors have sessions; what is elsewhere knows of none."""

READ_FIELDS: Final = "bff.fields"
"""A key of a request's scope: what a server has read of its header fields, see `bff.middleware.header_fields`."""

WHOLE_BODY: Final = "bff.body"
"""An ASGI extension: a response's start may bring the whole body, after which nothing is sent any more.

Inside the request layer every server has it.
"""
