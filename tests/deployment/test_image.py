"""The image: what its Dockerfile says, and the command that its steps make.

`deploy/try-image` builds it for real and names its root file system in BFF_TEST_IMAGE; that command is then what runs.
Elsewhere the same steps are run here, on a virtual environment that has the locked packages already.
"""

import fnmatch
import os
import re
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from bff import __version__
from bff.cli.main import _parser
from deploy.lock import RUNS, SERVER, TRACES
from tests.collector import collecting
from tests.deployment.dockerfile import ROOT, Stage, healthcheck, stages, steps
from tests.integration.visitors import CARTS, ME, PRODUCTS, customer
from tests.live import ADA, LiveProxy, Process, Sandbox, environment, free_port
from tests.resilience import servers

IMAGE = os.environ.get("BFF_TEST_IMAGE")
TRACED = not IMAGE or any(Path(IMAGE).glob("opt/bff/lib/python3*/site-packages/opentelemetry"))
PYTHON_OF_THE_BASE = re.compile(r"(?<![\w/.'-])python(?!3)\b")


def installed_here(folder: Path) -> list[str]:
    """Run the step that installs the package, below this folder; return the command that it makes."""
    home = folder / "bff"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    interpreter = home / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([interpreter, "-c", where], capture_output=True, text=True, check=True).stdout
    (Path(packages.strip()) / "locked.pth").write_text(sysconfig.get_path("purelib"), "utf-8")
    (step,) = [run for run in stages()[0].all("RUN") if "cp -r /tmp/bff" in run]
    here = step.replace("/tmp/bff", str(ROOT / "bff")).replace("/opt/bff", str(home))  # noqa: S108 - the image's
    said = subprocess.run(["sh", "-ec", here], capture_output=True, text=True, check=True).stdout
    assert said.strip() == __version__
    return [str(home / "bin" / "bff")]


def built(root: str) -> list[str]:
    """Return what runs `bff` in the image as its user, who has no capabilities there and gets none."""
    user, _, group = stages()[-1].one("USER").partition(":")
    identity = [f"--reuid={user}", f"--regid={group}", "--clear-groups"]
    return ["chroot", root, "setpriv", *identity, "--bounding-set=-all", "--no-new-privs", "/opt/bff/bin/bff"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The image's `bff`."""
    return built(IMAGE) if IMAGE else installed_here(tmp_path_factory.mktemp("image"))


@pytest.fixture
def reachable_redis(redis_url: str) -> Iterator[str]:
    """A Redis that the image reaches: not by a socket in a directory, and not as another user's."""
    if not IMAGE:
        yield redis_url
        return
    server = servers.program()
    assert server
    with servers.single(server) as redis:
        yield redis.url


@pytest.fixture
def runtime() -> Stage:
    return stages()[-1]


def test_two_workers_of_the_image_serve_a_customer(
    program: list[str], sandbox: Sandbox, reachable_redis: str
) -> None:
    environ = environment(sandbox, reachable_redis, BFF_ADMIN_PORT=str(free_port()))
    with LiveProxy(environ, "--workers", "2", program=program) as proxy:
        with customer(proxy) as browser:
            assert browser.get(ME).status_code == 200
            assert browser.get(PRODUCTS).status_code == 200
            cart = browser.get(CARTS, params={"siteCode": "main", "create": "true"})
            assert cart.status_code == 200
            assert browser.post("/auth/logout").status_code == 204
        assert proxy.stop(signal.SIGTERM) == 0, proxy.log
        assert "Traceback" not in proxy.log


def test_the_image_shows_the_demo_shop_to_a_user_without_a_home(program: list[str]) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    everywhere = ("--host", "0.0.0.0", "--port", str(port))  # noqa: S104 - a container's only way in
    homeless = {"HOME": "/" if IMAGE else os.devnull, "XDG_STATE_HOME": ""}
    with (
        Process("demo", *everywhere, environ=homeless, probe=url, program=program) as demo,
        httpx2.Client(base_url=url, headers={"X-CSRF": "1", "Origin": url}, trust_env=False) as browser,
    ):
        assert "text/html" in browser.get("/").headers["content-type"]
        assert browser.get("/demo/config.json").json()["demo"] == ADA
        assert browser.post("/auth/login", json=ADA).status_code == 200
        assert browser.get(ME).json()["contactEmail"] == ADA["email"]
        assert not IMAGE or "bundled valkey-server" in demo.log
        assert demo.stop(signal.SIGTERM) == 0, demo.log


@pytest.mark.skipif(not IMAGE, reason="needs the image's root, which cannot be written")
def test_the_image_keeps_no_sessions_in_a_container_because_redis_was_forgotten(
    program: list[str], sandbox: Sandbox
) -> None:
    environ = environment(sandbox, "") | {"HOME": "/", "XDG_STATE_HOME": ""}
    with pytest.raises(RuntimeError, match="ended with 3"):
        LiveProxy(environ, program=program, fork=False)


@pytest.mark.skipif(not TRACED, reason="needs an image that was built with EXTRAS=otel")
def test_the_image_with_what_traces_need_sends_them(
    program: list[str], sandbox: Sandbox, reachable_redis: str
) -> None:
    with collecting() as collector:
        environ = environment(sandbox, reachable_redis, BFF_TRACES=collector.url)
        with LiveProxy(environ, program=program, fork=False) as proxy, proxy.browser() as browser:
            assert browser.get(PRODUCTS).status_code == 200
            assert proxy.stop(signal.SIGTERM) == 0, proxy.log
    assert "emporix product" in {span.name for span in collector.spans()}


@pytest.mark.parametrize(("extras", "locks"), [("", [RUNS, SERVER]), ("otel", [RUNS, SERVER, TRACES])])
def test_a_build_argument_adds_what_traces_need(extras: str, locks: list[Path]) -> None:
    assert "EXTRAS=" in stages()[0].all("ARG"), "without the argument nothing is added"
    (step,) = [run for run in stages()[0].all("RUN") if "pip install" in run]
    here = step.replace("/opt/bff/bin/python", "echo").replace("python3 -m venv", "true")
    said = subprocess.run(
        ["sh", "-ec", here], capture_output=True, text=True, check=True, env={"EXTRAS": extras}
    ).stdout
    assert re.findall(r"-r (\S+)", said) == [f"/tmp/{lock.name}" for lock in locks]  # noqa: S108 - the image's


def test_the_healthcheck_tells_a_server_from_none(sandbox: Sandbox, redis_url: str) -> None:
    with LiveProxy(environment(sandbox, redis_url)) as proxy:
        assert asked(proxy.port) == 0
        proxy.stop()
        assert asked(proxy.port) != 0


def asked(port: int) -> int:
    """Run the check against this port and return its exit code."""
    python, *arguments = (part.replace("8080", str(port)) for part in healthcheck())
    assert python == "python"
    return subprocess.run([sys.executable, *arguments], capture_output=True, check=False).returncode


def test_the_healthcheck_asks_where_the_image_listens(runtime: Stage) -> None:
    port = int(runtime.one("EXPOSE"))
    assert f"'127.0.0.1', {port}," in healthcheck()[-1]
    assert "'/livez'" in healthcheck()[-1]
    command: list[str] = re.findall(r'"([^"]+)"', runtime.one("CMD"))
    assert command[0] == "bff"
    assert _parser().parse_args(command[1:]).port == port
    assert _parser().parse_args(command[1:]).host == "0.0.0.0"  # noqa: S104 - a container's only way in


def test_every_stage_is_on_the_base_that_the_builder_names() -> None:
    first = steps()[0]
    assert first.name == "ARG"
    assert re.fullmatch(r"BASE=\S+", first.rest)
    assert [stage.base.partition(" ")[0] for stage in stages()] == ["${BASE}"] * 2


def test_the_base_need_not_have_a_command_called_python() -> None:
    """Debian's has `python3` only; the virtual environment has both."""
    build = stages()[0]
    assert build.all("RUN")
    assert [run for run in build.all("RUN") if PYTHON_OF_THE_BASE.search(run)] == []


def test_what_runs_is_the_virtual_environment_and_nothing_is_run_to_make_it(runtime: Stage) -> None:
    assert runtime.all("RUN") == []
    assert runtime.all("COPY") == ["--from=build /opt/bff /opt/bff"]


def test_no_installer_is_left_in_the_image() -> None:
    last = stages()[0].all("RUN")[-1]
    assert re.search(r"pip uninstall --yes .*\bpip\b", last)
    if IMAGE:
        assert list(Path(IMAGE, "opt/bff").rglob("pip*/__init__.py")) == []


def test_the_user_is_a_number_so_that_an_orchestrator_sees_that_it_is_not_root(runtime: Stage) -> None:
    user, _, group = runtime.one("USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0


def test_the_labels_are_those_of_the_annotation_specification(runtime: Stage) -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', runtime.one("LABEL")))
    assert set(labels) == {"title", "description", "licenses", "version", "revision"}
    assert labels["licenses"] in (ROOT / "LICENSE").read_text("utf-8").splitlines()[0]
    arguments = {argument.partition("=")[0] for argument in runtime.all("ARG")}
    assert {labels["version"], labels["revision"]} == {f"${{{name}}}" for name in arguments}


def test_nothing_but_what_is_copied_is_sent_to_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = {name.rstrip("/") for copy in stages()[0].all("COPY") for name in copy.split()[:-1]}
    assert "*" in lines
    assert allowed == copied
    assert all(any(fnmatch.fnmatch(name, copy) for name in os.listdir(ROOT)) for copy in copied)  # noqa: PTH208
