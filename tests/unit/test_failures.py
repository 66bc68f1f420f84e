"""The failures of upstream calls: which public error each is, and the three that token calls read in another way."""

import pytest

from bff.errors import BadUpstreamAnswer, BffError, UpstreamTimeout, UpstreamUnavailable
from bff.upstream.failures import (
    ClosedUnanswered,
    MalformedBody,
    NoSuchStatus,
    NotConnected,
    token_call_failure,
)


@pytest.mark.parametrize(
    ("failure", "proxied", "token_call"),
    [
        (NotConnected, UpstreamUnavailable, UpstreamUnavailable),
        (UpstreamUnavailable, UpstreamUnavailable, UpstreamUnavailable),
        (UpstreamTimeout, UpstreamTimeout, UpstreamTimeout),
        (BadUpstreamAnswer, BadUpstreamAnswer, BadUpstreamAnswer),
        (ClosedUnanswered, BadUpstreamAnswer, UpstreamUnavailable),
        (NoSuchStatus, BadUpstreamAnswer, UpstreamUnavailable),
        (MalformedBody, UpstreamUnavailable, BadUpstreamAnswer),
    ],
)
def test_a_failure_is_one_public_error_for_each_kind_of_call(
    failure: type[BffError], proxied: type[BffError], token_call: type[BffError]
) -> None:
    error = failure(log_detail="why")
    assert (error.code, error.status) == (proxied.code, proxied.status)
    meant = token_call_failure(error)
    assert type(meant) is token_call
    assert meant.log_detail == "why"
