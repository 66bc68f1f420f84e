"""Whose request it is."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.addresses import Network, client_address, network_of, networks_of, site_of
from tests.support import http_scope

TRUSTED: tuple[Network, ...] = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


def address(peer: str | None, *forwarded: bytes, trusted: tuple[Network, ...] = TRUSTED) -> str:
    headers = [(b"x-forwarded-for", value) for value in forwarded]
    return client_address(http_scope(client=(peer, 1) if peer else None, headers=headers), trusted)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.7", [b"203.0.113.9"], "198.51.100.7"),  # a stranger's claim
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b"203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", [b"1.1.1.1, 203.0.113.9"], "203.0.113.9"),  # what the client itself wrote is left of it
        ("10.0.0.1", [b"1.1.1.1", b"203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", [b"203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", [b"203.0.113.9 ,10.0.0.2,  10.0.0.3"], "203.0.113.9"),
        ("10.0.0.1", [b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [b"203.0.113.9, junk"], "10.0.0.1"),
        ("10.0.0.1", [b"203.0.113.9, junk, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [b"203.0.113.9, \xa0198.51.100.7"], "10.0.0.1"),
        ("10.0.0.1", [b""], "10.0.0.1"),
        ("fd00::1", [b"2001:db8::5"], "2001:db8::5"),
        ("::ffff:10.0.0.1", [b"203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", [b"203.0.113.9, ::ffff:10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", [b"203.0.113.9:51234, 10.0.0.2:443"], "203.0.113.9"),  # some balancers add a port
        ("10.0.0.1", [b"[2001:db8::5]:51234"], "2001:db8::5"),
        ("10.0.0.1", [b"[2001:db8::5]"], "2001:db8::5"),
    ],
)
def test_the_caller_is_the_first_hop_that_nobody_trusted_added(
    peer: str, forwarded: list[bytes], client: str
) -> None:
    assert address(peer, *forwarded) == client


def test_without_trusted_proxies_the_header_means_nothing() -> None:
    assert address("10.0.0.1", b"203.0.113.9", trusted=()) == "10.0.0.1"


def test_without_a_peer_there_is_no_address() -> None:
    assert address(None, b"203.0.113.9") == ""


@given(st.lists(st.binary(max_size=30), max_size=4))
def test_any_forwarded_line_gives_an_address(lines: list[bytes]) -> None:
    told = address("10.0.0.1", *lines)
    assert str(ipaddress.ip_address(told)) == told or ":" in told


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:0:7::9", "2001:db8:0:7::/64"),
        ("2001:db8:0:7:ffff::1", "2001:db8:0:7::/64"),
        ("2001:db8:0:8::9", "2001:db8:0:8::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("", ""),
        ("a.sock", "a.sock"),
    ],
)
def test_one_client_is_an_ipv4_address_or_an_ipv6_subnet(client: str, network: str) -> None:
    assert network_of(client) == network


@pytest.mark.parametrize(
    ("client", "site"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:7:1::9", "2001:db8:7::/48"),
        ("2001:db8:7:ffff::1", "2001:db8:7::/48"),
        ("2001:db8:8::9", "2001:db8:8::/48"),
        ("a.sock", "a.sock"),
    ],
)
def test_one_site_is_an_ipv4_address_or_all_that_a_subscriber_may_have(client: str, site: str) -> None:
    assert site_of(client) == site


@pytest.mark.parametrize(
    ("client", "networks"),
    [
        ("203.0.113.9", ("203.0.113.9",)),
        ("::ffff:203.0.113.9", ("203.0.113.9",)),
        ("2001:db8:1:1234::9", ("2001:db8:1:1234::/64", "2001:db8:1:1200::/56", "2001:db8:1::/48")),
        ("a.sock", ("a.sock",)),
    ],
)
def test_a_site_has_the_networks_that_providers_give_out(client: str, networks: tuple[str, ...]) -> None:
    assert networks_of(client) == networks
