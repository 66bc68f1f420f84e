"""Emporix' auth API, typed: one method a call, every quirk named with its source.

Sources: [CM] the customer-management API reference, [CMT] its tutorial, [TS] tokens and scopes, [SDK] a public
third-party SDK that records what it saw on a live tenant. Token calls carry secrets in their query strings.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from bff.emporix.answers import Issued, Validation, issued, judge, read, validation
from bff.errors import BadUpstreamAnswer
from bff.security.secret import Secret
from bff.session import GuestContext
from bff.upstream.token_calls import TokenCallClient

REVOKE_DEADLINE_SECONDS: Final = 3.0


class EmporixAuth:
    """The auth calls of one tenant.

    Every method raises `Refused`, `TooManyRequests`, `UpstreamUnavailable`, `UpstreamTimeout` or
    `BadUpstreamAnswer`, and nothing else.

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
        self._tenant = tenant
        self._client_id = client_id
        self._clock = clock
        self._customer = f"/customer/{quote(tenant)}"

    async def anonymous_login(self, context: GuestContext) -> Issued:
        """Begin an anonymous session; a GET that creates one, without a bearer [CM].

        The context's parameters seed the session context (accepted since April 2026).
        """
        seeds = {
            "siteCode": context.site_code,
            "currency": context.currency,
            "language": context.language,
            "targetLocation": context.target_location,
        }
        query = {"tenant": self._tenant, "client_id": self._client_id}
        query |= {name: value for name, value in seeds.items() if value is not None}
        answer = await self._client.call(
            "anonymous login", "GET", "/customerlogin/auth/anonymous/login", query=query
        )
        return self._with_session(issued(read(answer), self._clock()))

    async def anonymous_refresh(self, refresh: Secret) -> Issued:
        """Renew an anonymous session; it keeps its session id [CM].

        Only `refresh_token` is sent: `anonymous_token` is marked required and deprecated at once, the tutorial
        leaves it out, and the answer to it has no refresh token [CM, CMT]. An answer without a refresh token means
        that the old one stays: the answer's schema omits it [CM], and reuse was seen to work [SDK].
        """
        query = {"tenant": self._tenant, "client_id": self._client_id, "refresh_token": refresh.reveal()}
        answer = await self._client.call(
            "anonymous refresh", "GET", "/customerlogin/auth/anonymous/refresh", query=query
        )
        return issued(read(answer), self._clock())

    async def signup(self, bearer: Secret, body: Mapping[str, Any]) -> str:
        """Create an account with an anonymous bearer and return its customer number; no tokens come back [CM]."""
        answer = await self._client.call(
            "signup", "POST", f"{self._customer}/signup", headers=self._bearer(bearer), json=dict(body)
        )
        customer = read(answer).get("id")
        if not isinstance(customer, str) or not customer:
            raise BadUpstreamAnswer(log_detail="a sign-up without an id")
        return customer

    async def login(self, bearer: Secret, email: str, password: Secret) -> Issued:
        """Log in with that guest's anonymous bearer, which carries the session and its cart along [TS].

        Snake names come first, the camel ones were announced for removal and are still sent [CM].
        """
        body = {"email": email, "password": password.reveal()}
        return await self._customer_tokens("POST", "login", bearer, json=body)

    async def logout(self, access: Secret) -> None:
        """Revoke a customer's access token: a GET with the token as bearer and again in the query [CM]."""
        answer = await self._client.call(
            "logout",
            "GET",
            f"{self._customer}/logout",
            query={"accessToken": access.reveal()},
            headers=self._bearer(access),
            deadline=REVOKE_DEADLINE_SECONDS,
        )
        judge(answer)

    async def customer_refresh(self, bearer: Secret, refresh: Secret, legal_entity_id: str | None) -> Issued:
        """Renew a customer's tokens, or switch the company.

        The parameter is `refreshToken` here, in camel case. The legal entity must be sent each time: without it
        upstream issues a token without a company [SDK]. The answer never has a saas token [CM]. Whose bearer is
        right is contradictory: anonymous by the security block of [CM] and by [CMT], the customer's by the
        header's text; the caller tries both.
        """
        query = {"refreshToken": refresh.reveal()}
        if legal_entity_id is not None:
            query["legalEntityId"] = legal_entity_id
        return await self._customer_tokens("GET", "refreshauthtoken", bearer, query=query)

    async def social_login(
        self, bearer: Secret, session_id: Secret, *, code: str, redirect_uri: str, verifier: Secret | None
    ) -> Issued:
        """Trade an identity provider's code [CM].

        Numbers are strings in this answer, and it names no session: the guest's is kept by sending its id in the
        header `session-id`. The code is in the query and works once, so nothing is tried again.
        """
        query = {"code": code, "redirect_uri": redirect_uri}
        if verifier is not None:
            query["code_verifier"] = verifier.reveal()
        held = {"session-id": session_id.reveal()}
        return await self._customer_tokens("POST", "socialLogin", bearer, query=query, headers=held)

    async def exchange(self, bearer: Secret, token: Secret, config: str | None) -> Issued:
        """Trade an identity provider's token; all of it goes in the query, in spite of RFC 8693 [CM]."""
        query = {"subjectAccessToken": token.reveal()}
        if config is not None:
            query["config"] = config
        return await self._customer_tokens("POST", "exchangeauthtoken", bearer, query=query)

    async def opt_in(self, bearer: Secret, token: Secret) -> Issued:
        """Activate an account with its mail's token; the answer logs the customer in and names no session [CM]."""
        path = f"{self._customer}/signup/optin/{quote(token.reveal(), safe='')}"
        answer = await self._client.call("optin", "GET", path, headers=self._bearer(bearer))
        return issued(read(answer), self._clock())

    async def validate(self, access: Secret) -> Validation:
        """Ask whether an access token is valid; `sessionId` is in camel case here and stays inside [CM]."""
        answer = await self._client.call(
            "validateauthtoken", "GET", f"{self._customer}/validateauthtoken", headers=self._bearer(access)
        )
        return validation(read(answer))

    async def _customer_tokens(
        self,
        method: str,
        call: str,
        bearer: Secret,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> Issued:
        """Ask one of the customer service's calls that answer with tokens."""
        answer = await self._client.call(
            call,
            method,
            f"{self._customer}/{call}",
            query=query,
            headers=self._bearer(bearer) | dict(headers or {}),
            json=json,
        )
        return issued(read(answer), self._clock())

    def _bearer(self, token: Secret) -> dict[str, str]:
        return {"authorization": f"Bearer {token.reveal()}", "emporix-tenant": self._tenant}

    @staticmethod
    def _with_session(got: Issued) -> Issued:
        if got.session_id is None:
            raise BadUpstreamAnswer(log_detail="an anonymous session without an id")
        return got
