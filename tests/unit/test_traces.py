"""Spans: what begins where and whose part it is, what they say, and what goes on to upstream."""

import asyncio
from collections.abc import Iterator, Mapping

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, format_span_id, format_trace_id
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from bff.errors import BffError, NoSession, NotAsked, UpstreamTimeout, UpstreamUnavailable
from bff.middleware.cors import Cors
from bff.middleware.request_context import request_context
from bff.middleware.request_layer import RequestLayer, RequestPolicy
from bff.middleware.stream_limit import StreamLimit
from bff.telemetry import spans
from bff.telemetry.traces import SpanRecorder
from bff.upstream.call_metrics import CountedCall
from bff.upstream.protocol import Header
from tests.support import http_scope, run_app

pytestmark = pytest.mark.anyio

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{PARENT}-01".encode()
ROUTE = "GET /things/{id}"
SENT: list[Header] = [(b"accept", b"*/*"), (b"Traceparent", GIVEN), (b"tracestate", b"a=b")]


@pytest.fixture
def recorded() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans.record_with(SpanRecorder(provider.get_tracer("test")))
    yield exporter
    spans.record_with(None)


def by_name(recorded: InMemorySpanExporter) -> Mapping[str, ReadableSpan]:
    return {span.name: span for span in recorded.get_finished_spans()}


def place_of(span: ReadableSpan) -> SpanContext:
    place = span.get_span_context()
    assert place is not None
    return place


def trace_of(span: ReadableSpan) -> str:
    return format_trace_id(place_of(span).trace_id)


def id_of(span: ReadableSpan) -> str:
    return format_span_id(place_of(span).span_id)


def parent_of(span: ReadableSpan) -> str | None:
    return None if span.parent is None else format_span_id(span.parent.span_id)


async def ask(app: ASGIApp, *headers: Header, path: str = "/api/things/7", method: str = "GET") -> None:
    layer = RequestLayer(app, RequestPolicy((), (), Cors(()), StreamLimit(8)), monotonic=lambda: 0.0)
    await run_app(layer, http_scope(method, path, headers=list(headers), query_string=b"q=secret"))


def answering(status: int = 200, route: str | None = ROUTE, error: Exception | None = None) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request_context(scope).route = route
        if error is not None:
            raise error
        await PlainTextResponse("", status)(scope, receive, send)

    return app


async def test_a_request_is_a_span_with_its_route_and_status(recorded: InMemorySpanExporter) -> None:
    await ask(answering(404))
    (span,) = recorded.get_finished_spans()
    assert span.name == "GET /things/{id}"
    assert span.kind is SpanKind.SERVER
    assert span.attributes == {
        "http.request.method": "GET",
        "http.route": "/things/{id}",
        "http.response.status_code": 404,
    }
    assert span.status.status_code is StatusCode.UNSET
    assert span.parent is None


@pytest.mark.parametrize(
    ("method", "route", "name"),
    [
        ("HEAD", "GET /things", "HEAD /things"),
        ("POST", "/auth/login", "POST /auth/login"),
        ("BREW", None, "other other"),
        ("POST", "drop-in login", "POST drop-in login"),
    ],
)
async def test_a_name_is_method_and_template(
    recorded: InMemorySpanExporter, method: str, route: str | None, name: str
) -> None:
    await ask(answering(route=route), method=method)
    assert [*by_name(recorded)] == [name]


@pytest.mark.parametrize(
    ("error", "code", "shown"),
    [
        (NoSession(), "no_session", StatusCode.UNSET),
        (UpstreamUnavailable(), "upstream_unavailable", StatusCode.ERROR),
        (RuntimeError("secret"), "internal_error", StatusCode.ERROR),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_an_error_is_named_by_its_code_and_shown_where_a_server_failed(
    recorded: InMemorySpanExporter, error: Exception, code: str, shown: StatusCode
) -> None:
    await ask(answering(error=error))
    (span,) = recorded.get_finished_spans()
    assert (span.attributes or {})["error.type"] == code
    assert span.status.status_code is shown
    assert not span.events
    assert "secret" not in span.to_json()


async def test_a_probe_is_no_span(recorded: InMemorySpanExporter) -> None:
    await ask(answering(), path="/livez")
    assert not recorded.get_finished_spans()


async def test_a_request_is_a_part_of_what_its_client_says(recorded: InMemorySpanExporter) -> None:
    await ask(answering(), (b"traceparent", GIVEN), (b"tracestate", b"a=b"), (b"tracestate", b"c=d"))
    (span,) = recorded.get_finished_spans()
    assert (trace_of(span), parent_of(span)) == (TRACE, PARENT)
    assert place_of(span).trace_state.to_header() == "a=b,c=d"


@pytest.mark.parametrize(
    "fields",
    [
        [b"nonsense"],
        [GIVEN, GIVEN],
        [GIVEN.replace(b"00-", b"ff-", 1)],
        [GIVEN + b"-more"],
        [GIVEN.upper()],
        [b"00-" + b"0" * 32 + GIVEN[35:]],
        [GIVEN + b"\xff"],
        [b"cc" + GIVEN[2:] + b"-" + b"x" * 300],
    ],
    ids=["text", "twice", "version", "long", "upper case", "no trace", "bytes", "very long"],
)
async def test_a_place_in_a_trace_that_is_none_begins_a_trace(
    recorded: InMemorySpanExporter, fields: list[bytes]
) -> None:
    await ask(answering(), *((b"traceparent", value) for value in fields), (b"tracestate", b"a=b"))
    (span,) = recorded.get_finished_spans()
    assert trace_of(span) != TRACE
    assert span.parent is None
    assert not place_of(span).trace_state


@pytest.mark.parametrize("state", [b"a=b\xff", b"a=" + b"b" * 600])
async def test_a_state_that_is_none_is_left_out(recorded: InMemorySpanExporter, state: bytes) -> None:
    await ask(answering(), (b"traceparent", GIVEN), (b"tracestate", state))
    (span,) = recorded.get_finished_spans()
    assert trace_of(span) == TRACE
    assert not place_of(span).trace_state


async def test_what_a_request_takes_is_a_part_of_it(recorded: InMemorySpanExporter) -> None:
    sent: list[Header] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with spans.step("session load"):
            pass
        with CountedCall("api", "product") as call:
            sent.extend(call.traced(SENT))
            call.status = 200
        await answering()(scope, receive, send)

    await ask(app, (b"traceparent", GIVEN), (b"tracestate", b"a=b"))
    named = by_name(recorded)
    request, load, call = named["GET /things/{id}"], named["session load"], named["emporix product"]
    assert {trace_of(one) for one in named.values()} == {TRACE}
    assert parent_of(load) == parent_of(call) == id_of(request)
    assert (load.kind, call.kind) == (SpanKind.INTERNAL, SpanKind.CLIENT)
    assert sent == [
        (b"accept", b"*/*"),
        (b"traceparent", f"00-{TRACE}-{id_of(call)}-01".encode()),
        (b"tracestate", b"a=b"),
    ]


async def test_work_that_a_request_starts_is_a_part_of_it(recorded: InMemorySpanExporter) -> None:
    async def work() -> None:
        with spans.step("inner"):
            pass

    with spans.step("outer"):
        await asyncio.create_task(work())
    named = by_name(recorded)
    assert parent_of(named["inner"]) == id_of(named["outer"])


def test_a_traces_neighbours_are_no_parts_of_each_other(recorded: InMemorySpanExporter) -> None:
    for name in ("one", "other"):
        with spans.step(name):
            pass
    one, other = recorded.get_finished_spans()
    assert trace_of(one) != trace_of(other)
    assert one.parent is other.parent is None


@pytest.mark.parametrize(
    ("status", "error", "outcome", "kind"),
    [
        (200, None, "2xx", None),
        (404, None, "4xx", "404"),
        (502, None, "5xx", "502"),
        (0, UpstreamTimeout(log_detail="secret"), "no answer", "no answer"),
        (0, NotAsked(), "not asked", "not asked"),
    ],
)
def test_a_call_says_how_it_ended(
    recorded: InMemorySpanExporter, status: int, error: BffError | None, outcome: str, kind: str | None
) -> None:
    def call() -> None:
        with CountedCall("token calls", "refresh") as counted:
            counted.status = status
            if error is not None:
                raise error

    if error is None:
        call()
    else:
        with pytest.raises(type(error)):
            call()
    (span,) = recorded.get_finished_spans()
    attributes = dict(span.attributes or {})
    assert attributes.pop("error.type", None) == kind
    assert attributes.pop("http.response.status_code", 0) == status
    assert attributes == {"bff.area": "token calls", "bff.outcome": outcome}
    assert span.status.status_code is (StatusCode.UNSET if kind is None else StatusCode.ERROR)
    assert "secret" not in span.to_json()


def test_a_step_that_fails_says_what_kind_of_failure_it_was(recorded: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="secret"), spans.step("session load"):
        raise ValueError("secret")
    (span,) = recorded.get_finished_spans()
    assert dict(span.attributes or {}) == {"error.type": "ValueError"}
    assert span.status.status_code is StatusCode.ERROR
    assert not span.events
    assert "secret" not in span.to_json()


async def test_work_is_recorded_as_a_step(recorded: InMemorySpanExporter) -> None:
    assert await spans.recorded("session load", asyncio.sleep(0, "found")) == "found"
    assert [span.name for span in recorded.get_finished_spans()] == ["session load"]


async def test_without_a_recorder_nothing_is_changed() -> None:
    with CountedCall("api", "product") as call:
        call.status = 200
        assert call.traced(SENT) is SENT
    assert spans.request_span(lambda _: pytest.fail("looked")) is None
    assert spans.step("one") is spans.step("other")
    work = asyncio.sleep(0)
    assert spans.recorded("one", work) is work
    await work
