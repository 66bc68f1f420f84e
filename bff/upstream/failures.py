"""What can go wrong between a request and the end of its answer, in no HTTP library's words.

A client maps what its library raises to these errors, in this one way::

    until the answer's head
        no connection                      NotConnected         503  nothing was sent
        no connection in time              UpstreamUnavailable  503  nothing was sent
        no place for a connection          Busy                 503  nothing was sent; upstream is not at fault
        the connection broke               UpstreamUnavailable  503
        it was closed without an answer    ClosedUnanswered     502
        no answer in time                  UpstreamTimeout      504
        what came is not HTTP              BadUpstreamAnswer    502
        a status that HTTP does not have   NoSuchStatus         502
    in the body
        nothing came in time               UpstreamTimeout      the head is out: the body just ends
        it ended early, or the connection  UpstreamUnavailable
        its framing is not HTTP            MalformedBody

Token calls read three of them in another way, see `token_call_failure`. `log_detail` holds nothing of the request.
"""

from bff.errors import BadUpstreamAnswer, BffError, NotAsked, UpstreamUnavailable


class NotConnected(UpstreamUnavailable):
    """There is no connection: nothing was sent, and any request may be tried again."""


class Busy(NotAsked):
    """All connections are in use here: nothing was sent."""


class ClosedUnanswered(BadUpstreamAnswer):
    """The connection was closed before an answer came: the request may have arrived.

    For a proxied call that is a bad gateway (RFC 9110 §15.6.3). A 503 would invite the client to send again what may
    have been done.
    """


class NoSuchStatus(BadUpstreamAnswer):
    """The answer has a status above 599 (RFC 9110 §15)."""


class MalformedBody(UpstreamUnavailable):
    """The body's framing is not HTTP (RFC 9112 §7.1)."""


def token_call_failure(failure: BffError) -> BffError:
    """Return what a failure means for a token call.

    Its body is read before anyone is answered, so that bad framing is a bad answer as a whole. An upstream that closes
    the connection, or answers with a status above 599, is treated as one that answers with a 5xx: it is unavailable.
    """
    match failure:
        case NotConnected() | ClosedUnanswered() | NoSuchStatus():
            return UpstreamUnavailable(log_detail=failure.log_detail)
        case MalformedBody():
            return BadUpstreamAnswer(log_detail=failure.log_detail)
        case _:
            return failure
