"""The token endpoints: anonymous login and refresh, login, logout, refresh, validation.

Member names differ between endpoints, as documented: anonymous login, anonymous refresh and validation return
`sessionId`; login, refresh and exchange return `session_id`; social login returns neither.
"""

from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers, issuer
from bff.sandbox.records import Customer, RefreshToken
from bff.sandbox.routing import Bearer, Call, Entry
from bff.sandbox.world import World

SCOPES: Final = (
    "approval.approval_read_own approval.approval_manage_own customer.customer_read_own "
    "customer.customer_manage_own customer.customerprofile_view customer.customerprofile_edit "
    "customermanagement.legalentity_read_own order.history_view order.order_readascustomer "
    "order.order_updateascustomer quote.quote_read_own quote.quote_manage_own "
    "returns.returns_read_own returns.returns_manage_own coupon.coupon_redeem"
)
_SEEDS: Final = ("currency", "siteCode", "language", "targetLocation")
_CAMEL: Final = {
    "access_token": "accessToken",
    "saas_token": "saasToken",
    "expires_in": "expiresIn",
    "refresh_token": "refreshToken",
    "refresh_token_expires_in": "refreshTokenExpiresIn",
}


def anonymous_login(call: Call) -> Response:
    """Create a session by a GET without a bearer token; takes `tenant`, or `hybris-tenant` from old storefronts."""
    _check_client(call)
    session = issuer.create_session(call.world, _context_seeds(call))
    return JSONResponse(_anonymous_response(call.world, issuer.issue_anonymous(call.world, session)))


def anonymous_refresh(call: Call) -> Response:
    """Refresh a guest's tokens; with the deprecated `anonymous_token` only, the response has no refresh members."""
    _check_client(call)
    world = call.world
    value = call.query.get("refresh_token") or _by_access_token(call)
    if not value:
        raise answers.bad_request("refresh_token is missing.", refresh_token="must not be empty")
    used = issuer.usable_refresh(world, value, "anonymous")
    session = world.sessions[used.session_id]
    _update_context(world, used, _context_seeds(call))
    response = _anonymous_response(world, issuer.issue_anonymous(world, session, used))
    if "refresh_token" not in call.query:
        del response["refresh_token"], response["refresh_token_expires_in"]
    return JSONResponse(response)


def login(call: Call) -> Response:
    """Log in with credentials and the guest's bearer token; the customer gets the guest's session."""
    body, world = call.fields(), call.world
    email, password = body.get("email"), body.get("password")
    if not isinstance(email, str) or not email:
        raise answers.bad_request("The login is not valid.", email="must not be empty")
    if not isinstance(password, str) or len(password) < 6:
        raise answers.bad_request("The login is not valid.", password="needs at least 6 characters")
    customer = world.customer_by_email(email)
    if customer is None or customer.password != password:
        raise _refused_login(world)
    if not customer.active:
        raise answers.customer(401, "unauthorized", "The account is not active.")
    return JSONResponse(log_in(call, customer))


def _refused_login(world: World) -> answers.SandboxError:
    match world.knobs.login_refusal:
        case "service":
            return answers.customer(401, "unauthorized", "Invalid credentials.")
        case "bad_request":
            return answers.bad_request("Invalid credentials.")
        case _:
            return answers.invalid_token()


def log_in(call: Call, customer: Customer) -> dict[str, Any]:
    """Turn the guest's session into the customer's and return the response of a login."""
    knobs = call.world.knobs
    life, refresh_life = knobs.customer_expires_in, knobs.customer_refresh_expires_in
    issued = issuer.issue_customer(call.world, call.session, customer, life, refresh_life)
    return customer_response(call.world, issued) | {"initialPassword": customer.initial_password}


def logout(call: Call) -> Response:
    """Log out by a GET that needs the token twice: as the bearer token and as `accessToken` in the query."""
    presented = call.query.get("accessToken")
    if not presented:
        raise answers.bad_request("accessToken is missing.", accessToken="must not be empty")
    if presented != call.token.value:
        raise answers.invalid_token()
    call.token.revoked = True
    if call.world.knobs.logout_kills_refresh:
        for token in call.world.tokens_of(call.session.id, call.customer.number):
            token.revoked = True
    session = call.session
    session.ended, session.customer, session.legal_entity, session.context = True, None, None, None
    return Response(status_code=204)


def refresh(call: Call) -> Response:
    """Refresh a customer's tokens or switch the legal entity.

    The sources disagree about which access token must be the bearer token, and nothing says what the wrong one gets,
    what a legal entity gets that is not the customer's, and whether a saas token comes: knobs decide.
    """
    world, value = call.world, call.query.get("refreshToken")
    _check_refresh_bearer(call.bearer, world)
    if not value:
        raise answers.bad_request("refreshToken is missing.", refreshToken="must not be empty")
    used = issuer.usable_refresh(world, value, "customer")
    entity = call.query.get("legalEntityId") or None
    if entity is not None and entity not in world.customers[used.customer or ""].legal_entities:
        raise _refused_company(world)
    response = customer_response(world, issuer.refresh_customer(world, used, entity))
    empty = {"saas_token": None} if world.knobs.refreshed_saas == "null" else {}
    return JSONResponse(response | empty)


def _refused_company(world: World) -> answers.SandboxError:
    match world.knobs.company_refusal:
        case "bad_request":
            return answers.bad_request("The legal entity is not valid.")
        case "not_found":
            return answers.customer(404, "element_resource_non_existing", "The legal entity was not found.")
        case _:
            return answers.forbidden()


def validate(call: Call) -> Response:
    """Return the remaining lifetime of the bearer token, and `legalEntityId` if a legal entity is active."""
    token = call.token
    if token.kind != "customer":
        raise answers.invalid_token()
    entity = {"legalEntityId": token.legal_entity} if token.legal_entity else {}
    response = {
        "token_type": "Bearer",
        "expires_in": int(token.expires_at - call.world.now()),
        "scope": scope_of(call.world),
        "sessionId": token.session_id,
        "email": call.customer.email,
    }
    return JSONResponse(response | entity)


def customer_response(world: World, issued: issuer.IssuedTokens) -> dict[str, Any]:
    """Return the response of login and refresh, with the member names that the knobs select."""
    tokens = {
        "access_token": issued.access.value,
        "expires_in": remaining(world, issued.access.expires_at),
        "refresh_token": issued.refresh.value,
        "refresh_token_expires_in": remaining(world, issued.refresh.expires_at),
    } | ({"saas_token": issued.saas.value} if issued.saas else {})
    snake = tokens if world.knobs.snake_names else {}
    camel = {_CAMEL[name]: value for name, value in tokens.items()} if world.knobs.camel_names else {}
    return {**snake, **camel, "token_type": "Bearer", "session_id": issued.session.id}


def remaining(world: World, ends: float) -> int:
    return max(0, round(ends - world.now()))


def scope_of(world: World) -> str:
    return f"{SCOPES} tenant={world.knobs.tenant}"


def _anonymous_response(world: World, issued: issuer.IssuedTokens) -> dict[str, Any]:
    return {
        "token_type": "Bearer",
        "access_token": issued.access.value,
        "expires_in": remaining(world, issued.access.expires_at),
        "refresh_token": issued.refresh.value,
        "refresh_token_expires_in": remaining(world, issued.refresh.expires_at),
        "sessionId": issued.session.id,
        "scope": f"tenant={world.knobs.tenant}",
    }


def _check_client(call: Call) -> None:
    tenant = call.query.get("tenant") or call.query.get("hybris-tenant")
    if tenant != call.world.knobs.tenant:
        raise answers.bad_tenant()
    if call.query.get("client_id") != call.world.knobs.client_id:
        raise answers.invalid_api_key()


def _context_seeds(call: Call) -> dict[str, str]:
    return {name: call.query[name] for name in _SEEDS if call.query.get(name)}


def _by_access_token(call: Call) -> str | None:
    value = call.query.get("anonymous_token")
    if not value or not call.world.knobs.anonymous_token_variant:
        return None
    return next((one.value for one in call.world.refresh.values() if one.access == value), None)


def _update_context(world: World, used: RefreshToken, seeds: dict[str, str]) -> None:
    session = world.sessions[used.session_id]
    session.seeds |= seeds
    if session.context is not None and seeds:
        context = session.context
        context.currency = seeds.get("currency", context.currency)
        context.site_code = seeds.get("siteCode", context.site_code)
        context.target_location = seeds.get("targetLocation", context.target_location)
        context.version += 1


def _check_refresh_bearer(bearer: Bearer, world: World) -> None:
    if world.knobs.refresh_bearer not in {"both", bearer.kind}:
        forbidden = world.knobs.bearer_refusal == "forbidden"
        raise answers.forbidden() if forbidden else answers.invalid_token()


ROUTES: Final = (
    Entry("GET", "/customerlogin/auth/anonymous/login", "none", anonymous_login),
    Entry("GET", "/customerlogin/auth/anonymous/refresh", "none", anonymous_refresh),
    Entry("POST", "/customer/{tenant}/login", "anonymous", login),
    Entry("GET", "/customer/{tenant}/logout", "customer", logout),
    Entry("GET", "/customer/{tenant}/refreshauthtoken", "any", refresh),
    Entry("GET", "/customer/{tenant}/validateauthtoken", "any", validate),
)
