"""What the contract says of sessions (§2, §3), without a network: what each request gets, and who visitors then are.

The model knows who holds what, never how the proxy does it. `Model.expect` is one request: it changes the model and
returns the answer that must come. What only the proxy can choose (ids, versions) is filled in once it is seen.
"""

from dataclasses import dataclass, field
from typing import Final

from tests.fuzz.session_values import (
    BROKEN,
    Account,
    Carrier,
    Cart,
    Emporix,
    Expected,
    Op,
    Session,
)

AS_NONE: Final = frozenset({"look", "begin", "login", "mistype", "sites", "logout"})
"""What an id that has ended gets at once, as if it carried none."""


class Told(Exception):
    """Where a request ends before it is served."""

    def __init__(self, code: str, *status: int) -> None:
        super().__init__(code)
        self.code, self.status = code, frozenset(status or (401,))


@dataclass
class Visit:
    carrier: Carrier
    holds: Session | None
    frozen: bool = False
    asked: bool = False
    overtaken: bool = False

    def drop(self) -> None:
        self.holds = None


@dataclass
class Model:
    """All visitors' sessions, and what upstream still honours of them.

    Attributes:
        faults: which upstream calls fail now: guest login, guest renewal, customer renewal, login, logout, cart.
    """

    accounts: dict[str, Account]
    holders: dict[str, Session | None]
    sessions: list[Session] = field(default_factory=list)
    faults: set[str] = field(default_factory=set)

    def expect(
        self, op: Op, session: Session | None, carrier: Carrier, *, overtaken: bool = False
    ) -> Expected:
        """Serve one request with this session's id, and say what must come of it.

        One that is `overtaken` had found the session before it ended, so it does not begin another one.
        """
        visit = Visit(carrier, session, overtaken=overtaken)
        try:
            status = frozenset({self._serve(op, visit)})
            code = None
        except Told as told:
            status, code = told.status, told.code
        return Expected(status, code, session, visit.holds, not visit.asked)

    def _serve(self, op: Op, visit: Visit) -> int:
        session = visit.holds
        if session is not None and session.ended is not None:
            return self._serve_ended(op, visit, session)
        return self._serve_live(op, visit)

    def _serve_ended(self, op: Op, visit: Visit, session: Session) -> int:
        """What ended is as none to whoever looks or begins; what a login replaced begins nothing."""
        assert session.ended is not None
        visit.frozen = op.safe and session.readable
        if visit.frozen:
            return self._serve_live(op, visit)
        if session.replaced or visit.overtaken or op.name not in AS_NONE:
            raise Told(session.ended)
        visit.drop()
        try:
            return self._serve_live(op, visit)
        finally:
            visit.holds = visit.holds or session

    def _serve_live(self, op: Op, visit: Visit) -> int:
        status: int = getattr(self, "_" + op.name.replace(" ", "_"))(visit, op.about)
        return status

    def _look(self, _visit: Visit, _about: str | None) -> int:
        return 200

    def _begin(self, visit: Visit, _about: str | None) -> int:
        if visit.holds is not None:
            return 200
        self._guest(visit)
        return 201

    def _mistype(self, visit: Visit, _about: str | None) -> int:
        self._credentials(visit, refused=True)
        raise AssertionError("unreachable")

    def _login(self, visit: Visit, about: str | None) -> int:
        """A new id on the same Emporix session, with the guest's cart; the guest's id is dead for every write."""
        guest = self._credentials(visit)
        account = self.accounts[about or ""]
        visit.holds = self._new(Session(guest.carrier, guest.emporix, "customer", account))
        visit.holds.newer_than = guest.version or guest.newer_than
        guest.end("session_rotated", readable=True)
        if guest.emporix.cart is not None and "cart" not in self.faults:
            account.cart = account.cart or Cart()
            account.cart.quantity += guest.emporix.cart.quantity
            guest.emporix.cart = None
        return 200

    def _logout(self, visit: Visit, _about: str | None) -> int:
        if visit.holds is not None:
            self._end_own(visit, "no_session")
        return 204

    def _refresh(self, visit: Visit, _about: str | None) -> int:
        if visit.holds is None:
            raise Told("no_session")
        self._renew(visit)
        return 200

    def _switch(self, visit: Visit, about: str | None) -> int:
        session, account = self._customer(visit)
        visit.asked = True
        if "customer renewal" in self.faults:
            raise Told("", *BROKEN)
        if not session.refresh_good:
            session.end("session_expired")
            visit.holds = None
            raise Told("session_expired")
        if about is not None and about not in account.entities:
            raise Told("forbidden", 403)
        session.entity, session.access_good = about, True
        session.newer_than, session.version = session.version or session.newer_than, None
        return 200

    def _validate(self, visit: Visit, _about: str | None) -> int:
        """Upstream validates no guest's token, so a guest's is renewed to be known as good."""
        if visit.holds is None:
            raise Told("no_session")
        visit.asked = True
        if not visit.frozen and not (visit.holds.kind == "customer" and visit.holds.access_good):
            self._renew(visit)
        return 200

    def _sessions(self, visit: Visit, _about: str | None) -> int:
        self._customer(visit)
        return 200

    def _end(self, visit: Visit, about: str | None) -> int:
        session, account = self._customer(visit)
        target = next((one for one in self.own(account) if one.ref is not None and one.ref == about), None)
        if target is None:
            raise Told("not_found", 404)
        if target is session:
            self._end_own(visit, "no_session")
        else:
            target.end("no_session")
        return 204

    def _end_others(self, visit: Visit, _about: str | None) -> int:
        session, account = self._customer(visit)
        for other in self.own(account):
            if other is not session:
                other.end("no_session")
        return 204

    def _sites(self, visit: Visit, _about: str | None) -> int:
        visit.asked = True
        if visit.holds is not None and not visit.frozen:
            self._api(visit)
        return 200

    def _me(self, visit: Visit, _about: str | None) -> int:
        self._api(visit)
        return 200

    def _orders(self, visit: Visit, _about: str | None) -> int:
        self._customer(visit)
        self._api(visit)
        return 200

    def _rename(self, visit: Visit, about: str | None) -> int:
        _, account = self._customer(visit)
        self._api(visit)
        account.company = about or ""
        return 200

    def _change_password(self, visit: Visit, about: str | None) -> int:
        _, account = self._customer(visit)
        self._api(visit)
        account.password += "+"
        return self._end_others(visit, about)

    def _mistype_password(self, visit: Visit, _about: str | None) -> int:
        self._customer(visit)
        self._api(visit)
        return 400

    def _cart(self, visit: Visit, _about: str | None) -> int:
        return 200 if self._api(visit, cart=True).owner.cart is not None else 404

    def _rendered_cart(self, visit: Visit, about: str | None) -> int:
        if visit.holds is None:
            raise Told("no_session")
        return self._cart(visit, about)

    def _open_cart(self, visit: Visit, _about: str | None) -> int:
        owner = self._api(visit, cart=True).owner
        owner.cart = owner.cart or Cart()
        return 200

    def _add(self, visit: Visit, about: str | None) -> int:
        wanted = about or (visit.holds.cart_id if visit.holds is not None else "none")
        owner = self._api(visit, cart=True).owner
        if owner.cart is not None and owner.cart.id == wanted != "none":
            owner.cart.quantity += 1
            return 201
        return 403 if wanted in self._carts() else 404

    def own(self, account: Account) -> list[Session]:
        """Return a customer's live sessions."""
        return [one for one in self.sessions if one.live and one.account is account]

    def _api(self, visit: Visit, *, cart: bool = False) -> Session:
        """Serve with the session's own token: a guest begins where there is none, a refused token is renewed once."""
        visit.asked = True
        session = visit.holds or self._guest(visit)
        if cart and "cart" in self.faults:
            raise Told("", *BROKEN)
        return session if session.access_good else self._renew(visit)

    def _credentials(self, visit: Visit, *, refused: bool = False) -> Session:
        """Return the guest whose token credentials go along with."""
        visit.asked = True
        if visit.holds is not None and visit.holds.kind == "customer":
            return self._credentials_beside(visit, visit.holds, refused=refused)
        guest = visit.holds or self._guest(visit)
        self._answer_login(refused=False)
        guest = guest if guest.access_good else self._renew(visit)
        self._answer_login(refused=refused)
        return guest

    def _credentials_beside(self, visit: Visit, old: Session, *, refused: bool) -> Session:
        """Log in beside a customer's session, which ends once the new login has succeeded."""
        guest = self._guest(visit)
        visit.holds, guest.discarded = old, True
        self._answer_login(refused=refused)
        guest.discarded = False
        guest.newer_than = max(guest.newer_than, old.version or old.newer_than)
        self._end_own(visit, "session_rotated")
        visit.holds = guest
        return guest

    def _answer_login(self, *, refused: bool) -> None:
        if "login" in self.faults:
            raise Told("", *BROKEN)
        if refused:
            raise Told("invalid_credentials")

    def _customer(self, visit: Visit) -> tuple[Session, Account]:
        if visit.holds is None or visit.holds.account is None:
            raise Told("login_required")
        return visit.holds, visit.holds.account

    def _guest(self, visit: Visit) -> Session:
        visit.asked = True
        if "guest login" in self.faults:
            raise Told("", *BROKEN)
        older = visit.holds.version if visit.holds is not None else None
        visit.holds = self._new(Session(visit.carrier, Emporix(), newer_than=older or 0))
        return visit.holds

    def _renew(self, visit: Visit) -> Session:
        """Renew; only upstream's definite no ends a customer, and replaces a guest by another one."""
        session = visit.holds
        assert session is not None
        if visit.frozen:
            raise Told("session_rotated")
        visit.asked = True
        if ("guest renewal" if session.account is None else "customer renewal") in self.faults:
            raise Told("", *BROKEN)
        if session.refresh_good:
            session.access_good = True
        elif session.account is not None:
            session.end("session_expired")
            visit.holds = None
            raise Told("session_expired")
        else:
            replaced = session
            session = self._guest(visit)
            replaced.end("session_rotated")
            replaced.followed = True
        return session

    def _end_own(self, visit: Visit, told: str) -> None:
        session = visit.holds
        assert session is not None
        if session.account is not None:
            visit.asked = True
            session.emporix.revoked = session.access_good and "logout" not in self.faults
        session.end(told)
        visit.holds = None

    def _new(self, session: Session) -> Session:
        self.sessions.append(session)
        return session

    def _carts(self) -> set[str]:
        owners: list[Account | Emporix] = [*self.accounts.values(), *(one.emporix for one in self.sessions)]
        return {owner.cart.id for owner in owners if owner.cart is not None} - {"none"}
