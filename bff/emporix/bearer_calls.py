"""Calls to one of Emporix' services with a bearer token."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from bff.security.secret import Secret
from bff.upstream.protocol import WholeAnswer
from bff.upstream.token_calls import TokenCallClient


class BearerCalls:
    """Calls one service of one tenant.

    The field `Emporix-Tenant` is in no document and some services want it [SDK]: it goes with every call.

    Args:
        client: sends the calls.
        service: the first segment of every path.
        tenant: the second segment.
    """

    def __init__(self, client: TokenCallClient, service: str, tenant: str) -> None:
        self._client = client
        self._path = f"/{service}/{quote(tenant)}"
        self._tenant = tenant

    async def call(
        self,
        name: str,
        method: str,
        path: str,
        bearer: Secret,
        *,
        query: Mapping[str, str] | None = None,
        session_id: Secret | None = None,
        json: Mapping[str, Any] | None = None,
        deadline: float | None = None,
    ) -> WholeAnswer:
        """Make one call; see `TokenCallClient.call`.

        Args:
            name: what it is counted under.
            method: the HTTP method.
            path: what comes after the tenant.
            bearer: goes into `Authorization`.
            query: the query's fields.
            session_id: goes into the header `session-id`.
            json: the body.
            deadline: in seconds, where it is not the usual one.
        """
        headers = {"authorization": f"Bearer {bearer.reveal()}", "emporix-tenant": self._tenant}
        if session_id is not None:
            headers["session-id"] = session_id.reveal()
        return await self._client.call(
            name, method, f"{self._path}/{path}", query=query, headers=headers, json=json, deadline=deadline
        )
