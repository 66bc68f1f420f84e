"""Two browsers, an app and an attacker live through sessions, and a model of the contract watches over every answer."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from bff.config.embedded_redis import EmbeddedRedis
from tests.fuzz import profiles
from tests.fuzz.actors import FAULTS, Place, Street
from tests.fuzz.attacks import FOREIGN_PAGES, ON_SESSIONS, from_a_foreign_page
from tests.fuzz.session_life import OPS, PAIRS, SessionLife, may_race, own_name
from tests.fuzz.session_values import Op, Session, fields_of, request
from tests.live import LiveProxy, Sandbox, environment

_EXAMPLES, _STEPS = 12, 30
_UNSHRUNK = (
    Phase.explicit,
    Phase.reuse,
    Phase.generate,
)  # shrinking takes minutes, and pytest's patience ends before


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A proxy of this file's own, with two workers: its sandbox begins anew with every example."""
    with (
        Sandbox() as sandbox,
        EmbeddedRedis.start(tmp_path_factory.mktemp("redis")) as own,
        LiveProxy(environment(sandbox, own.url, BFF_SITE_CODE="main"), "--workers", "2", group=True) as proxy,
    ):
        place = Place(sandbox, proxy, own.url)
        yield place
        place.client.close()


@pytest.fixture
def street(place: Place) -> Iterator[Street]:
    street = Street(place)
    yield street
    street.mends()
    street.settled()
    street.sealed()


def walk(street: Street, who: str, *ops: Op) -> None:
    """Let a visitor ask one thing after the other; everybody is looked at after each."""
    for op in ops:
        street.does(who, op)
        street.settled()


def held(street: Street, who: str) -> Session:
    session = street.model.holders[who]
    assert session is not None
    return session


def test_sessions_are_as_the_contract_says_whatever_visitors_do(place: Place) -> None:
    bounded = settings(
        profiles.budget(_EXAMPLES),
        stateful_step_count=_STEPS,
        report_multiple_bugs=False,
        phases=tuple(Phase) if profiles.SECONDS else _UNSHRUNK,
    )
    machine = type("SessionLife", (SessionLife,), {"place": place})
    place.reached.clear()
    for _ in profiles.rounds():
        run_state_machine_as_test(machine, settings=bounded)
    reached = " ".join(place.reached)
    for sign in ("login: ok", "logout: ok", "late refresh: session_rotated", "late me: ok", "attack:", " + "):
        assert sign in reached, place.reached


@pytest.mark.parametrize("who", ["ann", "app"])
def test_a_visitor_goes_the_whole_way(street: Street, who: str) -> None:
    walk(street, who, Op("look"), Op("logout"), Op("sites"), Op("rendered cart"), Op("orders"))
    walk(street, who, Op("open cart"), Op("add"), Op("rendered cart"))
    walk(
        street,
        who,
        Op("mistype", "ann"),
        Op("switch", "LE-100"),
        Op("orders"),
        Op("sessions"),
        Op("validate"),
    )
    walk(street, who, Op("login", "ann"), Op("cart"), Op("add"), Op("me"), Op("rename", "A"), Op("me"))
    walk(
        street, who, Op("switch", "LE-100"), Op("switch", "LE-999"), Op("refresh"), Op("validate"), Op("cart")
    )
    walk(street, who, Op("mistype password"), Op("change password"), Op("orders"), Op("sessions"))
    walk(street, who, Op("logout"), Op("logout"))
    street.forgets(who)
    walk(street, who, Op("cart"), Op("login", "ann"), Op("cart"), Op("logout"))


def test_a_customer_who_logs_in_again_is_ended_first(street: Street) -> None:
    walk(street, "ann", Op("login", "ann"), Op("login", "bob"), Op("mistype", "ann"), Op("login", "ann"))


def test_a_planted_guest_leads_the_attacker_nowhere(street: Street) -> None:
    walk(street, "mallory", Op("open cart"), Op("add"))
    street.plants(held(street, "mallory"), "ann")
    walk(street, "ann", Op("cart"), Op("login", "ann"), Op("me"))
    walk(street, "mallory", Op("me"), Op("cart"), Op("refresh"), Op("login", "mallory"), Op("logout"))
    walk(street, "ann", Op("me"), Op("logout"))


def test_a_planted_customer_is_nobody_after_a_login(street: Street) -> None:
    walk(street, "mallory", Op("login", "mallory"), Op("open cart"))
    street.plants(held(street, "mallory"), "bob")
    walk(street, "bob", Op("login", "bob"), Op("me"), Op("open cart"))
    walk(street, "mallory", Op("me"), Op("refresh"))


@pytest.mark.parametrize("renewable", [True, False], ids=["renewable", "refused"])
def test_what_upstream_forgets_is_renewed_or_ends(street: Street, renewable: bool) -> None:  # noqa: FBT001
    for op, first in itertools.product(OPS, (Op("open cart"), Op("login", "bob"))):
        street.forgets("bob")
        walk(street, "bob", first)
        if renewable or op.name != "switch":
            street.upstream_forgets(held(street, "bob"), renewable=renewable)
        walk(street, "bob", op)


@pytest.mark.parametrize("call", sorted(FAULTS))
def test_an_outage_ends_nothing(street: Street, call: str) -> None:
    walk(street, "ann", Op("open cart"), Op("add"))
    walk(street, "bob", Op("login", "bob"), Op("open cart"))
    street.breaks(call, "disconnect")
    for who in ("ann", "bob", "app"):
        walk(street, who, Op("refresh"), Op("cart"), Op("mistype", "bob"), Op("login", "bob"), Op("logout"))
    street.mends()
    for who in ("ann", "bob", "app"):
        street.forgets(who)
        walk(street, who, Op("login", "bob"), Op("cart"))


def test_own_sessions_are_ended_by_their_customer_alone(street: Street) -> None:
    for who in ("ann", "app", "bob"):
        walk(street, who, Op("login", own_name(who)))
    refs = [street.ref(held(street, who)) for who in ("bob", "app")]
    walk(street, "ann", Op("sessions"), *(Op("end", ref) for ref in refs), Op("sessions"))
    street.forgets("app")
    walk(street, "app", Op("login", "ann"), Op("end others"), Op("sessions"), Op("me"))
    street.forgets("ann")
    walk(street, "ann", Op("login", "ann"), Op("change password"), Op("sessions"))
    walk(street, "ann", Op("end", street.ref(held(street, "ann"))))


@pytest.mark.parametrize("pair", PAIRS, ids=" + ".join)
def test_two_requests_at_once_are_one_after_the_other(street: Street, pair: tuple[str, str]) -> None:
    about = {"login": "ann", "switch": "LE-100"}
    guest, customer = Op("open cart"), Op("login", "ann")
    cases = (("ann", guest, True), ("app", customer, True), ("app", guest, False), ("ann", customer, False))
    for who, first, good in cases:
        street.forgets(who)
        walk(street, who, first)
        if not good:
            street.upstream_forgets(held(street, who), renewable=True)
        if may_race(held(street, who), pair):
            street.at_once(who, *(Op(name, about.get(name)) for name in pair))
            street.settled()


@pytest.mark.parametrize("first", [Op("begin"), Op("login", "ann")], ids=repr)
def test_no_attack_reaches_upstream_or_changes_anything(street: Street, first: Op) -> None:
    walk(street, "mallory", Op("login", "mallory"))
    for who in ("ann", "app"):
        walk(street, who, first, Op("open cart"), Op("add"))
    victims = [held(street, who) for who in ("ann", "app")]
    for at, (op, victim) in enumerate(itertools.product(OPS, victims)):
        for how in FOREIGN_PAGES if victim.carrier == "cookie" else ():
            from_a_foreign_page(street, victim, op, how)
        for attack in ON_SESSIONS.values():
            attack(street, victim, op, at)
    street.settled()


def test_a_switch_that_is_refused_its_renewal_ends_the_session(street: Street) -> None:
    walk(street, "ann", Op("login", "ann"))
    session = held(street, "ann")
    street.upstream_forgets(session, renewable=False)
    street.forgets("ann")
    asked = request(Op("switch", "LE-100"), session, street.model.accounts)
    answer = street.ask(*asked, fields_of(session, "cookie"))
    street.overheard()
    assert (answer.status_code, answer.json()["code"]) == (401, "session_expired")
