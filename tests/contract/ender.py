"""A process of its own that ends sessions as fast as it can: `python -m tests.contract.ender URL TENANT`.

It reads record names in hexadecimal, one a line, and repeats each once its session has ended.
"""

import asyncio
import sys

from bff.session import EndReason
from tests.contract.replicas import Replicas


async def main(url: str, tenant: str) -> None:
    async with Replicas(url, tenant=tenant) as replicas:
        store = replicas.open().store
        for line in sys.stdin.read().split():
            assert await store.retire_name(bytes.fromhex(line), EndReason.ENDED)
            print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
