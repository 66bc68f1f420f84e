"""Two browsers in drop-in mode call with every placeholder that was ever given out, at a proxy with two workers."""

import itertools
from collections.abc import Iterator
from typing import ClassVar, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from bff.config.embedded_redis import EmbeddedRedis
from tests.fuzz import profiles
from tests.fuzz.actors import Place
from tests.fuzz.stock_shops import AUTH_CALLS, CALLS, Mall, Owner, Shop
from tests.live import LiveProxy, Sandbox, environment

_EXAMPLES, _STEPS = 10, 25
_AT = st.integers(0, 99)
_WHO = st.sampled_from(["left", "right"])
_AS = st.sampled_from(["guest", "customer"])
_ACCOUNT = st.sampled_from(["ann", "bob"])
_CALL = st.sampled_from(sorted(CALLS))
_ANY_CALL = st.sampled_from(sorted(CALLS | AUTH_CALLS))
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class PlaceholderLife(RuleBasedStateMachine):
    """Steps are what storefronts, a thief and upstream may do next; one that has no meaning yet is skipped."""

    place: ClassVar[Place]

    def __init__(self) -> None:
        super().__init__()
        self.mall = Mall(self.place)

    @initialize(customer=st.booleans())
    def begins_with(self, customer: bool) -> None:  # noqa: FBT001 - drawn by name
        for shop, account in zip(self.mall.shops.values(), ("ann", "bob"), strict=True):
            self.mall.begins(shop)
            if customer and shop.guest is not None:
                self.mall.logs_in(shop, shop.guest, self.mall.accounts[account])

    @rule(who=_WHO)
    def begins(self, who: str) -> None:
        self.mall.begins(self.mall.shops[who])

    @rule(who=_WHO, name=_AS, account=_ACCOUNT)
    def logs_in(self, who: str, name: str, account: str) -> None:
        shop = self.mall.shops[who]
        if (caller := holder(shop, name)) is not None:
            self.mall.logs_in(shop, caller, self.mall.accounts[account])

    @rule(who=_WHO, name=_AS, account=_ACCOUNT)
    def mistypes(self, who: str, name: str, account: str) -> None:
        shop = self.mall.shops[who]
        if (caller := holder(shop, name)) is not None:
            self.mall.mistypes(shop, caller, self.mall.accounts[account])

    @rule(who=_WHO, name=_AS)
    def logs_out(self, who: str, name: str) -> None:
        shop = self.mall.shops[who]
        if (caller := holder(shop, name)) is not None:
            self.mall.logs_out(shop, caller)

    @rule(who=_WHO)
    def logs_out_while_calling(self, who: str) -> None:
        shop = self.mall.shops[who]
        if (caller := holder(shop, "customer")) is not None:
            self.mall.logs_out_while_calling(shop, caller)

    @rule(who=_WHO, name=_AS, call=_CALL)
    def calls(self, who: str, name: str, call: str) -> None:
        shop = self.mall.shops[who]
        if (caller := holder(shop, name)) is not None:
            self.mall.calls(shop, caller.tokens["access_token"], call)

    @rule(who=_WHO, at=_AT, call=_CALL)
    def calls_with_any(self, who: str, at: int, call: str) -> None:
        self.mall.calls(self.mall.shops[who], self.any_placeholder(at), call)

    @rule(who=_WHO, at=_AT, call=_ANY_CALL)
    def calls_with_what_is_not_its_own(self, who: str, at: int, call: str) -> None:
        shop, placeholder = self.mall.shops[who], self.any_placeholder(at)
        if shop.named("access_token", placeholder) is None:
            self.mall.is_refused(shop.cookie, placeholder, call)

    @rule(at=_AT, call=_ANY_CALL)
    def calls_without_a_cookie(self, at: int, call: str) -> None:
        self.mall.is_refused(None, self.any_placeholder(at), call)

    @rule(at=_AT, spent=_AT, call=_ANY_CALL)
    def calls_with_a_cookie_that_ended(self, at: int, spent: int, call: str) -> None:
        if self.mall.spent:
            self.mall.calls_with_spent(spent, self.any_placeholder(at), call)

    @rule(who=_WHO, at=_AT, bit=st.integers(0, 19), call=_ANY_CALL)
    def calls_with_one_changed(self, who: str, at: int, bit: int, call: str) -> None:
        text = self.any_placeholder(at)
        other = _ALPHABET[(_ALPHABET.find(text[bit]) + 1) % len(_ALPHABET)]
        self.mall.is_refused(self.mall.shops[who].cookie, text[:bit] + other + text[bit + 1 :], call)

    @rule(who=_WHO, ats=st.lists(_AT, min_size=2, max_size=4))
    def calls_at_once(self, who: str, ats: list[int]) -> None:
        shop = self.mall.shops[who]
        own = [one.tokens["access_token"] for one in shop.owners() if one.tokens]
        self.mall.calls_at_once(shop, own + [self.any_placeholder(at) for at in ats])

    @rule(who=_WHO, name=_AS, at=_AT, own=st.booleans())
    def renews(self, who: str, name: str, at: int, own: bool) -> None:  # noqa: FBT001 - drawn by name
        shop = self.mall.shops[who]
        caller, customer = holder(shop, name), shop.customer
        if caller is not None:
            own_one = customer.tokens["refresh_token"] if own and customer is not None else None
            self.mall.renews(shop, caller, own_one or self.any_placeholder(at))

    @rule(who=_WHO, at=_AT, own=st.booleans())
    def renews_the_guest(self, who: str, at: int, own: bool) -> None:  # noqa: FBT001 - drawn by name
        shop = self.mall.shops[who]
        guest = holder(shop, "guest") if own else None
        self.mall.renews_guest(shop, guest.tokens["refresh_token"] if guest else self.any_placeholder(at))

    @rule(who=_WHO)
    def loses_its_cookie(self, who: str) -> None:
        self.mall.shops[who] = Shop()

    @rule(who=_WHO, name=_AS)
    def upstream_forgets(self, who: str, name: str) -> None:
        if (owner := holder(self.mall.shops[who], name)) is not None:
            self.mall.upstream_forgets(owner)

    @rule(who=_WHO)
    def a_login_ends_upstream(self, who: str) -> None:
        shop = self.mall.shops[who]
        if (customer := holder(shop, "customer")) is not None:
            self.mall.login_ends_upstream(shop, customer)

    @invariant()
    def placeholders_stand_for_whom_they_did(self) -> None:
        self.mall.settled()

    def teardown(self) -> None:
        self.mall.sealed()

    def any_placeholder(self, at: int) -> str:
        """Return one that was ever given out, the newest for 0."""
        return self.mall.placeholders[::-1][at % len(self.mall.placeholders)]


def holder(shop: Shop, name: str) -> Owner | None:
    """Return a browser's guest or customer, where a client has its placeholders."""
    found = shop.guest if name == "guest" else shop.customer
    return found if found is not None and found.tokens else None


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with (
        Sandbox() as sandbox,
        EmbeddedRedis.start(tmp_path_factory.mktemp("redis")) as own,
        LiveProxy(environment(sandbox, own.url, BFF_DROP_IN="true"), "--workers", "2", group=True) as proxy,
    ):
        place = Place(sandbox, proxy, own.url)
        yield place
        place.client.close()


def test_a_placeholder_acts_as_whom_it_names_and_opens_nothing_elsewhere(place: Place) -> None:
    bounded = settings(profiles.budget(_EXAMPLES), stateful_step_count=_STEPS, report_multiple_bugs=False)
    machine = type("PlaceholderLife", (PlaceholderLife,), {"place": place})
    place.reached.clear()
    for _ in profiles.rounds():
        run_state_machine_as_test(machine, settings=bounded)
    assert {"me as customer", "me as anonymous", "refused with one"} <= set(place.reached), place.reached


def test_each_kind_of_placeholder_with_each_call(place: Place) -> None:
    mall = Mall(place)
    left, right = mall.shops.values()
    for shop, account in ((left, "ann"), (right, "bob")):
        mall.begins(shop)
        for name in ("guest", "customer", "guest"):
            caller = held(shop, name)
            mall.mistypes(shop, caller, mall.accounts[account])
            mall.logs_in(shop, caller, mall.accounts[account])
            mall.begins(shop)
            mall.settled()
        mall.upstream_forgets(held(shop, "customer"))
        mall.logs_out(shop, held(shop, "guest"))
        mall.renews(shop, held(shop, "guest"), held(shop, "customer").tokens["refresh_token"])
        mall.renews_guest(shop, held(shop, "guest").tokens["refresh_token"])
    mall.calls_at_once(left, mall.placeholders)
    for placeholder, call in zip(mall.placeholders, itertools.cycle(sorted(CALLS | AUTH_CALLS))):
        mall.renews(left, held(left, "customer"), placeholder)
        mall.renews_guest(left, placeholder)
        for each in CALLS:
            mall.calls(left, placeholder, each)
        mall.is_refused(None, placeholder, call)
        mall.calls_with_spent(len(mall.spent) - 1, placeholder, call)
        if right.named("access_token", placeholder) is None:
            mall.is_refused(right.cookie, placeholder, call)
    mall.login_ends_upstream(left, held(left, "customer"))
    mall.logs_out(right, held(right, "customer"))
    for placeholder in mall.placeholders:
        mall.calls(left, placeholder, "me")
        mall.calls_with_spent(len(mall.spent) - 1, placeholder, "me")
    mall.logs_in(left, held(left, "guest"), mall.accounts["ann"])
    mall.logs_out_while_calling(left, held(left, "customer"))
    mall.begins(left)
    mall.settled()
    mall.sealed()
    assert "refused without a cookie" in place.reached


def held(shop: Shop, name: str) -> Owner:
    found = holder(shop, name)
    assert found is not None
    return found
