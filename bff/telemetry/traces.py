"""Records spans with OpenTelemetry and sends them to a collector, as OTLP over HTTP.

The only module that knows the library, and imported only where `BFF_TRACES` is set. Spans are sent by a thread of the
library's, in batches, with the standard library: a collector that is slow or away delays no request.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Thread
from typing import Final
from urllib.parse import urlsplit

from opentelemetry import context
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bff import __version__
from bff.telemetry import spans
from bff.telemetry.logs import event

_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]{0,200})?")
_TRACESTATE: Final = re.compile(rb"[ -~\t]{1,512}")
_SEND_SECONDS: Final = 5.0
_TRACE_CONTEXT: Final = TraceContextTextMapPropagator()
_log = logging.getLogger(__name__)


class RecordedSpan:
    """One span of the library's; the current one of its task until it ends."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Span) -> None:
        self._span = span
        self._token = context.attach(set_span_in_context(span))

    @property
    def trace_id(self) -> str:
        """The id of the trace that it is in, as it is written."""
        return format_trace_id(self._span.get_span_context().trace_id)

    def fields(self) -> list[tuple[bytes, bytes]]:
        """Return header fields that make what the receiver does a part of this."""
        carrier: dict[str, str] = {}
        _TRACE_CONTEXT.inject(carrier, set_span_in_context(self._span, Context()))
        return [(name.encode("ascii"), value.encode("ascii")) for name, value in carrier.items()]

    def end(
        self,
        attributes: Mapping[str, str | int],
        *,
        name: str | None = None,
        error: str | None = None,
        failed: bool = False,
    ) -> None:
        """End it; see `bff.telemetry.spans`."""
        context.detach(self._token)
        if name is not None:
            self._span.update_name(name)
        self._span.set_attributes(attributes)
        if error is not None:
            self._span.set_attribute("error.type", error)
        if failed:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class SpanRecorder:
    """Begins spans; see `bff.telemetry.spans`.

    Args:
        tracer: the library's.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def request(self, traceparent: Sequence[bytes], tracestate: Sequence[bytes]) -> RecordedSpan:
        """Begin the answer to a request; what is not one valid `traceparent` begins a trace of its own."""
        parent = _parent(traceparent, b",".join(tracestate))
        return RecordedSpan(self._tracer.start_span("request", parent, SpanKind.SERVER))

    def call(self, operation: str) -> RecordedSpan:
        """Begin a call to Emporix."""
        return RecordedSpan(self._tracer.start_span(f"emporix {operation}", kind=SpanKind.CLIENT))

    def step(self, name: str) -> RecordedSpan:
        """Begin a part of the work."""
        return RecordedSpan(self._tracer.start_span(name))


def _parent(traceparent: Sequence[bytes], tracestate: bytes) -> Context:
    """Return what a client says that its request is a part of, where it says that in the standard's form."""
    if len(traceparent) != 1 or not _TRACEPARENT.fullmatch(traceparent[0]):
        return Context()
    carrier = {"traceparent": traceparent[0].decode("ascii")}
    if _TRACESTATE.fullmatch(tracestate):
        carrier["tracestate"] = tracestate.decode("ascii")
    return _TRACE_CONTEXT.extract(carrier, Context())


class OtlpExporter(SpanExporter):
    """Posts spans to a collector; those that it does not take are lost, and the log says so once.

    Args:
        collector: its origin.
        seconds: for each step of one try.
    """

    def __init__(self, collector: str, *, seconds: float = _SEND_SECONDS) -> None:
        parts = urlsplit(collector)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connect: Callable[[], HTTPConnection] = partial(kind, parts.netloc, timeout=seconds)
        self._trouble: str | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send some spans; called by one thread at a time."""
        trouble = self._post(encode_spans(spans).SerializeToString())
        self._note(trouble)
        return SpanExportResult.SUCCESS if trouble is None else SpanExportResult.FAILURE

    def _post(self, body: bytes) -> str | None:
        """Return why the collector has not taken it, or None."""
        connection = self._connect()
        try:
            connection.request("POST", "/v1/traces", body, {"content-type": "application/x-protobuf"})
            status = connection.getresponse().status
        except (OSError, HTTPException) as exc:
            return type(exc).__name__
        finally:
            connection.close()
        return None if 200 <= status < 300 else str(status)

    def _note(self, trouble: str | None) -> None:
        if trouble is not None and self._trouble is None:
            event(_log, "traces_not_sent", level=logging.ERROR, reason=trouble)
        elif trouble is None and self._trouble is not None:
            event(_log, "traces_sent")
        self._trouble = trouble


class Traces:
    """The traces of this process, from now until `stop`.

    Args:
        exporter: sends the spans.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        # The library's own complaints are about what clients send, once for each.
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)
        own = Resource.create({"service.name": "emporix-bff", "service.version": __version__})
        self._provider = TracerProvider(resource=own, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        spans.record_with(SpanRecorder(self._provider.get_tracer("bff", __version__)))

    def stop(self, seconds: float) -> None:
        """Record nothing more, and send what is there; what is not sent in so many seconds is lost."""
        spans.record_with(None)
        # The library waits for as long as the collector takes.
        ending = Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(seconds)
