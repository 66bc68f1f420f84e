"""What callers may send to `/auth`, and what every refusal looks like."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.integration.visitors import calls, guest, problem, seen, set_cookies
from tests.live import ADA, LiveProxy, Sandbox, environment

_JSON = {"Content-Type": "application/json"}
_KIB_64 = 64 * 1024
_WITH_BODY = [
    ("POST", "/auth/anonymous"),
    ("POST", "/auth/signup"),
    ("POST", "/auth/login"),
    ("PUT", "/auth/legal-entity"),
]
_ALLOWED = {
    "/auth/session": {"GET", "HEAD"},
    "/auth/anonymous": {"POST"},
    "/auth/signup": {"POST"},
    "/auth/login": {"POST"},
    "/auth/logout": {"POST"},
    "/auth/refresh": {"POST"},
    "/auth/legal-entity": {"PUT"},
    "/auth/validate": {"GET", "HEAD"},
    "/auth/sessions": {"GET", "HEAD", "DELETE"},
    "/auth/sessions/8d0Qb2m9Jx4kP1aL": {"DELETE"},
}
_BROKEN = {
    "nothing-parsable": b"{",
    "trailing": b'{"email":"a@example.com","password":"secret-1"} x',
    "two-objects": b"{}{}",
    "list": b"[]",
    "string": b'"email"',
    "null": b"null",
    "number": b"5",
    "not-a-number": b'{"email":"a@example.com","password":"secret-1","x":NaN}',
    "infinity": b'{"email":"a@example.com","password":"secret-1","x":-Infinity}',
    "twice": b'{"email":"a@example.com","email":"b@example.com","password":"secret-1","legalEntityId":null}',
    "twice-below": b'{"email":"a@example.com","password":"secret-1","legalEntityId":null,"x":{"y":1,"y":2}}',
    "not-utf-8": b'{"email":"\xff\xfe","password":"secret-1"}',
    "deep-lists": b"[" * 30_000,
    "deep-objects": b'{"a":' * 10_000,
    "deep-and-closed": b'{"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "longest-number": b'{"email":"a@example.com","password":"secret-1","x":' + b"9" * 5000 + b"}",
}


def _refused(
    proxy: LiveProxy, sandbox: Sandbox, call: tuple[str, str], status: int, code: str, **request: Any
) -> httpx2.Response:
    """Assert that a call is refused so, with nothing set here and nothing asked of upstream."""
    before = seen(sandbox)
    with proxy.browser() as browser:
        answer = browser.request(*call, **request)
    problem(answer, status, code)
    assert not set_cookies(answer)
    assert calls(sandbox, before) == []
    return answer


@pytest.mark.parametrize("body", list(_BROKEN.values()), ids=list(_BROKEN))
@pytest.mark.parametrize(("method", "path"), _WITH_BODY)
def test_a_body_that_is_not_one_object_is_refused(
    proxy: LiveProxy, sandbox: Sandbox, method: str, path: str, body: bytes
) -> None:
    _refused(proxy, sandbox, (method, path), 400, "invalid_request", content=body, headers=_JSON)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": ADA["email"]},
        {"password": ADA["password"]},
        {"email": None, "password": "secret-1"},
        {"email": "", "password": "secret-1"},
        {"email": 5, "password": "secret-1"},
        {"email": ["a@example.com"], "password": "secret-1"},
        {"email": "a@example.com", "password": True},
        {"email": "a@example.com", "password": {"$ne": ""}},
        {"email": "a" * 1025, "password": "secret-1"},
        {"email": "a@example.com", "password": "p" * 1025},
        {"email": "\ud800@example.com", "password": "secret-1"},
    ],
)
@pytest.mark.parametrize("path", ["/auth/login", "/auth/signup"])
def test_credentials_of_another_type_are_refused(
    proxy: LiveProxy, sandbox: Sandbox, path: str, body: dict[str, Any]
) -> None:
    content = json.dumps(body).encode()
    answer = _refused(proxy, sandbox, ("POST", path), 400, "invalid_request", content=content, headers=_JSON)
    assert "secret-1" not in answer.text


@pytest.mark.parametrize("name", ["siteCode", "currency", "language", "targetLocation"])
@pytest.mark.parametrize("value", [5, "", [], {}, True, "x" * 1025], ids=repr)
def test_a_context_of_another_type_starts_no_guest(
    proxy: LiveProxy, sandbox: Sandbox, name: str, value: object
) -> None:
    _refused(proxy, sandbox, ("POST", "/auth/anonymous"), 400, "invalid_request", json={name: value})


@pytest.mark.parametrize("body", [{}, {"legalEntityId": 5}, {"legalEntityId": ""}, {"legalEntityId": ["LE"]}])
def test_a_company_is_a_string_or_null(proxy: LiveProxy, body: dict[str, Any]) -> None:
    with guest(proxy) as browser:
        problem(browser.put("/auth/legal-entity", json=body), 400, "invalid_request")


@pytest.mark.parametrize(
    "text",
    [
        '{{"email":"{0}","password":"secret-1","customerDetails":{{"x":1e999}}}}',
        '{{"email":"{0}","password":"secret-1","customerDetails":{{"firstName":"\\ud800"}}}}',
        '{{"email":"{0}","password":"secret-1","customerDetails":{{"\\udfff":1}}}}',
    ],
    ids=["endless-number", "lone-surrogate", "lone-surrogate-name"],
)
def test_a_sign_up_that_no_encoding_can_carry_is_refused(
    proxy: LiveProxy, sandbox: Sandbox, text: str
) -> None:
    body = text.format(f"{uuid.uuid4().hex}@example.com")
    with guest(proxy) as browser:
        before = seen(sandbox)
        answer = browser.post("/auth/signup", content=body.encode(), headers=_JSON)
        problem(answer, 400, "invalid_request")
        assert calls(sandbox, before) == []


@pytest.mark.parametrize("depth", [50, 200, 400, 600, 800, 950, 1000, 2000, 5000])
def test_a_deep_sign_up_is_served_or_refused(proxy: LiveProxy, depth: int) -> None:
    email = f"{uuid.uuid4().hex}@example.com"
    body = f'{{"email":"{email}","password":"secret-1","x":{"[" * depth}{"]" * depth}}}'
    with guest(proxy) as browser:
        answer = browser.post("/auth/signup", content=body.encode(), headers=_JSON)
        if answer.status_code != 201:
            problem(answer, 400, "invalid_request")


@pytest.fixture(scope="module", params=[3000, 2 * _KIB_64], ids=["less than usual", "more than usual"])
def limited(
    request: pytest.FixtureRequest, sandbox_process: Sandbox, redis_url: str
) -> Iterator[tuple[LiveProxy, int]]:
    """A proxy with another limit under `/api`, and the limit under `/auth`."""
    other: int = request.param
    with LiveProxy(environment(sandbox_process, redis_url, BFF_MAX_BODY_BYTES=str(other))) as proxy:
        yield proxy, _KIB_64


@pytest.mark.parametrize(("method", "path"), _WITH_BODY)
def test_a_body_has_at_most_64_kib_whatever_is_configured(
    limited: tuple[LiveProxy, int], sandbox: Sandbox, method: str, path: str
) -> None:
    proxy, limit = limited
    account = json.dumps(ADA | {"legalEntityId": None}).encode()
    fits = account + b" " * (limit - len(account))
    before = seen(sandbox)
    with proxy.browser() as browser:
        answer = browser.request(method, path, content=fits + b" ", headers=_JSON)
        problem(answer, 413, "body_too_large")
        assert not set_cookies(answer)

        def pieces() -> Iterator[bytes]:
            yield fits
            yield b" "

        problem(browser.request(method, path, content=pieces(), headers=_JSON), 413, "body_too_large")
        assert calls(sandbox, before) == []
        assert browser.request(method, path, content=fits, headers=_JSON).status_code not in {400, 413, 500}


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
@pytest.mark.parametrize(("method", "path"), _WITH_BODY)
def test_a_body_that_is_not_called_json_is_refused(
    proxy: LiveProxy, sandbox: Sandbox, method: str, path: str, media_type: str
) -> None:
    body, headers = json.dumps(ADA).encode(), {"Content-Type": media_type} if media_type else {}
    _refused(proxy, sandbox, (method, path), 415, "unsupported_media_type", content=body, headers=headers)


def test_json_may_name_its_charset_and_be_written_in_any_case(proxy: LiveProxy) -> None:
    with proxy.browser() as browser:
        headers = {"Content-Type": "Application/JSON; charset=utf-8"}
        answer = browser.post("/auth/login", content=json.dumps(ADA).encode(), headers=headers)
        assert answer.status_code == 200


@pytest.mark.parametrize("path", sorted(_ALLOWED))
def test_another_method_is_told_which_are_allowed(proxy: LiveProxy, sandbox: Sandbox, path: str) -> None:
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - _ALLOWED[path]:
        answer = _refused(proxy, sandbox, (method, path), 405, "method_not_allowed")
        assert {one.strip() for one in answer.headers["allow"].split(",")} == _ALLOWED[path]


@pytest.mark.parametrize(
    "path",
    [
        "/auth/",
        "/auth/nothing",
        "/auth/session/",
        "/auth/login/x",
        "/auth//session",
        "/nothing",
        "/",
        "/metrics",
    ],
)
def test_what_is_not_there_is_a_problem_too(proxy: LiveProxy, sandbox: Sandbox, path: str) -> None:
    before = seen(sandbox)
    with guest(proxy) as browser:
        answer = browser.get(path)
        problem(answer, 404, "not_found")
        assert not set_cookies(answer)
    assert len(calls(sandbox, before)) == 1  # the guest's own


def test_an_api_path_that_is_no_route_is_refused(proxy: LiveProxy) -> None:
    with guest(proxy) as browser:
        problem(browser.get("/api/nothing"), 403, "route_not_allowed")
        problem(browser.get("/api/product/othertenant/products"), 403, "forbidden")


def test_a_request_names_its_own_id_and_gets_it_back(proxy: LiveProxy) -> None:
    with proxy.browser() as browser:
        answer = browser.post("/auth/refresh", headers={"X-Request-Id": "page-7.click_3"})
        assert problem(answer, 401, "no_session")["requestId"] == "page-7.click_3"
        odd = browser.post("/auth/refresh", headers={"X-Request-Id": 'x"y z'})
        assert problem(odd, 401, "no_session")["requestId"] != 'x"y z'
