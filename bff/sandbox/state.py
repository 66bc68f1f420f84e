"""What a sandbox can be told: its knobs, and the demo customers that every fresh one knows."""

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
ContextBirth = Literal["login", "cart"]
Refusal = Literal["bad_request", "unauthorized", "apigee"]

_CHOICES: Final[dict[str, frozenset[str]]] = {
    "anonymous_rotation": frozenset({"strict", "tolerant"}),
    "customer_rotation": frozenset({"strict", "tolerant"}),
    "refresh_window": frozenset({"sliding", "fixed"}),
    "refresh_bearer": frozenset({"anonymous", "customer", "both"}),
    "context_created_at": frozenset({"login", "cart"}),
    "refresh_refusal": frozenset({"bad_request", "unauthorized", "apigee"}),
}


@dataclass(slots=True)
class Knobs:
    """Where the documentation is silent, contradicts itself or leaves it to the tenant, a knob decides.

    Attributes:
        tenant: the one tenant served.
        client_id: the one storefront client known.
        anonymous_expires_in: seconds of a guest's access token.
        anonymous_refresh_expires_in: seconds of a guest's refresh token.
        customer_expires_in: seconds of the access token that a login gives.
        customer_refresh_expires_in: seconds of the refresh token that a login gives.
        refreshed_expires_in: seconds of the access token that refreshauthtoken gives.
        refreshed_refresh_expires_in: seconds of the refresh token that refreshauthtoken gives (sliding).
        saas_expires_in: seconds of a saas token.
        exchange_expires_in: seconds of the access token that exchangeauthtoken gives.
        exchange_refresh_expires_in: seconds of the refresh token that exchangeauthtoken gives.
        social_expires_in: seconds of the access token that socialLogin gives.
        social_refresh_expires_in: seconds of the refresh token that socialLogin gives.
        anonymous_rotation: whether a used refresh token of a guest works again (tolerant) or not (strict).
        customer_rotation: the same for a customer's.
        refresh_window: whether a renewal restarts the refresh lifetime (sliding) or keeps its end (fixed).
        refresh_bearer: whose access token refreshauthtoken wants as bearer; the sources disagree.
        refresh_refusal: what a refused refresh token gets: E2 400, E1 401, or the gateway's own 401.
        camel_names: whether token answers carry the deprecated camelCase names.
        snake_names: whether token answers carry the snake_case names.
        anonymous_token_variant: whether anonymous refresh takes the deprecated `anonymous_token` alone.
        context_created_at: whether the session context begins at anonymous login or with the first cart.
        old_access_valid_after_refresh: whether the previous access token outlives a renewal.
        logout_kills_refresh: whether logout also ends the refresh and saas tokens of the session.
        anonymous_valid_after_login: whether the guest's tokens outlive the login that took their session.
        password_change_revokes: whether a password change ends the customer's tokens.
        signup_inactive: whether a new account waits for an employee.
        opt_in: whether a new account waits for its activation mail (double opt-in).
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
    refresh_refusal: Refusal = "bad_request"
    camel_names: bool = True
    snake_names: bool = True
    anonymous_token_variant: bool = True
    context_created_at: ContextBirth = "login"
    old_access_valid_after_refresh: bool = True
    logout_kills_refresh: bool = True
    anonymous_valid_after_login: bool = True
    password_change_revokes: bool = False
    signup_inactive: bool = False
    opt_in: bool = False
    autoprovision: bool = True

    def changed(self, wanted: Mapping[str, Any]) -> "Knobs":
        """Return a copy with `wanted` applied; names in snake_case or camelCase.

        Raises:
            ValueError: for an unknown name or a value of the wrong kind.
        """
        values = {_snake(name): value for name, value in wanted.items()}
        for name, value in values.items():
            _judge(name, value)
        return dataclasses.replace(self, **values)

    def as_json(self) -> dict[str, Any]:
        """Return every knob under its camelCase name."""
        return {_camel(field.name): getattr(self, field.name) for field in dataclasses.fields(self)}


def _judge(name: str, value: object) -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(Knobs)}
    if name not in defaults:
        raise ValueError(f"unknown knob: {name}")
    if type(value) is not type(defaults[name]):
        raise ValueError(f"{name} wants {type(defaults[name]).__name__}")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise ValueError(f"{name} wants one of {', '.join(sorted(_CHOICES[name]))}")


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda hit: "_" + hit[0].lower(), name)


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda hit: hit[1].upper(), name)
