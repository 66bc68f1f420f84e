"""Which backend a URL names. A new backend is a file that opens it and a line in `_BACKENDS`."""

from collections.abc import Callable
from typing import Final

from bff.security.keyring import KeyRing
from bff.security.secret import Secret
from bff.store.connection import REDIS_SCHEMES
from bff.store.options import LockTimes, Rates, Sources, StoreOptions
from bff.store.protocol import Backend
from bff.store.redis_backend import open_redis_backend

__all__ = ["Backend", "LockTimes", "Rates", "Sources", "StoreOptions", "open_backend"]

_BACKENDS: Final[dict[str, Callable[[Secret, KeyRing, StoreOptions, Sources], Backend]]] = {
    **dict.fromkeys(REDIS_SCHEMES, open_redis_backend),
}
"""By the scheme of the URL."""


def open_backend(url: Secret, ring: KeyRing, options: StoreOptions, sources: Sources) -> Backend:
    """Return the backend of a URL; nothing is connected yet.

    Args:
        url: where the data is; the scheme says which kind of backend.
        ring: the server's keys.
        options: the tenant, lifetimes and rates.
        sources: where time and randomness come from.

    Raises:
        ValueError: the URL is none of a known backend.
    """
    scheme = url.reveal().partition("://")[0]
    if scheme not in _BACKENDS:
        raise ValueError("the URL names no backend that is known here")
    return _BACKENDS[scheme](url, ring, options, sources)
