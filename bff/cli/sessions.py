"""`bff sessions`: what an operator does with customers' sessions, against the configured Redis."""

import sys
from datetime import UTC, datetime

from bff.app import session_index
from bff.config.settings import Settings
from bff.session import ENDED
from bff.store.customer_index import owner_named


async def list_sessions(settings: Settings, customer: str) -> int:
    """Print a customer's sessions, newest first; return the exit code."""
    async with session_index(settings) as (_, index):
        found = await index.of(owner_named(customer))
    for entry in found:
        created, seen = _time(entry.created_at), _time(entry.last_seen_at)
        plain = (entry.user_agent or "-").encode("ascii", "replace").decode()
        agent = "".join(one if one.isprintable() else "?" for one in plain)
        print(f"{entry.ref}  created {created}  seen {seen}  {entry.carrier.value}  {agent}")
    print(f"{len(found)} session(s)", file=sys.stderr)
    return 0


async def end_sessions(settings: Settings, customer: str | None) -> int:
    """End a customer's sessions, or everybody's where None is named; return the exit code."""
    async with session_index(settings) as (store, index):
        if customer is None:
            ended = sum([await store.retire_name(name, ENDED) for name in await store.names()])
        else:
            ended = sum([await index.end(entry, ENDED) for entry in await index.of(owner_named(customer))])
    print(f"{ended} session(s) ended")
    return 0


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
