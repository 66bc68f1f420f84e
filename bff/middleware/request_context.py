"""What the layers and endpoints know of one request: one typed value in its ASGI scope."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from starlette.responses import Response
from starlette.types import Scope

from bff.errors import BffError
from bff.middleware.header_fields import HeaderFields
from bff.middleware.problem_details import problem_response
from bff.sessions.request_session import RequestSession
from bff.upstream.protocol import Header

ErrorRenderer = Callable[[BffError, Mapping[str, Any]], Response]

_KEY: Final = "bff"


class SessionAnswer(Protocol):
    """What an answer says of the request's session."""

    def fields(self) -> list[Header]:
        """Return header fields: the version, the cookie, an app's new session id."""
        ...

    def members(self) -> dict[str, Any]:
        """Return members for a JSON body: an app's new session id, where it belongs there."""
        ...


@dataclass(slots=True)
class RequestContext:
    """One request, as the layers around its endpoint see it.

    Attributes:
        client: the client's network address.
        fields: the request's header fields.
        route: the label for logs and metrics, from a small fixed set.
        session: the request's session; None outside the session layer.
        session_answer: what the answer says of that session; None until the request is admitted.
        render_error: gives an error the shape that this request's client expects.
    """

    client: str
    fields: HeaderFields
    route: str | None = None
    session: RequestSession | None = None
    session_answer: SessionAnswer | None = None
    render_error: ErrorRenderer = problem_response


def add_request_context(scope: Scope, context: RequestContext) -> RequestContext:
    """Put a request's context into its scope."""
    scope[_KEY] = context
    return context


def request_context(scope: Scope) -> RequestContext:
    """Return the context of a request that has come through the request layer."""
    context = scope[_KEY]
    assert isinstance(context, RequestContext)
    return context


def request_session(scope: Scope) -> RequestSession:
    """Return the session of a request that has come through the session layer."""
    session = request_context(scope).session
    assert session is not None
    return session
