"""Tokens from elsewhere: one that is too long for an address, and one that could leave its place in a path."""

import pytest

from bff.emporix.outside_tokens import LONGEST_PROVIDER_TOKEN, is_mail_token, provider_token_fits
from bff.security.secret import Secret


def test_a_provider_token_is_measured_as_it_is_escaped_and_with_its_config() -> None:
    longest = "t" * LONGEST_PROVIDER_TOKEN
    assert provider_token_fits(Secret(longest), None)
    assert not provider_token_fits(Secret(longest + "t"), None)
    assert not provider_token_fits(Secret(longest), "c")
    assert provider_token_fits(Secret(longest[3:]), "/")
    assert not provider_token_fits(Secret(longest[2:]), "/")
    assert not provider_token_fits(Secret("/" * (LONGEST_PROVIDER_TOKEN // 3 + 1)), None)


@pytest.mark.parametrize("token", ["a", "t" * 64, "A-z_0~9", "a.b", "e30.e30.c2ln"])
def test_what_keeps_its_place_in_a_path_may_be_a_mail_token(token: str) -> None:
    assert is_mail_token(Secret(token))


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a..b", ".a", "a.", "a/b", "a\\b", "a%2Fb", "a?b", "a#b", "a;b", "a b", "a\n", "é"],
)
def test_what_could_leave_its_place_is_no_mail_token(token: str) -> None:
    assert not is_mail_token(Secret(token))
