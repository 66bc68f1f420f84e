"""How many connections clients may have, and which one makes room."""

import resource
from ipaddress import ip_network

import pytest

from bff.server.connections import ConnectionLimit, connections_within, queue_within, raised_descriptor_limit

HERE, THERE, BALANCER = "192.0.2.1", "192.0.2.2", "10.0.0.1"
TRUSTED = [ip_network("10.0.0.0/8")]


class Dialled:
    """A connection that a client has made."""

    def __init__(self, limit: ConnectionLimit, peer: str = HERE, *, idle: bool = True) -> None:
        self._limit = limit
        self.closed = False
        self.admitted = limit.admit(self, peer)
        limit.mark(self, idle=idle)

    def give_way(self) -> None:
        self.closed = True
        self._limit.forget(self)

    def lost(self) -> None:
        self._limit.forget(self)

    def has_a_request(self) -> None:
        self._limit.mark(self, idle=False)

    def is_idle(self) -> None:
        self._limit.mark(self, idle=True)


def test_the_one_that_is_idle_for_longest_makes_room_for_another_of_its_address() -> None:
    limit = ConnectionLimit(100, 3)
    elsewhere = Dialled(limit, THERE)
    first, second, third = Dialled(limit), Dialled(limit), Dialled(limit)
    first.has_a_request()
    second.has_a_request()
    second.is_idle()
    fourth = Dialled(limit)
    assert (fourth.admitted, third.closed) == (True, True)
    assert Dialled(limit).admitted
    assert second.closed
    assert not first.closed
    assert not elsewhere.closed


def test_without_an_idle_one_the_new_one_is_refused() -> None:
    limit = ConnectionLimit(100, 2)
    busy = [Dialled(limit, idle=False) for _ in range(2)]
    assert not Dialled(limit).admitted
    assert Dialled(limit, THERE).admitted
    busy[0].lost()
    assert Dialled(limit).admitted
    assert not any(one.closed for one in busy)


def test_all_addresses_together_are_bounded() -> None:
    limit = ConnectionLimit(3, 2)
    first = Dialled(limit, HERE)
    others = [Dialled(limit, f"198.51.100.{number}", idle=False) for number in range(2)]
    assert Dialled(limit, THERE, idle=False).admitted
    assert first.closed
    assert not Dialled(limit, HERE).admitted
    assert all(one.admitted for one in others)


@pytest.mark.parametrize("peer", ["2001:db8:0:1::%x", "::ffff:192.0.2.1"])
def test_one_subnet_is_one_client(peer: str) -> None:
    limit = ConnectionLimit(100, 2)
    addresses = [peer.replace("%x", f"{number:x}") for number in range(3)]
    admitted = [Dialled(limit, one, idle=False).admitted for one in addresses]
    assert admitted == [True, True, False]


def test_a_trusted_proxy_brings_the_connections_of_many() -> None:
    limit = ConnectionLimit(5, 1, TRUSTED)
    assert all(Dialled(limit, BALANCER, idle=False).admitted for _ in range(5))
    assert not Dialled(limit, BALANCER).admitted


def test_what_is_closed_counts_no_more() -> None:
    limit = ConnectionLimit(2, 2)
    for _ in range(10):
        one = Dialled(limit)
        one.lost()
        one.lost()
    assert Dialled(limit, idle=False).admitted
    assert Dialled(limit, idle=False).admitted
    assert not Dialled(limit).admitted


@pytest.mark.parametrize(
    ("descriptors", "connections", "queue"),
    [(1_000_000, 10_000, 2048), (12_000, 9_200, 1500), (4096, 2284, 512), (1024, 256, 128)],
)
def test_a_part_of_the_descriptors_is_kept(descriptors: int, connections: int, queue: int) -> None:
    assert connections_within(descriptors) == connections
    assert queue_within(descriptors) == queue


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
        raised = raised_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (raised, hard)
        assert raised > soft - 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_limit_that_the_kernel_refuses_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raised_descriptor_limit() == 256
