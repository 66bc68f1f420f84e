"""What must be in no answer: tokens, what carries a session, traces of code. They search all that was answered."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from bff.conformance.check import Check, check, judged
from bff.conformance.probe import Probe, Seen, problem, told
from bff.conformance.wire import Answer

# Emporix' tokens are 28 or 32 characters of both cases and digits; a JWT begins with an encoded `{"`.
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
_OWN_FIELDS: Final = frozenset({"set-cookie", "location", "x-session-id"})


@check(
    "leak-token",
    "No answer of /auth holds anything of a token's shape or name",
    "RFC 10017 6.1, 6.1.4.2; ASVS 7.2.1, 10.1.1",
)
async def _token(probe: Probe) -> str:
    searched = [one for one in probe.seen if one.path.startswith("/auth/")]
    wrong = sorted({f"{one.place}: {what}" for one in searched for what in token_shaped(one.answer)})
    return judged(wrong, f"{len(searched)} answers searched")


@check("leak-carried", "What a browser carries is in no body", "ASVS 3.3.4")
async def _carried(probe: Probe) -> str:
    """An app's id belongs in a body: the one that hands it out, under `sessionId`."""
    wrong = [
        f"{one.place}: {told(one.answer)}"
        for one in probe.seen
        for value in probe.handed
        if value.encode() in _without_id(one)
    ]
    return judged(sorted(set(wrong)), f"{len(probe.handed)} values, {len(probe.seen)} answers searched")


@check("leak-trace", "No answer shows code, paths or what is behind the proxy", "ASVS 13.4.2, 16.5.1")
async def _trace(probe: Probe) -> str:
    wrong = {
        f"{one.place}: {trace.decode()}"
        for one in probe.seen
        if one.path.startswith(("/auth/", "/api/")) and one.answer.status >= 400
        for trace in _TRACES
        if trace in one.answer.body
    }
    return judged(sorted(wrong), f"{len(probe.seen)} answers searched")


@check("leak-status", "Nothing that was sent was met with a fault of the proxy's own", "ASVS 16.5.3, 16.5.4")
async def _status(probe: Probe) -> str:
    wrong = [f"{one.place}: {told(one.answer)}" for one in probe.seen if one.answer.status == 500]
    return judged(wrong, "no 500")


def token_shaped(answer: Answer) -> list[str]:
    """Say what of an answer looks like a token; what is found is not repeated."""
    text = "\n".join(value for name, value in answer.fields if name not in _OWN_FIELDS)
    text += answer.body.decode("utf-8", "replace")
    found = ["an opaque token's shape"] if _OPAQUE.search(text) else []
    found += ["a JWT"] if _JWT.search(text) or any(_JWT.search(one) for one in answer.all("location")) else []
    values = {
        name for name, value in _members(problem(answer)) if _NAMES.fullmatch(name) and len(str(value)) > 20
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


def _without_id(seen: Seen) -> bytes:
    found = problem(seen.answer)
    if "sessionId" not in found or seen.answer.all("set-cookie"):
        return seen.answer.body
    return json.dumps({name: value for name, value in found.items() if name != "sessionId"}).encode()


CHECKS: tuple[Check, ...] = (_token, _carried, _trace, _status)
