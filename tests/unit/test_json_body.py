"""JSON bodies of `/auth`: read strictly, complained about as a 4xx."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from bff.auth.json_body import json_object, optional_text, text
from bff.errors import BffError, BodyTooLarge, InvalidRequest, UnsupportedMediaType
from tests.support import http_scope

pytestmark = pytest.mark.anyio

JSON = "application/json"


def request(body: bytes | None, media_type: str | None = JSON) -> Request:
    """Return a request with this body; None is one that breaks off."""
    headers = [] if media_type is None else [(b"content-type", media_type.encode())]

    async def receive() -> Message:
        if body is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(http_scope("POST", headers=headers), receive)


@pytest.mark.parametrize(
    "media_type", [JSON, "application/json; charset=utf-8", "Application/JSON", "a/b+json"]
)
async def test_an_object_is_read(media_type: str) -> None:
    assert await json_object(request(b'{"a": [1, null]}', media_type)) == {"a": [1, None]}


@pytest.mark.parametrize(
    "media_type",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "multipart/form-data"],
)
async def test_what_a_form_could_send_is_refused(media_type: str | None) -> None:
    with pytest.raises(UnsupportedMediaType):
        await json_object(request(b'{"a": 1}', media_type))
    with pytest.raises(UnsupportedMediaType):
        await json_object(request(b'{"a": 1}', media_type), optional=True)


async def test_an_empty_body_counts_only_where_it_may() -> None:
    assert await json_object(request(b"", None), optional=True) == {}
    with pytest.raises(UnsupportedMediaType):
        await json_object(request(b"", None))
    with pytest.raises(InvalidRequest):
        await json_object(request(b""))


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"null",
        b'"text"',
        b"5",
        b"{",
        b'{"a": 1} {"b": 2}',
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"x": {"a": 1, "a": 1}}',
        b'{"a": "\xff"}',
        b'{"a":' + b"[" * 60_000,
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)
async def test_anything_but_one_clean_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        await json_object(request(body))


@pytest.mark.parametrize(
    "body", [b'{"a": "\\ud800"}', b'{"\\udfff": 1}', b'{"a": 1e999}', b'{"a": [-1e999]}']
)
async def test_what_can_not_be_sent_on_as_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        await json_object(request(body))


async def test_a_body_of_more_than_64_kib_is_too_large() -> None:
    whole = b'{"a": "' + b"x" * (64 * 1024 - 9) + b'"}'
    assert len(whole) == 64 * 1024
    assert await json_object(request(whole))
    with pytest.raises(BodyTooLarge):
        await json_object(request(whole + b" "))


async def test_a_body_that_is_announced_as_too_large_is_not_read() -> None:
    async def unread() -> Message:
        raise AssertionError("it was read")

    fields = [(b"content-type", JSON.encode()), (b"content-length", b"65537")]
    with pytest.raises(BodyTooLarge):
        await json_object(Request(http_scope("POST", headers=fields), unread))


async def test_a_body_that_breaks_off_is_a_bad_request() -> None:
    with pytest.raises(InvalidRequest):
        await json_object(request(None))


@given(st.binary(max_size=100))
async def test_any_bytes_are_an_object_or_a_4xx(body: bytes) -> None:
    found: object
    try:
        found = await json_object(request(body))
    except BffError as refused:
        found = refused
    assert 400 <= found.status < 500 if isinstance(found, BffError) else isinstance(found, dict)


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.booleans() | st.none()))
async def test_every_object_comes_through_unchanged(value: dict[str, Any]) -> None:
    assert await json_object(request(json.dumps(value).encode())) == value


@pytest.mark.parametrize("value", ["", "x" * 1025, 5, True, False, [], {}, 1.5])
def test_a_text_is_a_string_with_something_in_it(value: object) -> None:
    for ask in (text, optional_text):
        with pytest.raises(InvalidRequest, match="'name'"):
            ask({"name": value}, "name")


@pytest.mark.parametrize("value", ["x", "x" * 1024, "grün", " ", "😀"])
def test_a_text_comes_through_unchanged(value: str) -> None:
    assert text({"name": value}, "name") == value == optional_text({"name": value}, "name")


@pytest.mark.parametrize("body", [{}, {"name": None}])
def test_a_missing_text_is_none_where_it_may_be(body: dict[str, Any]) -> None:
    assert optional_text(body, "name") is None
    with pytest.raises(InvalidRequest, match="missing"):
        text(body, "name")


def test_a_complaint_never_repeats_the_value() -> None:
    with pytest.raises(InvalidRequest) as caught:
        text({"password": "hunter2" * 200}, "password")
    assert "hunter2" not in caught.value.detail
