"""`make soak`: visitors shop over three replicas while faults strike at random; then the ledger is balanced.

Prints what happened and exits 1 where an answer was wrong, somebody was served what is another's, a session was lost
without a reason, or an answer took over 5 seconds; and where memory, descriptors or keys did not go back.
"""

import argparse
import asyncio
import random  # noqa: TID251 - a walk that can be walked again
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import httpx2

from tests.fuzz.vitals import MIB, Reading, read
from tests.live import Sandbox
from tests.resilience.ground import Fault, Ground
from tests.resilience.ledger import FINDINGS, Ledger, Walker
from tests.resilience.matrix import FAULTS
from tests.resilience.rolling import DRAIN_SECONDS, restart_all
from tests.resilience.servers import program, single
from tests.resilience.shoppers import Shopper, account, client

SHOPPERS: Final = 24
LONGEST_FAULT: Final = 3.0
_NOT_HERE: Final = {"Redis comes back empty", "upstream hangs for long"}
STRIKES: Final = tuple(fault for fault in FAULTS if fault.name not in _NOT_HERE)
"""All faults of the matrix, but for two: one ends every session, the other makes every answer late."""
TOKENS: Final = {
    "anonymousExpiresIn": 20, "customerExpiresIn": 20, "refreshedExpiresIn": 20,
    "anonymousRotation": "tolerant", "customerRotation": "tolerant",
}  # fmt: skip
"""Tokens end soon, so that there are many refreshes; what upstream would keep must then be kept."""
TOMBSTONE_SECONDS: Final = 45


class Soak:
    """One run.

    Args:
        ground: the processes.
        seed: of everything that is left to chance.
    """

    def __init__(self, ground: Ground, seed: int) -> None:
        self.ground = ground
        self.ledger = Ledger()
        self._chance = random.Random(seed)
        self._first: list[Reading] = []

    async def run(self, seconds: float, strikes: tuple[Fault, ...] = STRIKES) -> None:
        """Shop and strike for so long, then balance the ledger."""
        end = time.monotonic() + seconds
        async with client() as http:
            walkers = [Walker(self._shopper(http), self.ledger, self._own_chance()) for _ in range(SHOPPERS)]
            async with asyncio.TaskGroup() as shopping:
                for one in walkers:
                    shopping.create_task(self._walk(one, end))
                await self._strike(strikes, end)
            await asyncio.gather(*(one.audit() for one in walkers))
        await self._keys_go_back()
        self._vitals_go_back()

    def _own_chance(self) -> random.Random:
        return random.Random(self._chance.random())

    def _shopper(self, http: httpx2.AsyncClient) -> Shopper:
        return Shopper(http, self.ground.replicas, account(self.ground.sandbox))

    async def _walk(self, walker: Walker, end: float) -> None:
        while time.monotonic() < end:
            await walker.step()
            await asyncio.sleep(0.1 * self._chance.random())

    async def _strike(self, strikes: tuple[Fault, ...], end: float) -> None:
        warm = time.monotonic() + (end - time.monotonic()) / 10
        while (now := time.monotonic()) < end - LONGEST_FAULT - 1:
            if now > warm and not self._first:
                self._first = self._vitals()
            await asyncio.sleep(1 + 3 * self._chance.random())
            if strikes:
                await self._one(self._chance.choice(strikes))

    async def _one(self, fault: Fault) -> None:
        strike = fault.strike(self.ground)
        self.ledger.counts["faults"] += 1
        self.ledger.faults.append(fault.name)
        await asyncio.to_thread(strike.__enter__)
        await asyncio.sleep(LONGEST_FAULT * self._chance.random())
        await asyncio.to_thread(strike.__exit__, None, None, None)

    def _vitals(self) -> list[Reading]:
        """Read the two replicas that are never killed."""
        return [read(Path(f"/proc/{one.process.pid}")) for one in self.ground.replicas[1:]]

    def _vitals_go_back(self) -> None:
        for first, last in zip(self._first, self._vitals(), strict=False):
            counts = self.ledger.counts
            counts["MiB of a replica"] = max(counts["MiB of a replica"], last.resident // MIB)
            counts["descriptors of a replica"] = max(counts["descriptors of a replica"], last.files)
            if last.resident > first.resident * 3 // 2 + 64 * MIB or last.files > first.files + 64:
                self.ledger.found("wrong", f"a replica has grown: {first} to {last}")

    async def _keys_go_back(self) -> None:
        """Once everybody has logged out, what is left is of those whose answers were lost, and nothing is for ever."""
        orphans = sum(count for name, count in self.ledger.counts.items() if "without an answer" in name)
        orphans += self.ledger.counts["ended: lost"] + self.ledger.counts["ended: crossed"]
        end = time.monotonic() + TOMBSTONE_SECONDS
        left = await asyncio.to_thread(self._sessions)
        while left > orphans and time.monotonic() < end:
            await asyncio.sleep(1)
            left = await asyncio.to_thread(self._sessions)
        self.ledger.counts["sessions left in Redis"] = left
        if left > orphans:
            self.ledger.found("wrong", f"{left} sessions are left in Redis, {orphans} of them accounted for")

    def _sessions(self) -> int:
        with self.ground.redis.client() as redis:
            keys = list(redis.scan_iter(match="bff:*", count=1000))
            endless = [key for key in keys if redis.ttl(key) == -1]
        if endless:
            self.ledger.found("wrong", f"keys without an end: {endless[:3]}")
        return sum(key.endswith(b"}") and b":of:" not in key for key in keys)


def report(ledger: Ledger, seed: int) -> str:
    lines = [f"seed {seed}"]
    lines += [f"{count:8}  {name}" for name, count in sorted(ledger.counts.items())]
    for kind in FINDINGS:
        lines.append(f"{len(ledger.findings[kind]):8}  {kind.upper()}")
        lines += [f"          {what}" for what in ledger.findings[kind][:20]]
    return "\n".join(lines) + "\n"


def soaked(ground: Ground, seconds: float, seed: int) -> bool:
    """Soak and report; say whether all was well."""
    ground.sandbox.control("PATCH", "/knobs", TOKENS)
    soak = Soak(ground, seed)
    asyncio.run(soak.run(seconds))
    sys.stdout.write(report(soak.ledger, seed))
    return soak.ledger.sound


def restarted(ground: Ground, requests: int) -> bool:
    """Restart the replicas one by one behind a balancer and report; say whether nobody noticed."""
    found = asyncio.run(restart_all(ground.replicas, requests))
    for one in ground.replicas:
        one.close()
    sys.stdout.write(f"{dict(found.statuses)}, {found.resets} resets, exit codes {found.codes}\n")
    return set(found.statuses) == {"GET 200", "POST 200"} and not found.resets and not any(found.codes)


def main() -> int:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument(
        "--restarts", type=int, metavar="REQUESTS", help="only restart replicas under so many"
    )
    options = parser.parse_args()
    path = program()
    if path is None:
        parser.error("there is no redis-server or valkey-server here")
    with ExitStack() as ending:
        server, sandbox = ending.enter_context(single(path)), ending.enter_context(Sandbox())
        ground = Ground(
            sandbox, server, ending, BFF_DRAIN_SECONDS=str(DRAIN_SECONDS if options.restarts else 0)
        )
        if options.restarts:
            return 0 if restarted(ground, options.restarts) else 1
        return 0 if soaked(ground, options.seconds, options.seed) else 1


if __name__ == "__main__":
    sys.exit(main())
