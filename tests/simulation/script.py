"""What the visitors of one run do: a script that the seed writes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from bff.api.token_kinds import TokenKind, call_credentials
from bff.deadline import DEADLINE_SECONDS, deadline_in
from bff.errors import BffError, NoSession, SessionExpired, SessionRotated
from bff.security.secret import Secret
from bff.session import Carrier, GuestContext, SessionKind, Ticket
from bff.sessions.endings import reject_ended
from bff.sessions.engine import Engine
from bff.sessions.request_session import RequestSession
from tests.simulation.emporix_client import VISITOR
from tests.simulation.emporix_server import COMPANIES
from tests.simulation.ledger import LATE_SECONDS, Invariant, Visitor, Wish
from tests.simulation.replica import Replica
from tests.simulation.world import World

_PATIENCE_SECONDS: Final = 120.0
_TRIES: Final = 3

_UNANSWERED_SECONDS: Final = 60.0
"""So long, what a client no longer waits for may still be done."""
_HEALING_SECONDS: Final = 45.0

Action = Callable[[World, Visitor, Engine, RequestSession], Awaitable[object]]


async def api(_world: World, _visitor: Visitor, engine: Engine, session: RequestSession) -> None:
    await call_credentials(TokenKind.SESSION, session, engine, live_only=False)


async def catalogue(_world: World, _visitor: Visitor, engine: Engine, session: RequestSession) -> None:
    await call_credentials(TokenKind.PUBLIC, session, engine, live_only=False)


async def refresh(_world: World, _visitor: Visitor, engine: Engine, session: RequestSession) -> None:
    reject_ended(session)
    await engine.lifecycle.refresh_on_request(session)


async def validate(_world: World, _visitor: Visitor, engine: Engine, session: RequestSession) -> None:
    reject_ended(session)
    await engine.lifecycle.validate(session)


async def log_in(_world: World, visitor: Visitor, engine: Engine, session: RequestSession) -> None:
    await engine.login.login(session, visitor.email, Secret(f"password of {visitor.email}"))


async def mistype(_world: World, visitor: Visitor, engine: Engine, session: RequestSession) -> None:
    await engine.login.login(session, visitor.email, Secret("another"))


async def log_out(_world: World, _visitor: Visitor, engine: Engine, session: RequestSession) -> None:
    await engine.lifecycle.logout(session)


async def end_others(_world: World, _visitor: Visitor, engine: Engine, session: RequestSession) -> None:
    reject_ended(session)
    await engine.own_sessions.end_others(session)


async def switch(world: World, _visitor: Visitor, engine: Engine, session: RequestSession) -> None:
    reject_ended(session)
    companies = [None, *COMPANIES, "nobody's"]
    await engine.legal_entity.switch(session, companies[world.choices.pick(len(companies))])


async def as_guest(_world: World, _visitor: Visitor, engine: Engine, session: RequestSession) -> None:
    reject_ended(session)
    await engine.lifecycle.ensure_guest(session, GuestContext())


_ACTIONS: Final[dict[Action, int]] = {
    api: 40,
    catalogue: 5,
    refresh: 30,
    validate: 4,
    log_in: 12,
    mistype: 3,
    log_out: 4,
    end_others: 2,
    switch: 8,
}
_SAFE: Final = frozenset({catalogue})


async def play(world: World) -> None:
    """Play the script, then let everything heal, and look whether everybody is served."""
    choices = world.choices
    names = [f"visitor {number}" for number in range(1 + choices.pick(3))]
    visitors = [Visitor(name, f"{chr(97 + number // 2)}@shop.example") for number, name in enumerate(names)]
    world.ledger.visitors = {visitor.name: visitor for visitor in visitors}
    await asyncio.gather(*(_visit(world, visitor) for visitor in visitors))
    choices.calm = True
    await asyncio.sleep(_HEALING_SECONDS)
    for visitor in visitors:
        for replica in world.replicas:
            assert replica is not None
            await _request(world, visitor, api, *replica, visitor.ticket, healed=True)
    world.ledger.check()


async def _visit(world: World, visitor: Visitor) -> None:
    choices = world.choices
    VISITOR.set(visitor.name)
    actions = dict(_ACTIONS) | ({as_guest: 8} if world.policy.keeps_guests else {})
    for _ in range(3 + choices.pick(6)):
        await asyncio.sleep(_pause(world))
        if choices.chance(0.05):
            _forget(world, visitor)
        burst = 1 if choices.chance(0.6) else 2 + choices.pick(3)
        action = choices.random.choices(list(actions), list(actions.values()))[0]
        others = [action if choices.chance(0.7) else api for _ in range(burst - 1)]
        await asyncio.gather(*(_anywhere(world, visitor, each) for each in [action, *others]))


def _pause(world: World) -> float:
    kind = world.choices.random.random()
    if kind < 0.6:
        return world.choices.between(0.0, 0.5)
    return world.choices.between(0.0, 5.0 if kind < 0.8 else 300.0)


def _forget(world: World, visitor: Visitor) -> None:
    """Let Emporix end what it has of a visitor."""
    chains = [chain for chain in world.emporix.chains if chain.visitor == visitor.name and not chain.ended]
    if chains:
        world.trace(f"Emporix ends {chains[-1].session_id} of {visitor.name}")
        chains[-1].ended = True


async def _anywhere(world: World, visitor: Visitor, action: Action) -> None:
    """Send a request to one of the replicas that are there, and again where it could not be served."""
    await asyncio.sleep(world.choices.between(0.0, 0.1))
    for _ in range(_TRIES):
        there = [replica for replica in world.replicas if replica is not None]
        if there:
            replica, engine = there[world.choices.pick(len(there))]
            if await _request(world, visitor, action, replica, engine, visitor.ticket):
                return
        await asyncio.sleep(world.choices.between(0.2, 3.0))


async def _request(
    world: World,
    visitor: Visitor,
    action: Action,
    replica: Replica,
    engine: Engine,
    carried: Ticket | None,
    *,
    healed: bool = False,
) -> bool:
    """Send one request, wait for its answer, and take from it what a browser would; return whether it was served."""
    VISITOR.set(visitor.name)
    session = RequestSession(Carrier.COOKIE, visitor.name, "browser", carried=carried)
    ended_before, guest = set(world.ledger.ended), _is_live_guest(world, carried)
    begun_at = world.loop.time()
    wish = _wish(world, visitor, action)
    wish.begin()
    task = replica.start(_served(world, visitor, action, engine, session))
    patience = (
        world.choices.between(0.0, 3.0) if world.choices.chance(0.04) and not healed else _PATIENCE_SECONDS
    )
    await asyncio.wait({task, replica.gone}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    late = LATE_SECONDS if task.done() else _UNANSWERED_SECONDS
    wish.end(world.loop.time() + late)
    if not task.done():
        world.trace(f"{visitor.name} gets no answer to {action.__name__} from {replica}")
        if patience == _PATIENCE_SECONDS and replica.running:
            world.ledger.violate(Invariant.NO_SURPRISE, f"{action.__name__} takes for ever")
        task.cancel()
        return False
    error = task.exception()
    world.trace(f"{visitor.name} {action.__name__} on {replica}: {type(error).__name__ if error else 'ok'}")
    _take(world, visitor, session)
    if error is None:
        world.ledger.answered(visitor, session, ended_before)
        return True
    _check_error(world, visitor, action, error, healed=healed)
    if (
        guest
        and _ends(error)
        and not visitor.ending.stands(begun_at)
        and not visitor.rotating.stands(begun_at)
    ):
        world.ledger.violate(Invariant.GUEST_GOES_ON, f"{visitor.name} got {type(error).__name__}")
    return isinstance(error, BffError) and error.status < 500


def _check_error(
    world: World, visitor: Visitor, action: Action, error: BaseException, *, healed: bool
) -> None:
    what = f"{visitor.name} {action.__name__}: {error!r}"
    if not isinstance(error, BffError):
        world.ledger.violate(Invariant.NO_SURPRISE, what)
    elif error.status >= 500 and (healed or world.choices.quiet):
        world.ledger.violate(Invariant.IT_HEALS, f"{what} {error.log_detail}")


def _take(world: World, visitor: Visitor, session: RequestSession) -> None:
    """Take the cookie of an answer."""
    if session.issued is not None:
        visitor.ticket = session.issued.ticket
        world.ledger.issued.add(visitor.ticket.record_name)
    elif session.cleared:
        visitor.ticket = None


def _wish(world: World, visitor: Visitor, action: Action) -> Wish:
    """Return what a request asks for, where that may end sessions."""
    if action is log_out:
        return visitor.ending
    if action is log_in:
        return visitor.rotating
    return world.ledger.customers_ending[f"customer-{visitor.email}"] if action is end_others else Wish()


def _is_live_guest(world: World, ticket: Ticket | None) -> bool:
    """Say whether a ticket is that of a guest whose session stands."""
    if ticket is None or ticket.record_name in world.ledger.ended:
        return False
    record = world.ledger.records.get(ticket.record_name)
    return record is not None and record.session.kind is SessionKind.ANONYMOUS


def _ends(error: BaseException) -> bool:
    return isinstance(error, NoSession | SessionExpired | SessionRotated)


async def _served(
    world: World, visitor: Visitor, action: Action, engine: Engine, session: RequestSession
) -> None:
    with deadline_in(DEADLINE_SECONDS):
        if action is not log_out:
            await engine.lifecycle.load(session, safe=action in _SAFE)
        await action(world, visitor, engine, session)
