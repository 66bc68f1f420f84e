"""Reading JSON bodies strictly: one object, no member twice; every mistake is a 4xx."""

import json
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request

from bff.errors import BodyTooLarge, InvalidRequest, UnsupportedMediaType

_LARGEST_BODY: Final = 64 * 1024  # no call under `/auth` needs more, whatever `/api` may take
_LONGEST_TEXT: Final = 1024
_LONGEST_SECONDS: Final = 10 * 365 * 86400


async def json_object(request: Request, *, optional: bool = False) -> dict[str, Any]:
    """Return the request's JSON object; {} for an empty body where that is allowed.

    Raises:
        UnsupportedMediaType: the media type is not JSON.
        BodyTooLarge: it is larger than 64 KiB.
        InvalidRequest: it is no JSON object, or names a member twice (RFC 8259 §4 leaves open which counts).
    """
    raw = await _body(request)
    if not raw and optional:
        return {}
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaType
    try:
        body = json.loads(raw, object_pairs_hook=_without_duplicates)
        # Refused here, because it could not be encoded again for upstream: lone surrogates, infinities, NaN.
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise InvalidRequest("the body is not one JSON object") from None
    if not isinstance(body, dict):
        raise InvalidRequest("the body is not one JSON object")
    return body


def text(body: Mapping[str, Any], name: str, *, most: int = _LONGEST_TEXT) -> str:
    """Return a member that must be a string and not empty.

    Raises:
        InvalidRequest: it is missing, of another type, empty, or has more than `most` characters.
    """
    value = optional_text(body, name, most=most)
    if value is None:
        raise InvalidRequest(f"'{name}' is missing")
    return value


def optional_text(body: Mapping[str, Any], name: str, *, most: int = _LONGEST_TEXT) -> str | None:
    """Return a member that may be missing or null, and is a string otherwise.

    Raises:
        InvalidRequest: as for `text`, but for missing.
    """
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= most:
        raise InvalidRequest(f"'{name}' must be a string of 1 to {most} characters")
    return value


def seconds(body: Mapping[str, Any], name: str) -> int:
    """Return a member that must be a whole number of seconds, at least 1 and at most ten years.

    Raises:
        InvalidRequest: it is missing, or anything else.
    """
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _LONGEST_SECONDS:
        raise InvalidRequest(f"'{name}' must be a whole number of seconds, at least 1")
    return value


async def _body(request: Request) -> bytes:
    raw = bytearray()
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > _LARGEST_BODY:
        raise BodyTooLarge
    try:
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > _LARGEST_BODY:
                raise BodyTooLarge
    except ClientDisconnect:
        raise InvalidRequest("the body broke off") from None
    return bytes(raw)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is named twice")
    return found
