"""What holds for all of the code: tests beside modules, small files, no secret where none belongs."""

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import bff
from bff.errors import ALL_ERRORS, BffError

SOURCE = Path(bff.__file__).parent
TESTS = Path(__file__).parent
MODULES = sorted(path for path in SOURCE.rglob("*.py") if "sandbox" not in path.relative_to(SOURCE).parts)
NAMES = [path.relative_to(SOURCE).with_suffix("").as_posix() for path in MODULES]

# Modules whose tests have another name than `test_MODULE.py` or `test_MODULE_….py`.
TESTED_BY = {
    "app": "integration/test_main_path.py",
    "auth/endpoints": "integration/test_auth_session.py",
    "auth/query": "component/test_auth_answers.py",
    "server/phase": "component/test_server_http1.py",
    "api/call": "unit/test_forwarder.py",
    "api/route_file": "unit/test_routes.py",
    "cli/demo": "test_documents.py",
    "cli/main": "integration/test_ops.py",
    "cli/sessions": "component/test_cli_sessions.py",
    "config/embedded_redis": "integration/test_embedded.py",
    "config/parsing": "unit/test_settings.py",
    "config/redis_program": "integration/test_embedded.py",
    "config/redis_url": "unit/test_settings.py",
    "emporix/bearer_calls": "unit/test_auth_calls.py",
    "health": "integration/test_ops.py",
    "middleware/problem_details": "component/test_envelope.py",
    "middleware/request_context": "component/test_session_layer.py",
    "server/http1": "component/test_server_http1.py",
    "server/refusal": "component/test_server_http1.py",
    "server/draining": "component/test_server_process.py",
    "server/listening": "component/test_server_process.py",
    "server/process": "component/test_server_process.py",
    "server/target": "component/test_server_process.py",
    "server/workers": "integration/test_workers.py",
    "sessions/endings": "component/test_lifecycle.py",
    "telemetry/spans": "unit/test_traces.py",
    "sessions/engine": "component/test_wiring.py",
    "sessions/legal_entity": "component/test_lifecycle.py",
    "sessions/ports": "component/test_wiring.py",
    "sessions/request_session": "component/test_lifecycle.py",
    "sessions/shared_token": "component/test_anonymous.py",
    "sessions/signup": "component/test_login.py",
    "sessions/token_owner": "component/test_login.py",
    "sessions/token_saver": "component/test_refresh.py",
    "sessions/login_error": "component/test_login.py",
    "store/waiting": "contract/test_crowded_pools.py",
    "store/backend": "component/test_wiring.py",
    "store/customer_notes": "component/test_customer_index.py",
    "store/options": "component/test_wiring.py",
    "store/protocol": "contract/test_session_store.py",
    "store/dedicated": "contract/test_invalidations.py",
    "store/session_reads": "contract/test_pipelined_reads.py",
    "store/tracking": "contract/test_invalidations.py",
    "store/replaceable": "contract/test_other_url.py",
    "store/unready": "unit/test_unready.py",
    "store/trial": "integration/test_live_check.py",
    "store/redis_backend": "component/test_wiring.py",
    "store/redis_failures": "contract/test_session_store_failures.py",
    "store/redis_keys": "contract/test_redis_sessions.py",
    "store/redis_reader": "contract/test_session_store_failures.py",
    "store/redis_scripts": "contract/test_redis_sessions.py",
    "store/redis_store": "contract/test_session_store.py",
    "telemetry/terminal": "unit/test_terminal.py",
    "telemetry/logs": "unit/test_telemetry.py",
    "telemetry/metrics": "integration/test_ops.py",
    "tokens": "unit/test_session.py",
    "store/diagnosis": "integration/test_live_check.py",
    "upstream/connection": "component/test_llhttp_client.py",
    "upstream/answer_parser": "component/test_llhttp_client.py",
    "upstream/exchange": "component/test_llhttp_client.py",
    "upstream/httpx_client": "contract/test_upstream_client.py",
    "upstream/pool": "component/test_llhttp_client.py",
    "upstream/protocol": "contract/test_upstream_client.py",
    "upstream/releasing": "unit/test_upload_share.py",
}

# The only places where a bare secret is wanted, and what for.
REVEALING = {
    "api/forwarder": "tokens in proxied calls",
    "auth/aliases": "what drop-in clients see instead of an id",
    "auth/placeholders": "what drop-in clients hold instead of tokens",
    "auth/login_state": "the PKCE verifier, to seal it",
    "config/settings": "the address of Redis, to judge it",
    "emporix/auth": "tokens in token calls",
    "emporix/bearer_calls": "bearers",
    "emporix/carts": "session ids in cart calls",
    "emporix/outside_tokens": "tokens from outside, to see that upstream can take them",
    "emporix/token_answers": "the claims of a saas token",
    "middleware/session_layer": "an app's new session id",
    "security/needles": "the session's own tokens, to find them in an answer",
    "store/backend": "the scheme of the store's address",
    "store/cache": "the length of all that a session consists of",
    "store/connection": "the address of Redis",
    "store/customer_index": "the name of a customer's index",
    "store/record": "the record, to seal it",
}

# Where a bare secret is part of a longer text: bearers and a path, in the calls that send them.
FORMATTING = {"emporix/auth", "emporix/bearer_calls"}


def shown(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def nodes(kind: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    for name, path in zip(NAMES, MODULES, strict=True):
        for node in ast.walk(tree(path)):
            if isinstance(node, kind):
                yield name, node


def reveals(node: ast.AST) -> bool:
    """Say whether a `.reveal()` happens anywhere below a node."""
    return any(isinstance(below, ast.Attribute) and below.attr == "reveal" for below in ast.walk(node))


def every_error(kind: type[BffError] = BffError) -> Iterator[type[BffError]]:
    for error in kind.__subclasses__():
        yield error
        yield from every_error(error)


@pytest.mark.parametrize("name", [n for n in NAMES if n.rpartition("/")[2] not in {"__init__", "__main__"}])
def test_every_module_has_a_test_file(name: str) -> None:
    module = name.rpartition("/")[2]
    spellings = (f"test_{module}.py", f"test_{module}_*.py", f"test_*_{module}.py")
    found = [one for spelling in spellings for one in TESTS.rglob(spelling)]
    named = (TESTS / TESTED_BY.get(name, "nothing")).is_file()
    assert found or named, f"no test of bff/{name}.py: add test_{module}.py, or name its tests in TESTED_BY"


def test_no_exception_is_kept_for_a_module_that_is_gone() -> None:
    assert set(TESTED_BY) <= set(NAMES)
    assert set(REVEALING) <= set(NAMES)


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=shown)
def test_every_file_is_under_350_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 350


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=shown)
def test_every_module_with_code_has_a_docstring(path: Path) -> None:
    assert not tree(path).body or ast.get_docstring(tree(path))


def test_every_error_is_listed_once_with_a_code_of_its_own() -> None:
    public = {error for error in every_error() if "code" in vars(error) or error in ALL_ERRORS}
    assert public == set(ALL_ERRORS)
    assert set(Counter(error.code for error in ALL_ERRORS).values()) == {1}


def test_an_error_that_is_not_listed_is_a_kind_of_one_that_is() -> None:
    for error in set(every_error()) - set(ALL_ERRORS):
        assert set(error.__mro__[1:]) & set(ALL_ERRORS), error


def test_middleware_is_pure_asgi() -> None:
    names = {node.id for _, node in nodes(ast.Name) if isinstance(node, ast.Name)}
    imported = {
        alias.name
        for _, node in nodes(ast.ImportFrom)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert "BaseHTTPMiddleware" not in names | imported


def test_tasks_begin_in_one_place() -> None:
    """A task that nobody holds may be collected before it ends, and takes its error with it."""
    begun = Counter(
        (name, node.func.attr)
        for name, node in nodes(ast.Call)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in {"create_task", "ensure_future"}
    )
    allowed = {
        ("sessions/tasks", "create_task"),
        ("store/pipelined_reads", "create_task"),  # the connection, held until it is closed
        ("store/shared_reads", "create_task"),  # a read of several, held until it is over
        ("store/invalidations", "create_task"),  # a connection that lasts; the backend closes it
        ("store/census", "create_task"),  # one estimate after the other; the backend ends it
        ("store/unready", "create_task"),  # one look, held until it is over
        ("store/url_change", "create_task"),  # tries a URL, held until it is over
        ("store/locks", "create_task"),  # extends a lock, held and ended by the block that the lock is for
        ("server/process", "create_task"),  # a listener and a sweep, held by the blocks that they serve in
        (
            "server/http1",
            "create_task",
        ),  # a request, held until it is over among those that the server waits for
        ("api/delivery", "ensure_future"),  # both ends of one stream, awaited where they begin
        ("upstream/connection", "ensure_future"),  # the body of one request, cancelled with its exchange
    }
    assert set(begun) <= allowed


@pytest.mark.parametrize(("name", "path"), list(zip(NAMES, MODULES, strict=True)), ids=NAMES)
def test_a_bare_secret_is_wanted_only_where_it_is_sent_sealed_or_hashed(name: str, path: Path) -> None:
    assert reveals(tree(path)) is (name in REVEALING), f"bff/{name}.py and REVEALING do not agree"


def test_no_bare_secret_is_logged() -> None:
    words = {"debug", "info", "warning", "error", "exception", "critical", "log", "print", "event"}
    for name, node in nodes(ast.Call):
        assert isinstance(node, ast.Call)
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        assert called not in words or not reveals(node), f"{name}:{node.lineno}"


def test_no_bare_secret_is_in_an_error() -> None:
    for name, node in nodes(ast.Raise):
        assert isinstance(node, ast.Raise)
        assert not reveals(node), f"{name}:{node.lineno}"


def test_a_bare_secret_is_formatted_only_where_it_is_sent() -> None:
    """An f-string is where a secret gets into a text that somebody prints."""
    assert {name for name, node in nodes(ast.JoinedStr) if reveals(node)} <= FORMATTING
    for _, node in nodes(ast.Call):
        assert isinstance(node, ast.Call)
        formatting = isinstance(node.func, ast.Attribute) and node.func.attr in {"format", "format_map"}
        assert not formatting or not any(reveals(argument) for argument in node.args)


def imports() -> Iterator[tuple[str, str]]:
    """Yield every name that is imported, in full, with the module that imports it."""
    for name, node in nodes(ast.Import):
        assert isinstance(node, ast.Import)
        yield from ((name, alias.name) for alias in node.names)
    for name, node in nodes(ast.ImportFrom):
        assert isinstance(node, ast.ImportFrom)
        yield from ((name, f"{node.module}.{alias.name}") for alias in node.names)


def test_the_standard_librarys_http_clients_are_for_spans_alone() -> None:
    """The import contracts know a library as a whole, and `http` and `urllib` have other parts too."""
    clients = ("http.client", "urllib.request")
    assert {name for name, imported in imports() if imported.startswith(clients)} == {"telemetry/traces"}


def constructors() -> Iterator[tuple[str, ast.FunctionDef]]:
    for name, node in nodes(ast.ClassDef):
        assert isinstance(node, ast.ClassDef)
        for below in node.body:
            if isinstance(below, ast.FunctionDef) and below.name == "__init__":
                yield f"{name}: {node.name}", below


def test_no_constructor_takes_more_than_six_parts() -> None:
    parts = {name: len([*one.args.args, *one.args.kwonlyargs]) - 1 for name, one in constructors()}
    assert {name: count for name, count in parts.items() if count > 6} == {}


# Words that once meant something of their own here; the field has others for each of them.
PRIVATE = {
    "door", "enter", "gone", "grant", "knock", "leave", "navigates", "said", "settled", "told", "visit", "winners",
}  # fmt: skip


def names_given() -> Iterator[tuple[str, str]]:
    """Yield each name that a module gives: to functions, classes, parameters, variables and attributes."""
    for kind in (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.arg, ast.Name, ast.Attribute):
        for module, node in nodes(kind):
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    yield module, name
                case ast.arg(arg=name):
                    yield module, name
                case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                    yield module, name


def test_names_are_the_fields_own() -> None:
    # Those with two underscores are Python's own; in capitals, GONE is HTTP's.
    plain = {one for one in names_given() if not one[1].startswith("__") and not one[1].isupper()}
    assert [one for one in sorted(plain) if PRIVATE & set(one[1].lower().strip("_").split("_"))] == []
