"""The options of the proxy's two upstream clients, as the documents state them."""

from bff.upstream.options import PROXIED_CALLS, TOKEN_CALLS, UPLOADS
from bff.upstream.token_calls import DEADLINE_SECONDS


def test_proxied_calls_may_wait_a_minute_for_bytes_and_token_calls_for_their_deadline() -> None:
    assert (PROXIED_CALLS.connect_seconds, PROXIED_CALLS.read_seconds) == (2, 60)
    assert (TOKEN_CALLS.connect_seconds, TOKEN_CALLS.read_seconds) == (2, DEADLINE_SECONDS) == (2, 10)


def test_token_calls_have_connections_of_their_own() -> None:
    assert (PROXIED_CALLS.connections, UPLOADS, TOKEN_CALLS.connections) == (1000, 300, 50)


def test_only_proxied_calls_are_sent_again() -> None:
    assert PROXIED_CALLS.resend_safe
    assert not TOKEN_CALLS.resend_safe
