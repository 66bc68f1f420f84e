"""`bff check --live`: whether Redis and the upstream are what the configuration says."""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing

from bff.cli.sessions import opened_backend
from bff.config.settings import Settings
from bff.emporix.auth import EmporixAuth
from bff.emporix.refusals import AnonymousLoginRefused
from bff.errors import BffError
from bff.session import GuestContext
from bff.store.diagnosis import connection_mistake, persistence_warning
from bff.store.trial import rights_mistake
from bff.upstream.httpx_client import HttpxClient
from bff.upstream.options import TOKEN_CALLS
from bff.upstream.token_calls import TokenCallClient


async def mistakes(settings: Settings) -> list[str]:
    """Return every mistake that connecting shows, each with the setting that it is about. No secret is named."""
    return [mistake async for mistake in _all_mistakes(settings)]


async def warnings(settings: Settings) -> list[str]:
    """Return what works and may still not be meant."""
    found = await persistence_warning(settings.redis_url)
    return [] if found is None else [f"BFF_REDIS_URL: {found}"]


async def _all_mistakes(settings: Settings) -> AsyncIterator[str]:
    unreachable = await connection_mistake(settings.redis_url)
    if unreachable is not None:
        yield f"BFF_REDIS_URL: Redis {unreachable}"
    else:
        async with opened_backend(settings) as backend:
            unusable = await rights_mistake(backend, time.time())  # noqa: TID251 - a command's own clock
            if unusable is not None:
                yield f"BFF_REDIS_URL: Redis {unusable}; see operations.md"
    refused = await _upstream_mistake(settings)
    if refused is not None:
        yield refused


async def _upstream_mistake(settings: Settings) -> str | None:
    """Log in anonymously once, which needs the address, the tenant and the client id to be right."""
    client = TokenCallClient(HttpxClient(settings.upstream_url, TOKEN_CALLS))
    emporix = EmporixAuth(
        client,
        tenant=settings.tenant,
        client_id=settings.client_id,
        clock=time.time,  # noqa: TID251
    )
    async with aclosing(client):
        try:
            await emporix.anonymous_login(GuestContext(site_code=settings.site_code))
        except AnonymousLoginRefused:
            return "BFF_TENANT, BFF_CLIENT_ID: Emporix refuses an anonymous login for them"
        except BffError as error:
            return f"BFF_UPSTREAM_URL: no anonymous login there: {error.title} ({error.log_detail})"
    return None
