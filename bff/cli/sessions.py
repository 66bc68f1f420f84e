"""`bff sessions`: what an operator does with customers' sessions, against the configured Redis."""

import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from bff.config.settings import Settings
from bff.session import EndReason
from bff.store.backend import Backend
from bff.wiring import key_ring, session_backend


async def list_sessions(settings: Settings, customer: str) -> int:
    """Print a customer's sessions, newest first; return the exit code."""
    async with opened_backend(settings) as backend:
        found = await backend.customers.by_email(customer)
    for entry in found:
        created, seen = _time(entry.created_at), _time(entry.last_seen_at)
        plain = (entry.user_agent or "-").encode("ascii", "replace").decode()
        agent = "".join(one if one.isprintable() else "?" for one in plain)
        print(f"{entry.ref}  created {created}  seen {seen}  {entry.carrier.value}  {agent}")
    print(f"{len(found)} session(s)", file=sys.stderr)
    return 0


async def end_sessions(settings: Settings, customer: str | None) -> int:
    """End a customer's sessions, or everybody's where None is named; return the exit code."""
    async with opened_backend(settings) as backend:
        store, index = backend.store, backend.customers
        if customer is None:
            ended = sum([await store.retire_name(name, EndReason.ENDED) for name in await store.names()])
        else:
            entries = await index.by_email(customer)
            ended = sum([await index.end(entry, EndReason.ENDED) for entry in entries])
    print(f"{ended} session(s) ended")
    return 0


@asynccontextmanager
async def opened_backend(settings: Settings) -> AsyncIterator[Backend]:
    """Open the configured store for one command, and close it after."""
    clock = time.time  # noqa: TID251 - the commands' wall clock
    ring = key_ring(settings, secrets.token_bytes)
    backend = session_backend(settings, ring, clock=clock, random_bytes=secrets.token_bytes)
    try:
        yield backend
    finally:
        await backend.aclose()


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
