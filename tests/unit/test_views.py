"""What storefronts see of a session."""

import json

from bff.auth.views import session_view, validation_view
from bff.emporix.token_answers import Validation
from bff.security.secret import Secret
from bff.session import SessionKind
from tests.support import NOW, a_session, tokens

MEMBERS = {
    *("kind", "customer", "legalEntityId", "initialPassword", "version"),
    *("createdAt", "idleExpiresAt", "expiresAt"),
}
CUSTOMER = a_session(
    kind=SessionKind.CUSTOMER,
    email="ada@example.com",
    legal_entity_id="LE-1",
    version=3,
    initial_password=True,
    tokens=tokens(saas=Secret("saas-token-of-ada")),
)


def test_without_a_session_everything_but_the_kind_is_null() -> None:
    view = session_view(None)
    assert set(view) == MEMBERS
    assert view.pop("kind") == "none"
    assert set(view.values()) == {None}


def test_a_guest_has_no_customer() -> None:
    view = session_view(a_session())
    assert set(view) == MEMBERS
    assert (view["kind"], view["customer"], view["legalEntityId"]) == ("anonymous", None, None)
    assert (view["version"], view["initialPassword"]) == (1, False)


def test_a_customers_view_says_who_and_for_whom() -> None:
    view = session_view(CUSTOMER)
    assert set(view) == MEMBERS
    assert (view["kind"], view["customer"]) == ("customer", {"email": "ada@example.com"})
    assert (view["legalEntityId"], view["version"], view["initialPassword"]) == ("LE-1", 3, True)


def test_times_are_rfc_3339_in_utc() -> None:
    view = session_view(a_session(created_at=NOW + 0.25))
    assert view["createdAt"] == "2027-01-15T08:00:00.250Z"
    assert view["idleExpiresAt"] == "2027-01-16T08:00:00.000Z"
    assert view["expiresAt"] == "2027-01-22T08:00:00.000Z"


def test_idling_never_ends_after_the_session() -> None:
    view = session_view(a_session(idle_seconds=10**6))
    assert view["idleExpiresAt"] == view["expiresAt"]


def test_no_view_holds_a_token_or_an_id() -> None:
    found = Validation(60, "scope", "ada@example.com", "LE-1")
    shown = json.dumps([session_view(CUSTOMER), validation_view(CUSTOMER, found)])
    held = CUSTOMER.tokens
    assert held.refresh is not None
    assert held.saas is not None
    for secret in (held.access, held.refresh, held.saas, CUSTOMER.upstream_session_id):
        assert secret.reveal() not in shown


def test_a_validation_leaves_out_what_upstream_did_not_say() -> None:
    bare = validation_view(a_session(), Validation(60, None, None, None))
    assert bare == {"kind": "anonymous", "expiresIn": 60, "scope": None}
    full = validation_view(CUSTOMER, Validation(60, "s", "ada@example.com", "LE-1"))
    assert full == {
        "kind": "customer",
        "expiresIn": 60,
        "scope": "s",
        "email": "ada@example.com",
        "legalEntityId": "LE-1",
    }
