"""Visitors at a real proxy, and the model that watches over them: every answer, every upstream call, every carrier."""

import copy
import itertools
import time
from collections import Counter
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import httpx2
import redis

from tests.fuzz.session_answers import body, carried, complaints, version
from tests.fuzz.session_model import Model
from tests.fuzz.session_values import Account, Carrier, Expected, Op, Session, fields_of, request
from tests.live import TENANT, LiveProxy, Sandbox
from tests.security.journeys import found

VISITORS: Final[dict[str, Carrier]] = {"ann": "cookie", "bob": "cookie", "app": "header", "mallory": "cookie"}
"""Two browsers, an app of Ann's, and the attacker, who has an account too."""

FAULTS: Final = {
    "guest login": "GET /customerlogin/auth/anonymous/login",
    "guest renewal": "GET /customerlogin/auth/anonymous/refresh",
    "customer renewal": f"GET /customer/{TENANT}/refreshauthtoken",
    "login": f"POST /customer/{TENANT}/login",
    "logout": f"GET /customer/{TENANT}/logout",
    "cart": "* /cart/",
}
PROBES: Final = (Op("look"), Op("me"), Op("validate"), Op("refresh"), Op("add"), Op("begin"))
_FRESHLY_DEAD: Final = 20.0  # of the 30 s in which a dead id is still known (§3): far enough from their end
_numbers = itertools.count()


@dataclass
class Place:
    """One proxy, its sandbox and a Redis of its own, for all examples; `reached` counts what came about there."""

    sandbox: Sandbox
    proxy: LiveProxy
    redis_url: str
    reached: Counter[str] = field(default_factory=Counter)
    client: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        keeps_nothing = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        self.client = httpx2.Client(
            base_url=self.proxy.url,
            cookies=keeps_nothing,
            limits=httpx2.Limits(max_keepalive_connections=0),
            trust_env=False,
            timeout=30,
        )

    def begins_anew(self) -> None:
        """Forget every session and every customer, so that an example costs the same however late it comes."""
        self.sandbox.control("POST", "/reset")
        with redis.Redis.from_url(self.redis_url) as store:
            store.flushall()


class Street:
    """New customers of a fresh sandbox, and the visitors of one example."""

    def __init__(self, place: Place) -> None:
        self.place = place
        place.begins_anew()
        accounts = {name: self._account(name) for name in ("ann", "bob", "mallory")}
        self.model = Model(accounts, dict.fromkeys(VISITORS))
        self.answers: list[tuple[str, bytes, bytes]] = []
        self._highest = dict.fromkeys(VISITORS, 0)
        self._heard = 0
        place.client.get(f"/api/site/{TENANT}/sites", headers={"X-CSRF": "1"}).raise_for_status()
        self._shared = {one["sessionId"] for one in self.overheard() if one["status"] == 200} - {None}

    def does(self, who: str, op: Op) -> None:
        """Let a visitor ask something with what they carry now."""
        if (held := self.model.holders[who]) is not None and held.followed:
            self.forgets(who)
        expected = self.judged(op, self.model.holders[who], VISITORS[who], newer_than=self._highest[who])
        self.model.holders[who] = expected.holds
        self._noted(who)

    def judged(
        self, op: Op, session: Session | None, carrier: Carrier, *, newer_than: int = 0, listen: bool = True
    ) -> Expected:
        """Send one request, and assert that its answer and all that upstream saw are as they must be.

        One that does not `listen` leaves what upstream saw to its caller.
        """
        ended = session is not None and not session.live
        method, target, content = request(op, session, self.model.accounts)
        expected = self.model.expect(op, session, carrier)
        if expected.holds is not session and expected.holds is not None:
            expected.holds.newer_than = max(expected.holds.newer_than, newer_than)
        answer = self.ask(method, target, content, fields_of(session, carrier) | op.fields)
        wrong = list(complaints(op, expected, answer))
        assert wrong == [], f"{'; '.join(wrong)} (carrying {session})"
        self._learned(op, expected, answer)
        if listen:
            self._upstream(expected)
        self._counted(op, expected, answer, ended=ended)
        return expected

    def ask(self, method: str, target: str, content: Any, fields: dict[str, str]) -> httpx2.Response:
        answer = self.place.client.request(method, target, json=content, headers=fields)
        head = b"\r\n".join(name + b": " + value for name, value in answer.headers.raw)
        self.answers.append((target, head, answer.content))
        return answer

    def at_once(self, who: str, *ops: Op) -> None:
        """Send two requests with one id at once: it must be as if one had come after the other."""
        session, carrier = self.model.holders[who], VISITORS[who]
        asks = [request(op, session, self.model.accounts) for op in ops]
        delay = {"match": f"* /customer/{TENANT}/", "kind": "delay", "delay": 0.03, "times": 1}
        self.place.sandbox.control("POST", "/faults", delay)
        fields = fields_of(session, carrier)
        with ThreadPoolExecutor(len(ops)) as pool:
            answers = list(pool.map(lambda one: self.ask(one[0], one[1], one[2], fields), asks))
        self.place.sandbox.control("DELETE", "/faults")
        tried = [
            self._in_order(session, carrier, ops, answers, order, overtaken=overtaken)
            for order in ((0, 1), (1, 0))
            for overtaken in (False, True)
        ]
        fitting = [one for one in tried if not one[2]]
        assert fitting, [wrong for _, _, wrong in tried]
        self.model, expected, _ = fitting[0]
        for op, one, answer in zip(ops, expected, answers, strict=True):
            self._learned(op, one, answer, raced=True)
        self.model.holders[who] = next(
            (one.holds for one in expected if one.holds is not one.presented), expected[0].holds
        )
        tried_for = {self.model.accounts[op.about].number for op in ops if op.name == "login" and op.about}
        self._upstream(*expected, also=tried_for)
        self.place.reached[f"{ops[0].name} + {ops[1].name}"] += 1

    def _in_order(
        self,
        session: Session | None,
        carrier: Carrier,
        ops: tuple[Op, ...],
        answers: list[httpx2.Response],
        order: tuple[int, ...],
        *,
        overtaken: bool,
    ) -> tuple[Model, list[Expected], list[str]]:
        """Return the model, what it expects and what contradicts it if the requests had come in this order."""
        trial, held = copy.deepcopy((self.model, session))
        for one in trial.sessions:
            one.version = None if one is not held or any(op.name == "switch" for op in ops) else one.version
        expected: dict[int, Expected] = {}
        wrong: list[str] = []
        for at in order:
            expected[at] = trial.expect(ops[at], held, carrier, overtaken=overtaken)
            wrong += complaints(ops[at], expected[at], answers[at], raced=True)
        return trial, [expected[at] for at in sorted(order)], wrong

    def forgets(self, who: str) -> None:
        """Let a visitor lose what they carry."""
        self.model.holders[who] = None

    def plants(self, session: Session | None, who: str) -> None:
        """Put a cookie into somebody's browser, as a sister site or a shared machine can."""
        self.model.holders[who] = session
        self._highest[who] = 0
        self.place.reached["plant"] += 1

    def upstream_forgets(self, session: Session, *, renewable: bool) -> None:
        """End a session's access tokens upstream, and its refresh tokens too where it is not `renewable`."""
        what = {"access": True} | ({} if renewable else {"refresh": True})
        self.place.sandbox.control("POST", "/revoke", what | {"sessionId": session.emporix.id})
        for one in self.model.sessions:
            if one.emporix is session.emporix:
                one.access_good, one.refresh_good = False, one.refresh_good and renewable

    def breaks(self, call: str, kind: str) -> None:
        self.place.sandbox.control("POST", "/faults", {"match": FAULTS[call], "kind": kind})
        self.model.faults.add(call)

    def mends(self) -> None:
        self.place.sandbox.control("DELETE", "/faults")
        self.model.faults.clear()

    def ref(self, session: Session) -> str:
        """Return the name by which a customer's own sessions list calls this one."""
        if session.ref is None:
            listed = self.ask("GET", "/auth/sessions", None, fields_of(session, session.carrier))
            (session.ref,) = [row["ref"] for row in listed.json() if row["current"]]
        return session.ref

    def dead(self) -> list[Session]:
        """Return the sessions that ended so lately that the proxy still knows their ids.

        Not those whose id stands for another guest: `tests/component/test_replaced_guests.py` has what comes of these.
        """
        now = time.monotonic()
        return [
            one
            for one in self.model.sessions
            if one.value and not one.live and not one.followed and now - one.ended_at < _FRESHLY_DEAD
        ]

    def settled(self) -> None:
        """Assert that every visitor is who the model says, and that what died this moment stays dead."""
        for session in self.dead():
            if not session.probed:
                session.probed = True
                for op in PROBES:
                    self.judged(op, session, session.carrier)
        for who, held in self.model.holders.items():
            if held is None or held.live or held in self.dead():
                self.judged(Op("look"), held, VISITORS[who], listen=False)
                self._noted(who)
        assert self.overheard() == [], "upstream heard of a look"
        self._owned()

    def sealed(self) -> None:
        """Assert that no token and no Emporix session id has left."""
        issued = self.place.sandbox.control("GET", "/issued")
        heads = b"\n".join(head for _, head, _ in self.answers)
        own = b"\n".join(told for target, _, told in self.answers if target.startswith("/auth/"))
        bodies = b"\n".join(told for _, _, told in self.answers)
        assert found(issued["tokens"], {"a head": heads, "a body": bodies}) == []
        assert found(issued["sessionIds"], {"a head": heads, "a body of /auth": own}) == []
        cookies = {one.value for one in self.model.sessions if one.value and one.carrier == "cookie"}
        assert found(cookies, {"a body": bodies}) == []

    def overheard(self) -> list[dict[str, Any]]:
        """Return what upstream was asked since the last time."""
        records = self.place.sandbox.log_since(self._heard)
        self._heard = max([self._heard, *(int(one["seq"]) for one in records)])
        return records

    def _learned(self, op: Op, expected: Expected, answer: httpx2.Response, *, raced: bool = False) -> None:
        """Fill in what the proxy chose."""
        holds = expected.holds
        if holds is None:
            return
        if holds is not expected.presented:
            value = carried(answer, holds.carrier)
            assert value not in {one.value for one in self.model.sessions}, "an id was handed out twice"
            holds.value = value
        if not raced and holds.version is None:
            holds.version = version(op, answer) or None  # an answer about an ended session tells none
        if op.name in {"cart", "open cart"} and answer.status_code == 200 and holds.owner.cart is not None:
            holds.owner.cart.id = body(answer)["id"]
        if op.name == "sessions" and answer.status_code == 200 and holds.account is not None:
            own = sorted((one.carrier, one is holds) for one in self.model.own(holds.account))
            rows = sorted((row["carrier"], row["current"]) for row in answer.json())
            assert rows == own, f"own sessions are listed as {rows}, not {own}"

    def _upstream(self, *all_expected: Expected, also: AbstractSet[str] = frozenset()) -> None:
        """Assert that upstream was asked with nobody's tokens but the callers' and the proxy's own.

        `also` are customers whose login may have lost a race: what came too late is revoked with their own token.
        """
        records, known = self.overheard(), {one.emporix.id for one in self.model.sessions} - {None}
        if len(all_expected) == 1 and all_expected[0].quiet:
            assert records == [], "upstream heard of it"
            return
        rows = self.place.sandbox.control("GET", "/sessions")
        begun = set(rows) - known - self._shared
        new = sorted(begun, key=lambda one: (rows[one]["ended"], rows[one]["customer"] is None))
        unseen = {one.emporix for one in self.model.sessions if one.emporix.id is None}
        # A login on a customer's session begins a guest beside it, which nobody gets where the login loses a race.
        lost = set(new[len(unseen) :]) if also else set()
        self._shared |= lost
        assert len(new) == len(unseen) + len(lost), f"{len(new)} Emporix sessions began, not {len(unseen)}"
        for emporix, session_id in zip(unseen, new, strict=False):
            emporix.id = session_id
        theirs = [
            one
            for expected in all_expected
            for one in (expected.presented, expected.holds)
            if one is not None
        ]
        discarded = {one.emporix.id for one in self.model.sessions if one.discarded}
        sessions = {one.emporix.id for one in theirs} | discarded | self._shared | {None}
        customers = {one.account.number for one in theirs if one.account is not None} | {None, *also}
        for record in records:
            assert (record["sessionId"] in sessions, record["customer"] in customers) == (True, True), record

    def _owned(self) -> None:
        """Assert that upstream says the same of every session: whose it is, for which company, and whether it ended."""
        rows = self.place.sandbox.control("GET", "/sessions")
        for session in self.model.sessions:
            if session.discarded:
                continue
            row = rows[session.emporix.id]
            if session.live:
                account = session.account
                assert (row["email"], row["legalEntityId"]) == (account and account.email, session.entity), (
                    session
                )
            if session.emporix.revoked:
                assert (row["ended"], row["customer"]) == (True, None)

    def _noted(self, who: str) -> None:
        session = self.model.holders[who]
        if session is not None and session.version is not None:
            assert session.version >= self._highest[who] or not session.live, "the version shrank"
            self._highest[who] = max(self._highest[who], session.version)

    def _counted(self, op: Op, expected: Expected, answer: httpx2.Response, *, ended: bool) -> None:
        told = "ok" if answer.status_code < 300 else expected.code or answer.status_code
        self.place.reached[f"{'late ' if ended else ''}{op.name}: {told}"] += 1

    def _account(self, name: str) -> Account:
        body = {
            "email": f"{name}-{next(_numbers)}@example.com",
            "password": f"{name}-has-a-secret",
        }
        entities = ("LE-100", "LE-200") if name == "ann" else ()
        more = {"details": {"company": "", "contactEmail": body["email"]}, "legalEntities": entities}
        number = self.place.sandbox.control("POST", "/customers", body | more)["id"]
        return Account(body["email"], number, body["password"], entities=entities)


def pick(choices: Iterable[Session], at: int) -> Session | None:
    """Return one of some sessions, the newest for 0, None where there are none."""
    newest = list(choices)[::-1]
    return newest[at % len(newest)] if newest else None
