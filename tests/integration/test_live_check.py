"""`bff check --live`: what an operator learns before the first visitor does."""

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from tests.commands import command
from tests.live import Sandbox, environment, free_port


def checked(sandbox: Sandbox, redis_url: str, **more: str) -> subprocess.CompletedProcess[str]:
    environ = environment(sandbox, redis_url, BFF_PUBLIC_ORIGIN="http://127.0.0.1:8080", **more)
    return command("check", "--live", **environ)


@contextmanager
def user(redis_url: str, *rights: str) -> Iterator[str]:
    """Yield the URL of a Redis user with these rights."""
    admin, name, password = Redis.from_url(redis_url), f"user{secrets.token_hex(4)}", secrets.token_hex(8)
    try:
        admin.acl_setuser(
            name, enabled=True, passwords=[f"+{password}"], keys=["bff:*"], categories=list(rights)
        )
    except ResponseError:
        pytest.skip("this Redis knows no users")
    parts = urlsplit(redis_url)
    if parts.scheme == "unix":
        yield parts._replace(netloc=f"{name}:{password}@").geturl()
    else:
        yield parts._replace(netloc=f"{name}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()
    admin.acl_deluser(name)
    admin.close()


def test_what_is_as_configured_passes(sandbox: Sandbox, redis_url: str) -> None:
    admin = Redis.from_url(redis_url)
    before = set(admin.scan_iter("bff:*"))
    done = checked(sandbox, redis_url)
    assert (done.returncode, done.stdout) == (
        0,
        "The configuration is complete, and Redis and Emporix answer.\n",
    )
    left = [key for key in set(admin.scan_iter("bff:*")) - before if b"limits" not in key]
    assert left == [], "nothing of the session that was tried stays"
    admin.close()


def test_every_mistake_is_said_at_once_without_a_secret(sandbox: Sandbox) -> None:
    nowhere = f"redis://:a-password-of-redis@127.0.0.1:{free_port()}"
    upstream = f"http://127.0.0.1:{free_port()}"
    done = checked(sandbox, nowhere, BFF_UPSTREAM_URL=upstream)
    assert (done.returncode, done.stdout) == (2, "")
    said = done.stderr.splitlines()
    assert [line.partition(":")[0] for line in said] == ["BFF_REDIS_URL", "BFF_UPSTREAM_URL"]
    assert "a-password-of-redis" not in done.stderr


def test_a_wrong_password_of_redis_is_told(sandbox: Sandbox, redis_url: str) -> None:
    with user(redis_url, "+@all") as url:
        wrong = url.replace(f":{urlsplit(url).password}@", ":a-wrong-password@")
        done = checked(sandbox, wrong)
    assert done.returncode == 2
    assert "BFF_REDIS_URL: Redis refuses the user or the password" in done.stderr
    assert "a-wrong-password" not in done.stderr


def test_missing_rights_are_told(sandbox: Sandbox, redis_url: str) -> None:
    with user(redis_url, "+@connection", "+@read") as url:
        done = checked(sandbox, url)
    assert done.returncode == 2
    assert "BFF_REDIS_URL: Redis refuses what sessions need" in done.stderr


@pytest.mark.parametrize(("name", "value"), [("BFF_TENANT", "othershop"), ("BFF_CLIENT_ID", "other")])
def test_a_wrong_tenant_or_client_id_is_told(sandbox: Sandbox, redis_url: str, name: str, value: str) -> None:
    done = checked(sandbox, redis_url, **{name: value})
    assert done.returncode == 2
    assert done.stderr == "BFF_TENANT, BFF_CLIENT_ID: Emporix refuses an anonymous login for them\n"


def test_without_the_word_nothing_is_connected(sandbox: Sandbox) -> None:
    environ = environment(
        sandbox, f"redis://127.0.0.1:{free_port()}", BFF_PUBLIC_ORIGIN="http://127.0.0.1:8080"
    )
    done = command("check", **environ)
    assert (done.returncode, done.stdout) == (0, "The configuration is complete.\n")


def test_a_redis_that_forgets_is_a_warning(sandbox: Sandbox, redis_url: str) -> None:
    admin = Redis.from_url(redis_url)
    before = str(admin.config_get("appendonly")["appendonly"])
    admin.config_set("appendonly", "no")
    try:
        done = checked(sandbox, redis_url)
    finally:
        admin.config_set("appendonly", before)
        admin.close()
    assert done.returncode == 0
    assert "WARNING: BFF_REDIS_URL: Redis keeps no append-only file" in done.stderr
