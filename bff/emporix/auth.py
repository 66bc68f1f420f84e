"""Emporix' auth API, typed: one method a call. Token calls carry secrets in their query strings."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from bff.emporix.answers import Meaning, judge, read
from bff.emporix.bearer_calls import BearerCalls
from bff.emporix.refresh_bearer import AnonymousBearer, RefreshBearers
from bff.emporix.refusals import (
    AnonymousLoginRefused,
    LoginRefused,
    RefreshRefused,
    RefreshTokenEnded,
    Refused,
    SignupRefused,
    SwitchRefused,
    ValidationRefused,
)
from bff.emporix.session_context import context_fields
from bff.emporix.token_answers import (
    Issued,
    Validation,
    carried_forward,
    customer_number,
    issued,
    validation,
)
from bff.errors import BadUpstreamAnswer
from bff.security.secret import Secret
from bff.session import GuestContext, Session
from bff.tokens import TokenSet
from bff.upstream.protocol import WholeAnswer
from bff.upstream.token_calls import TokenCallClient

REVOKE_DEADLINE_SECONDS: Final = 3.0
_ANONYMOUS: Final = "/customerlogin/auth/anonymous"


class EmporixAuth:
    """The auth calls of one tenant.

    Every method raises a kind of `Refused`, `TooManyRequests`, `UpstreamUnavailable`, `UpstreamTimeout` or
    `BadUpstreamAnswer`, and nothing else; but for the refreshes, which also raise `RefreshTokenEnded`.

    Args:
        client: sends the calls.
        tenant: the tenant, part of every path.
        client_id: the storefront's public client id; no secret goes with it [TS].
        clock: seconds since the epoch; token lifetimes are counted from it.
    """

    def __init__(
        self, client: TokenCallClient, *, tenant: str, client_id: str, clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._customers = BearerCalls(client, "customer", tenant)
        self._storefront = {"tenant": tenant, "client_id": client_id}
        self._clock = clock
        self._bearers = RefreshBearers()

    async def anonymous_login(self, context: GuestContext) -> Issued:
        """Begin an anonymous session; a GET that creates one, without a bearer [CM].

        The context's parameters seed the session context (accepted since April 2026).

        Raises:
            AnonymousLoginRefused: the tenant or the client id is wrong.
        """
        query = self._storefront | context_fields(context)
        answer = await self._client.call("anonymous login", "GET", f"{_ANONYMOUS}/login", query=query)
        got = issued(read(answer, AnonymousLoginRefused), self._clock())
        if got.session_id is None:
            raise BadUpstreamAnswer(log_detail="an anonymous session without an id")
        return got

    async def anonymous_refresh(self, session: Session, context: GuestContext | None = None) -> TokenSet:
        """Renew an anonymous session's tokens; it keeps its session id [CM].

        The parameters of a context are taken here as at the login [SDK].

        Only `refresh_token` is sent: `anonymous_token` is marked required and deprecated at once, the tutorial
        leaves it out, and the answer to it has no refresh token [CM, CMT].

        Raises:
            RefreshRefused: see its kinds.
        """
        seeds = {} if context is None else context_fields(context)
        query = self._storefront | seeds | {"refresh_token": self._refresh_token(session.tokens).reveal()}
        answer = await self._client.call("anonymous refresh", "GET", f"{_ANONYMOUS}/refresh", query=query)
        return self._renewed(session, answer, RefreshRefused)

    async def signup(self, bearer: Secret, body: Mapping[str, Any]) -> str:
        """Create an account with an anonymous bearer and return its customer number; no tokens come back [CM].

        Raises:
            SignupRefused: see its kinds.
        """
        answer = await self._customers.call("signup", "POST", "signup", bearer, json=dict(body))
        customer = read(answer, SignupRefused).get("id")
        if not isinstance(customer, str) or not customer:
            raise BadUpstreamAnswer(log_detail="a sign-up without an id")
        return customer

    async def login(self, bearer: Secret, email: str, password: Secret) -> Issued:
        """Log in with that guest's anonymous bearer, which carries the session and its cart along [TS].

        Snake names come first, the camel ones were announced for removal and are still sent [CM].

        Raises:
            LoginRefused: see its kinds; the other logins raise it too.
        """
        body = {"email": email, "password": password.reveal()}
        return self._logged_in(await self._customers.call("login", "POST", "login", bearer, json=body))

    async def social_login(
        self,
        bearer: Secret,
        session_id: Secret,
        *,
        code: str,
        redirect_uri: str | None,
        verifier: Secret | None,
    ) -> Issued:
        """Trade an identity provider's code [CM].

        Numbers are strings in this answer, and it names no session: the guest's is kept by sending its id in the
        header `session-id`. The code is in the query and works once, so nothing is tried again. Existing clients send
        no `redirect_uri` [USED]: Emporix decides.
        """
        query = {"code": code}
        if redirect_uri is not None:
            query["redirect_uri"] = redirect_uri
        if verifier is not None:
            query["code_verifier"] = verifier.reveal()
        answer = await self._customers.call(
            "socialLogin", "POST", "socialLogin", bearer, query=query, session_id=session_id
        )
        return self._logged_in(answer)

    async def exchange(self, bearer: Secret, token: Secret, config: str | None) -> Issued:
        """Trade an identity provider's token; all of it goes in the query, in spite of RFC 8693 [CM]."""
        query = {"subjectAccessToken": token.reveal()}
        if config is not None:
            query["config"] = config
        return self._logged_in(
            await self._customers.call("exchangeauthtoken", "POST", "exchangeauthtoken", bearer, query=query)
        )

    async def opt_in(self, bearer: Secret, token: Secret) -> Issued:
        """Activate an account with its mail's token; the answer logs the customer in and names no session [CM]."""
        path = f"signup/optin/{quote(token.reveal(), safe='')}"
        return self._logged_in(await self._customers.call("optin", "GET", path, bearer))

    async def logout(self, access: Secret) -> None:
        """Revoke a customer's access token: a GET with the token as bearer and again in the query [CM]."""
        query = {"accessToken": access.reveal()}
        answer = await self._customers.call(
            "logout", "GET", "logout", access, query=query, deadline=REVOKE_DEADLINE_SECONDS
        )
        judge(answer, Refused)

    async def customer_refresh(self, session: Session, anonymous: AnonymousBearer) -> TokenSet:
        """Renew a customer's tokens, for the company that they are for already.

        Raises:
            RefreshRefused: see its kinds.
        """
        answer = await self._refreshauthtoken(session.tokens, session.legal_entity_id, anonymous)
        return self._renewed(session, answer, RefreshRefused)

    async def switch_legal_entity(
        self, session: Session, legal_entity_id: str | None, anonymous: AnonymousBearer
    ) -> TokenSet:
        """Renew a customer's tokens for another company, or for none.

        Raises:
            SwitchRefused: see its kinds.
        """
        answer = await self._refreshauthtoken(session.tokens, legal_entity_id, anonymous)
        return self._renewed(session, answer, SwitchRefused)

    async def validate(self, access: Secret) -> Validation:
        """Ask whether an access token is valid; `sessionId` is in camel case here and stays inside [CM].

        Raises:
            ValidationRefused: see its kinds.
        """
        answer = await self._customers.call("validateauthtoken", "GET", "validateauthtoken", access)
        return validation(read(answer, ValidationRefused))

    async def customer_number(self, access: Secret) -> str | None:
        """Return the number in the profile of the customer whose token this is; None where it has none.

        Raises:
            Refused: the profile is not for this token.
        """
        answer = await self._customers.call("profile", "GET", "me", access)
        return customer_number(read(answer, Refused).get("customerNumber"))

    async def _refreshauthtoken(
        self, tokens: TokenSet, legal_entity_id: str | None, anonymous: AnonymousBearer
    ) -> WholeAnswer:
        """Ask for a customer's next tokens.

        The parameter is `refreshToken` here, in camel case. The legal entity must be sent each time: without it
        Emporix issues tokens without a company [SDK].
        """
        query = {"refreshToken": self._refresh_token(tokens).reveal()}
        if legal_entity_id is not None:
            query["legalEntityId"] = legal_entity_id

        async def ask(bearer: Secret) -> WholeAnswer:
            return await self._customers.call(
                "refreshauthtoken", "GET", "refreshauthtoken", bearer, query=query
            )

        return await self._bearers.ask_with_either(ask, anonymous, tokens.access)

    def _refresh_token(self, tokens: TokenSet) -> Secret:
        """Return the refresh token where its clock says that it may still be alive."""
        if tokens.refresh is None or not tokens.renewable(self._clock()):
            raise RefreshTokenEnded
        return tokens.refresh

    def _renewed(self, session: Session, answer: WholeAnswer, meaning: Meaning) -> TokenSet:
        """Read a renewal's answer; one that names another Emporix session or customer is nobody's to keep."""
        got = issued(read(answer, meaning), self._clock())
        if got.session_id not in {None, session.upstream_session_id}:
            raise BadUpstreamAnswer(log_detail="a renewal that names another Emporix session")
        if session.customer_id is not None and got.customer_number not in {None, session.customer_id}:
            raise BadUpstreamAnswer(log_detail="a renewal that names another customer")
        return carried_forward(got.tokens, session.tokens)

    def _logged_in(self, answer: WholeAnswer) -> Issued:
        return issued(read(answer, LoginRefused), self._clock())
