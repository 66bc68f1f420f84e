"""Existing Emporix clients in drop-in mode: how their calls differ from those of a storefront that knows the proxy."""

from starlette.types import Scope


def is_stock_client(scope: Scope) -> bool:
    """Return whether a call comes from an existing client: it sends the placeholder that it was given for a token.

    A page that knows the proxy sends `X-CSRF` alone, also where its neighbours are still as they were.
    """
    return any(name == b"authorization" for name, _ in scope["headers"])


def remove_trailing_slash(scope: Scope) -> None:
    """Take one trailing slash off the raw path of a call, which is what is matched and sent."""
    scope["raw_path"] = scope["raw_path"].removesuffix(b"/")
