"""Everything that can go wrong towards a caller, one class per public error code.

::

    BffError
    ├── InvalidRequest 400            ├── NotFound 404
    │   └── InvalidSession 400        ├── MethodNotAllowed 405
    ├── NoSession 401                 ├── RequestTimeout 408
    ├── LoginRequired 401             ├── AccountExists 409
    ├── InvalidCredentials 401        ├── BodyTooLarge 413
    ├── SessionExpired 401            ├── UnsupportedMediaType 415
    ├── SessionRotated 401            ├── TooManyRequests 429
    ├── ReauthenticationRequired 401  ├── InternalError 500
    ├── CsrfFailed 403                ├── BadUpstreamAnswer 502
    ├── OriginNotAllowed 403          ├── UpstreamUnavailable 503
    ├── RouteNotAllowed 403           ├── StoreUnavailable 503
    └── Forbidden 403                 └── UpstreamTimeout 504

`code` is API, `detail` is for people, `log_detail` never leaves the process. Rendering follows RFC 9457.
"""

from typing import Any, ClassVar


class BffError(Exception):
    """A refusal that the caller is told about as problem details (RFC 9457).

    Attributes:
        status: the HTTP status.
        code: the stable public code; `type` is ``urn:bff:CODE``.
        title: a short sentence, the same for every occurrence.
        detail: what this occurrence means to the caller; holds no secret.
        log_detail: what only the log may say; holds no secret either.
        retry_after: seconds after which another try makes sense, or None.
        given_retry_after: the same, where this occurrence and not its class says it.
        headers: further response headers that belong to this error.
        cause: which of several reasons it has, for metrics; from a small fixed set.
        at_fault: who failed where the status is one of a server: the proxy, Redis or Emporix.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Something went wrong here"
    default_retry_after: ClassVar[int | None] = None
    at_fault: ClassVar[str] = "proxy"

    def __init__(
        self,
        detail: str | None = None,
        *,
        log_detail: str | None = None,
        retry_after: int | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        cause: str = "none",
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.log_detail = log_detail
        self.retry_after = self.default_retry_after if retry_after is None else retry_after
        self.given_retry_after = retry_after
        self.headers = headers
        self.cause = cause

    def problem(self, request_id: str) -> dict[str, Any]:
        """Return the RFC 9457 members for this error."""
        return {
            "type": f"urn:bff:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "requestId": request_id,
        }


class InvalidRequest(BffError):
    status = 400
    code = "invalid_request"
    title = "The request is not valid"


class InvalidSession(InvalidRequest):
    code = "invalid_session"
    title = "What the request carries was never a session of this proxy"


class NoSession(BffError):
    status = 401
    code = "no_session"
    title = "There is no session"


class LoginRequired(BffError):
    status = 401
    code = "login_required"
    title = "A customer must be logged in for this"


class InvalidCredentials(BffError):
    status = 401
    code = "invalid_credentials"
    title = "The credentials were refused"


class SessionExpired(BffError):
    status = 401
    code = "session_expired"
    title = "The session has ended"


class SessionRotated(BffError):
    status = 401
    code = "session_rotated"
    title = "The session has a new id since a login"


class ReauthenticationRequired(BffError):
    status = 401
    code = "reauthentication_required"
    title = "The customer must log in again for this"


class CsrfFailed(BffError):
    status = 403
    code = "csrf_failed"
    title = "The request does not prove that it comes from the storefront"


class OriginNotAllowed(BffError):
    status = 403
    code = "origin_not_allowed"
    title = "This origin may not do that"


class RouteNotAllowed(BffError):
    status = 403
    code = "route_not_allowed"
    title = "This route is not open to storefronts"


class Forbidden(BffError):
    status = 403
    code = "forbidden"
    title = "That is not allowed"


class NotFound(BffError):
    status = 404
    code = "not_found"
    title = "There is nothing here"


class MethodNotAllowed(BffError):
    status = 405
    code = "method_not_allowed"
    title = "This method is not allowed here"


class RequestTimeout(BffError):
    status = 408
    code = "request_timeout"
    title = "The request did not arrive in time"


class AccountExists(BffError):
    status = 409
    code = "account_exists"
    title = "An account with this e-mail address exists already"


class BodyTooLarge(BffError):
    status = 413
    code = "body_too_large"
    title = "The request body is too large"


class UnsupportedMediaType(BffError):
    status = 415
    code = "unsupported_media_type"
    title = "The body must be JSON"


class TooManyRequests(BffError):
    status = 429
    code = "too_many_requests"
    title = "Too many tries"
    default_retry_after = 60


class InternalError(BffError):
    pass


class BadUpstreamAnswer(BffError):
    status = 502
    code = "bad_upstream_answer"
    title = "Emporix gave an answer that makes no sense"
    at_fault = "emporix"


class UpstreamUnavailable(BffError):
    status = 503
    code = "upstream_unavailable"
    title = "Emporix cannot be reached"
    default_retry_after = 5
    at_fault = "emporix"


class NotAsked(UpstreamUnavailable):
    """Upstream was not asked: there is no room for another call, or see `Paused`. This call says nothing of it."""

    at_fault = "proxy"


class Paused(NotAsked):
    """Upstream was not asked because it failed a moment ago."""

    at_fault = "emporix"


class CutShort(UpstreamUnavailable):
    """The process ends, and the answer has not come in time."""

    default_retry_after = 1
    at_fault = "proxy"


class StoreUnavailable(BffError):
    status = 503
    code = "store_unavailable"
    title = "The session store cannot be reached"
    default_retry_after = 2
    at_fault = "redis"


class UpstreamTimeout(BffError):
    status = 504
    code = "upstream_timeout"
    title = "Emporix did not answer in time"
    at_fault = "emporix"


ALL_ERRORS: tuple[type[BffError], ...] = (
    InvalidRequest,
    InvalidSession,
    NoSession,
    LoginRequired,
    InvalidCredentials,
    SessionExpired,
    SessionRotated,
    ReauthenticationRequired,
    CsrfFailed,
    OriginNotAllowed,
    RouteNotAllowed,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    AccountExists,
    BodyTooLarge,
    UnsupportedMediaType,
    TooManyRequests,
    InternalError,
    BadUpstreamAnswer,
    UpstreamUnavailable,
    StoreUnavailable,
    UpstreamTimeout,
)
