"""Issues tokens, with the rules for rotation, refresh windows and sessions."""

from dataclasses import dataclass

from bff.sandbox import answers, tokens
from bff.sandbox.records import AccessToken, Context, Customer, Kind, RefreshToken, SaasToken, Session
from bff.sandbox.world import World


@dataclass(slots=True, frozen=True)
class IssuedTokens:
    """The tokens that one request is issued; each endpoint has its own response format."""

    session: Session
    access: AccessToken
    refresh: RefreshToken
    saas: SaasToken | None = None


def create_session(world: World, seeds: dict[str, str]) -> Session:
    session = Session(tokens.session_id(), seeds)
    world.sessions[session.id] = session
    world.session_ids.add(session.id)
    if world.knobs.context_created_at == "login":
        ensure_context(world, session)
    return session


def ensure_context(world: World, session: Session) -> Context:
    """Return the context of a session; create it from the values of the anonymous login if it does not exist."""
    if session.context is None:
        seeds, now = session.seeds, world.now()
        session.context = Context(
            site_code=seeds.get("siteCode", "main"),
            currency=seeds.get("currency", "EUR"),
            language=seeds.get("language", "en"),
            target_location=seeds.get("targetLocation", "DE"),
            created_at=now,
            modified_at=now,
        )
    return session.context


def issue_anonymous(world: World, session: Session, used: RefreshToken | None = None) -> IssuedTokens:
    """Issue a guest's tokens. The refresh token is always new; with strict rotation, the old one is revoked."""
    knobs = world.knobs
    ends = _window_end(world, used, knobs.anonymous_refresh_expires_in, knobs.anonymous_refresh_expires_in)
    access = _access(world, session, "anonymous", None, knobs.anonymous_expires_in)
    refresh = _refresh(world, access, ends)
    _retire(world, used, strict=knobs.anonymous_rotation == "strict")
    return IssuedTokens(session, access, refresh)


def issue_customer(
    world: World, session: Session, customer: Customer, life: int, refresh_life: int
) -> IssuedTokens:
    """Assign the session to the customer and issue all three tokens (login, SSO, exchange, opt-in)."""
    if not world.knobs.anonymous_valid_after_login:
        for token in world.tokens_of(session.id):
            token.revoked = True
    company = customer.legal_entities[:1] if world.knobs.company_at_login else []
    session.customer, session.legal_entity, session.ended = customer.number, next(iter(company), None), False
    _seed_from_profile(world, session, customer)
    if world.knobs.context_after_login == "absent":
        session.context = None
    access = _access(world, session, "customer", customer.number, life)
    refresh = _refresh(world, access, world.now() + refresh_life)
    return IssuedTokens(session, access, refresh, _saas(world, session, customer))


def refresh_customer(world: World, used: RefreshToken, legal_entity: str | None) -> IssuedTokens:
    """Refresh a customer's tokens; without an entity, the tokens have none. A knob decides about a new saas token."""
    knobs, session = world.knobs, world.sessions[used.session_id]
    ends = _window_end(world, used, knobs.customer_refresh_expires_in, knobs.refreshed_refresh_expires_in)
    session.legal_entity = legal_entity
    if session.context is not None:
        session.context.attributes.pop("legalEntityId", None)
        session.context.attributes |= {"legalEntityId": legal_entity} if legal_entity else {}
    access = _access(world, session, "customer", used.customer, knobs.refreshed_expires_in)
    refresh = _refresh(world, access, ends)
    _retire(world, used, strict=knobs.customer_rotation == "strict")
    present = knobs.refreshed_saas == "present"
    saas = _saas(world, session, world.customers[used.customer or ""]) if present else None
    return IssuedTokens(session, access, refresh, saas)


def usable_refresh(world: World, value: str, kind: Kind) -> RefreshToken:
    """Return the refresh token if it is valid.

    Raises:
        SandboxError: it is not valid; the upstream documents no format, so the `refresh_refusal` knob selects one.
    """
    token, knobs = world.refresh.get(value), world.knobs
    rotation = knobs.customer_rotation if kind == "customer" else knobs.anonymous_rotation
    if token is None or token.kind != kind or not world.alive(token) or (token.used and rotation == "strict"):
        raise _refused_refresh(world)
    return token


def _refused_refresh(world: World) -> answers.SandboxError:
    match world.knobs.refresh_refusal:
        case "unauthorized":
            return answers.invalid_token()
        case "apigee":
            return answers.SandboxError(401, dict(answers.APIGEE_REFRESH))
        case _:
            return answers.bad_request("The refresh token is not valid.")


def _window_end(world: World, used: RefreshToken | None, first: int, renewed: int) -> float:
    if used is None:
        return world.now() + first
    return used.expires_at if world.knobs.refresh_window == "fixed" else world.now() + renewed


def _retire(world: World, used: RefreshToken | None, *, strict: bool) -> None:
    if used is None:
        return
    used.used = True
    used.revoked = used.revoked or strict
    old = world.access.get(used.access)
    if old is not None and not world.knobs.old_access_valid_after_refresh:
        old.revoked = True


def _seed_from_profile(world: World, session: Session, customer: Customer) -> None:
    wanted = {
        "currency": "preferredCurrency",
        "siteCode": "preferredSite",
        "language": "preferredLanguage",
        "targetLocation": "targetLocation",
    }
    session.seeds |= {
        seed: customer.details[name] for seed, name in wanted.items() if name in customer.details
    }
    if session.context is None:
        return
    context = session.context
    context.currency = customer.details.get("preferredCurrency", context.currency)
    context.site_code = customer.details.get("preferredSite", context.site_code)
    context.language = customer.details.get("preferredLanguage", context.language)
    context.target_location = customer.details.get("targetLocation", context.target_location)
    session.context.version += 1
    session.context.modified_at = world.now()


def _access(world: World, session: Session, kind: Kind, customer: str | None, life: int) -> AccessToken:
    entity = session.legal_entity if kind == "customer" else None
    token = AccessToken(tokens.opaque(28), kind, session.id, customer, entity, world.now() + life)
    world.access[token.value] = token
    world.add_token(token)
    return token


def _refresh(world: World, access: AccessToken, ends: float) -> RefreshToken:
    value = tokens.opaque(32)
    token = RefreshToken(value, access.kind, access.session_id, access.customer, access.value, ends)
    world.refresh[value] = token
    world.add_token(token)
    return token


def _saas(world: World, session: Session, customer: Customer) -> SaasToken:
    now, life = int(world.now()), world.knobs.saas_expires_in
    claims = {"sub": customer.number, "exp": now + life, "iat": now, "typ": "saas", "jti": tokens.object_id()}
    token = SaasToken(tokens.sign_jwt(claims, world.saas_key), session.id, customer.number, now + life)
    world.saas[token.value] = token
    world.add_token(token)
    return token
