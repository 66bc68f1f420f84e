"""One run of the simulation."""

from collections.abc import Callable

from bff.store.options import LockTimes
from tests.simulation.ledger import Violation
from tests.simulation.script import play
from tests.simulation.world import World


def run(
    seed: int, *, lock_times: LockTimes | None = None, on_trace: Callable[[str], None] | None = None
) -> Violation | None:
    """Play one seed, and return the first invariant that does not hold; the same seed always does the same.

    Args:
        seed: decides all chances.
        lock_times: of the session locks, where they are not the usual ones.
        on_trace: takes a line for each thing that happens.
    """
    world = World(seed, lock_times=lock_times, on_trace=on_trace)
    try:
        world.loop.run(play(world))
    except Violation as violation:
        return violation
    finally:
        world.end()
    return None
