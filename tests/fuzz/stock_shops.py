"""Stock storefronts in drop-in mode, and a model of whom each placeholder stands for (the contract's drop-in mode).

The model knows which browser holds which guest and customer. A call with a placeholder must act as that guest or
customer, from the browser that holds it, and must be refused everywhere else.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any, Final

import httpx2

from tests.fuzz.actors import Place
from tests.integration.signing import Ear
from tests.integration.stock import ANONYMOUS, ANONYMOUS_REFRESH, CARTS, CUSTOMER
from tests.live import CLIENT_ID, TENANT

TOKENS: Final = ("access_token", "refresh_token", "saas_token")
CALLS: Final[dict[str, tuple[str, str]]] = {
    "me": ("GET", f"{CUSTOMER}/me"),
    "rename": ("PATCH", f"{CUSTOMER}/me"),
    "orders": ("GET", f"/order-v2/{TENANT}/orders"),
    "cart": ("GET", f"{CARTS}?siteCode=main&create=true"),
}
AUTH_CALLS: Final[dict[str, tuple[str, str]]] = {
    "login": ("POST", f"{CUSTOMER}/login"),
    "logout": ("GET", f"{CUSTOMER}/logout"),
    "validate": ("GET", f"{CUSTOMER}/validateauthtoken"),
    "refresh": ("GET", f"{CUSTOMER}/refreshauthtoken"),
    "signup": ("POST", f"{CUSTOMER}/signup"),
}
_FOR_CUSTOMERS: Final = frozenset({"rename", "orders"})
_READS: Final = frozenset({"me", "cart"})
"""What a guest may read."""
_numbers = itertools.count()


@dataclass(eq=False)
class Account:
    """One customer, as upstream knows them."""

    email: str
    password: str
    number: str

    @property
    def credentials(self) -> dict[str, str]:
        return {"email": self.email, "password": self.password}


@dataclass(eq=False)
class Owner:
    """A guest or a login: whom placeholders stand for. Those of a guest that no client has asked for are unknown."""

    account: Account | None = None
    tokens: dict[str, str] = field(default_factory=dict)
    emporix: str | None = None
    cart: str | None = None


@dataclass(eq=False)
class Shop:
    """One browser: its cookie, and who stands behind it."""

    cookie: str | None = None
    guest: Owner | None = None
    customer: Owner | None = None

    def owners(self) -> list[Owner]:
        return [one for one in (self.guest, self.customer) if one is not None]

    def named(self, token: str, placeholder: str) -> Owner | None:
        """Return whose token a placeholder stands for in this browser."""
        return next((one for one in self.owners() if one.tokens.get(token) == placeholder), None)


class Mall:
    """Two shops' browsers at one proxy, and all placeholders that were ever given out."""

    def __init__(self, place: Place) -> None:
        self.place = place
        place.begins_anew()
        self.ear = Ear(place.client)
        self.shops = {"left": Shop(), "right": Shop()}
        self.accounts = {name: self._account(name) for name in ("ann", "bob")}
        self.placeholders: list[str] = []
        self.spent: list[tuple[str, Owner | None]] = []
        self._guests: dict[str, Owner] = {}
        self._carts: dict[Owner | Account, str] = {}
        self._heard = 0
        self.overheard()

    def begins(self, shop: Shop) -> None:
        """Ask for a guest; one that stands is kept."""
        query = {"tenant": TENANT, "client_id": CLIENT_ID}
        answer = self.ask(shop.cookie, None, "GET", ANONYMOUS, params=query)
        assert answer.status_code == 200, answer.text
        shop.guest = shop.guest or Owner()
        self._takes_cookie(shop, answer)
        self._learned(shop.guest, answer)

    def logs_in(self, shop: Shop, caller: Owner, account: Account) -> None:
        """Log in as the guest, whose placeholders stay good, or over a customer, whose guest is another one then."""
        answer = self._called(shop, caller, "login", json=account.credentials)
        assert answer.status_code == 200, answer.text
        if caller is shop.customer:
            shop.guest = Owner()
        assert shop.guest is not None
        self._spend(shop, caller if caller.account is None else None)
        shop.customer = Owner(account)
        self._takes_cookie(shop, answer)
        assert shop.cookie is not None
        self._learned(shop.customer, answer)

    def mistypes(self, shop: Shop, caller: Owner, account: Account) -> None:
        answer = self._called(shop, caller, "login", json=account.credentials | {"password": "wrong"})
        _is_refusal(answer)

    def logs_out(self, shop: Shop, caller: Owner) -> None:
        """End the customer's session and the guest's with it; a guest has nothing to log out of."""
        answer = self._called(shop, caller, "logout")
        if caller.account is None:
            _is_refusal(answer)
            return
        assert answer.status_code == 204, answer.text
        self._ended(shop, answer)

    def renews(self, shop: Shop, caller: Owner, refresh: str) -> None:
        """Renew the customer's tokens, which only their own refresh placeholder does."""
        owner = shop.named("refresh_token", refresh)
        answer = self._called(shop, caller, "refresh", params={"refreshToken": refresh})
        if owner is None or owner.account is None:
            _is_refusal(answer)
            assert self.overheard() == []
            return
        assert answer.status_code == 200, answer.text
        self._learned(owner, answer)

    def renews_guest(self, shop: Shop, refresh: str) -> None:
        owner, _ = shop.named("refresh_token", refresh), self.overheard()
        answer = self.ask(shop.cookie, None, "GET", ANONYMOUS_REFRESH, params={"refresh_token": refresh})
        if owner is None or owner.account is not None:
            _is_refusal(answer)
            assert self.overheard() == []
            return
        assert answer.status_code == 200, answer.text
        self._learned(owner, answer)

    def calls(self, shop: Shop, placeholder: str, call: str) -> None:
        """Call the API: as whom the placeholder names, or it is refused and upstream hears nothing."""
        self.overheard()
        method, path = CALLS[call]
        self._judged(
            shop, placeholder, call, self.ask(shop.cookie, placeholder, method, path, json=_body(call))
        )

    def calls_at_once(self, shop: Shop, placeholders: list[str]) -> None:
        """Call with several placeholders at once: each acts as its own."""

        def call(placeholder: str) -> httpx2.Response:
            return self.ask(shop.cookie, placeholder, *CALLS["me"])

        with ThreadPoolExecutor(len(placeholders)) as pool:
            answers = list(pool.map(call, placeholders))
        for placeholder, answer in zip(placeholders, answers, strict=True):
            self._shows(shop.named("access_token", placeholder), "me", answer)
            assert "set-cookie" not in answer.headers

    def logs_out_while_calling(self, shop: Shop, caller: Owner) -> None:
        """Log out while another tab calls: that is served as the customer, or refused."""
        access = caller.tokens["access_token"]
        asks = [AUTH_CALLS["logout"], CALLS["me"], CALLS["orders"]]
        with ThreadPoolExecutor(len(asks)) as pool:
            out, me, orders = pool.map(lambda one: self.ask(shop.cookie, access, *one), asks)
        assert out.status_code == 204, out.text
        for call, answer in (("me", me), ("orders", orders)):
            self._shows(caller if answer.status_code == 200 else None, call, answer)
            assert "set-cookie" not in answer.headers
        self._ended(shop, out)

    def is_refused(self, cookie: str | None, placeholder: str, call: str) -> None:
        """Call where nothing stands behind a placeholder: 401, no cookie, and upstream hears nothing."""
        self.overheard()
        method, path = (CALLS | AUTH_CALLS)[call]
        _is_refusal(self.ask(cookie, placeholder, method, path, json=_body(call)))
        assert self.overheard() == [], "upstream heard of it"
        self.place.reached["refused " + ("without a cookie" if cookie is None else "with one")] += 1

    def calls_with_spent(self, at: int, placeholder: str, call: str) -> None:
        """Call with a cookie that ended: only a guest whom a login replaced may still read, as that guest."""
        cookie, guest = self.spent[at % len(self.spent)]
        if guest is None or guest.tokens.get("access_token") != placeholder or call not in _READS:
            self.is_refused(cookie, placeholder, call)
            return
        answer = self.ask(cookie, placeholder, *CALLS[call])
        self._shows(guest if answer.status_code == 200 else None, call, answer)
        assert "set-cookie" not in answer.headers

    def upstream_forgets(self, owner: Owner) -> None:
        """End access tokens upstream: all that an Emporix session has, the guest's and the customer's."""
        if owner.emporix is not None:
            self.place.sandbox.control("POST", "/revoke", {"access": True, "sessionId": owner.emporix})

    def login_ends_upstream(self, shop: Shop, customer: Owner) -> None:
        """Let upstream refuse to renew a customer: the customer is told, and the guest goes on."""
        if customer.emporix is None:
            return
        self.upstream_forgets(customer)
        fault = {"match": f"GET {CUSTOMER}/refreshauthtoken", "kind": "unauthorized_invalid"}
        self.place.sandbox.control("POST", "/faults", fault)
        answer = self.ask(shop.cookie, customer.tokens["access_token"], *CALLS["me"])
        self.place.sandbox.control("DELETE", "/faults")
        _is_refusal(answer)
        self._spend(shop, None)
        self._takes_cookie(shop, answer)
        assert shop.cookie is not None
        shop.customer = None

    def settled(self) -> None:
        """Assert that every browser's placeholders stand for whom they did."""
        for shop in self.shops.values():
            for owner in shop.owners():
                if owner.tokens:
                    self.calls(shop, owner.tokens["access_token"], "me")

    def sealed(self) -> None:
        """Assert that no token has left."""
        assert self.ear.secrets_of(self.place.sandbox, ids=False) == []

    def overheard(self) -> list[dict[str, Any]]:
        """Return what upstream was asked since the last time."""
        records = self.place.sandbox.log_since(self._heard)
        self._heard = max([self._heard, *(int(one["seq"]) for one in records)])
        return records

    def ask(
        self, cookie: str | None, placeholder: str | None, method: str, path: str, **more: Any
    ) -> httpx2.Response:
        fields = {} if placeholder is None else {"Authorization": f"Bearer {placeholder}"}
        fields |= {} if cookie is None else {"Cookie": f"bff={cookie}"}
        return self.place.client.request(method, f"/api{path}", headers=fields, **more)

    def _called(self, shop: Shop, caller: Owner, call: str, **more: Any) -> httpx2.Response:
        self.overheard()
        return self.ask(shop.cookie, caller.tokens["access_token"], *AUTH_CALLS[call], **more)

    def _judged(self, shop: Shop, placeholder: str, call: str, answer: httpx2.Response) -> None:
        owner, records = shop.named("access_token", placeholder), self.overheard()
        assert "set-cookie" not in answer.headers
        if owner is None or (owner.account is None and call in _FOR_CUSTOMERS):
            _is_refusal(answer)
            assert records == [], "upstream heard of it"
        else:
            self._shows(owner, call, answer)
            self._heard_as(owner, records)
        self.place.reached[f"{call} as {_kind(owner)}"] += 1

    def _shows(self, owner: Owner | None, call: str, answer: httpx2.Response) -> None:
        """Assert that an answer is for this guest or customer, or a refusal for nobody."""
        if owner is None:
            _is_refusal(answer)
            return
        assert answer.status_code in {200, 204}, answer.text
        number = owner.account.number if owner.account is not None else "00000000"
        if call == "me":
            assert answer.json()["customerNumber"] == number
        if call == "cart":
            key, cart = owner.account or owner, str(answer.json()["id"])
            assert self._carts.setdefault(key, cart) == cart
            assert list(self._carts.values()).count(cart) == 1, "two have one cart"

    def _heard_as(self, owner: Owner, records: list[dict[str, Any]]) -> None:
        """Assert as whom upstream saw the call, which may have renewed a token first."""
        last = records[-1]
        number = owner.account.number if owner.account is not None else None
        assert (last["bearer"], last["customer"]) == (_kind(owner), number)
        assert {one["customer"] for one in records} <= {None, number}
        owner.emporix = owner.emporix or str(last["sessionId"])
        assert last["sessionId"] == owner.emporix
        if owner.account is None:
            assert self._guests.setdefault(owner.emporix, owner) is owner, "two guests are one"

    def _learned(self, owner: Owner, answer: httpx2.Response) -> None:
        """Take the placeholders of an answer: new ones for whoever is new, else the same as ever."""
        told = {name: str(answer.json()[name]) for name in TOKENS if name in answer.json()}
        assert len(set(told.values())) == len(told) >= 2
        for name, placeholder in told.items():
            if name not in owner.tokens:
                assert placeholder not in self.placeholders, "a placeholder was given out twice"
                self.placeholders.append(placeholder)
                owner.tokens[name] = placeholder
        assert told.items() <= owner.tokens.items()

    def _takes_cookie(self, shop: Shop, answer: httpx2.Response) -> None:
        for one in answer.headers.get_list("set-cookie"):
            shop.cookie = SimpleCookie(one)["bff"].value or None

    def _spend(self, shop: Shop, guest: Owner | None) -> None:
        """Remember a cookie that ends now, with the guest that it held if it held no customer."""
        assert shop.cookie is not None
        self.spent.append((shop.cookie, guest if shop.customer is None else None))

    def _ended(self, shop: Shop, answer: httpx2.Response) -> None:
        self._spend(shop, None)
        self._takes_cookie(shop, answer)
        assert shop.cookie is None
        shop.guest = shop.customer = None

    def _account(self, name: str) -> Account:
        credentials = {"email": f"{name}-{next(_numbers)}@example.com", "password": f"{name}-has-a-secret"}
        number = self.place.sandbox.control("POST", "/customers", credentials)["id"]
        return Account(credentials["email"], credentials["password"], number)


def _kind(owner: Owner | None) -> str:
    if owner is None:
        return "nobody"
    return "anonymous" if owner.account is None else "customer"


def _body(call: str) -> dict[str, Any] | None:
    method, _ = (CALLS | AUTH_CALLS)[call]
    return None if method == "GET" else {"company": "A", "email": "x@example.com", "password": "x"}


def _is_refusal(answer: httpx2.Response) -> None:
    """Assert that an answer is Emporix's own 401."""
    assert answer.status_code == 401, answer.text
    assert set(answer.json()) == {"fault"}
    assert answer.headers["content-type"] == "application/json"
