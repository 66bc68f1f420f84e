"""What a start imports: each module costs time and memory in every process, whether it is used or not."""

import json
import subprocess
import sys

import pytest

from tests.bench.plain import plain_install
from tests.support import new_keys

_COMMAND_LINE = "import bff.__main__"
_PROXY = f"{_COMMAND_LINE}; from bff.app import from_environment; from_environment()"
_TOLD = "; import gc, json, sys; print(json.dumps([gc.get_stats()[1]['collections'], *sys.modules]))"


def started(program: str, **settings: str) -> tuple[int, set[str]]:
    """Return how often a new process has looked for cycles again until it was so far, and its modules."""
    ended = subprocess.run(
        [sys.executable, "-c", program + _TOLD], env=settings, capture_output=True, text=True, check=True
    )
    looks, *modules = json.loads(ended.stdout)
    return looks, set(modules)


def below(names: set[str], *unwanted: str) -> list[str]:
    return sorted(name for name in names if any(f"{name}.".startswith(f"{one}.") for one in unwanted))


@pytest.fixture(scope="module")
def of_a_command() -> set[str]:
    return started(_COMMAND_LINE)[1]


@pytest.fixture(scope="module")
def proxy() -> tuple[int, set[str]]:
    return started(
        _PROXY,
        BFF_TENANT="acmeshop",
        BFF_CLIENT_ID="storefront",
        BFF_PUBLIC_ORIGIN="https://shop.example",
        BFF_KEYS=new_keys(),
        BFF_REDIS_URL="redis://127.0.0.1:1",
    )


@pytest.fixture(scope="module")
def of_the_proxy(proxy: tuple[int, set[str]]) -> set[str]:
    return proxy[1]


@pytest.mark.parametrize(
    "room",
    ["app", "wiring", "health", "api", "auth", "sessions", "store", "emporix", "sandbox", "conformance"],
)
def test_the_supervisor_of_several_workers_does_without_the_proxy(of_a_command: set[str], room: str) -> None:
    found = below(of_a_command, f"bff.{room}")
    assert not found, (
        f"the command line imports {found} for every command; let the one that needs it import it"
    )


@pytest.mark.parametrize("library", ["redis", "httpx2", "httpcore2", "cryptography", "itsdangerous"])
def test_the_supervisor_does_without_the_proxys_libraries(of_a_command: set[str], library: str) -> None:
    assert not below(of_a_command, library), f"something that every command imports needs {library}"


@pytest.mark.parametrize(
    "module",
    ["bff.cli.demo", "bff.cli.live_check", "bff.cli.sessions", "bff.conformance", "bff.sandbox"],
)
def test_the_proxy_imports_nothing_of_other_commands(of_the_proxy: set[str], module: str) -> None:
    found = below(of_the_proxy, module)
    assert not found, f"the proxy imports {found}, which only another command needs"


@pytest.mark.parametrize("module", ["bff.telemetry.traces", "opentelemetry.exporter", "fakeredis", "valkey"])
def test_the_proxy_imports_nothing_that_is_not_configured(of_the_proxy: set[str], module: str) -> None:
    found = below(of_the_proxy, module)
    assert not found, f"the proxy imports {found}, which these settings do not ask for"


def test_the_garbage_collector_does_not_go_through_the_imports_again_and_again(
    proxy: tuple[int, set[str]],
) -> None:
    assert proxy[0] <= 3, "the threshold must be raised before anything is imported, see bff/__main__.py"


def test_the_bench_measures_an_installation_with_what_is_required_and_nothing_else() -> None:
    asked = ("redis", "hiredis", "httpcore2", "bff", "opentelemetry", "pytest", "coverage")
    found = f"[name for name in {asked} if importlib.util.find_spec(name)]"
    program = f"import bff.app, importlib.util, json; print(json.dumps({found}))"
    with plain_install() as command:
        ended = subprocess.run(
            [*command[:2], "-c", program], env={}, capture_output=True, text=True, check=True
        )
    assert json.loads(ended.stdout) == ["redis", "hiredis", "httpcore2", "bff"]
