"""How browsers read an address (WHATWG URL Standard, the parts that open redirects live on)."""

import re
from typing import Final

SPECIAL: Final = {"http": "80", "https": "443", "ws": "80", "wss": "443", "ftp": "21"}
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_DOTS: Final = str.maketrans({"。": ".", "．": ".", "｡": "."})


def origin_in_a_browser(base: str, address: str) -> str:
    """Return the origin that a browser at `base` goes to, or what kind of address it is where it has none."""
    text = address.strip("".join(map(chr, range(0x21))))
    text = re.sub(r"[\t\r\n]", "", text)
    base_scheme = base.partition(":")[0]
    found = _SCHEME.match(text)
    scheme = found.group(1).lower() if found else base_scheme
    if scheme not in SPECIAL:
        return f"opaque {scheme}"
    rest = (text[found.end() :] if found else text).replace("\\", "/")
    if rest.startswith("//") or (found and scheme != base_scheme):
        return _origin(scheme, rest.lstrip("/"))
    # `https:/x` and `https:x` under a base of the same scheme are paths, and so is everything without a scheme.
    return base


def _origin(scheme: str, rest: str) -> str:
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    host, mark, port = authority.translate(_DOTS).lower().partition(":")
    shown = f":{port}" if mark and port not in {"", SPECIAL[scheme]} else ""
    return f"{scheme}://{host}{shown}"
