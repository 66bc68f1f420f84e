"""The book that a soak keeps: whose session began and ended when and why, and what was not as it should be."""

import random  # noqa: TID251 - a walk that can be walked again
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.resilience.shoppers import SESSION, Answer, Crossed, Shopper

LATE_SECONDS: Final = 5.0
GIVES_UP_SECONDS: Final = 30.0
LANDED_SECONDS: Final = 15.0
"""After this, what a line that hung still held has arrived: a write whose sender had given up."""
BEARABLE: Final = frozenset({429, 502, 503, 504, "lost", "cut"})
"""What a fault may bring anybody; it sets no cookie and ends nothing."""
FINDINGS: Final = ("wrong", "crossed", "lost", "over 5 s")


@dataclass
class Ledger:
    """What all shoppers have seen.

    Attributes:
        counts: of answers, faults, and reasons for which sessions ended.
        findings: what is wrong, by kind.
        faults: that have struck, in order.
    """

    counts: Counter[str] = field(default_factory=Counter)
    findings: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in FINDINGS})
    faults: list[str] = field(default_factory=list)

    def found(self, kind: str, what: str) -> None:
        self.findings[kind].append(what)

    @property
    def sound(self) -> bool:
        return not any(self.findings.values())


class Walker:
    """Lets one shopper do one thing after another, and holds every answer against what happened before.

    Attributes:
        ended: cookies that must open nothing any more.
        unsure: why the session may have ended, or end in a moment, where an answer that would say so did not come.
    """

    def __init__(self, shopper: Shopper, ledger: Ledger, chance: random.Random) -> None:
        self.shopper = shopper
        self.ended: list[str] = []
        self.unsure: str | None = None
        self._ledger = ledger
        self._chance = chance
        self._leaving = False
        self._sure_at = 0.0

    async def step(self) -> None:
        """Do one thing; what it may be depends on what this visitor is."""
        try:
            if self.shopper.cookie is None:
                await self.begin()
            elif self._leaving:
                await self.log_out()
            else:
                await self._any()
        except Crossed as exc:
            self._ledger.found("crossed", str(exc))
            self._end("crossed")

    async def _any(self) -> None:
        first, *others = [self.read, self.look, self.refresh, self.log_out, self.log_in, self.probe]
        weights = [60, 15, 5, 4, 0 if self.shopper.customer else 10, 6]
        (action,) = self._chance.choices([first, *others], weights)
        await action()

    async def begin(self) -> None:
        self.shopper.customer, self.shopper.cart = False, ""
        answer = await self._timed(self.shopper.read(**self._somewhere()))
        if answer.cookie is not None:  # a guest that was made stays one where the call itself then fails
            self.shopper.cart = str(answer.body["id"]) if answer.outcome == 200 else ""
            self._ledger.counts["guests"] += 1
        elif self._bearable("begin", answer):
            self._ledger.counts["guests without an answer"] += 1

    async def read(self) -> None:
        answer = await self._timed(self.shopper.read(**self._somewhere()))
        if answer.outcome == 200 and answer.cookie is None:
            self._alive()
            if not self.shopper.customer:
                self._is_own(str(answer.body["id"]))
        else:
            self._not_served("read", answer)

    def _is_own(self, cart: str) -> None:
        self.shopper.cart = self.shopper.cart or cart
        if cart != self.shopper.cart:
            raise Crossed(f"the cart {self.shopper.cart} has become {cart}")

    async def look(self) -> None:
        answer = await self._timed(self.shopper.ask("GET", "/auth/session", **self._somewhere()))
        kind = answer.body["kind"] if answer.outcome == 200 else None
        if kind == ("customer" if self.shopper.customer else "anonymous"):
            self._alive()
        elif kind is not None:
            self._lost(f"look: {kind}")
        else:
            self._not_served("look", answer)

    async def refresh(self) -> None:
        answer = await self._timed(self.shopper.ask("POST", "/auth/refresh", **self._somewhere()))
        if answer.outcome == 200:
            self._alive()
        else:
            self._not_served("refresh", answer)

    async def log_in(self) -> None:
        before, shopper = self.shopper.cookie, self.shopper
        answer = await self._timed(
            shopper.ask("POST", "/auth/login", json=shopper.account, **self._somewhere())
        )
        if answer.outcome == 200 and before is not None and shopper.cookie != before:
            self._ledger.counts["logins"] += 1
            self.ended.append(before)
            shopper.customer = True
        elif answer.outcome in BEARABLE:
            self.unsure = self.unsure or "a login without an answer"
            self._sure_at = time.monotonic() + LANDED_SECONDS
        else:
            self._not_served("login", answer)

    async def log_out(self) -> None:
        before = self.shopper.cookie
        answer = await self._timed(self.shopper.ask("POST", "/auth/logout", **self._somewhere()))
        if answer.outcome == 204 and before is not None:
            self._ledger.counts["logouts"] += 1
            self.ended.append(before)
            self.shopper.cookie, self.unsure, self._leaving = None, None, False
        elif answer.outcome == 401 and answer.code == "session_rotated" and self.unsure is not None:
            self._end(self.unsure)  # a login has replaced the session, and its answer did not come
        elif self._bearable("logout", answer):
            self._leaving = True

    async def probe(self) -> None:
        """Try a cookie whose session has ended."""
        if not self.ended:
            return
        cookie = self._chance.choice(self.ended)
        answer = await self._timed(
            self.shopper.ask("POST", "/auth/refresh", cookie=cookie, **self._somewhere())
        )
        if answer.outcome == 401:
            self._ledger.counts["probes of ended sessions"] += 1
        else:
            self._bearable("an ended session", answer)

    async def audit(self) -> None:
        """When every fault is over: the session is alive everywhere or ended for a reason, ended ones are dead."""
        try:
            if self.shopper.cookie is not None and not self._leaving:
                await self._audit_session()
            for cookie in self.ended[-20:]:
                if not await self.shopper.is_dead(cookie):
                    self._ledger.found("wrong", "an ended session lives on")
        except Crossed as exc:
            self._ledger.found("crossed", str(exc))
        except AssertionError as exc:
            self._ledger.found("wrong", str(exc))
        while self.shopper.cookie is not None:
            await self.log_out()

    async def _audit_session(self) -> None:
        left = await self.shopper.left()
        if left != SESSION:
            self._lost(f"in the end: {left}")

    def _somewhere(self) -> dict[str, Any]:
        return {"replica": self._chance.randrange(len(self.shopper.proxies)), "seconds": GIVES_UP_SECONDS}

    async def _timed(self, asking: Awaitable[Answer]) -> Answer:
        began = time.monotonic()
        answer = await asking
        spent = time.monotonic() - began
        counts = self._ledger.counts
        counts[f"answer {answer.outcome}"] += 1
        counts["ms took the longest answer"] = max(counts["ms took the longest answer"], int(spent * 1000))
        if spent > LATE_SECONDS or answer.outcome == "late":
            what = f"{answer.outcome} {answer.code} after {spent:.1f} s"
            self._ledger.found("over 5 s", f"{what}, lately: {', '.join(self._ledger.faults[-3:])}")
        return answer

    def _bearable(self, what: str, answer: Answer) -> bool:
        if answer.outcome in BEARABLE and answer.cookie is None:
            return True
        if answer.outcome != "late":
            self._ledger.found("wrong", f"{what}: {answer.outcome} {answer.code}")
        return False

    def _not_served(self, what: str, answer: Answer) -> None:
        if answer.outcome == 401 or (answer.outcome == 200 and answer.cookie is not None):
            self._lost(f"{what}: {answer.outcome} {answer.code}")
        else:
            self._bearable(what, answer)

    def _alive(self) -> None:
        if time.monotonic() > self._sure_at:
            self.unsure = None

    def _lost(self, how: str) -> None:
        """The session has ended: for a reason that is known, or for none."""
        if self.unsure is None:
            who = "customer" if self.shopper.customer else "guest"
            self._ledger.found("lost", f"{who}, {how}, lately: {', '.join(self._ledger.faults[-3:])}")
        self._end(self.unsure or "lost")

    def _end(self, why: str) -> None:
        self._ledger.counts[f"ended: {why}"] += 1
        self.shopper.cookie, self.unsure, self._leaving = None, None, False
