"""The knobs of a sandbox, which configure its behaviour, and the demo customers."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

DEMO_EMAIL: Final = "ada@example.com"
DEMO_PASSWORD: Final = "correct-horse-battery"
SECOND_EMAIL: Final = "grace@example.com"
SECOND_PASSWORD: Final = "another-horse-battery"

Rotation = Literal["strict", "tolerant"]
Window = Literal["sliding", "fixed"]
RefreshBearer = Literal["anonymous", "customer", "both"]
ContextCreation = Literal["login", "cart"]
Refusal = Literal["bad_request", "unauthorized", "apigee"]
LoginRefusal = Literal["gateway", "service", "bad_request"]
WrongKind = Literal["forbidden", "unauthorized"]
ContextAfterLogin = Literal["kept", "absent"]
GuestCarts = Literal["shown", "forbidden", "not_found"]
BearerRefusal = Literal["unauthorized", "forbidden"]
CompanyRefusal = Literal["bad_request", "forbidden", "not_found"]
RefreshedSaas = Literal["absent", "null", "present"]
CompanyCarts = Literal["refused", "merged"]

_CHOICES: Final[dict[str, frozenset[str]]] = {
    "anonymous_rotation": frozenset({"strict", "tolerant"}),
    "customer_rotation": frozenset({"strict", "tolerant"}),
    "refresh_window": frozenset({"sliding", "fixed"}),
    "refresh_bearer": frozenset({"anonymous", "customer", "both"}),
    "context_created_at": frozenset({"login", "cart"}),
    "refresh_refusal": frozenset({"bad_request", "unauthorized", "apigee"}),
    "guest_carts": frozenset({"shown", "forbidden", "not_found"}),
    "wrong_kind": frozenset({"forbidden", "unauthorized"}),
    "context_after_login": frozenset({"kept", "absent"}),
    "login_refusal": frozenset({"gateway", "service", "bad_request"}),
    "bearer_refusal": frozenset({"unauthorized", "forbidden"}),
    "company_refusal": frozenset({"bad_request", "forbidden", "not_found"}),
    "refreshed_saas": frozenset({"absent", "null", "present"}),
    "company_carts": frozenset({"refused", "merged"}),
}


@dataclass(slots=True)
class Knobs:
    """The behaviour where the documentation says nothing, contradicts itself, or leaves it to the tenant.

    Attributes:
        tenant: the only tenant.
        client_id: the only storefront client.
        anonymous_expires_in: lifetime of a guest's access token in seconds.
        anonymous_refresh_expires_in: lifetime of a guest's refresh token in seconds.
        customer_expires_in: lifetime of the access token after a login.
        customer_refresh_expires_in: lifetime of the refresh token after a login.
        refreshed_expires_in: lifetime of the access token after refreshauthtoken.
        refreshed_refresh_expires_in: lifetime of the refresh token after refreshauthtoken (sliding window).
        saas_expires_in: lifetime of a saas token.
        exchange_expires_in: lifetime of the access token after exchangeauthtoken.
        exchange_refresh_expires_in: lifetime of the refresh token after exchangeauthtoken.
        social_expires_in: lifetime of the access token after socialLogin.
        social_refresh_expires_in: lifetime of the refresh token after socialLogin.
        anonymous_rotation: whether a guest's refresh token can be used again (tolerant) or only once (strict).
        customer_rotation: the same for a customer's refresh token.
        refresh_window: whether a refresh restarts the lifetime of the refresh token (sliding) or not (fixed).
        refresh_bearer: whose access token refreshauthtoken needs as the bearer token; the sources disagree.
        bearer_refusal: the response to the wrong kind of bearer token there: the gateway's 401, or a 403.
        company_refusal: the response to a legal entity that is not the customer's, or not any more.
        company_at_login: whether a login is for the first of the customer's legal entities, or for none.
        company_carts: the response where a guest's cart is merged into a legal entity's; a refusal was met on a live
            tenant, the documentation says nothing.
        refreshed_saas: whether the response of refreshauthtoken has a saas token, null in its place, or no such member.
        refresh_refusal: the response to an invalid refresh token: E2 400, E1 401, or the gateway's own 401.
        guest_carts: what a customer's token gets for a guest's cart; both the cart and a 404 were met on live tenants.
        login_refusal: the response to wrong credentials: the gateway's 401, which is the only documented one, or a 401
            or a 400 of the customer service.
        wrong_kind: the response to a guest's token where a customer's is needed, or the other way round: 403 or 401;
            nothing is documented.
        context_after_login: whether the session context is there right after a login, or only with the next cart.
        items_need_site: whether an item is added only with the query's `siteCode`, which the specification requires and
            live storefronts send.
        agent_stream_events: how many events an agent's stream has before its last one.
        agent_stream_pause_ms: the pause after each of them, in milliseconds.
        camel_names: whether token responses have the deprecated camelCase names.
        snake_names: whether token responses have the snake_case names.
        anonymous_token_variant: whether anonymous refresh accepts the deprecated `anonymous_token`.
        context_created_at: whether the session context is created at anonymous login or with the first cart.
        old_access_valid_after_refresh: whether the old access token stays valid after a refresh.
        logout_kills_refresh: whether a logout also revokes the refresh and saas tokens of the session.
        anonymous_valid_after_login: whether the guest's tokens stay valid after a login.
        password_change_revokes: whether a password change revokes the customer's tokens.
        signup_inactive: whether a new account must be activated by an employee.
        opt_in: whether a new account must be activated by e-mail (double opt-in).
        autoprovision: whether socialLogin and exchangeauthtoken create unknown customers.
    """

    tenant: str = "acmeshop"
    client_id: str = "storefront"
    anonymous_expires_in: int = 3599
    anonymous_refresh_expires_in: int = 86399
    customer_expires_in: int = 2591999
    customer_refresh_expires_in: int = 86399
    refreshed_expires_in: int = 2591999
    refreshed_refresh_expires_in: int = 86390
    saas_expires_in: int = 14400
    exchange_expires_in: int = 14399
    exchange_refresh_expires_in: int = 15551999
    social_expires_in: int = 2591999
    social_refresh_expires_in: int = 86399
    anonymous_rotation: Rotation = "tolerant"
    customer_rotation: Rotation = "strict"
    refresh_window: Window = "sliding"
    refresh_bearer: RefreshBearer = "anonymous"
    bearer_refusal: BearerRefusal = "unauthorized"
    company_refusal: CompanyRefusal = "forbidden"
    company_at_login: bool = False
    company_carts: CompanyCarts = "refused"
    refreshed_saas: RefreshedSaas = "absent"
    refresh_refusal: Refusal = "bad_request"
    login_refusal: LoginRefusal = "gateway"
    guest_carts: GuestCarts = "shown"
    wrong_kind: WrongKind = "forbidden"
    context_after_login: ContextAfterLogin = "kept"
    items_need_site: bool = False
    agent_stream_events: int = 3
    agent_stream_pause_ms: int = 50
    camel_names: bool = True
    snake_names: bool = True
    anonymous_token_variant: bool = True
    context_created_at: ContextCreation = "login"
    old_access_valid_after_refresh: bool = True
    logout_kills_refresh: bool = True
    anonymous_valid_after_login: bool = True
    password_change_revokes: bool = False
    signup_inactive: bool = False
    opt_in: bool = False
    autoprovision: bool = True

    def changed(self, wanted: Mapping[str, Any]) -> "Knobs":
        """Return a copy with the knobs in `wanted` changed; their names may be snake_case or camelCase.

        Raises:
            ValueError: a name is unknown, or a value is not valid.
        """
        values = {_snake(name): value for name, value in wanted.items()}
        for name, value in values.items():
            _check(name, value)
        return dataclasses.replace(self, **values)

    def as_json(self) -> dict[str, Any]:
        """Return all knobs with camelCase names."""
        return {_camel(field.name): getattr(self, field.name) for field in dataclasses.fields(self)}


def _check(name: str, value: object) -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(Knobs)}
    if name not in defaults:
        raise ValueError(f"unknown knob: {name}")
    if type(value) is not type(defaults[name]):
        raise ValueError(f"{name} must be of type {type(defaults[name]).__name__}")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise ValueError(f"{name} must be one of {', '.join(sorted(_CHOICES[name]))}")


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda hit: "_" + hit[0].lower(), name)


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda hit: hit[1].upper(), name)
