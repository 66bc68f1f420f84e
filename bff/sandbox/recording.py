"""The outermost middleware: the gateway's size limits, a log record for each request, a counter for each route."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff.sandbox import answers
from bff.sandbox.routing import bearer_of
from bff.sandbox.world import World

URL_CAP: Final = 10 * 1024
HEADERS_CAP: Final = 60 * 1024
MASK: Final = "***"
_SECRET_PARAMS: Final = frozenset({
    "accesstoken", "refreshtoken", "refresh_token", "anonymous_token", "subjectaccesstoken",
    "code", "code_verifier", "token", "state", "sessionid",
})  # fmt: skip
_NOT_RECORDED: Final = ("/__sandbox__/",)

TemplateOf = Callable[[str, str], str]


def template_index(routes: Iterable[tuple[str, str]]) -> TemplateOf:
    """Return a function that finds the path template for a method and path."""
    index: dict[tuple[str, int], list[tuple[str, list[str]]]] = defaultdict(list)
    for method, template in routes:
        parts = template.split("/")
        index[method, len(parts)].append((template, parts))

    def find(method: str, path: str) -> str:
        parts = path.split("/")
        for template, wanted in index.get((method, len(parts)), ()):
            if all(want == part or want.startswith("{") for want, part in zip(wanted, parts, strict=True)):
                return template
        return "(no route)"

    return find


class Recorder:
    """Records every request without its secrets, and enforces the gateway's size limits."""

    def __init__(
        self,
        app: ASGIApp,
        world: World,
        template_of: TemplateOf,
        log: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self._app = app
        self._world = world
        self._template_of = template_of
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_NOT_RECORDED):
            await self._app(scope, receive, send)
            return
        record = self._start_record(scope)
        scope.setdefault("state", {})["record"] = record

        async def recording_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                record["status"] = message["status"]
            await send(message)

        try:
            await self._serve(scope, receive, recording_send)
        finally:
            if self._log is not None:
                self._log(record)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = _size_error(scope)
        if error is None:
            await self._app(scope, receive, send)
        else:
            await JSONResponse(error.body, error.status)(scope, receive, send)

    def _start_record(self, scope: Scope) -> dict[str, Any]:
        world, headers, method = self._world, Headers(scope=scope), scope["method"]
        bearer = bearer_of(world, headers)
        template = self._template_of(method, scope["path"])
        world.counts[f"{method} {template}"] += 1
        world.logged += 1
        record: dict[str, Any] = {
            "seq": world.logged,
            "at": world.now(),
            "method": method,
            "path": template if "/optin/{" in template else scope["path"],
            "template": template,
            "status": None,
            "sessionId": bearer.token.session_id if bearer.token else None,
            "customer": bearer.token.customer if bearer.token else None,
            "bearer": bearer.kind,
            "saasToken": "saas-token" in headers,
            "headerNames": sorted(set(headers)),
            "query": _masked_query(scope["query_string"]),
        }
        world.log.append(record)
        return record


def _masked_query(query: bytes) -> dict[str, str]:
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return {name: MASK if name.lower() in _SECRET_PARAMS else value for name, value in pairs}


def _size_error(scope: Scope) -> answers.SandboxError | None:
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > URL_CAP:
        return answers.gateway(414, "URI too long", "protocol.http.TooBigLine")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADERS_CAP:
        return answers.gateway(431, "Header buffer overflow", "protocol.http.TooBigHeaders")
    return None
