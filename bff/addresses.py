"""Whose request it is: the client's address behind trusted proxies, and the network that counts as one client."""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(scope: Mapping[str, Any], trusted: tuple[Network, ...]) -> str:
    """Return the caller's address: the peer's, or the right-most one that a trusted peer did not add itself."""
    peer = scope.get("client")
    address = peer[0] if peer else ""
    if not trusted or not within(address, trusted):
        return str(address)
    hops = [hop.strip(" \t") for name, value in scope["headers"] if name == b"x-forwarded-for"
            for hop in value.decode("latin-1").split(",")]  # fmt: skip
    for hop in reversed(hops):
        bare = _without_port(hop)
        if _parsed(bare) is None:
            break
        address = bare
        if not within(bare, trusted):
            break
    return str(address)


def _without_port(hop: str) -> str:
    """Some balancers add a port: `192.0.2.1:443`, `[2001:db8::1]:443`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def within(address: str, networks: tuple[Network, ...]) -> bool:
    """Return whether an address is in one of these networks."""
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)


@lru_cache(maxsize=4096)
def network_of(client: str) -> str:
    """Return what counts as one client: of IPv6 it is the /64, of which a subscriber has all."""
    return _network(client, 64)


@lru_cache(maxsize=4096)
def site_of(client: str) -> str:
    """Return the widest that one subscriber may have: of IPv6 it is the /48 (RFC 6177 §2), else the address."""
    return _network(client, 48)


def _network(client: str, prefix: int) -> str:
    address = _parsed(client)
    if address is None:
        return client
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, prefix), strict=False))


@lru_cache(maxsize=4096)
def networks_of(client: str) -> tuple[str, ...]:
    """Return the networks that a client may have all of: of IPv6 its /64, and the /56 and /48 that sites are given."""
    return tuple(dict.fromkeys(_network(client, bits) for bits in (64, 56, 48)))


@lru_cache(maxsize=4096)
def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    # A socket for both families names IPv4 like this (RFC 4291 §2.5.5.2).
    return getattr(parsed, "ipv4_mapped", None) or parsed
