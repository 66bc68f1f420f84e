"""Which URLs a browser may be redirected to after a login by single sign-on (SSO); the raw string is checked.

URL parsers and browsers disagree about backslashes, control characters, empty hosts and user parts. An accepted value
contains none of these, so all of them read it the same way.
"""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from bff.errors import InvalidRequest

_MAX_LENGTH: Final = 2048
# A slash without another slash or a backslash after it, then visible ASCII without quotes, brackets and backslashes.
_PATH: Final = re.compile(r"/(?![/\\])[A-Za-z0-9\-._~!$&'()*+,;=:@%/?#]*")


class ReturnTo:
    """Accepts a path on the public origin, or a full URL on the public or an allowed origin.

    Args:
        public_origin: the origin at which browsers reach the proxy.
        allowed_origins: other storefront origins.
    """

    def __init__(self, public_origin: str, allowed_origins: Iterable[str]) -> None:
        self._origins = (public_origin, *allowed_origins)

    def accepted(self, value: str) -> str:
        """Return `value` if a browser may be redirected there.

        Raises:
            InvalidRequest: the browser may not be redirected there.
        """
        if len(value) <= _MAX_LENGTH and self._is_allowed(value):
            return value
        raise InvalidRequest("'return_to' must be a path, or a URL on an allowed origin")

    def _is_allowed(self, value: str) -> bool:
        for origin in self._origins:
            rest = value.removeprefix(origin)
            if rest != value:
                # The rest must start a path, or it would extend the host or port.
                return not rest or _PATH.fullmatch(rest) is not None
        return _PATH.fullmatch(value) is not None


def with_error(return_to: str, code: str) -> str:
    """Return the URL with `sso_error=CODE` added to its query."""
    url, mark, fragment = return_to.partition("#")
    separator = "&" if "?" in url else "?"
    return f"{url}{separator}sso_error={quote(code, safe='')}{mark}{fragment}"
