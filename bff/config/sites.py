"""Which origins are certainly on another site than the proxy, so that browsers drop its cookie (RFC 6265bis §5.2)."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from bff.config.settings import Settings


def site_warnings(settings: Settings) -> list[str]:
    """Return a warning for each allowed origin whose browsers would drop the session cookie."""
    if settings.cookie_samesite == "none":
        return []
    return [
        f"BFF_ALLOWED_ORIGINS: {origin} is on another site than BFF_PUBLIC_ORIGIN, {settings.public_origin}. Browsers"
        f" drop the cookie there (SameSite={settings.cookie_samesite}), and its requests are refused with csrf_failed."
        " Serve both under one site, or set BFF_COOKIE_SAMESITE=none (https only)"
        for origin in settings.allowed_origins
        if another_site(origin, settings.public_origin)
    ]


def another_site(one: str, other: str) -> bool:
    """Return whether two origins are certainly on different sites.

    A site is a scheme and a registrable domain. Which domains are registrable, only the public suffix list knows; but
    it is never less than the last two labels of a host name, and hosts without a domain are sites of their own.
    """
    return urlsplit(one).scheme != urlsplit(other).scheme or _domain(one) != _domain(other)


def _domain(origin: str) -> str:
    """Return the largest domain that the origin's site can have: its address, or the last two labels of its name."""
    host = (urlsplit(origin).hostname or "").rstrip(".")
    try:
        return str(ip_address(host))
    except ValueError:
        return ".".join(host.split(".")[-2:])
