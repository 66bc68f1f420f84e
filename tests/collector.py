"""A tiny OTLP/HTTP collector on loopback, which keeps what it gets."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, cast

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector(HTTPServer):
    """Answers every post of spans with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.bodies: list[bytes] = []
        self.status = 200

    def resources(self) -> Iterator[Any]:
        """Yield what was sent, by process."""
        for body in self.bodies:
            yield from ExportTraceServiceRequest.FromString(body).resource_spans

    def spans(self) -> list[Any]:
        """Return all spans that were sent."""
        return [span for one in self.resources() for scope in one.scope_spans for span in scope.spans]


class _Post(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        collector = cast("Collector", self.server)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        known = (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
        if known and collector.status == 200:
            collector.bodies.append(body)
        self.send_response(collector.status if known else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector for the block."""
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def attributes_of(span: Any) -> dict[str, Any]:
    """Return the attributes of a span, or of what sends spans, by name."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}
