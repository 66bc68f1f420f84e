"""Where a browser may be sent after a sign-on: judged on the raw string, before any parser has an opinion.

Parsers and browsers disagree on backslashes, control characters, empty hosts and user parts; what is accepted here has
none of them, so there is nothing to disagree on.
"""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from bff.errors import InvalidRequest

_LONGEST: Final = 2048
# One slash and then neither a second one nor a backslash; visible ASCII without quotes, brackets and backslashes.
_PATH: Final = re.compile(r"/(?![/\\])[A-Za-z0-9\-._~!$&'()*+,;=:@%/?#]*")


class ReturnTo:
    """Accepts a path on the public origin, or a full address on an allowed origin.

    Args:
        public_origin: its own address may be spelled out too.
        allowed_origins: the further ones.
    """

    def __init__(self, public_origin: str, allowed_origins: Iterable[str]) -> None:
        self._origins = (public_origin, *allowed_origins)

    def accepted(self, value: str) -> str:
        """Return `value` if a browser may be sent there.

        Raises:
            InvalidRequest: it may not.
        """
        if len(value) <= _LONGEST and self._fits(value):
            return value
        raise InvalidRequest("'return_to' must be a path here, or an address on an allowed origin")

    def _fits(self, value: str) -> bool:
        for origin in self._origins:
            rest = value.removeprefix(origin)
            if rest != value:
                # What follows an origin must not lengthen its host or port.
                return not rest or _PATH.fullmatch(rest) is not None
        return _PATH.fullmatch(value) is not None


def with_error(return_to: str, code: str) -> str:
    """Return the address with `sso_error=CODE` in its query."""
    address, mark, fragment = return_to.partition("#")
    joint = "&" if "?" in address else "?"
    return f"{address}{joint}sso_error={quote(code, safe='')}{mark}{fragment}"
