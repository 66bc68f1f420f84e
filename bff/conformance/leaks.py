"""Leaks: no response that any check has received contains a token, a session cookie or id, or traces of code."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from bff.conformance.check import Check, check, verdict
from bff.conformance.probe import Probe, Recorded, describe, json_object
from bff.conformance.wire import Response

# Emporix tokens have 28 or 32 characters, with both cases and digits; a JWT starts with an encoded `{"`.
_OPAQUE: Final = re.compile(
    r"(?<![\w-])(?=\w*[a-z])(?=\w*[A-Z])(?=\w*\d)(?:[A-Za-z0-9]{28}|[A-Za-z0-9]{32})(?![\w-])"
)
_JWT: Final = re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*")
_NAMES: Final = re.compile(r"(access|refresh|saas|id|bearer|anonymous)_?token", re.IGNORECASE)
_TRACES: Final = (
    b"Traceback (most recent",
    b'File "',
    b".py",
    b"site-packages",
    b"Exception:",
    b"Error at 0x",
    b"httpx",
    b"redis",
)
_SKIPPED_HEADERS: Final = frozenset({"set-cookie", "location", "x-session-id"})


@check(
    "leak-token",
    "No response of /auth contains anything that looks like a token or is named like one",
    "RFC 10017 6.1, 6.1.4.2; ASVS 7.2.1, 10.1.1",
)
async def _token(probe: Probe) -> str:
    searched = [one for one in probe.recorded if one.path.startswith("/auth/")]
    wrong = sorted({f"{one.place}: {what}" for one in searched for what in token_shaped(one.response)})
    return verdict(wrong, f"{len(searched)} responses searched")


@check("leak-carried", "No body contains a session cookie", "ASVS 3.3.4")
async def _carried(probe: Probe) -> str:
    """The session id of an app may be in a body, as `sessionId`, when it is issued."""
    wrong = [
        f"{one.place}: {describe(one.response)}"
        for one in probe.recorded
        for value in probe.issued
        if value.encode() in _without_id(one)
    ]
    return verdict(
        sorted(set(wrong)), f"{len(probe.issued)} values, {len(probe.recorded)} responses searched"
    )


@check(
    "leak-trace", "No response reveals code, file paths or software behind the proxy", "ASVS 13.4.2, 16.5.1"
)
async def _trace(probe: Probe) -> str:
    wrong = {
        f"{one.place}: {trace.decode()}"
        for one in probe.recorded
        if one.path.startswith(("/auth/", "/api/")) and one.response.status >= 400
        for trace in _TRACES
        if trace in one.response.body
    }
    return verdict(sorted(wrong), f"{len(probe.recorded)} responses searched")


@check("leak-status", "No request caused an internal error", "ASVS 16.5.3, 16.5.4")
async def _status(probe: Probe) -> str:
    wrong = [f"{one.place}: {describe(one.response)}" for one in probe.recorded if one.response.status == 500]
    return verdict(wrong, "no 500")


def token_shaped(response: Response) -> list[str]:
    """Return a description of what looks like a token in a response, without the value itself."""
    text = "\n".join(value for name, value in response.headers if name not in _SKIPPED_HEADERS)
    text += response.body.decode("utf-8", "replace")
    found = ["an opaque token"] if _OPAQUE.search(text) else []
    found += (
        ["a JWT"]
        if _JWT.search(text) or any(_JWT.search(one) for one in response.header_values("location"))
        else []
    )
    values = {
        name
        for name, value in _members(json_object(response))
        if _NAMES.fullmatch(name) and len(str(value)) > 20
    }
    return found + [f"a member {name}" for name in sorted(values)]


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, inner
            yield from _members(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _members(inner)


def _without_id(seen: Recorded) -> bytes:
    found = json_object(seen.response)
    if "sessionId" not in found or seen.response.header_values("set-cookie"):
        return seen.response.body
    return json.dumps({name: value for name, value in found.items() if name != "sessionId"}).encode()


CHECKS: tuple[Check, ...] = (_token, _carried, _trace, _status)
