"""`bff sessions`: what an operator does with customers' sessions, against the configured Redis."""

import getpass
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from bff.config.settings import Settings
from bff.session import EndReason
from bff.sessions.audit import Audit
from bff.store.backend import Backend
from bff.store.protocol import CustomerIndex, OwnSession
from bff.wiring import key_ring, session_backend

AMBIGUOUS: Final = 2


async def list_sessions(settings: Settings, customer: str) -> int:
    """Print a customer's sessions, newest first; return the exit code.

    Where an address is of several customers, each has its own list, headed by the customer's number.
    """
    async with opened_backend(settings) as backend:
        found = await _found(backend.customers, customer)
    numbers = _numbers(found)
    for number in numbers:
        if len(numbers) > 1:
            print(f"customer {number or 'without a known number'}")
        _print([entry for entry in found if entry.number == number])
    print(f"{len(found)} session(s)", file=sys.stderr)
    return 0


def _print(entries: list[OwnSession]) -> None:
    for entry in entries:
        created, seen = _time(entry.created_at), _time(entry.last_seen_at)
        plain = (entry.user_agent or "-").encode("ascii", "replace").decode()
        agent = "".join(one if one.isprintable() else "?" for one in plain)
        print(f"{entry.ref}  created {created}  seen {seen}  {entry.carrier.value}  {agent}")


async def end_sessions(settings: Settings, customer: str | None) -> int:
    """End a customer's sessions, or everybody's where None is named; return the exit code.

    Where an address is of several customers, none is ended: the operator says which by the number.
    """
    audit = Audit(key_ring(settings, secrets.token_bytes), plain=settings.log_accounts == "plain")
    async with opened_backend(settings) as backend:
        store, index = backend.store, backend.customers
        if customer is None:
            ended = sum([await store.retire_name(name, EndReason.ENDED) for name in await store.names()])
            audit.all_ended_by_operator(_operator(), ended)
        else:
            entries = await _found(index, customer)
            if len(known := [number for number in _numbers(entries) if number is not None]) > 1:
                print(
                    f"several customers have had this address: name one of {', '.join(known)}",
                    file=sys.stderr,
                )
                return AMBIGUOUS
            ended = 0
            for entry in entries:
                if await index.end(entry, EndReason.ENDED):
                    audit.ended_by_operator(_operator(), entry.ref, entry.number)
                    ended += 1
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


async def _found(index: CustomerIndex, customer: str) -> list[OwnSession]:
    """Return the sessions of a customer, who is named by an address or by a number."""
    return await (index.by_email(customer) if "@" in customer else index.by_number(customer))


def _numbers(entries: list[OwnSession]) -> list[str | None]:
    """Return whose sessions these are, each customer once."""
    return list(dict.fromkeys(entry.number for entry in entries))


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _operator() -> str:
    """Return who runs this command; a container need not have a name for its user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
