"""Pagination and language selection."""

import re
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers
from bff.sandbox.routing import Call

_LANGUAGE: Final = re.compile(r"(\*|[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*)(\s*;\s*q=[01](\.\d{0,3})?)?")
_PAGE_CAP: Final = 200


def page(call: Call, rows: list[Any]) -> Response:
    """Return one page of a list, with the total count if the request's `X-Total-Count` header asks for it."""
    number = _number(call, "pageNumber", 1)
    size = min(_number(call, "pageSize", 60), _PAGE_CAP)
    asked = call.headers.get("x-total-count", "").lower() == "true"
    headers = {"X-Total-Count": str(len(rows))} if asked else {}
    return JSONResponse(rows[(number - 1) * size : number * size], headers=headers)


def language(call: Call) -> str | None:
    """Return the language of the response, or None for all languages.

    Without `Accept-Language` the response has all languages, with an unknown language the default one; a malformed
    header gets a 400.
    """
    accepted = call.headers.get("accept-language")
    if accepted is None or accepted.strip() == "*":
        return None
    tags = [part.strip() for part in accepted.split(",")]
    if not all(_LANGUAGE.fullmatch(tag) for tag in tags):
        raise answers.price(400, "Bad Request", "Language header validation failed")
    supported = (tag[:2].lower() for tag in tags if tag[:2].lower() in {"en", "de"})
    return next(supported, "en")


def localized(call: Call, words: dict[str, str]) -> dict[str, str] | str:
    """Return a text in the language of the response, or in all languages."""
    code = language(call)
    return words if code is None else words.get(code, words["en"])


def _number(call: Call, name: str, default: int) -> int:
    text = call.query.get(name, str(default))
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise answers.price(400, "Bad Request", f"{name} must be a positive number")
    return int(text)
