"""Which certificates of the upstream its clients accept."""

import ssl

import httpx2


def upstream_trust(upstream_url: str) -> ssl.SSLContext:
    """Return what checks the upstream's certificate: the system's trust.

    At a plain address there is no certificate. What is returned for one trusts nobody, because reading the system's
    trust takes some thirty milliseconds and a megabyte.
    """
    if upstream_url.startswith("https://"):
        return httpx2.create_ssl_context(trust_env=False)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
