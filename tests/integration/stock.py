"""A stock client of Emporix, as the official storefront and the SDKs are: it knows nothing of a proxy."""

from typing import Any, Self

import httpx2

from tests.integration.signing import Ear
from tests.live import ADA, CLIENT_ID, TENANT, LiveProxy

ANONYMOUS = "/customerlogin/auth/anonymous/login"
ANONYMOUS_REFRESH = "/customerlogin/auth/anonymous/refresh"
CUSTOMER = f"/customer/{TENANT}"
CARTS = f"/cart/{TENANT}/carts"
TOKENS = ("access_token", "refresh_token", "saas_token", "social_access_token", "social_id_token",
          "subject_access_token")  # fmt: skip


class Stock:
    """A stock client: knows the API's host and what the API has told it, and nothing of a proxy."""

    def __init__(self, proxy: LiveProxy, **headers: str) -> None:
        self.http = httpx2.Client(base_url=f"{proxy.url}/api", headers=headers, trust_env=False, timeout=30)
        self.ear = Ear(self.http)
        self.bearer = ""
        self.session_id = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.http.close()

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.bearer}"} if self.bearer else {}
        return self.http.request(method, path, headers=headers | more.pop("headers", {}), **more)

    def took(self, answer: httpx2.Response) -> dict[str, Any]:
        """Remember the tokens of an answer as a storefront's local storage does."""
        assert answer.status_code == 200, answer.text
        body = dict(answer.json())
        tokens = [body[name] for name in TOKENS if name in body]
        assert len(set(tokens)) == len(tokens) >= 2
        assert (body["accessToken"], body["refreshToken"]) == (body["access_token"], body["refresh_token"])
        self.bearer = body["access_token"]
        self.session_id = body["sessionId"]
        return body

    def begin(self, name: str = "hybris-tenant", **context: str) -> dict[str, Any]:
        query = {name: TENANT, "client_id": CLIENT_ID} | context
        return self.took(self.http.get(ANONYMOUS, params=query))

    def login(self, account: dict[str, str] = ADA) -> dict[str, Any]:
        return self.took(self.ask("POST", f"{CUSTOMER}/login", json=account))

    def name(self) -> str:
        """Return the first name of whoever the client calls as: a guest is "Anonymous"."""
        answer = self.ask("GET", f"{CUSTOMER}/me")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["firstName"])
