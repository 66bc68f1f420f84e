"""The life of sessions as a Hypothesis machine: its rules are what visitors, the attacker and upstream may do next."""

from typing import ClassVar, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.fuzz.actors import FAULTS, VISITORS, Place, Street, pick
from tests.fuzz.attacks import FOREIGN_PAGES, ON_SESSIONS, from_a_foreign_page
from tests.fuzz.session_values import Op, Session

_PLAIN: Final = (
    *("look", "begin", "refresh", "validate", "sessions", "end others", "sites", "me", "orders", "logout"),
    *("cart", "open cart", "rendered cart", "add", "change password", "mistype password"),
)
OPS: Final = (
    *(Op(name) for name in _PLAIN),
    *(Op(name, who) for name in ("login", "mistype") for who in ("ann", "bob")),
    *(Op("switch", company) for company in ("LE-100", "LE-200", "LE-999", None)),
    *(Op("rename", name) for name in ("A", "B")),
)
PAIRS: Final = (
    *(("login", "me"), ("login", "logout"), ("login", "login"), ("login", "cart"), ("login", "refresh")),
    *(("refresh", "logout"), ("refresh", "refresh"), ("me", "logout"), ("validate", "logout")),
    *(("logout", "logout"), ("switch", "refresh"), ("switch", "logout"), ("end others", "refresh")),
)
"""Requests whose effects at once are those of one after the other.

Not among them: a cart that is filled while it is merged.
"""

_ANY = st.sampled_from(OPS)
_AT = st.integers(0, 99)
_WHO = st.sampled_from(sorted(VISITORS))
_CUSTOMERS: Final = [Op("login", "own")]
_STARTS = st.sampled_from([[], [Op("begin")], [Op("open cart"), Op("add")], _CUSTOMERS, _CUSTOMERS])


class SessionLife(RuleBasedStateMachine):
    """Steps are the visitors' and the attacker's; after each, everybody must be who the model says.

    No rule has a precondition: what is drawn may not depend on who won a race, or Hypothesis could not replay it. A
    step that has no meaning yet is skipped.
    """

    place: ClassVar[Place]

    def __init__(self) -> None:
        super().__init__()
        self.street = Street(self.place)
        self.outage = 0

    @initialize(starts=st.tuples(_STARTS, _STARTS, _STARTS, _STARTS))
    def begins(self, starts: tuple[list[Op], ...]) -> None:
        for who, ops in zip(VISITORS, starts, strict=True):
            for op in ops:
                self.street.does(who, Op(op.name, own_name(who)) if op.about == "own" else op)

    @rule(who=_WHO, op=_ANY)
    def asks(self, who: str, op: Op) -> None:
        self.street.does(who, op)

    @rule(who=_WHO, op=_ANY)
    def asks_again(self, who: str, op: Op) -> None:
        self.street.does(who, op)

    @rule(who=_WHO)
    def logs_in(self, who: str) -> None:
        session = self.street.model.holders[who]
        if session is not None and not session.live:
            self.street.forgets(who)
        self.street.does(who, Op("login", own_name(who)))

    @rule(who=_WHO)
    def logs_out(self, who: str) -> None:
        self.street.does(who, Op("logout"))

    @rule(at=_AT, op=_ANY)
    def an_old_tab_asks(self, at: int, op: Op) -> None:
        session = pick(self.street.dead(), at)
        if session is not None:
            self.street.judged(op, session, session.carrier)

    @rule(who=_WHO, op=_ANY, how=st.sampled_from(sorted(FOREIGN_PAGES)))
    def a_foreign_page_asks(self, who: str, op: Op, how: str) -> None:
        session = self.street.model.holders[who]
        from_a_foreign_page(self.street, session if VISITORS[who] == "cookie" else None, op, how)

    @rule(who=_WHO, op=_ANY, how=st.sampled_from(sorted(ON_SESSIONS)), at=_AT)
    def the_attacker_uses(self, who: str, op: Op, how: str, at: int) -> None:
        session = self.street.model.holders[who] or pick(self.street.dead(), at)
        if session is not None:
            ON_SESSIONS[how](self.street, session, op, at)

    @rule(who=st.sampled_from(["ann", "bob"]), whose=st.sampled_from(["ann", "bob", "mallory"]))
    def a_cookie_is_planted(self, who: str, whose: str) -> None:
        self.street.plants(self.street.model.holders[whose], who)

    @rule(who=st.sampled_from(["ann", "bob", "app"]), whose=st.sampled_from(["ann", "bob", "app", "mallory"]))
    def ends_one(self, who: str, whose: str) -> None:
        session = self.street.model.holders[whose]
        if session is not None and session.live and session.account is not None:
            self.street.does(who, Op("end", self.street.ref(session)))

    @rule(who=_WHO, renewable=st.booleans())
    def upstream_forgets(self, who: str, renewable: bool) -> None:  # noqa: FBT001 - drawn by name
        session = self.street.model.holders[who]
        if session is not None:
            self.street.upstream_forgets(session, renewable=renewable)

    @rule(
        call=st.sampled_from(sorted(FAULTS)), kind=st.sampled_from(["disconnect", "error", "garbage", "html"])
    )
    def upstream_breaks(self, call: str, kind: str) -> None:
        if not self.street.model.faults:
            self.street.breaks(call, "disconnect" if call == "cart" else kind)
            self.outage = 4

    @rule(who=_WHO, pair=st.sampled_from(PAIRS))
    def asks_twice_at_once(self, who: str, pair: tuple[str, str]) -> None:
        session = self.street.model.holders[who]
        if session is not None and may_race(session, pair) and not self.street.model.faults:
            about = {"login": own_name(who), "switch": "LE-100"}
            self.street.at_once(who, *(Op(name, about.get(name)) for name in pair))

    @rule()
    def the_dead_are_forgotten(self) -> None:
        for who, session in self.street.model.holders.items():
            if session is not None and not session.live:
                self.street.forgets(who)

    @invariant()
    def everybody_is_who_they_are(self) -> None:
        self.outage -= 1
        if self.street.model.faults and not self.outage:
            self.street.mends()
        self.street.settled()

    def teardown(self) -> None:
        self.street.mends()
        self.street.sealed()


def own_name(who: str) -> str:
    """Return whose account a visitor has."""
    return "ann" if who == "app" else who


def may_race(session: Session, pair: tuple[str, str]) -> bool:
    """Say whether two requests at once have only the outcomes of one after the other.

    A refused guest is replaced once for all that ask at once, and a guest's read whose token has to be renewed while a
    login goes on is told `session_rotated`: both are right, and neither is what happens one after the other.
    """
    renews = pair[0] == "login" and pair[1] in {"me", "cart"}
    return session.live and session.refresh_good and (session.access_good or not renews)
