"""Chats with an agent of the tenant (AI service): one answer, a job, or a stream of events."""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import anyio
from starlette.responses import JSONResponse, Response, StreamingResponse

from bff.sandbox import answers, tokens
from bff.sandbox.routing import Call, Entry

_BASE: Final = "/ai-service/{tenant}/agentic"


def chat(call: Call) -> Response:
    """Answer a message. The `session-id` header names a chat that goes on; without it, a chat begins."""
    agent, message = _asked(call)
    reply = {
        "agentId": agent,
        "agentType": "generic",
        "sessionId": _chat(call),
        "message": f"You said: {message}",
    }
    return JSONResponse([reply])


def chat_later(call: Call) -> Response:
    _asked(call)
    return JSONResponse({"jobId": tokens.object_id()}, 201)


def chat_stream(call: Call) -> Response:
    """Answer in events, with a pause between them; the last one names the chat. The knobs set how long it takes."""
    agent, message = _asked(call)
    return StreamingResponse(_events(call, agent, message, _chat(call)), media_type="text/event-stream")


def attach(call: Call) -> Response:
    """Take a file for a message of a chat."""
    return JSONResponse({"attachmentId": tokens.object_id(), "sessionId": _chat(call)}, 201)


async def _events(call: Call, agent: str, message: str, key: str) -> AsyncIterator[bytes]:
    knobs = call.world.knobs
    for number in range(knobs.agent_stream_events):
        yield _event("message", {"agentId": agent, "index": number, "message": f"You said: {message}"})
        await anyio.sleep(knobs.agent_stream_pause_ms / 1000)
    yield _event("done", {"agentId": agent, "sessionId": key})


def _event(name: str, members: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(members)}\n\n".encode()


def _asked(call: Call) -> tuple[str, str]:
    body = call.fields()
    agent, message = body.get("agentId"), body.get("message")
    if not isinstance(agent, str) or not isinstance(message, str):
        raise answers.bad_request("agentId and message are required.")
    return agent, message


def _chat(call: Call) -> str:
    return call.headers.get("session-id") or tokens.session_id()


ROUTES: Final = (
    Entry("POST", f"{_BASE}/chat", "customer", chat),
    Entry("POST", f"{_BASE}/chat-async", "customer", chat_later),
    Entry("POST", f"{_BASE}/chat-stream", "customer", chat_stream),
    Entry("POST", f"{_BASE}/{{agentId}}/attachments", "customer", attach),
)
