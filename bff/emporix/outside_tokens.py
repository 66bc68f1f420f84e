"""Tokens that a visitor brings from elsewhere: which of them Emporix can take."""

import re
from typing import Final
from urllib.parse import quote

from bff.security.secret import Secret

LONGEST_PROVIDER_TOKEN: Final = 9_500
"""Bytes, escaped: the gateway takes addresses of 10 KB [LIMITS], and the rest of this one is some hundred bytes."""

_BEARER_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # b64token (RFC 6750 §2.1)
_MAIL_TOKEN: Final = re.compile(r"[A-Za-z0-9_~-]+(?:\.[A-Za-z0-9_~-]+)*")


def provider_token_fits(token: Secret, config: str | None) -> bool:
    """Return whether an identity provider's token fits into an address, where an exchange takes it [CM]."""
    return sum(len(quote(part, safe="")) for part in (token.reveal(), config or "")) <= LONGEST_PROVIDER_TOKEN


def is_bearer_token(token: Secret) -> bool:
    """Return whether a token can be sent in a header field."""
    return _BEARER_TOKEN.fullmatch(token.reveal()) is not None


def is_mail_token(token: Secret) -> bool:
    """Return whether a token may be one of an activation mail.

    It is a segment of the opt-in's path [CM]. Only what cannot leave its place there is sent: no slash, and no dot
    but between other characters.
    """
    return _MAIL_TOKEN.fullmatch(token.reveal()) is not None
