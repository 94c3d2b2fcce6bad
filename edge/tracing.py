"""Traces for OpenTelemetry: a span for each request and one for each of its stages, sent to a collector by OTLP.

Imported only where a collector is set. Spans are made of what `edge.timing` knows, queued, and sent by a thread of
their own; what does not fit into the queue is dropped. Their attributes are the route's template, a known method, the
status, the problem's type and the request's id: no subject, no path, no query, no header, no data.
"""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.status import Status, StatusCode

from edge.routes import METHODS, OTHER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.trace import Span

    from edge.timing import Record

TRACES = "/v1/traces"  # where a collector takes spans over HTTP
QUEUED = 2_048  # spans; some three hundred requests
AT_ONCE = 512  # spans in one message
EVERY = 2_000  # milliseconds between two messages
SEND_WITHIN = 5.0  # seconds
END_WITHIN = 3.0  # seconds that the end of a worker waits for the last spans
_FAILED = 500
_PARENT = (b"traceparent", b"tracestate")


class Tracing:
    """The traces of one worker.

    Args:
        endpoint: of the collector, as in `http://collector:4318`.
        ratio: how many of the requests are traced, 0 to 1; by their trace's id, so that all services choose the same.
        headers: what the collector wants to be told with each message, a token say.
        build: version of what serves.
    """

    def __init__(self, endpoint: str, ratio: float, headers: Mapping[str, str] | None = None, build: str = "") -> None:
        chosen = TraceIdRatioBased(ratio)
        # A client may say which trace a request belongs to and that it is none, but not that it must be one.
        sampler = ParentBased(chosen, remote_parent_sampled=chosen, remote_parent_not_sampled=ALWAYS_OFF)
        resource = Resource({"service.name": "lastgang", "service.version": build})
        self._provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint.rstrip("/") + TRACES, headers=dict(headers or {}), timeout=SEND_WITHIN)
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, QUEUED, schedule_delay_millis=EVERY, max_export_batch_size=AT_ONCE)
        )
        self._tracer = self._provider.get_tracer("lastgang")
        self._parents = TraceContextTextMapPropagator()

    def begin(self, record: Record, headers: Iterable[tuple[bytes, bytes]], method: str, route: str) -> Span:
        """Begin a request's span; the record tells from now on whether it is traced.

        Args:
            record: of the request.
            headers: of the request, of which those of W3C Trace Context are read.
            method: as it was sent.
            route: its template.
        """
        known = method if method in METHODS else OTHER
        sent = {name.decode(): value.decode("latin-1") for name, value in headers if name in _PARENT}
        attributes = {"http.request.method": known, "http.route": route, "lastgang.request_id": record.id}
        span = self._tracer.start_span(
            f"{known} {route}",
            self._parents.extract(sent) if sent else None,
            SpanKind.SERVER,
            attributes,
        )
        if span.is_recording():
            record.trace = format(span.get_span_context().trace_id, "032x")
            record.spans = []
        return span

    def end(self, span: Span, record: Record, status: int) -> None:
        """End a request's span, and make those of its stages."""
        if record.spans is None:
            return
        within = set_span_in_context(span)
        for name, began, ended in record.spans:
            self._tracer.start_span(name, within, start_time=began).end(ended)
        span.set_attribute("http.response.status_code", status)
        if record.problem:
            span.set_attribute("error.type", record.problem)
        if status >= _FAILED:
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def close(self) -> None:
        """Send what is left, as long as the collector takes it at once."""
        closing = Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(END_WITHIN)
