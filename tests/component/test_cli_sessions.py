"""`bff sessions` in process: what an operator is shown, and what ends."""

import getpass
import logging
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bff.cli.sessions import AMBIGUOUS, end_sessions, list_sessions, opened_backend
from bff.config.embedded_redis import EmbeddedRedis
from bff.config.settings import Settings, load_settings
from bff.errors import StoreUnavailable
from bff.session import Carrier, EndReason, Session, SessionKind, Ticket, Tombstone
from tests.live import free_port, new_key
from tests.support import NOW, a_session, new_ticket

pytestmark = pytest.mark.anyio
ROW = re.compile(r"[\w-]{16}  created (\S+Z)  seen (\S+Z)  (cookie|header)  (.*)")


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of this module's own: ending everybody's sessions is nobody else's business."""
    with EmbeddedRedis.start(Path(tmp_path_factory.mktemp("operator"))) as redis:
        yield redis.url


@pytest.fixture
def settings(own_redis: str) -> Settings:
    return settings_for(own_redis)


def settings_for(redis_url: str) -> Settings:
    return load_settings({
        "BFF_TENANT": "t" + secrets.token_hex(4),
        "BFF_CLIENT_ID": "storefront",
        "BFF_PUBLIC_ORIGIN": "https://shop.example",
        "BFF_KEYS": new_key(),
        "BFF_REDIS_URL": redis_url,
    })  # fmt: skip


def of_customer(email: str, **more: Any) -> Session:
    ends = {"expires_at": NOW * 2, "last_seen_at": NOW, "idle_seconds": NOW}
    return a_session(kind=SessionKind.CUSTOMER, email=email, **(ends | more))


async def placed(settings: Settings, *sessions: Session) -> list[Ticket]:
    tickets = []
    async with opened_backend(settings) as backend:
        for session in sessions:
            ticket = new_ticket()
            await backend.customers.add(ticket, await backend.store.create(ticket, session))
            tickets.append(ticket)
    return tickets


async def alive(settings: Settings, tickets: list[Ticket]) -> list[bool]:
    async with opened_backend(settings) as backend:
        return [isinstance(await backend.store.load_fresh(ticket), Session) for ticket in tickets]


async def test_a_customers_sessions_are_shown_a_line_each(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    sessions = [
        of_customer("ada@example.com", user_agent="Früh\x9b[31m/1", created_at=NOW),
        of_customer("ADA@example.com", carrier=Carrier.HEADER, created_at=NOW + 60),
        of_customer("grace@example.com"),
    ]
    await placed(settings, *sessions)
    assert await list_sessions(settings, " Ada@Example.com ") == 0
    shown = capsys.readouterr()
    rows = [ROW.fullmatch(line) for line in shown.out.splitlines()]
    assert shown.err == "2 session(s)\n"
    assert rows[0] is not None
    assert rows[0].groups() == (
        "2027-01-15T08:01:00Z",
        "2027-01-15T08:00:00Z",
        "header",
        "-",
    )
    assert rows[1] is not None
    assert rows[1].group(1) == "2027-01-15T08:00:00Z"
    assert rows[1].group(4).startswith("Fr?h?")
    for session in sessions:
        assert session.tokens.access.reveal() not in shown.out


async def test_a_stranger_has_no_sessions(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert await list_sessions(settings, "nobody@example.com") == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "0 session(s)\n")


async def test_one_customers_sessions_end_and_nobody_elses(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    tickets = await placed(
        settings,
        of_customer("ada@example.com"),
        of_customer("ada@example.com"),
        of_customer("grace@example.com"),
    )
    assert await end_sessions(settings, "ADA@example.com") == 0
    assert capsys.readouterr().out == "2 session(s) ended\n"
    assert await alive(settings, tickets) == [False, False, True]
    async with opened_backend(settings) as backend:
        assert await backend.store.peek(tickets[0]) == Tombstone(EndReason.ENDED, None)
    assert await end_sessions(settings, "ada@example.com") == 0
    assert capsys.readouterr().out == "0 session(s) ended\n"


async def test_an_address_of_two_customers_ends_neither_and_a_number_ends_its_own(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    ada = {"email": "ada@example.com", "customer_id": "10"}
    heir = {"email": "ada@example.com", "customer_id": "11"}
    tickets = await placed(settings, of_customer(**ada), of_customer(**heir))
    assert await list_sessions(settings, "ada@example.com") == 0
    shown = capsys.readouterr()
    assert shown.err == "2 session(s)\n"
    headed = [line for line in shown.out.splitlines() if not ROW.fullmatch(line)]
    assert sorted(headed) == ["customer 10", "customer 11"]
    assert len(shown.out.splitlines()) == 4
    assert await end_sessions(settings, "ada@example.com") == AMBIGUOUS
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.search("10, 11|11, 10", shown.err)
    assert await alive(settings, tickets) == [True, True]
    assert await end_sessions(settings, "11") == 0
    assert await alive(settings, tickets) == [True, False]


async def test_everybodys_sessions_end_guests_too_and_no_other_tenants(
    settings: Settings, own_redis: str, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = settings_for(own_redis)
    others = await placed(elsewhere, of_customer("ada@example.com"))
    guest = a_session(expires_at=NOW * 2, idle_seconds=NOW)
    tickets = await placed(settings, of_customer("ada@example.com"), guest)
    assert await end_sessions(settings, None) == 0
    assert capsys.readouterr().out == "2 session(s) ended\n"
    assert await alive(settings, tickets) == [False, False]
    assert await alive(elsewhere, others) == [True]


async def test_a_store_that_does_not_answer_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    gone = settings_for(f"redis://127.0.0.1:{free_port()}")
    for ask in (list_sessions(gone, "ada@example.com"), end_sessions(gone, None)):
        with pytest.raises(StoreUnavailable):
            await ask
    assert capsys.readouterr().out == ""


async def test_an_operator_who_ends_sessions_is_in_the_audit_trail(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bff.audit")
    await placed(settings, *(of_customer("ada@example.com", customer_id="1") for _ in range(2)))
    assert await end_sessions(settings, "ada@example.com") == 0
    lines = [one.__dict__["fields"] for one in caplog.records if one.getMessage() == "session_ended"]
    assert {(line["by"], line["reason"]) for line in lines} == {("operator", "operator")}
    assert {line["operator"] for line in lines} == {getpass.getuser()}
    assert len({line["session"] for line in lines}) == 2
    assert "ada@example.com" not in str(lines)


async def test_ending_everybody_is_in_the_audit_trail(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bff.audit")
    await placed(settings, of_customer("ada@example.com"), of_customer("grace@example.com"))
    assert await end_sessions(settings, None) == 0
    (line,) = [one.__dict__["fields"] for one in caplog.records if one.getMessage() == "all_sessions_ended"]
    assert (line["by"], line["ended"]) == ("operator", 2)
