"""The fault matrix: what may fail, and what a visitor in each state then gets, how late, and what is kept."""

import dataclasses
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import product
from typing import Any, Final

from tests.integration.visitors import ANONYMOUS_LOGIN, ANONYMOUS_REFRESH, CUSTOMER_LOGIN, CUSTOMER_REFRESH
from tests.resilience.fault_proxy import Mode
from tests.resilience.ground import CUSTOMER_LOGOUT, STATES, WHO, Cell, Fault, Ground, Key
from tests.resilience.servers import RedisServer, until
from tests.resilience.shoppers import CUSTOMER, NEW_GUEST, NOTHING, SESSION

Strike = Callable[[Ground], AbstractContextManager[None]]
Act = Callable[[RedisServer], None]
Row = dict[Key, Cell]
PROMPT: Final = 5.0


def cell(*outcome: int | str, kept: str | tuple[str, ...] = SESSION, seconds: float = PROMPT) -> Cell:
    return Cell(frozenset(outcome), frozenset([kept] if isinstance(kept, str) else kept), seconds)


def line(which: str, mode: Mode) -> Strike:
    """Break the line to the store or to the upstream, until the fault is over."""

    @contextmanager
    def strike(ground: Ground) -> Iterator[None]:
        proxy = getattr(ground, which)
        proxy.turn(mode)
        yield
        proxy.turn(Mode.PASS)

    return strike


def reset(which: str) -> Strike:
    """Reset every connection to the store or to the upstream, once."""

    @contextmanager
    def strike(ground: Ground) -> Iterator[None]:
        assert getattr(ground, which).reset()
        yield

    return strike


@contextmanager
def frozen(ground: Ground) -> Iterator[None]:
    ground.redis.freeze()
    yield
    ground.redis.thaw()


@contextmanager
def killed(ground: Ground) -> Iterator[None]:
    ground.redis.kill()
    yield
    ground.redis.start()


@contextmanager
def emptied(ground: Ground) -> Iterator[None]:
    ground.redis.kill()
    ground.redis.forget()
    ground.redis.start()
    yield


@contextmanager
def without_scripts(ground: Ground) -> Iterator[None]:
    with ground.redis.client() as server:
        server.script_flush()
    yield


@contextmanager
def full(ground: Ground) -> Iterator[None]:
    with ground.redis.client() as server:
        server.config_set("maxmemory", "1")
        yield
        server.config_set("maxmemory", "0")


@contextmanager
def read_only(ground: Ground) -> Iterator[None]:
    """Make it the replica of a server that is not there."""
    with ground.redis.client() as server:
        server.replicaof("127.0.0.1", 1)
        yield
        server.replicaof("NO", "ONE")


def master_killed(ground: Ground) -> AbstractContextManager[None]:
    return _master_away(ground, RedisServer.kill, RedisServer.start)


def master_frozen(ground: Ground) -> AbstractContextManager[None]:
    return _master_away(ground, RedisServer.freeze, RedisServer.thaw)


@contextmanager
def _master_away(ground: Ground, away: Act, back: Act) -> Iterator[None]:
    """Let a master be away until another server has taken its place; it leaves nothing that no replica has."""
    ground.nodes.settle()
    master = ground.nodes.masters()[0]
    away(master)
    yield
    until(lambda: master not in ground.nodes.masters())
    back(master)
    ground.nodes.settle()


@contextmanager
def failed_over(ground: Ground) -> Iterator[None]:
    """Let a replica that has all take its master's place, as an operator who replaces machines does."""
    ground.nodes.settle()
    ground.nodes.fail_over()
    yield
    ground.nodes.settle()


@contextmanager
def replica_killed(ground: Ground) -> Iterator[None]:
    ground.replicas[0].stop(signal.SIGKILL)
    yield
    ground.start_again(0)


def answers(kind: str, *calls: str, **more: Any) -> Strike:
    """Let upstream answer these calls so."""

    @contextmanager
    def strike(ground: Ground) -> Iterator[None]:
        faults = [{"match": call, "kind": kind} | more for call in calls]
        ground.sandbox.control("POST", "/faults", faults)
        yield
        ground.sandbox.control("DELETE", "/faults")

    return strike


SERVED: Final = cell(200)
LOGGED_IN: Final = cell(200, kept=CUSTOMER)
LOGGED_OUT: Final = cell(204, kept=NOTHING)
UNAVAILABLE: Final = cell(503)
WHOLE: Final = cell(200, seconds=30)
BROKEN: Final = cell("cut")
LOGOUT_LATER: Final = cell(503, kept=NOTHING)


def cells(**states: Cell | tuple[Cell, Cell]) -> Row:
    """Return a row: one cell for guests and customers alike, or one for each."""
    row = {}
    for (number, who), state in product(enumerate(WHO), STATES):
        found = states[state.replace(" ", "_")]
        row[who, state] = found[number] if isinstance(found, tuple) else found
    return row


NOTHING_HAPPENS: Final = cells(
    idle=SERVED, renewing=SERVED, logging_in=LOGGED_IN, logging_out=LOGGED_OUT, streaming=WHOLE
)
STORE_IS_AWAY: Final = cells(
    idle=UNAVAILABLE,
    renewing=UNAVAILABLE,
    logging_in=UNAVAILABLE,
    # A customer's logout ends the session here before it asks upstream to.
    logging_out=(LOGOUT_LATER, LOGGED_OUT),
    streaming=WHOLE,
)
STORE_BREAKS_OFF: Final = STORE_IS_AWAY | {(who, "idle"): cell(200, 503) for who in WHO}
"""Several sessions are read over one connection: the half that still arrives may be one of them, whole."""
STORE_TAKES_NO_WRITES: Final = STORE_IS_AWAY | {(who, "idle"): SERVED for who in WHO}
STORE_IS_FULL: Final = STORE_TAKES_NO_WRITES | {(who, "renewing"): SERVED for who in WHO}
"""A refresh that upstream has answered is stored all the same: its write begins with what makes room."""
STORE_HAS_FORGOTTEN: Final = cells(
    idle=cell(200, kept=NEW_GUEST),
    renewing=cell(401, kept=(NOTHING, NEW_GUEST)),
    logging_in=cell(401, kept=(NOTHING, NEW_GUEST)),
    logging_out=LOGGED_OUT,
    streaming=cell(200, kept=NEW_GUEST, seconds=30),
)
CALL_IS_LOST: Final = cells(
    idle=SERVED, renewing=UNAVAILABLE, logging_in=UNAVAILABLE, logging_out=LOGGED_OUT, streaming=BROKEN
)
"""A read is sent again; what may have used up a refresh token, or logged in, is not."""
ANSWERS_ARE_BROKEN: Final = cells(
    idle=cell(502, 503, "cut", "lost"),
    renewing=UNAVAILABLE,
    logging_in=cell(502, 503),
    logging_out=LOGGED_OUT,
    streaming=BROKEN,
)
TOKEN_CALLS_FAIL: Final = cells(
    idle=SERVED, renewing=UNAVAILABLE, logging_in=UNAVAILABLE, logging_out=LOGGED_OUT, streaming=WHOLE
)
REPLICA_IS_GONE: Final = cells(
    idle=cell("lost"),
    renewing=cell("lost"),
    logging_in=cell("lost"),
    logging_out=cell("lost", kept=NOTHING),
    streaming=BROKEN,
)
TOKEN_IS_LOST: Final = {
    ("guest", "renewing"): NEW_GUEST,
    ("customer", "renewing"): NOTHING,
}
"""Where a refresh token is good once, and the answer to the refresh was lost: an honest end."""


def ending(row: Row) -> Row:
    """Return a row in which those who lost their only refresh token lose their session."""
    return {
        key: dataclasses.replace(one, kept=frozenset([TOKEN_IS_LOST[key]])) if key in TOKEN_IS_LOST else one
        for key, one in row.items()
    }


HUNG_SECONDS: Final = 12.0
UPSTREAM_HANGS: Final = cells(
    # A read waits; a refresh answers after 5 seconds and goes on, a login fails after 10, a logout waits for 3.
    idle=cell(200, seconds=HUNG_SECONDS + PROMPT),
    renewing=cell(503, seconds=5 + PROMPT),
    logging_in=cell(504, seconds=10 + PROMPT),
    logging_out=cell(204, kept=NOTHING, seconds=3 + PROMPT),
    streaming=WHOLE,
)
"""Upstream is silent for so long, and then goes on where it was."""


TOKEN_CALLS: Final = (ANONYMOUS_LOGIN, ANONYMOUS_REFRESH, CUSTOMER_LOGIN, CUSTOMER_REFRESH, CUSTOMER_LOGOUT)


def refusing(kind: str, row: Row = TOKEN_CALLS_FAIL, **more: Any) -> Fault:
    name = f"every token call is answered {more.get('status', kind)}"
    return Fault(name, answers(kind, *TOKEN_CALLS, **more), row, under_way=False)


THROTTLED: Final = TOKEN_CALLS_FAIL | {(who, "logging in"): cell(429) for who in WHO}

FAULTS: Final = (
    Fault("Redis resets every connection", reset("store"), NOTHING_HAPPENS, small=True),
    Fault("the line to Redis hangs", line("store", Mode.HUNG), STORE_IS_AWAY, small=True),
    Fault("the line to Redis is slow", line("store", Mode.SLOW), NOTHING_HAPPENS),
    Fault("answers of Redis are cut", line("store", Mode.CUT), STORE_BREAKS_OFF),
    Fault("Redis closes its side", line("store", Mode.HALF_CLOSED), STORE_IS_AWAY),
    Fault("Redis answers garbage", line("store", Mode.GARBAGE), STORE_IS_AWAY),
    Fault("nobody listens for Redis", line("store", Mode.REFUSED), STORE_IS_AWAY),
    Fault("Redis is frozen", frozen, STORE_IS_AWAY),
    Fault("Redis is killed and comes back", killed, STORE_IS_AWAY),
    Fault("Redis forgets its scripts", without_scripts, NOTHING_HAPPENS),
    Fault("Redis is full", full, STORE_IS_FULL, small=True),
    Fault("Redis is read-only", read_only, STORE_TAKES_NO_WRITES),
    Fault("Redis comes back empty", emptied, STORE_HAS_FORGOTTEN),
    Fault("a replica is killed", replica_killed, REPLICA_IS_GONE, rotation="tolerant", small=True),
    Fault("a replica is killed, and refresh tokens are good once", replica_killed, ending(REPLICA_IS_GONE)),
    Fault("upstream resets", reset("upstream"), CALL_IS_LOST, rotation="tolerant", small=True),
    Fault("upstream resets, and refresh tokens are good once", reset("upstream"), ending(CALL_IS_LOST)),
    Fault(
        "upstream hangs for a moment",
        line("upstream", Mode.HUNG),
        NOTHING_HAPPENS,
        rotation="tolerant",
        longest=2,
    ),
    Fault(
        "upstream hangs for long",
        line("upstream", Mode.HUNG),
        UPSTREAM_HANGS,
        rotation="tolerant",
        longest=HUNG_SECONDS,
    ),
    Fault("upstream is slow", line("upstream", Mode.SLOW), NOTHING_HAPPENS),
    Fault("answers of upstream are cut", line("upstream", Mode.CUT), ANSWERS_ARE_BROKEN, rotation="tolerant"),
    Fault(
        "upstream closes its side",
        line("upstream", Mode.HALF_CLOSED),
        ANSWERS_ARE_BROKEN,
        rotation="tolerant",
    ),
    Fault(
        "upstream answers garbage", line("upstream", Mode.GARBAGE), ANSWERS_ARE_BROKEN, rotation="tolerant"
    ),
    Fault(
        "nobody listens for upstream",
        line("upstream", Mode.REFUSED),
        CALL_IS_LOST | {(who, "idle"): UNAVAILABLE for who in WHO},
        rotation="tolerant",
    ),
    refusing("throttled", THROTTLED, status=429),
    refusing("error", status=500),
    refusing("error", status=503),
    refusing("html"),
    refusing("garbage", TOKEN_CALLS_FAIL | {(who, "logging in"): cell(502, 503) for who in WHO}),
)

STORE_MOVES: Final = cells(
    idle=cell(200, 503),
    renewing=cell(200, 503),
    logging_in=cell(200, 503, kept=(SESSION, CUSTOMER)),
    logging_out=cell(204, 503, kept=NOTHING),
    streaming=WHOLE,
)

FAILOVERS: Final = (
    Fault("the master is killed", master_killed, STORE_MOVES),
    Fault("the master is frozen", master_frozen, STORE_MOVES),
    Fault("the master is changed", failed_over, STORE_MOVES),
)

ON_VALKEY: Final = tuple(fault for fault in FAULTS if "Redis" in fault.name)
